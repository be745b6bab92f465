package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/pattern"
)

// An importing is one `import PACKAGE` in one image: what was predicted, and what happened.
type importing struct {
	set, image, name string
	message          string   // predicted failure, "" for none
	perhaps          []string // failures of imports that are caught, or stand below a condition
	unchecked        []imports.NotChecked
	real             outcome
}

func (i importing) falseAlarm() bool { return i.message != "" && i.real.state == "ok" }
func (i importing) miss() bool       { return i.message == "" && i.real.state != "ok" }
func (i importing) sameWords() bool  { return strings.HasSuffix(i.real.message, i.message) }

// class says why a miss is one: the failure was foreseen as one that may be caught, or it happened at a place that the
// prediction lists as not checked. "" is a miss without a reason.
func (i importing) class() string {
	foreseen := func(message string) bool { return strings.HasSuffix(i.real.message, message) }
	if slices.ContainsFunc(i.perhaps, foreseen) {
		return "foreseen, perhaps caught"
	}
	for _, n := range i.unchecked {
		if i.explains(n) {
			return "not checked: " + n.What + " " + n.Name
		}
	}
	return ""
}

// explains tells whether the failure is of what was listed as not checked: of that module, on that line, or in native code
// that was running.
func (i importing) explains(n imports.NotChecked) bool {
	last := ""
	if len(i.real.frames) > 0 {
		last, _, _ = strings.Cut(i.real.frames[len(i.real.frames)-1], ":")
	}
	switch n.What {
	case "hook":
		return i.real.names(n.Name)
	case "native": // itself, or what it imported before any line of Python ran
		return n.At.File == i.real.library || n.Name == i.name && last == "" || slices.Contains(i.real.frames, line(n.At))
	case "mixed": // somewhere in the file that uses it
		return n.At.File == last
	}
	return slices.Contains(i.real.frames, line(n.At))
}

func line(at imports.At) string { return fmt.Sprintf("%s:%d", at.File, at.Line) }

// importAll predicts and really does the import of each top-level name of a set that has native modules.
func (o oracle) importAll(ctx context.Context, s set, i image) ([]importing, error) {
	mounts := []mount{{s.dir, s.at}}
	names := topLevel(s)
	all := make([]importing, len(names))
	var tasks []string
	for n, name := range names {
		all[n] = importing{set: s.name, image: i.name, name: name}
		tasks = append(tasks, "import "+name)
	}
	began := time.Now()
	err := predictImports(ctx, i, mounts, all)
	if start := (*ld.StartError)(nil); errors.As(err, &start) {
		return nil, nil // compare has its word about that
	}
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	real, err := o.ask(ctx, i, mounts, []string{"-I"}, tasks, s.key, s.at)
	if err != nil {
		return nil, err
	}
	for n := range all {
		all[n].real = real[n]
	}
	say("%s in %s: %d packages, their imports predicted in %v", s.name, i.name, len(all), took.Round(time.Millisecond))
	return all, nil
}

// topLevel are the names that a package's native modules are imported below, the libraries that wheels bundle left out.
func topLevel(s set) []string {
	var all []string
	for _, m := range s.modules {
		name, _, below := strings.Cut(m, "/")
		if !below {
			name, _, _ = strings.Cut(name, ".")
		}
		if identifier.MatchString(name) && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

var identifier = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)

// predictImports fills in what would be said: the first certain failure that the scan finds, or the first native module
// on the way that the loader would refuse.
func predictImports(ctx context.Context, i image, mounts []mount, all []importing) error {
	view, err := mounted(i, mounts)
	if err != nil {
		return err
	}
	python, err := abi.DetectPython(view, i.python, abi.Environment{})
	if err != nil {
		return err
	}
	process, err := start(view, i)
	if err != nil {
		return err
	}
	python.SiteDirs = append(python.SiteDirs, siteAt) // the probe adds it as site would
	if len(python.SiteDirsDeclared) > 0 {
		python.SiteDirsDeclared = append(python.SiteDirsDeclared, siteAt)
	}
	scan := func(name string) (imports.Report, error) {
		return imports.Scan(ctx, view, imports.Request{Python: python, Packages: []string{name}})
	}
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for n := range all {
		workers.Go(func() error {
			report, err := scan(all[n].name)
			all[n].predict(report, process)
			return err
		})
	}
	return workers.Wait()
}

func (i *importing) predict(report imports.Report, process *ld.Process) {
	for _, missing := range report.Missing {
		i.fails(missing.Message, missing.Reach)
	}
	for _, m := range report.Modules {
		if m.Kind != imports.Extension {
			continue
		}
		if r := process.Open(m.File); r.Verdict != ld.OK {
			i.fails(r.Message, m.Reach)
		}
	}
	i.unchecked = report.NotChecked
}

func (i *importing) fails(message string, reach imports.Reach) {
	if reach == imports.Required && i.message == "" {
		i.message = message
	}
	i.perhaps = append(i.perhaps, message)
}

// An importRow counts the imports of one set in one image.
type importRow struct {
	names, refused, right, sameWords, falseAlarm int
	foreseen, unchecked, miss                    int // failures that were not predicted as certain, by class
}

func (r *importRow) add(i importing) {
	r.names++
	r.refused += one(i.real.state != "ok")
	r.falseAlarm += one(i.falseAlarm())
	r.foreseen += one(i.miss() && strings.HasPrefix(i.class(), "foreseen"))
	r.unchecked += one(i.miss() && strings.HasPrefix(i.class(), "not checked"))
	r.miss += one(i.miss() && i.class() == "")
	r.right += one(!i.falseAlarm() && !i.miss())
	r.sameWords += one(!i.falseAlarm() && !i.miss() && i.sameWords())
}

// printImports prints the table, and returns how many were wrong without a class.
func printImports(w io.Writer, all []importing) int {
	if len(all) == 0 {
		return 0
	}
	rows := map[string]*importRow{}
	var order []string
	total := &importRow{}
	for _, i := range all {
		key := i.set + "\t" + i.image
		if rows[key] == nil {
			rows[key] = &importRow{}
			order = append(order, key)
		}
		rows[key].add(i)
		total.add(i)
	}
	rows["all\t"] = total
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "packages\timage\timports\tfailed\tright\tsame words\tfalse alarms\tforeseen, perhaps caught\tnot checked\tmisses\t")
	for _, key := range append(order, "all\t") {
		r := rows[key]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", key, r.names, r.refused, r.right, r.sameWords, r.falseAlarm, r.foreseen, r.unchecked, r.miss)
	}
	_ = t.Flush()
	return total.falseAlarm + total.miss
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (i importing) print(w io.Writer) {
	kind := ""
	switch {
	case i.falseAlarm():
		kind = "FALSE ALARM"
	case i.miss():
		kind = cmp.Or(i.class(), "MISS")
	default:
		return
	}
	fmt.Fprintf(w, "%s: import %s, %s in %s\n  predicted: %s\n  real:      %.500s\n  at:        %s\n", kind, i.name, i.set, i.image, i.message, i.real,
		strings.Join(i.real.frames[max(0, len(i.real.frames)-3):], ", "))
}

// answers is where the oracle keeps what containers said.
func (w *world) answers() oracle { return oracle{w.kept, time.Hour} }

// paths are those of a set's modules in a container.
func (s set) paths() []string {
	var all []string
	for _, m := range s.modules {
		all = append(all, path.Join(s.at, m))
	}
	return all
}
