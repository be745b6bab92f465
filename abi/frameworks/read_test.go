package frameworks

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// tree writes files below a root and returns a view of it.
func tree(tb testing.TB, files map[string]string) *rootfs.View {
	tb.Helper()
	root := tb.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return rootfs.Dir(root)
}

// site is where the tests' packages lie.
const site = "/site"

func read(tb testing.TB, files map[string]string) Facts {
	tb.Helper()
	return Read(tree(tb, files), Places{Sites: []string{site, "/second"}, Python: "3.11.2", Arch: "x86_64"})
}

const torchVersion = `from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', 'rocm', 'xpu']
__version__ = '2.6.0+cu124'
debug = False
cuda: Optional[str] = '12.4'
git_version = '2236df1770800ffea5697b11b0bb0d910b2e59e1'
hip: Optional[str] = None
xpu: Optional[str] = None
`

// so is a shared object with what frameworks are known by.
func so(needed ...string) string { return string(makeELF(elfParts{needed: needed})) }

func TestTorchIsReadFromItsFiles(t *testing.T) {
	f := read(t, map[string]string{
		"site/torch/version.py":                                     torchVersion,
		"site/torch/lib/libc10.so":                                  string(makeELF(elfParts{symbols: []string{"_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"}})),
		"site/torch/lib/libtorch_cuda.so":                           so("libcudart.so.12", "libcudnn.so.9", "libc10.so", "libcuda.so.1", "libm.so.6"),
		"site/torch/lib/libc10_cuda.so":                             so("libcudart.so.12"),
		"site/torch/lib/libtorch_python.so":                         string(makeELF(elfParts{rodata: "sm_70\x00sm_80 sm_90a compute_90\x00usage: sm_80 sm_90 sm_100 sm_110\x00"})),
		"site/torch/lib/libother.so":                                so("libnccl.so.2"),
		"site/nvidia/cuda_runtime/lib/libcudart.so.12":              so(),
		"site/nvidia_cuda_runtime_cu12-12.4.127.dist-info/RECORD":   "nvidia/cuda_runtime/lib/libcudart.so.12,sha256=x,1\n",
		"site/nvidia_cuda_runtime_cu12-12.4.127.dist-info/METADATA": "Name: nvidia-cuda-runtime-cu12\nVersion: 12.4.127\n\n",
		"site/nvidia_cusparselt_cu12-0.6.2.dist-info/RECORD":        "cusparselt/lib/libcusparseLt.so.0,,\nnvidia/gone/lib/libgone.so.1,,\n",
		"site/cusparselt/lib/libcusparseLt.so.0":                    so(),
		"second/torch/version.py":                                   strings.ReplaceAll(torchVersion, "2.6.0", "9.9.9"),
	})
	want := &Torch{Version: "2.6.0+cu124", Dir: "/site/torch", CUDA: "12.4", CXX11ABI: "1", SASS: []string{"sm_80", "sm_90a"}, PTX: []string{"compute_90"},
		ArchsFrom: "/site/torch/lib/libtorch_python.so", Needs: []Need{
			{Soname: "libcudart.so.12", Name: "cudart", Major: "12", By: []string{"libc10_cuda.so", "libtorch_cuda.so"}, Found: "/site/nvidia/cuda_runtime/lib/libcudart.so.12", From: "wheel"},
			{Soname: "libcudnn.so.9", Name: "cudnn", Major: "9", By: []string{"libtorch_cuda.so"}},
		}}
	if !reflect.DeepEqual(f.Torch, want) {
		t.Errorf("torch\n got %+v\nwant %+v", f.Torch, want)
	}
	provided := []Library{{"libcudart.so.12", "/site/nvidia/cuda_runtime/lib/libcudart.so.12", "nvidia-cuda-runtime-cu12", "12.4.127"},
		{"libcusparseLt.so.0", "/site/cusparselt/lib/libcusparseLt.so.0", "nvidia-cusparselt-cu12", "0.6.2"}}
	if !reflect.DeepEqual(f.Provided, provided) {
		t.Errorf("provided\n got %+v\nwant %+v", f.Provided, provided)
	}
}

func TestFindLooksWhereNoWheelServes(t *testing.T) {
	view := tree(t, map[string]string{"cuda/lib64/libcudnn.so.9": "", "lib/libcudnn.so.9": "", "lib/libcudart.so.12": ""})
	f := Facts{Torch: &Torch{Needs: []Need{{Soname: "libcudart.so.12", Found: "/w", From: "wheel"}, {Soname: "libcudnn.so.9"}, {Soname: "libnccl.so.2", Found: "/old", From: "system"}}}}
	f.Find(view, []Place{{"/cuda/lib64", "toolkit"}, {"/lib", "system"}})
	want := []Need{{Soname: "libcudart.so.12", Found: "/w", From: "wheel"}, {Soname: "libcudnn.so.9", Found: "/cuda/lib64/libcudnn.so.9", From: "toolkit"}, {Soname: "libnccl.so.2"}}
	if !reflect.DeepEqual(f.Torch.Needs, want) {
		t.Errorf("got %+v", f.Torch.Needs)
	}
}

func TestArchitecturesComeFromTheCodeWhereNoConstantTells(t *testing.T) {
	f := read(t, map[string]string{
		"site/torch/version.py":             torchVersion,
		"site/torch/lib/libtorch_python.so": so(),
		"site/torch/lib/libtorch_cuda.so":   string(makeELF(elfParts{fatbin: fatbin([][]object{{{2, 80, 0}, {2, 90, flagExact}, {1, 90, 0}}, {{2, 80, 0}, {1, 90, 0}, {2, 100, flagFamily}}, {{2, 80, 0}}})})),
	})
	if got := f.Torch; !reflect.DeepEqual(got.SASS, []string{"sm_80"}) || !reflect.DeepEqual(got.PTX, []string{"compute_90"}) || got.ArchsFrom != "/site/torch/lib/libtorch_cuda.so" {
		t.Errorf("got %v %v from %s; an architecture of less than half of the source files does not count", got.SASS, got.PTX, got.ArchsFrom)
	}
}

func TestTorchNPU(t *testing.T) {
	f := read(t, map[string]string{
		"site/torch/version.py":                                 strings.NewReplacer("'12.4'", "None", "2.6.0+cu124", "2.5.1+cpu").Replace(torchVersion),
		"site/torch_npu/version.py":                             "__version__ = '2.5.1.post1'\n",
		"site/torch_npu/lib/libtorch_npu.so":                    so("libascendcl.so", "libhccl.so", "libtorch_cpu.so", "libc10.so", "libstdc++.so.6", "libnpu_own.so"),
		"site/torch_npu/lib/libnpu_own.so":                      so("libge_runner.so"),
		"site/torch_npu-2.5.1.post1.dist-info/METADATA":         "Version: 2.5.1.post1\nRequires-Dist: torch==2.5.1\n",
		"site/torch_npu-2.5.1.post1.dist-info/entry_points.txt": "[console_scripts]\nx = y:z\n\n[torch.backends]\ntorch_npu = torch_npu:_autoload\n",
	})
	var sonames []string
	for _, n := range f.TorchNPU.Needs {
		sonames = append(sonames, n.Soname)
	}
	if got := f.TorchNPU; got.TorchBase != "2.5.1" || got.TorchSays != "torch==2.5.1" || got.Autoload != "torch_npu:_autoload" ||
		!reflect.DeepEqual(sonames, []string{"libascendcl.so", "libge_runner.so", "libhccl.so"}) {
		t.Errorf("got %+v, needs %v", got, sonames)
	}
	if f.Torch.Accelerator() != "" || len(f.Findings(Wants{NPU: true, Imported: []string{"torch"}})) != 0 {
		t.Errorf("a pair that fits is refused: %+v", f.Findings(Wants{NPU: true}))
	}
}

func TestOthers(t *testing.T) {
	f := read(t, map[string]string{
		"site/jax/version.py": "_version = \"0.10.2\"\n", "site/jax_plugins/xla_cuda12/__init__.py": "",
		"site/tensorflow/python/platform/build_info.py":                            "build_info = collections.OrderedDict([('cuda_compute_capabilities', ['sm_60', 'compute_90']), ('cuda_version', '12.5.1'), ('cudnn_version', '9'), ('is_cuda_build', True)])",
		"site/tensorflow-2.21.0.dist-info/METADATA":                                "Version: 2.21.0\n",
		"site/onnxruntime/capi/build_and_package_info.py":                          "package_name = 'onnxruntime-gpu'\n__version__ = '1.31.1'\ncuda_version = '13.0'\n",
		"site/onnxruntime/capi/libonnxruntime_providers_cuda.so":                   string(makeELF(elfParts{needed: []string{"libcublas.so.13"}, fatbin: fatbin([][]object{{{2, 90, flagExact}}})})),
		"site/onnxruntime/capi/libonnxruntime_providers_shared.so":                 so(),
		"site/onnxruntime-1.32.0.dist-info/METADATA":                               "Version: 1.32.0\n",
		"site/onnxruntime_gpu-1.31.1.dist-info/METADATA":                           "Version: 1.31.1\n",
		"site/xformers/version.py":                                                 "__version__ = '0.0.35'\n",
		"site/xformers/cpp_lib.json":                                               `{"version": {"cuda": 1208, "hip": null, "torch": "2.10.0+cu128", "python": "3.10.19"}}`,
		"site/flash_attn/__init__.py":                                              "__version__ = \"2.7.4.post1\"\n",
		"site/flash_attn-2.7.4.post1+cu12torch2.6cxx11abiFALSE.dist-info/METADATA": "Version: 2.7.4.post1+cu12torch2.6cxx11abiFALSE\n",
		"site/paddle/version/__init__.py":                                          "full_version     = '3.3.1'\ncuda_version = 'False'\n",
		"site/cupy/_version.py":                                                    "__version__ = '14.2.0'\n",
		"site/cupy_cuda12x-14.2.0.dist-info/METADATA":                              "Version: 14.2.0\n",
		"site/vllm/_version.py":                                                    "__version__ = version = '0.9.2'\n",
		"site/vllm-0.9.2.dist-info/METADATA":                                       "Version: 0.9.2\nRequires-Dist: torch==2.7.0\n",
		"site/triton/README":                                                       "no package\n",
	})
	want := []Other{
		{Name: "cupy-cuda12x", Version: "14.2.0", Dir: "/site/cupy", CUDA: "12"},
		{Name: "flash-attn", Version: "2.7.4.post1", Dir: "/site/flash_attn", Torch: "2.6"},
		{Name: "jax", Version: "0.10.2", Dir: "/site/jax", CUDA: "12", Backends: []string{"cuda12"}},
		{Name: "onnxruntime-gpu", Version: "1.31.1", Dir: "/site/onnxruntime", CUDA: "13.0", SASS: []string{"sm_90a"}, Backends: []string{"cuda"},
			Needs: []Need{{Soname: "libcublas.so.13", Name: "cublas", Major: "13", By: []string{"libonnxruntime_providers_cuda.so"}}}},
		{Name: "paddle", Version: "3.3.1", Dir: "/site/paddle"},
		{Name: "tensorflow", Version: "2.21.0", Dir: "/site/tensorflow", CUDA: "12.5.1", CUDNN: "9", SASS: []string{"sm_60"}, PTX: []string{"compute_90"}},
		{Name: "vllm", Version: "0.9.2", Dir: "/site/vllm", Torch: "2.7.0"},
		{Name: "xformers", Version: "0.0.35", Dir: "/site/xformers", Torch: "2.10.0+cu128"},
	}
	if !reflect.DeepEqual(f.Others, want) {
		t.Errorf("got\n%+v\nwant\n%+v", f.Others, want)
	}
}

func TestOddTreesTellNothing(t *testing.T) {
	if f := read(t, nil); !f.Empty() {
		t.Errorf("an absent site tells %+v", f)
	}
	f := read(t, map[string]string{
		"site/torch/version.py":             "__version__ = '2.6.0'\ncuda = '12.4'\n",
		"site/torch/lib/libc10.so":          "",
		"site/torch/lib/libtorch_python.so": "\x7fELF\x02\x01",
		"site/torch/lib/libtorch_cuda.so":   strings.Repeat("\x7fELF\x02\x01\xff\xff", 99),
		"site/torch_npu":                    "a file",
		"site/jax/version.py/x":             "a directory of that name",
		"site/torch-2.6.0.dist-info":        "a file of that name",
	})
	if f.Torch == nil || f.Torch.CXX11ABI != "" || f.Torch.SASS != nil || f.Torch.Needs != nil || f.TorchNPU != nil || f.Others != nil {
		t.Errorf("got %+v", f)
	}
	root := t.TempDir()
	if err := os.Symlink(".", filepath.Join(root, "torch")); err != nil {
		t.Fatal(err)
	}
	if f := Read(rootfs.Dir(root), Places{Sites: []string{"/", "/torch", "/torch/torch"}}); !f.Empty() {
		t.Errorf("a link to itself tells %+v", f)
	}
}

func TestCovers(t *testing.T) {
	wheel := []string{"sm_50", "sm_75", "sm_80", "sm_86", "sm_90"}
	for _, c := range []struct {
		name         string
		sass, ptx    []string
		major, minor int
		want         Coverage
	}{
		{"the same", wheel, nil, 8, 0, MachineCode},
		{"a higher minor", wheel, nil, 8, 9, MachineCode},
		{"of Maxwell", wheel, nil, 5, 2, MachineCode},
		{"too new", wheel, nil, 12, 0, NoCode},
		{"too old", []string{"sm_75"}, nil, 7, 0, NoCode},
		{"PTX", wheel, []string{"compute_90"}, 12, 0, PTXCode},
		{"PTX of a newer one", nil, []string{"compute_90"}, 8, 0, NoCode},
		{"bound to one", []string{"sm_90a"}, nil, 9, 0, MachineCode},
		{"bound to another", []string{"sm_100a"}, nil, 10, 3, NoCode},
		{"of the family", []string{"sm_100f"}, nil, 10, 3, MachineCode},
		{"PTX bound to one", nil, []string{"compute_90a"}, 10, 0, NoCode},
		{"PTX of the family", nil, []string{"compute_100f"}, 12, 0, NoCode},
		{"nothing known", nil, nil, 9, 0, UnknownCode},
	} {
		if got := Covers(c.sass, c.ptx, c.major, c.minor); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestFirstSideHidesTheOther(t *testing.T) {
	image := Facts{Torch: &Torch{Version: "2.5.1"}, Others: []Other{{Name: "onnxruntime", Dir: "/i/onnxruntime"}}}
	lent := Facts{Torch: &Torch{Version: "2.6.0"}, TorchNPU: &TorchNPU{Version: "2.6.0", TorchBase: "2.6.0"},
		Others: []Other{{Name: "jax", Dir: "/h/jax"}, {Name: "onnxruntime-gpu", Dir: "/h/onnxruntime"}}}
	got := image.Over(lent)
	if got.Torch.Version != "2.5.1" || got.TorchNPU == nil || len(got.Others) != 2 || got.Others[0].Name != "jax" || got.Others[1].Dir != "/i/onnxruntime" {
		t.Errorf("got %+v", got)
	}
	if found := got.Findings(Wants{NPU: true}); len(found) != 1 || found[0].ID != "HR121" {
		t.Errorf("torch of the image and torch_npu of the host: %+v", found)
	}
}
