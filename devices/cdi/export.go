package cdi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// Annotations of the files that Export writes: of which machine's state they are.
const (
	fingerprintAnnotation = "hostrun.dev/fingerprint"
	driverAnnotation      = "hostrun.dev/driver"
)

// Options of Export.
type Options struct {
	NoGIDs bool // leave out the supplementary groups, which readers before CDI 0.7.0 refuse
	// Env is the environment of the image that the file is for; list variables of the edits are put in front of its. CDI can
	// only replace a variable, so without it they are left out.
	Env map[string]string
	// Ask are the kind's own options of the profile that the file is for: "driver" and "toolkit" of Ascend.
	Ask map[string]string
}

// environ is Env as a source reads it.
func (o Options) environ() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(o.Env)) {
		all = append(all, name+"="+o.Env[name])
	}
	return all
}

// Export describes all devices of inv that work, by name and by index, and all together as "all". For one that is divided its partitions stand: a program can't use it as a whole. Numbers are left to the
// reader, which looks at each start; owner and mode are given, as a reader would take the process's own. What is the same for all is the
// file's; the version is the lowest that has a word for everything.
func Export(source devices.Source, inv devices.Inventory, o Options) (*specs.Spec, []finding.Finding, error) {
	spec := &specs.Spec{Kind: inv.Kind, Annotations: map[string]string{fingerprintAnnotation: inv.Fingerprint}}
	if inv.Driver != "" {
		spec.Annotations[driverAnnotation] = inv.Driver
	}
	var found []finding.Finding
	var edits []specs.ContainerEdits
	var given []devices.Device
	for _, d := range inv.Devices {
		if d.Health.State == "bad" || divided(inv, d) {
			continue
		}
		e, problems := source.Edits(inv, []devices.Device{d}, devices.Ask{Kind: inv.Kind, IDs: []string{d.Name}, Capabilities: []string{"all"}, Options: o.Ask}, devices.Container{Env: o.environ()})
		found = append(found, problems...)
		if len(finding.Errors(problems)) == 0 {
			edits, given = append(edits, plain(e, o)), append(given, d)
		}
	}
	if len(given) == 0 {
		return nil, found, fmt.Errorf("no device of kind %s can be described", inv.Kind)
	}
	spec.ContainerEdits = common(edits)
	whole := specs.ContainerEdits{}
	for i, d := range given {
		own := less(edits[i], spec.ContainerEdits)
		for _, name := range namesOf(d) {
			spec.Devices = append(spec.Devices, specs.Device{Name: name, ContainerEdits: own})
		}
		whole = joined(whole, own)
	}
	spec.Devices = append(spec.Devices, specs.Device{Name: "all", ContainerEdits: whole})
	version, err := specs.MinimumRequiredVersion(spec)
	if err != nil {
		return nil, found, fmt.Errorf("find the version of CDI: %w", err)
	}
	spec.Version = version
	return spec, found, nil
}

// divided reports whether partitions have been made of the device, as those who choose see it (devices.Choose).
func divided(inv devices.Inventory, d devices.Device) bool {
	return slices.ContainsFunc(inv.Devices, func(o devices.Device) bool { return o.Parent == d.Name })
}

// namesOf are the device's index, where it has one, and its name; of a partition the index is its whole's and its own, as 0:1.
func namesOf(d devices.Device) []string {
	index := ""
	if d.Index >= 0 {
		index = fmt.Sprint(d.Index)
	} else if at := slices.IndexFunc(d.Aliases, ofPartition); d.Parent != "" && at >= 0 {
		index = d.Aliases[at]
	}
	if index != "" && index != d.Name {
		return []string{index, d.Name}
	}
	return []string{d.Name}
}

func ofPartition(alias string) bool {
	whole, own, ok := strings.Cut(alias, ":")
	return ok && whole != "" && own != "" && strings.Trim(whole+own, "0123456789") == ""
}

// plain is what CDI has words for, without hooks and numbers.
func plain(e devices.Edits, o Options) specs.ContainerEdits {
	c := copied(e.ContainerEdits)
	c.Hooks = nil
	if o.NoGIDs {
		c.AdditionalGIDs = nil
	}
	for _, n := range c.DeviceNodes {
		n.Major, n.Minor, n.Type = 0, 0, ""
	}
	for _, name := range sorted(e.PrependEnv) {
		if o.Env == nil {
			continue
		}
		dirs := slices.Clone(e.PrependEnv[name])
		for dir := range strings.SplitSeq(o.Env[name], ":") {
			if dir != "" && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
		c.Env = append(c.Env, name+"="+strings.Join(dirs, ":"))
	}
	return c
}

func same(a, b any) bool {
	one, err1 := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(one) == string(other)
}

// both are the elements of a that b has, too; rest those that it has not.
func both[T any](a, b []T) (shared, rest []T) {
	for _, x := range a {
		if slices.ContainsFunc(b, func(y T) bool { return same(x, y) }) {
			shared = append(shared, x)
		} else {
			rest = append(rest, x)
		}
	}
	return shared, rest
}

// common are the edits that every device has. A machine with one device has all but its nodes in common with itself.
func common(all []specs.ContainerEdits) specs.ContainerEdits {
	c := all[0]
	for _, e := range all[1:] {
		c.Env, _ = both(c.Env, e.Env)
		c.Mounts, _ = both(c.Mounts, e.Mounts)
		c.DeviceNodes, _ = both(c.DeviceNodes, e.DeviceNodes)
		c.AdditionalGIDs, _ = both(c.AdditionalGIDs, e.AdditionalGIDs)
	}
	if len(all) == 1 {
		c.DeviceNodes = nil
	}
	return c
}

func less(e, c specs.ContainerEdits) specs.ContainerEdits {
	_, e.Env = both(e.Env, c.Env)
	_, e.Mounts = both(e.Mounts, c.Mounts)
	_, e.DeviceNodes = both(e.DeviceNodes, c.DeviceNodes)
	_, e.AdditionalGIDs = both(e.AdditionalGIDs, c.AdditionalGIDs)
	return e
}

func joined(a, b specs.ContainerEdits) specs.ContainerEdits {
	add := less(b, a)
	a.Env, a.Mounts = append(a.Env, add.Env...), append(a.Mounts, add.Mounts...)
	a.DeviceNodes, a.AdditionalGIDs = append(a.DeviceNodes, add.DeviceNodes...), append(a.AdditionalGIDs, add.AdditionalGIDs...)
	return a
}
