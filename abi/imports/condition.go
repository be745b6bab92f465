package imports

import (
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi"
)

// A tri is what is known of a condition.
type tri uint8

const (
	unknown tri = iota
	no
	yes
)

func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

func (t tri) not() tri {
	switch t {
	case yes:
		return no
	case no:
		return yes
	}
	return unknown
}

// Facts of the process that conditions at the top of modules ask for.
type facts struct {
	version abi.Version
	named   map[string]any // value of a dotted name
	local   *constants     // what the module bound itself; it goes first
	main    bool           // the module is __main__
}

// names for the values of a Linux container (docs of sys, os and platform).
func newFacts(py abi.Python) facts {
	v := py.Version
	implementation := map[string]string{"pypy": "PyPy"}[py.Implementation]
	if implementation == "" {
		implementation = "CPython"
	}
	level := v.Level
	if level == "" {
		level = "final"
	}
	info := []any{v.Major, v.Minor, v.Micro, level, v.Serial}
	named := map[string]any{
		"sys.version_info": info, "version_info": info, "sys.version": v.String() + " ",
		"sys.version_info.major": v.Major, "sys.version_info.minor": v.Minor,
		"sys.platform": "linux", "os.name": "posix", "sys.implementation.name": py.Implementation,
		"platform.system()": "Linux", "platform.python_implementation()": implementation, "platform.machine()": py.Arch,
		"TYPE_CHECKING": false, "MYPY": false, "MYPY_CHECK_RUNNING": false, "__debug__": true,
		"True": true, "False": false, "None": nil, "PY2": false, "PY3": true, "sys.byteorder": "little",
	}
	if v.Micro < 0 { // not among the files' facts: nothing that asks for it is decided
		delete(named, "sys.version")
		info[2], info[3], info[4] = undecided{}, undecided{}, undecided{}
	}
	named["sys.version_info.micro"] = info[2]
	for _, name := range []string{"typing.TYPE_CHECKING", "t.TYPE_CHECKING", "_t.TYPE_CHECKING", "six.PY2", "six.PY3"} {
		named[name] = named[name[strings.LastIndexByte(name, '.')+1:]]
	}
	return facts{version: v, named: named}
}

// elsewhere is the value of __name__ in a module that is not __main__.
const elsewhere = "\x00module"

// undecided is the value of what files do not tell.
type undecided struct{}

// decide evaluates the condition of an if statement, without its colon.
func (f facts) decide(toks []token) tri {
	r := reader{facts: f, toks: toks}
	t := truth(r.or())
	if r.at != len(toks) {
		return unknown
	}
	return t
}

// with gives the facts the names of a module.
func (f facts) with(local *constants) facts {
	f.local = local
	return f
}

// evaluate returns the value of an expression, undecided where files do not tell.
func (f facts) evaluate(toks []token) any {
	r := reader{facts: f, toks: toks}
	v := r.or()
	if r.at != len(toks) || v == elsewhere {
		return undecided{}
	}
	return v
}

func truth(v any) tri {
	switch v := v.(type) {
	case undecided:
		return unknown
	case nil:
		return no
	case bool:
		return triOf(v)
	case int:
		return triOf(v != 0)
	case string:
		return triOf(v != "")
	case []any:
		return triOf(len(v) > 0)
	}
	return unknown
}

func compare(a any, op string, b any) tri {
	if isUndecided(a) || isUndecided(b) {
		return unknown
	}
	if op == "in" || op == "not in" {
		t := contains(b, a)
		if op == "in" {
			return t
		}
		return t.not()
	}
	order, ok := ordered(a, b)
	switch {
	case a == elsewhere && b != "__main__", b == elsewhere && a != "__main__", !ok:
		return unknown
	}
	switch op {
	case "==":
		return triOf(order == 0)
	case "!=":
		return triOf(order != 0)
	case "<":
		return triOf(order < 0)
	case "<=":
		return triOf(order <= 0)
	case ">":
		return triOf(order > 0)
	}
	return triOf(order >= 0)
}

func isUndecided(v any) bool {
	_, is := v.(undecided)
	return is
}

func contains(container, item any) tri {
	switch c := container.(type) {
	case []any:
		for _, v := range c {
			if n, ok := ordered(v, item); ok && n == 0 {
				return yes
			}
		}
		if slices.ContainsFunc(c, isUndecided) {
			return unknown
		}
		return no
	case string:
		if s, ok := item.(string); ok {
			return triOf(strings.Contains(c, s))
		}
	}
	return unknown
}

// ordered compares two values of one type; a tuple that is a part of the other's beginning is less.
func ordered(a, b any) (int, bool) {
	switch a := a.(type) {
	case int:
		if b, ok := b.(int); ok {
			return a - b, true
		}
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), true
		}
	case bool:
		if b, ok := b.(bool); ok && a == b {
			return 0, true
		}
	case []any:
		b, ok := b.([]any)
		if !ok {
			return 0, false
		}
		for i := range min(len(a), len(b)) {
			if n, ok := ordered(a[i], b[i]); n != 0 || !ok {
				return n, ok
			}
		}
		return len(a) - len(b), true
	}
	return 0, false
}
