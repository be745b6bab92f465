package profiles

import (
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// npuNode are the nodes of one NPU (Ascend's driver, drv_devmng): virtual ones, too.
var npuNode = pattern.New(`^/dev/v?davinci[0-9]+$`)

// Accelerator reports whether the entry names an accelerator, which hostrun leases, rather than a plain node: a qualified
// name of CDI, or an NPU.
func (v Device) Accelerator() bool { return v.CDI || npuNode.MatchString(v.Source) }

// finishVisible reads the variables by which a vendor's OCI runtime is asked for devices. ASCEND_VISIBLE_DEVICES is the same
// request as npus; NVIDIA's is in too many images and scripts with the value all, so gpus has to say it, or runtime: nvidia beside it.
// Neither reaches the container.
func (d *decoder) finishVisible() {
	p := d.profile
	ascend := d.readAscendRuntime()
	nvidia := visible{value: "all", key: "runtime", pos: p.Lines["runtime"]} // without the variable: as who writes runtime: nvidia means it
	kept := p.Environment[:0:0]
	for _, v := range p.Environment {
		key := join("environment", v.Name)
		pos := d.place(key, "environment")
		switch nothing := v.Value == "" || v.Value == "void" || v.Value == "none"; {
		case v.Name == "ASCEND_VISIBLE_DEVICES" && !nothing:
			d.visibleNPUs(visible{value: v.Value, key: key, pos: pos}, ascend)
		case v.Name == "NVIDIA_VISIBLE_DEVICES" && d.vendor == "nvidia":
			nvidia = visible{value: v.Value, key: key, pos: pos}
			if nothing {
				nvidia.value = ""
			}
		case v.Name == "NVIDIA_VISIBLE_DEVICES" && !nothing:
			d.badAt(pos, key, "say which GPUs the container gets: gpus: all, gpus: 1, gpus: [0, 3]; or add runtime: nvidia", "it is the container toolkit's, and no hook of it runs here")
		case v.Name != "ASCEND_VISIBLE_DEVICES" && v.Name != "NVIDIA_VISIBLE_DEVICES":
			kept = append(kept, v)
		}
	}
	p.Environment = kept
	if d.vendor == "nvidia" && nvidia.value != "" && len(p.GPUs) == 0 {
		d.visibleGPUs(nvidia)
	}
}

// A visible is what a vendor's variable says, and where.
type visible struct {
	value, key string
	pos        Position
}

// visibleGPUs makes a request of what NVIDIA's runtime would read (container toolkit, "NVIDIA_VISIBLE_DEVICES" and "NVIDIA_DRIVER_CAPABILITIES").
func (d *decoder) visibleGPUs(v visible) {
	a := Accelerator{Key: v.key, All: v.value == "all"}
	if !a.All {
		for word := range strings.SplitSeq(v.value, ",") {
			// The toolkit's own kind is for its runtime's, which names the same devices.
			if word = strings.TrimPrefix(strings.TrimSpace(word), "runtime."); word != "" && !contains(a.IDs, word) {
				a.IDs = append(a.IDs, word)
			}
		}
		for _, id := range a.IDs {
			if !idForm.MatchString(id) {
				d.badAt(v.pos, v.key, "write all, none, or indexes and UUIDs with commas between them: 0,3", "%q is no device", abridged(id))
				return
			}
		}
	}
	for _, e := range d.profile.Environment {
		if e.Name != "NVIDIA_DRIVER_CAPABILITIES" || e.Value == "" {
			continue
		}
		for word := range strings.SplitSeq(e.Value, ",") {
			word = strings.TrimSpace(word)
			if !contains(driverCapabilities, word) {
				key := join("environment", e.Name)
				d.badAt(d.place(key, "environment"), key, "known: "+strings.Join(driverCapabilities, ", "), "%q is no capability of the driver", abridged(word))
				return
			}
			a.Capabilities = append(a.Capabilities, word)
		}
	}
	d.mark(v.key, v.pos)
	d.profile.GPUs = apart(a)
}

// driverCapabilities are those of NVIDIA's runtime.
var driverCapabilities = []string{"compute", "compat32", "graphics", "utility", "video", "display", "ngx", "all"}
