package ascend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/devices"
)

// Facts is what an Inventory of this kind holds besides what all kinds have.
type Facts struct {
	Chip     string    `json:"chip"` // "910B", "910_93"; "unknown" of one that is not known yet
	Product  string    `json:"product,omitempty"`
	Driver   Driver    `json:"driver"`
	Toolkits []Toolkit `json:"toolkits,omitempty"` // CANN on the host, the one in use first
}

// DeviceFacts is what a Device of this kind holds besides what all kinds have.
type DeviceFacts struct {
	PhysicalID int    `json:"physical_id"` // the node's minor number
	Chip       string `json:"chip"`
	Product    string `json:"product,omitempty"`
	Card       int    `json:"card"` // npu-smi's "NPU" where it was asked; else as the physical ids tell
	Die        int    `json:"die"`  // of the card
	PCIDevice  string `json:"pci_device,omitempty"`
	MemoryUsed int64  `json:"memory_used,omitempty"` // bytes, by npu-smi
	// Of the moment at which npu-smi was asked.
	Utilization *int   `json:"utilization,omitempty"` // of the AI cores, per cent
	Power       uint32 `json:"power,omitempty"`       // mW
}

// Inventory lists the NPUs by physical id. npu-smi is asked where needs.Health is set, as it takes a second or two and waits for
// cards that are dead; else its last answer is told, if answers are remembered.
func (s *Source) Inventory(ctx context.Context, needs devices.Needs) (devices.Inventory, error) {
	inv := devices.Inventory{Kind: Kind}
	functions := readFunctions(s.view)
	nodes, findings := s.readNodes()
	if len(functions) == 0 && len(nodes) == 0 && len(findings) == 0 && !s.view.Exists("/dev/davinci_manager") {
		return inv, devices.ErrAbsent
	}
	l := &listing{source: s, functions: functions, nodes: nodes, uda: parseUDevices(text(s.view, "/proc/uda/udevice"))}
	l.family = l.chooseFamily()
	l.joinOnlyOne()
	facts := Facts{Chip: l.family.chip, Product: l.family.title, Driver: readDriver(s.view, ""), Toolkits: FindToolkits(s.view, nil)}
	if len(functions) > 0 {
		facts.Product = functions[0].product()
	}
	inv.Driver = facts.Driver.Version
	inv.Fingerprint = s.fingerprint(facts.Driver, nodes, functions) // before npu-smi joins what the driver's table does not
	switch {
	case needs.Health:
		findings = append(findings, l.askHealth(ctx, inv.Fingerprint)...)
	case s.memory != "":
		findings = append(findings, l.recallHealth(ctx, inv.Fingerprint)...)
	}
	l.claims = claimedAddresses(functions)
	inv.Findings = slices.Concat(findings, l.withoutNodes(), l.withoutShared())
	if needs.Users {
		l.users = s.users(nodes)
	}
	for _, n := range nodes {
		inv.Devices = append(inv.Devices, l.device(n))
	}
	l.markLoneDies(inv.Devices)
	sortPartitions(inv.Devices)
	inv.Facts, _ = json.Marshal(facts)
	return inv, nil
}

// A listing joins what the several places say of one machine.
type listing struct {
	source    *Source
	functions []function
	nodes     []npu
	uda       []udaDevice
	family    *family
	claims    map[string]int // how many chips have a PCI address
	asked     asked
	health    string // why npu-smi has said nothing
	users     map[string][]devices.User
}

// chooseFamily names the machine's chips: by PCI, by the driver, or, on a board without PCI, by the nodes that only it has.
func (l *listing) chooseFamily() *family {
	for _, f := range l.functions {
		return f.family
	}
	for _, d := range l.uda {
		if f := byUDA[d.chip]; f != nil {
			return f
		}
	}
	has := func(name string) bool { return l.source.view.Exists("/dev/" + name) }
	switch {
	case has("spi_smbus") && has("user_config"):
		return ascend200I
	case has("davinci_manager_docker"), has("svm0") && has("ts_aisle"):
		return ascend310B
	case l.source.view.Exists("/sys/class/unified_bus"), has("ummu"), has("uburma"):
		return ascend950
	}
	return unknownChip
}

// joinOnlyOne needs no table where there is one chip and one node.
func (l *listing) joinOnlyOne() {
	whole := slices.DeleteFunc(slices.Clone(l.nodes), func(n npu) bool { return n.virtual })
	if len(l.functions) == 1 && len(whole) == 1 && len(l.functions[0].ids) == 0 {
		l.functions[0].ids = []int{whole[0].id}
	}
}

func claimedAddresses(functions []function) map[string]int {
	claimed := map[string]int{}
	for _, f := range functions {
		claimed[f.address] += len(f.ids)
	}
	return claimed
}

// functionOf finds the PCI function of a chip, and which chip of which card it is. A function of one chip is a card of the chip's
// number; of functions of several, the one with the lowest numbers is card 0.
func (l *listing) functionOf(id int) (f function, card, die int, ok bool) {
	for _, f := range l.functions {
		die := slices.Index(f.ids, id)
		if die < 0 {
			continue
		}
		if len(f.ids) == 1 {
			return f, id, 0, true
		}
		for _, other := range l.functions {
			if len(other.ids) > 1 && other.ids[0] < f.ids[0] {
				card++
			}
		}
		return f, card, die, true
	}
	return function{}, 0, 0, false
}

func (l *listing) device(n npu) devices.Device {
	d := devices.Device{Kind: Kind, Name: n.name(), Index: n.id, Nodes: []string{n.Path}, NUMA: -1, Users: l.users[n.name()]}
	d.Aliases = []string{strings.TrimPrefix(n.Path, "/dev/"), n.Path}
	id := n.id
	if n.virtual {
		id, d.Index = n.parent(), -1
		d.Parent, d.Profile = strconv.Itoa(id), "vnpu"
	} else {
		d.Aliases = append(d.Aliases, "npu-"+d.Name)
	}
	family := l.family
	facts := DeviceFacts{PhysicalID: n.id, Card: id}
	if f, card, die, ok := l.functionOf(id); ok {
		family = f.family
		d.PCI, d.NUMA, d.CPUs = f.address, f.numa, f.cpus
		facts.PCIDevice, facts.Product, facts.Card, facts.Die = f.device, f.product(), card, die
		if l.claims[f.address] == 1 && !n.virtual {
			d.Aliases = append(d.Aliases, f.address)
		}
	}
	facts.Chip, d.Model = family.chip, "Ascend "+family.chip
	d.Health = l.healthOf(n, id)
	l.addAsked(&d, &facts, id, n.virtual)
	if family.dies > 1 && !n.virtual {
		facts.Card, facts.Die = id/family.dies, id%family.dies
		d.Group = fmt.Sprintf("card %d", facts.Card)
	}
	if (family.dies > 1 || facts.Product == "Atlas 300I Duo") && !n.virtual {
		d.Aliases = append(d.Aliases, fmt.Sprintf("%d:%d", facts.Card, facts.Die))
	}
	d.Facts, _ = json.Marshal(facts)
	return d
}

// addAsked adds what npu-smi has said of the chip.
func (l *listing) addAsked(d *devices.Device, facts *DeviceFacts, id int, virtual bool) {
	c, ok := l.asked.chips[id]
	if !ok {
		return
	}
	// An A3's chips are called Ascend910, which says less than the PCI bus.
	if name := strings.TrimSpace(strings.TrimPrefix(c.name, "Ascend")); !strings.HasPrefix(facts.Chip, name) {
		d.Model = "Ascend " + name
	}
	if f := familyOfName(c.name); f != nil && facts.Chip == unknownChip.chip {
		facts.Chip = f.chip
	}
	if virtual { // memory and processes are those of the whole chip
		return
	}
	d.Memory, facts.MemoryUsed = c.memory, c.used
	if facts.Power = c.power; c.cores >= 0 {
		facts.Utilization = &c.cores
	}
	facts.Card, facts.Die = c.card, c.chip
	if d.PCI == "" {
		d.PCI = c.pci
	}
	for _, p := range l.asked.processes[id] {
		if !slices.ContainsFunc(d.Users, func(u devices.User) bool { return u.PID == p.pid }) {
			d.Users = append(d.Users, devices.User{PID: p.pid, Name: p.name})
		}
	}
}

// sortPartitions puts each virtual NPU behind its parent.
func sortPartitions(all []devices.Device) {
	key := func(d devices.Device) (whole, part int) {
		if d.Parent == "" {
			return d.Index, 0
		}
		whole, _ = strconv.Atoi(d.Parent)
		part, _ = strconv.Atoi(strings.TrimPrefix(d.Name, "vdavinci"))
		return whole, part
	}
	slices.SortStableFunc(all, func(a, b devices.Device) int {
		aw, ap := key(a)
		bw, bp := key(b)
		if aw != bw {
			return aw - bw
		}
		return ap - bp
	})
}

// fingerprint changes with boot, driver, and what there is of chips and nodes.
func (s *Source) fingerprint(d Driver, nodes []npu, functions []function) string {
	h := sha256.New()
	fmt.Fprintln(h, strings.TrimSpace(text(s.view, "/proc/sys/kernel/random/boot_id")), d.Version, d.Inner, d.Firmware)
	for _, n := range nodes {
		fmt.Fprintln(h, n.name(), n.Path, n.Major, n.Minor)
	}
	for _, f := range functions {
		fmt.Fprintln(h, f.address, f.device, f.ids)
	}
	return hex.EncodeToString(h.Sum(nil))
}
