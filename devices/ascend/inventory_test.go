package ascend_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/devices/devicestest"
	"hostrun.dev/hostrun/finding"
)

func factsOf(t *testing.T, d devices.Device) ascend.DeviceFacts {
	t.Helper()
	var f ascend.DeviceFacts
	if err := json.Unmarshal(d.Facts, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestInventory holds what files tell of a chip of each product.
func TestInventory(t *testing.T) {
	for _, c := range []struct {
		product string
		machine ascendtest.Machine
		at      int
		pci     string
		numa    int
		group   string
		facts   ascend.DeviceFacts
		alias   string
	}{
		{"A2", ascendtest.A2(), 4, "0000:81:00.0", 1, "", ascend.DeviceFacts{PhysicalID: 4, Chip: "910B", Product: "Ascend 910B (Atlas A2)", Card: 4, PCIDevice: "0xd802"}, "0000:81:00.0"},
		{"A3", ascendtest.A3(), 5, "0000:a7:00.0", 1, "card 2", ascend.DeviceFacts{PhysicalID: 5, Chip: "910_93", Product: "Ascend 910_93 (Atlas A3)", Card: 2, Die: 1, PCIDevice: "0xd803"}, "2:1"},
		{"Duo", ascendtest.Duo(), 3, "0000:81:00.0", 1, "", ascend.DeviceFacts{PhysicalID: 3, Chip: "310P", Product: "Atlas 300I Duo", Card: 1, Die: 1, PCIDevice: "0xd500"}, "1:1"},
		{"300I Pro", ascendtest.Cards(3, "0xd500"), 2, "0000:89:00.0", 1, "", ascend.DeviceFacts{PhysicalID: 2, Chip: "310P", Product: "Ascend 310P (Atlas 300I Pro, 300V, 300I Duo)", Card: 2, PCIDevice: "0xd500"}, "davinci2"},
		{"310", ascendtest.Cards(2, "0xd100"), 1, "0000:85:00.0", 1, "", ascend.DeviceFacts{PhysicalID: 1, Chip: "310", Product: "Ascend 310 (Atlas 300I, 200)", Card: 1, PCIDevice: "0xd100"}, "npu-1"},
		{"910A", ascendtest.Cards(8, "0xd801"), 7, "0000:9d:00.0", 1, "", ascend.DeviceFacts{PhysicalID: 7, Chip: "910A", Product: "Ascend 910 (Atlas 800, 300T)", Card: 7, PCIDevice: "0xd801"}, "0000:9d:00.0"},
		{"200I SoC", ascendtest.SoC(), 0, "", -1, "", ascend.DeviceFacts{Chip: "310P"}, "davinci0"},
		{"310B", ascendtest.Edge(), 0, "", -1, "", ascend.DeviceFacts{Chip: "310B"}, "davinci0"},
		{"A5", ascendtest.A5(), 1, "", -1, "", ascend.DeviceFacts{PhysicalID: 1, Chip: "950", Card: 1}, "npu-1"},
	} {
		t.Run(c.product, func(t *testing.T) {
			s, _ := machine(t, c.machine)
			inv := inventory(t, s, devices.Needs{})
			d := inv.Devices[c.at]
			if d.PCI != c.pci || d.NUMA != c.numa || d.Group != c.group || !slices.Contains(d.Aliases, c.alias) || d.Health.State != "unknown" {
				t.Errorf("%+v", d)
			}
			if f := factsOf(t, d); f != c.facts {
				t.Errorf("facts %+v, want %+v", f, c.facts)
			}
			if inv.Driver != "25.0.rc1.1" || len(inv.Findings) > 0 {
				t.Errorf("driver %q, findings %+v", inv.Driver, inv.Findings)
			}
		})
	}
}

// TestDuoHasNoAliasForItsAddress: two chips have it, so it names none.
func TestDuoHasNoAliasForItsAddress(t *testing.T) {
	s, _ := machine(t, ascendtest.Duo())
	for _, d := range inventory(t, s, devices.Needs{}).Devices {
		if slices.Contains(d.Aliases, d.PCI) {
			t.Errorf("%+v", d)
		}
	}
}

// TestNotLoaded: the PCI bus has NPUs, and /dev has no node, or not all.
func TestNotLoaded(t *testing.T) {
	s, _ := machine(t, ascendtest.NotLoaded())
	inv := inventory(t, s, devices.Needs{Health: true, Users: true})
	if len(inv.Devices) != 0 || len(inv.Findings) != 1 || inv.Findings[0].ID != finding.AscendNotLoaded || inv.Findings[0].Severity != finding.Error ||
		!strings.Contains(inv.Findings[0].Message, "0000:c1:00.0 (910B)") {
		t.Errorf("%+v", inv)
	}
	var facts ascend.Facts
	if err := json.Unmarshal(inv.Facts, &facts); err != nil || facts.Chip != "910B" || facts.Driver.Version != "25.0.rc1.1" {
		t.Errorf("%v, %+v", err, facts)
	}
	m := ascendtest.A2()
	m.IDs = m.IDs[:7]
	s, root := machine(t, m)
	inv = inventory(t, s, devices.Needs{})
	if len(inv.Devices) != 7 || len(inv.Findings) != 1 || inv.Findings[0].Severity != finding.Warning || !strings.Contains(inv.Findings[0].Message, "0000:42:00.0") {
		t.Errorf("%+v", inv.Findings)
	}
	ascendtest.Write(t, root, "/dev/davinci7", "no node")
	inv = inventory(t, s, devices.Needs{})
	if len(inv.Findings) != 2 || inv.Findings[0].ID != finding.DeviceNotNode || len(finding.Errors(inv.Findings)) > 0 {
		t.Errorf("%+v", inv.Findings)
	}
}

// TestUnknownChip: one that was not known when this was written is listed and can be given.
func TestUnknownChip(t *testing.T) {
	m := ascendtest.A2()
	for i := range m.Functions {
		m.Functions[i].Device = "0xd999"
	}
	s, _ := machine(t, m)
	inv := inventory(t, s, devices.Needs{})
	edits, findings := s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{})
	if len(inv.Devices) != 8 || len(finding.Errors(findings)) > 0 || len(edits.DeviceNodes) != 5 || !slices.ContainsFunc(findings, func(f finding.Finding) bool { return f.ID == finding.AscendExperimental }) {
		t.Errorf("%d devices, %d nodes, %+v", len(inv.Devices), len(edits.DeviceNodes), findings)
	}
}

// TestAbsent: other accelerators, network cards of the same maker, and virtual functions are no NPUs.
func TestAbsent(t *testing.T) {
	root := t.TempDir()
	for address, attrs := range map[string][2]string{"0000:01:00.0": {"0x10de", "0x030200"}, "0000:02:00.0": {"0x19e5", "0x020000"}, "0000:03:00.0": {"0x20c6", "0x120000"}} {
		ascendtest.Write(t, root, "/sys/bus/pci/devices/"+address+"/vendor", attrs[0])
		ascendtest.Write(t, root, "/sys/bus/pci/devices/"+address+"/class", attrs[1])
		ascendtest.Write(t, root, "/sys/bus/pci/devices/"+address+"/device", "0x1234")
	}
	for name, content := range map[string]string{"vendor": "0x19e5", "class": "0x120000", "device": "0xd802", "physfn/x": ""} {
		ascendtest.Write(t, root, "/sys/bus/pci/devices/0000:04:00.1/"+name, content)
	}
	ascendtest.Write(t, root, "/usr/local/Ascend/driver/version.info", "Version=1") // as in a container
	if inv, err := ascend.New(root).Inventory(t.Context(), devices.Needs{Health: true, Users: true}); !errors.Is(err, devices.ErrAbsent) {
		t.Errorf("%+v, %v", inv, err)
	}
}

// TestDomains: two segments of PCI with the same bus numbers. The table names no domain, so that each function's own number holds.
func TestDomains(t *testing.T) {
	m := ascendtest.A2()
	m.Functions = []ascendtest.Function{{Address: "0000:01:00.0", Device: "0xd802", IDs: []int{1}}, {Address: "0001:01:00.0", Device: "0xd802", IDs: []int{0}}}
	m.IDs = []int{0, 1}
	s, root := machine(t, m)
	for address, id := range map[string]string{"0000:01:00.0": "1", "0001:01:00.0": "0"} {
		ascendtest.Write(t, root, "/sys/devices/pci0000:00/"+address+"/dev_id", id+"\n")
	}
	inv := inventory(t, s, devices.Needs{})
	if inv.Devices[0].PCI != "0001:01:00.0" || inv.Devices[1].PCI != "0000:01:00.0" {
		t.Errorf("%+v", inv.Devices)
	}
}

// TestFingerprint changes with the boot, the driver, nodes and parts, and with nothing else.
func TestFingerprint(t *testing.T) {
	s, root := machine(t, ascendtest.A2(), ascend.NPUSMI(func(context.Context, ...string) ([]byte, error) { return nil, errors.New("not now") }))
	was := inventory(t, s, devices.Needs{}).Fingerprint
	if now := inventory(t, s, devices.Needs{Health: true, Users: true}).Fingerprint; now != was {
		t.Error("health changes the fingerprint")
	}
	for name, change := range map[string]func(){
		"nothing":   func() {},
		"boot":      func() { ascendtest.Write(t, root, "/proc/sys/kernel/random/boot_id", "another\n") },
		"driver":    func() { ascendtest.Write(t, root, "/usr/local/Ascend/driver/version.info", "Version=26\n") },
		"node":      func() { os.Remove(filepath.Join(root, "dev/davinci7")) },
		"partition": func() { devicestest.Mknod(t, root, "/dev/vdavinci100", 240, 100, 0o660) },
	} {
		change()
		now := inventory(t, s, devices.Needs{}).Fingerprint
		if (now == was) != (name == "nothing") {
			t.Errorf("%s: %s, was %s", name, now, was)
		}
		was = now
	}
}

const (
	udevice = `udevid 0 type(davinci entity near real) status 'ready, sia' added_udevid 0 chip_type cloud_v2
        add_id 0
        has os device

udevid 4 type(davinci entity near real) status 'ready, sia' added_udevid 4 chip_type cloud_v2
        add_id 4
        has os device
        has used by container, ns id 3

udevid 5 type(davinci entity near real) status 'suspend, sia' added_udevid 5 chip_type cloud_v2
        shared dev used by ns id: 3 4

`
	namespaceNode = `ns_id 3 identify 1f3c root_tgid 81234 dev_num 2 namespace 00000000abcd1234(#), udev list:
logic_devid udevid
       0        4
       1        5


ns_id 4 identify 1f3d root_tgid 900 dev_num 1 namespace 00000000abcd1235, udev list:
logic_devid udevid
       0        5


`
)

// TestUsers: the driver's own account, and open files of processes, with the container that a process is in.
func TestUsers(t *testing.T) {
	s, root := machine(t, ascendtest.A2())
	id := strings.Repeat("0123456789abcdef", 4)
	for pid, p := range map[string][2]string{
		"81234": {"vllm", "0::/system.slice/docker-" + id + ".scope"}, "900": {"train", "12:devices:/kubepods/burstable/pod1/" + id + "\n1:name=systemd:/x\n"},
		"77": {"python3", "0::/hostrun/web"}, "78": {"bash", "0::/user.slice/user-0.slice/session-1.scope"},
	} {
		ascendtest.Write(t, root, "/proc/"+pid+"/comm", p[0]+"\n")
		ascendtest.Write(t, root, "/proc/"+pid+"/cgroup", p[1])
	}
	for fd, target := range map[string]string{"77/fd/7": "/dev/davinci1", "78/fd/3": "/dev/davinci_manager", "78/fd/4": "/dev/davinci1", "81234/fd/9": "/dev/davinci4", "78/fd/5": "socket:[1]"} {
		at := filepath.Join(root, "proc", fd)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
	}
	ascendtest.Write(t, root, "/proc/uda/udevice", udevice)
	ascendtest.Write(t, root, "/proc/uda/namespace_node", namespaceNode)
	inv := inventory(t, s, devices.Needs{Users: true})
	want := map[string][]devices.User{
		"1": {{PID: 77, Name: "python3 in container web of namespace hostrun"}, {PID: 78, Name: "bash"}},
		"4": {{PID: 81234, Name: "vllm in docker container 0123456789ab"}},
		"5": {{PID: 81234, Name: "vllm in docker container 0123456789ab"}, {PID: 900, Name: "train in Kubernetes container 0123456789ab"}},
	}
	for _, d := range inv.Devices {
		if !slices.Equal(d.Users, want[d.Name]) {
			t.Errorf("%s: %+v, want %+v", d.Name, d.Users, want[d.Name])
		}
		if (d.Health.State == "bad") != (d.Name == "5") {
			t.Errorf("%s: %+v", d.Name, d.Health)
		}
	}
	for _, d := range inventory(t, s, devices.Needs{}).Devices {
		if len(d.Users) > 0 {
			t.Errorf("users that nobody asked for: %+v", d)
		}
	}
}
