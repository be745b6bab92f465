package host

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLinksThatLeadOut are listed by package and directory, as a container would look for them.
func TestLinksThatLeadOut(t *testing.T) {
	venv, site := plainVenv(t)
	outside := t.TempDir()
	for _, name := range []string{"lib/libone.so", "lib/libtwo.so", "lib/libone.so.1", "cache/archive-v0/h1/linked/a.py", "cache/archive-v0/h2/linked/b.py", "include/x.h"} {
		writeFile(t, outside+"/"+name, "")
	}
	up := "../../../../.." + strings.Repeat("/..", strings.Count(venv, "/")-1) // from a package in the site directory to /
	symlink(t, outside+"/lib/libone.so", site+"/pkg/lib/libone.so")
	symlink(t, outside+"/lib/libtwo.so", site+"/pkg/libtwo.so")
	symlink(t, up+outside+"/include", site+"/pkg/include")
	symlink(t, outside+"/cache/archive-v0/h1/linked/a.py", site+"/linked/a.py")
	symlink(t, outside+"/cache/archive-v0/h2/linked/b.py", site+"/linked/b.py")
	symlink(t, "libone.so", site+"/pkg/lib/inside.so")
	symlink(t, outside+"/gone", site+"/pkg/gone")
	f := probeNeeds(t, Needs{Python: venv})
	want := []Outside{
		{Site: site, Top: "linked", Dir: outside + "/cache/archive-v0", Real: outside + "/cache/archive-v0"},
		{Site: site, Top: "pkg", Dir: up[len("../"):] + outside, Real: outside, Names: []string{"include"}},
		{Site: site, Top: "pkg", Dir: outside + "/lib", Real: outside + "/lib", Names: []string{"libone.so", "libtwo.so"}},
	}
	if diff := cmp.Diff(want, f.Python.Outside); diff != "" {
		t.Error(diff)
	}
}

// TestManyPlacesAreJoined: thousands of links become few places, and never the root.
func TestManyPlacesAreJoined(t *testing.T) {
	venv, site := plainVenv(t)
	outside := t.TempDir()
	for i := range 40 {
		file := fmt.Sprintf("%s/pkgs/dist%d/lib/deep/m%d.py", outside, i, i)
		writeFile(t, file, "")
		symlink(t, file, fmt.Sprintf("%s/pkg/m%d.py", site, i))
	}
	f := probeNeeds(t, Needs{Python: venv})
	if n := len(f.Python.Outside); n == 0 || n > maxOutside {
		t.Errorf("%d places", n)
	}
	for _, o := range f.Python.Outside {
		if !strings.HasPrefix(o.Real, outside+"/pkgs") {
			t.Errorf("%+v", o)
		}
	}
}

// TestBytecodeIsCounted: a .pyc file counts as far as the interpreter takes it.
func TestBytecodeIsCounted(t *testing.T) {
	python := needPythons(t)[0]
	venv := makeVenv(t, python)
	site := onlyGlob(t, venv+"/lib/python3*/site-packages")
	for i := range 20 {
		writeFile(t, fmt.Sprintf("%s/pkg/m%d.py", site, i), "x = 1\n")
	}
	have := func() Bytecode { return probeNeeds(t, Needs{Python: venv}).Python.Bytecode }
	if b := have(); b.Sources != 20 || b.Usable != 0 || b.Tag == "" {
		t.Errorf("without any: %+v", b)
	}
	command(t, nil, venv+"/bin/python3", "-m", "compileall", "-q", site)
	if b := have(); b.Sources != 20 || b.Usable != 20 {
		t.Errorf("compiled: %+v", b)
	}
	past := time.Now().Add(-time.Hour)
	for i := range 20 {
		if err := os.Chtimes(fmt.Sprintf("%s/pkg/m%d.py", site, i), past, past); err != nil {
			t.Fatal(err)
		}
	}
	if b := have(); b.Usable != 0 {
		t.Errorf("sources of another time: %+v", b)
	}
	command(t, nil, venv+"/bin/python3", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", site)
	if b := have(); b.Usable != 20 {
		t.Errorf("by hash: %+v", b)
	}
}
