package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A record is what docker did to some services, for tests on machines without docker.
type record struct {
	Docker  string                       `json:"docker"` // versions
	Compose string                       `json:"compose"`
	Kernel  string                       `json:"kernel"`
	Cases   map[string]map[string]string `json:"cases"`
}

// recorded are the cases whose docker side is written down: some of each kind that do not depend on the machine.
var recorded = []string{
	"plain-none", "dressed", "env-defaults", "env-file", "env-over-image", "command-text", "entrypoint-list", "working-dir-missing", "tty-stdin", "group-add-user",
	"bind-ro", "volume", "tmpfs-exec", "read-only", "cap-drop-add", "hostname-domain", "extra-hosts", "labels-list",
}

func (m *machine) writeRecords(path string, results []outcome) error {
	r := record{Docker: m.docker, Compose: m.compose, Kernel: kernel(), Cases: map[string]map[string]string{}}
	for _, o := range results {
		if slices.Contains(recorded, o.name) {
			r.Cases[o.name] = portable(o.docker)
		}
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// machines are the beginnings of what is a machine's rather than a service's: its kernel, its cgroups, its file systems, the limits of
// the shell that its daemons were started from.
var machines = []string{"~", "outside.", "cgroup.", "mount./sys", "mount./proc", "mount./etc", "mount./.", "masked.", "interface", "call.", "limit.", "sysctl.", "status.Cpus", "oom_score_adj", "nice",
	"stop.", "end.", "namespace.cgroup", "path./dev/mqueue", "path./dev/shm.bytes", "path./scratch.bytes", "write.", "file./etc/resolv"}

// portable is what is the same on every machine.
func portable(v view) view {
	kept := view{}
	for name, value := range v {
		if slices.ContainsFunc(machines, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		if strings.HasPrefix(name, "mount.") {
			if strings.HasSuffix(name, ".type") && !slices.Contains([]string{"tmpfs", "devpts", "mqueue"}, value) {
				continue // of the machine's disk
			}
			words := slices.DeleteFunc(strings.Split(value, ","), func(word string) bool { return strings.HasSuffix(word, "atime") })
			value = strings.Join(words, ",")
		}
		kept[name] = value
	}
	return kept
}

func kernel() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	release, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return release
}

// runRecorded runs the recorded cases by hostrun alone, and holds them against the records.
func (m *machine) runRecorded(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	cases := slices.DeleteFunc(scenes(), func(c scene) bool { return r.Cases[c.name] == nil || !slices.Contains(recorded, c.name) })
	if len(cases) != len(recorded) {
		return fmt.Errorf("%s has %d of %d cases\nhint: make conformance", path, len(cases), len(recorded))
	}
	_, ours, err := m.stage("recorded", cases)
	if err != nil {
		return err
	}
	var names []string
	for _, c := range cases {
		names = append(names, c.name)
	}
	up := ours.up(nil, names...)
	failed, values := 0, 0
	for _, c := range cases {
		p := &player{side: ours, m: m, name: c.name, seen: view{}}
		p.observe(up)
		o := outcome{scene: c, docker: portable(r.Cases[c.name]), ours: portable(p.seen), partly: true}
		if why, ok := p.seen["start"]; ok {
			o.ours["start"] = why
		}
		o.judge()
		values += compared([]outcome{o})
		if len(o.problems) > 0 {
			failed++
			fmt.Printf("FAIL %s (%s)\n     %s\n", c.name, c.about, strings.Join(o.problems, "\n     "))
		}
	}
	if r := ours.clear(names); r.status != 0 {
		return fmt.Errorf("clear: %v", r)
	}
	fmt.Printf("%d cases as docker %s and compose %s had them on Linux %s: %d values, %d failed\n", len(cases), r.Docker, r.Compose, r.Kernel, values, failed)
	if failed > 0 {
		return fmt.Errorf("%d cases differ from the records", failed)
	}
	return nil
}
