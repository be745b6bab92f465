package nvidia

import (
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/rootfs"
)

// smallFile bounds a file of procfs or sysfs, in bytes.
const smallFile = 64 << 10

// A machine reads below a root.
type machine struct {
	root string // without a slash at its end: "" is this machine
	view *rootfs.View
}

// under is where a file of /proc or /sys lies on this machine. The kernel's links are relative and stay in their tree, so these files
// are read directly: a start reads some hundred of them.
func (m machine) under(p string) string { return m.root + p }

// rootPath is the root as a path.
func (m machine) rootPath() string { return m.root + "/" }

// text returns a small file of the kernel without white space at its ends, "" where it can't be read.
func (m machine) text(p string) string {
	f, err := os.Open(m.under(p))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, smallFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// kernelNames lists a directory of the kernel, sorted; an absent one is empty.
func (m machine) kernelNames(dir string) []string {
	f, err := os.Open(m.under(dir))
	if err != nil {
		return nil
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil
	}
	slices.Sort(names)
	return names
}

func (m machine) hasKernel(p string) bool {
	_, err := os.Lstat(m.under(p))
	return err == nil
}

// names lists a directory, sorted as ReadDir does; an absent one is empty.
func (m machine) names(dir string) []string {
	entries, err := m.view.ReadDir(dir)
	if err != nil {
		return nil
	}
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// real returns the path without links, false where it leads nowhere.
func (m machine) real(p string) (string, bool) {
	r, err := m.view.Resolve(p)
	return r.Path, err == nil
}

// linked returns the last element of where a link of sysfs leads: the name of a driver.
func (m machine) linked(p string) string {
	target, err := os.Readlink(m.under(p))
	if err != nil {
		return ""
	}
	return path.Base(target)
}

// isCharacter reports whether p is a character device.
func (m machine) isCharacter(p string) bool {
	fi, err := m.stat(p)
	return err == nil && fi.Mode()&fs.ModeCharDevice != 0
}

// node reads a device node, which a driver in a container of its own may have made in that container's /dev alone. It is empty where there is
// none.
func (m machine) node(p, driverRoot string) []devices.Node {
	nodes, _ := devices.Nodes(m.rootPath(), []devices.Request{{Source: p}})
	if len(nodes) == 0 && driverRoot != "" && driverRoot != "/" {
		nodes, _ = devices.Nodes(m.rootPath(), []devices.Request{{Source: path.Join(driverRoot, p), Destination: p}})
	}
	return nodes
}

// hasNode reports whether node would find something.
func (m machine) hasNode(p, driverRoot string) bool {
	return m.hasKernel(p) || driverRoot != "" && driverRoot != "/" && m.hasKernel(path.Join(driverRoot, p))
}

// Sockets that the driver's daemons leave while they run.
const (
	persistenced  = "/run/nvidia-persistenced/socket"
	fabricManager = "/run/nvidia-fabricmanager/socket"
)

// socket is where a daemon's socket lies: a driver in a container of its own may have it there.
func (m machine) socket(p, driverRoot string) string {
	if below := path.Join(driverRoot, p); driverRoot != "" && !m.view.Exists(p) && m.view.Exists(below) {
		return below
	}
	return p
}

func (m machine) stat(p string) (fs.FileInfo, error) {
	r, err := m.view.Resolve(p)
	if err != nil {
		return nil, err
	}
	return os.Lstat(r.Real)
}

// A procGPU is one directory of /proc/driver/nvidia/gpus.
type procGPU struct {
	Address  string // the directory's name, lower case
	Model    string
	UUID     string // "" while the driver has not initialised the adapter: it prints question marks (nv-procfs.c)
	Minor    int    // -1 when unknown
	Firmware string
	Excluded bool
}

// parseInformation reads /proc/driver/nvidia/gpus/ADDRESS/information (kernel-open/nvidia/nv-procfs.c).
func parseInformation(address, body string) procGPU {
	g := procGPU{Address: strings.ToLower(address), Minor: -1}
	for line := range strings.Lines(body) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "Model":
			g.Model = value
		case "GPU UUID":
			if !strings.Contains(value, "?") {
				g.UUID = value
			}
		case "Device Minor":
			if n, err := strconv.Atoi(value); err == nil && n >= 0 {
				g.Minor = n
			}
		case "GPU Firmware":
			g.Firmware = value
		case "GPU Excluded":
			g.Excluded = value == "Yes"
		}
	}
	return g
}

// procGPUs lists what the driver has, by PCI address.
func (m machine) procGPUs() []procGPU {
	const dir = "/proc/driver/nvidia/gpus"
	var all []procGPU
	for _, address := range m.kernelNames(dir) {
		all = append(all, parseInformation(address, m.text(dir+"/"+address+"/information")))
	}
	slices.SortFunc(all, func(a, b procGPU) int { return strings.Compare(a.Address, b.Address) })
	return all
}

// parseVersion reads /proc/driver/nvidia/version: the first word that is a version, and whether the module is the open one.
//
//	NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024
//	NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release Build  (dvs-builder@...)
func parseVersion(body string) (version string, open bool) {
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "NVRM version:")
		if !ok {
			continue
		}
		for _, word := range strings.Fields(rest) {
			if isVersion(word) {
				return word, strings.Contains(rest, "Open Kernel Module")
			}
		}
	}
	return "", false
}

// isVersion reports whether s is a driver's version: 550.54.15, 390.157.
func isVersion(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 4 {
		return false
	}
	for _, p := range parts {
		if n, err := strconv.Atoi(p); err != nil || n < 0 || p[0] == '+' {
			return false
		}
	}
	return true
}

// parseMajors reads the character devices of /proc/devices by name.
func parseMajors(body string) map[string]int {
	majors := map[string]int{}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "Block devices") {
			break
		}
		number, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 {
			majors[strings.TrimSpace(name)] = n
		}
	}
	return majors
}

// parseCap reads a file "access" of /proc/driver/nvidia/capabilities: the minor number of its node.
//
//	DeviceFileMinor: 12
//	DeviceFileMode: 292
func parseCap(body string) (minor int, ok bool) {
	for line := range strings.Lines(body) {
		if value, is := strings.CutPrefix(line, "DeviceFileMinor:"); is {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			return n, err == nil && n >= 0
		}
	}
	return 0, false
}

// parseMinors reads /proc/driver/nvidia-caps/mig-minors and its like: "gpu0/gi1/ci0/access 13".
func parseMinors(body string) map[string]int {
	minors := map[string]int{}
	for line := range strings.Lines(body) {
		name, number, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(strings.TrimSpace(number)); ok && err == nil && n >= 0 {
			minors[name] = n
		}
	}
	return minors
}
