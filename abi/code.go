package abi

import (
	"bytes"
	"maps"
	"slices"
	"sort"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// code is what the ELF object with the interpreter's code tells (libpython, or the executable).
type code struct {
	path         string // where it was read
	python       bool   // it exports the C API, or PyPy's entry point
	pypy         bool
	version      Version // Major 0: not told
	versionFrom  string
	versions     []Version // every exact source, to be compared
	builtins     []string
	builtinsFrom string
	debug        bool
	traceRefs    bool
	symbols      bool // there were symbols to tell debug and traceRefs by
	freeThreaded *bool
}

// alwaysBuiltin are modules that are compiled in without a PyInit function of their name (Modules/config.c.in).
var alwaysBuiltin = []string{"_imp", "_warnings", "builtins", "marshal", "sys"}

// readCode visits the dynamic symbols of o once.
func readCode(o *object, at string) (code, error) {
	c := code{path: at}
	modules := map[string]bool{}
	var version, runtime, inittab, inittabPointer uint64
	err := o.eachSymbol(func(name []byte, s symbol) {
		if m, ok := bytes.CutPrefix(name, []byte("PyInit_")); ok {
			modules[string(m)] = true
			return
		}
		switch string(name) {
		case "Py_Initialize", "Py_BytesMain", "Py_Main":
			c.python, c.symbols = true, true
		case "pypy_main_startup", "pypy_execute_source", "rpython_startup_code":
			c.python, c.pypy = true, true
		case "Py_Version":
			version = s.value
		case "_PyRuntime":
			runtime = s.value
		case "_PyImport_Inittab":
			inittab = s.value
		case "PyImport_Inittab":
			inittabPointer = s.value
		case "_Py_RefTotal", "_Py_NegativeRefcount", "_Py_GetGlobalRefTotal", "_Py_GetRefTotal":
			c.debug = true
		case "PyModule_Create2TraceRefs":
			c.traceRefs = true
		}
	})
	if err != nil {
		return c, err
	}
	c.readVersion(o, version)
	c.readRuntime(o, runtime)
	if c.python && !c.pypy {
		if inittab == 0 && inittabPointer != 0 {
			inittab = o.pointers(inittabPointer, 1)[0]
		}
		c.readBuiltins(o, inittab, modules)
	}
	return c, nil
}

// readVersion reads `const unsigned long Py_Version` (since 3.11, Include/pylifecycle.h).
func (c *code) readVersion(o *object, at uint64) {
	b, err := o.readAddress(at, uint64(o.wordSize()), 8)
	if at == 0 || err != nil {
		return
	}
	if v, ok := hexVersion(uint32(o.word(b))); ok {
		c.tell(v, "symbol Py_Version of "+c.path)
	}
}

// readRuntime reads the debug offsets that _PyRuntime begins with since 3.13 (Include/internal/pycore_debug_offsets.h):
// the cookie "xdebugpy", the version, and whether there is no GIL; 8 bytes each.
func (c *code) readRuntime(o *object, at uint64) {
	b, err := o.readAddress(at, 24, 24)
	if at == 0 || err != nil || string(b[:8]) != "xdebugpy" {
		return
	}
	if v, ok := hexVersion(uint32(o.order.Uint64(b[8:]))); ok {
		c.tell(v, "_PyRuntime of "+c.path)
	}
	free := o.order.Uint64(b[16:]) != 0
	c.freeThreaded = &free
}

func (c *code) tell(v Version, from string) {
	if c.version.Major == 0 {
		c.version, c.versionFrom = v, from
	}
	c.versions = append(c.versions, v)
}

// maxBuiltins bounds the table of compiled-in modules; ordinary builds have 30 to 60, standalone ones 120.
const maxBuiltins = 1024

// readBuiltins reads PyImport_Inittab, the table of compiled-in modules (Modules/config.c, struct _inittab: name and
// function), from which sys.builtin_module_names is made. Without it the PyInit symbols tell nearly the same.
func (c *code) readBuiltins(o *object, at uint64, modules map[string]bool) {
	words := o.pointers(at, 2*maxBuiltins)
	for i := 0; at != 0 && i < len(words); i += 2 {
		name := o.stringAt(words[i])
		if words[i] == 0 && i > 0 {
			c.builtinsFrom = "PyImport_Inittab of " + c.path
			sort.Strings(c.builtins)
			return
		}
		if name == "" {
			break
		}
		c.builtins = append(c.builtins, name)
	}
	c.builtins, c.builtinsFrom = builtinNames(modules), "PyInit symbols of "+c.path
}

// builtinNames adds those without a symbol to the modules that have one.
func builtinNames(modules map[string]bool) []string {
	delete(modules, "imp") // PyInit_imp is _imp's, before 3.7
	for _, m := range alwaysBuiltin {
		modules[m] = true
	}
	return slices.Sorted(maps.Keys(modules))
}

// versionString finds PY_VERSION among the constants (Include/patchlevel.h): the exact version of an interpreter before
// 3.11, which has no symbol for it. Two different ones tell nothing.
func versionString(o *object, v Version) (Version, bool) {
	prefix := Version{Major: v.Major, Minor: v.Minor, Micro: -1}.String() + "."
	var found []Version
	for _, s := range o.constantSegments() {
		o.scan(s, func(b []byte, _ uint64) bool {
			each(b, prefix, func(at int) bool {
				text, _, _ := strings.Cut(cString(b[at:min(len(b), at+24)]), " (") // PyPy's goes on with its own version
				got, ok := parseVersion(text)
				if ok && at > 0 && b[at-1] == 0 && exactVersion.MatchString(text) && !slices.Contains(found, got) {
					found = append(found, got)
				}
				return true
			})
			return true
		})
		if len(found) > 0 {
			break
		}
	}
	if len(found) != 1 {
		return Version{}, false
	}
	return found[0], true
}

var exactVersion = pattern.New(`^3\.\d+\.\d+((a|b|rc)\d+)?\+?$`)
