package proof

import (
	"fmt"
	"testing"

	"hostrun.dev/hostrun/abi/imports"
)

// TestWhatFunctionsRaiseIsToldLast: what functions raise that imports call would have taken the places of raise statements that modules run themselves.
func TestWhatFunctionsRaiseIsToldLast(t *testing.T) {
	var all []imports.NotChecked
	for n := range told {
		all = append(all, imports.NotChecked{What: "call", At: imports.At{File: "/f.py", Line: n + 1}, Reach: imports.Possible})
	}
	all = append(all, imports.NotChecked{What: "raise", At: imports.At{File: "/m.py", Line: 1}, Reach: imports.Possible}, imports.NotChecked{What: "dynamic", At: imports.At{File: "/d.py", Line: 1}, Reach: imports.Deferred})
	list := Told(all)
	if len(list) != told || list[0].What != "raise" || list[1].What != "call" || list[told-1].What != "call" {
		t.Errorf("%+v", list)
	}
}

// TestWhatIsToldComesFromWhatRuns: of an environment with NumPy the list was full of names that numpy._core may have, and
// did not come to the statement that failed.
func TestWhatIsToldComesFromWhatRuns(t *testing.T) {
	var all []imports.NotChecked
	for n := range 100 {
		all = append(all, imports.NotChecked{What: "dynamic", Name: "m", At: imports.At{File: "/lib/m.py", Line: n + 1}, Reach: imports.Deferred},
			imports.NotChecked{What: "hook", Name: fmt.Sprintf("numpy._core.f%d", n), At: imports.At{File: "/np/__init__.py", Line: 120}, Why: "may be", Reach: imports.Required})
	}
	all = append(all, imports.NotChecked{What: "native", Name: "a", At: imports.At{File: "/a.so"}, Reach: imports.Attempted},
		imports.NotChecked{What: "native", Name: "b.c", At: imports.At{File: "/b/c.so"}, Reach: imports.Attempted},
		imports.NotChecked{What: "native", Name: "b.d", At: imports.At{File: "/b/d.so"}, Reach: imports.Attempted, Why: "native"},
		imports.NotChecked{What: "hook", Name: "fsspec", At: imports.At{File: "/f.py", Line: 3}, Reach: imports.Required, Absent: true},
		imports.NotChecked{What: "mixed", Name: "_cffi_backend", At: imports.At{File: "/cffi/api.py", Line: 48}, Reach: imports.Deferred},
		imports.NotChecked{What: "namespace", Name: "sam.sam", At: imports.At{File: "/sam/__init__.py", Line: 13}, Reach: imports.Attempted})
	list := Told(all)
	var names []string
	for _, n := range list[:6] {
		names = append(names, n.Name)
	}
	if got, want := fmt.Sprint(names), "[fsspec _cffi_backend sam.sam numpy._core.f0 a b.c]"; got != want || len(list) != told {
		t.Errorf("%d: %s, want %s", len(list), got, want)
	}
	if got, want := list[3].Why, "may be; so with 99 more names of this statement"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := list[5].Why; got != "; so with 1 more modules of b" {
		t.Errorf("%q", got)
	}
	if all[1].Why != "may be" || len(Told(nil)) != 0 {
		t.Error("the scan's own list was changed")
	}
}
