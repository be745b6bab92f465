// Package nvidia describes NVIDIA's GPUs and their MIG partitions: what the machine has, what a container needs for those that it
// gets, and whether what it runs fits the driver. The kernel's files tell what a start needs; NVML, asked through a child process
// and remembered, tells the rest. A start with a warm memory loads no library and opens no device.
package nvidia

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia/nvml"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// A Source is NVIDIA's, for the machine below a root. It implements devices.Source.
type Source struct {
	root       string
	driverRoot string
	cacheDir   string
	ask        Asker
	now        func() time.Time
}

var _ devices.Source = (*Source)(nil)

// An Asker asks NVML of the GPUs at PCI addresses; library is the path of libnvidia-ml.so.1 on the machine, "" where it was not
// found. It returns within a bounded time.
type Asker func(ctx context.Context, library string, addresses []string) nvml.Answer

// An Option changes how a Source works.
type Option func(*Source)

// WithAsker lets the Source ask NVML. Without, it knows what the kernel's files say: no memory sizes, compute capabilities, NVLinks
// or health. NVML always speaks of the running machine: it makes no sense with a root that is not "/".
func WithAsker(ask Asker) Option { return func(s *Source) { s.ask = ask } }

// WithChild asks NVML through the program hostrun-nvml at path. Where the program was not built, nobody is asked.
func WithChild(path string) Option {
	if _, err := os.Stat(path); err != nil {
		return func(*Source) {}
	}
	return WithAsker(func(ctx context.Context, library string, addresses []string) nvml.Answer {
		return nvml.Child{Path: path, Library: library}.Ask(ctx, addresses)
	})
}

// WithCache keeps NVML's answers below a directory: /var/cache/hostrun.
func WithCache(dir string) Option { return func(s *Source) { s.cacheDir = dir } }

// WithDriverRoot says where the driver's files lie, instead of looking for them: "/run/nvidia/driver".
func WithDriverRoot(dir string) Option { return func(s *Source) { s.driverRoot = dir } }

// New returns the source for the machine whose files are below root.
func New(root string, options ...Option) *Source {
	s := &Source{root: root, now: time.Now}
	for _, o := range options {
		o(s)
	}
	return s
}

// Kind is "nvidia.com/gpu".
func (s *Source) Kind() string { return Kind }

func (s *Source) machine() machine {
	return machine{root: strings.TrimRight(s.root, "/"), view: rootfs.Dir(s.root)}
}

// Inventory lists the GPUs in the order of their PCI addresses, each followed by its partitions. A GPU's name is its PCI address,
// which the kernel always knows and which stays the same while no card is moved; its UUID and its index are aliases. A
// partition's name is that address and the ids of its instances: 0000:c1:00.0-gi1-ci0.
func (s *Source) Inventory(ctx context.Context, needs devices.Needs) (devices.Inventory, error) {
	m := s.machine()
	inv := devices.Inventory{Kind: Kind, Devices: []devices.Device{}}
	st := m.state(s.driverRoot)
	kernel, open := parseVersion(st.version)
	if f, other := m.platform(); other {
		inv.Findings = append(inv.Findings, f)
		return inv, nil
	}
	if kernel == "" {
		return m.withoutDriver(inv, m.pci())
	}
	inv.Driver, inv.Fingerprint = kernel, m.fingerprint(st)
	r, now := s.recall(ctx, m, st, inv.Fingerprint, needs)
	d := m.driver(st, r, kernel, open)
	b := builder{m: m, driver: d, record: r, now: now, minors: parseMinors(m.text("/proc/driver/nvidia-caps/mig-minors"))}
	b.build(st.gpus)
	if needs.Users {
		m.addUsers(b.devices, r, now)
	}
	inv.Devices, inv.Links = b.devices, joined(b.places)
	inv.Unasked, inv.Findings = d.unasked(), append(b.findings, d.findings()...)
	var err error
	inv.Facts, err = json.Marshal(d)
	return inv, err
}

// withoutDriver is the inventory of a machine whose kernel has no driver of NVIDIA's.
func (m machine) withoutDriver(inv devices.Inventory, bus []pciDevice) (devices.Inventory, error) {
	if len(bus) == 0 {
		return inv, devices.ErrAbsent
	}
	inv.Devices = withoutDriver(bus)
	inv.Findings = append(inv.Findings, noDriver(bus))
	return inv, nil
}

// recall returns what NVML says of the machine, and whether it says so now: it is remembered where nothing has changed and its
// health is not asked for. Users are told by the kernel's files, so that a start which asks for them opens no GPU.
func (s *Source) recall(ctx context.Context, m machine, st state, fingerprint string, needs devices.Needs) (r record, now bool) {
	key := m.cacheKey(st, fingerprint)
	r, remembered := s.load(key)
	if !remembered {
		r = record{Key: key, Bus: m.pci(), Libraries: m.driverLibraries(st.libs), Compat: findCompat(m.view)}
	}
	if s.ask != nil && (needs.Health || !r.usable(s.now())) {
		r.Answer = s.question(ctx, r, st)
		r.Asked, r.Time, now = true, s.now(), true
		// The first question may have initialised a GPU, so that the kernel's files say more now.
		m = s.machine()
		st = m.state(s.driverRoot)
		r.Key = m.cacheKey(st, m.fingerprint(st))
	}
	if (now || !remembered) && ctx.Err() == nil {
		s.store(r)
	}
	return r, now
}

// question asks of every GPU in use, but for one that hung a moment ago: that again takes its whole deadline.
func (s *Source) question(ctx context.Context, r record, st state) nvml.Answer {
	var addresses []string
	hung := map[string]nvml.GPU{}
	for _, g := range r.Answer.GPUs {
		if g.Hung && r.usable(s.now()) {
			hung[g.PCI] = g
		}
	}
	for _, g := range st.gpus {
		if _, skip := hung[g.Address]; !skip && !g.Excluded {
			addresses = append(addresses, g.Address)
		}
	}
	answer := s.ask(ctx, libraryOf(r.Libraries, "libnvidia-ml.so.1"), addresses)
	for _, g := range st.gpus {
		if old, skipped := hung[g.Address]; skipped {
			answer.GPUs = append(answer.GPUs, old)
		}
	}
	return answer
}

func (s *Source) load(key string) (record, bool) {
	if s.cacheDir == "" {
		return record{}, false
	}
	return load(s.cacheFile(), key)
}

func (s *Source) store(r record) {
	if s.cacheDir != "" {
		store(s.cacheFile(), r)
	}
}

func (s *Source) cacheFile() string { return filepath.Join(s.cacheDir, "nvidia.json") }

func libraryOf(all []Library, soname string) string {
	for _, l := range all {
		if l.Soname == soname {
			return l.Path
		}
	}
	return ""
}

// driver gathers what is known of the driver.
func (m machine) driver(st state, r record, kernel string, open bool) Driver {
	d := Driver{Version: kernel, Open: open, User: st.libs.version, Root: cmp.Or(st.libs.root, "/"), Libcuda: st.libs.libcuda,
		Libraries: r.Libraries, Compat: r.Compat, UVM: m.uvm(st.majors, st.libs.root),
		Persistenced:  m.view.Exists(m.socket(persistenced, st.libs.root)),
		FabricManager: m.view.Exists(m.socket(fabricManager, st.libs.root)) || m.view.Exists("/run/nvidia-fabricmanager/nv-fabricmanager.pid"),
		MPS:           m.view.IsDir("/tmp/nvidia-mps"),
		Switches:      len(m.kernelNames("/proc/driver/nvidia-nvswitch/devices")),
	}
	if r.Asked {
		d.NVML = cmp.Or(r.Answer.System.Error, "ok")
	}
	if d.CUDA, d.CUDAFrom = r.Answer.System.CUDA, "nvml"; d.CUDA == "" {
		d.CUDA, d.CUDAFrom = cudaOf(kernel), "branch"
	}
	return d
}

// uvm tells the state of /dev/nvidia-uvm, whose major number is given out when its module is loaded.
func (m machine) uvm(majors map[string]int, driverRoot string) UVM {
	u := UVM{Major: majors["nvidia-uvm"]}
	nodes := m.node("/dev/nvidia-uvm", driverRoot)
	switch {
	case u.Major == 0:
		u.Fault = "the module nvidia-uvm is not loaded"
	case len(nodes) == 0:
		u.Fault = "the node does not exist"
	case nodes[0].Type != "c" || nodes[0].Major != int64(u.Major):
		u.Fault = staleNode(nodes[0], u.Major)
	}
	return u
}

// gpuFacts returns the facts of a device, zero where it has none of ours.
func gpuFacts(d devices.Device) GPU {
	g := GPU{Minor: -1}
	if len(d.Facts) > 0 && json.Unmarshal(d.Facts, &g) != nil {
		return GPU{Minor: -1}
	}
	return g
}

// driverFacts returns the facts of an inventory.
func driverFacts(inv devices.Inventory) Driver {
	var d Driver
	if len(inv.Facts) > 0 && json.Unmarshal(inv.Facts, &d) != nil {
		return Driver{}
	}
	return d
}

// sortFindings puts what stops a start first.
func sortFindings(all []finding.Finding) []finding.Finding {
	slices.SortStableFunc(all, func(a, b finding.Finding) int { return rank(a) - rank(b) })
	return all
}

func rank(f finding.Finding) int {
	return slices.Index([]finding.Severity{finding.Error, finding.Warning, finding.Info}, f.Severity)
}
