package host

import (
	"bufio"
	"bytes"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// smallFile bounds what is read of files that are a few lines on every machine, in bytes.
const smallFile = 1 << 20

// UpstreamPath is where systemd-resolved lists the servers that it asks itself (systemd-resolved.service(8)).
const UpstreamPath = "/run/systemd/resolve/resolv.conf"

// readMachine fills what is independent of Python and CUDA. Everything comes from files below the root; the running
// kernel is asked only where the root is this machine's and a file is absent (no /proc).
func (m machine) readMachine(f *Facts) {
	f.Hostname = m.firstLine("/proc/sys/kernel/hostname", "/etc/hostname")
	f.Kernel = m.firstLine("/proc/sys/kernel/osrelease")
	f.Arch = imageArch(m.firstLine("/proc/sys/kernel/arch"))
	f.OS = m.osRelease()
	f.CPUs = countCPUs(m.firstLine("/sys/devices/system/cpu/online"))
	f.MemoryBytes = memTotal(m.text("/proc/meminfo"))
	f.CgroupVersion = m.cgroupVersion()
	f.SwapAccounting = f.CgroupVersion == 1 && m.firstLine("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes") != ""
	f.SELinux = m.firstLine("/sys/fs/selinux/enforce") == "1"
	f.AppArmor = m.firstLine("/sys/module/apparmor/parameters/enabled") == "Y"
	f.Hosts = m.text("/etc/hosts")
	f.ResolvConf = m.text("/etc/resolv.conf")
	if strings.Contains(f.ResolvConf, "127.0.0.53") {
		f.Upstream = m.text(UpstreamPath)
	}
	if m.opt.Root == "/" {
		askKernel(f)
	}
	if f.Arch == "" {
		f.Arch = goruntime.GOARCH
	}
}

// askKernel fills what /proc and /sys did not tell about the running machine.
func askKernel(f *Facts) {
	if f.Hostname == "" {
		f.Hostname, _ = os.Hostname()
	}
	if f.CPUs == 0 {
		f.CPUs = goruntime.NumCPU()
	}
	var uts unix.Utsname
	if f.Kernel == "" && unix.Uname(&uts) == nil {
		f.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
}

// text is the content of a small file, "" when it can't be read.
func (m machine) text(p string) string {
	b, err := m.view.ReadFile(p, smallFile)
	if err != nil {
		return ""
	}
	return string(b)
}

// firstLine is the first line of the first of the files that has one.
func (m machine) firstLine(files ...string) string {
	for _, p := range files {
		line, _, _ := strings.Cut(m.text(p), "\n")
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}

// imageArch translates uname's machine into the word of image platforms (Go's GOARCH, by the OCI image spec).
func imageArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "i386", "i486", "i586", "i686":
		return "386"
	case "armv6l", "armv7l", "armv8l":
		return "arm"
	case "loongarch64":
		return "loong64"
	}
	return machine // ppc64le, riscv64, s390x are the same word
}

// countCPUs counts the list form of the kernel's masks: "0-3,8" (Documentation/core-api/cpu_hotplug.rst).
func countCPUs(list string) int {
	n := 0
	for _, part := range strings.Split(list, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.Atoi(low)
		if err != nil {
			continue
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(high); err != nil || b < a {
				continue
			}
		}
		n += b - a + 1
	}
	return n
}

// memTotal returns MemTotal of /proc/meminfo in bytes (the file's kB are KiB).
func memTotal(meminfo string) int64 {
	lines := bufio.NewScanner(strings.NewReader(meminfo))
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err == nil && kib > 0 && kib < 1<<50 {
			return kib << 10
		}
	}
	return 0
}

// cgroupVersion is 2 where the unified hierarchy is mounted at /sys/fs/cgroup itself, 1 for legacy and hybrid, and 0
// without any (Documentation/admin-guide/cgroup-v2.rst: only a cgroup2 root has cgroup.controllers).
func (m machine) cgroupVersion() int {
	if m.view.Exists("/sys/fs/cgroup/cgroup.controllers") {
		return 2
	}
	if entries, err := m.view.ReadDir("/sys/fs/cgroup"); err == nil && len(entries) > 0 {
		return 1
	}
	return 0
}

// osRelease reads os-release(5): /etc first, then the vendor's.
func (m machine) osRelease() OS {
	for _, p := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if b, err := m.view.ReadFile(p, smallFile); err == nil {
			return parseOSRelease(b)
		}
	}
	return OS{}
}

func parseOSRelease(b []byte) OS {
	values := map[string]string{}
	for _, line := range bytes.Split(b, []byte("\n")) {
		key, value, ok := strings.Cut(strings.TrimSpace(string(line)), "=")
		if ok && !strings.HasPrefix(key, "#") {
			values[key] = unquoteShell(value)
		}
	}
	return OS{ID: values["ID"], VersionID: values["VERSION_ID"], Pretty: values["PRETTY_NAME"]}
}

// unquoteShell undoes the quoting that os-release(5) allows: one word, in single or double quotes or none; a
// backslash escapes except in single quotes.
func unquoteShell(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
