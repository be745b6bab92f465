package ascend

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// everything is what the rules of set_env.sh may name, of both eras.
var everything = []string{"bin", "compiler/ccec_compiler/bin", "tools/ccec_compiler/bin", "tools/profiler/bin", "tools/ascend_system_advisor/asys", "tools/show_kernel_debug_data", "tools/msobjdump",
	"lib64/plugin/opskernel", "lib64/plugin/nnengine", tbe + "/op_tiling/lib/linux/aarch64", "tools/aml/lib64/plugin", "python/site-packages", "toolkit/tools/tikicpulib/lib/cmake", "lib64/cmake"}

func makeToolkit(t *testing.T, root, dir, info string) {
	t.Helper()
	for _, name := range everything {
		ascendtest.Write(t, root, dir+"/"+name+"/x", "")
	}
	ascendtest.Write(t, root, dir+"/aarch64-linux/ascend_toolkit_install.info", info)
}

// TestSetEnv writes down what set_env.sh of both eras sets. The values are those that the scripts set when they were run: that of hicann/runtime
// in a directory like this, and, for ascend-toolkit, the environment that owners of such machines have published.
func TestSetEnv(t *testing.T) {
	root := t.TempDir()
	makeToolkit(t, root, "/usr/local/Ascend/cann-9.1.0", ascendtest.ToolkitInfo("9.1.0", "C11"))
	makeToolkit(t, root, "/usr/local/Ascend/ascend-toolkit/8.2.RC1", ascendtest.ToolkitInfo("8.2.RC1", "C22", "C21"))
	symlink(t, root, "cann-9.1.0", "usr/local/Ascend/cann")
	symlink(t, root, "8.2.RC1", "usr/local/Ascend/ascend-toolkit/latest")
	tail := "/" + tbe + "/op_tiling/lib/linux/aarch64"
	for dir, want := range map[string][]string{
		"/usr/local/Ascend/cann": {"/usr/local/Ascend/cann-9.1.0", "lib64 lib64/plugin/opskernel lib64/plugin/nnengine" + " " + tail[1:],
			"bin tools/ccec_compiler/bin tools/profiler/bin tools/ascend_system_advisor/asys tools/show_kernel_debug_data tools/msobjdump"},
		"/usr/local/Ascend/ascend-toolkit/latest": {"/usr/local/Ascend/ascend-toolkit/latest", "tools/aml/lib64 tools/aml/lib64/plugin lib64 lib64/plugin/opskernel lib64/plugin/nnengine " + tail[1:],
			"bin compiler/ccec_compiler/bin tools/ccec_compiler/bin"},
	} {
		view := rootfs.Dir(root)
		k, ok := readToolkit(view, dir)
		if !ok {
			t.Fatal(dir)
		}
		single, lists := k.environment(view)
		below := func(names string) []string {
			var all []string
			for _, name := range strings.Fields(names) {
				all = append(all, want[0]+"/"+name)
			}
			return all
		}
		if !slices.Contains(single, "ASCEND_HOME_PATH="+want[0]) || !slices.Contains(single, "ASCEND_TOOLKIT_HOME="+want[0]) || !slices.Contains(single, "ASCEND_OPP_PATH="+want[0]+"/opp") ||
			!slices.Contains(single, "ASCEND_AICPU_PATH="+want[0]) || !slices.Contains(single, "TOOLCHAIN_HOME="+want[0]+"/toolkit") || len(single) != 5 {
			t.Errorf("%s: %q", dir, single)
		}
		if !slices.Equal(lists["LD_LIBRARY_PATH"], below(want[1])) || !slices.Equal(lists["PATH"], below(want[2])) || !slices.Equal(lists["PYTHONPATH"], below("python/site-packages "+tbe)) {
			t.Errorf("%s: %q", dir, lists)
		}
	}
}

// TestToolkitWithoutItsInfo: the machine's name is that of the directory, whether or not its file is there; a list for no machine was
// made for it.
func TestToolkitWithoutItsInfo(t *testing.T) {
	root := t.TempDir()
	makeToolkit(t, root, "/opt/cann-8.5.0", "")
	ascendtest.Write(t, root, "/opt/cann-8.5.0/version.cfg", "toolkit_running_version=[8.5.0.1.1:8.5.0]\n")
	view := rootfs.Dir(root)
	k, ok := readToolkit(view, "/opt/cann-8.5.0")
	_, lists := k.environment(view)
	if !ok || k.Version != "8.5.0" || k.Machine != "aarch64" || !slices.Contains(lists["LD_LIBRARY_PATH"], "/opt/cann-8.5.0/"+tbe+"/op_tiling/lib/linux/aarch64") {
		t.Errorf("%v, %+v, %q", ok, k, lists)
	}
}

// TestToolkitMounts: what a container needs so that no link of the toolkit dangles.
func TestToolkitMounts(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"/usr/local/Ascend/ascend-toolkit/8.2.RC2/runtime/x", "/usr/local/Ascend/ascend-toolkit/latest/set_env.sh", "/usr/local/Ascend/latest/set_env.sh", "/usr/local/Ascend/8.0.0/opp/x",
		"/opt/cann-9.0.0/set_env.sh", "/data/opp/x", "/opt/cann-9.0.0/lib64/x", "/elsewhere/toolkit/8.1.RC1/set_env.sh"} {
		ascendtest.Write(t, root, name, "")
	}
	symlink(t, root, "../8.2.RC2/runtime", "usr/local/Ascend/ascend-toolkit/latest/runtime")
	symlink(t, root, "../8.0.0/opp", "usr/local/Ascend/latest/opp")
	symlink(t, root, "/data/opp", "opt/cann-9.0.0/opp")
	symlink(t, root, "lib64", "opt/cann-9.0.0/lib")
	symlink(t, root, "/gone/far", "opt/cann-9.0.0/gone")
	symlink(t, root, "/usr", "opt/cann-9.0.0/all")
	symlink(t, root, "8.1.RC1", "elsewhere/toolkit/latest")
	for dir, want := range map[string][]bound{
		"/usr/local/Ascend/ascend-toolkit/latest": {{"/usr/local/Ascend/ascend-toolkit", "/usr/local/Ascend/ascend-toolkit"}},
		"/usr/local/Ascend/latest":                {{"/usr/local/Ascend/latest", "/usr/local/Ascend/latest"}, {"/usr/local/Ascend/8.0.0/opp", "/usr/local/Ascend/8.0.0/opp"}},
		"/opt/cann-9.0.0":                         {{"/opt/cann-9.0.0", "/opt/cann-9.0.0"}, {"/data/opp", "/data/opp"}},
		"/elsewhere/toolkit/latest":               {{"/elsewhere/toolkit", "/elsewhere/toolkit"}},
	} {
		view := rootfs.Dir(root)
		k, ok := readToolkit(view, dir)
		if got := k.mounts(view); !ok || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %+v, want %+v", dir, ok, got, want)
		}
	}
}

// TestBorrowed: the fit is that of the driver and the toolkit which the profile names: ascend.driver and a path under ascend.toolkit were not
// looked at, and the driver in the usual place, or no CANN at all, was judged.
func TestBorrowed(t *testing.T) {
	root, image := t.TempDir(), t.TempDir()
	m := ascendtest.A2()
	m.Files = map[string]string{"/opt/old/driver/version.info": ascendtest.VersionInfo("24.1.rc3", "C19", "C18", "C19"), "/opt/old/driver/lib64/driver/libascend_hal.so": ""}
	ascendtest.Build(t, root, m)
	makeToolkit(t, root, "/usr/local/Ascend/cann-9.1.0", ascendtest.ToolkitInfo("9.1.0", "C11"))
	makeToolkit(t, root, "/opt/cann-8.5.0", ascendtest.ToolkitInfo("8.5.0", "C25", "C23", "C25"))
	ascendtest.Write(t, image, "/usr/local/Ascend/driver/version.info", ascendtest.VersionInfo("23.0.0", "C15"))
	s := New(root)
	for name, c := range map[string]struct {
		options               map[string]string
		driver, from, toolkit string
		told                  string // of Fit
	}{
		"nothing named":       {nil, "25.0.rc1.1", installInfo, "", ""},
		"auto":                {map[string]string{"driver": "auto", "toolkit": "none"}, "25.0.rc1.1", installInfo, "", ""},
		"a driver":            {map[string]string{"driver": "/opt/old/driver", "toolkit": "/opt/cann-8.5.0"}, "24.1.rc3", "ascend.driver", "8.5.0", finding.AscendDriverCANN},
		"the image's driver":  {map[string]string{"driver": "none", "toolkit": "host"}, "23.0.0", "the usual place", "9.1.0", finding.AscendDriverCANN},
		"a toolkit by a path": {map[string]string{"toolkit": "/opt/cann-8.5.0"}, "25.0.rc1.1", installInfo, "8.5.0", finding.AscendDriverCANN},
		"no toolkit there":    {map[string]string{"toolkit": "/opt/nothing"}, "25.0.rc1.1", installInfo, "", ""},
	} {
		d, k := s.Borrowed(devices.Ask{Options: c.options}, rootfs.Dir(image))
		got := ""
		if k != nil {
			got = k.Version
		}
		if d.Version != c.driver || d.Source != c.from || got != c.toolkit || d.Firmware != "7.7.0.1.231" {
			t.Errorf("%s: %+v, CANN %q", name, d, got)
		}
		found := fitDriver(Wants{NPUs: 1, Driver: d, Toolkit: k})
		if (c.told == "") != (len(found) == 0) || c.told != "" && (found[0].ID != c.told || !strings.Contains(found[0].Message, "driver "+c.driver)) {
			t.Errorf("%s: %+v", name, found)
		}
	}
	if d, _ := s.Borrowed(devices.Ask{Options: map[string]string{"driver": "none"}}, nil); d.Version != "" {
		t.Errorf("an image that nobody can look into: %+v", d)
	}
}

// TestToolkitOnTheHostsOwnRoot: where the host is the container's root, its CANN is the container's own, and no second one.
func TestToolkitOnTheHostsOwnRoot(t *testing.T) {
	root := t.TempDir()
	ascendtest.Build(t, root, ascendtest.A2())
	makeToolkit(t, root, "/usr/local/Ascend/cann-9.1.0", ascendtest.ToolkitInfo("9.1.0", "C11"))
	s := New(root)
	inv, err := s.Inventory(t.Context(), devices.Needs{})
	if err != nil {
		t.Fatal(err)
	}
	ask := devices.Ask{Options: map[string]string{"toolkit": "host"}}
	edits, found := s.Edits(inv, inv.Devices[:1], ask, devices.Container{View: rootfs.Dir(root)})
	if len(found) > 0 || edits.PrependEnv["LD_LIBRARY_PATH"][0] != "/usr/local/Ascend/cann-9.1.0/lib64" {
		t.Errorf("%+v, %q", found, edits.PrependEnv)
	}
	image := t.TempDir()
	makeToolkit(t, image, "/usr/local/Ascend/cann-9.1.0", ascendtest.ToolkitInfo("9.1.0", "C11"))
	if _, found := s.Edits(inv, inv.Devices[:1], ask, devices.Container{View: rootfs.Dir(image)}); len(found) != 1 || found[0].ID != finding.AscendTwoToolkits {
		t.Errorf("%+v", found)
	}
}

// TestEndedProcessHoldsNothing: the driver notes the namespace of a container that has ended until another one opens the NPU. The note made
// hostrun refuse an NPU that the driver would have given.
func TestEndedProcessHoldsNothing(t *testing.T) {
	const udevice = "udevid 4 type(davinci entity near real) status 'ready, sia' added_udevid 4 chip_type cloud_v2\n        has os device\n        has used by container, ns id 3\n\n"
	const namespaces = "ns_id 3 identify 1f3c root_tgid 81234 dev_num 1 namespace 00000000abcd1234, udev list:\nlogic_devid udevid\n       0        4\n\n\n"
	for name, c := range map[string]struct {
		table string
		stat  string // of the process; "" for none
		want  int
	}{
		"it runs": {namespaces, "S", 1}, "a zombie: the driver still finds it": {namespaces, "Z", 1}, "it is gone": {namespaces, "", 0},
		"the driver has no such namespace any more": {"ns_id 9 identify 1 root_tgid 1 dev_num 0 namespace 0, udev list:\nlogic_devid udevid\n\n\n", "", 0}, "the table can't be read": {"", "", 1},
	} {
		root := t.TempDir()
		ascendtest.Build(t, root, ascendtest.A2())
		ascendtest.Write(t, root, "/proc/uda/udevice", udevice)
		if c.table != "" {
			ascendtest.Write(t, root, "/proc/uda/namespace_node", c.table)
		}
		if c.stat != "" {
			ascendtest.Write(t, root, "/proc/81234/comm", "vllm\n")
			if err := os.MkdirAll(filepath.Join(root, "proc/81234/fd"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		inv, err := New(root).Inventory(t.Context(), devices.Needs{Users: true})
		if err != nil || len(inv.Devices[4].Users) != c.want {
			t.Errorf("%s: %v, %+v", name, err, inv.Devices[4].Users)
		}
	}
}
