package main

import (
	"debug/elf"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/rootfs"
)

// mounted is the image's root with what is mounted into it.
func mounted(i image, mounts []mount) (*rootfs.View, error) {
	var all []rootfs.Mount
	for _, m := range slices.Concat(i.mounts, mounts) {
		all = append(all, rootfs.Mount{Source: m.source, Destination: m.at})
	}
	return rootfs.Mounted(rootfs.Dir(i.root), all...)
}

// start predicts the start of the image's interpreter, or of the probe where it has none.
func start(view *rootfs.View, i image) (*ld.Process, error) {
	program := i.python
	if program == "" {
		program = "/usr/bin/dlprobe"
	}
	loader, err := interpreter(view, program)
	if err != nil {
		return nil, err
	}
	system, err := ld.NewSystem(view, loader, loaderOptions(i.env))
	if err != nil {
		return nil, err
	}
	return system.Start(program)
}

func loaderOptions(env []string) ld.Options {
	o := ld.Options{ISALevel: isaLevel()}
	for _, e := range env {
		if dirs, ok := strings.CutPrefix(e, "LD_LIBRARY_PATH="); ok {
			o.LibraryPath = strings.Split(dirs, ":")
		}
		if objects, ok := strings.CutPrefix(e, "LD_PRELOAD="); ok {
			o.Preload = strings.Fields(objects)
		}
	}
	return o
}

// predict says of each path what dlopen would say in the image with the mounts.
func predict(i image, mounts []mount, paths []string) ([]ld.Result, error) {
	view, err := mounted(i, mounts)
	if err != nil {
		return nil, err
	}
	process, err := start(view, i)
	if err != nil {
		return nil, err
	}
	all := make([]ld.Result, len(paths))
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for n, p := range paths {
		workers.Go(func() error {
			all[n] = process.Open(p)
			return nil
		})
	}
	return all, workers.Wait()
}

// interpreter reads PT_INTERP.
func interpreter(view *rootfs.View, program string) (string, error) {
	f, err := view.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil {
		return "", err
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, p.Filesz)
			_, err := p.ReadAt(b, 0)
			return path.Clean(strings.TrimRight(string(b), "\x00")), err
		}
	}
	return "", ld.ErrNotDynamic
}

// isaLevels are the flags of /proc/cpuinfo that the levels of the x86-64 psABI above the first ask for ("Processor
// Architecture", table 3.1); those that every processor of a level shares with another flag of it are left out.
var isaLevels = [][]string{
	{"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
	{"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
	{"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}

// isaLevel returns the level of this machine's processor, 1 to 4.
func isaLevel() int {
	b, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(b), "\nflags")
	line, _, _ := strings.Cut(rest, "\n")
	flags := strings.Fields(line)
	level := 1
	for _, wanted := range isaLevels {
		if slices.ContainsFunc(wanted, func(f string) bool { return !slices.Contains(flags, f) }) {
			break
		}
		level++
	}
	return level
}
