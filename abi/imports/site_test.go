package imports

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// environment makes a virtual environment with files in its site directory.
func environment(t *testing.T, files map[string]string) (python, site string) {
	t.Helper()
	const base = "/usr/bin/python3"
	if _, err := os.Stat(base); err != nil {
		skip(t, "no interpreter: ", err)
	}
	dir := t.TempDir()
	if out, err := command(base, "-m", "venv", "--without-pip", dir); err != nil {
		skip(t, "python3 -m venv: ", out)
	}
	found, err := filepath.Glob(dir + "/lib/python3*/site-packages")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	for name, text := range files {
		p := filepath.Join(found[0], name)
		if filepath.IsAbs(name) {
			p = name
		}
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(target, p))
			continue
		}
		must(t, os.WriteFile(p, []byte(text), 0o644))
	}
	return dir + "/bin/python3", found[0]
}

// finderText is what setuptools writes for an editable install, in short.
const finderText = `import sys
from importlib.util import spec_from_file_location
from pathlib import Path
MAPPING: dict[str, str] = {'edited': 'SOURCE/edited', 'gone': 'SOURCE/gone'}
class _EditableFinder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in MAPPING and Path(MAPPING[fullname], '__init__.py').exists():
            return spec_from_file_location(fullname, Path(MAPPING[fullname], '__init__.py'))
def install():
    sys.meta_path.append(_EditableFinder)
`

// TestSiteAgreesWithPython: editable installs, .pth files and links of an environment.
func TestSiteAgreesWithPython(t *testing.T) {
	source := t.TempDir()
	python, _ := environment(t, map[string]string{
		source + "/edited/__init__.py":    "from . import inner\n",
		source + "/edited/inner.py":       "import json\n",
		source + "/added/by_pth.py":       "",
		"__editable___edited_1_finder.py": strings.ReplaceAll(finderText, "SOURCE", source),
		"__editable__.edited-1.pth":       "import __editable___edited_1_finder; __editable___edited_1_finder.install()\n",
		"zz.pth":                          "# a comment\n" + source + "/added\n" + source + "/nowhere\nimport sys; sys.path.append('" + source + "')\n",
		"linked.py":                       "-> " + source + "/added/by_pth.py",
		"broken.py":                       "-> " + source + "/absent.py",
		"twice-1.dist-info/METADATA":      "",
		"twice-2.dist-info/METADATA":      "",
	})
	py := detect(t, python)
	for _, code := range []string{"import edited", "import edited.inner", "import by_pth", "import linked", "import gone", "import broken", "import edited.absent"} {
		report := scan(t, py, code)
		for _, w := range disagreements(report, trace(t, python, code)) {
			t.Errorf("%s: %s", code, w)
		}
		ids := map[string]string{"import gone": finding.EditableOutside, "import broken": finding.LinkOutside, "import edited.absent": finding.ModuleMissing}
		if stop := finding.Errors(report.Findings(false)); ids[code] != "" && (len(stop) != 1 || stop[0].ID != ids[code]) {
			t.Errorf("%s: %+v", code, stop)
		}
		var kinds []string
		for _, f := range report.Findings(false) {
			kinds = append(kinds, f.ID)
		}
		for _, id := range []string{finding.EditableOutside, finding.DuplicateDist} {
			if !slices.Contains(kinds, id) {
				t.Errorf("%s: no %s among %v", code, id, kinds)
			}
		}
	}
}

// TestShadowedByTheScript: files beside a script go before everything but what the interpreter holds already.
func TestShadowedByTheScript(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"colorsys.py": "import json", "os.py": "raise SystemExit(1)", "job.py": "import colorsys, os\nprint(colorsys.__file__, os.__file__)\n"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	for _, python := range pythons(t) {
		py := detect(t, python)
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Command: []string{python, "job.py"}, WorkingDir: dir})
		must(t, err)
		out, err := command(python, dir+"/job.py")
		if err != nil {
			t.Fatalf("%s: %s", python, out)
		}
		files := map[string]string{}
		for _, m := range report.Modules {
			files[m.Name] = m.File
		}
		if got := files["colorsys"] + " " + files["os"]; got != strings.TrimSpace(out) {
			t.Errorf("%s: %s, really %s", py.Version, got, out)
		}
		if len(report.Shadowed) != 1 || report.Shadowed[0].Name != "colorsys" || !report.Shadowed[0].Local || !report.Shadowed[0].Stdlib {
			t.Errorf("%s: %+v", py.Version, report.Shadowed)
		}
	}
}

// TestTorchFacts: a build without CUDA, and the entry points that torch loads by itself.
func TestTorchFacts(t *testing.T) {
	python, site := environment(t, map[string]string{
		"torch/__init__.py":                        "from . import version\n",
		"torch/version.py":                         "__version__ = '2.6.0+cpu'\ncuda: Optional[str] = None\n",
		"torch_npu-2.6.dist-info/entry_points.txt": "[console_scripts]\nx = y:z\n[torch.backends]\ntorch_npu = torch_npu:_autoload\n",
	})
	report := scan(t, detect(t, python), "import torch")
	if report.TorchCUDA != "none" {
		t.Errorf("CUDA: %q", report.TorchCUDA)
	}
	if diff := cmp.Diff([]Autoload{{"torch.backends", site + "/torch_npu-2.6.dist-info", "torch_npu", "torch_npu:_autoload"}}, report.Autoloads); diff != "" {
		t.Error(diff)
	}
	var ids []string
	for _, f := range report.Findings(true) {
		ids = append(ids, f.ID)
	}
	if !slices.Contains(ids, finding.TorchCPUOnly) || !slices.Contains(ids, finding.Autoloaded) {
		t.Errorf("findings: %v", ids)
	}
	for text, want := range map[string]string{"cuda = '12.4'\n": "12.4", "cuda: Optional[str] = \"13.0\"\n": "13.0", "hip = None\n": ""} {
		must(t, os.WriteFile(site+"/torch/version.py", []byte(text), 0o644))
		if got := scan(t, detect(t, python), "import torch").TorchCUDA; got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// TestPrograms: which programs a command starts.
func TestPrograms(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"usr/bin/torchrun": "#!/usr/bin/python3 -s\nfrom torch.distributed.run import main\n", "usr/bin/tool": "#!/usr/bin/env python3\nimport x\n",
		"entry.sh": "#!/bin/bash\nset -e\nexec \"$@\"\n", "run.sh": "# a comment\npython first.py\npython \"$1\"\npython b.py\n", "usr/bin/long": "#!/bin/sh\n'''exec' \"/opt/a b/bin/python3\" \"$0\" \"$@\"\n' '''\nimport x\n", "usr/bin/ls": "\x7fELF",
		"usr/bin/python3": "\x7fELF", "usr/bin/env": "\x7fELF", "bin/bash": "\x7fELF", "bin/sh": "\x7fELF", "opt/a b/bin/python3": "\x7fELF",
		"usr/bin/split": "#!/usr/bin/env -S python3 -u -I\n", "usr/bin/whole": "#!/usr/bin/env python3 -u\n", "usr/bin/together": "#!/usr/bin/python3 -s -E\n", "usr/bin/joined": "#! /usr/bin/python3\t-sE \n",
		"usr/bin/crlf": "#!/usr/bin/python3\r\n", "usr/bin/elsewhere": "#!/srv/venv/bin/python3\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o755))
	}
	for _, c := range []struct {
		command []string
		want    []string // kind target [flags]
		skipped bool
	}{
		{command: []string{"python3", "-u", "-X", "dev", "-Wignore", "train.py", "--lr", "1"}, want: []string{"script /work/train.py"}},
		{command: []string{"/usr/bin/python3.11", "-Im", "a.b", "-c", "x"}, want: []string{"module a.b I"}},
		{command: []string{"python", "-Bc", "import x"}, want: []string{"code import x"}},
		{command: []string{"python"}, want: []string{"interactive "}, skipped: true},
		{command: []string{"bash", "-lc", "cd /x && FOO=1 exec python3 -P 'a b.py' > log 2>&1; echo done"}, want: []string{"script /x/a b.py P?"}, skipped: true},
		{command: []string{"sh", "-c", "cd /x && FOO=1 exec python3 -P 'a b.py' > log 2>&1"}, want: []string{"script /x/a b.py P"}},
		{command: []string{"bash", "-o", "pipefail", "-ec", "mkdir -p out; export OMP_NUM_THREADS=4; python a.py --x $Y | tee log"}, want: []string{"script /work/a.py"}},
		{command: []string{"bash", "-leo", "pipefail", "-c", "python a.py"}, want: []string{"script /work/a.py?"}, skipped: true},
		{command: []string{"sh", "-c", "cd $HOME && python a.py"}, want: []string{"script /work/a.py?"}, skipped: true},
		{command: []string{"sh", "-c", "source /opt/venv/bin/activate && python a.py"}, want: []string{"script /work/a.py?"}, skipped: true},
		{command: []string{"sh", "-c", "pip install -r req.txt; python a.py"}, want: []string{"script /work/a.py?"}, skipped: true},
		{command: []string{"sh", "-c", "python -m pip install x; python a.py"}, want: []string{"module pip", "script /work/a.py?"}, skipped: true},
		{command: []string{"sh", "-c", "python a.py || python b.py"}, want: []string{"script /work/a.py?", "script /work/b.py?"}, skipped: true},
		{command: []string{"sh", "-c", "if test -e x; then python a.py; fi"}, want: []string{"script /work/a.py?"}, skipped: true},
		{command: []string{"sh", "-c", "export PYTHONPATH=/y; python a.py"}, want: []string{"script /work/a.py?"}, skipped: true},
		{command: []string{"sh", "-c", "PYTHONPATH=/y python a.py"}, want: []string{"script /work/a.py?"}, skipped: true},
		{command: []string{"sh", "-c", "python $SCRIPT"}, skipped: true},
		{command: []string{"sh", "-c", "python -c \"import $M\""}, skipped: true},
		{command: []string{"sh", "-c", "python -c 'print(\"$M\")'"}, want: []string{"code print(\"$M\")"}},
		{command: []string{"sh", "-c", "exec \"$@\"", "sh", "python", "a.py"}, want: []string{"script /work/a.py"}},
		{command: []string{"sh", "/run.sh", "b.py"}, want: []string{"script /work/first.py", "script /work/b.py?"}, skipped: true},
		{command: []string{"env", "PYTHONPATH=/y", "python", "a.py"}, want: []string{"script /work/a.py?"}, skipped: true},
		{command: []string{"chroot", "/other", "python", "a.py"}, want: []string{"script /work/a.py?"}, skipped: true},
		{command: []string{"python", "-m", "uvicorn", "--port", "80", "pkg.app:make()"}, want: []string{"module uvicorn", "code import pkg.app?"}},
		{command: []string{"python", "-m", "gunicorn", "-c", "conf"}, want: []string{"module gunicorn"}, skipped: true},
		{command: []string{"env", "-u", "A", "B=1", "numactl", "-m", "0", "nice", "-n", "5", "python", "x.py"}, want: []string{"script /work/x.py"}},
		{command: []string{"timeout", "-s", "KILL", "60", "python", "x.py"}, want: []string{"script /work/x.py"}},
		{command: []string{"tini", "--", "python", "x.py"}, want: []string{"script /work/x.py"}},
		{command: []string{"torchrun", "--nproc-per-node", "8", "t.py", "--x"}, want: []string{"script /usr/bin/torchrun s", "script /work/t.py"}},
		{command: []string{"python", "-m", "torch.distributed.run", "--nnodes=2", "-m", "pkg.train"}, want: []string{"module torch.distributed.run", "module pkg.train"}},
		{command: []string{"tool", "a"}, want: []string{"script /usr/bin/tool"}},
		{command: []string{"long"}, want: []string{"script /usr/bin/long"}},
		{command: []string{"/entry.sh", "python", "x.py"}, want: []string{"script /work/x.py"}},
		{command: []string{"split"}, want: []string{"script /usr/bin/split I"}},
		{command: []string{"whole"}, skipped: true},
		{command: []string{"together"}, want: []string{"broken /usr/bin/together"}},
		{command: []string{"joined"}, want: []string{"script /usr/bin/joined sE"}},
		{command: []string{"crlf"}, want: []string{"broken /usr/bin/crlf"}},
		{command: []string{"elsewhere"}, want: []string{"broken /usr/bin/elsewhere"}},
		{command: []string{"ls", "-l"}, skipped: true},
		{command: []string{"absent"}, skipped: true},
	} {
		roots, not := understand(rootfs.Dir(root), Request{Command: c.command, WorkingDir: "/work", Env: map[string]string{"PATH": "/usr/bin:/bin"}})
		var got []string
		for _, r := range roots {
			line := r.Kind + " " + r.Target
			if r.Flags != "" {
				line += " " + r.Flags
			}
			if r.Doubt != "" {
				line += "?"
			}
			got = append(got, line)
		}
		if !slices.Equal(got, c.want) || (len(not) > 0) != c.skipped {
			t.Errorf("%q: %q, not checked: %v", c.command, got, not)
		}
	}
}

// TestShellsThatDecide: claims were made about programs that the shell does not run, or runs elsewhere.
func TestShellsThatDecide(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "work"), 0o755))
	for script, want := range map[string]string{
		"test -f /x && python a.py; python b.py":               "script /work/a.py? script /work/b.py?",
		"(cd /data && ls); python a.py":                        "script /data/a.py?",
		"cd /data; cd -; python a.py":                          "script /data/a.py?",
		"set -- python b.py; exec \"$@\"":                      "script /work/given.py?",
		"tee /etc/x <<EOF\npython b.py\nEOF\npython a.py":      "script /work/b.py? script /work/a.py?",
		"exec 2>&1; python a.py":                               "script /work/a.py",
		"2>/dev/null python a.py 3>&1":                         "script /work/a.py",
		"[ -f /x ] && python a.py":                             "script /work/a.py?",
		"mkdir -p out && python -c 'print((1))' > \"out/(x)\"": "code print((1))",
		"env -u PYTHONPATH python a.py":                        "script /work/a.py?",
		"env --unset=LD_LIBRARY_PATH python a.py":              "script /work/a.py?",
		"[[ -f /x ]] && python a.py":                           "script /work/a.py?",
		"$VENV/bin/python a.py":                                "script /work/a.py?",
		"echo 1 > gen.py && python a.py":                       "script /work/a.py?",
		"printf x > \"gen.py\"; python a.py":                   "script /work/a.py?",
		"echo x | tee gen.py; python a.py":                     "script /work/a.py?",
		"touch gen.py && python a.py":                          "script /work/a.py?",
		"echo x > run.log 2>&1; python a.py":                   "script /work/a.py",
		"echo x >/dev/null; python a.py >out":                  "script /work/a.py",
		"export X=$(hostname); python a.py":                    "script /work/a.py",
		"X=$(cd /data && pwd); python a.py":                    "script /data/a.py?",
		"env -u HOME python a.py":                              "script /work/a.py",
		"cd sub && python a.py":                                "script /work/sub/a.py",
	} {
		roots, not := understand(rootfs.Dir(root), Request{Command: []string{"bash", "-euo", "pipefail", "-c", script, "sh", "python", "given.py"}, WorkingDir: "/work",
			Env: map[string]string{"PATH": "/bin"}})
		var got []string
		for _, r := range roots {
			line := r.Kind + " " + r.Target
			if r.Doubt != "" {
				line += "?"
			}
			got = append(got, line)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
		for _, n := range not {
			if strings.ContainsRune(n.Name+n.Why, 0) {
				t.Errorf("%q: a NUL in %+v", script, n)
			}
		}
	}
}

// TestHostrunsOwnPthFile: the file that plan writes is understood, in both orders.
func TestHostrunsOwnPthFile(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"own", "opt/h/0", "opt/h/1/sub", "extra", "lib/python3.11"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "opt/h/1/x.pth"), []byte("sub\n"), 0o644))
	add := "import site, sys; sys.version_info[:2] == (3, 11) and (site.addsitedir('/opt/h/0'))\n" +
		"import site, sys; sys.version_info[:2] == (3, 11) and (site.addsitedir('/opt/h/\\U00000031'))\n" +
		"import site, sys; sys.version_info[:2] == (3, 12) and (site.addsitedir('/other'))\n" +
		"import site, sys; sys.version_info[:2] == (3, 11) and ('/extra' in sys.path or sys.path.append('/extra'))\n"
	front := "import sys; sys._hostrun = len(sys.path)\n" + add + "import sys; new = sys.path[sys._hostrun:]; del sys.path[sys._hostrun:]; " +
		"at = sys.path.index('/own') if '/own' in sys.path else len(sys.path); sys.path[at:at] = new; del sys._hostrun\n"
	for text, want := range map[string][]string{
		add:   {"/own", "/opt/h/0", "/opt/h/1", "/opt/h/1/sub", "/extra"},
		front: {"/opt/h/0", "/opt/h/1", "/opt/h/1/sub", "/extra", "/own"},
	} {
		must(t, os.WriteFile(filepath.Join(root, "own/zz_hostrun.pth"), []byte(text), 0o644))
		py := fuzzPython
		py.SiteDirs = []string{"/own"}
		got := SysPath(rootfs.Dir(root), py, nil)
		if diff := cmp.Diff(append([]string{"/lib/python311.zip", "/lib/python3.11"}, want...), got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// TestPthThatIsAPipe: Python waits for it at its start, for ever, and check said that all fits.
func TestPthThatIsAPipe(t *testing.T) {
	python, site := environment(t, nil)
	pipe := site + "/waits.pth"
	must(t, syscall.Mkfifo(pipe, 0o600))
	py := detect(t, python)
	for code, want := range map[string]int{"": 1, "-S": 0} {
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Command: append(append([]string{py.Executable}, strings.Fields(code)...), "-c", "pass")})
		must(t, err)
		if stops := finding.Errors(report.Findings(false)); len(stops) != want || want > 0 && (stops[0].ID != finding.PthBlocks || stops[0].Subject != pipe) {
			t.Errorf("%q: %+v", code, stops)
		}
	}
	waiting := exec.Command(python, "-c", "pass")
	must(t, waiting.Start())
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for who reads: Python does
	must(t, errors.Join(err, waiting.Process.Kill()))
	_ = waiting.Wait() // of the signal
	_ = writer.Close()
}

// TestPreloadThatIsAPipe: glibc's loader waits for it before each program, for ever, and check said that all fits.
func TestPreloadThatIsAPipe(t *testing.T) {
	python, _ := environment(t, nil)
	py := detect(t, python)
	etc := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(etc, "ld.so.preload"), 0o644))
	view, err := rootfs.Mounted(rootfs.Dir("/"), rootfs.Mount{Source: filepath.Join(etc, "ld.so.preload"), Destination: "/etc/ld.so.preload"})
	must(t, err)
	for libc, want := range map[string]int{"glibc": 1, "musl": 0} {
		py.Libc = libc
		report, err := Scan(t.Context(), view, Request{Python: py, Command: []string{py.Executable, "-c", "pass"}})
		must(t, err)
		if stops := finding.Errors(report.Findings(false)); len(stops) != want || want > 0 && stops[0].ID != finding.PreloadBlocks {
			t.Errorf("%s: %+v", libc, stops)
		}
	}
}
