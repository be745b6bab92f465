package runtime

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestProcessesOfACgroup: those of the cgroup and of cgroups below it, and no others, with the container's names for users.
func TestProcessesOfACgroup(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	process := func(pid, ppid int, comm, cgroup, cmdline, status string) {
		t.Helper()
		dir := "proc/" + strconv.Itoa(pid) + "/"
		write(dir+"cgroup", cgroup)
		write(dir+"cmdline", strings.ReplaceAll(cmdline, " ", "\x00"))
		write(dir+"status", status)
		write(dir+"stat", strconv.Itoa(pid)+" ("+comm+") S "+strconv.Itoa(ppid)+
			" 1 1 34816 1 0 0 0 0 0 150 50 0 0 20 0 3 0 90000 8192000 256 0\n")
	}
	write("proc/uptime", "1000.00 1.0\n")
	write("proc/meminfo", "MemTotal: 1048576 kB\n")
	write("proc/10/root/etc/passwd", "root:x:0:0::/:/bin/sh\nml:x:1000:1000::/:/bin/sh\n")
	write("proc/10/uid_map", "0 100000 65536\n")
	process(10, 5, "init (x) y", "0::/ns/job/init.scope\n", "/sbin/init --all", "Uid:\t101000\t101000\t1\t1\nNSpid:\t10\t1\n")
	process(12, 11, "py", "0::/ns/job/a/b\n", "python3 train.py", "Uid:\t100000\t100000\t1\t1\nNSpid:\t12\t4\n")
	process(11, 10, "zombie", "0::/ns/job\n", "", "Uid:\t100007\t100007\t1\t1\nNSpid:\t11\t2\n")
	process(13, 10, "other", "0::/ns/job2\n", "x", "Uid:\t0\t0\t0\t0\n")
	process(14, 1, "host", "0::/\n", "x", "Uid:\t0\t0\t0\t0\n")
	all, err := processesOf(root, 10, "ns/job")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range all {
		got = append(got, strings.Join([]string{strconv.Itoa(p.PID), p.User, strconv.Itoa(p.ContainerPID), p.TTY, p.Command}, " "))
	}
	want := "10 ml 1 pts/0 /sbin/init --all|11 7 2 pts/0 [zombie]|12 root 4 pts/0 python3 train.py"
	if strings.Join(got, "|") != want {
		t.Errorf("have %s\nwant %s", strings.Join(got, "|"), want)
	}
	if p := all[0]; p.CPUSeconds != 2 || p.CPUPercent != 2 || p.Threads != 3 || p.Name != "init (x) y" || p.Memory != 256*int64(os.Getpagesize()) {
		t.Errorf("the first process is %+v", p)
	}
}

// TestCgroupOfEitherVersion: where both hierarchies are mounted, the one that tells the container apart counts.
func TestCgroupOfEitherVersion(t *testing.T) {
	for text, want := range map[string]string{
		"0::/ns/job\n":                     "/ns/job",
		"3:cpu:/ns/job\n2:pids:/\n0::/\n":  "/ns/job",
		"1:name=systemd:/a/b\n0::/a/b/c\n": "/a/b/c",
		"0::/\n":                           "/",
		"":                                 "",
	} {
		if got := cgroupPath([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
