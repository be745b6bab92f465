package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/finding"
)

// plainVenv is a virtual environment of this machine's first interpreter, and its site directory.
func plainVenv(t *testing.T) (venv, site string) {
	t.Helper()
	venv = makeVenv(t, needPythons(t)[0])
	return venv, onlyGlob(t, venv+"/lib/python3*/site-packages")
}

func probeNeeds(t *testing.T, needs Needs) Facts {
	t.Helper()
	f, err := Probe(context.Background(), Options{Root: "/", Env: bareEnv(t), Dir: "/"}, needs)
	if err != nil || f.Python == nil {
		t.Fatal(err, f.Findings)
	}
	return f
}

func packageNamed(t *testing.T, f Facts, name string) Package {
	t.Helper()
	for _, p := range f.Python.Packages {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no %s among %d packages", name, len(f.Python.Packages))
	return Package{}
}

// writeTorch makes something that looks like torch to a reader of files.
func writeTorch(t *testing.T, site string) {
	t.Helper()
	writeFile(t, site+"/torch/__init__.py", "")
	writeFile(t, site+"/torch/lib/libtorch.so", "x")
	writeFile(t, site+"/torch/version.py", "from typing import Optional\n\n__all__ = ['__version__', 'cuda']\n__version__ = '2.6.0+cu124'\ndebug = False\n"+
		"cuda: Optional[str] = '12.4'\ngit_version = '2236df1770800ffea5697b11b0bb0d910b2e59e1'\nhip: Optional[str] = None\n")
	writeFile(t, site+"/torch-2.6.0+cu124.dist-info/METADATA", "Name: torch\nVersion: 2.6.0+cu124\n\n")
	writeFile(t, site+"/torch-2.6.0+cu124.dist-info/top_level.txt", "torch\nfunctorch\n")
	writeFile(t, site+"/torch-2.6.0+cu124.dist-info/RECORD", "../../../bin/torchrun,sha256=x,1\ntorch/__init__.py,,\ntorch/__pycache__/__init__.cpython-311.pyc,,\ntorch/lib/libtorch.so,,\n"+
		"\"torch/a \"\"b\"\", c.py\",,\ntorch/version.py,,\ntorch-2.6.0+cu124.dist-info/METADATA,,\n")
	writeFile(t, site+`/torch/a "b", c.py`, "")
}

func TestTorchIsDescribed(t *testing.T) {
	venv, site := plainVenv(t)
	writeTorch(t, site)
	writeFile(t, venv+"/bin/torchrun", "")
	f := probeNeeds(t, Needs{Python: venv, Packages: []string{"torch", "functorch"}})
	want := Package{Name: "torch", Version: "2.6.0+cu124", Site: site, TopLevel: []string{"functorch", "torch"},
		Facts: map[string]string{"version": "2.6.0+cu124", "cuda": "12.4", "debug": "False", "git_version": "2236df1770800ffea5697b11b0bb0d910b2e59e1"}}
	if diff := cmp.Diff(want, packageNamed(t, f, "torch")); diff != "" {
		t.Error(diff)
	}
	if len(f.Findings) != 0 {
		t.Error(f.Findings)
	}
}

func TestHalfDeletedPackages(t *testing.T) {
	tests := []struct {
		name, remove string
		packages     []string
		want         string
		missing      []string
		module       bool
	}{
		{"native module, by default", "torch/lib/libtorch.so", nil, "error", []string{"torch/lib/libtorch.so"}, true},
		{"native module, needed", "torch/lib/libtorch.so", []string{"torch"}, "error", []string{"torch/lib/libtorch.so"}, true},
		{"needed by a module's name", "torch/lib/libtorch.so", []string{"functorch"}, "error", []string{"torch/lib/libtorch.so"}, true},
		{"not needed", "torch/lib/libtorch.so", []string{"six"}, "warning", []string{"torch/lib/libtorch.so"}, true},
		{"the package", "torch/__init__.py", nil, "error", []string{"torch/__init__.py"}, true},
		{"the whole directory", "torch", nil, "error", []string{"torch/__init__.py", "torch/lib/libtorch.so", `torch/a "b", c.py`, "torch/version.py"}, true},
		{"a script outside stops nothing", "../../../bin/torchrun", nil, "info", []string{"bin/torchrun"}, false},
		{"its metadata", "torch-2.6.0+cu124.dist-info/METADATA", nil, "error", []string{"torch-2.6.0+cu124.dist-info/METADATA", "torch-2.6.0+cu124.dist-info/METADATA"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			venv, site := plainVenv(t)
			writeTorch(t, site)
			writeDist(t, site, "six", "1")
			writeFile(t, venv+"/bin/torchrun", "")
			remove(t, filepath.Join(site, tt.remove))
			f := probeNeeds(t, Needs{Python: venv, Packages: tt.packages})
			p := packageNamed(t, f, "torch")
			for i := range p.Missing {
				p.Missing[i] = strings.TrimPrefix(p.Missing[i], venv+"/")
			}
			if !cmp.Equal(p.Missing, tt.missing) || p.MissingCount != len(tt.missing) || p.MissingModule != tt.module {
				t.Error(p.Missing, p.MissingCount, p.MissingModule)
			}
			got := find(t, f.Findings, finding.SiteIncomplete)
			if string(got.Severity) != tt.want || len(f.Findings) != 1 {
				t.Error(f.Findings)
			}
			if want := venv + "/bin/python3 -m pip install --force-reinstall --no-deps torch==2.6.0+cu124"; got.Remedy != want {
				t.Errorf("%s, want %s", got.Remedy, want)
			}
		})
	}
}

func TestOldMetadataStopsNothing(t *testing.T) {
	venv, site := plainVenv(t)
	writeTorch(t, site)
	writeFile(t, venv+"/bin/torchrun", "")
	writeFile(t, site+"/torch-2.5.0.dist-info/METADATA", "Name: torch\nVersion: 2.5.0\n")
	writeFile(t, site+"/torch-2.5.0.dist-info/RECORD", "torch/gone.py,,\n")
	f := probeNeeds(t, Needs{Python: venv})
	if got := find(t, f.Findings, finding.SiteIncomplete); got.Severity != finding.Warning || !strings.Contains(got.Message, "torch==2.5.0") || len(f.Findings) != 1 {
		t.Error(f.Findings)
	}
}

func TestShadowedPackageStopsNothing(t *testing.T) {
	venv := makeVenv(t, needPythons(t)[0], "--system-site-packages")
	site := onlyGlob(t, venv+"/lib/python3*/site-packages")
	writeTorch(t, site)
	writeFile(t, venv+"/bin/torchrun", "")
	env := bareEnv(t)
	user := env["HOME"] + "/.local/lib/" + filepath.Base(filepath.Dir(site)) + "/site-packages"
	writeTorch(t, user)
	remove(t, user+"/torch/lib")
	for broken, want := range map[string]finding.Severity{user: finding.Warning, site: finding.Error} {
		remove(t, broken+"/torch/lib")
		f, err := Probe(context.Background(), Options{Root: "/", Env: env, Dir: "/"}, Needs{Python: venv, Packages: []string{"torch"}})
		if err != nil {
			t.Fatal(err)
		}
		worst := finding.Info
		for _, said := range f.Findings {
			if said.Subject == "torch" && strings.Contains(said.Got, broken) {
				worst = said.Severity
			}
		}
		if worst != want {
			t.Errorf("%s: %s, want %s", broken, worst, want)
		}
	}
}

func TestAnInterruptedPipIsSeen(t *testing.T) {
	venv, site := plainVenv(t)
	writeFile(t, site+"/~orch-2.5.0.dist-info/METADATA", "Name: torch\nVersion: 2.5.0\n")
	f := probeNeeds(t, Needs{Python: venv})
	if got := find(t, f.Findings, finding.SiteIncomplete); got.Severity != finding.Warning || got.Subject != site+"/~orch-2.5.0.dist-info" {
		t.Error(got)
	}
	if len(f.Python.Packages) != 0 {
		t.Error(f.Python.Packages)
	}
}

func TestNeededPackages(t *testing.T) {
	venv, site := plainVenv(t)
	writeFile(t, site+"/opencv_python-4.9.dist-info/METADATA", "Name: opencv-python\nVersion: 4.9\n")
	writeFile(t, site+"/opencv_python-4.9.dist-info/RECORD", "cv2/__init__.py,,\ncv2/cv2.abi3.so,,\n")
	writeFile(t, site+"/cv2/__init__.py", "")
	writeFile(t, site+"/cv2/cv2.abi3.so", "")
	writeDist(t, site, "transformers", "4")
	writeFile(t, site+"/by_hand.py", "")
	f := probeNeeds(t, Needs{Python: venv, Packages: []string{"OpenCV_Python", "cv2", "by_hand", "transformrs", "nothing_like_it"}})
	want := []string{"HR033 error transformrs", "HR033 error nothing_like_it"}
	if diff := cmp.Diff(want, findingsOf(f.Findings)); diff != "" {
		t.Error(diff)
	}
	if got := f.Findings[0]; !strings.Contains(got.Remedy, "did you mean transformers?") || !strings.Contains(got.Got, site) {
		t.Error(got)
	}
}

func TestWhatLeadsOutOfTheSite(t *testing.T) {
	venv, site := plainVenv(t)
	outside := t.TempDir()
	writeFile(t, outside+"/lib/x.so", "")
	writeFile(t, site+"/pkg/__init__.py", "")
	symlink(t, outside+"/lib", site+"/pkg/lib")
	symlink(t, "../pkg/__init__.py", site+"/pkg/inside.py")
	symlink(t, "/gone", site+"/pkg/dangling")
	symlink(t, site+"/pkg", site+"/absolute")
	writeFile(t, site+"/out.pth", outside+"\npkg\n"+site+"/pkg/lib\n")
	f := probeNeeds(t, Needs{Python: venv})
	want := []string{"HR032 warning " + site + "/absolute", "HR032 warning " + site + "/pkg", "HR032 warning " + site + "/out.pth", "HR032 warning " + site + "/out.pth"}
	if diff := cmp.Diff(want, findingsOf(f.Findings)); diff != "" {
		t.Error(diff, f.Findings)
	}
	for _, said := range f.Findings {
		if said.Remedy == "" {
			t.Error(said)
		}
	}
}

func TestPythonPathIsTold(t *testing.T) {
	venv, site := plainVenv(t)
	env := bareEnv(t)
	env["PYTHONPATH"] = site + ":" + t.TempDir() + "/gone:"
	f, err := Probe(context.Background(), Options{Root: "/", Env: env, Dir: "/"}, Needs{Python: venv})
	if err != nil || !cmp.Equal(findingsOf(f.Findings), []string{"HR032 info PYTHONPATH"}) {
		t.Error(err, f.Findings)
	}
}

func TestEditableForms(t *testing.T) {
	venv, site := plainVenv(t)
	src := t.TempDir()
	info := func(name, file, content string) { writeFile(t, site+"/"+name+"-1.dist-info/"+file, content) }
	for _, name := range []string{"direct", "finder", "pthline"} {
		info(name, "METADATA", "Name: "+name+"\nVersion: 1\n")
	}
	info("direct", "direct_url.json", `{"dir_info": {"editable": true}, "url": "file://`+src+`/di%20rect"}`)
	writeFile(t, site+"/__editable___finder_1_finder.py", "MAPPING: dict[str, str] = {'finder': '"+src+"/f/src/finder', 'other': '"+src+"/f/src/other'}\nNAMESPACES: dict[str, list[str]] = {}\n")
	writeFile(t, site+"/__editable__.finder-1.pth", "import __editable___finder_1_finder; __editable___finder_1_finder.install()")
	writeFile(t, site+"/__editable__.pthline-1.pth", src+"/p/src\n")
	writeFile(t, src+"/p/src/pthline/__init__.py", "")
	writeFile(t, site+"/easy-install.pth", src+"/develop\n")
	writeFile(t, site+"/develop.egg-link", src+"/develop\n.")
	writeFile(t, src+"/develop/develop.egg-info/PKG-INFO", "Name: develop\nVersion: 2\n")
	writeFile(t, src+"/develop/develop.egg-info/top_level.txt", "develop\n")
	f := probeNeeds(t, Needs{Python: venv})
	for name, want := range map[string]string{"direct": src + "/di rect", "finder": src + "/f/src", "pthline": src + "/p/src", "develop": src + "/develop"} {
		if got := packageNamed(t, f, name).Editable; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	want := []string{"HR032 warning develop", "HR032 warning direct", "HR032 warning finder", "HR032 warning pthline"}
	if diff := cmp.Diff(want, findingsOf(f.Findings)); diff != "" {
		t.Error(diff)
	}
	if got := packageNamed(t, f, "finder").TopLevel; !cmp.Equal(got, []string{"finder", "other"}) {
		t.Error(got)
	}
}

func TestEggsAndHardLinks(t *testing.T) {
	venv, site := plainVenv(t)
	writeFile(t, site+"/old-1.0-py3.11.egg/EGG-INFO/PKG-INFO", "Name: old\nVersion: 1.0\n")
	writeFile(t, site+"/old-1.0-py3.11.egg/old.py", "")
	writeFile(t, site+"/easy-install.pth", "./old-1.0-py3.11.egg\n")
	writeFile(t, site+"/file-3.egg-info", "Name: file\nVersion: 3\n")
	writeFile(t, site+"/big", strings.Repeat("x", 5000))
	if err := os.Link(site+"/big", site+"/big2"); err != nil {
		t.Fatal(err)
	}
	f := probeNeeds(t, Needs{Python: venv})
	if got := packageNamed(t, f, "old"); got.Site != site+"/old-1.0-py3.11.egg" || got.Version != "1.0" {
		t.Error(got)
	}
	if got := packageNamed(t, f, "file"); got.Version != "3" || got.Site != site {
		t.Error(got)
	}
	if s := f.Python.Sites[0]; s.Files != 6 || s.Bytes < 5000 || s.Bytes > 5200 {
		t.Error(s.Files, s.Bytes)
	}
	if len(f.Findings) != 0 {
		t.Error(f.Findings)
	}
}

// TestClosedDirectories runs itself as another user: root can read everything.
func TestClosedDirectories(t *testing.T) {
	if venv := os.Getenv("HOSTRUN_TEST_CLOSED"); venv != "" {
		f := probeNeeds(t, Needs{Python: venv})
		got := findingsOf(f.Findings)
		site := onlyGlob(t, venv+"/lib/python3*/site-packages")
		if want := []string{"HR030 " + os.Getenv("HOSTRUN_TEST_SEVERITY") + " " + site}; !cmp.Equal(got, want) {
			t.Error(got, want)
		}
		return
	}
	if os.Getuid() != 0 {
		skip(t, "needs root to become another user")
	}
	python := "/usr/bin/python3"
	dir, err := os.MkdirTemp("/var/tmp", "hostrun-closed-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self := dir + "/host.test"
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, self, string(b))
	venv := dir + "/venv"
	command(t, nil, python, "-m", "venv", "--without-pip", venv)
	site := onlyGlob(t, venv+"/lib/python3*/site-packages")
	writeFile(t, site+"/pkg/closed/x.py", "")
	for p, mode := range map[string]os.FileMode{dir: 0o755, self: 0o755, site + "/pkg/closed": 0o700} {
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, self, dir, venv, "warning")
	if err := os.Chmod(site, 0o700); err != nil {
		t.Fatal(err)
	}
	asNobody(t, self, dir, venv, "error")
}

func asNobody(t *testing.T, self, dir, venv, severity string) {
	t.Helper()
	c := exec.Command(self, "-test.run", "TestClosedDirectories$")
	c.Dir = dir
	c.Env = []string{"HOSTRUN_TEST_CLOSED=" + venv, "HOSTRUN_TEST_SEVERITY=" + severity, "TMPDIR=/tmp"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
