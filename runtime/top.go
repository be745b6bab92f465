package runtime

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hostrun.dev/hostrun/rootfs"
)

// A Process is one process of a container, as the machine sees it: the image needs no ps. Its JSON form is part of the contract.
type Process struct {
	Schema       int       `json:"schema"` // 1
	Container    string    `json:"container"`
	Profile      string    `json:"profile"`
	PID          int       `json:"pid"`           // the machine's number
	PPID         int       `json:"ppid"`          // the machine's number
	ContainerPID int       `json:"container_pid"` // the container's number
	UID          uint32    `json:"uid"`           // the machine's number
	User         string    `json:"user"`          // by the container's /etc/passwd; the number where that has none
	State        string    `json:"state"`         // R, S, D, Z, T, ... (proc_pid_stat(5))
	Threads      int       `json:"threads"`
	CPUPercent   float64   `json:"cpu_percent"`      // of one processor, over its life
	CPUSeconds   float64   `json:"cpu_seconds"`      // user's and system's
	Memory       int64     `json:"memory"`           // bytes in memory (RSS)
	MemoryShare  float64   `json:"memory_percent"`   // of the machine's
	Virtual      int64     `json:"virtual_memory"`   // bytes of address space
	StartedAt    time.Time `json:"started_at"`       //
	TTY          string    `json:"tty"`              // "pts/0" of the container; "?" without one
	Name         string    `json:"name"`             // of the program, 15 bytes at most
	Command      string    `json:"command"`          // with its arguments; [name] where it has none
	Nice         int       `json:"nice"`             //
	Args         []string  `json:"args,omitempty"`   // as it was started
	Cgroup       string    `json:"cgroup,omitempty"` // below the machine's root
}

// ticks of a second in /proc (USER_HZ, time(7)): 100 on every architecture that Go knows.
const ticks = 100

// Top lists the processes of a running container, parents before their children.
func (c *Client) Top(ctx context.Context, name string) ([]Process, error) {
	ctx = c.in(ctx)
	r, err := c.own(ctx, name)
	if err != nil {
		return nil, err
	}
	task, err := c.getTask(ctx, name)
	if err != nil {
		return nil, err
	}
	if !runs(task) {
		return nil, notRunning(name)
	}
	all, err := processesOf("/", int(task.Pid), c.opt.Namespace+"/"+name)
	if err != nil {
		return nil, fmt.Errorf("look at the processes of container %s: %w", name, err)
	}
	for i := range all {
		all[i].Container, all[i].Profile = name, r.Labels[labelProfile]
	}
	return all, nil
}

// processesOf lists what is in the cgroup of the process, and below it. own is the end of the path that the container's
// cgroup has by its name: a container that manages cgroups itself has moved its first process further down.
func processesOf(root string, first int, own string) ([]Process, error) {
	text, err := os.ReadFile(filepath.Join(root, "proc", strconv.Itoa(first), "cgroup"))
	if err != nil {
		return nil, err
	}
	group := cgroupPath(text)
	if i := strings.Index(group, "/"+own+"/"); i >= 0 {
		group = group[:i+1+len(own)]
	}
	entries, err := os.ReadDir(filepath.Join(root, "proc"))
	if err != nil {
		return nil, err
	}
	seer := newSeer(root, first)
	var all []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, "proc", e.Name(), "cgroup"))
		path := cgroupPath(text)
		if err != nil || path != group && !strings.HasPrefix(path, strings.TrimSuffix(group, "/")+"/") {
			continue
		}
		if group == "/" && pid != first && !seer.samePIDs(pid) { // no cgroup of its own: its pid namespace is
			continue
		}
		if p, ok := seer.see(pid); ok {
			p.Cgroup = path
			all = append(all, p)
		}
	}
	return inOrder(all), nil
}

// cgroupPath is the process's cgroup: that of the unified hierarchy, or the longest of version 1 (cgroups(7), /proc/pid/cgroup).
func cgroupPath(text []byte) string {
	longest, unified := "", ""
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(f) != 3:
		case f[0] == "0":
			unified = f[2]
		case len(f[2]) > len(longest):
			longest = f[2]
		}
	}
	if len(unified) > 1 && len(unified) >= len(longest) {
		return unified
	}
	if longest == "" {
		return unified
	}
	return longest
}

// inOrder puts children behind their parents, by number.
func inOrder(all []Process) []Process {
	slices.SortFunc(all, func(a, b Process) int { return a.PID - b.PID })
	here := map[int]bool{}
	for _, p := range all {
		here[p.PID] = true
	}
	var sorted []Process
	var add func(of int)
	add = func(of int) {
		for _, p := range all {
			if p.PPID == of && p.PID != of || of == 0 && !here[p.PPID] {
				sorted = append(sorted, p)
				add(p.PID)
			}
		}
	}
	add(0)
	return sorted
}

// A seer reads processes of one container.
type seer struct {
	root   string
	first  int
	booted time.Time
	uptime float64 // seconds
	memory int64   // bytes of the machine
	users  map[uint32]string
	uidMap [][3]uint64 // container's first, machine's first, how many
	pidNS  string
}

func newSeer(root string, first int) *seer {
	s := &seer{root: root, first: first, memory: memTotal(root), users: map[uint32]string{}}
	text, _ := os.ReadFile(filepath.Join(root, "proc/uptime"))
	if f := strings.Fields(string(text)); len(f) > 0 {
		s.uptime, _ = strconv.ParseFloat(f[0], 64)
	}
	s.booted = time.Now().Add(-time.Duration(s.uptime * float64(time.Second)))
	for _, u := range readUsers(rootfs.Dir(s.file(first, "root"))) {
		if _, ok := s.users[u.UID]; !ok {
			s.users[u.UID] = u.Name
		}
	}
	text, _ = os.ReadFile(s.file(first, "uid_map"))
	for line := range strings.Lines(string(text)) {
		var m [3]uint64
		if n, _ := fmt.Sscan(line, &m[0], &m[1], &m[2]); n == 3 {
			s.uidMap = append(s.uidMap, m)
		}
	}
	s.pidNS, _ = os.Readlink(s.file(first, "ns/pid"))
	return s
}

func (s *seer) file(pid int, name string) string {
	return filepath.Join(s.root, "proc", strconv.Itoa(pid), name)
}

func (s *seer) samePIDs(pid int) bool {
	space, err := os.Readlink(s.file(pid, "ns/pid"))
	return err == nil && space == s.pidNS
}

// see reads one process (proc_pid_stat(5), proc_pid_status(5)); false for one that has gone.
func (s *seer) see(pid int) (Process, bool) {
	stat, err := os.ReadFile(s.file(pid, "stat"))
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if err != nil || open < 0 || end < open {
		return Process{}, false
	}
	f := strings.Fields(string(stat[end+1:]))
	if len(f) < 22 {
		return Process{}, false
	}
	number := func(field int) int64 { // as proc_pid_stat(5) counts them
		n, _ := strconv.ParseInt(f[field-3], 10, 64)
		return n
	}
	p := Process{Schema: 1, PID: pid, PPID: int(number(4)), ContainerPID: pid, State: f[0], Threads: int(number(20)), Nice: int(number(19)),
		Name: string(stat[open+1 : end]), TTY: ttyName(number(7)), Virtual: number(23), Memory: number(24) * int64(os.Getpagesize())}
	p.CPUSeconds = float64(number(14)+number(15)) / ticks
	begun := float64(number(22)) / ticks
	p.StartedAt = s.booted.Add(time.Duration(begun * float64(time.Second))).Truncate(10 * time.Millisecond)
	if age := s.uptime - begun; age > 0 {
		p.CPUPercent = round2(100 * p.CPUSeconds / age)
	}
	if s.memory > 0 {
		p.MemoryShare = round2(100 * float64(p.Memory) / float64(s.memory))
	}
	s.status(&p)
	line, _ := os.ReadFile(s.file(pid, "cmdline"))
	for _, arg := range bytes.Split(bytes.TrimRight(line, "\x00"), []byte{0}) {
		if len(line) > 0 {
			p.Args = append(p.Args, string(arg))
		}
	}
	p.Command = strings.Join(p.Args, " ")
	if len(p.Args) == 0 {
		p.Command = "[" + p.Name + "]"
	}
	return p, true
}

func round2(x float64) float64 { return float64(int64(x*100+0.5)) / 100 }

// status adds the user, and the number in the innermost pid namespace.
func (s *seer) status(p *Process) {
	text, _ := os.ReadFile(s.file(p.PID, "status"))
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if len(f) == 0 {
			continue
		}
		switch name {
		case "Uid": // real, effective, saved, file system's
			uid, _ := strconv.ParseUint(f[min(1, len(f)-1)], 10, 32)
			p.UID = uint32(uid)
		case "NSpid":
			p.ContainerPID, _ = strconv.Atoi(f[len(f)-1])
		}
	}
	inside := p.UID
	for _, m := range s.uidMap {
		if uint64(p.UID) >= m[1] && uint64(p.UID) < m[1]+m[2] {
			inside = uint32(uint64(p.UID) - m[1] + m[0])
			break
		}
	}
	p.User = s.users[inside]
	if p.User == "" {
		p.User = strconv.FormatUint(uint64(inside), 10)
	}
}

// ttyName reads the number of a controlling terminal as ps does (devices.txt of the kernel: 136 to 143 are pts).
func ttyName(number int64) string {
	major, minor := (number>>8)&0xfff, number&0xff|(number>>12)&0xfff00
	switch {
	case number == 0:
		return "?"
	case major >= 136 && major <= 143:
		return fmt.Sprintf("pts/%d", (major-136)*256+minor)
	case major == 4 && minor < 64:
		return fmt.Sprintf("tty%d", minor)
	case major == 4:
		return fmt.Sprintf("ttyS%d", minor-64)
	}
	return "?"
}
