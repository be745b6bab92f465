// Command truth compares what package ld predicts with what the loaders of real images do: for each set of packages and
// each image it predicts the fate of every native module, really opens it in a container, and prints the table and every
// disagreement. The answers of the containers are kept, so that a second run takes seconds. See docs/truth.md.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"hostrun.dev/hostrun/abi/ld"
)

type options struct {
	cache, answers, write, list, prove string
	only                               *regexp.Regexp
	imports, speed                     bool
	dropCaches                         bool
}

func main() {
	var o options
	only := flag.String("only", "", "compare only the pairs `SET IMAGE` that match this expression")
	flag.StringVar(&o.cache, "cache", cacheDirectory(), "where roots, sites and answers are kept")
	flag.StringVar(&o.answers, "answers", "", "where answers are kept, if not in the cache: an empty directory asks all anew")
	flag.StringVar(&o.write, "write", "", "also write the disagreements to this file")
	flag.StringVar(&o.list, "list", "", "also write each pair to this file, one a line: what was predicted, and what happened")
	flag.BoolVar(&o.imports, "imports", false, "also import each package")
	flag.BoolVar(&o.speed, "speed", false, "also tell how long a first proof takes")
	flag.BoolVar(&o.dropCaches, "drop-caches", false, "with -speed: drop all caches of this machine before a cold proof")
	flag.StringVar(&o.prove, "prove", "", "only predict the pair `SET IMAGE`, and tell how long it takes")
	flag.Parse()
	o.only = regexp.MustCompile(*only)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "truth:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "truth: "+format+"\n", args...) }

func cacheDirectory() string {
	dir := os.Getenv("HOSTRUN_TEST_CACHE")
	if dir == "" {
		dir = "/var/cache/hostrun-test"
	}
	return filepath.Join(dir, "truth")
}

// run compares all pairs, and fails if one prediction was wrong.
func run(ctx context.Context, o options) error {
	w := newWorld(o.cache)
	w.kept = cmp.Or(o.answers, filepath.Join(o.cache, "answers"))
	if o.prove != "" {
		return w.prove(o.prove)
	}
	if err := w.makeDamage(); err != nil {
		say("%v", err) // and the set is named among what is not there
	}
	all, imports, failed, err := w.compareAll(ctx, o)
	if err != nil {
		return err
	}
	printDisagreements(os.Stdout, all)
	for _, i := range imports {
		i.print(os.Stdout)
	}
	if o.write != "" {
		if err := writeDisagreements(o.write, all); err != nil {
			return err
		}
	}
	if o.list != "" {
		if err := writeList(o.list, all, imports); err != nil {
			return err
		}
	}
	table := rows(all)
	printRows(os.Stdout, table)
	wrongImports := printImports(os.Stdout, imports)
	if o.speed {
		if err := w.printSpeed(os.Stdout, o); err != nil {
			return err
		}
	}
	for _, name := range w.absent() {
		fmt.Printf("not on this machine: %s\n", name)
	}
	total := table[len(table)-1]
	if total.falseAlarm+total.miss+wrongImports+failed+one(total.modules == 0) > 0 {
		return fmt.Errorf("%d false alarms and %d misses among %d modules; %d imports predicted wrongly; %d pairs that could not be compared",
			total.falseAlarm, total.miss, total.modules, wrongImports, failed)
	}
	return nil
}

func writeDisagreements(to string, all []comparison) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	fmt.Fprintf(f, "%s\n", time.Now().Format(time.DateTime))
	printDisagreements(f, all)
	return f.Close()
}

func writeList(to string, all []comparison, imports []importing) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	for _, c := range all {
		fmt.Fprintf(f, "%s\t%s\tdlopen %s\t%s\t%s\n", c.set, c.image, c.path, said(c.predicted), c.real)
	}
	for _, i := range imports {
		fmt.Fprintf(f, "%s\t%s\timport %s\t%s\t%s\n", i.set, i.image, i.name, i.message, i.real)
	}
	return f.Close()
}

// compareAll goes through the pairs that are there and asked for. A pair that can't be compared is said and counted.
func (w *world) compareAll(ctx context.Context, o options) (all []comparison, imports []importing, failed int, err error) {
	err = w.each(o.only, func(s set, i image) error {
		some, err := w.answers().compare(ctx, s, i)
		all = append(all, some...)
		if err == nil && o.imports && i.python != "" && s.packages() {
			var more []importing
			more, err = w.answers().importAll(ctx, s, i)
			imports = append(imports, more...)
		}
		if err != nil {
			say("%s in %s: %v", s.name, i.name, err)
			failed++
		}
		return ctx.Err()
	})
	return all, imports, failed, err
}

// each calls do with the pairs that match and are on this machine.
func (w *world) each(only *regexp.Regexp, do func(set, image) error) error {
	for _, p := range pairs {
		images := slices.DeleteFunc(slices.Clone(p.images), func(name string) bool { return !only.MatchString(p.set + " " + name) })
		if len(images) == 0 {
			continue
		}
		s, ok := w.set(p.set)
		for _, name := range images {
			i, there := w.image(name)
			if !ok || !there {
				continue
			}
			if err := do(s, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare predicts and asks about all modules of a set in an image.
func (o oracle) compare(ctx context.Context, s set, i image) ([]comparison, error) {
	mounts := []mount{{s.dir, s.at}}
	paths := s.paths()
	var tasks []string
	for _, p := range paths {
		tasks = append(tasks, "dlopen "+p)
	}
	began := time.Now()
	predicted, err := predict(i, mounts, paths)
	if start := (*ld.StartError)(nil); errors.As(err, &start) {
		return o.compareStart(ctx, s, i, mounts, start.Result)
	}
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	began = time.Now()
	real, err := o.ask(ctx, i, mounts, []string{"-I", "-S"}, tasks, s.key)
	if err != nil {
		return nil, err
	}
	all := make([]comparison, len(paths))
	for n := range paths {
		all[n] = comparison{s.name, i.name, paths[n], predicted[n], real[n]}
	}
	say("%s in %s: %d modules, predicted in %v, asked in %v", s.name, i.name, len(paths),
		took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	return all, nil
}

// compareStart is compare where the interpreter itself is predicted not to start: that is the only pair.
func (o oracle) compareStart(ctx context.Context, s set, i image, mounts []mount, predicted ld.Result) ([]comparison, error) {
	if predicted.Message == "" {
		return nil, errors.New("predicted not to start, for no reason")
	}
	c := comparison{s.name, i.name, i.python, predicted, outcome{state: "ok"}}
	if _, err := o.ask(ctx, i, mounts, []string{"-I", "-S"}, []string{"dlopen " + i.python}, s.key); err != nil {
		c.real = outcome{state: "error", message: strings.TrimSpace(err.Error())}
		if strings.Contains(c.real.message, predicted.Message) { // between runc's words and the program's name
			c.real.message = predicted.Message
		}
	}
	return []comparison{c}, ctx.Err()
}

func (w *world) absent() []string {
	var all []string
	for name := range w.missing {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
