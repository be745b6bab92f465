package ascend

import (
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// fitting is a container in which everything fits.
func fitting() Wants {
	cann := Toolkit{Directory: "/usr/local/Ascend/cann-8.5.0", Real: "/usr/local/Ascend/cann-8.5.0", Version: "8.5.0", Inner: "V100R001C25SPC001B231",
		Compatible: []string{"C21", "C23", "C25"}, Listed: true, Chips: []string{"910b"}}
	return Wants{
		NPUs: 2, Chips: []string{"910B"}, Torch: "2.9.0+cpu", CXX11ABI: "1", TorchNPU: "2.9.0", Autoload: true, Python: "3.11",
		Image: "quay.io/ascend/cann:8.5.0-910b-ubuntu22.04-py3.11", Toolkit: &cann, ImageCANN: &cann,
		Env:        []string{"ASCEND_HOME_PATH=/usr/local/Ascend/cann-8.5.0", "ATB_HOME_PATH=/usr/local/Ascend/nnal/atb/latest/atb/cxx_abi_1"},
		Driver:     Driver{Version: "25.3.rc1", Inner: "V100R001C23SPC002B212", Compatible: []string{"C19", "C20", "C21", "C22", "C23"}, Firmware: "7.8.0.1.2", FirmwareRanges: [][2]string{{"7.0.0", "8.9.9"}}},
		HostMounts: []string{"/usr/local/Ascend/driver", "/data"}, NetworkMode: "host",
	}
}

// TestFit changes one thing of a container that fits, and reads what is said of it.
func TestFit(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(w *Wants)
		id       string
		severity finding.Severity
		message  string
	}{
		{name: "all fits", change: func(*Wants) {}},
		{name: "nothing is known", change: func(w *Wants) { *w = Wants{} }},
		{"driver older than CANN's list", func(w *Wants) {
			w.Driver.Version, w.Driver.Inner, w.Driver.Compatible = "24.1.rc3", "V100R001C19SPC001B124", []string{"C13", "C15", "C17", "C18", "C19"}
		}, finding.AscendDriverCANN, finding.Warning, "CANN 8.5.0 is not made for driver 24.1.rc3"},
		{"driver of the same train", func(w *Wants) { w.Driver.Inner, w.Driver.Compatible = "V100R001C25B1", nil }, "", "", ""},
		{"driver that lists CANN's train", func(w *Wants) { w.Driver.Inner, w.Driver.Compatible = "V100R001C10B1", []string{"C25"} }, "", "", ""},
		{"CANN without a list, and the table has the driver", func(w *Wants) { w.setCANN("9.0.1", "V100R001C10SPC001"); w.TorchNPU = "" }, "", "", ""},
		{"CANN without a list, and the table lacks the driver", func(w *Wants) {
			w.setCANN("9.1.0", "V100R001C11SPC001")
			w.TorchNPU, w.Driver.Version = "", "25.0.rc1.1"
		}, finding.AscendDriverCANN, finding.Warning, "CANN 9.1.0 is not made for driver 25.0.rc1.1"},
		{"driver without inner version, by the table", func(w *Wants) { w.Driver.Inner, w.Driver.Version = "", "24.1.0" }, finding.AscendDriverCANN, finding.Warning, "driver 24.1.0"},
		{"CANN that no table has", func(w *Wants) { w.setCANN("12.0.0", ""); w.TorchNPU = "" }, "", "", ""},
		{"firmware behind the range", func(w *Wants) { w.Driver.Firmware = "9.0.0" }, finding.AscendFirmware, finding.Warning, "firmware 9.0.0"},
		{"firmware within the last of the range", func(w *Wants) {
			w.Driver.Firmware, w.Driver.FirmwareRanges = "7.7.99.1", [][2]string{{"6.4.0", "6.4.99"}, {"7.0.0", "7.7.99"}}
		}, "", "", ""},
		{"torch of another release", func(w *Wants) { w.Torch = "2.8.0" }, finding.AscendTorchBase, finding.Error, "torch_npu 2.9.0 is built for torch 2.9.0, and torch is 2.8.0"},
		{"post release, release candidate and build", func(w *Wants) { w.Torch, w.TorchNPU = "2.7.1+cpu.cxx11", "2.7.1.post2" }, "", "", ""},
		{"unlisted pair, LLaMA-Factory's own", func(w *Wants) {
			w.setCANN("9.1.0", "V100R001C11SPC001")
			w.Torch, w.TorchNPU, w.Driver.Version = "2.10.0", "2.10.0.post2", "25.5.1"
		}, finding.AscendTorchCANN, finding.Warning, "torch_npu 2.10.0.post2 and CANN 9.1.0 are no pair"},
		{"CANN beside the table", func(w *Wants) { w.Toolkit.Version = "8.3.RC2" }, finding.AscendTorchCANN, finding.Warning, "torch_npu 2.9.0 and CANN 8.3.RC2"},
		{"Python too new", func(w *Wants) { w.Python = "3.14" }, finding.AscendTorchPython, finding.Warning, "Python 3.10 to 3.13"},
		{"Python 3.9 with 2.9", func(w *Wants) { w.Python = "3.9" }, finding.AscendTorchPython, finding.Warning, "for 3.9"},
		{"kernels for another chip", func(w *Wants) { w.Chips = []string{"310P"} }, finding.AscendChip, finding.Error, "CANN is built for 910b, and the NPU is Ascend 310P"},
		{"the image's name tells the chip", func(w *Wants) { w.Toolkit.Chips, w.Chips = nil, []string{"910_93"} }, finding.AscendChip, finding.Error, "Ascend 910_93"},
		{"a name that tells no chip", func(w *Wants) { w.Toolkit.Chips, w.Chips, w.Image = nil, []string{"910_93"}, "llamafactory:npu-910bx" }, "", "", ""},
		{"a chip that is not known", func(w *Wants) { w.Chips = []string{"unknown"} }, "", "", ""},
		{"the other C++ ABI", func(w *Wants) { w.CXX11ABI = "0" }, finding.AscendCXX11ABI, finding.Error, "set"},
		{"torch with CUDA", func(w *Wants) { w.TorchCUDA = "12.8" }, finding.AscendTwoAccelerators, finding.Error, "Two accelerators cannot be used at the same time in PyTorch"},
		{"packages of tbe", func(w *Wants) { w.Absent = []string{"decorator", "scipy"} }, finding.AscendTBE, finding.Warning, "imports decorator, scipy"},
		{"no NPU and torch_npu", func(w *Wants) { w.NPUs, w.Chips, w.Toolkit, w.ImageCANN, w.Env = 0, nil, nil, nil, nil }, finding.AscendAutoload, finding.Warning, "TORCH_DEVICE_BACKEND_AUTOLOAD=0"},
		{"no NPU and torch_npu, with CANN", func(w *Wants) { w.NPUs, w.Chips = 0, nil }, finding.AscendAutoload, finding.Warning, "Failed to load the backend extension: torch_npu"},
		{"no NPU, autoload off", func(w *Wants) {
			w.NPUs, w.Chips, w.Toolkit, w.ImageCANN, w.Env = 0, nil, nil, nil, []string{"TORCH_DEVICE_BACKEND_AUTOLOAD=0"}
		}, "", "", ""},
		{"no NPU, torch before autoload", func(w *Wants) {
			w.NPUs, w.Chips, w.Toolkit, w.ImageCANN, w.Env, w.Torch, w.TorchNPU = 0, nil, nil, nil, nil, "2.4.0", "2.4.0.post2"
		}, "", "", ""},
		{"a choice among no NPUs", func(w *Wants) {
			w.NPUs, w.Chips, w.TorchNPU, w.Env = 0, nil, "", []string{"ASCEND_RT_VISIBLE_DEVICES=0"}
		}, finding.AscendVisible, finding.Error, "ask for NPUs with npus:"},
		{"a choice among no NPUs, where they are optional", func(w *Wants) {
			w.NPUs, w.Chips, w.TorchNPU, w.Env, w.Optional = 0, nil, "", []string{"ASCEND_RT_VISIBLE_DEVICES=0", "ASCEND_VISIBLE_DEVICES=0"}, true
		}, "", "", ""},
		{"an image that asks Ascend's runtime", func(w *Wants) {
			w.NPUs, w.Chips, w.TorchNPU, w.Env = 0, nil, "", []string{"ASCEND_VISIBLE_DEVICES=0-3"}
		}, finding.AscendUnasked, finding.Info, "npus: [\"0-3\"]"},
		{"an image that asks for nothing", func(w *Wants) {
			w.NPUs, w.Chips, w.TorchNPU, w.Env = 0, nil, "", []string{"ASCEND_VISIBLE_DEVICES=void"}
		}, "", "", ""},
		{"no CANN", func(w *Wants) { w.Toolkit, w.ImageCANN, w.Env = nil, nil, nil }, finding.AscendToolkit, finding.Error, "libhccl.so: cannot open shared object file"},
		{"CANN where the variable does not lead", func(w *Wants) { w.Toolkit, w.ImageCANN = nil, nil }, finding.AscendToolkit, finding.Error, "ASCEND_HOME_PATH names /usr/local/Ascend/cann-8.5.0"},
		{"CANN of host and image", func(w *Wants) { w.HostMounts = []string{"/usr/local/Ascend/ascend-toolkit/"} }, finding.AscendTwoToolkits, finding.Error, "two installations"},
		{"all of Ascend's directory", func(w *Wants) { w.HostMounts = []string{"/usr/local/Ascend"} }, finding.AscendTwoToolkits, finding.Error, "two installations"},
		{"a mount of /dev", func(w *Wants) { w.HostMounts, w.All = []string{"/data", "/dev/"}, 8 }, finding.AscendAllNodes, finding.Error, "opens every NPU that it sees at /dev"},
		{"a mount of /dev, and all NPUs", func(w *Wants) { w.HostMounts, w.All = []string{"/dev"}, 2 }, "", "", ""},
		{"a mount of /dev/shm", func(w *Wants) { w.HostMounts, w.All = []string{"/dev/shm"}, 8 }, "", "", ""},
		{"entrypoint replaced", func(w *Wants) { w.Entrypoint = true }, finding.AscendEntrypoint, finding.Warning, "sources set_env.sh"},
		{"entrypoint replaced, and ENV has all", func(w *Wants) {
			w.Entrypoint, w.Env = true, append(w.Env, "LD_LIBRARY_PATH=/usr/local/Ascend/cann-8.5.0/lib64:/x")
		}, "", "", ""},
		{"bridge", func(w *Wants) { w.NetworkMode = "bridge" }, finding.AscendNetwork, finding.Warning, "HCCL"},
		{"bridge for one NPU", func(w *Wants) { w.NetworkMode, w.NPUs = "bridge", 1 }, "", "", ""},
		{"docker's /dev/shm", func(w *Wants) { w.SharedBytes = 64 << 20 }, finding.AscendSharedMemory, finding.Warning, "Bus error"},
		{"vllm-ascend of its release", func(w *Wants) {
			w.setCANN("8.3.RC1", "V100R001C23")
			w.VLLMAscend, w.Torch, w.TorchNPU = "0.11.0rc1", "2.7.1", "2.7.1"
		}, "", "", ""},
		{"vllm-ascend with another CANN", func(w *Wants) {
			w.setCANN("8.3.RC1", "V100R001C23")
			w.VLLMAscend, w.Torch, w.TorchNPU = "0.11.0", "2.7.1", "2.7.1"
		}, finding.AscendVLLM, finding.Warning, "vllm_ascend 0.11.0 is not released with CANN 8.3.RC1"},
		{"vllm-ascend that the table lacks", func(w *Wants) { w.VLLMAscend = "0.20.0" }, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := fitting()
			c.change(&w)
			w.File, w.Line = "p.yaml", 2
			found := Fit(w)
			if c.id == "" {
				if len(found) > 0 {
					t.Errorf("%+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].ID != c.id || found[0].Severity != c.severity || !strings.Contains(found[0].Message+found[0].Remedy, c.message) {
				t.Fatalf("%+v", found)
			}
			if f := found[0]; f.Got == "" || f.Want == "" || f.Remedy == "" || f.File != "p.yaml" || f.Line != 2 {
				t.Errorf("incomplete: %+v", f)
			}
		})
	}
}

func (w *Wants) setCANN(version, inner string) {
	t := Toolkit{Directory: "/usr/local/Ascend/cann-8.5.0", Real: "/usr/local/Ascend/cann-8.5.0", Version: version, Inner: inner, Chips: []string{"910b"}}
	w.Toolkit, w.ImageCANN = &t, &t
}

// TestOfficialRow: the rule of two files gives the vendor's own row of MindIE 2.1.RC1: CANN 8.2.RC1 with these drivers.
func TestOfficialRow(t *testing.T) {
	cann := Toolkit{Version: "8.2.RC1", Inner: "V100R001C22SPC001B231", Compatible: []string{"C15", "C18", "C19", "C20", "C21", "C23"}, Listed: true}
	for version, fits := range map[string]bool{"25.2.0 C21": true, "25.0.rc1.1 C21": true, "24.1.0 C20": true, "24.1.rc3 C19": true, "24.1.rc2.2 C18": true, "24.1.rc1 C17": false} {
		name, train, _ := strings.Cut(version, " ")
		found := fitDriver(Wants{NPUs: 1, Toolkit: &cann, Driver: Driver{Version: name, Inner: "V100R001" + train + "SPC001", Compatible: []string{"C13", train}}})
		if (len(found) == 0) != fits {
			t.Errorf("%s: %+v", version, found)
		}
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]string{"2.7.1.post4": "2.7.1", "2.7.1+cpu": "2.7.1", "2.7.1rc1": "2.7.1", "2.7.1.dev20250724": "2.7.1", "2.10.0": "2.10.0", "": "", "main": ""} {
		if got := base(version); got != want {
			t.Errorf("base(%q) = %q, want %q", version, got, want)
		}
	}
	ascending := []string{"7.0.0", "8.0.RC1", "8.0.RC3", "8.0.0", "8.1.RC1", "8.10.RC1", "8.10.0.1"}
	for i := range len(ascending) - 1 {
		if compareVersions(ascending[i], ascending[i+1]) >= 0 || compareVersions(ascending[i+1], ascending[i]) <= 0 {
			t.Errorf("%s against %s", ascending[i], ascending[i+1])
		}
	}
	if compareVersions("8.0", "8.0.0") != 0 {
		t.Error("a missing part is 0")
	}
}

// TestFamilies holds the names of chips and of images.
func TestFamilies(t *testing.T) {
	for name, want := range map[string]*family{"910B4": ascend910B, "Ascend910": ascend910C, "Ascend 910_9362": ascend910C, "910_93": ascend910C, "910A": ascend910, "910ProB": ascend910,
		"310P3": ascend310P, "310B4": ascend310B, "310": ascend310, "Ascend950PR": ascend950, "A2G1": ascend910B, "I2": ascend310P, "Mcu": nil} {
		if got := familyOfName(name); got != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for image, want := range map[string]*family{"quay.io/ascend/cann:8.5.1-910b-ubuntu22.04-py3.11": ascend910B, "ascendai/cann:9.1.0-a3-openeuler24.03-py3.12": ascend910C,
		"host:5000/cann": nil, "llamafactory:npu-a3-ubuntu": ascend910C, "x/910b/y:1": nil, "cann:8.0.rc1-910-ubuntu22.04": ascend910, "": nil} {
		if got := familyOfTag(image); got != want {
			t.Errorf("%s: %+v", image, got)
		}
	}
}

// TestToolkits finds installations of both kinds, the one of the environment first, and none twice.
func TestToolkits(t *testing.T) {
	root := t.TempDir()
	info := func(dir, version string, trains ...string) {
		ascendtest.Write(t, root, dir+"/aarch64-linux/ascend_toolkit_install.info", ascendtest.ToolkitInfo(version, "C22", trains...))
	}
	info("/usr/local/Ascend/cann-9.1.0", "9.1.0")
	info("/usr/local/Ascend/ascend-toolkit/8.2.rc1", "8.2.rc1", "C15", "C18")
	info("/home/me/Ascend/cann-8.5.0", "8.5.0", "C25")
	ascendtest.Write(t, root, "/usr/local/Ascend/ascend-toolkit/7.0.0/version.cfg", "# version: 1.0\nruntime_running_version=[7.1.0.3.220:7.0.0]\n")
	ascendtest.Write(t, root, "/usr/local/Ascend/ascend-toolkit/set_env.sh", "")
	kernel := "/opp/built-in/op_impl/ai_core/tbe/kernel/"
	ascendtest.Write(t, root, "/usr/local/Ascend/cann-9.1.0"+kernel+"ascend910b/ops_math/add.o", "")
	ascendtest.Write(t, root, "/usr/local/Ascend/cann-9.1.0"+kernel+"ascend310p/ops_oam/x.o", "") // of every toolkit
	symlink(t, root, "cann-9.1.0", "usr/local/Ascend/cann")
	symlink(t, root, "8.2.rc1", "usr/local/Ascend/ascend-toolkit/latest")
	var got []string
	for _, k := range FindToolkits(rootfs.Dir(root), []string{"ASCEND_TOOLKIT_HOME=/nowhere", "ASCEND_HOME_PATH=/home/me/Ascend/cann-8.5.0"}) {
		got = append(got, k.Directory+" "+k.Version+" "+strings.Join(k.Compatible, ",")+strings.Join(k.Chips, ","))
	}
	want := []string{"/home/me/Ascend/cann-8.5.0 8.5.0 C25", "/usr/local/Ascend/cann 9.1.0 910b", "/usr/local/Ascend/ascend-toolkit/latest 8.2.RC1 C15,C18", "/usr/local/Ascend/ascend-toolkit/7.0.0 7.0.0 "}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if all := FindToolkits(rootfs.Dir(t.TempDir()), []string{"ASCEND_HOME_PATH=/nowhere"}); all != nil {
		t.Errorf("%+v", all)
	}
}
