package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// A view is what is seen of a case on one side, by name.
type view map[string]string

// An outcome is a case with what both sides have shown.
type outcome struct {
	scene
	docker, ours view
	used         map[*difference]bool
	found        []found
	problems     []string
	partly       bool // not all of it was compared
	took         time.Duration
}

// found is a value that differs as a table says.
type found struct {
	field, docker, ours string
	by                  *difference
}

// A player does what a case does on one side.
type player struct {
	side
	m    *machine
	name string
	seen view
}

// note keeps what is seen.
func (p *player) note(name string, value any) {
	p.seen[name] = neutral(fmt.Sprint(value), p.name, p.side.title() == "hostrun")
}

// noteResult keeps how a command ended, and what it printed on its standard output.
func (p *player) noteResult(name string, r result) {
	p.note(name+".status", r.status)
	p.note(name+".output", strings.TrimSpace(r.out))
	p.seen["~"+name+".stderr"] = r.err // to look at; the words are each one's own
}

// noteStatus keeps how a command ended, and whether it printed anything to the output.
func (p *player) noteStatus(name string, r result) {
	p.note(name+".status", r.status)
	p.seen["~"+name+".stderr"] = r.err + r.out
}

// patience bounds how long anything is waited for that ought to come at once.
const patience = 30 * time.Second

// wait polls until fn is content. What it waited for is noted as not come if it does not.
func (p *player) wait(what string, fn func() bool) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if fn() {
			return true
		}
		if time.Now().After(deadline) {
			p.note("has not come", what)
			return false
		}
	}
}

// ended waits until a container has ended.
func (p *player) ended(name string) {
	p.wait(name+" ends", func() bool { s := p.state(name); return s.Status == "exited" })
}

// says waits until a container has printed a text.
func (p *player) says(name, text string) bool {
	return p.wait(name+" prints "+text, func() bool { r := p.log(name); return strings.Contains(r.out+r.err, text) })
}

// logged is what a container has written.
func (p *player) logged(name string) string {
	r := p.log(name)
	return strings.ReplaceAll(r.out, "\r\n", "\n")
}

// start starts the case's services, and notes whether that worked.
func (p *player) start(names ...string) bool {
	if len(names) == 0 {
		names = []string{p.name}
	}
	r := p.up(nil, names...)
	p.noteStatus("up", r)
	return r.status == 0
}

// runAll runs the cases: those that only look many at once, the others a few at a time.
func (m *machine) runAll(cases []scene) ([]outcome, error) {
	byName := map[string]outcome{}
	var looks, plays []scene
	for _, c := range cases {
		if c.play == nil {
			looks = append(looks, c)
		} else {
			plays = append(plays, c)
		}
	}
	const batch = 20
	for i := 0; i < len(looks); i += batch {
		some := looks[i:min(i+batch, len(looks))]
		all, err := m.observe(fmt.Sprintf("looks%d", i/batch), some)
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			byName[o.name] = o
		}
		say("%d of %d cases", len(byName), len(cases))
	}
	all, err := m.playAll(plays)
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		byName[o.name] = o
	}
	var results []outcome
	for _, c := range cases {
		results = append(results, byName[c.name])
	}
	return results, nil
}

// playAll plays cases side by side, each first by docker and then by hostrun: they may want the same ports.
func (m *machine) playAll(cases []scene) ([]outcome, error) {
	results := make([]outcome, len(cases))
	errs := make([]error, len(cases))
	next := make(chan int)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := range next {
				results[i], errs[i] = m.playOne(cases[i])
			}
		})
	}
	for i := range cases {
		next <- i
		if i%10 == 9 {
			say("%d of %d cases with a play", i+1, len(cases))
		}
	}
	close(next)
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

func (m *machine) playOne(c scene) (outcome, error) {
	o := outcome{scene: c}
	docker, ours, err := m.stage(c.name, []scene{c})
	if err != nil {
		return o, err
	}
	begin := time.Now()
	for _, s := range []side{docker, ours} {
		p := &player{side: s, m: m, name: c.name, seen: view{}}
		c.play(p)
		if r := s.clear(c.names()); r.status != 0 && slices.ContainsFunc(c.names(), func(n string) bool { return s.state(n).Status != "none" }) {
			p.note("clear", r) // that of a file which is refused fails, too
		}
		if s == docker {
			o.docker = p.seen
		} else {
			o.ours = p.seen
		}
	}
	o.took = time.Since(begin)
	return o, nil
}

// observe starts the services of many cases at once, and looks at each.
func (m *machine) observe(project string, cases []scene) ([]outcome, error) {
	docker, ours, err := m.stage(project, cases)
	if err != nil {
		return nil, err
	}
	results := make([]outcome, len(cases))
	var names []string
	for i, c := range cases {
		results[i] = outcome{scene: c}
		names = append(names, c.names()...)
	}
	for _, s := range []side{docker, ours} {
		up := s.up(nil, names...)
		for i, c := range cases {
			p := &player{side: s, m: m, name: c.name, seen: view{}}
			if up.status == 0 {
				p.observe(up)
			} else { // one of them keeps the others from being started
				p.observe(s.up(nil, c.names()...))
			}
			if s == docker {
				results[i].docker = p.seen
			} else {
				results[i].ours = p.seen
			}
		}
		m.endAll(s, results)
		if r := s.clear(names); r.status != 0 {
			return nil, fmt.Errorf("clear: %v", r)
		}
	}
	return results, nil
}

// observe takes the probe's report, and looks from outside.
func (p *player) observe(up result) {
	var line string
	for deadline := time.Now().Add(30 * time.Second); line == ""; time.Sleep(50 * time.Millisecond) {
		for l := range strings.Lines(p.logged(p.name)) {
			if rest, ok := strings.CutPrefix(l, "REPORT "); ok && strings.HasSuffix(l, "\n") {
				line = rest
			}
		}
		s := p.state(p.name)
		if line == "" && (s.Status == "exited" || s.Status == "none" || time.Now().After(deadline)) {
			p.note("start", "failed: "+up.err+p.log(p.name).err)
			return
		}
	}
	seen := map[string]string{}
	if err := json.Unmarshal([]byte(line), &seen); err != nil {
		p.note("start", "the report can't be read: "+err.Error())
		return
	}
	s := p.state(p.name)
	ours := p.side.title() == "hostrun"
	for name, value := range seen {
		if host, ok := strings.CutPrefix(name, "file./etc/hosts "); ok {
			name = "file./etc/hosts " + neutral(host, s.ID, ours)
		}
		p.seen[name] = neutral(value, s.ID, ours)
	}
	for k, v := range s.Labels {
		p.seen["label."+k] = v
	}
	p.outside(s.PID)
}

// outside looks at a process from the machine.
func (p *player) outside(pid int) {
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		own, _ := os.Readlink("/proc/self/ns/" + kind)
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			its = err.Error()
		}
		p.note("namespace."+kind+" is the machine's", own == its)
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		dir := filepath.Join("/sys/fs/cgroup", f[1], f[2])
		for _, file := range limitFiles {
			if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
				lines := strings.Split(strings.TrimSpace(string(b)), "\n")
				sort.Strings(lines)
				p.note("outside."+file, strings.Join(lines, " | "))
			}
		}
	}
}

// limitFiles are those of a cgroup that a service's keys set.
var limitFiles = []string{
	"memory.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.swappiness", "memory.oom_control", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares",
	"cpuset.cpus", "cpuset.mems", "pids.max", "devices.list", "blkio.weight", "memory.max", "memory.low", "memory.swap.max", "cpu.max", "cpu.weight",
}

// endAll stops the services of many cases, and keeps by which signal they ended and how.
func (m *machine) endAll(s side, results []outcome) {
	var stops sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range results {
		stops.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			o := &results[i]
			seen := o.ours
			if s.title() == "docker" {
				seen = o.docker
			}
			p := &player{side: s, m: m, name: o.name, seen: seen}
			p.note("stop.status", s.do("", "stop", []string{"-t", "20"}, o.name).status)
			end := s.state(o.name)
			p.note("end.state", end.Status)
			p.note("end.status", end.Exit)
			for l := range strings.Lines(p.logged(o.name)) {
				if number, ok := strings.CutPrefix(l, "SIGNAL "); ok {
					p.note("end.signal", strings.TrimSpace(number))
				}
			}
		})
	}
	stops.Wait()
}
