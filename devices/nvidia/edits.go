package nvidia

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// Mount options of CDI files for NVIDIA's files (nvidia-container-toolkit, internal/discover). A socket is no file to be read:
// ro does not close it.
var (
	readOnly = []string{"ro", "nosuid", "nodev", "rbind", "rprivate"}
	socket   = []string{"ro", "nosuid", "nodev", "noexec", "rbind", "rprivate"}
	shared   = []string{"rw", "nosuid", "nodev", "noexec", "rbind", "rprivate"}
)

// An editor collects what a container needs. Paths of sources are of the machine, without links.
type editor struct {
	m        machine
	inv      devices.Inventory
	ask      devices.Ask
	driver   Driver
	chosen   []GPU
	image    layout
	env      []string
	user     uint32
	caps     []string
	edits    devices.Edits
	findings []finding.Finding
	mounted  map[string]bool
	majors   map[string]int // of /proc/devices
	missing  []string       // nodes that the container can't do without
}

// Edits describes what a container with the chosen GPUs needs: device nodes with their numbers of this moment, and of the driver the
// libraries, programs and sockets that the capabilities ask for. Libraries are bound by their sonames into the loader's own
// default directory: that needs neither ldconfig in the container, nor a variable, nor a hook.
func (s *Source) Edits(inv devices.Inventory, chosen []devices.Device, ask devices.Ask, c devices.Container) (devices.Edits, []finding.Finding) {
	m := s.machine()
	e := editor{m: m, inv: inv, ask: ask, driver: driverFacts(inv), env: c.Env, user: c.User, mounted: map[string]bool{}}
	e.majors = parseMajors(m.text("/proc/devices"))
	e.edits.Origins = map[string]string{}
	if len(chosen) == 0 {
		return e.edits, nil
	}
	for _, d := range chosen {
		e.chosen = append(e.chosen, gpuFacts(d))
	}
	var said []finding.Finding
	e.caps, said = wanted(ask, c.Env)
	e.findings = append(said, unknownOptions(ask)...)
	e.image = layoutOf(c.View, m.architectureOf(e.driver.Libcuda), libraryPath(c.Env), e.driver.names())
	e.onHost(c.Host)
	if e.usable(chosen) {
		e.nodes(chosen)
		e.files()
		e.extras()
		e.probe()
	}
	e.edits.Env = append(e.edits.Env, "CUDA_DEVICE_ORDER=PCI_BUS_ID") // the order of the devices, and of nvidia-smi
	// The container sees its own GPUs only, and counts them from 0: indices of the host would hide them.
	e.edits.DropEnv = []string{"CUDA_VISIBLE_DEVICES"}
	return e.edits, sortFindings(e.findings)
}

// hostDirectory is where a container on the machine's own root has the driver's libraries that its loader would not find.
const hostDirectory = "/run/hostrun/nvidia"

// onHost prepares for a container whose root is this machine's own, or seems to be: there the driver is in place. Where the machine's
// loader does not look into its directory (/opt/nvidia, a driver container's), nothing can be bound into one of the loader's own, which are
// read-only: the libraries get a directory to themselves, which holds nothing that a wheel brings, and the loader its name.
func (e *editor) onHost(host bool) {
	fi, err := e.m.stat(e.driver.Libcuda)
	if err != nil || !e.image.known {
		return
	}
	e.image.host = host || e.image.isSame(e.driver.Libcuda, fi)
	if !host || e.image.libc != "glibc" {
		return
	}
	if _, has := e.image.destinations("libcuda.so.1", "", fi); !has {
		e.image.dir = hostDirectory
		e.edits.PrependEnv = map[string][]string{"LD_LIBRARY_PATH": {hostDirectory}}
	}
}

// has reports whether one of the capabilities is given.
func (e *editor) has(any ...string) bool {
	return slices.ContainsFunc(any, func(s string) bool { return slices.Contains(e.caps, s) })
}

func (e *editor) find(f finding.Finding) { e.findings = append(e.findings, at(e.ask, f)) }

// usable reports what keeps the chosen from being used at all; false where looking further makes no sense.
func (e *editor) usable(chosen []devices.Device) bool {
	for i, d := range chosen {
		if d.Health.State == "bad" {
			f := unhealthy(d)
			f.Severity = finding.Error
			e.find(f)
		}
		if mig := e.chosen[i].MIG; mig != nil && *mig {
			e.find(finding.Finding{ID: finding.GPUPartition, Severity: finding.Error, Subject: "GPU " + d.Name, Got: "MIG mode is on",
				Want:    "one of its MIG devices",
				Message: "CUDA does not compute on a whole GPU in MIG mode: \"no CUDA-capable device is detected\"",
				Remedy:  "ask for a partition (hostrun devices lists them; nvidia-smi mig -cgi PROFILE -C makes them), or: nvidia-smi -mig 0"})
		}
	}
	if e.driver.Libcuda == "" {
		e.find(finding.Finding{ID: finding.GPULibraries, Severity: finding.Error, Subject: "libcuda.so." + e.driver.Version,
			Got: "neither in the usual directories below " + strings.Join(driverRoots, ", ") + ", nor in those of /etc/ld.so.conf", Want: "the user-space part of driver " + e.driver.Version,
			Message: "libcuda.so.1: cannot open shared object file: No such file or directory: the driver's libraries are not on this machine",
			Remedy:  "install them in the version of the kernel's module (libcuda1 and libnvidia-ml1 on Debian, libnvidia-compute on Ubuntu, nvidia-driver-cuda-libs on RHEL)"})
		return false
	}
	return e.fits()
}

// fits reports whether the driver's libraries, which are glibc's, can load in the image.
func (e *editor) fits() bool {
	f := finding.Finding{ID: finding.GPUImageLibc, Severity: finding.Error, Subject: e.driver.Libcuda, Want: "an image with glibc"}
	switch {
	case !e.image.known || e.image.libc == "glibc":
		return true
	case e.image.libc == "musl":
		f.Got = "the image's C library is musl"
		f.Message = "NVIDIA's libraries are built for glibc and do not load under musl: \"Error relocating " + path.Join(e.image.dir, "libcuda.so.1") + "\""
		f.Remedy = "use an image of Debian, Ubuntu, RHEL or another distribution with glibc"
		e.find(f)
		return false
	}
	f.Severity, f.Got = finding.Warning, "the image has no dynamic loader"
	f.Message = "the image has no C library: a program that is not linked statically finds neither its loader nor the driver's libraries"
	f.Remedy = "use an image with glibc, unless the program brings all of it"
	e.find(f)
	return true
}

// nodes adds the device nodes: the chosen GPUs' own, and those that every GPU program opens.
func (e *editor) nodes(chosen []devices.Device) {
	for i, d := range chosen {
		if len(d.Nodes) == 0 {
			e.find(missingNode("GPU "+d.Name, "the driver gave it no minor number", "nvidia-smi has to work on the host"))
		}
		for _, node := range d.Nodes {
			e.node(node, "device node of GPU "+d.Name)
		}
		if d.Parent != "" && len(e.chosen[i].Caps) < 2 {
			e.find(finding.Finding{ID: finding.GPUPartition, Severity: finding.Error, Subject: "GPU " + d.Name,
				Got:     fmt.Sprintf("%s of the capability", count(len(e.chosen[i].Caps), "node")),
				Want:    "two: of the GPU instance and of the compute instance",
				Message: "the driver does not say which nodes below /dev/nvidia-caps open the partition " + d.Name,
				Remedy:  "load the driver with nvidia.NVreg_DeviceFileMode's default, and look at " + capabilities})
		}
		if e.has(graphics) {
			for _, node := range e.chosen[i].DRI {
				e.optional(node, "graphics node of GPU "+d.Name)
			}
		}
	}
	e.node("/dev/nvidiactl", "control node of NVIDIA's driver")
	if e.has(compute, video, graphics) {
		e.uvm()
	}
	switch {
	case e.has("all"): // what there is: most servers load no nvidia-modeset, and many images ask for all
		e.optional("/dev/nvidia-modeset", "mode setting of NVIDIA's driver")
	case e.has(graphics):
		e.node("/dev/nvidia-modeset", "mode setting of NVIDIA's driver")
	}
	if len(e.missing) > 0 {
		e.find(missingNode(strings.Join(e.missing, ", "), "not there, or no character device",
			"as root: nvidia-smi, or nvidia-modprobe -u -c=N for /dev/nvidiaN, makes the nodes; MIG's: nvidia-modprobe -f "+capabilities+"/.../access"))
	}
}

// uvm adds the nodes of unified memory. cuInit fails without ("CUDA unknown error"), although nvidia-smi works.
func (e *editor) uvm() {
	u := e.m.uvm(e.majors, e.driver.Root)
	switch {
	case u.Major != 0 && len(e.missing) > 0 && !e.m.hasNode("/dev/nvidia-uvm", e.driver.Root): // as the others are
		e.missing = append(e.missing, "/dev/nvidia-uvm")
		return
	case u.Fault != "":
		e.find(u.missing(finding.Error))
		return
	}
	e.node("/dev/nvidia-uvm", "unified memory of NVIDIA's driver")
	e.optional("/dev/nvidia-uvm-tools", "unified memory's tools of NVIDIA's driver")
}

// node adds a node that the container can't do without; those that are not there are told of together.
func (e *editor) node(p, origin string) {
	if !e.optional(p, origin) {
		e.missing = append(e.missing, p)
	}
}

func missingNode(subject, got, remedy string) finding.Finding {
	return finding.Finding{ID: finding.GPUNodeMissing, Severity: finding.Error, Subject: subject, Got: got, Want: "a character device of NVIDIA's driver",
		Message: subject + " can't be given to the container: " + got, Remedy: remedy}
}

// optional adds a node where it is there, and reports whether it is.
func (e *editor) optional(p, origin string) bool {
	nodes := e.m.node(p, e.driver.Root)
	if len(nodes) != 1 || nodes[0].Type != "c" {
		return false
	}
	n := nodes[0]
	if fault := stale(n, e.majors); fault != "" {
		e.find(missingNode(p, fault, "it is of another driver or of an earlier boot: rm "+n.Path+", and then as root: nvidia-smi, or nvidia-modprobe -u -c=N for /dev/nvidiaN; MIG's: nvidia-modprobe -f "+capabilities+"/.../access"))
		return true
	}
	if slices.ContainsFunc(e.edits.DeviceNodes, func(d *specs.DeviceNode) bool { return d.Path == n.Destination }) {
		return true
	}
	mode, uid, gid := os.FileMode(n.Mode), n.UID, n.GID
	e.edits.DeviceNodes = append(e.edits.DeviceNodes, &specs.DeviceNode{Path: n.Destination, HostPath: n.Path, Type: "c", Major: n.Major, Minor: n.Minor,
		FileMode: &mode, Permissions: n.Access, UID: &uid, GID: &gid})
	e.edits.Origins[n.Destination] = origin
	e.group(n)
	return true
}

// group lets a user who is not root open a node that is for its group: /dev/dri/renderD128 is root:render 0660.
func (e *editor) group(n devices.Node) {
	if e.user == 0 || n.UID == e.user || n.GID == 0 || n.Mode&0o060 != 0o060 || n.Mode&0o006 == 0o006 || slices.Contains(e.edits.AdditionalGIDs, n.GID) {
		return
	}
	e.edits.AdditionalGIDs = append(e.edits.AdditionalGIDs, n.GID)
}
