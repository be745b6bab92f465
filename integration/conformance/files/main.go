// Command files compares what docker compose and hostrun make of compose files: each one below the directories is read by `docker
// compose config` and imported as by `hostrun import compose`, and every value of every service is compared. Nothing is started, and
// nothing is written. It prints what differs, beside what the import's report said of it, and fails where something differs that
// neither the report nor the table of differences (meant.go) says. integration/bench/setup.sh builds docker compose.
//
//	make build
//	go run ./integration/conformance/files DIR...
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/profiles/composefile"
)

func main() {
	bin := flag.String("bin", "bin", "directory of hostrun-compose, which puts together what consists of several files")
	cache := os.Getenv("HOSTRUN_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/hostrun-test"
	}
	program := flag.String("compose", filepath.Join(cache, "compose-v2/docker-compose"), "docker compose v2")
	quiet := flag.Bool("q", false, "print only what nobody said")
	flag.Parse()
	t, err := newTools(*program, filepath.Join(*bin, "hostrun-compose"))
	unsaid := 0
	if err == nil {
		unsaid, err = t.compareAll(os.Stdout, flag.Args(), *quiet)
	}
	if err == nil && unsaid > 0 {
		err = fmt.Errorf("%d files have differences that nobody said", unsaid)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "files: error:", err)
		os.Exit(1)
	}
}

// compareAll compares all files below some directories, and prints the results in their order.
func (t tools) compareAll(w io.Writer, dirs []string, quiet bool) (unsaid int, err error) {
	cases, err := find(dirs)
	if err != nil {
		return 0, err
	}
	if len(cases) == 0 {
		return 0, fmt.Errorf("there is no compose file in %s", strings.Join(dirs, ", "))
	}
	var wait sync.WaitGroup
	next, done := make(chan int), make(chan struct{})
	for range runtime.NumCPU() {
		wait.Go(func() {
			for i := range next {
				cases[i].run(t)
				done <- struct{}{}
			}
		})
	}
	go func() {
		for i := range cases {
			next <- i
		}
		close(next)
		wait.Wait()
		close(done)
	}()
	n := 0
	for range done {
		if n++; n%10 == 0 || n == len(cases) {
			fmt.Fprintf(os.Stderr, "\r%d of %d files", n, len(cases))
		}
	}
	fmt.Fprintln(os.Stderr)
	var sum summary
	for _, c := range cases {
		c.print(w, quiet)
		sum.add(c)
	}
	fmt.Fprintln(w, sum)
	return sum.unsaid, nil
}

var (
	composeName  = pattern.New(`^(.*[-_.])?compose([-_.].*)?\.ya?ml$`)
	overrideName = pattern.New(`^(docker-)?compose\.override\.ya?ml$`)
)

// find are the compose files below some directories, each with the one that overrides it by itself.
func find(dirs []string) ([]*comparison, error) {
	var all []*comparison
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path != dir && !composeName.MatchString(d.Name()) || overrideName.MatchString(d.Name()) {
				return err
			}
			path, err = filepath.Abs(path)
			c := &comparison{files: []string{path}}
			if stem := strings.TrimSuffix(d.Name(), filepath.Ext(path)); stem == "compose" || stem == "docker-compose" {
				for _, ext := range []string{".yml", ".yaml"} {
					over := filepath.Join(filepath.Dir(path), stem+".override"+ext)
					if _, err := os.Stat(over); err == nil {
						c.files = append(c.files, over)
						break
					}
				}
			}
			all = append(all, c)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b *comparison) int { return slices.Compare(a.files, b.files) })
	return slices.CompactFunc(all, func(a, b *comparison) bool { return slices.Equal(a.files, b.files) }), nil
}

// tools are the programs that are asked.
type tools struct {
	config   func(files []string) ([]byte, error) // what docker compose makes of the files, as JSON
	together string                               // hostrun-compose
}

func newTools(compose, together string) (t tools, err error) {
	for _, program := range []*string{&compose, &together} {
		if *program, err = filepath.Abs(*program); err != nil {
			return t, err
		}
		if _, err := os.Stat(*program); err != nil {
			return t, fmt.Errorf("find the programs: %w\nhint: integration/bench/setup.sh and make build", err)
		}
	}
	return tools{together: together, config: func(files []string) ([]byte, error) {
		args := []string{"--profile", "*"}
		for _, file := range files {
			args = append(args, "-f", file)
		}
		return output(files[0], compose, append(args, "config", "--format", "json")...)
	}}, nil
}

// text is what the import reads: the file, or what several are together (cmd/hostrun does the same).
func (t tools) text(files []string) (composefile.File, error) {
	file := composefile.File{Path: files[0], Shown: filepath.Base(files[0])}
	var err error
	if file.Text, err = os.ReadFile(file.Path); err != nil {
		return file, err
	}
	why, err := composefile.Several(file)
	if err != nil || why == "" && len(files) == 1 {
		return file, err
	}
	out, err := output(files[0], t.together, files...)
	if err != nil {
		return file, err
	}
	var one struct{ Text string }
	err = json.Unmarshal(out, &one)
	file.Text = []byte(one.Text)
	return file, err
}

// output runs a program in the first file's directory, with few variables: a file must not be read otherwise on another machine.
func output(first, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = filepath.Dir(first)
	for name, value := range environment(first) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		err = errors.New(lines[len(lines)-1])
	}
	return out, err
}

func environment(first string) map[string]string {
	return map[string]string{"PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME"), "PWD": filepath.Dir(first)}
}

// A comparison is what came of one compose file.
type comparison struct {
	files            []string
	refused, ours    error // by docker compose; by hostrun, too
	services, values int   // that were compared
	found            []difference
	report           []composefile.Field // what is dropped or open
	variables        []string            // that are not set, as the report says
	started          []string            // COMPOSE_PROFILES of .env
}

// A difference is one value that is not the same.
type difference struct {
	service, field string
	theirs, ours   any
	said           bool
}

func (c *comparison) run(t tools) {
	var config []byte
	config, c.refused = t.config(c.files)
	file, err := t.text(c.files)
	opt := profiles.Options{Cwd: filepath.Dir(file.Path), Env: environment(file.Path)}
	var stack []byte
	if err == nil {
		stack, err = c.convert(file, opt)
	}
	if c.refused != nil {
		for _, f := range c.report {
			if err == nil && f.Outcome == composefile.Open {
				err = errors.New(f.Note)
			}
		}
		c.ours = err
		return
	}
	project, failed := readConfig(config)
	switch {
	case failed != nil:
		c.differ("", view{"config": failed.Error()}, view{})
	case err != nil:
		c.differ("", view{importField: len(project.Services)}, view{importField: err.Error()})
	default:
		c.compare(project, stack, opt)
	}
}

// convert imports a file, and keeps what the comparison wants of the report.
func (c *comparison) convert(file composefile.File, opt profiles.Options) ([]byte, error) {
	stack, fields, err := composefile.Convert(file, opt)
	for _, f := range fields {
		name, isVariable := strings.CutPrefix(f.Key, "$")
		switch {
		case f.Outcome == composefile.Dropped, f.Outcome == composefile.Open:
			c.report = append(c.report, f)
		case isVariable:
			c.variables = append(c.variables, name)
		}
	}
	c.started = strings.Split(profiles.DotEnv(opt, opt.Cwd)["COMPOSE_PROFILES"], ",")
	return stack, err
}

// compare compares the services of a stack, which lies beside the compose file but in memory alone.
func (c *comparison) compare(project *types.Project, stack []byte, opt profiles.Options) {
	path := filepath.Join(opt.Cwd, "stack.yaml")
	opt.Text = map[string][]byte{path: stack}
	var names []string
	if st := profiles.ReadStack(opt, path); st != nil {
		names = slices.Sorted(slices.Values(st.Profiles))
	}
	c.differ("", view{"services": project.ServiceNames()}, view{"services": names})
	for _, name := range names {
		service, ok := project.Services[name]
		if !ok {
			continue
		}
		p, err := profiles.Load(opt, path+":"+name)
		if err != nil {
			c.differ(name, view{refusedField: "read"}, view{refusedField: refusal{err.Error(), c.byVariables(err, opt, path, name)}})
			continue
		}
		c.services++
		theirs, ours := values(project, service, p)
		c.differ(name, theirs, ours)
	}
}

// Two fields stand for what one side does not read: a whole file, and a whole service.
const (
	importField  = "file"
	refusedField = "service"
)

// A refusal is why hostrun does not read a profile.
type refusal struct {
	Why       string
	Variables bool // it does where variables of the file have a value
}

// byVariables reports whether a profile is refused only because of what becomes of variables that are not set.
func (c *comparison) byVariables(err error, opt profiles.Options, path, name string) bool {
	var invalid *profiles.InvalidError
	if !errors.As(err, &invalid) || slices.ContainsFunc(invalid.Problems, func(p profiles.Problem) bool { return p.File != path }) {
		return false
	}
	opt.Env = maps.Clone(opt.Env)
	for _, name := range c.variables {
		opt.Env[name] = "1"
	}
	_, err = profiles.Load(opt, path+":"+name)
	return err == nil
}

// differ notes what differs in one service and is not meant to.
func (c *comparison) differ(service string, theirs, ours view) {
	fields := view{}
	for _, v := range []view{theirs, ours} {
		for field := range v {
			if !strings.HasPrefix(field, "~") {
				fields[field] = nil
			}
		}
	}
	c.values += len(fields)
	for _, field := range sortedKeys(fields) {
		d := difference{service, field, theirs[field], ours[field], false}
		if !same(d.theirs, d.ours) && !c.isMeant(d, theirs) {
			d.said = c.said(service, field)
			c.found = append(c.found, d)
		}
	}
}

// said reports whether the import's report has the field among what is dropped or open.
func (c *comparison) said(service, field string) bool {
	for _, f := range c.report {
		key, _, _ := strings.Cut(f.Key, ".")
		key, _, _ = strings.Cut(key, "[")
		switch {
		case f.Service != "" && f.Service != service:
			continue
		case field == refusedField && f.Outcome == composefile.Open:
			return true
		}
		root, _, _ := strings.Cut(field, ".")
		if key == root || slices.Contains(alsoOf[key], root) {
			return true
		}
	}
	return false
}

// unsaid are the differences that neither the report nor the table says.
func (c *comparison) unsaid() (all []difference) {
	for _, d := range c.found {
		if !d.said {
			all = append(all, d)
		}
	}
	return all
}

func (c *comparison) print(w io.Writer, quiet bool) {
	var b bytes.Buffer
	for _, d := range c.found {
		if d.said && quiet {
			continue
		}
		said := "NOT SAID"
		if d.said {
			said = "said"
		}
		theirs, ours := shortened(d.theirs, d.ours)
		fmt.Fprintf(&b, "  %-8s %s %s: docker compose %s, hostrun %s\n", said, d.service, d.field, theirs, ours)
	}
	if b.Len() == 0 {
		return
	}
	for _, f := range c.report {
		fmt.Fprintf(&b, "  report   %s %s (%d): %s: %s\n", f.Service, f.Key, f.Line, f.Outcome, f.Note)
	}
	fmt.Fprintf(w, "%s\n%s", strings.Join(c.files, ", "), b.Bytes())
}

// A summary counts files.
type summary struct{ files, refused, both, equal, said, unsaid, services, values int }

func (s *summary) add(c *comparison) {
	s.files++
	s.services += c.services
	s.values += c.values
	switch {
	case c.refused != nil && c.ours != nil:
		s.both++
		s.refused++
	case c.refused != nil:
		s.refused++
	case len(c.found) == 0:
		s.equal++
	case len(c.unsaid()) == 0:
		s.said++
	default:
		s.unsaid++
	}
}

func (s summary) String() string {
	return fmt.Sprintf("%d files: %d refused by docker compose (%d of them by hostrun, too), %d equal, %d different as the report says, %d different and nobody said\n%d services, %d values compared",
		s.files, s.refused, s.both, s.equal, s.said, s.unsaid, s.services, s.values)
}
