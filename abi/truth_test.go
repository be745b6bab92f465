package abi

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/rootfs"
)

// truthProbe prints what the running interpreter says of itself, by the JSON names of Python. Its test modules that
// only python-build-standalone compiles in stay out, as in the detector.
const truthProbe = `
import sys, os
import importlib.machinery as m
import sysconfig, site
v = sys.version_info
var = sysconfig.get_config_var
if hasattr(sys, 'pypy_version_info'): builtins = None
else: builtins = sorted(sys.builtin_module_names)
dyn = os.path.join(os.path.dirname(os.__file__), 'lib-dynload')
debug = hasattr(sys, 'gettotalrefcount')
def dump(x): # a minimal interpreter has no json
    if x is None: return 'null'
    if x is True or x is False: return str(x).lower()
    if isinstance(x, int): return str(x)
    if isinstance(x, str): return '"%s"' % x
    if isinstance(x, dict): return '{%s}' % ','.join(dump(k) + ':' + dump(v) for k, v in x.items())
    return '[%s]' % ','.join(map(dump, x))
print(dump({
 'implementation': sys.implementation.name,
 'version': {'major': v[0], 'minor': v[1], 'micro': v[2], 'level': v[3], 'serial': v[4]},
 'abiflags': getattr(sys, 'abiflags', ''),
 'soabi': var('SOABI') or '', 'ext_suffix': var('EXT_SUFFIX'), 'multiarch': var('MULTIARCH') or '',
 'suffixes': m.EXTENSION_SUFFIXES,
 'arch': os.uname().machine, 'bits': 64 if sys.maxsize > 2**32 else 32,
 'prefix': sys.prefix, 'base_prefix': sys.base_prefix,
 'stdlib': os.path.dirname(os.__file__),
 'dynload': dyn if os.path.isdir(dyn) else '',
 'debug': debug, 'trace_refs': hasattr(sys, 'getobjects'),
 'free_threaded': not getattr(sys, '_is_gil_enabled', lambda: True)() or bool(var('Py_GIL_DISABLED')),
 'builtins': builtins,
 'site_dirs': [d for d in site.getsitepackages() if os.path.isdir(d)],
}))
`

// A subject is an interpreter that can be asked.
type subject struct {
	root string // of the file tree that it runs in
	path string // inside root
}

func (s subject) String() string { return strings.ReplaceAll(s.root+s.path, "/", "_") }

// command runs the subject; in a tree of its own it needs the right to chroot.
func (s subject) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.root, s.path), args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PYTHON") })
	if s.root != "/" {
		cmd = &exec.Cmd{Path: s.path, Args: append([]string{s.path}, args...), Env: cmd.Env, Dir: "/"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: s.root}
	}
	return cmd
}

// interpreters finds those of this machine at run time: PATH, pyenv's, and /usr/bin's; and those that
// integration/fetch-pythons.sh unpacked.
func interpreters(t *testing.T) []subject {
	t.Helper()
	root := os.Getenv("PYENV_ROOT")
	if root == "" {
		home, _ := os.UserHomeDir()
		root = filepath.Join(home, ".pyenv")
	}
	patterns := []string{filepath.Join(root, "versions/*/bin/python3"), "/usr/bin/python3*", "/usr/bin/pypy3*",
		"/usr/lib/google-cloud-sdk/platform/bundledpythonunix/bin/python3"}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		patterns = append(patterns, filepath.Join(dir, "python3"))
	}
	found := globSubjects(t, "/", patterns...)
	if len(found) == 0 {
		t.Fatal("no interpreter on this machine: the detector can't be compared with the truth")
	}
	for _, root := range fetched(t, runtime.GOARCH) {
		found = append(found, globSubjects(t, root, "/usr/bin/python3*", "/usr/bin/pypy3*")...)
	}
	return found
}

func globSubjects(t *testing.T, root string, patterns ...string) []subject {
	t.Helper()
	var found []subject
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			s := subject{root, "/" + strings.TrimPrefix(strings.TrimPrefix(f, root), "/")}
			if interpreterName.MatchString(filepath.Base(f)) && !slices.Contains(found, s) {
				found = append(found, s)
			}
		}
	}
	return found
}

// fetched returns the trees of an architecture that integration/fetch-pythons.sh made.
func fetched(t *testing.T, arch string) []string {
	t.Helper()
	cache := os.Getenv("HOSTRUN_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/hostrun-test"
	}
	roots, err := filepath.Glob(filepath.Join(cache, "pythons", "*-"+arch))
	if err != nil {
		t.Fatal(err)
	}
	why := ""
	switch {
	case len(roots) == 0:
		why = "no interpreters of " + arch + " in " + cache + ": run integration/fetch-pythons.sh"
	case arch == runtime.GOARCH && os.Geteuid() != 0:
		why = "chroot needs root: fetched interpreters are not compared"
	default:
		return roots
	}
	if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
		t.Fatal(why)
	}
	t.Log(why)
	return nil
}

func TestDetectPythonTellsTheTruth(t *testing.T) {
	for _, s := range interpreters(t) {
		t.Run(s.String(), func(t *testing.T) { compareWithTruth(t, s) })
	}
}

func TestDetectPythonTellsTheTruthOfVenvs(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range interpreters(t) {
		if err := s.command("-c", "import venv, ctypes").Run(); err != nil {
			continue // a minimal interpreter, which can make none
		}
		for name, flags := range map[string][]string{"plain": nil, "system": {"--system-site-packages"}, "copies": {"--copies"}} {
			real, err := rootfs.Dir(s.root).Resolve(s.path)
			if err != nil {
				t.Fatal(err)
			}
			if name != "plain" && seen[s.root+real.Path+name] {
				continue // a further name of an interpreter
			}
			seen[s.root+real.Path+name] = true
			dir := filepath.Join(t.TempDir(), "venv")
			if s.root != "/" {
				dir = filepath.Join("/tmp", "hostrun-test-venv-"+name)
				defer os.RemoveAll(filepath.Join(s.root, dir))
			}
			args := append(append([]string{"-m", "venv", "--without-pip"}, flags...), dir)
			if out, err := s.command(args...).CombinedOutput(); err != nil {
				if !strings.Contains(string(out), "SameFileError") { // Debian's PyPy can't copy itself
					t.Errorf("%s %v: %v\n%s", s, args, err, out)
				}
				continue
			}
			t.Run(name+s.String(), func(t *testing.T) { compareWithTruth(t, subject{s.root, filepath.Join(dir, "bin/python3")}) })
			if s.root != "/" {
				_ = os.RemoveAll(filepath.Join(s.root, dir))
			}
		}
	}
}

// compareWithFailure is for an interpreter that can't start: a standalone one whose copy in a virtual environment looks
// for its library beside itself. The detector must refuse it in the loader's words.
func compareWithFailure(t *testing.T, s subject, stderr string) {
	t.Helper()
	_, said, ok := strings.Cut(strings.TrimSpace(stderr), ": ")
	if !ok || !strings.HasPrefix(said, "error while loading shared libraries") {
		t.Fatalf("run %s: %s", s, stderr)
	}
	_, err := DetectPython(rootfs.Dir(s.root), s.path, Environment{})
	if err == nil || !strings.Contains(err.Error(), said) {
		t.Errorf("%s says %q, the detector %v", s, said, err)
	}
}

func compareWithTruth(t *testing.T, s subject) {
	t.Helper()
	exe := s.path
	cmd := s.command("-c", truthProbe)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		compareWithFailure(t, s, stderr.String())
		return
	}
	var want map[string]any
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	wd, _ := os.Getwd()
	p, err := DetectPython(rootfs.Dir(s.root), exe, Environment{Dir: wd, PyenvVersion: os.Getenv("PYENV_VERSION")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	have := map[string]any{}
	for field := range want {
		have[field] = got[field]
	}
	if v, ok := have["version"].(map[string]any); ok && v["serial"] == nil {
		v["serial"] = 0.0
	}
	if have["dynload"] == nil {
		have["dynload"] = ""
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s: the interpreter (-) and the detector (+) differ:\n%s", exe, diff)
	}
	if len(p.Conflicts) > 0 {
		t.Errorf("%s: conflicts %+v", exe, p.Conflicts)
	}
}

// An interpreter of another machine can't be asked; what Debian's package says of itself is known.
func TestDetectPythonOfAnotherMachine(t *testing.T) {
	for _, root := range fetched(t, "arm64") {
		pythons, findings := FindPythons(rootfs.Dir(root), Environment{})
		if len(pythons) != 1 || len(findings) > 0 {
			t.Fatalf("%s: %+v, %+v", root, pythons, findings)
		}
		p := pythons[0]
		type facts struct{ arch, libc, glibc, version, soabi, suffix, layout string }
		got := facts{p.Arch, p.Libc, p.LibcVersion, p.Version.String(), p.SOABI, p.ExtSuffix, p.Layout}
		want := facts{"aarch64", "glibc", "2.36", "3.11.2", "cpython-311-aarch64-linux-gnu", ".cpython-311-aarch64-linux-gnu.so", "debian"}
		if got != want || len(p.Conflicts) > 0 || len(p.Builtins) < 30 {
			t.Errorf("%+v, want %+v\n%+v", got, want, p)
		}
	}
}
