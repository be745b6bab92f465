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
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

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
	t := tools{compose: *program, together: filepath.Join(*bin, "hostrun-compose")}
	unsaid, err := t.compareAll(flag.Args(), *quiet)
	if err == nil && unsaid > 0 {
		err = fmt.Errorf("%d files have differences that nobody said", unsaid)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "files: error:", err)
		os.Exit(1)
	}
}

// compareAll compares all files below some directories, and prints the results in their order.
func (t tools) compareAll(dirs []string, quiet bool) (unsaid int, err error) {
	for _, program := range []*string{&t.compose, &t.together} {
		if *program, err = filepath.Abs(*program); err != nil {
			return 0, err
		}
		if _, err := os.Stat(*program); err != nil {
			return 0, fmt.Errorf("find the programs: %w\nhint: integration/bench/setup.sh and make build", err)
		}
	}
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
		n++
		fmt.Fprintf(os.Stderr, "\r%d of %d files", n, len(cases))
	}
	fmt.Fprintln(os.Stderr)
	var sum summary
	for _, c := range cases {
		c.print(os.Stdout, quiet)
		sum.add(c)
	}
	fmt.Println(sum)
	return sum.unsaid, nil
}

var (
	composeName  = pattern.New(`^(docker[-_])?compose([-_.].*)?\.ya?ml$`)
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
type tools struct{ compose, together string }

// config is what docker compose makes of the files, as JSON.
func (t tools) config(files []string) ([]byte, error) {
	args := []string{"--profile", "*"}
	for _, file := range files {
		args = append(args, "-f", file)
	}
	return output(files[0], t.compose, append(args, "config", "--format", "json")...)
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
	refused, ours    error // by docker compose, by the import
	services, values int
	found            []difference
	report           []composefile.Field // what is dropped or open
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
	if err != nil {
		c.ours = err
		return
	}
	c.compare(config, file)
}

// compare imports a file and compares the stack with what docker compose has printed.
func (c *comparison) compare(config []byte, file composefile.File) {
	dir := filepath.Dir(file.Path)
	opt := profiles.Options{Cwd: dir, Env: environment(file.Path)}
	stack, fields, err := composefile.Convert(file, opt)
	if err != nil || c.refused != nil {
		c.ours = err
		return
	}
	for _, f := range fields {
		if f.Outcome == composefile.Dropped || f.Outcome == composefile.Open {
			c.report = append(c.report, f)
		}
	}
	c.compareStack(config, stack, opt)
}

// compareStack compares the services of a stack, which lies beside the compose file but in memory alone.
func (c *comparison) compareStack(config, stack []byte, opt profiles.Options) {
	project, err := readConfig(config)
	if err != nil {
		c.refused = fmt.Errorf("read what docker compose has printed: %w", err)
		return
	}
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
		c.services++
		theirs := ofService(project, service)
		p, err := profiles.Load(opt, path+":"+name)
		if err != nil {
			c.found = append(c.found, difference{name, refusedField, "read", err.Error(), c.said(name, refusedField)})
			continue
		}
		c.differ(name, theirs, ofProfile(p))
	}
}

// refusedField stands for a whole profile that hostrun does not read.
const refusedField = "profile"

// differ notes what differs in one service and is not meant to.
func (c *comparison) differ(service string, theirs, ours view) {
	fields := view{}
	for _, v := range []view{theirs, ours} {
		for field := range v {
			fields[field] = nil
		}
	}
	c.values += len(fields)
	for _, field := range sortedKeys(fields) {
		a, b := theirs[field], ours[field]
		if !same(a, b) && !isMeant(field, a, b, theirs, ours) {
			c.found = append(c.found, difference{service, field, a, b, c.said(service, field)})
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
		case f.Service == "" && f.Outcome == composefile.Open && filepath.Ext(f.Key) != "" && !slices.Contains([]string{"networks", "volumes", "secrets", "configs", "services"}, key): // a line of a file that has variables
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

func (c *comparison) print(w *os.File, quiet bool) {
	var b bytes.Buffer
	if c.ours != nil && c.refused == nil {
		fmt.Fprintf(&b, "  hostrun refuses it: %v\n", c.ours)
	}
	for _, d := range c.found {
		if d.said && quiet {
			continue
		}
		said := "NOT SAID"
		if d.said {
			said = "said"
		}
		a, b2 := shortened(d.theirs, d.ours)
		fmt.Fprintf(&b, "  %-8s %s %s: docker compose %s, hostrun %s\n", said, d.service, d.field, a, b2)
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
type summary struct{ files, refused, both, ours, equal, said, unsaid, services, values int }

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
	case c.ours != nil:
		s.ours++
		s.unsaid++
	case len(c.found) == 0:
		s.equal++
	case len(c.unsaid()) == 0:
		s.said++
	default:
		s.unsaid++
	}
}

func (s summary) String() string {
	return fmt.Sprintf("%d files: %d refused by docker compose (%d of them by hostrun, too), %d equal, %d different as the report says, %d different and nobody said (%d of them refused by hostrun)\n%d services, %d values compared",
		s.files, s.refused, s.both, s.equal, s.said, s.unsaid, s.ours, s.services, s.values)
}
