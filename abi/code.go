package abi

import (
	"bytes"
	"regexp"
	"sort"
	"strings"
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
	var version, runtime uint64
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
		c.builtins = builtinNames(modules)
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

// builtinNames adds those without a symbol; python-build-standalone's own test modules are no part of
// sys.builtin_module_names elsewhere and stay out.
func builtinNames(modules map[string]bool) []string {
	delete(modules, "imp") // PyInit_imp is _imp's, before 3.7
	for _, m := range alwaysBuiltin {
		modules[m] = true
	}
	var names []string
	for m := range modules {
		names = append(names, m)
	}
	sort.Strings(names)
	return names
}

// scan calls visit with the bytes of each segment that may hold constants: all but those that are larger than
// maxSegmentScan.
func (o *object) scan(visit func(b []byte) bool) {
	for _, s := range o.segments {
		b, err := o.read(s.offset, s.filesz, maxSegmentScan)
		if err == nil && !visit(b) {
			return
		}
	}
}

// hasConstant reports whether the string s stands, ended by NUL on both sides, in a segment.
func (o *object) hasConstant(s string) bool {
	found := false
	o.scan(func(b []byte) bool {
		found = bytes.Contains(b, []byte("\x00"+s+"\x00"))
		return !found
	})
	return found
}

// suffixTable returns the strings of _PyImport_DynLoadFiletab (Python/dynload_shlib.c): the suffixes of native modules
// that the interpreter itself tries. A debug build lists its own first, then the release one's (ALT_SOABI).
func suffixTable(o *object) []string {
	var tagged []string
	stable, plain := "", false
	o.scan(func(b []byte) bool {
		for rest := b; ; {
			i := bytes.Index(rest, []byte(".so\x00"))
			if i < 0 {
				return true
			}
			start := bytes.LastIndexByte(rest[:i], 0) + 1
			switch s := string(rest[start : i+3]); {
			case s == ".so":
				plain = true
			case s == ".abi3.so" || s == ".abi3t.so":
				stable = s
			case taggedSuffix.MatchString(s) && !contains(tagged, s):
				tagged = append(tagged, s)
			}
			rest = rest[i+3:]
		}
	})
	if len(tagged) == 0 {
		return nil
	}
	sort.SliceStable(tagged, func(i, j int) bool { return debugSuffix(tagged[i]) && !debugSuffix(tagged[j]) })
	if stable != "" {
		tagged = append(tagged, stable)
	}
	if plain {
		tagged = append(tagged, ".so")
	}
	return tagged
}

var (
	taggedSuffix = regexp.MustCompile(`^\.(cpython-3\d+[a-z]*|pypy3\d+-pp\d+)(-[A-Za-z0-9_.-]+)?\.so$`)
	soabiText    = regexp.MustCompile(`^cpython-(3)(\d+)([a-z]*)(?:-(.+))?$`)
)

func debugSuffix(s string) bool {
	flags, _, _ := strings.Cut(strings.TrimLeft(strings.TrimPrefix(s, ".cpython-"), "0123456789"), "-")
	return strings.Contains(flags, "d")
}

// versionString finds PY_VERSION among the constants (Include/patchlevel.h): the exact version of an interpreter before
// 3.11, which has no symbol for it. Two different ones tell nothing.
func versionString(o *object, v Version) (Version, bool) {
	prefix := []byte("\x00" + Version{Major: v.Major, Minor: v.Minor, Micro: -1}.String() + ".")
	var found []Version
	o.scan(func(b []byte) bool {
		for rest := b; ; {
			i := bytes.Index(rest, prefix)
			if i < 0 {
				return true
			}
			rest = rest[i+1:]
			text := cString(rest[:min(len(rest), 24)])
			if got, ok := parseVersion(text); ok && exactVersion.MatchString(text) && !containsVersion(found, got) {
				found = append(found, got)
			}
		}
	})
	if len(found) != 1 {
		return Version{}, false
	}
	return found[0], true
}

var exactVersion = regexp.MustCompile(`^3\.\d+\.\d+((a|b|rc)\d+)?\+?$`)

func containsVersion(all []Version, v Version) bool {
	for _, have := range all {
		if have == v {
			return true
		}
	}
	return false
}

func contains(all []string, s string) bool {
	for _, have := range all {
		if have == s {
			return true
		}
	}
	return false
}
