package runtime

import (
	"encoding/json"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"

	"hostrun.dev/hostrun/devices"
)

// TestDevicesOfOthers: what the spec of another tool's container says that it was given.
func TestDevicesOfOthers(t *testing.T) {
	inv := devices.Inventory{Kind: devices.KindGPU, Devices: []devices.Device{
		{Kind: devices.KindGPU, Name: "GPU-a", Index: 0}, {Kind: devices.KindGPU, Name: "GPU-b", Index: 1}, {Kind: devices.KindGPU, Name: "MIG-c", Index: -1, Parent: "GPU-a"}}}
	numbers := map[DeviceNumber][]DeviceName{{195, 0}: {{devices.KindGPU, "GPU-a"}}, {195, 1}: {{devices.KindGPU, "GPU-b"}}}
	node := func(minor int64) *specs.Linux {
		return &specs.Linux{Devices: []specs.LinuxDevice{{Path: "/dev/nvidia0", Major: 195, Minor: minor}, {Path: "/dev/fuse", Major: 10, Minor: 229}}}
	}
	env := func(value string) *specs.Process {
		return &specs.Process{Env: []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=" + value}}
	}
	hook := &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/usr/bin/nvidia-container-runtime-hook"}}}
	for name, c := range map[string]struct {
		spec    specs.Spec
		options string
		want    []string
	}{
		"a node, by its number":           {specs.Spec{Linux: node(1)}, "", []string{"GPU-b"}},
		"no node of ours":                 {specs.Spec{Linux: node(7)}, "", nil},
		"variable of an image, no hook":   {specs.Spec{Linux: &specs.Linux{}, Process: env("all")}, "", nil},
		"docker --gpus 1":                 {specs.Spec{Linux: &specs.Linux{}, Process: env("1"), Hooks: hook}, "", []string{"GPU-b"}},
		"docker --gpus all":               {specs.Spec{Linux: &specs.Linux{}, Process: env("all"), Hooks: hook}, "", []string{"GPU-a", "GPU-b"}},
		"a partition by its name":         {specs.Spec{Linux: &specs.Linux{}, Process: env("MIG-c"), Hooks: hook}, "", []string{"MIG-c"}},
		"void":                            {specs.Spec{Linux: &specs.Linux{}, Process: env("void"), Hooks: hook}, "", nil},
		"nvidia's runtime as the runtime": {specs.Spec{Linux: &specs.Linux{}, Process: env("0")}, "BinaryName=/usr/bin/nvidia-container-runtime", []string{"GPU-a"}},
		"an agent that may open all": {specs.Spec{Linux: &specs.Linux{Devices: node(0).Devices,
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}}}, "", nil},
	} {
		text, err := json.Marshal(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		r := containers.Container{ID: "x", Spec: &anypb.Any{Value: text}}
		if c.options != "" {
			r.Runtime.Options = &anypb.Any{Value: []byte(c.options)}
		}
		var got []string
		for _, n := range devicesOf(r, numbers, []devices.Inventory{inv}) {
			got = append(got, n.Name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(c.want) > 0 && !mayUseDevices(text) {
			t.Errorf("%s: passed over at first sight", name)
		}
	}
}

// FuzzDevicesOfOthers: specs are written by other programs.
func FuzzDevicesOfOthers(f *testing.F) {
	f.Add([]byte(`{"linux":{"devices":[{"path":"/dev/x","major":1,"minor":2}],"resources":{"devices":[{"allow":true}]}},"process":{"env":["NVIDIA_VISIBLE_DEVICES=0"]},"hooks":{"prestart":[{"path":"/x"}]}}`))
	f.Add([]byte(`{"linux":null,"process":{"env":["ASCEND_VISIBLE_DEVICES=0-"]}}`))
	f.Fuzz(func(t *testing.T, spec []byte) {
		mayUseDevices(spec)
		devicesOf(containers.Container{Spec: &anypb.Any{Value: spec}}, nil, []devices.Inventory{{Kind: devices.KindGPU, Devices: []devices.Device{{Name: "a"}}}})
	})
}

// TestQueueOrder: tickets count upwards, a dead process's goes, and who came before claims what it may use.
func TestQueueOrder(t *testing.T) {
	c := &Client{opt: Options{StateDir: t.TempDir()}}
	one := devices.Ask{Kind: devices.KindGPU, IDs: []string{"1"}}
	any := devices.Ask{Kind: devices.KindGPU, Count: 1}
	first, err := c.newTicket(Waiter{Container: "first", Asks: []devices.Ask{one}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.newTicket(Waiter{Container: "second", Asks: []devices.Ask{any}})
	if err != nil {
		t.Fatal(err)
	}
	inv := devices.Inventory{Kind: devices.KindGPU, Devices: []devices.Device{{Kind: devices.KindGPU, Name: "a", Index: 0}, {Kind: devices.KindGPU, Name: "b", Index: 1}}}
	waiting := Waiters(c.opt.StateDir)
	for _, check := range []struct {
		who  *ticket
		id   string
		want map[string]string
	}{
		{first, "first", map[string]string{}},
		{second, "second", map[string]string{"b": "first"}},
		{nil, "newcomer", map[string]string{"a": "second", "b": "first"}},
		{nil, "second", map[string]string{"b": "first"}},
	} {
		if diff := cmp.Diff(check.want, claims(inv, waiting, check.who, check.id)); diff != "" {
			t.Errorf("%s: %s", check.id, diff)
		}
	}
	_ = first.file.Close() // its process dies
	if left := Waiters(c.opt.StateDir); len(left) != 1 || left[0].Container != "second" {
		t.Errorf("after a death: %+v", left)
	}
	_ = second.file.Close()
	if left := Waiters(c.opt.StateDir); len(left) != 0 {
		t.Errorf("after all deaths: %+v", left)
	}
}
