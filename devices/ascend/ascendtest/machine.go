// Package ascendtest makes the files of machines with Ascend NPUs below a directory, with real device nodes. Names and contents
// are those that the vendor's driver and installers write.
package ascendtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices/devicestest"
)

// Group is the number that HwHiAiUser has on the machines, and User that of the user of this name.
const (
	Group = 1007
	User  = 1006
)

// Major numbers, as illustrative as any: the driver takes what is free.
const (
	MajorDevice  = 236
	MajorManager = 237
)

// A Function is an NPU on the PCI bus.
type Function struct {
	Address   string
	Device    string // 0xd802
	Subsystem string
	IDs       []int // physical ids that the driver's table has for it
}

// A Machine is what Build makes.
type Machine struct {
	Functions []Function
	IDs       []int    // of nodes
	Virtual   []int    // of vdavinci nodes
	Shared    []string // nodes besides: davinci_manager
	NoTable   bool     // the driver does not show its table of ids
	Driver    string   // directory; "" is the usual one
	Version   string   // content of version.info; "" is that of 25.0.rc1.1
	Files     map[string]string
	Majors    map[string]int64 // of the driver's classes in /proc/devices, where they differ
}

var serverNodes = []string{"davinci_manager", "devmm_svm", "hisi_hdc", "dvpp_cmdlist"}

// A2 is a server with eight 910B4, with the PCI addresses that such a server has: they do not ascend with the ids.
func A2() Machine {
	m := Machine{Shared: serverNodes}
	for id, address := range []string{"c1", "01", "c2", "02", "81", "41", "82", "42"} {
		m.Functions = append(m.Functions, Function{Address: "0000:" + address + ":00.0", Device: "0xd802", IDs: []int{id}})
		m.IDs = append(m.IDs, id)
	}
	return m
}

// A3 is a server with eight cards of two dies each.
func A3() Machine {
	m := Machine{Shared: serverNodes}
	for id := range 16 {
		m.Functions = append(m.Functions, Function{Address: fmt.Sprintf("0000:%02x:00.0", 0x9d+2*id), Device: "0xd803", IDs: []int{id}})
		m.IDs = append(m.IDs, id)
	}
	return m
}

// Duo has two cards Atlas 300I Duo: two chips behind each PCI function.
func Duo() Machine {
	return Machine{Shared: serverNodes, IDs: []int{0, 1, 2, 3}, Functions: []Function{
		{Address: "0000:01:00.0", Device: "0xd500", Subsystem: "0x0110", IDs: []int{0, 1}},
		{Address: "0000:81:00.0", Device: "0xd500", Subsystem: "0x0110", IDs: []int{2, 3}}}}
}

// Cards is a machine with n cards of one chip each, of the given PCI device id: 0xd100 (310), 0xd500 (310P: 300I Pro), 0xd801 (910).
func Cards(n int, device string) Machine {
	m := Machine{Shared: serverNodes}
	for id := range n {
		m.Functions = append(m.Functions, Function{Address: fmt.Sprintf("0000:%02x:00.0", 0x81+4*id), Device: device, IDs: []int{id}})
		m.IDs = append(m.IDs, id)
	}
	return m
}

// SoC is an Atlas 200I SoC A1: a 310P on a board without PCI.
func SoC() Machine {
	return Machine{Shared: []string{"davinci_manager", "vpc", "vdec", "sys", "spi_smbus", "user_config", "ts_aisle", "svm0", "log_drv", "memory_bandwidth", "upgrade", "event_sched"}, IDs: []int{0},
		Files: map[string]string{"/etc/sys_version.conf": "1.0\n", "/etc/hdcBasic.cfg": "x\n"}}
}

// Mixed is A2 with a driver, a firmware and a CANN of three releases.
func Mixed() Machine {
	m := A2()
	m.Version = VersionInfo("24.1.rc3", "C19", "C13", "C15", "C17", "C18", "C19")
	m.Files = map[string]string{"/usr/local/Ascend/firmware/version.info": "Version=8.1.0.1.231\nfirmware_version=1.0\n",
		"/usr/local/Ascend/cann-8.5.0/aarch64-linux/ascend_toolkit_install.info": ToolkitInfo("8.5.0", "C25", "C21", "C23", "C25"), "/usr/local/Ascend/cann-8.5.0/lib64/libascendcl.so": ""}
	return m
}

// Edge is a 310B on a board without PCI.
func Edge() Machine {
	return Machine{Shared: []string{"davinci_manager", "davinci_manager_docker", "devmm_svm", "hisi_hdc", "svm0", "ts_aisle", "upgrade", "vdec", "venc"}, IDs: []int{0},
		Files: map[string]string{"/etc/sys_version.conf": "1.0\n", "/etc/hdcBasic.cfg": "x\n", "/usr/lib64/libaicpu_prof.so": "", "/usr/lib64/aicpu_kernels/a": ""}}
}

// A5 is a server with two 950 on the unified bus.
func A5() Machine {
	return Machine{Shared: []string{"davinci_manager", "hisi_hdc", "uburma/udma0", "ummu/ummu0"}, IDs: []int{0, 1},
		Files: map[string]string{"/sys/class/unified_bus/ub0/name": "", "/usr/lib64/libummu.so.1": "", "/usr/lib64/liburma.so": "", "/usr/bin/urma_ping": "",
			"/usr/local/Ascend/driver/topo/atlas_950.json": "{}"}}
}

// NotLoaded is A2 after an update of the kernel.
func NotLoaded() Machine {
	m := A2()
	m.IDs, m.Shared, m.NoTable = nil, nil, true
	return m
}

// CustomPlace is A2 with the driver in a directory of the administrator's choice.
func CustomPlace() Machine {
	m := A2()
	m.Driver = "/opt/hw/Ascend/driver"
	return m
}

// VersionInfo is the driver's file of a release, by the number of its train and those that it lists.
func VersionInfo(version, train string, compatible ...string) string {
	var list []string
	for _, c := range compatible {
		list = append(list, "[V100R001"+c+"]")
	}
	return "Version=" + version + "\nascendhal_version=7.35.23\naicpu_version=1.0\nInnerversion=V100R001" + train + "SPC002B220\ncompatible_version=" +
		strings.Join(list, ",") + "\ncompatible_version_fw=[6.4.0,6.4.99],[7.0.0,7.7.99]\npackage_version=" + version + "\n"
}

// ToolkitInfo is CANN's ascend_toolkit_install.info; without compatible there is no such key, as from 9.0 on.
func ToolkitInfo(version, train string, compatible ...string) string {
	text := "package_name=Ascend-cann-toolkit\nversion=" + version + "\ninnerversion=V100R001" + train + "SPC001B231\n"
	if len(compatible) > 0 {
		text += "compatible_version=[V100R001" + strings.Join(compatible, "],[V100R001") + "]\n"
	}
	return text + "arch=aarch64\nos=linux\n"
}

// Build makes the machine below root.
func Build(t *testing.T, root string, m Machine) {
	t.Helper()
	for _, f := range m.Functions {
		m.function(t, root, f)
	}
	m.nodes(t, root)
	driver := m.Driver
	if driver == "" {
		driver = "/usr/local/Ascend/driver"
	}
	version := m.Version
	if version == "" {
		version = VersionInfo("25.0.rc1.1", "C21", "C17", "C18", "C19", "C20", "C21")
	}
	files := map[string]string{
		driver + "/version.info": version, driver + "/lib64/driver/libascend_hal.so": "", driver + "/lib64/common/libc_sec.so": "",
		driver + "/tools/hccn_tool": "#!/bin/sh\n", "/usr/local/dcmi/libdcmi.so": "", "/usr/local/bin/npu-smi": "#!/bin/sh\n",
		"/etc/hccn.conf": "address_0=29.1.137.205\nnetmask_0=255.255.0.0\n", "/proc/sys/kernel/random/boot_id": "b2ff8a53-52b8-4b1f-9d7c-2f4ad7a83e33\n",
		"/etc/ascend_install.info": "UserName=HwHiAiUser\nUserGroup=HwHiAiUser\nDriver_Install_Type=full\nDriver_Install_Path_Param=" + filepath.Dir(driver) +
			"\nDriver_Install_For_All=no\nDriver_Install_Mode=normal\nDriver_Install_Status=complete\nFirmware_Install_Path_Param=/usr/local/Ascend\n",
		"/usr/local/Ascend/firmware/version.info": "Version=7.7.0.1.231\nfirmware_version=1.0\npackage_version=25.0.rc1.1\n",
	}
	for name, content := range files {
		Write(t, root, name, content)
	}
	for name, content := range m.Files {
		Write(t, root, name, content)
	}
}

func (m Machine) function(t *testing.T, root string, f Function) {
	t.Helper()
	dir := "/sys/devices/pci0000:00/" + f.Address
	numa := 0
	if f.Address > "0000:80" {
		numa = 1
	}
	subsystem := f.Subsystem
	if subsystem == "" {
		subsystem = "0x0100"
	}
	for name, content := range map[string]string{
		"vendor": "0x19e5", "device": f.Device, "class": "0x120000", "subsystem_device": subsystem,
		"numa_node": fmt.Sprint(numa), "local_cpulist": fmt.Sprintf("%d-%d", numa*64, numa*64+63),
	} {
		Write(t, root, dir+"/"+name, content+"\n")
	}
	if !m.NoTable {
		Write(t, root, dir+"/devdrv_sysfs_bdf_to_devid", m.table())
	}
	link := filepath.Join(root, "sys/bus/pci/devices", f.Address)
	must(t, os.MkdirAll(filepath.Dir(link), 0o755))
	must(t, os.Symlink("../../../devices/pci0000:00/"+f.Address, link))
}

func (m Machine) table() string {
	var b strings.Builder
	for _, f := range m.Functions {
		for _, id := range f.IDs {
			fmt.Fprintf(&b, "%s ---> %d\n", strings.TrimPrefix(f.Address, "0000:"), id)
		}
	}
	return b.String()
}

// nodes makes /dev and /proc/devices.
func (m Machine) nodes(t *testing.T, root string) {
	t.Helper()
	own := func(name string, major, minor int) {
		devicestest.Mknod(t, root, "/dev/"+name, uint32(major), uint32(minor), 0o660)
		must(t, os.Chown(filepath.Join(root, "dev", name), User, Group))
	}
	for _, id := range m.IDs {
		own(fmt.Sprintf("davinci%d", id), MajorDevice, id)
	}
	for _, id := range m.Virtual {
		own(fmt.Sprintf("vdavinci%d", id), MajorDevice+10, id)
	}
	for i, name := range m.Shared {
		own(name, MajorManager+i, 0)
	}
	majors := map[string]int64{"devmm_svm": 238, "devdrv-cdev": MajorDevice, "hisi_davinci_intf": MajorManager}
	if len(m.Virtual) > 0 {
		majors["vdevdrv-cdev"] = MajorDevice + 10
	}
	for class, major := range m.Majors {
		majors[class] = major
	}
	var b strings.Builder
	b.WriteString("Character devices:\n  1 mem\n")
	if len(m.IDs)+len(m.Virtual) > 0 {
		for class, major := range majors {
			fmt.Fprintf(&b, "%3d %s\n", major, class)
		}
	}
	b.WriteString("\nBlock devices:\n259 blkext\n")
	Write(t, root, "/proc/devices", b.String())
}

// Write makes a file below root, with its directories.
func Write(t *testing.T, root, name, content string) {
	t.Helper()
	at := filepath.Join(root, name)
	must(t, os.MkdirAll(filepath.Dir(at), 0o755))
	must(t, os.WriteFile(at, []byte(content), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
