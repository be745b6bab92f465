package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A view is what is seen, by name.
type view map[string]string

func (v view) put(name string, value any) { v[name] = fmt.Sprint(value) }

// observe looks at everything; paths are files and directories that it is to describe besides.
func observe(paths []string) view {
	v := view{}
	v.process()
	v.status()
	v.limits()
	v.streams()
	v.mounts()
	v.devices()
	v.files()
	v.network()
	v.kernel()
	v.cgroup()
	for _, p := range paths {
		v.path(p)
	}
	return v
}

func (v view) process() {
	args, _ := json.Marshal(os.Args)
	v.put("args", string(args))
	for _, e := range os.Environ() {
		name, value, _ := strings.Cut(e, "=")
		v.put("env."+name, value)
	}
	dir, err := os.Getwd()
	v.put("cwd", or(dir, err))
	groups, _ := os.Getgroups()
	sort.Ints(groups)
	v.put("user.id", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()))
	v.put("user.effective", fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid()))
	v.put("user.groups", groups)
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	v.put("umask", fmt.Sprintf("%04o", mask))
	first, _ := os.ReadFile("/proc/1/comm")
	v.put("pid.first", os.Getpid() == 1)
	v.put("pid.1", strings.TrimSpace(string(first)))
	session, _ := unix.Getsid(0)
	v.put("pid.session leader", session == os.Getpid())
	var name unix.Utsname
	_ = unix.Uname(&name)
	v.put("name.host", unix.ByteSliceToString(name.Nodename[:]))
	v.put("name.domain", unix.ByteSliceToString(name.Domainname[:]))
	if text, err := os.ReadFile("/proc/self/oom_score_adj"); err == nil {
		v.put("oom_score_adj", strings.TrimSpace(string(text)))
	}
	nice, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
	v.put("nice", 20-nice)
}

// status reads what proc_pid_status(5) says of rights.
func (v view) status() {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
			v.put("capabilities."+strings.ToLower(key[3:]), strings.TrimSpace(value))
		case "NoNewPrivs", "Seccomp", "Cpus_allowed_list":
			v.put("status."+key, strings.TrimSpace(value))
		}
	}
}

// limitNames are those of getrlimit(2) by number.
var limitNames = []string{"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"}

func (v view) limits() {
	for i, name := range limitNames {
		var l unix.Rlimit
		if unix.Getrlimit(i, &l) == nil {
			v.put("limit."+name, fmt.Sprint(int64(l.Cur), " ", int64(l.Max)))
		}
	}
	// Go raises its own soft limit of files, and gives a child the one that it was started with.
	soft, err := exec.Command("/bin/sh", "-c", "ulimit -S -n").Output()
	v.put("limit.nofile soft", or(strings.TrimSpace(string(soft)), err))
}

// streams says what the three standard streams are.
func (v view) streams() {
	for fd, name := range []string{"stdin", "stdout", "stderr"} {
		var st unix.Stat_t
		kind := "closed"
		if unix.Fstat(fd, &st) == nil {
			kind = map[uint32]string{unix.S_IFCHR: "device", unix.S_IFIFO: "pipe", unix.S_IFSOCK: "socket", unix.S_IFREG: "file"}[st.Mode&unix.S_IFMT]
			if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
				kind = "terminal"
			} else if kind == "device" && st.Rdev == unix.Mkdev(1, 3) {
				kind = "null"
			}
		}
		v.put("stream."+name, kind)
	}
	poll := []unix.PollFd{{Fd: 0, Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); err == nil && n > 0 && v["stream.stdin"] != "terminal" {
		v.put("stream.stdin at end", poll[0].Revents&(unix.POLLIN|unix.POLLHUP) != 0)
	} else {
		v.put("stream.stdin at end", false)
	}
}

// mounts reads proc_pid_mountinfo(5): kind, options and propagation of each mount point.
func (v view) mounts() {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		left, right, _ := strings.Cut(strings.TrimSpace(line), " - ")
		f, r := strings.Fields(left), strings.Fields(right)
		if len(f) < 6 || len(r) < 3 {
			continue
		}
		name := "mount." + f[4]
		v.put(name+".options", sorted(f[5]))
		v.put(name+".type", r[0])
		propagation := "private"
		for _, tag := range f[6:] {
			kind, _, _ := strings.Cut(tag, ":")
			propagation = kind
		}
		v.put(name+".propagation", propagation)
		if r[0] == "tmpfs" || r[0] == "devpts" || r[0] == "proc" || r[0] == "sysfs" {
			v.put(name+".own", sorted(withoutHalf(r[2], totalMemory())))
		}
	}
}

// withoutHalf leaves the size of a tmpfs out that is half of the memory, in bytes: whoever asks for 50% gets what the kernel takes anyway, but where
// the number of the machine's pages is odd: then it is a page more, and shown (mm/shmem.c, shmem_parse_one and shmem_show_options).
func withoutHalf(options string, memory uint64) string {
	kept := slices.DeleteFunc(strings.Split(options, ","), func(o string) bool {
		text, isSize := strings.CutPrefix(o, "size=")
		kib, err := strconv.ParseUint(strings.TrimSuffix(text, "k"), 10, 64)
		page := uint64(os.Getpagesize())
		return isSize && err == nil && kib<<10+page >= memory/2 && kib<<10 <= memory/2+page
	})
	return strings.Join(kept, ",")
}

func totalMemory() uint64 {
	var info unix.Sysinfo_t
	_ = unix.Sysinfo(&info) // it can't fail
	return uint64(info.Totalram) * uint64(info.Unit)
}

func sorted(list string) string {
	all := strings.Split(list, ",")
	sort.Strings(all)
	return strings.Join(all, ",")
}

// devices lists /dev, but what stands for mounts of their own.
func (v view) devices() {
	_ = filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "/dev" {
			return nil
		}
		if path == "/dev/shm" || path == "/dev/mqueue" || path == "/dev/pts" {
			v.path(path)
			return fs.SkipDir
		}
		if !d.IsDir() {
			v.path(path)
		}
		return nil
	})
}

// path says what a path is: kind, owner, rights, content, whether it can be written.
func (v view) path(path string) {
	name := "path." + path
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		v.put(name, err)
		return
	}
	kind := map[uint32]string{unix.S_IFCHR: "character device", unix.S_IFBLK: "block device", unix.S_IFIFO: "pipe", unix.S_IFSOCK: "socket", unix.S_IFREG: "file", unix.S_IFDIR: "directory", unix.S_IFLNK: "link"}[st.Mode&unix.S_IFMT]
	if kind == "link" {
		to, _ := os.Readlink(path)
		v.put(name, "link to "+to)
		return
	}
	text := fmt.Sprintf("%s %04o %d:%d", kind, st.Mode&0o7777, st.Uid, st.Gid)
	switch kind {
	case "character device", "block device":
		text += fmt.Sprintf(" %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	case "file":
		content, err := os.ReadFile(path)
		text += fmt.Sprintf(" %d bytes %x %s", st.Size, sha256.Sum256(content), or("", err))
		v.put(name+".writable", or("yes", unix.Access(path, unix.W_OK)))
	case "directory":
		v.directory(name, path)
	}
	v.put(name, strings.TrimSpace(text))
}

func (v view) directory(name, path string) {
	var names []string
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	v.put(name+".names", or(strings.Join(names, " "), err))
	file := filepath.Join(path, fmt.Sprintf(".probe-%d", os.Getpid()))
	err = os.WriteFile(file, []byte("x"), 0o600)
	v.put(name+".writable", or("yes", reason(err)))
	_ = os.Remove(file)
	var s unix.Statfs_t
	if unix.Statfs(path, &s) == nil && s.Type == unix.TMPFS_MAGIC {
		v.put(name+".bytes", s.Blocks*uint64(s.Bsize))
	}
}

// reason leaves the path out of an error: it has a number of ours in it.
func reason(err error) error {
	if pe, ok := err.(*fs.PathError); ok {
		return pe.Err
	}
	return err
}

func or(text string, err error) string {
	if err != nil {
		return err.Error()
	}
	return text
}

// files reads the three files that a runtime gives to each container.
func (v view) files() {
	v.path("/")
	delete(v, "path./.names")
	for _, path := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"} {
		text, err := os.ReadFile(path)
		if err != nil {
			v.put("file."+path, reason(err))
			continue
		}
		var st unix.Stat_t
		_ = unix.Stat(path, &st)
		v.put("file."+path+".owner", fmt.Sprintf("%d:%d", st.Uid, st.Gid))
		v.put("file."+path+".writable", or("yes", unix.Access(path, unix.W_OK)))
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
			f := strings.Fields(line)
			switch {
			case len(f) == 0:
			case path == "/etc/hosts":
				for _, host := range f[1:] {
					v.add("file./etc/hosts "+host, f[0])
				}
			case path == "/etc/resolv.conf":
				v.add("file./etc/resolv.conf "+f[0], strings.Join(f[1:], " "))
			default:
				v.add("file."+path, strings.Join(f, " "))
			}
		}
	}
}

// add puts a further value beside those that a name has.
func (v view) add(name, value string) {
	if have := v[name]; have != "" {
		value = have + " | " + value
	}
	v[name] = value
}

func (v view) network() {
	all, _ := net.Interfaces()
	var names []string
	for _, i := range all {
		if passing(i.Name) {
			continue
		}
		names = append(names, i.Name)
		addresses, _ := i.Addrs()
		four, six := 0, 0
		for _, a := range addresses {
			if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil {
				four++
			} else if ok && !ip.IP.IsLinkLocalUnicast() {
				six++
			}
		}
		v.put("interface."+i.Name, fmt.Sprintf("mtu %d, %d of IPv4, %d of IPv6, up %v", i.MTU, four, six, i.Flags&net.FlagUp != 0))
	}
	sort.Strings(names)
	v.put("interfaces", strings.Join(names, " "))
	routes, _ := os.ReadFile("/proc/net/route")
	leads := false
	for line := range strings.Lines(string(routes)) {
		f := strings.Fields(line)
		leads = leads || len(f) > 7 && f[1] == "00000000" && f[7] == "00000000"
	}
	v.put("route.default", leads)
}

// passing: the machine's bridges, and its ends of wires into other containers, come and go beside this one.
func passing(name string) bool {
	for _, prefix := range []string{"veth", "br-", "hr-", "docker"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// kernelSettings are read where they are.
var kernelSettings = []string{
	"kernel/shmmax", "kernel/shmmni", "kernel/msgmax", "kernel/msgmnb", "kernel/sem", "kernel/shm_rmid_forced", "fs/mqueue/msg_max", "fs/mqueue/queues_max",
	"net/core/somaxconn", "net/ipv4/ip_forward", "net/ipv4/ip_unprivileged_port_start", "net/ipv4/ping_group_range", "net/ipv4/ip_local_port_range",
	"net/ipv4/tcp_keepalive_time", "net/ipv6/conf/all/disable_ipv6",
}

func (v view) kernel() {
	for _, name := range kernelSettings {
		text, err := os.ReadFile("/proc/sys/" + name)
		v.put("sysctl."+strings.ReplaceAll(name, "/", "."), or(strings.Join(strings.Fields(string(text)), " "), reason(err)))
	}
	for _, path := range []string{"/proc/sys/kernel/shmmax", "/proc/sysrq-trigger"} {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_ = f.Close()
		}
		v.put("write."+path, or("yes", reason(err)))
	}
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/acpi", "/sys/firmware", "/sys/devices/virtual/powercap"} {
		v.put("masked."+path, masked(path))
	}
	v.calls()
}

// masked says whether a path is hidden: an empty file or directory in place of what is there.
func masked(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return reason(err).Error()
	case info.IsDir():
		entries, err := os.ReadDir(path)
		return or(strconv.FormatBool(len(entries) == 0), reason(err))
	}
	return strconv.FormatBool(info.Mode()&os.ModeCharDevice != 0)
}

// calls tries system calls that a filter or missing rights refuse; each with arguments that do nothing, and in a way
// that one which is let through says so by another error.
func (v view) calls() {
	for _, c := range []struct {
		name       string
		number     uintptr
		a, b, c, d uintptr
	}{
		{"unshare user namespace", unix.SYS_UNSHARE, unix.CLONE_NEWUSER | 0x1, 0, 0, 0},
		{"mount", unix.SYS_MOUNT, 0, 0, 0, 0},
		{"umount", unix.SYS_UMOUNT2, 0, 0, 0, 0},
		{"bpf", unix.SYS_BPF, 999, 0, 0, 0},
		{"keyctl", unix.SYS_KEYCTL, 999, 0, 0, 0},
		{"add_key", unix.SYS_ADD_KEY, 0, 0, 0, 0},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0},
		{"ptrace", unix.SYS_PTRACE, 999, 0, 0, 0},
		{"process_vm_readv", unix.SYS_PROCESS_VM_READV, 1 << 22, 0, 0, 0},
		{"clock_settime", unix.SYS_CLOCK_SETTIME, 99, 0, 0, 0},
		{"sethostname", unix.SYS_SETHOSTNAME, 0, 1 << 20, 0, 0},
		{"reboot", unix.SYS_REBOOT, 0, 0, 0, 0},
		{"swapon", unix.SYS_SWAPON, 0, 0, 0, 0},
		{"init_module", unix.SYS_INIT_MODULE, 0, 0, 0, 0},
		{"userfaultfd", unix.SYS_USERFAULTFD, ^uintptr(0), 0, 0, 0},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, 0, 0, 0, 0},
		{"personality", unix.SYS_PERSONALITY, 0xffffffff, 0, 0, 0},
		{"mbind", unix.SYS_MBIND, 0, 0, 99, 0},
		{"setns", unix.SYS_SETNS, ^uintptr(0), 0, 0, 0},
		{"chroot", unix.SYS_CHROOT, 0, 0, 0, 0},
		{"name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, ^uintptr(0), 0, 0, 0},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, ^uintptr(0), 0, 0, 0},
	} {
		_, _, errno := unix.RawSyscall6(c.number, c.a, c.b, c.c, c.d, 0, 0)
		text := "done"
		if errno != 0 {
			text = unix.ErrnoName(errno)
		}
		v.put("call."+c.name, text)
	}
}

// cgroup reads limits where the container sees them (cgroup v1's names, then v2's).
func (v view) cgroup() {
	for _, file := range []string{
		"memory/memory.limit_in_bytes", "memory/memory.soft_limit_in_bytes", "memory/memory.swappiness", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "cpu/cpu.shares",
		"cpuset/cpuset.cpus", "cpuset/cpuset.mems", "pids/pids.max", "devices/devices.list", "blkio/blkio.weight",
		"memory.max", "memory.low", "memory.swap.max", "cpu.max", "cpu.weight", "cpuset.cpus", "pids.max",
	} {
		if text, err := os.ReadFile("/sys/fs/cgroup/" + file); err == nil {
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			sort.Strings(lines)
			v.put("cgroup."+file, strings.Join(lines, " | "))
		}
	}
}
