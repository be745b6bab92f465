package runtime

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Surrounding is the systemd unit that a process is the main one of.
type Surrounding struct {
	Unit   string // "hostrun@web.service"; "" for none
	User   string // the ID of the user whose systemd runs it; "" for the machine's
	Cgroup string // where its container is to be, below the unit's own cgroup; "" where that can't be
	Why    string // it can't be
}

// Parts of a unit's cgroup. A cgroup of version 2 that hands controllers down has no processes of its own
// (Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint").
const (
	supervisorPart = "supervisor"
	containerPart  = "container"
)

const cgroupRoot = "/sys/fs/cgroup"

// EnterUnit finds the unit that the process is the main one of, makes room in its cgroup for a container, and moves the process out of the
// way. Where that is not possible, the container gets a cgroup of its own, and Why says why. That it is a unit's main process is the
// caller's word, as what has been started from a shell is in some unit, too; 0 is for one that is not.
func (c *Client) EnterUnit(main int) Surrounding {
	if main == 0 {
		return Surrounding{}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", main))
	if err != nil {
		return Surrounding{Why: err.Error()}
	}
	unified := isUnified(cgroupRoot)
	at, name := unitCgroup(string(text), unified)
	s := Surrounding{Unit: name, User: managerOf(at)}
	switch {
	case name == "":
	case !unified:
		s.Why = "this machine has cgroup v1, where systemd delegates none"
	case !c.seesOurCgroups():
		s.Why = "containerd sees other cgroups than this process does"
	case !delegated(filepath.Join(cgroupRoot, at)) && (s.User == "" || os.Geteuid() != 0):
		// A person's systemd 252 marks none, and has all of user@.service for itself. It hands cpu, memory and pids down; the OCI runtime, as
		// root, hands down what else the container needs (cpuset, io), which that systemd does not know and leaves alone.
		s.Why = "the unit does not say Delegate=yes"
	default:
		if err := makeRoom(filepath.Join(cgroupRoot, at), main); err != nil {
			s.Why = err.Error()
		} else {
			s.Cgroup = path.Join(at, containerPart)
		}
	}
	return s
}

// unitCgroup finds the cgroup of the service that a process with this /proc/PID/cgroup is in, and its name; "" for none.
func unitCgroup(text string, unified bool) (at, name string) {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || unified != (parts[0] == "0") || !unified && parts[1] != "name=systemd" {
			continue
		}
		at = strings.TrimSuffix(parts[2], "/"+supervisorPart) // of DelegateSubgroup=supervisor
		if name = path.Base(at); strings.HasSuffix(name, ".service") {
			return at, name
		}
	}
	return "", ""
}

// managerOf is the ID of the user whose systemd has made the cgroup: it is below that one's own, "user@1000.service".
func managerOf(at string) string {
	for _, part := range strings.Split(path.Dir(at), "/") {
		if user, ok := strings.CutPrefix(strings.TrimSuffix(part, ".service"), "user@"); ok && strings.HasSuffix(part, ".service") {
			return user
		}
	}
	return ""
}

// seesOurCgroups says whether a path of a cgroup means the same to containerd.
func (c *Client) seesOurCgroups() bool {
	ours, err1 := os.Readlink("/proc/self/ns/cgroup")
	theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/cgroup", c.daemonPID))
	return c.daemonPID > 0 && (err1 != nil || err2 == nil && ours == theirs) // a kernel without such namespaces has but one
}

// delegated says whether systemd leaves what is below the cgroup alone (systemd.resource-control(5), "Delegate="). It marks it so.
func delegated(dir string) bool {
	for _, name := range []string{"trusted.delegate", "user.delegate"} { // of the second, systemd 251 and a person's systemd
		value := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// makeRoom moves the unit's process into a part of the unit's cgroup and hands the controllers down, as far as the kernel does that: an OCI
// runtime looks after the rest.
func makeRoom(dir string, process int) error {
	part := filepath.Join(dir, supervisorPart)
	if err := os.Mkdir(part, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	if err := os.WriteFile(filepath.Join(part, "cgroup.procs"), []byte(strconv.Itoa(process)), 0); err != nil {
		return err
	}
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(controllers)) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0)
	}
	return nil
}
