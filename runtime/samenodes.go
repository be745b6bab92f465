package runtime

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"slices"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// sameNodes refuses to start a stopped container whose devices have other numbers by now, or are gone: its spec has those of the day
// on which it was made, and majors are dynamic. GPUs and NPUs share further nodes, which have the same names in container and host.
func sameNodes(r containers.Container, spec *specs.Spec) error {
	var numbers []plan.DeviceNumber
	if json.Unmarshal([]byte(r.Labels[plan.LabelNumbers]), &numbers) != nil || spec.Linux == nil {
		return nil
	}
	shares := slices.ContainsFunc(devices.ParseLeases(r.Labels[labelDevices], r.ID), func(l devices.Lease) bool {
		return l.Kind == devices.KindGPU || l.Kind == devices.KindNPU
	})
	for _, d := range spec.Linux.Devices {
		own := slices.ContainsFunc(numbers, func(n plan.DeviceNumber) bool { return slices.Contains(origins(d.Path), n.Node) })
		if !own && !shares {
			continue
		}
		if err := sameNode(r.ID, d); err != nil && (own || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

// origins are the host's nodes that a node of a container may be: that of its own name, and, of an Ascend NPU, the manager that a 310B has
// for containers, or a part of a chip (devices/ascend, inContainer and addRequired).
func origins(p string) []string {
	return []string{p, p + "_docker", path.Join(path.Dir(p), "v"+path.Base(p))}
}

func sameNode(id string, d specs.LinuxDevice) error {
	var failed error
	for _, p := range origins(d.Path) {
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err != nil {
			if failed == nil {
				failed = finding.Errorf(finding.StatusNoDevice, "hostrun devices lists what there is; hostrun up "+id+" takes what the profile asks for",
					"start container %s: its device %s: %w", id, p, err)
			}
			continue
		}
		dev := uint64(st.Rdev)
		if int64(unix.Major(dev)) == d.Major && int64(unix.Minor(dev)) == d.Minor {
			return nil
		}
		if failed == nil || errors.Is(failed, fs.ErrNotExist) {
			failed = finding.Errorf(finding.StatusNoDevice, "hostrun up "+id+" makes it anew",
				"start container %s: its device %s had the number %d:%d when it was made, and has %d:%d now", id, p, d.Major, d.Minor, unix.Major(dev), unix.Minor(dev))
		}
	}
	return failed
}

// numbersOf are the numbers of the nodes of the record's own devices, as the machine has them now.
func numbersOf(r containers.Container) map[DeviceNumber][]DeviceName {
	var own []plan.DeviceNumber
	if json.Unmarshal([]byte(r.Labels[plan.LabelNumbers]), &own) != nil {
		return nil
	}
	numbers := map[DeviceNumber][]DeviceName{}
	for _, d := range own {
		var st unix.Stat_t
		if d.Node == "" || unix.Stat(d.Node, &st) != nil { // sameNodes tells of one that is gone
			continue
		}
		key := DeviceNumber{Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev)))}
		numbers[key] = append(numbers[key], DeviceName{Kind: d.Kind, Name: d.Name})
	}
	return numbers
}
