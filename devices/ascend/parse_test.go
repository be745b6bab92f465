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

func symlink(t *testing.T, root, target, name string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
		t.Fatal(err)
	}
}

// TestDriver reads the files of several releases.
func TestDriver(t *testing.T) {
	for name, c := range map[string]struct {
		info, version string
		named         string
		want          Driver
	}{
		"24.1.rc2.2": {"Driver_Install_Path_Param=/usr/local/Ascend\n", "Version=24.1.rc2.2\nInnerversion=V100R001C18SPC001B233\ncompatible_version=[V100R001C30],[V100R001C13],[V100R001C18]\ncompatible_version_fw=[7.0.0,7.2.99]\n", "",
			Driver{Directory: "/usr/local/Ascend/driver", Source: installInfo, Version: "24.1.rc2.2", Inner: "V100R001C18SPC001B233", Compatible: []string{"C30", "C13", "C18"}, FirmwareRanges: [][2]string{{"7.0.0", "7.2.99"}}}},
		"CRLF, other case, spaces": {"driver_install_path_param = /usr/local/Ascend\r\nDriver_Install_Status=Complete\r\n", "version=25.0.RC1\r\ninnerversion=V100R001C21\r\ncompatible_version=[ V100R001C17 ] , [V100R001C21SPC1]\r\n", "",
			Driver{Directory: "/usr/local/Ascend/driver", Source: installInfo, Version: "25.0.RC1", Inner: "V100R001C21", Compatible: []string{"C17", "C21"}, Status: "complete"}},
		"no install info": {"", "package_version=25.2.0\n", "", Driver{Directory: "/usr/local/Ascend/driver", Source: "the usual place", Version: "25.2.0"}},
		"a relative path": {"Driver_Install_Path_Param=../../etc\n", "Version=1\n", "", Driver{Directory: "/usr/local/Ascend/driver", Source: "the usual place", Version: "1"}},
		"named":           {"Driver_Install_Path_Param=/usr/local/Ascend\n", "", "/usr/local/Ascend/driver/", Driver{Directory: "/usr/local/Ascend/driver", Source: "ascend.driver", Malformed: "it has no line Version="}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			ascendtest.Write(t, root, installInfo, c.info)
			ascendtest.Write(t, root, "/usr/local/Ascend/driver/version.info", c.version)
			got := readDriver(rootfs.Dir(root), c.named)
			if !slices.Equal(got.Compatible, c.want.Compatible) || !slices.Equal(got.FirmwareRanges, c.want.FirmwareRanges) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			got.Compatible, got.FirmwareRanges, c.want.Compatible, c.want.FirmwareRanges = nil, nil, nil, nil
			if got.Directory != c.want.Directory || got.Source != c.want.Source || got.Version != c.want.Version || got.Inner != c.want.Inner || got.Status != c.want.Status || got.Malformed != c.want.Malformed {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func FuzzFiles(f *testing.F) {
	f.Add("Version=24.1.rc3\nInnerversion=V100R001C19SPC001B124\ncompatible_version=[V100R001C13],[V100R001C15]\ncompatible_version_fw=[7.0.0,7.5.99]\n")
	f.Add("udevid 4 type(davinci entity near real) status 'ready, sia' added_udevid 4 chip_type cloud_v2\n        has used by container, ns id 3\n")
	f.Add("ns_id 3 identify 1f3c root_tgid 81234 dev_num 2 namespace 0, udev list:\nlogic_devid udevid\n 0 4\n")
	f.Add("c1:00.0 ---> 0\n0000:01:00.0 ---> 1\n")
	f.Add("Character devices:\n 236 devdrv-cdev\n\nBlock devices:\n")
	f.Add("0::/system.slice/docker-" + strings.Repeat("ab", 32) + ".scope\n")
	f.Fuzz(func(t *testing.T, text string) {
		for key, value := range parseKeyValues(text) {
			if key == "" || strings.ContainsAny(key, "=\n") || strings.Contains(value, "\n") {
				t.Errorf("%q=%q", key, value)
			}
			for _, c := range append(parseTrains(value), train(value)) {
				if c != "" && c[0] != 'C' {
					t.Errorf("train %q", c)
				}
			}
			parseRanges(value)
			compareVersions(value, text)
			base(value)
		}
		for _, d := range parseUDevices(text) {
			if d.id < 0 {
				t.Errorf("%+v", d)
			}
		}
		for _, n := range parseUDANamespaces(text) {
			if n.id < 0 || n.rootPID < 0 {
				t.Errorf("%+v", n)
			}
		}
		for _, m := range parseMapping(text) {
			if m.id < 0 || m.id >= maxIDs || m.rest != strings.ToLower(m.rest) {
				t.Errorf("%+v", m)
			}
		}
		for name, major := range parseMajors(text) {
			if name == "" || major < 0 {
				t.Errorf("%q %d", name, major)
			}
		}
		canonical(text)
		familyOfTag(text)
		familyOfName(text)
		CheckVisible(text, nil)
		CheckRename(text, text+"x")
	})
}

func TestCheckVisible(t *testing.T) {
	chosen := []devices.Device{{Name: "5", Index: 5, Nodes: []string{"/dev/davinci5"}, PCI: "0000:c2:00.0"}, {Name: "4", Index: 4, Nodes: []string{"/dev/davinci4"}}}
	for value, want := range map[string]string{"0": "", "1": "", "0,1": "", "0, 1": "up to 0: ASCEND_RT_VISIBLE_DEVICES=0, 1: \" 1\" is no number", " 0": "finds no NPU", "4": "there is no NPU 4", "1,0": "0 does not come after 1", "0,0": "0 does not come after 0",
		"0,x": `"x" is no number`, "": "is no number", "-1": "is no number", "0,2": "container 0 = /dev/davinci4, container 1 = /dev/davinci5 (0000:C2:00.0)"} {
		found := CheckVisible(value, chosen)
		if (want == "") != (len(found) == 0) || want != "" && (found[0].ID != finding.AscendVisible || !strings.Contains(found[0].Message, want)) {
			t.Errorf("%q: %+v, want %q", value, found, want)
		}
	}
	if found := CheckVisible("0", nil); len(found) != 1 || !strings.Contains(found[0].Want, "no NPU") {
		t.Errorf("without an NPU: %+v", found)
	}
	if found := CheckVisible("", nil); len(found) > 0 {
		t.Errorf("nothing of nothing: %+v", found)
	}
}

func TestCheckRename(t *testing.T) {
	for pair, wrong := range map[string]bool{"/dev/davinci4:/dev/davinci0": true, "/dev/davinci4:/dev/davinci4": false, "/dev/davinci4:": false, "/dev/davinci4:/dev//davinci4": false,
		"/dev/davinci4:/dev/npu": true, "/dev/vdavinci100:/dev/davinci100": false, "/dev/vdavinci100:/dev/davinci0": true, "/dev/davinci_manager_docker:/dev/davinci_manager": false, "/dev/nvidia4:/dev/nvidia0": false,
		"/x/davinci4:/dev/davinci0": false} {
		source, destination, _ := strings.Cut(pair, ":")
		f, got := CheckRename(source, destination)
		if got != wrong || got && (f.ID != finding.AscendRename || !strings.Contains(f.Message, "minor number")) {
			t.Errorf("%s: %v, %+v", pair, got, f)
		}
	}
}
