// Package abi says what fits what: it reads the binary interface of a Python interpreter from files alone, with the
// same code for the host and for an image, and compares two of them. Nothing is executed.
package abi

import "fmt"

// A Version is sys.version_info.
type Version struct {
	Major  int    `json:"major"`
	Minor  int    `json:"minor"`
	Micro  int    `json:"micro"`            // -1 when no source tells it
	Level  string `json:"level,omitempty"`  // "alpha", "beta", "candidate" or "final"
	Serial int    `json:"serial,omitempty"` // of a pre-release
}

// String gives the version as platform.python_version does: 3.11.2, 3.14.0rc1; without the micro where it is unknown.
func (v Version) String() string {
	s := fmt.Sprintf("%d.%d", v.Major, v.Minor)
	if v.Micro < 0 {
		return s
	}
	s += fmt.Sprintf(".%d", v.Micro)
	switch v.Level {
	case "alpha":
		s += fmt.Sprintf("a%d", v.Serial)
	case "beta":
		s += fmt.Sprintf("b%d", v.Serial)
	case "candidate":
		s += fmt.Sprintf("rc%d", v.Serial)
	}
	return s
}

// A Python is what one interpreter is and where it keeps its things, read from files. Paths are paths inside the view
// that it was read from.
type Python struct {
	Executable       string            `json:"executable"`                  // as asked for, not resolved
	Real             string            `json:"real"`                        // after all links
	Implementation   string            `json:"implementation"`              // sys.implementation.name: "cpython" or "pypy"
	Version          Version           `json:"version"`                     //
	ABIFlags         string            `json:"abiflags"`                    // sys.abiflags: "", "d", "m", "t", "td" ...
	SOABI            string            `json:"soabi"`                       // sysconfig's SOABI: cpython-311-x86_64-linux-gnu
	ExtSuffix        string            `json:"ext_suffix"`                  // sysconfig's EXT_SUFFIX
	Suffixes         []string          `json:"suffixes"`                    // importlib.machinery.EXTENSION_SUFFIXES, in the importer's order
	Multiarch        string            `json:"multiarch"`                   // sysconfig's MULTIARCH: x86_64-linux-gnu
	Arch             string            `json:"arch"`                        // ELF machine, by uname's name: x86_64, aarch64
	Bits             int               `json:"bits"`                        // 32 or 64
	Libc             string            `json:"libc"`                        // "glibc" or "musl", by the ELF interpreter
	LibcVersion      string            `json:"libc_version"`                // highest GLIBC_x.y that libc.so.6 defines: the symbols' version, not the package's
	LibstdcxxVersion string            `json:"libstdcxx_version,omitempty"` // highest GLIBCXX_x.y.z that libstdc++.so.6 defines, "" without the library
	Libpython        string            `json:"libpython,omitempty"`         // the shared library with the interpreter's code, "" when it is in the executable
	Static           bool              `json:"static,omitempty"`            // linked statically: it can load no native module at all
	Prefix           string            `json:"prefix"`                      // sys.prefix (a venv's own directory)
	BasePrefix       string            `json:"base_prefix"`                 // sys.base_prefix
	Stdlib           string            `json:"stdlib"`                      // directory of os.py
	Dynload          string            `json:"dynload,omitempty"`           // directory of the standard library's native modules
	Debug            bool              `json:"debug"`                       // Py_DEBUG
	TraceRefs        bool              `json:"trace_refs"`                  // Py_TRACE_REFS
	FreeThreaded     bool              `json:"free_threaded"`               // Py_GIL_DISABLED
	Builtins         []string          `json:"builtins,omitempty"`          // sys.builtin_module_names, sorted
	Venv             *Venv             `json:"venv,omitempty"`              //
	Layout           string            `json:"layout"`                      // who laid it out: "upstream", "debian", "conda", "standalone" (python-build-standalone), "pypy"
	SiteDirs         []string          `json:"site_dirs"`                   // purelib, platlib and the distribution's own, in sys.path's order, those that exist; no user site
	SiteDirsDeclared []string          `json:"site_dirs_declared"`          // all that site.py would add if they existed, in its order: SiteDirs is a part of it
	Evidence         map[string]string `json:"evidence,omitempty"`          // field (by its JSON name) -> the file and what in it told
	Conflicts        []Conflict        `json:"conflicts,omitempty"`         // sources that contradict each other
}

// A Venv is what pyvenv.cfg says (PEP 405).
type Venv struct {
	Dir        string `json:"dir"`         // holds pyvenv.cfg
	Home       string `json:"home"`        // directory of the base interpreter
	Version    string `json:"version"`     // as it is written: the version at creation time
	SystemSite bool   `json:"system_site"` // include-system-site-packages
}

// A Conflict is a field for which two sources disagree.
type Conflict struct {
	Field string   `json:"field"`
	Said  []string `json:"said"` // "value, by source", at least two
}
