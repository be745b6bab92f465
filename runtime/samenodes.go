package runtime

import (
	"encoding/json"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// sameNodes refuses to start a stopped container whose devices have other numbers by now, or are gone: its spec has those of the day
// on which it was made, and majors are dynamic.
func sameNodes(r containers.Container, spec *specs.Spec) error {
	var numbers []plan.DeviceNumber
	if json.Unmarshal([]byte(r.Labels[plan.LabelNumbers]), &numbers) != nil || spec.Linux == nil {
		return nil
	}
	for _, n := range numbers {
		for _, d := range spec.Linux.Devices {
			if d.Path != n.Node {
				continue
			}
			var st unix.Stat_t
			if err := unix.Stat(n.Node, &st); err != nil {
				return finding.Errorf(finding.StatusNoDevice, "hostrun devices lists what there is; hostrun up "+r.ID+" takes what the profile asks for",
					"start container %s: its device %s: %w", r.ID, n.Node, err)
			}
			if dev := uint64(st.Rdev); int64(unix.Major(dev)) != d.Major || int64(unix.Minor(dev)) != d.Minor {
				return finding.Errorf(finding.StatusNoDevice, "hostrun up "+r.ID+" makes it anew",
					"start container %s: its device %s had the number %d:%d when it was made, and has %d:%d now", r.ID, n.Node, d.Major, d.Minor, unix.Major(dev), unix.Minor(dev))
			}
		}
	}
	return nil
}
