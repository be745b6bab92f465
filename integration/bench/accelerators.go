package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// mostForDevices is what eight accelerators may add to a start.
const mostForDevices = 8 * time.Millisecond

// acceleratorTable compares the start of a container that gets eight accelerators with one that gets none: nodes that a CDI file
// describes stand for them, so that what is measured is what all kinds have in common.
func (w *world) acceleratorTable(measure measurer) (table, error) {
	if err := w.makeAccelerators(8); err != nil {
		return table{}, err
	}
	w.env = append(w.env, "HOSTRUN_CDI_SPEC_DIRS="+filepath.Join(w.dir, "cdi"))
	service := func(profile, note string) subject {
		down := w.hostrun("down", "-y", profile)
		down.pause = 100 * time.Millisecond
		return subject{name: "hostrun up, down", note: note, steps: []command{w.hostrun("up", profile), down}}
	}
	results, err := measure(service("plain", "no devices"), service("accelerated", "8 devices, leased"))
	if err != nil {
		return table{}, err
	}
	t := table{title: "A service with eight accelerators", results: results,
		explain: "The same container, without and with eight devices of a CDI file: their inventory, who holds what in all namespaces, the choice, the locks, and nine more nodes for the OCI runtime to make."}
	more := results[1].step[0].median() - results[0].step[0].median()
	t.verdict = append(t.verdict, verdict{"up with eight devices, more than without", millis(more) + " ms", "at most " + millis(mostForDevices) + " ms", more <= mostForDevices})
	return t, nil
}

// makeAccelerators makes nodes, the CDI file that describes them, and a profile that asks for all.
func (w *world) makeAccelerators(n int) error {
	type node struct {
		Path     string `json:"path"`
		HostPath string `json:"hostPath"`
	}
	edits := func(names ...string) (map[string]any, error) {
		var nodes []node
		for _, name := range names {
			at := filepath.Join(w.dir, "dev", name)
			if err := unix.Mknod(at, unix.S_IFCHR|0o660, int(unix.Mkdev(241, uint32(len(name)*16)+uint32(name[len(name)-1])))); err != nil && !os.IsExist(err) {
				return nil, err
			}
			nodes = append(nodes, node{"/dev/" + name, at})
		}
		return map[string]any{"deviceNodes": nodes}, nil
	}
	for _, dir := range []string{"dev", "cdi"} {
		if err := os.MkdirAll(filepath.Join(w.dir, dir), 0o755); err != nil {
			return err
		}
	}
	common, err := edits("benchctl")
	if err != nil {
		return err
	}
	var devices []any
	for i := range n {
		own, err := edits(fmt.Sprint("bench", i))
		if err != nil {
			return err
		}
		devices = append(devices, map[string]any{"name": fmt.Sprint(i), "containerEdits": own})
	}
	text, err := json.Marshal(map[string]any{"cdiVersion": "0.5.0", "kind": "bench.example/acc", "containerEdits": common, "devices": devices})
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, "cdi", "bench.json"), text, 0o644)
	}
	if err != nil {
		return err
	}
	plain, err := os.ReadFile(filepath.Join(w.dir, "profiles", "plain.yaml"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "profiles", "accelerated.yaml"), append(plain, "devices: [bench.example/acc=all]\n"...), 0o644)
}
