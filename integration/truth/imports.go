package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/pattern"
)

// The classes of what `import PACKAGE` came to. All but the last follow from files.
const (
	imported   = "imported"
	asRefused  = "native module refused" // one that was predicted to be refused, of this package or of another
	otherName  = "suffix not tried"      // the native module is there, under a suffix of another interpreter
	noStandard = "standard module missing"
	noPackage  = "package missing"
	ownDoing   = "its own doing" // what code did when it ran: never claimed, listed as not checked
)

var classes = []string{imported, asRefused, otherName, noStandard, noPackage, ownDoing}

// An importing is one `import PACKAGE` in one image.
type importing struct {
	set, image, name, class string
	real                    outcome
}

// importAll really imports each top-level name of a set that has native modules, and says why where it fails.
func (w *world) importAll(ctx context.Context, s set, i image, dlopen []comparison) ([]importing, error) {
	names := topLevel(s)
	var tasks []string
	for _, n := range names {
		tasks = append(tasks, "import "+n)
	}
	at := filepath.Join(w.cache, "answers")
	real, err := oracle{at, time.Hour}.ask(ctx, i, []mount{{s.dir, s.at}}, []string{"-I"}, tasks, s.key, s.at)
	if err != nil {
		return nil, err
	}
	standard := w.standardModules()
	var all []importing
	for n, name := range names {
		c := classify(real[n], s, standard, dlopen)
		all = append(all, importing{s.name, i.name, name, c, real[n]})
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

var (
	identifier = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)
	noModule   = pattern.New(`No module named '([^']+)'`)
)

func classify(o outcome, s set, standard map[string]bool, dlopen []comparison) string {
	if o.state == "ok" {
		return imported
	}
	for _, c := range dlopen {
		if c.predicted.Verdict != ld.OK && c.predicted.Message != "" && strings.Contains(o.message, c.predicted.Message) {
			return asRefused
		}
	}
	missing := noModule.FindStringSubmatch(o.message)
	if missing == nil {
		return ownDoing
	}
	top, _, _ := strings.Cut(missing[1], ".")
	if standard[top] {
		return noStandard
	}
	stem := strings.ReplaceAll(missing[1], ".", "/")
	if slices.ContainsFunc(s.modules, func(m string) bool { return strings.HasPrefix(m, stem+".") }) {
		return otherName
	}
	if _, err := os.Stat(filepath.Join(s.dir, top)); err != nil {
		return noPackage
	}
	return ownDoing
}

// standardModules are the names of the standard library, of all releases that are there in full.
func (w *world) standardModules() map[string]bool {
	all := map[string]bool{}
	for _, pattern := range []string{"roots/*-full/usr/lib/python3*/*", "roots/*-full/usr/lib/python3*/lib-dynload/*"} {
		found, _ := filepath.Glob(filepath.Join(w.cache, pattern))
		for _, f := range found {
			if name, _, _ := strings.Cut(filepath.Base(f), "."); !strings.Contains(f, "dist-packages") {
				all[name] = true
			}
		}
	}
	return all
}

func printImports(w io.Writer, all []importing) {
	counts := map[[2]string]map[string]int{}
	var order [][2]string
	for _, i := range all {
		key := [2]string{i.set, i.image}
		if counts[key] == nil {
			counts[key] = map[string]int{}
			order = append(order, key)
		}
		counts[key][i.class]++
		if i.class == ownDoing {
			fmt.Fprintf(w, "not checked: import %s (%s in %s): %.300s\n", i.name, i.set, i.image, i.real)
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "packages\timage\t%s\t\n", strings.Join(classes, "\t"))
	for _, key := range order {
		fmt.Fprintf(t, "%s\t%s\t", key[0], key[1])
		for _, c := range classes {
			fmt.Fprintf(t, "%d\t", counts[key][c])
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}
