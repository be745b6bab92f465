// Package devicestest says what every source of accelerators must do, as tests that each of them runs over its own fake
// machines.
package devicestest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// A Case is a source and the machines that it is held against. Trees are made below a directory of the test's own.
type Case struct {
	New func(root string) devices.Source
	// Build makes the files of a machine with accelerators below root, with real device nodes (Mknod).
	Build func(t *testing.T, root string)
	// Names are those of the machine's devices, in the order of the inventory.
	Names []string
	// Break makes one of the devices dead and returns its name; nil where the kind has no such state.
	Break func(t *testing.T, root string) string
	// Ask is what the source is asked to give a container; its kind and IDs are the suite's own.
	Ask       devices.Ask
	Container devices.Container
}

// Suite runs the tests.
func Suite(t *testing.T, c Case) {
	t.Run("absent hardware", c.absent)
	t.Run("inventory", c.inventory)
	t.Run("deterministic", c.deterministic)
	t.Run("edits", c.edits)
	t.Run("edits of all", c.editsOfAll)
	t.Run("numbers of the moment", c.renumbered)
	if c.Break != nil {
		t.Run("a dead device", c.dead)
	}
}

// Mknod makes a character device node below root, with its directories.
func Mknod(t *testing.T, root, path string, major, minor uint32, mode uint32) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal("mknod needs root, and HOSTRUN_REQUIRE_ALL=1")
		}
		t.Skip("mknod needs root")
	}
	at := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := unix.Mknod(at, unix.S_IFCHR|mode, int(unix.Mkdev(major, minor))); err != nil {
		t.Fatalf("mknod %s: %v", at, err)
	}
	if err := os.Chmod(at, os.FileMode(mode)); err != nil { // the umask
		t.Fatal(err)
	}
}

func (c Case) machine(t *testing.T) (devices.Source, string) {
	t.Helper()
	root := t.TempDir()
	c.Build(t, root)
	return c.New(root), root
}

func look(t *testing.T, s devices.Source, needs devices.Needs) devices.Inventory {
	t.Helper()
	inv, err := s.Inventory(t.Context(), needs)
	if err != nil {
		t.Fatalf("inventory: %v", err)
	}
	return inv
}

// absent: a machine without hardware and driver has devices.ErrAbsent, and nothing else is wrong with it.
func (c Case) absent(t *testing.T) {
	for _, needs := range []devices.Needs{{}, {Health: true, Users: true}} {
		inv, err := c.New(t.TempDir()).Inventory(t.Context(), needs)
		if !errors.Is(err, devices.ErrAbsent) || len(inv.Devices) > 0 {
			t.Errorf("needs %+v: %v, %v; want ErrAbsent", needs, inv.Devices, err)
		}
	}
}

// inventory: the kind, unique names, partitions after their parent, links between devices that there are.
func (c Case) inventory(t *testing.T) {
	s, root := c.machine(t)
	inv := look(t, s, devices.Needs{Health: true, Users: true})
	if inv.Kind == "" || inv.Kind != s.Kind() || inv.Fingerprint == "" {
		t.Errorf("kind %q of source %q, fingerprint %q", inv.Kind, s.Kind(), inv.Fingerprint)
	}
	var names []string
	for _, d := range inv.Devices {
		c.checkDevice(t, root, inv, d, names)
		names = append(names, d.Name)
	}
	if !slices.Equal(names, c.Names) {
		t.Errorf("devices %q, want %q", names, c.Names)
	}
	for _, l := range inv.Links {
		if !slices.Contains(names, l.A) || !slices.Contains(names, l.B) || l.A == l.B || l.Weight <= 0 {
			t.Errorf("link %+v between devices %q", l, names)
		}
	}
	replayed(t, inv)
}

func (c Case) checkDevice(t *testing.T, root string, inv devices.Inventory, d devices.Device, before []string) {
	t.Helper()
	switch {
	case d.Kind != inv.Kind, !devices.ValidName(d.Name):
		t.Errorf("device %q of kind %q is no name of CDI's", d.Name, d.Kind)
	case slices.Contains(before, d.Name):
		t.Errorf("device %q is there twice", d.Name)
	case d.Parent != "" && !slices.Contains(before, d.Parent):
		t.Errorf("partition %q stands before its parent %q", d.Name, d.Parent)
	case d.Parent != "" && d.Index != -1:
		t.Errorf("partition %q has index %d, want -1", d.Name, d.Index)
	case !slices.Contains([]string{"ok", "warn", "bad", "unknown"}, d.Health.State):
		t.Errorf("device %q has health %q", d.Name, d.Health.State)
	case d.Health.State != "ok" && d.Health.State != "unknown" && len(d.Health.Reasons) == 0:
		t.Errorf("device %q is %s for no reason", d.Name, d.Health.State)
	}
	for _, node := range d.Nodes {
		if _, err := os.Stat(filepath.Join(root, node)); err != nil && d.Health.State != "bad" {
			t.Errorf("device %q is not bad, and its node %s: %v", d.Name, node, err)
		}
	}
}

// replayed: what is recorded as JSON reads back as the same.
func replayed(t *testing.T, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	back := reflect.New(reflect.TypeOf(v))
	if err := json.Unmarshal(text, back.Interface()); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back.Elem().Interface())
	if err != nil || string(again) != string(text) {
		t.Errorf("a recording does not replay:\n%s\n%s", text, again)
	}
}

// deterministic: the same machine gives the same inventory and edits, also to another source, and no call changes what
// an earlier one has returned.
func (c Case) deterministic(t *testing.T) {
	s, root := c.machine(t)
	first := look(t, s, devices.Needs{})
	edits, _ := s.Edits(first, first.Devices[:1], c.ask(first.Devices[:1]), c.Container)
	was := text(t, first, edits)
	for range 2 {
		for _, source := range []devices.Source{s, c.New(root)} {
			inv := look(t, source, devices.Needs{})
			again, _ := source.Edits(inv, inv.Devices[:1], c.ask(inv.Devices[:1]), c.Container)
			if got := text(t, inv, again); got != was {
				t.Errorf("another look differs:\n%s\n%s", was, got)
			}
			scribble(again)
		}
	}
	if got := text(t, first, edits); got != was {
		t.Errorf("a later call changed what an earlier one returned:\n%s\n%s", was, got)
	}
}

// scribble changes what was returned: it must be nobody else's.
func scribble(e devices.Edits) {
	for _, n := range e.DeviceNodes {
		n.Path, n.Major = "/dev/null", 1
	}
	for _, m := range e.Mounts {
		m.HostPath = "/"
	}
	for name := range e.PrependEnv {
		e.PrependEnv[name] = []string{"/"}
	}
}

func text(t *testing.T, values ...any) string {
	t.Helper()
	b, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (c Case) ask(chosen []devices.Device) devices.Ask {
	ask := c.Ask
	ask.All, ask.Count, ask.IDs = false, 0, nil
	for _, d := range chosen {
		ask.Kind, ask.IDs = d.Kind, append(ask.IDs, d.Name)
	}
	return ask
}

// usable are the devices that may be given, one card's worth of them where they belong together.
func usable(inv devices.Inventory) []devices.Device {
	var one []devices.Device
	for _, d := range inv.Devices {
		switch {
		case d.Health.State == "bad":
		case len(one) == 0, d.Group != "" && d.Group == one[0].Group:
			one = append(one, d)
		}
	}
	return one
}

// edits: one device alone, by real nodes, without hooks and without the nodes of another device.
func (c Case) edits(t *testing.T) {
	s, root := c.machine(t)
	inv := look(t, s, devices.Needs{})
	chosen := usable(inv)
	edits, found := s.Edits(inv, chosen, c.ask(chosen), c.Container)
	if stop := finding.Errors(found); len(stop) > 0 {
		t.Fatalf("findings: %+v", stop)
	}
	checkEdits(t, root, edits)
	given := nodesOf(edits)
	for _, d := range inv.Devices {
		mine := slices.ContainsFunc(chosen, func(o devices.Device) bool { return o.Name == d.Name || o.Parent == d.Name })
		for _, node := range d.Nodes {
			if has := slices.Contains(given, node); has != mine && !shared(chosen, node) {
				t.Errorf("node %s of device %q: given %v, chosen %v", node, d.Name, has, mine)
			}
		}
	}
	replayed(t, edits)
}

func shared(chosen []devices.Device, node string) bool {
	return slices.ContainsFunc(chosen, func(d devices.Device) bool { return slices.Contains(d.Nodes, node) })
}

func nodesOf(e devices.Edits) []string {
	var all []string
	for _, n := range e.DeviceNodes {
		from := n.HostPath
		if from == "" {
			from = n.Path
		}
		all = append(all, from)
	}
	return all
}

func checkEdits(t *testing.T, root string, e devices.Edits) {
	t.Helper()
	if len(e.Hooks) > 0 {
		t.Errorf("edits have hooks: %+v", e.Hooks)
	}
	if len(e.DeviceNodes) == 0 {
		t.Error("edits have no device nodes")
	}
	seen := map[string]bool{}
	for i, from := range nodesOf(e) {
		n := e.DeviceNodes[i]
		if seen[n.Path] {
			t.Errorf("node %s is given twice", n.Path)
		}
		seen[n.Path] = true
		checkNode(t, filepath.Join(root, from), n.Major, n.Minor, uint32Or(n.UID), uint32Or(n.GID), n.FileMode)
		if n.Permissions != "" && n.Permissions != "rw" && n.Permissions != "r" {
			t.Errorf("node %s has access %q, want rw: m lets a job make nodes of devices that it was not given", n.Path, n.Permissions)
		}
	}
	for _, m := range e.Mounts {
		if _, err := os.Stat(filepath.Join(root, m.HostPath)); err != nil {
			t.Errorf("mount of %s: %v", m.HostPath, err)
		}
		if e.Origins[m.ContainerPath] == "" {
			t.Errorf("mount at %s has no origin", m.ContainerPath)
		}
	}
}

func uint32Or(n *uint32) uint32 {
	if n == nil {
		return 0
	}
	return *n
}

// checkNode compares what is given with stat(2).
func checkNode(t *testing.T, at string, major, minor int64, uid, gid uint32, mode *os.FileMode) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(at, &st); err != nil {
		t.Errorf("%s: %v", at, err)
		return
	}
	dev := uint64(st.Rdev)
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || int64(unix.Major(dev)) != major || int64(unix.Minor(dev)) != minor {
		t.Errorf("%s is given as character device %d:%d; it is %#o, %d:%d", at, major, minor, st.Mode, unix.Major(dev), unix.Minor(dev))
	}
	if st.Uid != uid || st.Gid != gid || mode == nil || uint32(mode.Perm()) != uint32(st.Mode)&0o777 {
		t.Errorf("%s is given with owner %d:%d and mode %v; it has %d:%d and %#o", at, uid, gid, mode, st.Uid, st.Gid, st.Mode&0o777)
	}
}

// editsOfAll: all devices at once, each node once.
func (c Case) editsOfAll(t *testing.T) {
	s, root := c.machine(t)
	inv := look(t, s, devices.Needs{})
	whole := slices.DeleteFunc(slices.Clone(inv.Devices), func(d devices.Device) bool { return d.Health.State == "bad" || d.Parent != "" })
	edits, found := s.Edits(inv, whole, c.ask(whole), c.Container)
	if stop := finding.Errors(found); len(stop) > 0 {
		t.Fatalf("findings: %+v", stop)
	}
	checkEdits(t, root, edits)
}

// renumbered: majors are dynamic. A node that was made anew is given with its new numbers by the next start, without a new
// source, and also over an inventory that was taken before.
func (c Case) renumbered(t *testing.T) {
	s, root := c.machine(t)
	inv := look(t, s, devices.Needs{})
	chosen := usable(inv)
	if len(chosen) == 0 || len(chosen[0].Nodes) == 0 {
		t.Fatalf("no device of its own node: %+v", inv.Devices)
	}
	node := chosen[0].Nodes[0]
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, node), &st); err != nil {
		t.Fatal(err)
	}
	Mknod(t, root, node, 240, unix.Minor(uint64(st.Rdev)), uint32(st.Mode)&0o777)
	if err := os.Chown(filepath.Join(root, node), int(st.Uid), int(st.Gid)); err != nil {
		t.Fatal(err)
	}
	edits, _ := s.Edits(inv, chosen, c.ask(chosen), c.Container)
	checkEdits(t, root, edits)
}

// dead: a device that is gone costs its own line. The others can be given as before, and it can't.
func (c Case) dead(t *testing.T) {
	s, root := c.machine(t)
	name := c.Break(t, root)
	inv := look(t, s, devices.Needs{Health: true})
	for _, d := range inv.Devices {
		if d.Name == name && d.Health.State != "bad" {
			t.Errorf("the dead device %q is %q", name, d.Health.State)
		}
	}
	chosen := usable(inv)
	if len(chosen) == 0 {
		t.Fatalf("one dead device of %d, and none can be given: %+v", len(c.Names), inv.Devices)
	}
	edits, found := s.Edits(inv, chosen, c.ask(chosen), c.Container)
	if stop := finding.Errors(found); len(stop) > 0 {
		t.Errorf("findings: %+v", stop)
	}
	checkEdits(t, root, edits)
}
