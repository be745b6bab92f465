package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices"
)

// A DeviceNumber is a node's major and minor number.
type DeviceNumber struct{ Major, Minor int64 }

// A DeviceName is a device of one kind.
type DeviceName struct{ Kind, Name string }

// others collects who of the containers of other tools uses the devices: by the nodes in their specs, and by the variables that a
// vendor's OCI runtime acts on. Who can't be asked uses nothing.
type others struct {
	numbers map[DeviceNumber][]DeviceName
	invs    []devices.Inventory
	strays  *Strays // may be nil

	mu    sync.Mutex
	users map[DeviceName][]devices.User
}

// add adds them to who uses the devices of the inventories.
func (o *others) add() {
	for i := range o.invs {
		for j := range o.invs[i].Devices {
			d := &o.invs[i].Devices[j]
			d.Users = slices.Concat(d.Users, o.users[DeviceName{o.invs[i].Kind, d.Name}])
		}
	}
}

// meet is told of the records of a namespace; nil takes no notice.
func (o *others) meet(ns string, records []containers.Container) {
	if o != nil {
		o.strays.meet(ns, records)
	}
}

func (o *others) leasesOfStrays() []Holding {
	if o == nil {
		return nil
	}
	return o.strays.Leases()
}

// look goes through the records of one namespace. nil looks at nothing.
func (o *others) look(ctx context.Context, c *Client, ns string, records []containers.Container) {
	if o == nil || o.numbers == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settling/2) // a shim that hangs is not hostrun's, and must not use up the patience for those that are
	defer cancel()
	for _, r := range records {
		if r.Labels[labelProfile] != "" || r.Spec == nil || !mayUseDevices(r.Spec.GetValue()) {
			continue
		}
		names := devicesOf(r, o.numbers, o.invs)
		if len(names) == 0 {
			continue
		}
		if task, err := c.getTask(ctx, r.ID); err != nil || task == nil || task.Status == taskapi.Status_STOPPED {
			continue
		}
		o.mu.Lock()
		for _, name := range names {
			if o.users == nil {
				o.users = map[DeviceName][]devices.User{}
			}
			o.users[name] = append(o.users[name], devices.User{Name: ns + " container " + shortID(r)})
		}
		o.mu.Unlock()
	}
}

// mayUseDevices is a look at the text of a spec that spares reading most of them.
func mayUseDevices(spec []byte) bool {
	return bytes.Contains(spec, []byte(`"devices":[{"path"`)) || bytes.Contains(spec, []byte("_VISIBLE_DEVICES="))
}

// shortID is the container's name where its tool has noted one, else the beginning of its ID.
func shortID(r containers.Container) string {
	for _, label := range []string{"nerdctl/name", "io.kubernetes.container.name"} {
		if r.Labels[label] != "" {
			return r.Labels[label]
		}
	}
	return r.ID[:min(len(r.ID), 12)]
}

// visible are the variables by which a vendor's OCI runtime is asked for devices.
var visible = map[string]string{devices.KindGPU: "NVIDIA_VISIBLE_DEVICES", devices.KindNPU: "ASCEND_VISIBLE_DEVICES"}

// devicesOf are the devices that a container of another tool was given. One that may open every device of the machine, as
// agents that watch the devices may, was given none.
func devicesOf(r containers.Container, numbers map[DeviceNumber][]DeviceName, invs []devices.Inventory) []DeviceName {
	var spec specs.Spec
	if json.Unmarshal(r.Spec.GetValue(), &spec) != nil || spec.Linux == nil || opensAll(&spec) {
		return nil
	}
	given := map[DeviceName]bool{}
	var names []DeviceName
	add := func(some ...DeviceName) {
		for _, name := range some {
			if !given[name] {
				given[name] = true
				names = append(names, name)
			}
		}
	}
	for _, d := range spec.Linux.Devices {
		add(numbers[DeviceNumber{d.Major, d.Minor}]...)
	}
	if spec.Process == nil || !vendorRuntime(r, &spec) {
		return names
	}
	for _, inv := range invs {
		for _, id := range visibleIDs(spec.Process.Env, visible[inv.Kind]) {
			for _, d := range inv.Devices {
				if id == "all" && d.Parent == "" {
					add(DeviceName{d.Kind, d.Name})
				}
			}
			for _, d := range devices.Find(inv, id) {
				add(DeviceName{d.Kind, d.Name})
			}
		}
	}
	return names
}

func opensAll(spec *specs.Spec) bool {
	if spec.Linux.Resources == nil {
		return false
	}
	for _, rule := range spec.Linux.Resources.Devices {
		if rule.Allow && rule.Major == nil && rule.Minor == nil && (rule.Type == "" || rule.Type == "a" || rule.Type == "c") && strings.Contains(rule.Access, "w") {
			return true
		}
	}
	return false
}

// vendorRuntime reports whether something will act on the variables: they are in every CUDA image, whether or not it gets a GPU.
func vendorRuntime(r containers.Container, spec *specs.Spec) bool {
	if r.Runtime.Options != nil && (bytes.Contains(r.Runtime.Options.GetValue(), []byte("nvidia-container-runtime")) || bytes.Contains(r.Runtime.Options.GetValue(), []byte("ascend-docker-runtime"))) {
		return true
	}
	if spec.Hooks == nil {
		return false
	}
	//lint:ignore SA1019 docker and old toolkits still write them
	for _, h := range append(append([]specs.Hook{}, spec.Hooks.Prestart...), spec.Hooks.CreateRuntime...) {
		if base := filepath.Base(h.Path); strings.HasPrefix(base, "nvidia-container-") || strings.HasPrefix(base, "ascend-docker-") {
			return true
		}
	}
	return false
}

// visibleIDs are the words of the variable's last value; void and none name nothing.
func visibleIDs(env []string, name string) []string {
	value := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok && name != "" {
			value = v
		}
	}
	if value == "" || value == "void" || value == "none" {
		return nil
	}
	return strings.Split(value, ",")
}
