package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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
	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

// An importing is one `import PACKAGE` in one image: what was predicted, and what happened.
type importing struct {
	set, image, name string
	provides         func(library string) bool // a file of the set satisfies a need of it, once something has loaded that
	message          string                    // predicted failure, "" for none
	perhaps          []imports.Missing         // failures of imports that are caught, or stand below a condition
	unchecked        []imports.NotChecked      // what the prediction says that it does not know
	deferred         []imports.At              // statements in functions
	natives          []imports.Module          // native modules
	real             outcome
}

func (i importing) falseAlarm() bool { return i.message != "" && i.real.state == "ok" }
func (i importing) miss() bool       { return i.message == "" && i.real.state != "ok" }
func (i importing) sameWords() bool  { return strings.HasSuffix(i.real.message, i.message) }

// class says why a miss is one: the failure was foreseen as one that may be caught, or it happened at a place that check
// lists as not checked. "" is a miss without a reason.
func (i importing) class() string {
	for _, m := range i.perhaps {
		if strings.HasSuffix(i.real.message, m.Message) || i.real.through(m.At) {
			return "foreseen, perhaps caught: " + m.Name
		}
	}
	told := proof.Told(i.unchecked)
	if n := slices.IndexFunc(told, i.explains); n >= 0 {
		return "not checked: " + told[n].What + " " + told[n].Name
	}
	if n := slices.IndexFunc(i.unchecked, i.explains); n >= 0 {
		return "known, and beyond what check lists: " + i.unchecked[n].What + " " + i.unchecked[n].Name
	}
	return ""
}

// explains tells whether the failure is of what was listed as not checked: of that module, on that line, or in native code
// that was running.
func (i importing) explains(n imports.NotChecked) bool {
	switch n.What {
	case "hook":
		return i.real.names(n.Name) || i.real.through(n.At)
	case "native": // the statement that imports one of the package's; or it does, before any line of Python ran
		return i.real.through(n.At) || i.real.state == "init" || n.Name == i.name && len(i.real.frames) == 0 ||
			slices.ContainsFunc(i.natives, func(m imports.Module) bool {
				return top(m.Name) == top(n.Name) && (i.real.through(m.By) || m.File == i.real.library)
			})
	case "mixed": // in what uses it, or in itself: a version is compared
		inside := "/" + n.Name + "/"
		return i.real.mentions(n.Name) || strings.Contains(i.real.library, inside) ||
			slices.ContainsFunc(i.real.frames, func(f string) bool { return strings.HasPrefix(f, n.At.File+":") || strings.Contains(f, inside) })
	case "standin", "namespace": // anywhere in the module: the handler's lines are not followed; names are missing where they are used
		return slices.ContainsFunc(i.real.frames, func(f string) bool { return strings.HasPrefix(f, n.At.File+":") })
	case "deferred":
		return slices.ContainsFunc(i.deferred, i.real.through)
	}
	return i.real.through(n.At)
}

func top(module string) string {
	name, _, _ := strings.Cut(module, ".")
	return name
}

// importAll predicts and really does the import of each top-level name of a set that has native modules.
func (o oracle) importAll(ctx context.Context, s set, i image) ([]importing, error) {
	mounts := []mount{{s.dir, s.at}}
	names := topLevel(s)
	all := make([]importing, len(names))
	var tasks []string
	for n, name := range names {
		all[n] = importing{set: s.name, image: i.name, name: name, provides: s.provides}
		tasks = append(tasks, "import "+name)
	}
	err := predictImports(ctx, i, mounts, all)
	if start := (*ld.StartError)(nil); errors.As(err, &start) {
		return nil, nil // compare has its word about that
	}
	if err != nil {
		return nil, err
	}
	real, err := o.ask(ctx, i, mounts, []string{"-I"}, tasks, s.key, s.at)
	if err != nil {
		return nil, err
	}
	for n := range all {
		all[n].real = real[n]
	}
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
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for n := range all {
		workers.Go(func() error { return all[n].predict(ctx, view, python, process) })
	}
	return workers.Wait()
}

// rounds bounds how often the imports are followed anew with what the loader refuses, as package proof does.
const rounds = 5

func (i *importing) predict(ctx context.Context, view *rootfs.View, python abi.Python, process *ld.Process) error {
	broken := map[string]string{}
	var report imports.Report
	for range rounds {
		var err error
		if report, err = imports.Scan(ctx, view, imports.Request{Python: python, Packages: []string{i.name}, Broken: maps.Clone(broken)}); err != nil {
			return err
		}
		known := len(broken)
		for _, m := range report.Modules {
			if m.Kind == imports.Extension && broken[m.File] == "" {
				if r := process.Open(m.File); r.Verdict != ld.OK && (r.Verdict != ld.Missing || !i.provides(path.Base(r.Needed))) {
					broken[m.File] = r.Message
				}
			}
		}
		if len(broken) == known {
			break
		}
	}
	if first := report.First(); first != nil {
		i.message = first.Message
	}
	i.perhaps, i.unchecked = report.Missing, report.NotChecked
	for _, m := range report.Modules {
		if m.Kind == imports.Extension {
			i.natives = append(i.natives, m)
		}
		if m.Reach == imports.Deferred {
			i.deferred = append(i.deferred, m.By)
		}
	}
	return nil
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
	switch class := i.class(); {
	case !i.miss():
	case strings.HasPrefix(class, "foreseen"):
		r.foreseen++
	case strings.HasPrefix(class, "not checked"):
		r.unchecked++
	default:
		r.miss++
	}
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
