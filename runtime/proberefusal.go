package runtime

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// refusedNodes says of nodes that can't be used why, by the error: those of one cause together.
func refusedNodes(id string, user specs.User, nodes []probedNode, answers []string) error {
	var causes []string
	of := map[string][]probedNode{}
	for i, answer := range answers {
		if answer != "0" {
			if of[answer] == nil {
				causes = append(causes, answer)
			}
			of[answer] = append(of[answer], nodes[i])
		}
	}
	var all []error
	for _, answer := range causes {
		why, remedy := probeRefusal(id, answer, of[answer][0], user)
		var names []string
		for _, n := range of[answer] {
			names = append(names, fmt.Sprintf("%s (%d:%d)", n.Path, n.Major, n.Minor))
		}
		all = append(all, probeError(finding.DeviceClosed, id, fmt.Errorf("it could not use %s: %s", strings.Join(names, ", "), why), remedy))
	}
	return errors.Join(all...)
}

// probeRefusal explains the error of a node, and what to do.
func probeRefusal(id, answer string, n probedNode, user specs.User) (why, remedy string) {
	if answer == "other" {
		return "another node is there than it was given", "take the volume away that covers it, or that covers /dev"
	}
	number, _ := strconv.Atoi(answer)
	errno := syscall.Errno(number)
	why = errno.Error()
	switch errno {
	case unix.EPERM:
		return why + ": the device cgroup does not admit it", "another tool changes the cgroup's rules; with systemd's cgroups, runc 1.1.7 or newer and links below /dev/char are needed"
	case unix.EACCES:
		mode := os.FileMode(0)
		if n.FileMode != nil {
			mode = *n.FileMode
		}
		return fmt.Sprintf("%s: the node is of user %d and group %d, mode %04o, and the container's user is %d", why, number32(n.UID), number32(n.GID), mode.Perm(), user.UID),
			"user: or group_add: of the profile let it in; or chmod the node on the host (udev keeps it so)"
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		return why + ": it is not in the container", "take the volume away that covers it, or that covers /dev"
	case unix.ENXIO, unix.ENODEV:
		return why + ": no driver has that number", "load the driver (for NVIDIA: nvidia-smi, nvidia-modprobe -u -c=0); hostrun up " + id + " then takes the numbers of that moment"
	case unix.EIO:
		return why + ": the device is dead, or its driver could not initialise it", "hostrun devices shows its health; dmesg | grep -i -e NVRM -e Xid shows more; a reset or a reboot may bring it back"
	case unix.EBUSY:
		return why + ": another program has it for itself", "hostrun devices shows who has it"
	}
	return why, "hostrun devices shows its health"
}

func number32(n *uint32) uint32 {
	if n == nil {
		return 0
	}
	return *n
}
