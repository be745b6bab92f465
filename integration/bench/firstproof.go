package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a first proof may take, and how much memory.
const (
	hotProof    = 200 * time.Millisecond
	coldProof   = time.Second
	provenStart = 5 * time.Millisecond
	proofMemory = 100 << 10 // KiB
	largeTree   = 3 << 30   // bytes of libraries in the tree that is made
)

// An environment is borrowed by profiles whose commands import much of it.
type environment struct {
	name    string // of its profile
	what    string
	python  string
	imports string
}

// environments are one that is made, with as many files and bytes as PyTorch has, and PyTorch itself where `make demo`
// has installed it.
func (w *world) environments() ([]environment, error) {
	dir := filepath.Join(w.dir, "large")
	site, err := makeTree(dir, python, treeFiles)
	if err != nil {
		return nil, err
	}
	if err := enlarge(site, largeTree); err != nil {
		return nil, err
	}
	var names []string
	for i := range treePackages {
		names = append(names, fmt.Sprintf("pack%03d, pack%03d._native0, pack%03d.sub0.module1", i, i, i))
	}
	all := []environment{{"large", fmt.Sprintf("%d files, 400 libraries of 3 GB in all", treeFiles), filepath.Join(dir, "bin/python3"), strings.Join(names, ", ")}}
	demo := os.Getenv("HOSTRUN_CACHE")
	if demo == "" {
		demo = "/var/cache/hostrun-demo"
	}
	found, _ := filepath.Glob(filepath.Join(demo, "venv-3.*/complete"))
	for _, complete := range found {
		python := filepath.Join(filepath.Dir(complete), "bin/python3")
		all = append(all, environment{"torch", "PyTorch and its CUDA wheels: `import torch`", python, "torch"},
			environment{"company", "PyTorch, torchvision, transformers and scikit-learn", python, "torch, torchvision, transformers, sklearn; from transformers import Dinov2Model"})
		break
	}
	if len(found) == 0 {
		say("no PyTorch below %s: make demo installs it", demo)
	}
	return all, nil
}

// enlarge makes the native files below a directory have so many bytes together. What is added are zeros behind their
// end, which no loader looks at.
func enlarge(site string, total int64) error {
	return filepath.WalkDir(site, func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".so") {
			return os.Truncate(p, total/treePackages/treeNative)
		}
		return err
	})
}

// firstProofTable measures proofs with nothing known, and with all known.
func (w *world) firstProofTable(measure measurer) (table, error) {
	environments, err := w.environments()
	if err != nil {
		return table{}, err
	}
	cold := func() error { unix.Sync(); return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) }
	plain := []command{w.hostrun("check", "plain")}
	warm := func() error { _, _, err := plain[0].run(); return err }
	subjects := []subject{{name: "hostrun check", note: "of a profile that borrows nothing", steps: plain, before: warm},
		{name: "hostrun check", note: "the same, cold", steps: plain, before: cold}}
	for _, e := range environments {
		profile := fmt.Sprintf("image: %s\npython: {interpreter: %s}\ncommand: [python3, -c, %q]\n", imageName, e.python, "import "+e.imports)
		if err := os.WriteFile(filepath.Join(w.dir, "profiles", e.name+".yaml"), []byte(profile), 0o644); err != nil {
			return table{}, err
		}
		nothing := strings.Replace(profile, fmt.Sprintf("[python3, -c, %q]", "import "+e.imports), "[\"true\"]", 1)
		if err := os.WriteFile(filepath.Join(w.dir, "profiles", e.name+"-nothing.yaml"), []byte(nothing), 0o644); err != nil {
			return table{}, err
		}
		steps := []command{w.hostrun("check", e.name)}
		// What was cold before is not any more: a proof that is known reads no library, so that the one before the first must be one, too.
		warm := func() error { _, _, err := steps[0].run(); return err }
		least := []command{w.hostrun("check", e.name+"-nothing")}
		subjects = append(subjects, subject{name: "hostrun check", note: e.what + "; proven before", steps: steps, before: warm},
			subject{name: "hostrun check", note: e.what + "; first proof", steps: steps, before: func() error { return errors.Join(w.forgetProofs(), warm(), w.forgetProofs()) }},
			subject{name: "hostrun check", note: e.what + "; first proof, cold", steps: steps, before: func() error {
				if err := w.forgetProofs(); err != nil {
					return err
				}
				return cold()
			}},
			subject{name: "hostrun check", note: e.what + "; a command that imports nothing", steps: least, before: func() error { _, _, err := least[0].run(); return err }})
	}
	results, err := measure(subjects...)
	if err != nil {
		return table{}, err
	}
	t := table{title: "The first proof", results: results, explain: "Cold is with all caches of the kernel dropped before, files' names and containerd's data too. " +
		"The figures are what a first proof takes more than a known one, and cold, more than a profile that borrows nothing takes then. " +
		"Nothing of an earlier proof is left for a first one: hostrun keeps nothing of single files between proofs, so that another profile on the same environment takes as long."}
	for i, e := range environments {
		known, hot, chilled, nothing := results[2+4*i], results[3+4*i], results[4+4*i], results[5+4*i]
		t.limit(e.what+": first proof", hot.total.median()-known.total.median(), hotProof)
		t.limit(e.what+": first proof, cold", chilled.total.median()-results[1].total.median(), coldProof)
		t.limit(e.what+": proven before, more than a command that imports nothing", known.total.median()-nothing.total.median(), provenStart)
		kib := max(hot.kib, chilled.kib)
		t.verdict = append(t.verdict, verdict{e.what + ": memory", fmt.Sprintf("%d MiB", kib>>10), fmt.Sprintf("at most %d MiB", proofMemory>>10), kib <= proofMemory})
	}
	return t, nil
}

// forgetProofs removes what is known of proofs, and leaves what is known of images and interpreters.
func (w *world) forgetProofs() error {
	for _, pattern := range []string{"proof-*", "last-*"} {
		found, err := filepath.Glob(filepath.Join(w.cache, pattern))
		if err != nil {
			return err
		}
		for _, file := range found {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// millionFiles are far more than any environment has.
const millionFiles = 1_000_000

// millionTable measures the first proof over a site directory with a million files. There is no target: it is to end, in a
// time and with a memory that can be told.
func (w *world) millionTable(measure measurer) (table, error) {
	dir := filepath.Join(w.dir, "million")
	site, err := makeTree(dir, python, treePackages*(treeNative+5))
	if err != nil {
		return table{}, err
	}
	for i := range millionFiles / 100 {
		at := filepath.Join(site, fmt.Sprintf("pack%03d/data%d/part%d", i%treePackages, i/treePackages%10, i))
		if err := os.MkdirAll(at, 0o755); err != nil {
			return table{}, err
		}
		for k := range 100 {
			f, err := os.Create(filepath.Join(at, fmt.Sprintf("file%02d", k)))
			if err != nil {
				return table{}, err
			}
			if err := f.Close(); err != nil {
				return table{}, err
			}
		}
	}
	profile := fmt.Sprintf("image: %s\npython: {interpreter: %s}\ncommand: [python3, -c, import pack000]\n", imageName, filepath.Join(dir, "bin/python3"))
	if err := os.WriteFile(filepath.Join(w.dir, "profiles/million.yaml"), []byte(profile), 0o644); err != nil {
		return table{}, err
	}
	steps := []command{w.hostrun("check", "million")}
	results, err := measure(subject{name: "hostrun check", note: "proven before", steps: steps}, subject{name: "hostrun check", note: "first proof", steps: steps, before: w.forgetProofs})
	if err != nil {
		return table{}, err
	}
	t := table{title: "A million files", results: results, explain: fmt.Sprintf("A site directory with %d files in 11,000 directories.", millionFiles)}
	kib := results[1].kib
	t.verdict = []verdict{{"memory of a first proof", fmt.Sprintf("%d MiB", kib>>10), fmt.Sprintf("at most %d MiB", proofMemory>>10), kib <= proofMemory}}
	return t, nil
}
