// Package nvidiatest makes small file trees that look like machines with NVIDIA's GPUs, for tests: the kernel's files, real device
// nodes (mknod), and the driver's libraries as ELF files without code.
package nvidiatest

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A Machine is a machine in the making. The zero value has neither GPUs nor a driver.
type Machine struct {
	Driver   string // version of the kernel's module; "" for none
	Open     bool   // the open module
	User     string // version of the libraries; "" is Driver
	GPUs     []GPU
	Switches int    // NVSwitches
	LibDir   string // "" is Debian's
	NoUVM    bool
	StaleUVM bool // the node of an earlier boot
	Frontend bool // the major is called nvidia-frontend, as before driver 550.40
	NoFiles  bool // the module without the libraries
	Fabric   bool // nvidia-fabricmanager runs
	Graphics bool // nodes and files for graphics
	Files    map[string]string
	Links    map[string]string  // further symbolic links
	Nodes    map[string]Numbers // further device nodes
	Live     bool               // the control node, unified memory and GPU 3 have numbers of drivers that every kernel has: they open
	Bare     []string           // PCI addresses of GPUs that the driver does not have
	BareOf   string             // the driver that has those
}

// A GPU is one GPU of a Machine.
type GPU struct {
	PCI      string // 0000:1b:00.0
	Bridges  string // its path of sysfs between the root and itself: "pci0000:15/0000:15:01.0/0000:16:00.0/0000:17:00.0"
	Minor    int
	UUID     string // "" is what the driver prints before it has one
	Model    string
	NUMA     int
	CPUs     string
	MIG      []Instance
	Excluded bool
}

// An Instance is a compute instance of a GPU instance, and the minor numbers of their capabilities.
type Instance struct{ GI, CI, GIMinor, CIMinor int }

// Numbers are a device's.
type Numbers struct{ Major, Minor int }

// Majors that the driver has on these machines. Those of uvm and caps are dynamic on real ones.
const (
	Major     = 195
	UVMMajor  = 510
	CapsMajor = 237
)

// live are the numbers of /dev/null, /dev/zero and /dev/full (Linux, admin-guide/devices.txt).
var live = map[string]Numbers{"dev/nvidiactl": {1, 3}, "dev/nvidia-uvm": {1, 5}, "dev/nvidia3": {1, 7}}

// DGX returns the eight GPUs of a DGX H100, as they lie on its PCI tree: each below a switch of its own.
func DGX() []GPU {
	var all []GPU
	for i, bus := range []string{"1b", "43", "52", "61", "9d", "c3", "d1", "df"} {
		node := i / 4
		all = append(all, GPU{PCI: "0000:" + bus + ":00.0", Bridges: fmt.Sprintf("pci0000:%s/0000:%s:01.0/0000:%s:00.1/0000:%s:00.2", bus, bus, bus, bus),
			Minor: i, UUID: fmt.Sprintf("GPU-11111111-2222-3333-4444-%012d", i), Model: "NVIDIA H100 80GB HBM3", NUMA: node,
			CPUs: fmt.Sprintf("%d-%d,%d-%d", node*56, node*56+55, 112+node*56, 112+node*56+55)})
	}
	return all
}

// H100 is a DGX H100 with driver 550.54.15: eight GPUs, four NVSwitches.
func H100() Machine {
	return Machine{Driver: "550.54.15", GPUs: DGX(), Switches: 4, Fabric: true}
}

// libraries are those of driver 550, by the name before ".so", with their sonames' ends.
var libraries = map[string]string{
	"libcuda": ".so.1", "libcudadebugger": ".so.1", "libnvidia-ml": ".so.1", "libnvidia-cfg": ".so.1", "libnvidia-ptxjitcompiler": ".so.1",
	"libnvidia-nvvm": ".so.4", "libnvidia-opencl": ".so.1", "libnvidia-allocator": ".so.1", "libnvidia-pkcs11": "", "libnvidia-gpucomp": "",
	"libnvcuvid": ".so.1", "libnvidia-encode": ".so.1", "libnvidia-opticalflow": ".so.1", "libnvidia-ngx": ".so.1",
	"libGLX_nvidia": ".so.0", "libEGL_nvidia": ".so.0", "libnvidia-glcore": "", "libnvidia-eglcore": "", "libnvidia-tls": "",
	"libnvidia-glvkspirv": "", "libnvidia-rtcore": "", "libnvoptix": ".so.1",
}

// Make writes the machine below a new directory of the test's, and returns it.
func (m Machine) Make(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	m.Write(t, root)
	return root
}

// Write writes the machine below root. Without the right to make device nodes the test is skipped.
func (m Machine) Write(t testing.TB, root string) {
	t.Helper()
	w := writer{t: t, root: root, live: m.Live}
	w.text("proc/sys/kernel/random/boot_id", "9f1c4c3e-1b3e-4a53-9a50-3a1c3f6f5c11\n")
	w.bus(m)
	if m.Driver != "" {
		w.kernel(m)
		w.nodes(m)
		if !m.NoFiles {
			w.user(m)
		}
	}
	if m.Fabric {
		w.text("run/nvidia-fabricmanager/nv-fabricmanager.pid", "4711\n")
	}
	for name, body := range m.Files {
		w.text(name, body)
	}
	for name, target := range m.Links {
		w.link(name, target)
	}
	for name, n := range m.Nodes {
		w.node(name, n.Major, n.Minor)
	}
}

type writer struct {
	t    testing.TB
	root string
	live bool
}

func (w writer) file(name string, body []byte, mode os.FileMode) {
	w.t.Helper()
	p := filepath.Join(w.root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(p, body, mode); err != nil {
		w.t.Fatal(err)
	}
}

func (w writer) text(name, body string) { w.file(name, []byte(body), 0o644) }

func (w writer) link(name, target string) {
	w.t.Helper()
	p := filepath.Join(w.root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Symlink(target, p); err != nil {
		w.t.Fatal(err)
	}
}

// node makes a character device that everybody may open, as the driver's are.
func (w writer) node(name string, major, minor int) {
	w.t.Helper()
	if n, ok := live[name]; ok && w.live {
		major, minor = n.Major, n.Minor
	}
	p := filepath.Join(w.root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	err := unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(uint32(major), uint32(minor))))
	if errors.Is(err, unix.EPERM) && os.Getenv("HOSTRUN_REQUIRE_ALL") != "1" {
		w.t.Skipf("mknod: %v: device nodes need CAP_MKNOD", err)
	}
	if err == nil {
		err = os.Chmod(p, 0o666)
	}
	if err != nil {
		w.t.Fatalf("mknod %s: %v", p, err)
	}
}

// bus writes sysfs: each device where its bridges are, and a link to it in the list of the bus.
func (w writer) bus(m Machine) {
	for _, g := range m.GPUs {
		w.pci(g.PCI, g.Bridges, "nvidia", g.NUMA, g.CPUs)
		if m.Graphics {
			w.text(path.Join("sys/bus/pci/devices", g.PCI, "drm", fmt.Sprintf("renderD%d/dev", 128+g.Minor)), "")
		}
	}
	for _, address := range m.Bare {
		w.pci(address, "", m.BareOf, -1, "0-7")
	}
}

func (w writer) pci(address, bridges, driver string, node int, cpus string) {
	if bridges == "" {
		bridges = "pci0000:00"
	}
	at := path.Join("sys/devices", bridges, address)
	w.text(at+"/vendor", "0x10de\n")
	w.text(at+"/device", "0x2330\n")
	w.text(at+"/class", "0x030200\n")
	w.text(at+"/numa_node", fmt.Sprintln(node))
	w.text(at+"/local_cpulist", cpus+"\n")
	if driver != "" {
		if err := os.MkdirAll(filepath.Join(w.root, "sys/bus/pci/drivers", driver), 0o755); err != nil {
			w.t.Fatal(err)
		}
		w.link(at+"/driver", strings.Repeat("../", strings.Count(bridges, "/")+3)+"bus/pci/drivers/"+driver)
	}
	w.link("sys/bus/pci/devices/"+address, "../../../devices/"+path.Join(bridges, address))
}

func (w writer) kernel(m Machine) {
	line := "NVRM version: NVIDIA UNIX x86_64 Kernel Module  " + m.Driver + "  Tue Mar  5 22:23:56 UTC 2024\n"
	if m.Open {
		line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  " + m.Driver + "  Release Build  (dvs-builder@U22-I3-AE18-09-6)  Tue Dec 24\n"
	}
	w.text("proc/driver/nvidia/version", line+"GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n")
	w.text("sys/module/nvidia/srcversion", "3A2D5C3E8A9F1B7C6D5E4F3\n")
	if err := os.MkdirAll(filepath.Join(w.root, "proc/driver/nvidia/gpus"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	major := "nvidia"
	if m.Frontend {
		major = "nvidia-frontend"
	}
	lines := []string{"Character devices:", "  1 mem", fmt.Sprintf("%d %s", Major, major), fmt.Sprintf("%d nvidia-caps", CapsMajor)}
	uvm := UVMMajor
	if m.Live {
		uvm = live["dev/nvidia-uvm"].Major
	}
	if !m.NoUVM {
		lines = append(lines, fmt.Sprintf("%d nvidia-uvm", uvm))
	}
	w.text("proc/devices", strings.Join(append(lines, "", "Block devices:", "  8 sd", "510 nvidia-uvm"), "\n")+"\n")
	for i := range m.Switches {
		w.text(fmt.Sprintf("proc/driver/nvidia-nvswitch/devices/0000:0%d:00.0", i+5), "")
	}
	var minors []string
	for _, g := range m.GPUs {
		w.gpu(g, m.Driver)
		for _, i := range g.MIG {
			minors = append(minors, w.mig(g, i)...)
		}
	}
	w.text("proc/driver/nvidia-caps/mig-minors", "config 1\nmonitor 2\n"+strings.Join(minors, ""))
}

func (w writer) gpu(g GPU, driver string) {
	uuid, excluded := g.UUID, "No"
	if uuid == "" {
		uuid = "GPU-????????-????-????-????-????????????"
	}
	if g.Excluded {
		excluded = "Yes"
	}
	w.text("proc/driver/nvidia/gpus/"+g.PCI+"/information", fmt.Sprintf("Model: \t\t %s\nIRQ:   \t\t 0\nGPU UUID: \t %s\nVideo BIOS: \t 96.00.74.00.01\n"+
		"Bus Type: \t PCIe\nDMA Size: \t 52 bits\nDMA Mask: \t 0xfffffffffffff\nBus Location: \t %s\nDevice Minor: \t %d\nGPU Firmware: \t %s\nGPU Excluded:\t %s\n",
		g.Model, uuid, g.PCI, g.Minor, driver, excluded))
}

// mig writes a partition's capabilities, and returns its lines of mig-minors.
func (w writer) mig(g GPU, i Instance) []string {
	dir := fmt.Sprintf("proc/driver/nvidia/capabilities/gpu%d/mig", g.Minor)
	gi := fmt.Sprintf("gi%d", i.GI)
	ci := fmt.Sprintf("%s/ci%d", gi, i.CI)
	w.text(path.Join(dir, gi, "access"), fmt.Sprintf("DeviceFileMinor: %d\nDeviceFileMode: 292\nDeviceFileModify: 1\n", i.GIMinor))
	w.text(path.Join(dir, ci, "access"), fmt.Sprintf("DeviceFileMinor: %d\nDeviceFileMode: 292\nDeviceFileModify: 1\n", i.CIMinor))
	return []string{fmt.Sprintf("gpu%d/%s/access %d\n", g.Minor, gi, i.GIMinor), fmt.Sprintf("gpu%d/%s/access %d\n", g.Minor, ci, i.CIMinor)}
}

func (w writer) nodes(m Machine) {
	w.node("dev/nvidiactl", Major, 255)
	if !m.NoUVM {
		major := UVMMajor
		if m.StaleUVM {
			major++
		}
		w.node("dev/nvidia-uvm", major, 0)
		w.node("dev/nvidia-uvm-tools", major, 1)
	}
	if m.Graphics {
		w.node("dev/nvidia-modeset", Major, 254)
	}
	seen := map[int]bool{}
	for _, g := range m.GPUs {
		w.node(fmt.Sprintf("dev/nvidia%d", g.Minor), Major, g.Minor)
		if m.Graphics {
			w.node(fmt.Sprintf("dev/dri/renderD%d", 128+g.Minor), 226, 128+g.Minor)
		}
		for _, i := range g.MIG {
			for _, minor := range []int{i.GIMinor, i.CIMinor} {
				if !seen[minor] {
					w.node(fmt.Sprintf("dev/nvidia-caps/nvidia-cap%d", minor), CapsMajor, minor)
				}
				seen[minor] = true
			}
		}
	}
}

// user writes the driver's user-space part.
func (w writer) user(m Machine) {
	version, dir := m.User, m.LibDir
	if version == "" {
		version = m.Driver
	}
	if dir == "" {
		dir = "usr/lib/x86_64-linux-gnu"
	}
	for name, end := range libraries {
		file := name + ".so." + version
		soname := name + end
		if end == "" {
			soname = file
		}
		w.file(path.Join(dir, file), Library(soname), 0o644)
		if end != "" {
			w.link(path.Join(dir, soname), file)
		}
	}
	w.file(path.Join(dir, "vdpau/libvdpau_nvidia.so."+version), Library("libvdpau_nvidia.so.1"), 0o644)
	w.link(path.Join(dir, "vdpau/libvdpau_nvidia.so.1"), "libvdpau_nvidia.so."+version)
	w.link(path.Join(dir, "libnvidia-encode.so"), "libnvidia-encode.so.1")
	for _, name := range []string{"nvidia-smi", "nvidia-debugdump", "nvidia-persistenced", "nvidia-cuda-mps-control", "nvidia-cuda-mps-server"} {
		w.file("usr/bin/"+name, []byte("#!/bin/sh\n"), 0o755)
	}
	w.text("usr/lib/firmware/nvidia/"+version+"/gsp_ga10x.bin", "firmware\n")
	w.link("lib", "usr/lib")
	if m.Graphics {
		w.text("usr/share/vulkan/icd.d/nvidia_icd.json", "{}\n")
		w.text("usr/share/glvnd/egl_vendor.d/10_nvidia.json", "{}\n")
		w.text("etc/OpenCL/vendors/nvidia.icd", "libnvidia-opencl.so.1\n")
	}
}
