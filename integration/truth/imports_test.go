package main

import (
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi/imports"
)

// TestFailureNeedsAReason: an import that fails counted as explained wherever the scan listed anything at all.
func TestFailureNeedsAReason(t *testing.T) {
	at := func(file string, line int) imports.At { return imports.At{File: file, Line: line} }
	i := importing{name: "p", perhaps: []imports.Missing{{Name: "gone", Message: "No module named 'gone'", At: at("/p/a.py", 3)}},
		unchecked: []imports.NotChecked{
			{What: "hook", Name: "maybe", At: at("/p/b.py", 1)}, {What: "dynamic", Name: "p.c", At: at("/p/c.py", 7)},
			{What: "native", Name: "p.ext", At: at("/p/ext.so", 0)}, {What: "mixed", Name: "numpy", At: at("/p/d.py", 2)}, {What: "deferred"}, {What: "namespace", Name: "p.n", At: at("/p/n/__init__.py", 1)}, {What: "call", Name: "p.g", At: at("/p/g.py", 20)}},
		natives:  []imports.Module{{Name: "p.ext", File: "/p/ext.so", By: at("/p/e.py", 4)}},
		deferred: []imports.At{at("/p/f.py", 9)}}
	for _, c := range []struct {
		real outcome
		want string
	}{
		{outcome{message: "ValueError: x", frames: []string{"/p/__init__.py:1"}}, ""},
		{outcome{message: "ModuleNotFoundError: No module named 'other'", frames: []string{"/p/c.py:8"}}, ""},
		{outcome{message: "ImportError: cannot import name 'x' from 'other'"}, ""},
		{outcome{message: "ModuleNotFoundError: No module named 'gone'"}, "foreseen"},
		{outcome{message: "RuntimeError: sorry", frames: []string{"/p/a.py:3", "/p/a.py:5"}}, "foreseen"},
		{outcome{message: "ModuleNotFoundError: No module named 'maybe.sub'"}, "not checked: hook maybe"},
		{outcome{message: "KeyError: 1", frames: []string{"/p/c.py:7", "/p/other.py:1"}}, "not checked: dynamic"},
		{outcome{message: "ImportError: x", frames: []string{"/p/e.py:4"}}, "not checked: native"},
		{outcome{message: "ImportError: x", library: "/p/ext.so"}, "not checked: native"},
		{outcome{state: "init", message: "signal 11"}, "not checked: native"},
		{outcome{message: "ImportError: p requires numpy>=2"}, "not checked: mixed"},
		{outcome{message: "Exception: Version mismatch", frames: []string{"/p/d.py:30"}}, "not checked: mixed"},
		{outcome{message: "TypeError: x", frames: []string{"/p/f.py:9"}}, "not checked: deferred"},
		{outcome{message: "NameError: x", frames: []string{"/p/n/__init__.py:33"}}, "not checked: namespace"},
		{outcome{message: "ImportError: x", frames: []string{"/p/h.py:2", "/p/g.py:20"}}, "not checked: call"},
		{outcome{message: "ImportError: x", frames: []string{"/p/h.py:2", "/p/g.py:21"}}, ""},
	} {
		i.real = c.real
		if got := i.class(); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", c.real, got, c.want)
		}
	}
	i.unchecked = nil
	for range 100 { // more than check has room for, all likelier
		i.unchecked = append(i.unchecked, imports.NotChecked{What: "dynamic", At: at("/q.py", len(i.unchecked)+1), Reach: imports.Required})
	}
	i.unchecked = append(i.unchecked, imports.NotChecked{What: "dynamic", At: at("/p/c.py", 7), Reach: imports.Deferred})
	i.real = outcome{state: "error", message: "KeyError: 1", frames: []string{"/p/c.py:7"}}
	row := &importRow{}
	if row.add(i); !strings.HasPrefix(i.class(), "known, and beyond") || row.miss != 1 || row.unchecked != 0 {
		t.Errorf("%q: %+v", i.class(), row)
	}
}

// TestAnswersOfFailures: the probe's fourth and fifth column.
func TestAnswersOfFailures(t *testing.T) {
	all, err := parseOutcomes([]byte("0\terror\tImportError: x\t/a.py:1|/b.py:2\t/c.so\n1\tok\t\n2\terror\tE: y\t\t\n"), 3)
	if err != nil || len(all[0].frames) != 2 || all[0].frames[1] != "/b.py:2" || all[0].library != "/c.so" || all[0].message != "ImportError: x" ||
		all[1].state != "ok" || all[2].message != "E: y" || all[2].frames != nil || all[2].library != "" {
		t.Errorf("%+v, %v", all, err)
	}
}
