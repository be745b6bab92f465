// Package imports says from files alone which modules a Python command would import, from where, and which it would
// not find: it reads the import statements of each module in the order of their execution, and looks the names up as the
// interpreter's finders do. No Python runs. What files can't tell (computed names, what native code imports) is listed as
// not checked and never claimed.
package imports

import (
	"hostrun.dev/hostrun/abi"
)

// A Request is a command, and the interpreter that runs it.
type Request struct {
	Python     abi.Python
	Path       []string          // sys.path after site, without the command's own entry; nil: SysPath of the view and Env
	Command    []string          // as the container's process gets it; empty: Packages alone
	WorkingDir string            // "" is /
	Packages   []string          // names of distributions or modules that are imported on their own, after the command
	Env        map[string]string // of the process: PATH, PYTHONPATH, PYTHONSAFEPATH ...
	HostDirs   []string          // directories of the view that are the host's: what lies below them has the side "host"
	// Deep follows the imports of functions too, to their end. Without it they are looked up, and what they would import
	// in turn is left out.
	Deep bool
	// Broken are native modules that the loader refuses: path in the view -> its message. Their import raises ImportError.
	Broken map[string]string
	// Known are files that scans before this one have parsed, and is told of those that this one parses; nil for none.
	Known *Known
	// Native is told of native modules that may be imported, by as many goroutines as read ahead; nil for nobody.
	Native func(file string)
}

// Reach says how certain it is that an import statement runs.
type Reach string

const (
	Required  Reach = "required"  // runs whenever the command starts, and nothing catches its failure
	Attempted Reach = "attempted" // runs, and something catches its failure (try ... except ImportError)
	Possible  Reach = "possible"  // below a condition that files do not decide
	Deferred  Reach = "deferred"  // in a function: runs when it is called
)

// Kind says what a module is made of.
type Kind string

const (
	Source    Kind = "source"    // .py
	Bytecode  Kind = "bytecode"  // .pyc without its source
	Extension Kind = "extension" // native
	Builtin   Kind = "builtin"   // in the interpreter
	Frozen    Kind = "frozen"    // in the interpreter, as bytecode
	Namespace Kind = "namespace" // a package without __init__ (PEP 420)
	Zip       Kind = "zip"       // in a zip archive on sys.path
)

// A Module is one that the command reaches and that is there.
type Module struct {
	Name  string `json:"name"`
	File  string `json:"file,omitempty"` // path in the view; the first directory of a namespace package; "" for what is in the interpreter
	Kind  Kind   `json:"kind"`
	Reach Reach  `json:"reach"`
	Side  string `json:"side"`            // "image" or "host"
	By    At     `json:"by,omitzero"`     // the statement that reaches it first; zero for what the command names
	Fails bool   `json:"fails,omitempty"` // its own code is known to raise
	Order int    `json:"order"`           // of its first import, from 0
	Entry string `json:"entry,omitempty"` // directory of sys.path (or of its package) that it was found in
}

// An At is a place in a source file.
type At struct {
	Module string `json:"module"`
	File   string `json:"file"`
	Line   int    `json:"line"`
}

// A Missing is an import that fails.
type Missing struct {
	Name    string `json:"name"`             // the module that is not found
	Message string `json:"message"`          // what Python prints after the exception's name: No module named 'x'
	Error   string `json:"error"`            // the exception's name: ModuleNotFoundError; "" where no exception is printed
	Reach   Reach  `json:"reach"`            // Required: the command ends with it, if it comes that far
	Stdlib  bool   `json:"stdlib"`           // a module of the standard library, which the image lacks
	Raised  bool   `json:"raised,omitempty"` // not Required, and ends the command all the same: what catches it raises another exception
	At      At     `json:"at,omitzero"`
	Chain   []At   `json:"chain,omitempty"` // how the command comes there: its own statement first, At last
	File    string `json:"file,omitempty"`  // of Request.Broken: the native module that is there and does not load

	level level
	root  int // of the report's programs
	order int // of the moment when it became as certain as it is
}

// A Shadowed module is found in one place and lies in another one too.
type Shadowed struct {
	Name   string   `json:"name"`
	File   string   `json:"file"`   // what is imported
	Hidden []string `json:"hidden"` // what would be, were the first not there
	Local  bool     `json:"local"`  // the first lies in the command's own directory
	Stdlib bool     `json:"stdlib"` // the standard library's is hidden
}

// A NotChecked is what could import more, and files do not say what.
type NotChecked struct {
	What  string `json:"what"` // "dynamic", "native", "exec", "hook", "bytecode", "pth", "command", "syntax", "zip", "mixed", "raise", "call", "standin", "namespace", "name", "deferred"
	Name  string `json:"name"` // the module concerned
	At    At     `json:"at,omitzero"`
	Why   string `json:"why"` // one sentence
	Reach Reach  `json:"reach"`
	// Absent: there is no such module in the files. The statement fails, unless what is named gives it a place.
	Absent bool `json:"absent,omitempty"`
}

// Counts are those of Report.
type Counts struct {
	Modules, Required, Attempted, Possible, Deferred int
	Files                                            int   // read
	Bytes                                            int64 // of them
}

// A Report is what a command imports. It is ordered by execution.
type Report struct {
	Path       []string     `json:"path"` // sys.path with the command's own entry
	Roots      []Root       `json:"roots"`
	Modules    []Module     `json:"modules"`
	Missing    []Missing    `json:"missing,omitempty"` // those that end the command first; by execution
	Shadowed   []Shadowed   `json:"shadowed,omitempty"`
	NotChecked []NotChecked `json:"not_checked,omitempty"`
	Lost       []Lost       `json:"lost,omitempty"`
	Duplicates []Duplicate  `json:"duplicates,omitempty"`
	Autoloads  []Autoload   `json:"autoloads,omitempty"`
	Blocking   []string     `json:"blocking,omitempty"`   // .pth files that are pipes: Python waits for them at its start
	Lacking    *Lacking     `json:"lacking,omitempty"`    // the program that the command names is nowhere on PATH
	TorchCUDA  string       `json:"torch_cuda,omitempty"` // of torch/version.py, where torch is reached: "none" for a build without
	Counts     Counts       `json:"counts"`
	Watch      []string     `json:"-"` // files and directories that were read, sorted: the report holds as long as none of them changes
	// Real are those of Watch of which it is known where they lie on this machine, and that they were no links.
	Real map[string]string `json:"-"`
}

// A Candidate is one place where a module is found.
type Candidate struct {
	Entry string `json:"entry"` // of sys.path, or of the package's __path__; "" for what is in the interpreter
	File  string `json:"file,omitempty"`
	Kind  Kind   `json:"kind"`
	Side  string `json:"side"`
}

// First returns the failure that ends the command, nil if files show none. Those behind it come to light when it is
// mended.
func (r Report) First() *Missing {
	if len(r.Missing) > 0 && r.Missing[0].fatal() {
		return &r.Missing[0]
	}
	return nil
}

// Fatal says that the command ends with it, if it comes that far.
func (m Missing) Fatal() bool { return m.fatal() }

// fatal says that the command ends with it.
func (m Missing) fatal() bool { return m.Reach == Required || m.Raised }
