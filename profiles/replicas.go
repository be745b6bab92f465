package profiles

import (
	"fmt"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// Replicas say how many containers a profile is. They are called NAME-1, NAME-2, ...; nil is one, called NAME.
type Replicas struct {
	Count     int    `json:"count"`                // 0 with PerDevice, and where none is wanted
	PerDevice bool   `json:"per_device,omitempty"` // one for each of the devices that the profile may have
	Key       string `json:"key"`                  // in Lines: "replicas", "scale", "deploy.replicas"
}

// maxReplicas bounds a slip of the pen: a machine has no room for more.
const maxReplicas = 1000

var replicaSchema = object{"type": []string{"integer", "string"}}

var replicaFields = []field[Profile]{
	{name: "replicas", about: "how many containers, called NAME-1, NAME-2, ...; per-device: one for each GPU or NPU, with that one", schema: replicaSchema, read: readReplicas},
	{name: "scale", about: "compose's word for replicas", schema: replicaSchema, read: readReplicas},
}

func readReplicas(d *decoder, p *Profile, n *node, key string) {
	r, ok := d.replicas(n, key)
	if !ok {
		return
	}
	if have := p.Replicas; have != nil && have.Key != key && d.levels[have.Key] == d.level && (have.Count != r.Count || have.PerDevice != r.PerDevice) {
		d.bad(n, key, "keep one of the two", "%s: says another number", have.Key)
		return
	}
	p.Replicas = &r
}

func (d *decoder) replicas(n *node, key string) (Replicas, bool) {
	if n.kind == scalar && n.tag == "str" && n.text == "per-device" {
		return Replicas{PerDevice: true, Key: key}, true
	}
	if n.kind != scalar || n.tag != "int" && (n.tag != "str" || strings.Trim(n.text, "0123456789") != "") {
		d.bad(n, key, "write a number, or per-device", "expected a number or per-device, got %s", n.describe())
		return Replicas{}, false
	}
	v, ok := d.integer(n, key)
	if ok && (v < 0 || v > maxReplicas) {
		d.bad(n, key, fmt.Sprintf("write a number from 0 to %d, or per-device", maxReplicas), "%d is no number of containers", v)
		return Replicas{}, false
	}
	return Replicas{Count: int(v), Key: key}, ok
}

// finishReplicas refuses what only one container can have.
func (d *decoder) finishReplicas() {
	p := d.profile
	if p.Replicas == nil {
		return
	}
	if at, said := p.Lines["container_name"]; said {
		d.report.add(Problem{Position: at, Key: "container_name", ID: finding.ReplicaName, Message: fmt.Sprintf("container_name: there are several with %s:, called %s-1, %s-2, ...", p.Replicas.Key, p.Name, p.Name),
			Remedy: "remove one of the two"})
	}
	if p.Replicas.PerDevice {
		d.perDevice()
	}
	d.report.problems = append(d.report.problems, d.singular(p.Replicas.Count)...)
}

// perDevice refuses per-device where it is not clear which devices are meant.
func (d *decoder) perDevice() {
	p, key := d.profile, d.profile.Replicas.Key
	all := append(append([]Accelerator{}, p.GPUs...), p.NPUs...)
	switch {
	case len(all) == 0:
		d.badAt(p.Lines[key], key, "add gpus: all, or npus: all", "per-device, and the profile asks for no device")
	case len(all) > 1:
		d.badAt(p.Lines[key], key, "keep one of the requests", "per-device, and the profile asks for devices in %d places: %s and %s", len(all), all[0].Key, all[1].Key)
	case all[0].Driver == "cdi":
		d.badAt(p.Lines[key], key, "write their numbers: gpus: [0, 1]", "per-device, and the devices are named as CDI's")
	case all[0].Count > 1:
		d.badAt(p.Lines[all[0].Key], all[0].Key, "write all, 1, or the devices that are meant", "per-device gives each container one device, not %d", all[0].Count)
	}
}

// CheckReplicas returns an *InvalidError about what n containers of the profile can't share: ports and addresses.
func CheckReplicas(p *Profile, n int) error {
	d := &decoder{profile: p, report: &report{}}
	d.report.problems = d.singular(n)
	return d.report.err()
}

// singular are the problems of n containers with what only one can have.
func (d *decoder) singular(n int) []Problem {
	if n < 2 {
		return nil
	}
	p := d.profile
	var all []Problem
	add := func(id, key, remedy, format string, args ...any) {
		all = append(all, Problem{Position: p.Lines[key], Key: key, ID: id, Message: key + ": " + fmt.Sprintf(format, args...), Remedy: remedy})
	}
	host := p.NetworkMode == "" || p.NetworkMode == "host"
	for _, port := range p.Ports {
		room := int(port.Last) - int(port.First) + 1
		last := int(port.First) + n - 1
		switch {
		case host:
			add(finding.ReplicaPorts, port.Key, "add network_mode: bridge and write a range of the host's, or none: "+fmt.Sprint(port.Target), "%d containers can't listen at one port of the host", n)
		case port.First == 0: // any free one
		case port.End > port.Target || room < n:
			add(finding.ReplicaPorts, port.Key, fmt.Sprintf("write a range for one port: \"%d-%d:%d\", or none: \"%d\"", port.First, last, port.Target, port.Target), "%d containers want a port of the host each for %d, and it names %d", n, port.Target, max(room/(max(int(port.End), int(port.Target))-int(port.Target)+1), 1))
		}
	}
	for _, one := range p.Networks {
		if one.IPv4 != "" || one.IPv6 != "" || one.MAC != "" {
			add(finding.ReplicaPorts, one.Key, "remove the address: containers of a network reach each other by name", "%d containers can't have one address", n)
		}
	}
	if p.MACAddress != "" {
		add(finding.ReplicaPorts, "mac_address", "remove it", "%d containers can't have one address", n)
	}
	return all
}
