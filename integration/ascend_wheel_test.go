package integration

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/integration/image/archive"
)

// The wheel of torch_npu is the real one. Of torch, whose wheel is twenty times its size, and of CANN, which nobody may
// redistribute, there are libraries with the real names that define what the wheel asks of them.
const torchNPU = "torch_npu==2.7.1.post4"

var (
	torchLibraries = []string{"libc10.so", "libtorch.so", "libtorch_cpu.so", "libtorch_python.so"}
	// systemLibraries are those that the image has.
	systemLibraries = regexp.MustCompile(`^(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so|ld-linux)`)
	cannSymbol      = regexp.MustCompile(`^(acl|Hccl|hccl|Ge|ge|_ZNK?2ge|_ZTI?V?N2ge|_ZN4acl|Adx|Prof|Ms)`)
)

// wanted are the symbols that the wheel's libraries leave to others without a version, not those of libc, libstdc++ and Python,
// and the libraries of CANN that they name.
func wanted(t *testing.T, site string) (functions, variables, libraries []string) {
	t.Helper()
	defined, seen, needed := map[string]bool{}, map[string]elf.SymType{}, map[string]bool{}
	ok(t, filepath.WalkDir(filepath.Join(site, "torch_npu"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".so") {
			return err
		}
		f, err := elf.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		names, err := f.ImportedLibraries()
		ok(t, err)
		for _, name := range names {
			needed[name] = true
		}
		defined[filepath.Base(p)] = true
		symbols, err := f.DynamicSymbols()
		for _, s := range symbols {
			switch {
			case s.Section != elf.SHN_UNDEF:
				defined[s.Name] = true
			case elf.ST_BIND(s.Info) == elf.STB_GLOBAL && s.Version == "" && !strings.HasPrefix(s.Name, "Py") && !strings.HasPrefix(s.Name, "_Py"):
				seen[s.Name] = elf.ST_TYPE(s.Info)
			}
		}
		return err
	}))
	for name, kind := range seen {
		if defined[name] {
			continue
		}
		if kind == elf.STT_TLS {
			variables = append(variables, name)
		} else {
			functions = append(functions, name)
		}
	}
	for name := range needed {
		if !defined[name] && !slices.Contains(torchLibraries, name) && !systemLibraries.MatchString(name) {
			libraries = append(libraries, name)
		}
	}
	slices.Sort(functions)
	slices.Sort(variables)
	slices.Sort(libraries)
	return functions, variables, libraries
}

// assemble makes a library that defines the symbols.
func assemble(t *testing.T, out string, functions, variables []string, args ...string) {
	t.Helper()
	var b strings.Builder
	b.WriteString(".text\n")
	for _, name := range functions {
		fmt.Fprintf(&b, ".globl %[1]s\n.type %[1]s,@function\n%[1]s: ret\n", name)
	}
	b.WriteString(".section .tbss,\"awT\",@nobits\n")
	for _, name := range variables {
		fmt.Fprintf(&b, ".globl %[1]s\n.type %[1]s,@object\n%[1]s: .zero 16\n", name)
	}
	b.WriteString(".section .note.GNU-stack,\"\",@progbits\n")
	file := filepath.Join(t.TempDir(), "a.s")
	ok(t, os.WriteFile(file, []byte(b.String()), 0o644))
	ok(t, os.MkdirAll(filepath.Dir(out), 0o755))
	line := append([]string{"-shared", "-nostdlib", "-o", out, file, "-Wl,-soname," + filepath.Base(out)}, args...)
	if text, err := exec.Command("gcc", line...).CombinedOutput(); err != nil {
		skip(t, "gcc: %v\n%s", err, text)
	}
}

// standIns puts a torch into the environment and returns the libraries of CANN as files of an image.
func standIns(t *testing.T, site string) []archive.File {
	t.Helper()
	functions, variables, libraries := wanted(t, site)
	var cann []string
	functions = slices.DeleteFunc(functions, func(name string) bool {
		is := cannSymbol.MatchString(name)
		if is {
			cann = append(cann, name)
		}
		return is
	})
	if len(functions) < 1000 || len(cann) < 50 || !slices.Contains(libraries, "libhccl.so") {
		t.Fatalf("%d symbols of torch, %d of CANN, in %q: the wheel is not what it was", len(functions), len(cann), libraries)
	}
	lib := filepath.Join(site, "torch/lib")
	var files []string
	for _, name := range torchLibraries {
		f, v := functions, variables
		if name != "libtorch_cpu.so" {
			f, v = nil, nil
		}
		assemble(t, filepath.Join(lib, name), f, v)
		files = append(files, filepath.Join(lib, name))
	}
	// torch/_C is what loads torch's libraries, as in the real one.
	suffix, err := filepath.Glob(filepath.Join(site, "torch_npu/_C.*.so"))
	ok(t, err)
	compile(t, "extern void *PyModuleDef_Init(void *);\nstatic void *def[13] = {(void *)1, 0, 0, 0, 0, \"_C\"};\nvoid *PyInit__C(void) { return PyModuleDef_Init(def); }\n",
		filepath.Join(site, "torch", filepath.Base(suffix[0])), append(files, "-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN/lib", "-L"+lib, "-ltorch_python", "-ltorch", "-ltorch_cpu", "-lc10")...)
	ok(t, os.WriteFile(filepath.Join(site, "torch/__init__.py"), []byte("from torch import _C\n"), 0o644))
	var image []archive.File
	for _, name := range libraries {
		out := filepath.Join(t.TempDir(), name)
		assemble(t, out, append(cann[:len(cann):len(cann)], functions...), nil) // some of CANN's names tell not whose they are
		image = append(image, archive.File{Path: "/usr/local/Ascend/cann-9.0.0/lib64/" + name, Mode: 0o755, Content: content(t, out)})
	}
	return image
}

// A moduleRow is a line of hostrun check --modules --format json.
type moduleRow struct{ Module, Path, Verdict, Message string }

func (s *stage) modules(python, image string) map[string]moduleRow {
	s.t.Helper()
	r := s.hostrun("check", "--modules", "--format", "json", "--host", python, "--image", image)
	all := map[string]moduleRow{}
	for line := range strings.Lines(r.stdout) {
		var row moduleRow
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			s.t.Fatalf("%v: %v", err, r)
		}
		if row.Module != "" {
			all[row.Module] = row
		}
	}
	return all
}

// TestTorchNPUWheel proves the real wheel of torch_npu: an image without CANN lacks libhccl.so, by the loader's words, and one that
// has libraries of CANN's names lacks nothing.
func TestTorchNPUWheel(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	env, site := wheels(t, s, "--no-deps", torchNPU)
	cann := standIns(t, site)
	// Each module is asked about by itself. That torch's libraries are loaded before is told here by a search path.
	const torch = "LD_LIBRARY_PATH=/opt/hostrun/site/0/torch/lib"
	without := slim(t, "plain")
	without.Config.Env = append(without.Config.Env, torch)
	s.load(without)
	with := slim(t, "cann", cann...)
	with.Config.Env = append(with.Config.Env, "ASCEND_HOME_PATH=/usr/local/Ascend/cann-9.0.0", torch+":/usr/local/Ascend/cann-9.0.0/lib64")
	s.load(with)
	python := env + "/bin/python3"
	plain := s.modules(python, "plain")
	row := plain["torch_npu._C"]
	if row.Verdict != "missing" || !strings.Contains(row.Message, "libhccl.so: cannot open shared object file: No such file or directory") {
		t.Errorf("without CANN: %+v", row)
	}
	rows := s.modules(python, "cann")
	for name, row := range rows {
		if row.Verdict == "missing" {
			t.Errorf("with CANN's libraries: %s: %+v", name, row)
		}
	}
	// The others are libraries of _torchair, which defines what they refer to.
	for _, name := range []string{"torch_npu._C", "torch_npu.dynamo.torchair.core._torchair"} {
		if rows[name].Verdict != "ok" {
			t.Errorf("with CANN's libraries: %+v", rows[name])
		}
	}
}
