// Package ld predicts what glibc's dynamic loader does with the files of a tree: which libraries a program or a
// dlopen takes, from where, and the very text of the error when one of them can't be had. Nothing is loaded or
// executed: only headers, dynamic sections, version tables and hash tables are read. The rules are those of elf/ in
// glibc (dl-load.c, dl-cache.c, dl-deps.c, dl-version.c, dl-lookup.c, dl-reloc.c); musl's are known as far as
// refusing glibc's files rightly.
package ld

import (
	"errors"

	"hostrun.dev/hostrun/rootfs"
)

// A Verdict says what the loader does with an object.
type Verdict string

const (
	OK        Verdict = "ok"
	Missing   Verdict = "missing"   // a file or library can't be found or opened
	Version   Verdict = "version"   // a library lacks a symbol version that is asked of it
	Undefined Verdict = "undefined" // no object in scope defines a symbol
	Arch      Verdict = "arch"      // made for another machine or word size
	Corrupt   Verdict = "corrupt"   // not an ELF file, or a damaged one; Result.Killed tells whether the process dies
	Gate      Verdict = "gate"      // whole, and refused: executable stack, static TLS, processor level, a program
)

// How names the rule by which an object was found.
type How string

const (
	ByPath        How = "path" // the name held a slash
	ByRPath       How = "DT_RPATH"
	ByLibraryPath How = "LD_LIBRARY_PATH"
	ByRunPath     How = "DT_RUNPATH"
	ByCache       How = "ld.so.cache"
	ByDefault     How = "default directory"
	ByPreload     How = "LD_PRELOAD"
	ByLoader      How = "program interpreter"
	ByProcess     How = "already loaded"
)

// Options describe the process whose loader is simulated. The zero value is a plain glibc process without LD_*
// variables on a machine of the lowest level.
type Options struct {
	// LibraryPath is LD_LIBRARY_PATH: its directories as written; an empty one is the working directory.
	LibraryPath []string
	// Preload is LD_PRELOAD. /etc/ld.so.preload is read from the tree.
	Preload []string
	// WorkingDirectory is that of the process, for relative names. "" means "/".
	WorkingDirectory string
	// ISALevel is the x86-64 micro-architecture level of the processor, 1 to 4. It selects glibc-hwcaps directories, and
	// gates objects whose GNU property asks for more. 0: not known; no such directory is taken, and nothing is gated.
	ISALevel int
	// HWCaps are the names of the glibc-hwcaps subdirectories, best first. Nil: derived from ISALevel on x86-64,
	// none elsewhere.
	HWCaps []string
	// LoaderCache, where not nil, stands for /etc/ld.so.cache of the tree.
	LoaderCache []byte
}

// A System is one file tree with its loader's habits: interpreter, default directories, ld.so.cache, glibc's version.
// It remembers the objects that it has read, so the tree must not change while it is used. It is safe for concurrent use.
type System struct {
	view    *rootfs.View
	options Options
	habits  habits
	store   store
}

// An Object is one file of a closure.
type Object struct {
	Name   string // by which it was asked for first: a path or a DT_NEEDED name
	Path   string // as opened: directory of the search path and name, links not resolved
	Real   string // inside the view, links resolved
	Soname string // DT_SONAME, "" when it has none
	How    How
	By     string // Path of the object that needs it, "" for the first
}

// A Result is the prediction for one dlopen.
type Result struct {
	Verdict Verdict
	// Message is the text of dlerror(3), "" with OK. Where the process dies instead, it says by what.
	Message string
	// Killed is true when the loader does not report but dies: SIGBUS on a truncated file, a failed assertion.
	Killed bool
	// Object is the path of the object that fails: the library that is damaged, lacks the version, or refers to the
	// undefined symbol; with Missing the one whose DT_NEEDED can't be found, "" if the opened file itself is missing.
	Object string
	Needed string // Missing, Arch: the name that was looked for
	// RequiredBy is the object that asks for Version in Object.
	RequiredBy string
	Symbol     string // Undefined
	Version    string // Version; Undefined where the symbol has one
	// Loaded are the objects that this dlopen adds to the process, breadth first, the opened one first; as far as
	// it came. Objects that the process has already are not among them.
	Loaded []Object
}

// ErrNotDynamic is wrapped by Start's error for programs that have no program interpreter.
var ErrNotDynamic = errors.New("not a dynamically linked program")

// A StartError says why a program can't be started.
type StartError struct{ Result Result }

func (e *StartError) Error() string {
	return "error while loading shared libraries: " + e.Result.Message
}

// NewSystem reads the habits of the loader interpreter (PT_INTERP of the program: a path inside the view).
// The error says that there is no such file or that it is no loader.
func NewSystem(view *rootfs.View, interpreter string, o Options) (*System, error) {
	s := &System{view: view, options: o}
	return s, s.readHabits(interpreter)
}
