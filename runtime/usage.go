package runtime

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Usage is what a container's processes use, as the kernel counts it. What the kernel does not count is -1.
type Usage struct {
	CPU         time.Duration // since its start
	Memory      int64         // bytes, without file cache that is not in use
	MemoryLimit int64         // bytes; the machine's memory where there is no limit
	NetRx       int64         // bytes received; -1 with the host's network
	NetTx       int64         // bytes sent
	BlockRead   int64         // bytes
	BlockWrite  int64
	PIDs        int64 // processes and threads
}

// UsageOf reads the counters of the container whose first process is pid, below root ("/"). An error says that the process has gone.
func UsageOf(root string, pid int) (Usage, error) {
	text, err := os.ReadFile(filepath.Join(root, "proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return Usage{}, fmt.Errorf("read what process %d uses: %w", pid, err)
	}
	g := groupFiles{root: filepath.Join(root, "sys/fs/cgroup"), text: string(text)}
	u := Usage{CPU: -1, Memory: -1, MemoryLimit: -1, NetRx: -1, NetTx: -1, BlockRead: -1, BlockWrite: -1, PIDs: -1}
	g.readCPU(&u)
	g.readMemory(&u)
	g.readBlocks(&u)
	u.PIDs = g.number("pids", "pids.current")
	if total := memTotal(root); total > 0 && (u.MemoryLimit <= 0 || u.MemoryLimit > total) {
		u.MemoryLimit = total
	}
	u.readNet(root, pid)
	return u, nil
}

// groupFiles finds the files of a process's cgroups, of either version: a controller is in a hierarchy of version 1, or in the unified one.
type groupFiles struct {
	root string // /sys/fs/cgroup
	text string // /proc/PID/cgroup
}

// dir is the directory of the cgroup with the controller, and whether it is of version 2.
func (g groupFiles) dir(controller string) (dir string, unified bool) {
	for line := range strings.Lines(g.text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3 || strings.HasPrefix(parts[2], "/.."):
		case slices.Contains(strings.Split(parts[1], ","), controller):
			return filepath.Join(g.root, parts[1], parts[2]), false
		case parts[0] == "0":
			dir, unified = filepath.Join(g.root, parts[2]), true
		}
	}
	return dir, unified
}

func (g groupFiles) read(controller, name string) string {
	dir, _ := g.dir(controller)
	if dir == "" {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// number is the one number of a file; -1 where it has none.
func (g groupFiles) number(controller, name string) int64 {
	n, err := strconv.ParseInt(g.read(controller, name), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// field is the number behind a word at the beginning of a line; -1 where there is none.
func (g groupFiles) field(controller, name, word string) int64 {
	for line := range strings.Lines(g.read(controller, name)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == word {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

func (g groupFiles) readCPU(u *Usage) {
	if n := g.number("cpuacct", "cpuacct.usage"); n >= 0 {
		u.CPU = time.Duration(n)
	} else if n := g.field("cpu", "cpu.stat", "usage_usec"); n >= 0 {
		u.CPU = time.Duration(n) * time.Microsecond
	}
}

// readMemory leaves out file cache that has not been used lately: the kernel takes it back first (as docker's stats do).
func (g groupFiles) readMemory(u *Usage) {
	usage, idle, limit := "memory.current", "inactive_file", "memory.max"
	if _, unified := g.dir("memory"); !unified {
		usage, idle, limit = "memory.usage_in_bytes", "total_inactive_file", "memory.limit_in_bytes"
	}
	u.Memory, u.MemoryLimit = g.number("memory", usage), g.number("memory", limit)
	if cache := g.field("memory", "memory.stat", idle); cache > 0 && cache < u.Memory {
		u.Memory -= cache
	}
}

// readBlocks adds up all disks: "8:0 Read 4096" of version 1, "8:0 rbytes=4096 wbytes=0 ..." of version 2.
func (g groupFiles) readBlocks(u *Usage) {
	text, unified := g.read("blkio", "blkio.throttle.io_service_bytes_recursive"), false
	if text == "" {
		text = g.read("blkio", "blkio.throttle.io_service_bytes")
	}
	if text == "" {
		if text, unified = g.read("io", "io.stat"), true; text == "" {
			return
		}
	}
	u.BlockRead, u.BlockWrite = 0, 0
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if !unified && len(f) == 3 {
			f = []string{f[0], strings.ToLower(f[1][:1]) + "bytes=" + f[2]}
		}
		for _, word := range f[min(1, len(f)):] {
			name, value, _ := strings.Cut(word, "=")
			n, err := strconv.ParseInt(value, 10, 64)
			switch {
			case err != nil:
			case name == "rbytes":
				u.BlockRead += n
			case name == "wbytes":
				u.BlockWrite += n
			}
		}
	}
}

// readNet adds up the interfaces of a network namespace of the container's own, but for the loopback.
func (u *Usage) readNet(root string, pid int) {
	own, err1 := os.Readlink(filepath.Join(root, "proc", strconv.Itoa(pid), "ns/net"))
	host, err2 := os.Readlink(filepath.Join(root, "proc/1/ns/net"))
	if err2 != nil { // who may not look at process 1 is in its namespace, if anybody is
		host, err2 = os.Readlink(filepath.Join(root, "proc/self/ns/net"))
	}
	if err1 != nil || err2 != nil || own == host {
		return
	}
	f, err := os.Open(filepath.Join(root, "proc", strconv.Itoa(pid), "net/dev"))
	if err != nil {
		return
	}
	defer f.Close()
	u.NetRx, u.NetTx = 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		f := strings.Fields(rest)
		if !ok || strings.TrimSpace(name) == "lo" || len(f) < 9 {
			continue
		}
		rx, err1 := strconv.ParseInt(f[0], 10, 64)
		tx, err2 := strconv.ParseInt(f[8], 10, 64)
		if err1 == nil && err2 == nil {
			u.NetRx, u.NetTx = u.NetRx+rx, u.NetTx+tx
		}
	}
}

// memTotal is the machine's memory, in bytes.
func memTotal(root string) int64 {
	text, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			n, _ := strconv.ParseInt(f[1], 10, 53)
			return n << 10
		}
	}
	return 0
}
