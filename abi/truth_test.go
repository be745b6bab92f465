package abi

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/rootfs"
)

// truthProbe prints what the running interpreter says of itself, by the JSON names of Python. Its test modules that
// only python-build-standalone compiles in stay out, as in the detector.
const truthProbe = `
import sys, json, os, struct
import importlib.machinery as m
import sysconfig, site
v = sys.version_info
var = sysconfig.get_config_var
if hasattr(sys, 'pypy_version_info'): builtins = None
else: builtins = sorted(sys.builtin_module_names)
dyn = os.path.join(os.path.dirname(os.__file__), 'lib-dynload')
debug = hasattr(sys, 'gettotalrefcount')
print(json.dumps({
 'implementation': sys.implementation.name,
 'version': {'major': v[0], 'minor': v[1], 'micro': v[2], 'level': v[3], 'serial': v[4]},
 'abiflags': getattr(sys, 'abiflags', ''),
 'soabi': var('SOABI') or '', 'ext_suffix': var('EXT_SUFFIX'), 'multiarch': var('MULTIARCH') or '',
 'suffixes': m.EXTENSION_SUFFIXES,
 'arch': os.uname().machine, 'bits': struct.calcsize('P') * 8,
 'prefix': sys.prefix, 'base_prefix': sys.base_prefix,
 'stdlib': os.path.dirname(os.__file__),
 'dynload': dyn if os.path.isdir(dyn) else '',
 'debug': debug, 'trace_refs': hasattr(sys, 'getobjects'),
 'free_threaded': not getattr(sys, '_is_gil_enabled', lambda: True)() or bool(var('Py_GIL_DISABLED')),
 'builtins': builtins,
 'site_dirs': [d for d in site.getsitepackages() if os.path.isdir(d)],
}))
`

// interpreters finds those of this machine at run time: PATH, pyenv's, and /usr/bin's.
func interpreters(t *testing.T) []string {
	t.Helper()
	root := os.Getenv("PYENV_ROOT")
	if root == "" {
		home, _ := os.UserHomeDir()
		root = filepath.Join(home, ".pyenv")
	}
	patterns := []string{filepath.Join(root, "versions/*/bin/python3"), "/usr/bin/python3*", "/usr/bin/pypy3*"}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		patterns = append(patterns, filepath.Join(dir, "python3"))
	}
	var found []string
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if interpreterName.MatchString(filepath.Base(f)) && !contains(found, f) {
				found = append(found, f)
			}
		}
	}
	if len(found) == 0 {
		t.Fatal("no interpreter on this machine: the detector can't be compared with the truth")
	}
	return found
}

func TestDetectPythonTellsTheTruth(t *testing.T) {
	for _, exe := range interpreters(t) {
		t.Run(strings.ReplaceAll(exe, "/", "_"), func(t *testing.T) { compareWithTruth(t, exe) })
	}
}

func TestDetectPythonTellsTheTruthOfVenvs(t *testing.T) {
	for _, exe := range interpreters(t) {
		for name, flags := range map[string][]string{"plain": nil, "system": {"--system-site-packages"}, "copies": {"--copies"}} {
			dir := filepath.Join(t.TempDir(), "venv")
			args := append(append([]string{"-m", "venv", "--without-pip"}, flags...), dir)
			if out, err := exec.Command(exe, args...).CombinedOutput(); err != nil {
				if strings.Contains(string(out), "Error") && !strings.Contains(string(out), "SameFileError") {
					t.Errorf("%s %v: %v\n%s", exe, args, err, out)
				}
				continue
			}
			t.Run(name+strings.ReplaceAll(exe, "/", "_"), func(t *testing.T) { compareWithTruth(t, filepath.Join(dir, "bin/python3")) })
		}
	}
}

func compareWithTruth(t *testing.T, exe string) {
	t.Helper()
	cmd := exec.Command(exe, "-c", truthProbe)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PYTHON") })
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run %s: %v", exe, err)
	}
	var want map[string]any
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	wd, _ := os.Getwd()
	p, err := DetectPython(rootfs.Dir("/"), exe, Environment{Dir: wd, PyenvVersion: os.Getenv("PYENV_VERSION")})
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
