package ascend_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/devices/devicestest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// an image without CANN, with a user
func image(t *testing.T, files map[string]string) *rootfs.View {
	t.Helper()
	root := t.TempDir()
	ascendtest.Write(t, root, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
	for name, content := range files {
		ascendtest.Write(t, root, name, content)
	}
	return rootfs.Dir(root)
}

func toolkit(dir, version, train string, compatible ...string) map[string]string {
	return map[string]string{
		dir + "/aarch64-linux/ascend_toolkit_install.info": ascendtest.ToolkitInfo(version, train, compatible...),
		dir + "/lib64/libascendcl.so":                      "", dir + "/python/site-packages/acl.so": "", dir + "/bin/msprof": "",
		dir + "/opp/built-in/op_impl/ai_core/tbe/op_tiling/lib/linux/aarch64/x.so": "",
		dir + "/opp/built-in/op_impl/ai_core/tbe/kernel/ascend910b/ops_math/add.o": "",
	}
}

// TestEditsGolden writes down what a container gets for each product, and the whole specification with it.
func TestEditsGolden(t *testing.T) {
	cann := "/usr/local/Ascend/cann-9.1.0"
	hosted := ascendtest.A2()
	hosted.Files = toolkit(cann, "9.1.0", "C11")
	old := ascendtest.A2()
	old.Files = toolkit("/usr/local/Ascend/ascend-toolkit/latest", "8.2.RC1", "C22")
	ranked := ascendtest.A3()
	ranked.Files = map[string]string{"/etc/hccl_rootinfo.json": `{"version":"1.2"}`}
	virtual := ascendtest.Duo()
	virtual.Virtual = []int{100}
	custom := ascendtest.CustomPlace()
	custom.Files = map[string]string{"/usr/local/sbin/npu-smi": "#!/bin/sh\n", "/var/queue_schedule/x": ""}
	for _, c := range []struct {
		name    string
		machine ascendtest.Machine
		chosen  []string
		options map[string]string
		env     []string
	}{
		{"a2-two", ascendtest.A2(), []string{"4", "5"}, nil, []string{"LD_LIBRARY_PATH=/usr/local/Ascend/driver/lib64/common/:/opt/lib"}},
		{"a3-card-with-rank-table", ranked, []string{"2", "3"}, map[string]string{"rank_table": "true"}, nil},
		{"duo-one", ascendtest.Duo(), []string{"3"}, nil, nil},
		{"duo-virtual", virtual, []string{"vdavinci100"}, nil, nil},
		{"310b", ascendtest.Edge(), []string{"0"}, nil, nil},
		{"310", ascendtest.Cards(2, "0xd100"), []string{"1"}, nil, nil},
		{"300i-pro", ascendtest.Cards(3, "0xd500"), []string{"0", "2"}, nil, nil},
		{"910a", ascendtest.Cards(4, "0xd801"), []string{"3"}, nil, nil},
		{"200i-soc", ascendtest.SoC(), []string{"0"}, nil, nil},
		{"mixed-versions", ascendtest.Mixed(), []string{"7"}, map[string]string{"toolkit": "/usr/local/Ascend/cann-8.5.0", "driver": "/usr/local/Ascend/driver"}, nil},
		{"a5", ascendtest.A5(), []string{"1"}, nil, nil},
		{"custom-place", custom, []string{"0"}, nil, nil},
		{"toolkit-of-the-host", hosted, []string{"0"}, map[string]string{"toolkit": "host"}, nil},
		{"toolkit-latest-of-the-host", old, []string{"0"}, map[string]string{"toolkit": "host"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := machine(t, c.machine)
			inv := inventory(t, s, devices.Needs{})
			chosen := slices.DeleteFunc(slices.Clone(inv.Devices), func(d devices.Device) bool { return !slices.Contains(c.chosen, d.Name) })
			edits, findings := s.Edits(inv, chosen, devices.Ask{Options: c.options}, devices.Container{View: image(t, nil), Env: c.env, User: 1000})
			if stop := finding.Errors(findings); len(stop) > 0 {
				t.Fatalf("%+v", stop)
			}
			got, err := json.MarshalIndent(struct {
				Edits    devices.Edits
				Findings []finding.Finding `json:",omitempty"`
			}{edits, findings}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.name+".json", string(got)+"\n")
			golden(t, c.name+".spec.json", spec(t, chosen, edits, c.env))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(recorded(t, name), got); diff != "" {
		t.Errorf("%s differs (-update rewrites it):\n%s", name, diff)
	}
}

// TestEditsFindings: each thing that is wrong with host, image or profile has its own words.
func TestEditsFindings(t *testing.T) {
	remove := func(name string) func(t *testing.T, root string) {
		return func(t *testing.T, root string) {
			if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(name, content string) func(t *testing.T, root string) {
		return func(t *testing.T, root string) { ascendtest.Write(t, root, name, content) }
	}
	const driver = "/usr/local/Ascend/driver"
	for _, c := range []struct {
		name     string
		change   func(t *testing.T, root string)
		options  map[string]string
		env      []string
		image    map[string]string
		user     uint32
		id       string
		severity finding.Severity
		message  string
	}{
		{name: "manager missing", change: remove("dev/davinci_manager"), id: finding.AscendManager, severity: finding.Error, message: "ret is -8005"},
		{name: "hisi_hdc missing", change: remove("dev/hisi_hdc"), id: finding.AscendManager, severity: finding.Error, message: "/dev/hisi_hdc"},
		{name: "dvpp missing", change: remove("dev/dvpp_cmdlist"), id: finding.AscendManager, severity: finding.Info, message: "DVPP"},
		{name: "manager is a file", change: func(t *testing.T, root string) {
			remove("dev/davinci_manager")(t, root)
			write("dev/davinci_manager", "")(t, root)
		}, id: finding.DeviceNotNode, severity: finding.Error, message: "/dev/davinci_manager"},
		{name: "NPU gone since the inventory", change: remove("dev/davinci0"), id: finding.DeviceMissing, severity: finding.Error, message: "/dev/davinci0"},
		{name: "driver directory empty", change: func(t *testing.T, root string) {
			remove(driver)(t, root)
			if err := os.MkdirAll(filepath.Join(root, driver), 0o755); err != nil {
				t.Fatal(err)
			}
		}, id: finding.AscendDriver, severity: finding.Error, message: "libascend_hal.so: cannot open shared object file: No such file or directory"},
		{name: "driver directory missing", change: remove(driver), id: finding.AscendDriver, severity: finding.Error, message: "from /etc/ascend_install.info"},
		{name: "driver named and missing", options: map[string]string{"driver": "/opt/none"}, id: finding.AscendDriver, severity: finding.Error, message: "from ascend.driver"},
		{name: "driver directory world-writable", change: func(t *testing.T, root string) {
			if err := os.Chmod(filepath.Join(root, driver), 0o777); err != nil {
				t.Fatal(err)
			}
		}, id: finding.AscendWritable, severity: finding.Warning, message: driver + " can be changed by every user"},
		{name: "library world-writable", change: func(t *testing.T, root string) {
			if err := os.Chmod(filepath.Join(root, driver, "lib64/driver/libascend_hal.so"), 0o666); err != nil {
				t.Fatal(err)
			}
		}, id: finding.AscendWritable, severity: finding.Warning, message: "libascend_hal.so can be changed"},
		{name: "version.info gone", change: remove(driver + "/version.info"), id: finding.AscendVersionInfo, severity: finding.Warning, message: "No such file or directory"},
		{name: "version.info of another form", change: write(driver+"/version.info", "{\"version\": 3}\n"), id: finding.AscendVersionInfo, severity: finding.Warning, message: "no line Version="},
		{name: "inner version of another form", change: write(driver+"/version.info", "Version=30\nInnerversion=main-2030\n"), id: finding.AscendVersionInfo, severity: finding.Warning, message: "main-2030"},
		{name: "installation not complete", change: write("/etc/ascend_install.info", "Driver_Install_Path_Param=/usr/local/Ascend\r\nDriver_Install_Status=installing\r\n"), id: finding.AscendVersionInfo, severity: finding.Warning, message: "may not be completely installed"},
		{name: "rank table missing", options: map[string]string{"rank_table": "true"}, id: finding.AscendRankTable, severity: finding.Error, message: "does not exist"},
		{name: "rank table of A3", change: write("/etc/hccl_rootinfo.json", `{"version":"1.2"}`), options: map[string]string{"rank_table": "true"}, id: finding.AscendRankTable, severity: finding.Error, message: "EI0014"},
		{name: "rank table damaged", change: write("/etc/hccl_rootinfo.json", `{"version":`), options: map[string]string{"rank_table": "true"}, id: finding.AscendRankTable, severity: finding.Error, message: "no JSON"},
		{name: "rank table yes", options: map[string]string{"rank_table": "yes"}, id: finding.AscendOption, severity: finding.Error, message: "ascend.rank_table"},
		{name: "an option of nobody", options: map[string]string{"toolkits": "host"}, id: finding.AscendOption, severity: finding.Error, message: "ascend.toolkits"},
		{name: "toolkit of neither", options: map[string]string{"toolkit": "latest"}, id: finding.AscendOption, severity: finding.Error, message: "ascend.toolkit"},
		{name: "no toolkit on the host", options: map[string]string{"toolkit": "host"}, id: finding.AscendToolkit, severity: finding.Error, message: "no CANN toolkit"},
		{name: "toolkit over the image's", options: map[string]string{"toolkit": "host"}, image: toolkit("/usr/local/Ascend/cann-8.5.1", "8.5.1", "C25"), id: finding.AscendTwoToolkits, severity: finding.Error, message: "two installations of CANN"},
		{name: "user without group", change: func(t *testing.T, root string) {
			if err := os.Chown(filepath.Join(root, "dev/davinci0"), 0, 0); err != nil {
				t.Fatal(err)
			}
		}, user: 1000, id: finding.AscendUser, severity: finding.Error, message: "user 1000 can't open /dev/davinci0: Permission denied"},
		{name: "visible devices of the host", env: []string{"ASCEND_RT_VISIBLE_DEVICES=0,3"}, id: finding.AscendVisible, severity: finding.Error, message: "container 0 = /dev/davinci0 (0000:C1:00.0)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, root := machine(t, ascendtest.A2())
			inv := inventory(t, s, devices.Needs{})
			if c.change != nil {
				c.change(t, root)
			}
			_, findings := s.Edits(inv, inv.Devices[:1], devices.Ask{Options: c.options, File: "p.yaml", Line: 3}, devices.Container{View: image(t, c.image), Env: c.env, User: c.user})
			if len(findings) != 1 {
				t.Fatalf("%d findings: %+v", len(findings), findings)
			}
			f := findings[0]
			if f.ID != c.id || f.Severity != c.severity || !strings.Contains(f.Message, c.message) || f.Remedy == "" || f.File != "p.yaml" || f.Line != 3 {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestMachineOfDriver: the loader passes over a library of another architecture, and says that there is none.
func TestMachineOfDriver(t *testing.T) {
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	foreign := slices.Clone(sh)
	foreign[18], foreign[19] = 0xf3, 0 // EM_RISCV
	for name, c := range map[string]struct {
		driver []byte
		want   int
	}{"same": {sh, 0}, "foreign": {foreign, 1}} {
		t.Run(name, func(t *testing.T) {
			s, root := machine(t, ascendtest.A2())
			ascendtest.Write(t, root, "/usr/local/Ascend/driver/lib64/driver/libascend_hal.so", string(c.driver))
			inv := inventory(t, s, devices.Needs{})
			_, findings := s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{View: image(t, map[string]string{"/bin/sh": string(sh)})})
			if len(findings) != c.want || c.want > 0 && (findings[0].ID != finding.AscendMachine || !strings.Contains(findings[0].Message, "RISCV")) {
				t.Errorf("%+v", findings)
			}
		})
	}
}

// TestDriverNone: ascend: none gives the nodes alone, for images that bring the driver's libraries.
func TestDriverNone(t *testing.T) {
	s, root := machine(t, ascendtest.A2())
	if err := os.RemoveAll(filepath.Join(root, "usr/local/Ascend/driver")); err != nil {
		t.Fatal(err)
	}
	inv := inventory(t, s, devices.Needs{})
	edits, findings := s.Edits(inv, inv.Devices[:1], devices.Ask{Options: map[string]string{"driver": "none"}}, devices.Container{})
	if len(findings) > 0 || len(edits.Mounts) > 0 || len(edits.DeviceNodes) != 5 || len(edits.PrependEnv) > 0 {
		t.Errorf("%+v, %+v", findings, edits)
	}
}

// TestPasswd: HCCL looks for the user's line, and plan writes the one that is asked for.
func TestPasswd(t *testing.T) {
	s, _ := machine(t, ascendtest.A2())
	inv := inventory(t, s, devices.Needs{})
	for user, want := range map[uint32]bool{0: false, 1000: false, 4242: true} {
		edits, findings := s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{View: image(t, nil), User: user})
		if len(findings) > 0 || edits.Passwd != want {
			t.Errorf("user %d: %v, %+v", user, edits.Passwd, findings)
		}
	}
}

// TestLinksOutOfTheDriver: a library that is a link to another directory is brought from there, to where the link leads.
func TestLinksOutOfTheDriver(t *testing.T) {
	s, root := machine(t, ascendtest.A2())
	lib := filepath.Join(root, "usr/local/Ascend/driver/lib64")
	ascendtest.Write(t, root, "/usr/lib64/libdrv.so.1", "")
	for link, target := range map[string]string{"driver/libdrv.so": "/usr/lib64/libdrv.so.1", "driver/libown.so": "libascend_hal.so", "common/libup.so": "../driver/libascend_hal.so", "libgone.so": "/nowhere"} {
		if err := os.Symlink(target, filepath.Join(lib, link)); err != nil {
			t.Fatal(err)
		}
	}
	inv := inventory(t, s, devices.Needs{})
	edits, findings := s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{})
	var outside []string
	for _, m := range edits.Mounts {
		if strings.Contains(m.ContainerPath, "lib64") || strings.Contains(m.ContainerPath, "nowhere") {
			outside = append(outside, m.HostPath+" at "+m.ContainerPath)
		}
	}
	if len(findings) > 0 || !slices.Equal(outside, []string{"/usr/lib64/libdrv.so.1 at /usr/lib64/libdrv.so.1"}) {
		t.Errorf("%q, %+v", outside, findings)
	}
}

// TestNodesForAll: For_All=yes makes nodes that everybody may open. No group is needed then, and none is given.
func TestNodesForAll(t *testing.T) {
	s, root := machine(t, ascendtest.A2())
	nodes, err := filepath.Glob(filepath.Join(root, "dev/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if err := os.Chmod(n, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	inv := inventory(t, s, devices.Needs{})
	edits, findings := s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{User: 1000})
	if len(findings) > 0 || len(edits.AdditionalGIDs) > 0 || *edits.DeviceNodes[0].FileMode != 0o666 {
		t.Errorf("%+v, %+v", findings, edits.AdditionalGIDs)
	}
}

// TestManagerOfServers: a server's driver makes davinci_manager_docker, too, which is for containers of a 310B alone, and containers were given
// it as davinci_manager. On the unified bus it made a 950 a 310B.
func TestManagerOfServers(t *testing.T) {
	for name, c := range map[string]struct {
		machine ascendtest.Machine
		chip    string
		minor   int64
	}{"A2": {ascendtest.A2(), "910B", 0}, "A5": {ascendtest.A5(), "950", 0}, "310B": {ascendtest.Edge(), "310B", 9}} {
		s, root := machine(t, c.machine)
		_ = os.Remove(filepath.Join(root, "dev/davinci_manager_docker"))
		devicestest.Mknod(t, root, "/dev/davinci_manager_docker", ascendtest.MajorManager, 9, 0o660)
		inv := inventory(t, s, devices.Needs{})
		edits, found := s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{})
		i := slices.IndexFunc(edits.DeviceNodes, func(n *specs.DeviceNode) bool { return n.Path == "/dev/davinci_manager" })
		if len(finding.Errors(found)) > 0 || i < 0 || edits.DeviceNodes[i].Minor != c.minor || factsOf(t, inv.Devices[0]).Chip != c.chip {
			t.Errorf("%s: %+v, %+v, %+v", name, found, edits.DeviceNodes, factsOf(t, inv.Devices[0]))
		}
	}
}

// TestStaleNodeBesideItsSuccessor: a node that an earlier boot has left has the minor number of one that the driver made now.
func TestStaleNodeBesideItsSuccessor(t *testing.T) {
	s, root := machine(t, ascendtest.A2())
	devicestest.Mknod(t, root, "/dev/davinci00", 99, 0, 0o660)
	inv := inventory(t, s, devices.Needs{})
	if len(inv.Devices) != 8 || inv.Devices[0].Nodes[0] != "/dev/davinci0" || inv.Devices[0].Health.State == "bad" {
		t.Errorf("%+v", inv.Devices[0])
	}
}
