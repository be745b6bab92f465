package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/pattern"
)

//go:embed probe.py
var probe []byte

// An outcome is what happened to one task.
type outcome struct {
	state   string // "ok", "error", "signal", "exit" or "init": see probe.py
	message string
	// Of an import that failed: FILE:LINE of what Python it came through, outermost first, and the library that the loader
	// had initialised last.
	frames  []string
	library string
}

func (o outcome) String() string {
	if o.state == "signal" {
		return "killed by signal " + o.message
	}
	return strings.TrimSpace(o.state + " " + o.message)
}

// names tells whether the failure is that a module was not found, or a name in it, and that the module is this one, or one
// of its packages or submodules.
func (o outcome) names(module string) bool {
	for _, m := range notFound.FindAllStringSubmatch(o.message, -1) {
		name := m[1] + m[2]
		if strings.HasPrefix(name+".", module+".") || strings.HasPrefix(module+".", name+".") {
			return true
		}
	}
	return false
}

// through tells whether the failure came through a line of Python.
func (o outcome) through(at imports.At) bool {
	return at.Line > 0 && slices.Contains(o.frames, fmt.Sprintf("%s:%d", at.File, at.Line))
}

// mentions tells whether the message speaks of a package.
func (o outcome) mentions(name string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(o.message, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }),
		func(word string) bool { return strings.EqualFold(word, name) })
}

var notFound = pattern.New(`No module named '([^']+)'|cannot import name '[^']+' from '([^']+)'`)

// An oracle asks reality: it runs containers with runc and keeps what they said.
type oracle struct {
	cache string // directory of answers
	limit time.Duration
}

// ask really carries out the tasks (see probe.py) in a container of the image, with the mounts; options are the
// interpreter's, sites the directories to add, and key changes with what is mounted.
func (o oracle) ask(ctx context.Context, i image, mounts []mount, options, tasks []string, key string, sites ...string) ([]outcome, error) {
	at := filepath.Join(o.cache, digest(append(tasks, i.key, key, digest(string(probe)), strings.Join(slices.Concat(options, sites), " "))...)+".tsv")
	if b, err := os.ReadFile(at); err == nil {
		return parseOutcomes(b, len(tasks))
	}
	b, err := o.run(ctx, i, mounts, probeCommand(i, options, sites), tasks)
	if err != nil {
		return nil, err
	}
	all, err := parseOutcomes(b, len(tasks))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return nil, err
	}
	mine := fmt.Sprintf("%s.%d", at, os.Getpid()) // another run may ask the same at the same time
	if err := os.WriteFile(mine, b, 0o644); err != nil {
		return nil, err
	}
	return all, os.Rename(mine, at)
}

// parseOutcomes reads the probe's output; an answer that is missing is an error, for the probe itself has died then.
func parseOutcomes(b []byte, count int) ([]outcome, error) {
	all := make([]outcome, count)
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		number, rest, _ := strings.Cut(lines.Text(), "\t")
		state, message, _ := strings.Cut(rest, "\t")
		message, where, _ := strings.Cut(message, "\t")
		frames, library, _ := strings.Cut(where, "\t")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= count {
			return nil, fmt.Errorf("the probe said %.200q", lines.Text())
		}
		all[n] = outcome{state: state, message: message, library: library}
		if frames != "" {
			all[n].frames = strings.Split(frames, "|")
		}
	}
	for n := range all {
		if all[n].state == "" {
			return nil, fmt.Errorf("the probe gave no answer to task %d of %d", n, count)
		}
	}
	return all, nil
}

// run starts one container and returns what the probe printed.
func (o oracle) run(ctx context.Context, i image, mounts []mount, command, tasks []string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "hostrun-truth-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	work := filepath.Join(dir, "probe")
	if err := os.Mkdir(work, 0o755); err != nil {
		return nil, err
	}
	spec := bundle(i, append(slices.Clone(mounts), mount{work, "/opt/probe"}), command)
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"config.json": raw, "probe/probe.py": probe, "probe/tasks": []byte(strings.Join(tasks, "\n") + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return nil, err
		}
	}
	return o.runc(ctx, dir)
}

func (o oracle) runc(ctx context.Context, bundle string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	id := filepath.Base(bundle)
	state := filepath.Join(bundle, "state")
	cmd := exec.CommandContext(ctx, "runc", "--root", state, "run", "--bundle", bundle, id)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, 5*time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		_ = exec.Command("runc", "--root", state, "delete", "--force", id).Run()
	}
	if err != nil {
		return nil, fmt.Errorf("runc run %s: %w: %.2000s", id, err, debugLine.ReplaceAllString(stderr.String(), ""))
	}
	return stdout.Bytes(), nil
}

var debugLine = pattern.New(`(?m)^ *\d+:\t.*\n`) // made by LD_DEBUG

// bundle is the smallest container that imports as hostrun's do: a root that nothing can write to, proc, dev, and the
// packages mounted read-only.
func bundle(i image, mounts []mount, command []string) specs.Spec {
	s := specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: i.root, Readonly: true},
		Process: &specs.Process{
			Cwd:  "/",
			Env:  append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1", "PYTHONNOUSERSITE=1", "HOME=/tmp", "LD_DEBUG=files", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"}, i.env...),
			Args: command,
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=755"}},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=1777"}},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
		}},
	}
	for _, m := range slices.Concat(mounts, i.mounts) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: m.at, Type: "bind", Source: m.source, Options: []string{"rbind", "ro"}})
	}
	return s
}

// compiledAt is where interpreters keep what they compiled, in the container's own memory: of the tasks of one container
// only the first that imports a module compiles it. Files there are taken for a source of the same time and size only
// (PEP 552), and nothing in a container can change a source.
const compiledAt = "/tmp/compiled"

func probeCommand(i image, options, sites []string) []string {
	if i.python == "" {
		return []string{"/usr/bin/dlprobe", "/opt/probe/tasks"}
	}
	args := append([]string{i.python}, options...)
	args = append(args, "-X", "pycache_prefix="+compiledAt, "/opt/probe/probe.py", "/opt/probe/tasks")
	return append(args, sites...)
}
