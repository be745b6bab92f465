package frameworks

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/rootfs"
)

// small are wheels that any run of the tests fetches; HOSTRUN_TRUTH=1 (make truth) takes all of frameworks.txt.
var small = []string{"xformers", "onnxruntime"}

// wheelSites are site directories with real wheels.
func wheelSites(t *testing.T) map[string]string {
	t.Helper()
	script, err := filepath.Abs("../../integration/truth/frameworks.sh")
	if err != nil {
		t.Fatal(err)
	}
	names := small
	if os.Getenv("HOSTRUN_TRUTH") != "" {
		names = nil
	}
	cmd := exec.Command(script, names...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil && names != nil {
		fixture.Skip(t, "integration/truth/frameworks.sh fetched no wheels: "+err.Error())
	}
	cache := os.Getenv("HOSTRUN_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/hostrun-test"
	}
	sites := map[string]string{}
	found, _ := filepath.Glob(cache + "/truth/frameworks/*")
	for _, dir := range found {
		if names == nil || slices.Contains(names, filepath.Base(dir)) {
			sites[filepath.Base(dir)] = dir
		}
	}
	return sites
}

// said is what a source file says when Python itself runs it.
func said(t *testing.T, file string) map[string]any {
	t.Helper()
	const program = `import json, runpy, sys
names = runpy.run_path(sys.argv[1])
print(json.dumps({k: v for k, v in names.items() if isinstance(v, (str, bool, type(None)))} | {"build_info": dict(names.get("build_info", {}))}))`
	out, err := exec.Command("/usr/bin/python3", "-I", "-c", program, file).Output()
	var values map[string]any
	if err != nil || json.Unmarshal(out, &values) != nil {
		t.Fatalf("%s: %v: %s", file, err, out)
	}
	return values
}

// TestRealWheels holds what is read of wheels against their own files as Python runs them, against the build's
// configuration for C++, and the architectures that torch names against the GPU code that it has.
func TestRealWheels(t *testing.T) {
	for name, dir := range wheelSites(t) {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			f := Read(rootfs.Dir(dir), Places{Sites: []string{"/"}, Python: "3.11.2", Arch: "x86_64"})
			t.Logf("%v: %d libraries, %d conflicts", time.Since(began), len(f.Provided), len(f.Conflict))
			if f.Torch != nil {
				checkTorch(t, dir, f.Torch)
			}
			if n := f.TorchNPU; n != nil {
				values := said(t, dir+"/torch_npu/version.py")
				if n.Version != values["__version__"] || !strings.Contains(n.TorchSays, n.TorchBase) || n.Autoload == "" || !hasNeed(n.Needs, "libascendcl.so") {
					t.Errorf("torch_npu: %+v; its version.py says %v", n, values)
				}
			}
			if f.Empty() && len(f.Provided) == 0 {
				t.Error("nothing was read")
			}
			for _, o := range f.Others {
				checkOther(t, dir, o)
			}
		})
	}
}

func hasNeed(needs []Need, soname string) bool {
	return slices.ContainsFunc(needs, func(n Need) bool { return n.Soname == soname })
}

func checkTorch(t *testing.T, dir string, torch *Torch) {
	t.Helper()
	values := said(t, dir+"/torch/version.py")
	for fact, got := range map[string]string{"__version__": torch.Version, "cuda": torch.CUDA, "hip": torch.HIP, "xpu": torch.XPU, "rocm": torch.ROCm} {
		if want, _ := values[fact].(string); got != want {
			t.Errorf("%s: %q, and version.py says %q", fact, got, want)
		}
	}
	if b, err := os.ReadFile(dir + "/torch/share/cmake/Torch/TorchConfig.cmake"); err == nil {
		// Since 2.8 the configuration is silent: there is one ABI, the new.
		want := "1"
		if m := regexp.MustCompile(`_GLIBCXX_USE_CXX11_ABI=(\d)`).FindStringSubmatch(string(b)); m != nil {
			want = m[1]
		}
		if torch.CXX11ABI != want {
			t.Errorf("CXX11 ABI %q, and TorchConfig.cmake says %q", torch.CXX11ABI, want)
		}
	}
	if torch.CUDA == "" {
		return
	}
	n, ok := openNative(rootfs.Dir(dir), "/torch/lib/libtorch_cuda.so")
	if !ok {
		t.Fatal("no libtorch_cuda.so")
	}
	defer n.close()
	sass, ptx := split(n.codeArchs())
	if !reflect.DeepEqual(sass, torch.SASS) || !reflect.DeepEqual(ptx, torch.PTX) {
		t.Errorf("the constant says %v %v, and the code is for %v %v", torch.SASS, torch.PTX, sass, ptx)
	}
	if majors := CUDAMajors(torch.Needs); len(majors) != 1 || majors[0] != torch.CUDAMajor() {
		t.Errorf("it is built for CUDA %s and asks for %v", torch.CUDA, majors)
	}
}

// oracles are files that say facts of others: literal -> fact.
var oracles = map[string]string{"onnxruntime": "capi/build_and_package_info.py", "tensorflow": "python/platform/build_info.py", "cupy": "_version.py", "paddle": "version/__init__.py"}

func checkOther(t *testing.T, dir string, o Other) {
	t.Helper()
	if o.Version == "" {
		t.Errorf("%s has no version", o.Name)
	}
	file, ok := oracles[filepath.Base(o.Dir)]
	if !ok {
		return
	}
	values := said(t, filepath.Join(dir, o.Dir, file))
	if info, ok := values["build_info"].(map[string]any); ok && len(info) > 0 {
		values = info
	}
	for _, name := range []string{"__version__", "full_version"} {
		if want, ok := values[name]; ok && want != o.Version {
			t.Errorf("%s: version %q, want %v", o.Name, o.Version, want)
		}
	}
	if want, ok := values["cuda_version"].(string); ok && want != "False" && want != o.CUDA {
		t.Errorf("%s: CUDA %q, want %v", o.Name, o.CUDA, want)
	}
	if list, ok := values["cuda_compute_capabilities"].([]any); ok && len(list) != len(o.SASS)+len(o.PTX) {
		t.Errorf("%s: %v %v, want %v", o.Name, o.SASS, o.PTX, list)
	}
}
