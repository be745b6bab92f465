package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/integration/image/archive"
)

// TestCheckSaysWhatFrameworksAreBuiltFor: of the image, of the host, and of the one that Python would import of both. The
// image's is read for an accelerator even where nothing is borrowed.
func TestCheckSaysWhatFrameworksAreBuiltFor(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	env := s.path("env")
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--without-pip", env).CombinedOutput(); err != nil {
		skip(t, "/usr/bin/python3 -m venv: %v\n%s", err, out)
	}
	sites, err := filepath.Glob(env + "/lib/python3*/site-packages")
	if err != nil || len(sites) != 1 {
		t.Fatal(sites, err)
	}
	for file, text := range map[string]string{
		"torch/version.py": "__version__ = '2.6.0+cu124'\ncuda = '12.4'\n", "torch/__init__.py": "",
		"torch_npu/version.py": "__version__ = '2.5.1.post1'\n", "torch_npu/__init__.py": "",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(sites[0], file)), 0o755))
		must(t, os.WriteFile(filepath.Join(sites[0], file), []byte(text), 0o644))
	}
	dist := fmt.Sprintf("/usr/local/lib/python3.%d/dist-packages/torch/", thePython(t).minor)
	s.load(slim(t, "job", archive.File{Path: dist + "version.py", Mode: 0o644, Content: []byte("__version__ = '2.5.1+cpu'\n")},
		archive.File{Path: dist + "__init__.py", Mode: 0o644}))
	for _, c := range []struct {
		name, keys, command string
		torch, npu          string
		ids                 []string // of findings about frameworks
	}{
		{"nothing is borrowed", "python: none\n", "import torch", "", "", nil},
		{"an NPU, and nothing is borrowed", "python: none\ndevices: [/dev/davinci0]\n", "import torch", "2.5.1+cpu", "", nil},
		{"the image's hides the host's", fmt.Sprintf("python: %q\n", env+"/bin/python3"), "import torch", "2.5.1+cpu", "2.5.1.post1", nil},
		{"the host's hides the image's", fmt.Sprintf("python: {interpreter: %q, precedence: host}\n", env+"/bin/python3"), "import torch", "2.6.0+cu124", "2.5.1.post1",
			[]string{finding.NPUOtherTorch, finding.TwoAccelerators}},
		{"not imported", fmt.Sprintf("python: {interpreter: %q, precedence: host}\n", env+"/bin/python3"), "import json", "2.6.0+cu124", "2.5.1.post1", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.profile("job", "image: job\npull_policy: never\n"+c.keys)
			r := s.hostrun("check", "--format", "json", "job", "--", "python3", "-c", c.command)
			var row struct {
				Frameworks frameworks.Facts
				Findings   []finding.Finding
			}
			if err := json.Unmarshal([]byte(r.stdout), &row); err != nil {
				t.Fatalf("%v: %v", err, r)
			}
			torch, npu := "", ""
			if row.Frameworks.Torch != nil {
				torch = row.Frameworks.Torch.Version
			}
			if row.Frameworks.TorchNPU != nil {
				npu = row.Frameworks.TorchNPU.Version
			}
			var ids []string
			for _, f := range row.Findings {
				if f.ID >= finding.PinBroken && f.ID <= finding.CUDAMixed {
					ids = append(ids, f.ID)
				}
			}
			if torch != c.torch || npu != c.npu || !slices.Equal(ids, c.ids) {
				t.Errorf("torch %q, torch_npu %q, findings %v; want %q, %q, %v", torch, npu, ids, c.torch, c.npu, c.ids)
			}
		})
	}
}
