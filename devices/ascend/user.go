package ascend

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/devices"
)

// users maps the name of each NPU to who has it: the first process of the mount namespace that the driver has given it to, and
// processes that have its node open.
func (s *Source) users(all []npu) map[string][]devices.User {
	found := users{source: s, byName: map[string][]devices.User{}, byNumber: map[[2]int64]string{}}
	for _, n := range all {
		found.byNumber[[2]int64{n.Major, n.Minor}] = n.name()
	}
	found.fromUDA(all)
	proc, err := s.view.Resolve("/proc")
	if err != nil || len(all) == 0 {
		return found.byName
	}
	for _, pid := range names(s.view, "/proc") {
		if n, err := strconv.Atoi(pid); err == nil {
			found.fromProcess(filepath.Join(proc.Real, pid, "fd"), n)
		}
	}
	return found.byName
}

type users struct {
	source   *Source
	byName   map[string][]devices.User
	byNumber map[[2]int64]string
}

func (u *users) add(name string, pid int) {
	for _, known := range u.byName[name] {
		if known.PID == pid {
			return
		}
	}
	u.byName[name] = append(u.byName[name], devices.User{PID: pid, Name: u.source.program(pid)})
}

// fromUDA tells what the driver would refuse now. It notes an NPU's namespace until another one opens the NPU, and only then asks
// whether the namespace's first process is still there, a zombie among them (uda_access.c, uda_dev_is_occupied): one whose process is
// gone holds nothing.
func (u *users) fromUDA(all []npu) {
	roots := map[int]int{}
	table := text(u.source.view, "/proc/uda/namespace_node")
	for _, ns := range parseUDANamespaces(table) {
		roots[ns.id] = ns.rootPID
	}
	known := map[int]string{}
	for _, n := range all {
		known[n.id] = n.name()
	}
	for _, d := range parseUDevices(text(u.source.view, "/proc/uda/udevice")) {
		for _, ns := range d.namespaces {
			pid, told := roots[ns]
			gone := !told && table != "" || told && !u.source.view.Exists("/proc/"+strconv.Itoa(pid))
			if name, ours := known[d.id]; ours && !gone {
				u.add(name, pid)
			}
		}
	}
}

// fromProcess looks at the open files of one process, in dir of this machine: a busy one has tens of thousands, and no link leads to
// them. The process may end meanwhile, and then it holds nothing.
func (u *users) fromProcess(dir string, pid int) {
	open, err := os.Open(dir)
	if err != nil {
		return
	}
	defer open.Close()
	fds, _ := open.Readdirnames(-1)
	slices.Sort(fds)
	for _, fd := range fds {
		target, err := os.Readlink(filepath.Join(dir, fd))
		if err != nil || !ownNode.MatchString(path.Base(target)) {
			continue
		}
		if major, minor, ok := u.source.openNode(filepath.Join(dir, fd), target); ok {
			if name, ours := u.byNumber[[2]int64{major, minor}]; ours {
				u.add(name, pid)
			}
		}
	}
}

// openNode returns the numbers of the node that a descriptor refers to. On the machine itself the descriptor leads to the node
// of the process's own container, which may have another name there; below another root only the name leads anywhere.
func (s *Source) openNode(fd, target string) (major, minor int64, ok bool) {
	if s.root == "/" {
		fi, err := os.Stat(fd)
		if err != nil || fi.Mode()&fs.ModeCharDevice == 0 {
			return 0, 0, false
		}
		return devices.Numbers(fi)
	}
	nodes, _ := devices.Nodes(s.root, []devices.Request{{Source: target}})
	if len(nodes) != 1 {
		return 0, 0, false
	}
	return nodes[0].Major, nodes[0].Minor, true
}

// program names a process: the container that it is in, as its cgroup tells, and its program.
func (s *Source) program(pid int) string {
	if pid == 0 {
		return "a container that the driver does not name"
	}
	dir := "/proc/" + strconv.Itoa(pid)
	name := strings.TrimSpace(text(s.view, dir+"/comm"))
	if name == "" {
		name = "a process that has ended"
	}
	if c := devices.ContainerOf(text(s.view, dir+"/cgroup")); c != "" {
		return name + " in " + c
	}
	return name
}
