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
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

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

// A trial is a pair of a set and an image that is there and asked for, and what came of it.
type trial struct {
	set     set
	image   image
	all     []comparison
	imports []importing
	err     error
}

// atOnce bounds the containers that run side by side: each is a single process at a time, with up to a gigabyte of memory.
const atOnce = 4

// compareAll goes through the pairs that are there and asked for. A pair that can't be compared is said and counted.
func (w *world) compareAll(ctx context.Context, o options) (all []comparison, imports []importing, failed int, err error) {
	began := time.Now()
	trials := w.trials(o.only)
	var workers errgroup.Group
	workers.SetLimit(min(runtime.NumCPU(), atOnce))
	for n := range trials {
		workers.Go(func() error {
			if ctx.Err() == nil {
				w.try(ctx, o, &trials[n], fmt.Sprintf("%d of %d: ", n+1, len(trials)))
			}
			return ctx.Err()
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, nil, 0, err
	}
	for _, t := range trials {
		all, imports = append(all, t.all...), append(imports, t.imports...)
		failed += one(t.err != nil)
	}
	say("%d pairs of sets and images in %v", len(trials), time.Since(began).Round(time.Second))
	return all, imports, failed, nil
}

// try compares one pair, and says so.
func (w *world) try(ctx context.Context, o options, t *trial, label string) {
	began := time.Now()
	t.all, t.err = w.answers().compare(ctx, t.set, t.image)
	if t.err == nil && o.imports && t.image.python != "" && t.set.packages() {
		t.imports, t.err = w.answers().importAll(ctx, t.set, t.image)
	}
	if t.err != nil {
		say("%s%s in %s: %v", label, t.set.name, t.image.name, t.err)
		return
	}
	say("%s%s in %s: %d modules, %d imports in %v", label, t.set.name, t.image.name, len(t.all), len(t.imports), time.Since(began).Round(time.Millisecond))
}

// trials are the pairs that match and are on this machine, in the order of the tables.
func (w *world) trials(only *regexp.Regexp) []trial {
	var all []trial
	for _, p := range pairs {
		images := slices.DeleteFunc(slices.Clone(p.images), func(name string) bool { return !only.MatchString(p.set + " " + name) })
		if len(images) == 0 || p.set == largeSet && w.setDir(p.set) == "" {
			continue
		}
		s, ok := w.set(p.set)
		for _, name := range images {
			if i, there := w.image(name); ok && there {
				all = append(all, trial{set: s, image: i})
			}
		}
	}
	return all
}

// compare predicts and asks about all modules of a set in an image.
func (o oracle) compare(ctx context.Context, s set, i image) ([]comparison, error) {
	mounts := []mount{{s.dir, s.at}}
	paths := s.paths()
	var tasks []string
	for _, p := range paths {
		tasks = append(tasks, "dlopen "+p)
	}
	predicted, err := predict(i, mounts, paths)
	if start := (*ld.StartError)(nil); errors.As(err, &start) {
		return o.compareStart(ctx, s, i, mounts, start.Result)
	}
	if err != nil {
		return nil, err
	}
	real, err := o.ask(ctx, i, mounts, []string{"-I", "-S"}, tasks, s.key)
	if err != nil {
		return nil, err
	}
	all := make([]comparison, len(paths))
	for n := range paths {
		all[n] = comparison{s.name, i.name, paths[n], predicted[n], real[n]}
	}
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
