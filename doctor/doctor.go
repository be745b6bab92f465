// Package doctor examines a machine: can it run containers with hostrun, and if not, what does a person type. A check is
// data: what was looked at, what was seen, and the command that repairs it. Everything is read from files below a root; what
// only a daemon can say comes from the caller.
package doctor

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/rootfs"
)

// A Verdict says what a check came to.
type Verdict string

const (
	OK     Verdict = "ok"
	Note   Verdict = "note"   // it works, with less than there could be; Repair says how to get the rest, if there is a way
	Broken Verdict = "broken" // containers do not start, or not all of them, before it is repaired
)

// A Check is one thing that was looked at. Its JSON form is part of the contract of `hostrun doctor --format json`.
type Check struct {
	Schema   int     `json:"schema"` // 1
	Group    string  `json:"group"`
	Name     string  `json:"check"`
	Verdict  Verdict `json:"verdict"`
	Evidence string  `json:"evidence"`         // what was seen, and where
	Repair   string  `json:"repair,omitempty"` // what to type, a line each
}

// A Machine is what is examined.
type Machine struct {
	Root      string // "/"; a directory with a machine's files in tests
	UID       int    // of the caller
	Path      string // where OCI runtimes are looked for: the caller's PATH
	Namespace string
	// Directories of hostrun, as paths inside of Root.
	StateDir, DataDir, CacheDir, LibexecDir string

	CDI []finding.Finding // about CDI files: with errors, or out of date

	Facts   host.Facts // with the Python environment and the CUDA toolkit
	Engines []Engine   // the preferred one first

	Version func(binary string) string                  // what a program says of itself; nil: it is not asked
	Free    func(dir string) (bytes uint64, known bool) // room on the file system of dir; nil: unknown
}

// An Engine is one containerd as the caller found it.
type Engine struct {
	Kind     string // "system", "private", "named"
	Address  string
	Standing Standing
	Error    string   // why it is not usable
	Hints    []string // what to type about it
	// Of the private engine.
	Missing string // why it can't be started; "" if it is installed
	EverRan bool   // it has a root on the disk
	// Of the private engine, if it runs.
	PID      int
	Since    time.Time
	Outdated bool // it runs from another file than LibexecDir has now
	// Of a usable one.
	Version, Snapshotter, OCIRuntime string
	Shim                             string   // hostrun's, that keeps containers there; "" for containerd's own
	Containers, HalfMade             []string // names: all of hostrun's, and those whose maker died half-way
	GivenUp                          []string // that run, and that this containerd can't reach any more
}

// Standing is what came of looking at a containerd.
type Standing string

const (
	Usable  Standing = "usable"
	Absent  Standing = "absent"          // no socket, or nobody listens at it
	Denied  Standing = "no permission"   // the socket is another user's
	Hanging Standing = "does not answer" // somebody accepts and stays silent, or is no containerd
)

// Examine returns all checks, in the order of their groups.
func Examine(m Machine) []Check {
	e := examiner{Machine: m, view: rootfs.Dir(m.Root)}
	e.system()
	e.cgroups()
	e.containerd()
	e.ociRuntime()
	e.snapshotter()
	e.python()
	e.cuda()
	e.devices()
	e.directories()
	e.leftovers()
	return e.checks
}

// MustRepair returns those checks that keep containers from starting.
func MustRepair(checks []Check) []Check {
	var broken []Check
	for _, c := range checks {
		if c.Verdict == Broken {
			broken = append(broken, c)
		}
	}
	return broken
}

type examiner struct {
	Machine
	view   *rootfs.View
	group  string
	checks []Check
}

func (e *examiner) add(v Verdict, name, repair, evidence string, args ...any) {
	e.checks = append(e.checks, Check{Schema: 1, Group: e.group, Name: name, Verdict: v, Evidence: fmt.Sprintf(evidence, args...), Repair: repair})
}

func (e *examiner) ok(name, evidence string, args ...any) { e.add(OK, name, "", evidence, args...) }

// smallFile bounds what is read of files that are a few lines on every machine, in bytes.
const smallFile = 1 << 20

// text is the content of a small file, "" when it can't be read.
func (e *examiner) text(path string) string {
	b, err := e.view.ReadFile(path, smallFile)
	if err != nil {
		return ""
	}
	return string(b)
}

func (e *examiner) line(path string) string {
	line, _, _ := strings.Cut(e.text(path), "\n")
	return strings.TrimSpace(line)
}

// executable returns the path of a program in one of the directories, "" if it is in none.
func (e *examiner) executable(name string, dirs ...string) string {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if !filepath.IsAbs(path) {
			continue
		}
		if fi, err := e.view.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// names are those of a directory's entries.
func (e *examiner) names(dir string) []string {
	entries, err := e.view.ReadDir(dir)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names
}
