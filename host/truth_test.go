package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// truth is what testdata/ask.py says.
type truth struct {
	Executable, Real, Implementation, Version, Abiflags, Soabi, Multiarch, Arch, Prefix, Stdlib string

	BasePrefix   string   `json:"base_prefix"`
	ExtSuffix    string   `json:"ext_suffix"`
	Suffixes     []string `json:"suffixes"`
	Bits         int
	Debug        bool
	FreeThreaded bool `json:"free_threaded"`
	Sites        []string
	RealSites    []string `json:"real_sites"`
	Files        []int
	Bytes        []int64
	Owner        [][2]uint32
	Modules      [][]string
	Packages     [][3]string
	TopLevel     map[string][]string `json:"top_level"`
}

// needPythons returns the interpreters of this machine.
func needPythons(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"/usr/bin/python3", "/usr/local/bin/python3", os.Getenv("HOME") + "/.pyenv/versions/*/bin/python3", "/opt/*/bin/python3"} {
		found, _ := filepath.Glob(pattern)
		all = append(all, found...)
	}
	if len(all) == 0 {
		skip(t, "no Python interpreter on this machine")
	}
	return all
}

// skip leaves a test out for a reason that must not exist where everything is required.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// ask runs the interpreter with exactly env and compares each field of the facts with what it says.
func ask(t *testing.T, python string, env map[string]string) Facts {
	t.Helper()
	var list []string
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	script, err := filepath.Abs("testdata/ask.py")
	if err != nil {
		t.Fatal(err)
	}
	var want truth
	if err := json.Unmarshal([]byte(command(t, list, python, script)), &want); err != nil {
		t.Fatal(err)
	}
	f, err := Probe(context.Background(), Options{Root: "/", Env: env, Dir: "/"}, Needs{Python: python})
	if err != nil || f.Python == nil {
		t.Fatal(err, f.Findings)
	}
	compare(t, f.Python, want)
	return f
}

func compare(t *testing.T, p *Python, want truth) {
	t.Helper()
	got := truth{
		Executable: want.Executable, Real: p.Real, Implementation: p.Implementation, Version: p.Version.String(),
		Abiflags: p.ABIFlags, Soabi: p.SOABI, Multiarch: p.Multiarch, Arch: p.Arch, Prefix: p.Prefix, Stdlib: p.Stdlib,
		BasePrefix: p.BasePrefix, ExtSuffix: p.ExtSuffix, Suffixes: p.Suffixes, Bits: p.Bits, Debug: p.Debug, FreeThreaded: p.FreeThreaded,
		Modules: want.Modules, TopLevel: want.TopLevel,
	}
	for i, s := range p.Sites {
		got.Sites = append(got.Sites, s.Path)
		got.RealSites = append(got.RealSites, s.Real)
		if want.Files != nil { // they are counted where asked for: Python takes its time
			got.Files, got.Bytes = append(got.Files, s.Files), append(got.Bytes, s.Bytes)
		}
		got.Owner = append(got.Owner, [2]uint32{s.UID, s.Mode})
		if s.Kind == kindPth && i < len(want.Files) {
			want.Files[i], want.Bytes[i] = 0, 0 // not walked, by contract
		}
	}
	for _, d := range p.Packages {
		got.Packages = append(got.Packages, [3]string{d.Name, d.Version, d.Site})
		if declared := want.TopLevel[d.Name]; declared != nil && !slices.Equal(declared, d.TopLevel) {
			t.Errorf("%s: top-level modules %v, top_level.txt says %v", d.Name, d.TopLevel, declared)
		}
	}
	if want.Packages == nil {
		got.Packages = nil // before 3.8 the standard library does not know
	}
	if want.Sites == nil {
		want.Sites = []string{}
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(sameStrings), cmp.Comparer(func(a, b [][3]string) bool { return slices.Equal(a, b) })); diff != "" {
		t.Error("-interpreter +hostrun\n" + diff)
	}
	for i, s := range p.Sites {
		if i < len(want.Modules) {
			compareModules(t, s, want.Modules[i])
		}
	}
}

func sameStrings(a, b []string) bool { return slices.Equal(a, b) }

// compareModules: everything that pkgutil finds, and besides it only directories without __init__ (namespace packages).
func compareModules(t *testing.T, s Site, want []string) {
	t.Helper()
	for _, m := range want {
		if isIdentifier(m) && !slices.Contains(s.Modules, m) {
			t.Errorf("%s: module %s is not listed", s.Path, m)
		}
	}
	for _, m := range s.Modules {
		inits, _ := filepath.Glob(path.Join(s.Path, m, "__init__.*"))
		if fi, err := os.Stat(path.Join(s.Path, m)); !slices.Contains(want, m) && (err != nil || !fi.IsDir() || len(inits) > 0) {
			t.Errorf("%s: %s is listed and Python does not find it", s.Path, m)
		}
	}
}

func bareEnv(t *testing.T) map[string]string {
	return map[string]string{"PATH": "/usr/bin:/bin", "HOME": t.TempDir(), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
}

func TestEveryInterpreterTellsTheSame(t *testing.T) {
	for _, python := range needPythons(t) {
		t.Run(python, func(t *testing.T) {
			env := bareEnv(t)
			env["ASK_COUNT"] = "1"
			ask(t, python, env)
		})
	}
}

// trickyPth exercises the rules of addpackage; DIR is an existing directory outside.
const trickyPth = "# comment\n\n   \nsub\nsub\n./sub/../sub2\r\nDIR\nmissing\nimport sys; sys.hostrun_was_here = 1\nimport\tos\n" +
	"imports\n sub3\nsub4 \t\nsub5\x0csub6\n#DIR/other\nsub/\nsub7\rsub8"

func writeTricky(t *testing.T, site string) {
	t.Helper()
	outside := t.TempDir()
	for _, sub := range []string{"sub", "sub2", "imports", " sub3", "sub3", "sub4", "sub5\x0csub6", "sub5", "sub6", "sub7", "sub8", "hidden", "bom", "aaa", "zzz"} {
		writeFile(t, filepath.Join(site, sub, "module_"+strings.TrimSpace(sub[:3])+".py"), "")
	}
	writeFile(t, filepath.Join(site, "tricky.pth"), strings.ReplaceAll(trickyPth, "DIR", outside))
	writeFile(t, filepath.Join(site, ".hidden.pth"), "hidden\n")
	writeFile(t, filepath.Join(site, "bom.pth"), "\xef\xbb\xbfbom\n")
	writeFile(t, filepath.Join(site, "zz.pth"), "aaa\n")
	writeFile(t, filepath.Join(site, "AA.pth"), "zzz\n/usr\n")
}

func writeDist(t *testing.T, site, name, version string) {
	t.Helper()
	info := filepath.Join(site, name+"-"+version+".dist-info")
	writeFile(t, info+"/METADATA", "Metadata-Version: 2.1\nName: "+name+"\nVersion: "+version+"\n\nName: wrong\n")
	writeFile(t, filepath.Join(site, name, "__init__.py"), "")
	writeFile(t, info+"/RECORD", name+"/__init__.py,,\n"+name+"-"+version+".dist-info/METADATA,,\n")
}

func TestUserSiteIsReadAsPythonReadsIt(t *testing.T) {
	for _, python := range needPythons(t) {
		t.Run(python, func(t *testing.T) {
			env := bareEnv(t)
			minor := strings.TrimSpace(command(t, nil, python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"))
			site := env["HOME"] + "/.local/lib/python" + minor + "/site-packages"
			writeTricky(t, site)
			writeDist(t, site, "hostrunuser", "1.5")
			f := ask(t, python, env)
			if len(f.Python.Sites) == 0 || f.Python.Sites[0].Kind != kindUser {
				t.Error("the user's site is not first:", f.Python.Sites)
			}
		})
	}
}

func TestUserSiteVariables(t *testing.T) {
	python := needPythons(t)[0]
	home := t.TempDir()
	minor := strings.TrimSpace(command(t, nil, python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"))
	writeDist(t, home+"/base/lib/python"+minor+"/site-packages", "hostrunuser", "1")
	base := map[string]string{"PATH": "/usr/bin", "HOME": "/nonexistent", "PYTHONUSERBASE": home + "/base"}
	if f := ask(t, python, base); f.Python.Sites[0].Kind != kindUser {
		t.Error("PYTHONUSERBASE has no effect")
	}
	base["PYTHONNOUSERSITE"] = "1"
	for _, s := range ask(t, python, base).Python.Sites {
		if s.Kind == kindUser {
			t.Error("PYTHONNOUSERSITE has no effect")
		}
	}
}

func TestVirtualEnvironments(t *testing.T) {
	for i, python := range needPythons(t) {
		variants := [][]string{{"--system-site-packages"}, nil, {"--copies"}, {"--symlinks", "--system-site-packages"}}
		if i > 1 {
			variants = variants[i%2 : i%2+1]
		}
		for _, flags := range variants {
			t.Run(python+fmt.Sprint(flags), func(t *testing.T) {
				venv := makeVenv(t, python, flags...)
				site := onlyGlob(t, venv+"/lib/python3*/site-packages")
				writeTricky(t, site)
				writeDist(t, site, "invenv", "2.0")
				writeDist(t, site, "invenv", "3.0")
				env := bareEnv(t)
				writeDist(t, env["HOME"]+"/.local/lib/"+path.Base(path.Dir(site))+"/site-packages", "ofuser", "1")
				f := ask(t, venv+"/bin/python3", env)
				if f.Python.Kind != "venv" {
					t.Error("kind:", f.Python.Kind)
				}
				link := filepath.Join(t.TempDir(), "link")
				symlink(t, venv, link)
				ask(t, link+"/bin/python3", env)
			})
		}
	}
}
