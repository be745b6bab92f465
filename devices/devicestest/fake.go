package devicestest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// FakeKind is the kind of a Fake's devices.
const FakeKind = "example.com/acc"

// A Fake is the least source there is, for tests of what is common to all: /dev/acc0 to /dev/acc63 are its devices, /dev/accctl is
// their driver's, and a file /sys/acc/N/dead makes one bad. Two neighbours are linked.
type Fake struct {
	Root string
	// Change, if set, changes each inventory before it is returned.
	Change func(*devices.Inventory)
}

// Kind is FakeKind.
func (f Fake) Kind() string { return FakeKind }

// FakeMachine makes n accelerators below root.
func FakeMachine(t *testing.T, root string, n int) {
	t.Helper()
	Mknod(t, root, "/dev/accctl", 241, 255, 0o666)
	for i := range n {
		Mknod(t, root, fmt.Sprintf("/dev/acc%d", i), 241, uint32(i), 0o660)
	}
	if err := os.MkdirAll(filepath.Join(root, "/opt/acc/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// Inventory lists the nodes.
func (f Fake) Inventory(context.Context, devices.Needs) (devices.Inventory, error) {
	inv := devices.Inventory{Kind: FakeKind, Fingerprint: "acc", Driver: "1.0"}
	for i := range 64 {
		node := fmt.Sprintf("/dev/acc%d", i)
		if _, err := os.Lstat(filepath.Join(f.Root, node)); err != nil {
			continue
		}
		d := devices.Device{Kind: FakeKind, Name: fmt.Sprint(i), Index: i, Model: "Acc 1", PCI: fmt.Sprintf("0000:%02x:00.0", 16+i), NUMA: i / 4,
			Aliases: []string{fmt.Sprintf("ACC-%d", i)}, CPUs: fmt.Sprintf("%d-%d", i/4*8, i/4*8+7), Memory: 16 << 30, Nodes: []string{node}, Health: devices.Health{State: "ok"}}
		if _, err := os.Stat(filepath.Join(f.Root, "/sys/acc", d.Name, "dead")); err == nil {
			d.Health = devices.Health{State: "bad", Reasons: []string{"it does not answer"}}
		}
		if n := len(inv.Devices); n%2 == 1 {
			inv.Links = append(inv.Links, devices.Link{A: inv.Devices[n-1].Name, B: d.Name, Kind: "ACCLINK", Weight: 100})
		}
		inv.Devices = append(inv.Devices, d)
	}
	if f.Change != nil {
		f.Change(&inv)
	}
	if len(inv.Devices) == 0 {
		return devices.Inventory{}, devices.ErrAbsent
	}
	return inv, nil
}

// Edits gives the chosen nodes, the driver's, and its directory.
func (f Fake) Edits(inv devices.Inventory, chosen []devices.Device, ask devices.Ask, _ devices.Container) (devices.Edits, []finding.Finding) {
	var e devices.Edits
	requests := []devices.Request{{Source: "/dev/accctl", File: ask.File, Line: ask.Line}}
	for _, d := range chosen {
		for _, node := range d.Nodes {
			requests = append(requests, devices.Request{Source: node, File: ask.File, Line: ask.Line})
		}
	}
	nodes, found := devices.Nodes(f.Root, requests)
	e.DeviceNodes, e.Origins = devices.CDINodes(nodes), map[string]string{}
	if _, err := os.Stat(filepath.Join(f.Root, "/opt/acc/lib")); err == nil {
		e.Mounts = []*specs.Mount{{HostPath: "/opt/acc/lib", ContainerPath: "/opt/acc/lib", Options: []string{"rbind", "ro"}}}
		e.Origins["/opt/acc/lib"] = "driver " + inv.Driver
		e.PrependEnv = map[string][]string{"LD_LIBRARY_PATH": {"/opt/acc/lib"}}
	}
	for _, n := range e.DeviceNodes {
		e.Origins[n.Path] = "acc " + strings.TrimPrefix(n.Path, "/dev/acc")
	}
	return e, found
}
