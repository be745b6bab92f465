package plan_test

import (
	"slices"
	"testing"

	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// torches is a container whose image has torch 2.5.1, and whose host has torch 2.6.0 with CUDA and torch_npu.
func torches() plan.Facts {
	f := borrowing(venvHost(11))
	executable := f.Image.Pythons[0].Executable
	f.Image.Frameworks = map[string]frameworks.Facts{executable: {Torch: &frameworks.Torch{Version: "2.5.1", Dir: "/usr/lib/torch"}}}
	f.Host.Python.Frameworks = &frameworks.Facts{Torch: &frameworks.Torch{Version: "2.6.0+cu124", CUDA: "12.4", Dir: "/h/torch"},
		TorchNPU: &frameworks.TorchNPU{Version: "2.5.1", TorchBase: "2.5.1"}}
	return f
}

func TestFrameworksAreThoseThatAreImported(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*plan.Facts)
		want   string
	}{
		{"the image's first", func(*plan.Facts) {}, "2.5.1"},
		{"the host's first", func(f *plan.Facts) { f.Profile.Python.Precedence = "host" }, "2.6.0+cu124"},
		{"the host's hide the image's", func(f *plan.Facts) { f.Profile.Python.Target = "/usr/lib/python3/dist-packages" }, "2.6.0+cu124"},
		{"the host's interpreter runs", func(f *plan.Facts) { f.Profile.Python.InterpreterFrom, f.Host.Python.Frameworks = "host", nil }, ""},
		{"the image has none", func(f *plan.Facts) { f.Image.Frameworks = nil }, "2.6.0+cu124"},
		{"the host's are not borrowed", func(f *plan.Facts) { f.Profile.Python.Interpreter, f.Image.Frameworks = "none", nil }, ""},
		{"nothing is borrowed, and the image has some", func(f *plan.Facts) { f.Profile.Python.Interpreter, f.Image.Pythons = "none", nil }, "2.5.1"},
	} {
		f := torches()
		c.change(&f)
		got := ""
		if have := plan.Frameworks(f, ""); have.Torch != nil {
			got = have.Torch.Version
		}
		if got != c.want {
			t.Errorf("%s: torch %q, want %q", c.name, got, c.want)
		}
	}
}

// TestFrameworksAndAccelerators: what an NPU can't be used with stops the start, once there is a proof; --strict makes
// errors of warnings.
func TestFrameworksAndAccelerators(t *testing.T) {
	npu := profiles.Device{Source: "/dev/davinci0", Target: "/dev/davinci0", Permissions: "rw"}
	chosen := []devices.Grant{{Ask: devices.Ask{Kind: devices.KindNPU, Key: "npus"}, Chosen: []devices.Device{{Kind: devices.KindNPU, Name: "0"}}}}
	for _, c := range []struct {
		name   string
		change func(*plan.Facts)
		want   finding.Severity // of HR121; "" for none
	}{
		{"no proof yet", func(f *plan.Facts) { f.Proof = nil }, ""},
		{"imported", func(*plan.Facts) {}, finding.Warning},
		{"imported, strict", func(f *plan.Facts) { f.Strict = true }, finding.Error},
		{"an NPU", func(f *plan.Facts) { f.Profile.Devices = append(f.Profile.Devices, npu) }, finding.Error},
		{"an NPU, and torch_npu is kept out", func(f *plan.Facts) {
			f.Profile.Devices = append(f.Profile.Devices, npu)
			f.Image.Env = append(f.Image.Env, "TORCH_DEVICE_BACKEND_AUTOLOAD=0")
		}, finding.Warning},
		{"NPUs that were chosen", func(f *plan.Facts) { f.Grants = chosen }, finding.Error},
		{"NPUs that were chosen, and HR175 and HR180 tell it better", func(f *plan.Facts) {
			f.Grants = chosen
			f.Findings = []finding.Finding{{ID: finding.AscendTorchBase, Severity: finding.Error}, {ID: finding.AscendTwoAccelerators, Severity: finding.Error}}
		}, ""},
		{"not imported", func(f *plan.Facts) { f.Proof.Imported = []string{"json"} }, ""},
	} {
		f := torches()
		f.Image.Frameworks = nil
		f.Proof = proofOf()
		f.Proof.Imported = []string{"torch"}
		c.change(&f)
		pl, _ := plan.Build(f)
		got := finding.Severity("")
		if i := slices.IndexFunc(pl.Findings, func(f finding.Finding) bool { return f.ID == finding.NPUOtherTorch }); i >= 0 {
			got = pl.Findings[i].Severity
		}
		two := slices.ContainsFunc(pl.Findings, func(f finding.Finding) bool { return f.ID == finding.TwoAccelerators })
		if got != c.want || two != (c.want != "") {
			t.Errorf("%s: %q, want %q: %+v", c.name, got, c.want, pl.Findings)
		}
		if pl.Frameworks == nil || pl.Frameworks.TorchNPU == nil {
			t.Errorf("%s: the plan lacks the frameworks", c.name)
		}
	}
}

// TestImageFrameworksAreReadForAccelerators: also where no package is borrowed.
func TestImageFrameworksAreReadForAccelerators(t *testing.T) {
	p := profiles.Profile{Python: profiles.Python{Interpreter: "none"}, CUDA: "none"}
	if n := plan.Needs(&p); n.Frameworks || n.Python {
		t.Errorf("nothing asks for them: %+v", n)
	}
	p.Devices = []profiles.Device{{Source: "/dev/nvidia0"}}
	if n := plan.Needs(&p); !n.Frameworks || n.Python {
		t.Errorf("a GPU does: %+v", n)
	}
}

// TestWhatIsNotImportedStopsNothing: torch_npu for another torch, or without CANN, was an error whether or not the command imports it.
func TestWhatIsNotImportedStopsNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*plan.Facts)
		want   finding.Severity
	}{
		{"no proof yet", func(f *plan.Facts) { f.Proof = nil }, finding.Error},
		{"not known", func(f *plan.Facts) { f.Proof.Imported = nil }, finding.Error},
		{"torch, which imports torch_npu", func(f *plan.Facts) { f.Proof.Imported = []string{"torch"} }, finding.Error},
		{"torch, and torch_npu is kept out", func(f *plan.Facts) {
			f.Proof.Imported = []string{"torch"}
			f.Image.Env = append(f.Image.Env, "TORCH_DEVICE_BACKEND_AUTOLOAD=0")
		}, finding.Warning},
		{"torch_npu itself", func(f *plan.Facts) {
			f.Proof.Imported = []string{"torch", "torch_npu"}
			f.Image.Env = append(f.Image.Env, "TORCH_DEVICE_BACKEND_AUTOLOAD=0")
		}, finding.Error},
		{"neither", func(f *plan.Facts) { f.Proof.Imported = []string{"json"} }, finding.Warning},
		{"neither, strict", func(f *plan.Facts) { f.Proof.Imported, f.Strict = []string{"json"}, true }, finding.Error},
	} {
		for _, id := range []string{finding.AscendTorchBase, finding.AscendToolkit, finding.AscendCXX11ABI, finding.AscendTwoAccelerators} {
			f := torches()
			f.Image.Frameworks = nil
			f.Grants = []devices.Grant{{Ask: devices.Ask{Kind: devices.KindNPU, Key: "npus"}, Chosen: []devices.Device{{Kind: devices.KindNPU, Name: "0"}}}}
			f.Findings = []finding.Finding{{ID: id, Severity: finding.Error, Subject: "torch_npu", Message: "m"}}
			f.Proof = proofOf()
			c.change(&f)
			pl, err := plan.Build(f)
			i := slices.IndexFunc(pl.Findings, func(f finding.Finding) bool { return f.ID == id })
			if i < 0 || pl.Findings[i].Severity != c.want {
				t.Errorf("%s, %s: %+v", c.name, id, pl.Findings)
			}
			if f.Findings[0].Severity != finding.Error {
				t.Errorf("%s: the facts were written to", c.name)
			}
			if f.Proof == nil && !plan.AwaitsProof(err) {
				t.Errorf("%s, %s: %v is for a proof to decide", c.name, id, err)
			}
		}
	}
	f := torches()
	f.Findings = []finding.Finding{{ID: finding.AscendToolkit, Severity: finding.Error, Subject: "ascend.toolkit"}, {ID: finding.DeviceUnknown, Severity: finding.Error}}
	if _, err := plan.Build(f); err == nil || plan.AwaitsProof(err) {
		t.Errorf("%v: no proof gives a device", err)
	}
}
