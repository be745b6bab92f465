package frameworks

import (
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
)

func TestFindings(t *testing.T) {
	torch := func(version, cuda string, needs ...Need) *Torch {
		return &Torch{Version: version, Dir: "/s/torch", CUDA: cuda, Needs: needs}
	}
	npu := &TorchNPU{Version: "2.5.1.post1", TorchBase: "2.5.1", TorchSays: "torch==2.5.1"}
	imports := []string{"jax", "onnxruntime", "torch", "torchvision"}
	cudart := func(major string) Need {
		return Need{Soname: "libcudart.so." + major, Name: "cudart", Major: major, Found: "/x"}
	}
	for _, c := range []struct {
		name  string
		facts Facts
		wants Wants
		want  string // "severity id" of each, with spaces between
	}{
		{"nothing", Facts{}, Wants{GPU: true, NPU: true}, ""},
		{"a pair that fits", Facts{Torch: torch("2.5.1+cpu", ""), TorchNPU: npu}, Wants{NPU: true, Imported: imports}, ""},
		{"another torch, and an NPU", Facts{Torch: torch("2.6.0+cpu", ""), TorchNPU: npu}, Wants{NPU: true, Imported: imports}, "error HR121"},
		{"another torch, imported", Facts{Torch: torch("2.6.0+cpu", ""), TorchNPU: npu}, Wants{Imported: imports}, "warning HR121"},
		{"another torch, not imported", Facts{Torch: torch("2.6.0+cpu", ""), TorchNPU: npu}, Wants{Imported: []string{"json"}}, ""},
		{"another torch, imports not known", Facts{Torch: torch("2.6.0+cpu", ""), TorchNPU: npu}, Wants{}, "info HR121"},
		{"torch for CUDA, and an NPU", Facts{Torch: torch("2.5.1+cu124", "12.4"), TorchNPU: npu}, Wants{NPU: true, Imported: imports}, "warning HR122"},
		{"torch for CUDA, an NPU and a GPU", Facts{Torch: torch("2.5.1+cu124", "12.4"), TorchNPU: npu}, Wants{NPU: true, GPU: true, Imported: imports}, "error HR122"},
		{"torch for CUDA that counts what it was built for", Facts{Torch: torch("2.8.0+cu126", "12.6"), TorchNPU: &TorchNPU{Version: "2.8.0", TorchBase: "2.8.0"}},
			Wants{NPU: true, Imported: imports}, "error HR122"},
		{"torch for CUDA, an NPU, and a command that is not seen to import it", Facts{Torch: torch("2.5.1+cu124", "12.4"), TorchNPU: npu}, Wants{NPU: true, GPU: true}, "warning HR122"},
		{"another torch, an NPU, and a command that imports neither", Facts{Torch: torch("2.6.0+cpu", ""), TorchNPU: npu}, Wants{NPU: true, Imported: []string{"mindspore"}}, "warning HR121"},
		{"another torch, an NPU, and torch alone is imported", Facts{Torch: torch("2.6.0+cpu", ""), TorchNPU: npu}, Wants{NPU: true, NoAutoload: true, Imported: imports}, "warning HR121"},
		{"another torch, which imports nothing by itself yet", Facts{Torch: torch("2.4.0", ""), TorchNPU: npu}, Wants{NPU: true, Imported: imports}, "warning HR121"},
		{"another torch, and torch_npu is imported", Facts{Torch: torch("2.4.0", ""), TorchNPU: npu}, Wants{NPU: true, NoAutoload: true, Imported: []string{"torch", "torch_npu"}}, "error HR121"},
		{"both wrong", Facts{Torch: torch("2.6.0+cu124", "12.4"), TorchNPU: npu}, Wants{NPU: true, GPU: true, Imported: imports}, "error HR122 error HR121"},
		{"an NPU, and no plugin", Facts{Torch: torch("2.5.1", "")}, Wants{NPU: true, Imported: imports}, "warning HR123"},
		{"an NPU, and no torch imported", Facts{Torch: torch("2.5.1", "")}, Wants{NPU: true, Imported: []string{"json"}}, ""},
		{"a pin", Facts{Torch: torch("2.6.0", ""), Conflict: []Pin{{"torchvision 0.22.0", "torch==2.7.0", "2.6.0"}}}, Wants{Imported: imports}, "warning HR120"},
		{"a pin of what is not imported", Facts{Torch: torch("2.6.0", ""), Conflict: []Pin{{"vllm 0.9", "torch==2.7.0", "2.6.0"}}}, Wants{Imported: imports}, ""},
		{"a pin of a library", Facts{Torch: torch("2.6.0", ""), Conflict: []Pin{{"torch 2.6.0", "nvidia-nccl-cu12==2.21.5", "2.26.2"}}}, Wants{Imported: imports}, "info HR120"},
		{"a pin that torch_npu's own finding has", Facts{Conflict: []Pin{{"torch-npu 2.5.1", "torch==2.5.1", "2.6.0"}}}, Wants{Imported: append(imports, "torch_npu")}, ""},
		{"wheels and libraries gone", Facts{Torch: torch("2.6.0", "12.4", Need{Soname: "libcudnn.so.9"}), Conflict: []Pin{{"torch 2.6.0", "nvidia-cudnn-cu12 (==9.1.0.70)", ""}}},
			Wants{Imported: imports}, "warning HR125"},
		{"wheels gone, libraries elsewhere", Facts{Torch: torch("2.6.0", "12.4", cudart("12")), Conflict: []Pin{{"torch 2.6.0", "nvidia-cudnn-cu12==9", ""}}}, Wants{Imported: imports}, ""},
		{"two CUDAs in one command", Facts{Torch: torch("2.6.0", "12.4", cudart("12")), Others: []Other{{Name: "onnxruntime-gpu", Dir: "/s/onnxruntime", Needs: []Need{cudart("13")}}}},
			Wants{Imported: imports}, "warning HR126"},
		{"two CUDAs, and one is imported", Facts{Torch: torch("2.6.0", "12.4", cudart("12")), Others: []Other{{Name: "vllm", Dir: "/s/vllm", Needs: []Need{cudart("13")}}}}, Wants{Imported: imports}, ""},
		{"cuFFT counts by itself", Facts{Torch: torch("2.6.0", "12.4", cudart("12"), Need{Name: "cufft", Major: "11", Found: "/x"})}, Wants{Imported: imports}, ""},
	} {
		var got []string
		for _, f := range c.facts.Findings(c.wants) {
			got = append(got, string(f.Severity)+" "+f.ID)
			if f.Message == "" || f.Got == "" || f.Want == "" || f.Remedy == "" || finding.Explain(f.ID).Story == "" {
				t.Errorf("%s: a part is missing of %+v", c.name, f)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
