package cdi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	cdilib "tags.cncf.io/container-device-interface/pkg/cdi"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/cdi"
	"hostrun.dev/hostrun/devices/devicestest"
	"hostrun.dev/hostrun/finding"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
	must(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
}

// vendor is what a vendor's tool writes: names by index and by UUID, all of them together, hooks, and numbers of the day.
const vendor = `
cdiVersion: 0.5.0
kind: vendor.com/acc
containerEdits:
  env: [ACC=void]
  deviceNodes: [{path: /dev/accctl, major: 241, minor: 255}]
  mounts: [{hostPath: /opt/acc/lib, containerPath: /opt/acc/lib, options: [ro, rbind]}]
  hooks: [{hookName: createContainer, path: /usr/bin/acc-ctk, args: [acc-ctk, hook]}]
devices:
- {name: "0", containerEdits: {deviceNodes: [{path: /dev/acc0, permissions: rwm}]}}
- {name: "1", containerEdits: {deviceNodes: [{path: /dev/acc1, hostPath: /dev/acc1}]}}
- {name: ACC-a, containerEdits: {deviceNodes: [{path: /dev/acc0}]}}
- {name: ACC-b, containerEdits: {deviceNodes: [{path: /dev/acc1}]}}
- {name: all, containerEdits: {deviceNodes: [{path: /dev/acc0}, {path: /dev/acc1}]}}
`

func machine(t *testing.T, root string) {
	devicestest.FakeMachine(t, root, 2)
	write(t, root, "etc/cdi/vendor.yaml", vendor)
}

// unhooked is vendor's file without its hooks, of which the plan tells.
func unhooked(t *testing.T, root string) {
	machine(t, root)
	text, _, _ := strings.Cut(vendor, "  hooks")
	_, rest, _ := strings.Cut(vendor, "[acc-ctk, hook]}]\n")
	write(t, root, "etc/cdi/vendor.yaml", text+rest)
}

func source(root string) devices.Source { return cdi.Open(root, cdi.Dirs).Source("vendor.com/acc") }

func TestSuite(t *testing.T) {
	devicestest.Suite(t, devicestest.Case{New: source, Build: unhooked, Names: []string{"0", "1"}, Break: func(t *testing.T, root string) string {
		must(t, os.Remove(filepath.Join(root, "dev/acc0")))
		return "0"
	}})
}

func inventory(t *testing.T, s devices.Source) devices.Inventory {
	t.Helper()
	inv, err := s.Inventory(t.Context(), devices.Needs{})
	must(t, err)
	return inv
}

func TestAliases(t *testing.T) {
	root := t.TempDir()
	machine(t, root)
	inv := inventory(t, source(root))
	var got []string
	for _, d := range inv.Devices {
		got = append(got, fmt.Sprint(d.Name, d.Aliases, d.Nodes, d.Index))
	}
	if diff := cmp.Diff([]string{"0[ACC-a] [/dev/acc0] 0", "1[ACC-b] [/dev/acc1] 1"}, got); diff != "" {
		t.Error(diff)
	}
	ours := inventory(t, devicestest.Fake{Root: root})
	aligned := cdi.Align(inv, ours)
	if d := aligned.Devices[1]; d.Name != "1" || d.PCI != "0000:11:00.0" || strings.Join(d.Aliases, " ") != "1 ACC-b ACC-1" {
		t.Errorf("aligned: %+v", d)
	}
	edits, found := source(root).Edits(aligned, aligned.Devices[1:], devices.Ask{}, devices.Container{})
	if len(found) > 0 || len(edits.DeviceNodes) != 2 || edits.DeviceNodes[1].Path != "/dev/acc1" || edits.DeviceNodes[1].Minor != 1 {
		t.Errorf("%+v, %+v", edits.DeviceNodes, found)
	}
}

// TestForeignFile: hooks are handed on for the plan to tell of, m is not given, the file's owner counts, its old number does not.
func TestForeignFile(t *testing.T) {
	root := t.TempDir()
	machine(t, root)
	devicestest.Mknod(t, root, "/dev/accctl", 238, 1, 0o666)
	s := source(root)
	inv := inventory(t, s)
	edits, found := s.Edits(inv, inv.Devices[:1], devices.Ask{File: "j.yaml", Line: 3}, devices.Container{})
	if len(edits.Hooks) != 1 || edits.DeviceNodes[0].Major != 238 || edits.DeviceNodes[1].Permissions != "rw" {
		t.Errorf("%+v", edits)
	}
	if len(found) != 1 || found[0].ID != finding.CDIStale || found[0].Severity != finding.Warning || found[0].Subject != "/etc/cdi/vendor.yaml" {
		t.Errorf("%+v", found)
	}
	must(t, os.RemoveAll(filepath.Join(root, "opt/acc/lib")))
	if _, found = s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{}); len(finding.Errors(found)) != 1 || found[0].Subject != "/opt/acc/lib" {
		t.Errorf("a mount's source is gone: %+v", found)
	}
}

// TestFileWithErrors: one file's errors are named, and the others work.
func TestFileWithErrors(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML": "{", "unknown field": "cdiVersion: 0.5.0\nkind: a.com/b\nnodes: []\ndevices: []\n", "too low a version": "cdiVersion: 0.3.0\nkind: a.com/b\ndevices: [{name: x, containerEdits: {deviceNodes: [{path: /dev/a, hostPath: /dev/b}]}}]\n",
		"no version": "kind: a.com/b\ndevices: []\n", "bad kind": "cdiVersion: 0.5.0\nkind: a\ndevices: []\n", "a conflict": strings.Replace(vendor, "0.5.0", "0.6.0", 1),
	} {
		root := t.TempDir()
		machine(t, root)
		write(t, root, "etc/cdi/broken.yaml", text)
		r := cdi.Open(root, cdi.Dirs)
		found := r.Findings()
		if len(found) == 0 || !strings.Contains(found[0].Subject, "/etc/cdi/") || strings.Contains(found[0].Message, root) {
			t.Errorf("%s: %+v", name, found)
		}
		if name != "a conflict" && (len(inventory(t, r.Source("vendor.com/acc")).Devices) != 2 || found[0].Subject != "/etc/cdi/broken.yaml") {
			t.Errorf("%s: the other file does not work: %+v", name, found)
		}
	}
	// The same kind in /var/run/cdi goes before, without a conflict.
	root := t.TempDir()
	machine(t, root)
	write(t, root, "var/run/cdi/vendor.json", `{"cdiVersion":"0.5.0","kind":"vendor.com/acc","devices":[{"name":"0","containerEdits":{"deviceNodes":[{"path":"/dev/acc1"}]}}]}`)
	r := cdi.Open(root, cdi.Dirs)
	edits, _ := r.Source("vendor.com/acc").Edits(devices.Inventory{}, []devices.Device{{Name: "0"}}, devices.Ask{}, devices.Container{})
	if len(r.Findings()) > 0 || len(edits.DeviceNodes) != 1 || edits.DeviceNodes[0].Path != "/dev/acc1" {
		t.Errorf("%+v, %+v", r.Findings(), edits.DeviceNodes)
	}
}

// TestExportLoads: what is written is read by the CDI library, strictly, under the version that it declares, and gives what our own
// edits give.
func TestExportLoads(t *testing.T) {
	for name, c := range map[string]struct {
		devices int
		options cdi.Options
		gids    bool
		version string
	}{
		"several":              {4, cdi.Options{}, false, "0.6.0"},
		"one":                  {1, cdi.Options{}, false, "0.6.0"},
		"groups":               {2, cdi.Options{}, true, "0.7.0"},
		"groups left out":      {2, cdi.Options{NoGIDs: true}, true, "0.6.0"},
		"an image's variables": {2, cdi.Options{Env: map[string]string{"LD_LIBRARY_PATH": "/usr/lib64"}}, false, "0.6.0"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			devicestest.FakeMachine(t, root, c.devices)
			s := grouped{devicestest.Fake{Root: root}, c.gids}
			inv := inventory(t, s)
			spec, found, err := cdi.Export(s, inv, c.options)
			must(t, err)
			if len(found) > 0 || spec.Version != c.version {
				t.Errorf("version %s, want %s; %+v", spec.Version, c.version, found)
			}
			text, err := json.Marshal(spec)
			must(t, err)
			write(t, root, "etc/cdi/hostrun.json", string(text))
			cache, err := cdilib.NewCache(cdilib.WithSpecDirs(filepath.Join(root, "etc/cdi")), cdilib.WithAutoRefresh(false))
			must(t, err)
			if errs := cache.GetErrors(); len(errs) > 0 {
				t.Fatal(errs)
			}
			if names := cache.ListDevices(); len(names) != c.devices+1 {
				t.Errorf("devices %q", names)
			}
			r := cdi.Open(root, cdi.Dirs)
			back := inventory(t, r.Source(inv.Kind))
			got, _ := r.Source(inv.Kind).Edits(back, back.Devices[:1], devices.Ask{}, devices.Container{})
			want, _ := s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{})
			if diff := cmp.Diff(byPath(want), byPath(got)); diff != "" {
				t.Errorf("read back (-ours +file): %s", diff)
			}
			if c.options.Env != nil && strings.Join(got.Env, " ") != "LD_LIBRARY_PATH=/opt/acc/lib:/usr/lib64" {
				t.Errorf("environment %q", got.Env)
			}
			if stale := r.Stale([]devices.Inventory{inv}); len(stale) > 0 {
				t.Errorf("just written, and stale: %+v", stale)
			}
		})
	}
}

// grouped is Fake with a supplementary group.
type grouped struct {
	devicestest.Fake
	gids bool
}

func (g grouped) Edits(inv devices.Inventory, chosen []devices.Device, ask devices.Ask, c devices.Container) (devices.Edits, []finding.Finding) {
	e, found := g.Fake.Edits(inv, chosen, ask, c)
	if g.gids {
		e.AdditionalGIDs = []uint32{1000}
	}
	return e, found
}

func byPath(e devices.Edits) map[string]string {
	all := map[string]string{}
	for _, n := range e.DeviceNodes {
		all[n.Path] = fmt.Sprint(n.Type, n.Major, n.Minor, *n.FileMode, *n.UID, *n.GID, n.Permissions)
	}
	for _, m := range e.Mounts {
		all[m.ContainerPath] = fmt.Sprint(m.HostPath, m.Options)
	}
	return all
}

// TestStale: each way in which a file no longer fits the machine.
func TestStale(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, root string, inv *devices.Inventory)
		want   string
	}{
		"nothing": {func(*testing.T, string, *devices.Inventory) {}, ""},
		"number": {func(t *testing.T, root string, _ *devices.Inventory) {
			devicestest.Mknod(t, root, "/dev/accctl", 238, 1, 0o666)
		}, "/dev/accctl has the number 238:1, not 241:255"},
		"node": {func(t *testing.T, root string, _ *devices.Inventory) {
			must(t, os.Remove(filepath.Join(root, "dev/acc1")))
		}, "/dev/acc1 does not exist"},
		"file": {func(t *testing.T, root string, _ *devices.Inventory) {
			must(t, os.RemoveAll(filepath.Join(root, "opt")))
		}, "/opt/acc/lib does not exist"},
		"other library": {func(t *testing.T, root string, _ *devices.Inventory) {
			write(t, root, "opt/libcuda.so.1.0", "")
			write(t, root, "etc/cdi/vendor.yaml", strings.ReplaceAll(vendor, "/opt/acc/lib,", "/opt/libcuda.so.1.0,"))
		}, "is of driver 1.0, and 2.0 is loaded"},
		"fingerprint": {func(t *testing.T, root string, _ *devices.Inventory) {
			write(t, root, "etc/cdi/vendor.yaml", annotated("hostrun.dev/fingerprint: old"))
		}, "since"},
		"driver": {func(t *testing.T, root string, _ *devices.Inventory) {
			write(t, root, "etc/cdi/vendor.yaml", annotated(`hostrun.dev/driver: "1.0"`))
		}, "it is for driver 1.0, and 2.0 is loaded"},
		"unknown to us": {func(t *testing.T, root string, inv *devices.Inventory) {
			write(t, root, "etc/cdi/vendor.yaml", annotated(`hostrun.dev/driver: "1.0"`))
			inv.Kind = "other.com/acc"
		}, ""},
	} {
		root := t.TempDir()
		machine(t, root)
		inv := devices.Inventory{Kind: "vendor.com/acc", Fingerprint: "now", Driver: "2.0"}
		c.change(t, root, &inv)
		found := cdi.Open(root, cdi.Dirs).Stale([]devices.Inventory{inv})
		if c.want == "" && len(found) > 0 || c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Message, c.want)) {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func annotated(line string) string {
	return strings.Replace(strings.Replace(vendor, "0.5.0", "0.6.0", 1), "containerEdits:\n", "annotations: {"+line+"}\ncontainerEdits:\n", 1)
}

// FuzzOpen: whatever a CDI file holds, the other one works, and nothing panics.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(vendor))
	f.Add([]byte(`{"cdiVersion":"1.1.0","kind":"a.com/b","devices":[{"name":"x","containerEdits":{"netDevices":[{"hostInterfaceName":"e","name":"f"}]}}]}`))
	f.Add([]byte("cdiVersion: 0.5.0\nkind: a.com/b\ndevices: [null]\n"))
	f.Add([]byte("cdiVersion: 0.5.0\nkind: a.com/b\ndevices: [{name: x, containerEdits: {deviceNodes: [null], mounts: [null]}}]\n"))
	root := f.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc/cdi"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		must(t, os.WriteFile(filepath.Join(root, "etc/cdi/fuzzed.yaml"), text, 0o644))
		r := cdi.Open(root, cdi.Dirs)
		r.Findings()
		r.Stale(nil)
		for _, kind := range r.Kinds() {
			inv, err := r.Source(kind).Inventory(t.Context(), devices.Needs{})
			must(t, err)
			r.Source(kind).Edits(inv, inv.Devices, devices.Ask{}, devices.Container{})
		}
	})
}

// TestPermissionsNone: a node whose file gives it no permissions (SPEC.md, "permissions") could be opened all the same.
func TestPermissionsNone(t *testing.T) {
	root := t.TempDir()
	machine(t, root)
	for text, want := range map[string]string{"none": "none", "m": "none", "rm": "r", "rwm": "rw"} {
		write(t, root, "etc/cdi/vendor.yaml", strings.Replace(vendor, "permissions: rwm", "permissions: "+text, 1))
		edits, _ := source(root).Edits(devices.Inventory{}, []devices.Device{{Name: "0"}}, devices.Ask{}, devices.Container{})
		for _, n := range edits.DeviceNodes {
			if n.Path == "/dev/acc0" && n.Permissions != want {
				t.Errorf("permissions %s: %q, want %q", text, n.Permissions, want)
			}
		}
	}
}

// TestExportOfADividedDevice: a GPU of which partitions have been made stood among what can be given as a whole, where its source does not know
// the mode: NVML was not asked.
func TestExportOfADividedDevice(t *testing.T) {
	root := t.TempDir()
	devicestest.FakeMachine(t, root, 4)
	inv := inventory(t, devicestest.Fake{Root: root})
	for i := range inv.Devices[1:3] {
		d := &inv.Devices[i+1]
		d.Parent, d.Index, d.Aliases = inv.Devices[0].Name, -1, append(d.Aliases, fmt.Sprintf("0:%d", i))
	}
	spec, found, err := cdi.Export(devicestest.Fake{Root: root}, inv, cdi.Options{})
	must(t, err)
	var names []string
	for _, d := range spec.Devices {
		names = append(names, d.Name)
	}
	want := []string{"0:0", inv.Devices[1].Name, "0:1", inv.Devices[2].Name, inv.Devices[3].Name, "all"}
	if !slices.Equal(names, want) || len(spec.Devices[len(names)-1].ContainerEdits.DeviceNodes) != 3 || len(found) > 0 {
		t.Errorf("%q, want %q; %+v", names, want, found)
	}
}

// undivided is a source that refuses a device which is divided, as NVIDIA's does with a GPU in MIG mode.
type undivided struct{ devices.Source }

func (s undivided) Edits(inv devices.Inventory, chosen []devices.Device, ask devices.Ask, c devices.Container) (devices.Edits, []finding.Finding) {
	for _, d := range chosen {
		if d.Name == inv.Devices[0].Name {
			return devices.Edits{}, []finding.Finding{{ID: finding.GPUPartition, Severity: finding.Error}}
		}
	}
	return s.Source.Edits(inv, chosen, ask, c)
}

// TestExportOfPartitionsAlone: on a machine whose GPUs are all divided, all had nothing.
func TestExportOfPartitionsAlone(t *testing.T) {
	root := t.TempDir()
	devicestest.FakeMachine(t, root, 3)
	s := undivided{devicestest.Fake{Root: root}}
	inv := inventory(t, s)
	for i := range inv.Devices[1:] {
		inv.Devices[i+1].Parent = inv.Devices[0].Name
	}
	spec, _, err := cdi.Export(s, inv, cdi.Options{})
	must(t, err)
	all := spec.Devices[len(spec.Devices)-1]
	if all.Name != "all" || len(all.ContainerEdits.DeviceNodes) != 2 {
		t.Errorf("%+v", all)
	}
}
