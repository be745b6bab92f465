//go:build linux

// Command hostrun-probe is started by hostrun for a container that was made and does not run yet. It takes the container's device
// cgroup, root, user and capabilities, and tries the device nodes that the container was given, so that a program which could not use
// them is never started. It is a program of its own because an open of a dead device may never return, and because only a process
// can enter a cgroup of version 2. Nothing of the container is executed.
//
//	hostrun-probe UID GID GROUPS CAPABILITIES NODE...
//
// GROUPS are joined by commas, CAPABILITIES are a mask in hexadecimal. A NODE is "rw:open:MAJOR:MINOR:PATH", or with stat in place of
// open, where opening it would change something. It is started while the container is still being made, and waits for a line of its
// standard input, "PID TASKS": the container's first process, and the file through which it enters the cgroup, or - where there is none.
// Without that line it ends: the container will not be. For each node it prints a line: 0, or the number of the error; "other" for a
// node that is not the one meant.
package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	runtime.LockOSThread() // cgroup of version 1 and capabilities are a thread's
	if len(os.Args) < 6 {
		fail("hostrun-probe is started by hostrun", nil)
	}
	pid, tasks, told := strings.Cut(await(), " ")
	if !told {
		return
	}
	enter(pid, tasks)
	become(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	for _, node := range os.Args[5:] {
		answer(try(node))
	}
}

// await returns the line that says which container it is; "" where the input ends before.
func await() string {
	var line []byte
	for buf := make([]byte, 4096); ; {
		n, err := syscall.Read(0, buf)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil || n <= 0:
			return ""
		}
		line = append(line, buf[:n]...)
		if text, _, whole := strings.Cut(string(line), "\n"); whole {
			return text
		}
	}
}

func fail(what string, err error) {
	if err != nil {
		what += ": " + err.Error()
	}
	_, _ = os.Stderr.WriteString(what + "\n")
	os.Exit(1)
}

// enter takes the cgroup and the root of the process. Paths are then walked in its mount namespace, for that is where its root lies;
// links of the container's stay inside of it.
func enter(pid, tasks string) {
	if tasks != "-" {
		// "0" is who writes: of version 1 the thread, which alone waits for nobody (Linux, kernel/cgroup/cgroup.c, cgroup_procs_write_start).
		if err := os.WriteFile(tasks, []byte("0"), 0); err != nil {
			fail("enter the container's cgroup", err)
		}
	}
	if err := syscall.Chroot("/proc/" + pid + "/root"); err != nil {
		fail("enter the container's root", err)
	}
	if err := syscall.Chdir("/"); err != nil {
		fail("enter the container's root", err)
	}
}

// become takes the user and the capabilities of the container's process.
func become(uid, gid, groups, mask string) {
	var ids []int
	for _, g := range strings.FieldsFunc(groups, func(r rune) bool { return r == ',' }) {
		ids = append(ids, number(g, 10))
	}
	user, group := number(uid, 10), number(gid, 10)
	caps, err := strconv.ParseUint(mask, 16, 64)
	if err != nil {
		fail("read the capabilities", err)
	}
	if err := syscall.Setgroups(ids); err != nil {
		fail("take the container's groups", err)
	}
	if err := syscall.Setresgid(group, group, group); err != nil {
		fail("take the container's group", err)
	}
	if user != 0 && caps != 0 { // root of a user namespace: what it is given there it has over its own nodes
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			fail("take the container's user", err)
		}
	}
	if err := syscall.Setresuid(user, user, user); err != nil {
		fail("take the container's user", err)
	}
	if user != 0 && caps == 0 {
		return // the kernel has taken all capabilities (capabilities(7))
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(caps), uint32(caps>>32)
	data := [2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		fail("take the container's capabilities", err)
	}
}

func number(s string, base int) int {
	n, err := strconv.ParseUint(s, base, 32)
	if err != nil {
		fail("read a number", err)
	}
	return int(n)
}

// errOther says that the path has another node than was given: a volume covers it.
var errOther = syscall.Errno(0xffff)

func try(node string) error {
	f := strings.SplitN(node, ":", 5)
	if len(f) != 5 {
		fail("read a node: "+node, nil)
	}
	var st unix.Stat_t
	if err := unix.Stat(f[4], &st); err != nil {
		return err
	}
	if dev := uint64(st.Rdev); st.Mode&unix.S_IFMT != unix.S_IFCHR && st.Mode&unix.S_IFMT != unix.S_IFBLK ||
		unix.Major(dev) != uint32(number(f[2], 10)) || unix.Minor(dev) != uint32(number(f[3], 10)) {
		return errOther
	}
	mode, flags := uint32(unix.R_OK|unix.W_OK), unix.O_RDWR
	switch f[0] {
	case "r":
		mode, flags = unix.R_OK, unix.O_RDONLY
	case "w":
		mode, flags = unix.W_OK, unix.O_WRONLY
	}
	// The kernel asks the device cgroup here, too (fs/namei.c, inode_permission), and the driver is not concerned.
	if err := unix.Access(f[4], mode); err != nil || f[1] != "open" {
		return err
	}
	fd, err := unix.Open(f[4], flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func answer(err error) {
	word := "0"
	if errno, ok := err.(syscall.Errno); ok && errno == errOther {
		word = "other"
	} else if ok {
		word = strconv.Itoa(int(errno))
	} else if err != nil {
		fail("try a node", err)
	}
	_, _ = os.Stdout.WriteString(word + "\n")
}
