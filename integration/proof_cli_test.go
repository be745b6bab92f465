package integration

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"hostrun.dev/hostrun/finding"
)

// A provenRow is what these tests need of hostrun check --format json.
type provenRow struct {
	Fits     bool
	Findings []finding.Finding
	Proof    struct {
		Cached bool
		Counts struct{ Modules, Reached, OK, Conditional, Fail int }
	}
}

func (s *stage) proven(command ...string) (provenRow, int) {
	s.t.Helper()
	r := s.hostrun(append([]string{"check", "--format", "json", "job", "--"}, command...)...)
	var row provenRow
	if err := json.Unmarshal([]byte(r.stdout), &row); err != nil {
		s.t.Fatalf("%v: %v", err, r)
	}
	return row, r.status
}

// wheels makes an environment with wheels that bring native code, and returns its site directory.
func wheels(t *testing.T, s *stage, names ...string) (env, site string) {
	t.Helper()
	env = s.path("env")
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", env).CombinedOutput(); err != nil {
		skip(t, "/usr/bin/python3 -m venv: %v\n%s", err, out)
	}
	install := append([]string{"-m", "pip", "install", "-q", "--only-binary=:all:"}, names...)
	if out, err := exec.Command(filepath.Join(env, "bin/python3"), install...).CombinedOutput(); err != nil {
		skip(t, "pip install %v: %v\n%s", names, err, out)
	}
	found, err := filepath.Glob(env + "/lib/python3*/site-packages")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return env, found[0]
}

// A damage is done to one file of an environment. The new content takes the place of the file, as an installer does.
type damage struct {
	name    string
	file    string // pattern below the site directory
	to      func(b []byte) []byte
	rename  func(name string) string
	script  string
	id      string // of the finding; "" where Python catches the failure
	message string // in the finding's message and on the container's stderr; "" where the process dies
	sound   bool   // no module fails by itself: it depends on what is loaded before
}

func replaced(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(old+"\x00"), []byte(new+"\x00")) }
}

func cut(to int) func([]byte) []byte { return func(b []byte) []byte { return b[:min(to, len(b))] } }

var damages = []damage{
	{name: "library removed", file: "numpy.libs/libscipy_openblas*", rename: func(n string) string { return "x" + n },
		script: "import numpy", id: finding.NativeMissing, message: ": cannot open shared object file: No such file or directory"},
	{name: "module of another Python", file: "markupsafe/_speedups.*.so", rename: func(n string) string { return strings.Replace(n, "cpython-3", "cpython-2", 1) },
		script: "import markupsafe._speedups", id: finding.NativeSuffix, message: "No module named 'markupsafe._speedups'"},
	{name: "empty module", file: "numpy/_core/_multiarray_umath.*.so", to: cut(0), script: "import numpy", id: finding.NativeCorrupt, message: "file too short"},
	{name: "no ELF file", file: "numpy/_core/_multiarray_umath.*.so", to: func([]byte) []byte { return []byte(strings.Repeat("version https://git-lfs\n", 200)) },
		script: "import numpy", id: finding.NativeCorrupt, message: "invalid ELF header"},
	{name: "wrong machine", file: "numpy/_core/_multiarray_umath.*.so", to: func(b []byte) []byte { b[18] ^= 0xff; return b },
		script: "import numpy", id: finding.NativeArch, message: "cannot open shared object file"},
	{name: "newer glibc", file: "numpy/linalg/_umath_linalg.*.so", to: replaced("GLIBC_2.27", "GLIBC_2.97"),
		script: "import numpy.linalg", id: finding.NativeVersion, message: "version `GLIBC_2.97' not found"},
	{name: "another Python's symbols", file: "numpy/linalg/_umath_linalg.*.so", to: replaced("PyErr_NoMemory", "PyErr_NoMemorx"),
		script: "import numpy", id: finding.NativeUndefined, message: "undefined symbol: PyErr_NoMemorx"},
	{name: "cut off, and the process dies", file: "numpy/_core/_multiarray_umath.*.so", to: func(b []byte) []byte { return b[:len(b)/2] },
		script: "import numpy", id: finding.NativeCorrupt},
	{name: "an optional module, and Python goes on", file: "markupsafe/_speedups.*.so", to: cut(0), script: "import markupsafe; markupsafe.escape('<')"},
	{name: "refused by a flag", file: "numpy/_core/_multiarray_umath.*.so", to: neverOpened, script: "import numpy", id: finding.NativeGate,
		message: "shared object cannot be dlopen()ed"},
	{name: "library elsewhere, and loaded before", file: "numpy.libs/libscipy_openblas*", rename: func(n string) string { return "../markupsafe/" + n }, sound: true,
		script: "import ctypes, glob, os, markupsafe\nsite = os.path.dirname(os.path.dirname(markupsafe.__file__))\n" +
			"for name in ['numpy.libs/libquad*', 'numpy.libs/libgfort*', 'markupsafe/libscipy*']:\n    for lib in glob.glob(site + '/' + name): ctypes.CDLL(lib)\nimport numpy"},
	{name: "not imported", file: "numpy/_core/_multiarray_umath.*.so", to: cut(0), script: "import markupsafe"},
}

// TestCheckSaysWhatHappens: for whole and for damaged packages, check says how the container ends and by which words. As
// each damage is another change below the same command, it shows too that an earlier proof is not used again.
func TestCheckSaysWhatHappens(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	env, site := wheels(t, s, "numpy", "markupsafe")
	records, err := filepath.Glob(filepath.Join(site, "*-*", "RECORD"))
	must(t, err)
	for _, record := range records {
		must(t, os.Remove(record))
	}
	// A distribution's packages have none: what is gone from it is another finding.
	s.load(slim(t, "job"))
	s.profile("job", fmt.Sprintf("image: job\npull_policy: never\npython: %q\ncommand: [python3, -c, 'import time; time.sleep(1000)']\nstop_grace_period: 1s\n", env+"/bin/python3"))
	s.must("up", "job")
	defer s.hostrun("down", "job")
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) { s.compare(t, site, d) })
	}
}

// compare asks check and the running container before, with and after a damage.
func (s *stage) compare(t *testing.T, site string, d damage) {
	command := []string{"python3", "-c", d.script}
	s.fitting(t, command)
	restore := d.do(t, site)
	defer func() {
		restore()
		s.fitting(t, command)
	}()
	s.unreached(t, d)
	row, status := s.proven(command...)
	really := s.hostrun(append([]string{"exec", "job", "--"}, command...)...)
	stops := finding.Errors(row.Findings)
	switch {
	case d.id == "":
		if status != 0 || really.status != 0 || (row.Proof.Counts.Fail == 0) != d.sound {
			t.Errorf("check ends with %d and finds %v (%+v); the container: %v", status, row.Findings, row.Proof, really)
		}
	case status != finding.StatusMisfit || really.status == 0 || len(stops) == 0 || stops[0].ID != d.id:
		t.Errorf("check ends with %d and finds %+v; want %s. The container: %v", status, stops, d.id, really)
	case d.message == "" && really.status != 128+int(syscall.SIGBUS):
		t.Errorf("check says that the process dies (%v); the container: %v", stops[0], really)
	case !strings.Contains(stops[0].Message, d.message) || !strings.Contains(really.stderr, strings.TrimPrefix(stops[0].Message, "ImportError: ")) && d.message != "":
		t.Errorf("check quotes %q, want %q; the container says: %v", stops[0].Message, d.message, really)
	}
}

// A refusedRow is what these tests need of hostrun check --modules and --distributions.
type refusedRow struct {
	Module, Path, Distribution, Side, Verdict, Message string
	Reached                                            bool
}

func (s *stage) rows(arg ...string) (rows []refusedRow, status int) {
	s.t.Helper()
	r := s.hostrun(append([]string{"check", "--format", "json", "--only", "failing"}, arg...)...)
	for dec := json.NewDecoder(strings.NewReader(r.stdout)); ; {
		var row refusedRow
		if err := dec.Decode(&row); err == io.EOF {
			return rows, r.status
		} else if err != nil {
			s.t.Fatalf("%v: %v", err, r)
		}
		rows = append(rows, row)
	}
}

// openFile makes the interpreter open a native module by its path: the loader's own words, whatever the package makes of them.
const openFile = "import sys, importlib.util as u, importlib.machinery as m\nu.module_from_spec(u.spec_from_file_location(sys.argv[1], sys.argv[2], loader=m.ExtensionFileLoader(*sys.argv[1:3])))"

// unreached: what a command does not import is a warning, and with --strict an error. Each row of --modules quotes what
// the container's interpreter says of that very file; --distributions sums them up.
func (s *stage) unreached(t *testing.T, d damage) {
	t.Helper()
	idle := []string{"job", "--", "python3", "-c", "pass"}
	row, status := s.proven("python3", "-c", "pass")
	warned := slices.ContainsFunc(row.Findings, func(f finding.Finding) bool { return f.ID == finding.NativeOthers && f.Severity == finding.Warning })
	if status != 0 || warned == d.sound {
		t.Errorf("not imported: check ends with %d: %+v", status, row.Findings)
	}
	modules, status := s.rows(append([]string{"--strict", "--modules"}, idle...)...)
	if (status == finding.StatusMisfit) == d.sound || (len(modules) == 0) != d.sound {
		t.Errorf("--strict ends with %d: %+v", status, modules)
	}
	if d.sound || len(modules) == 0 {
		return
	}
	m := modules[0]
	really := s.hostrun("exec", "job", "--", "python3", "-c", openFile, m.Module, m.Path)
	if m.Verdict == "ignored-suffix" {
		really = s.hostrun("exec", "job", "--", "python3", "-c", "import "+m.Module)
	}
	if really.status == 0 || really.status != 128+int(syscall.SIGBUS) && !strings.Contains(really.stderr, m.Message) {
		t.Errorf("the container says %v of %+v", really, m)
	}
	dists, status := s.rows(append([]string{"--distributions"}, idle...)...)
	if status != 0 || len(dists) != 1 || !strings.HasPrefix(m.Module, strings.ToLower(dists[0].Distribution)) || dists[0].Side != "host" || dists[0].Verdict != m.Verdict || dists[0].Reached {
		t.Errorf("--distributions ends with %d: %+v; its module %+v", status, dists, m)
	}
}

// neverOpened sets DF_1_NOOPEN in place of DT_RELACOUNT, which the loader does not need (gABI, "Dynamic Section").
func neverOpened(b []byte) []byte {
	count := binary.LittleEndian.AppendUint64(nil, uint64(elf.DT_RELACOUNT))
	for at := 0; at+16 <= len(b); at += 8 {
		if bytes.Equal(b[at:at+8], count) {
			binary.LittleEndian.PutUint64(b[at:], uint64(elf.DT_FLAGS_1))
			binary.LittleEndian.PutUint64(b[at+8:], uint64(elf.DF_1_NOOPEN))
			break
		}
	}
	return b
}

func (s *stage) fitting(t *testing.T, command []string) {
	t.Helper()
	if row, status := s.proven(command...); status != 0 || row.Proof.Counts.Fail != 0 {
		t.Fatalf("before the damage: check ends with %d: %+v", status, row)
	}
	if r := s.hostrun(append([]string{"exec", "job", "--"}, command...)...); r.status != 0 {
		t.Fatalf("before the damage: %v", r)
	}
}

// do damages the file, and returns how to restore it.
func (d damage) do(t *testing.T, site string) func() {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(site, d.file))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	file, kept := found[0], found[0]+".kept"
	whole, err := os.ReadFile(file)
	must(t, err)
	must(t, os.Rename(file, kept))
	name := file
	if d.rename != nil {
		name = filepath.Join(filepath.Dir(file), d.rename(filepath.Base(file)))
	}
	if d.to != nil {
		damaged := d.to(bytes.Clone(whole))
		if bytes.Equal(damaged, whole) {
			t.Fatalf("%s has nothing to damage", file)
		}
		whole = damaged
	}
	must(t, os.WriteFile(name, whole, 0o644))
	return func() {
		must(t, os.Remove(name))
		must(t, os.Rename(kept, file))
	}
}
