package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/plan"
)

// TestProbeIsReady: the probe that was started beside the container's creation gets the same words as one that is started then, and ends when
// there is nothing to try.
func TestProbeIsReady(t *testing.T) {
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	script := "#!/bin/sh\nif [ \"$1\" = - ]; then words=$(tr '\\0' ' '); else words=$*; fi\necho \"$1: $words\" >>" + told + "\nif [ -n \"$words\" ]; then echo 0; echo 13; fi\n"
	if err := os.WriteFile(filepath.Join(dir, "hostrun-probe"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	c := &Client{opt: Options{LibexecDir: dir}}
	r := containers.Container{ID: "train", Labels: map[string]string{plan.LabelProbe: "{}"}}
	if p := c.readyProbe(containers.Container{ID: "plain"}); p != nil {
		t.Error("a probe for a container without accelerators")
	}
	if isUnified("/sys/fs/cgroup") {
		if p := c.readyProbe(r); p != nil {
			t.Error("a probe that can't enter the container's cgroup")
		}
		return
	}
	nodes := []probedNode{{LinuxDevice: specs.LinuxDevice{Path: "/dev/nvidia0", Major: 195}, access: "rw"}, {LinuxDevice: specs.LinuxDevice{Path: "/dev/nvidia1", Major: 195, Minor: 1}, access: "rw", open: true}}
	pid := uint32(os.Getpid())
	group, err := deviceCgroup(pid)
	if err != nil {
		t.Fatal(err)
	}
	p := &specs.Process{User: specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{44}}}
	want := ""
	for _, word := range probeArgs(group.tasks(), p, nodes, pid) {
		want += word + " "
	}
	ready := c.readyProbe(r)
	answers, err := runProbe(t.Context(), "/does/not/exist", p, nodes, pid, ready)
	ready.end()
	if text, _ := os.ReadFile(told); err != nil || !slices.Equal(answers, []string{"0", "13"}) || string(text) != "-: "+want[:len(want)-1]+"\n" {
		t.Errorf("%q, %v, told %q, want %q", answers, err, text, want)
	}
	if ready.take([]string{"again"}) {
		t.Error("taken twice")
	}
	unused := c.readyProbe(r)
	unused.end() // returns when the process is over
	if unused.cmd.ProcessState == nil || !unused.cmd.ProcessState.Success() {
		t.Errorf("not over: %v", unused.cmd.ProcessState)
	}
	c.opt.LibexecDir = filepath.Join(dir, "elsewhere")
	if p := c.readyProbe(r); p != nil {
		t.Error("a probe of a program that is not there")
	}
	(*readyProbe)(nil).end()
}
