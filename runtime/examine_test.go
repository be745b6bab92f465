package runtime

import (
	"maps"
	"os/exec"
	"testing"
)

func TestShims(t *testing.T) {
	// A shell that has a shim's command line, and waits.
	keep := func(program, namespace, id, address string) {
		sh, err := exec.LookPath("sh")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(sh)
		cmd.Args = []string{program, "-c", "read line; true", "-namespace", namespace, "-id", id, "-address", address}
		stdin, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			stdin.Close()
			_ = cmd.Wait()
		})
	}
	namespace := t.Name()
	keep("/usr/bin/containerd-shim-runc-v2", namespace, "web", "/run/c/containerd.sock.ttrpc")
	keep("/usr/bin/containerd-shim-runc-v2", namespace, "job", "/run/d/engine.sock")
	keep("/usr/bin/containerd-shim-runc-v2", namespace+"-other", "elsewhere", "/run/c/containerd.sock.ttrpc")
	keep("/usr/bin/containerd", namespace, "none", "/run/c/containerd.sock.ttrpc")
	want := map[string]string{"web": "/run/c/containerd.sock", "job": "/run/d/engine.sock"}
	if got := Shims(namespace); !maps.Equal(got, want) {
		t.Errorf("Shims() = %v, want %v", got, want)
	}
}
