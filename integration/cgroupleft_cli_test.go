package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestCgroupOfAHalfMadeContainer: an OCI runtime that dies with its shim leaves a cgroup, for a moment with a process in it; the command that finished
// the container of a killed one left it there, until the next one.
func TestCgroupOfAHalfMadeContainer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		root = filepath.Join(root, "pids")
	}
	spec, err := typeurl.MarshalAny(&specs.Spec{})
	ok(t, err)
	_, err = s.client.ContainerService().Create(s.context(), containers.Container{ID: "half", Spec: spec, Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"},
		Labels: map[string]string{"hostrun.dev/profile": "half", "hostrun.dev/state": "creating", "hostrun.dev/creator": "1:1:another boot"}})
	ok(t, err)
	left := filepath.Join(root, s.namespace, "half")
	ok(t, os.MkdirAll(left, 0o755))
	dying := exec.Command("sleep", "0.5")
	ok(t, dying.Start())
	ok(t, os.WriteFile(filepath.Join(left, "cgroup.procs"), []byte(strconv.Itoa(dying.Process.Pid)), 0o644))
	go func() { _ = dying.Wait() }()
	s.must(plain(s)...)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", left, err)
	}
	s.must("down", "job")
}
