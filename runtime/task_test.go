package runtime

import (
	"errors"
	"testing"
)

// TestBundleTakenAway: an up right after one that was killed failed, as containerd was still undoing the first one's task.
func TestBundleTakenAway(t *testing.T) {
	for text, want := range map[string]bool{
		"failed to start shim: start failed: io.containerd.runc.v2: getwd: no such file or directory: exit status 1":                                                   true,
		"failed to start shim: start failed: failed to write bootstrap.json: open /s/io.containerd.runtime.v2.task/ns/victim/1: no such file or directory":             true,
		"failed to start shim: start failed: io.containerd.runc.v2: failed to write socket-dir: symlink /run/containerd/s s: no such file or directory: exit status 1": true,
		"failed to create shim task: mkdir /s/io.containerd.runtime.v2.task/ns/victim/rootfs: no such file or directory":                                               true,
		"failed to create shim task: ttrpc: closed":                                                                                                           true,
		"mkdir /s/io.containerd.runtime.v2.task/ns/victim: file exists":                                                                                       true,
		"failed to start shim: fork/exec /usr/bin/containerd-shim-runc-v2: no such file or directory":                                                         false,
		"failed to create shim task: OCI runtime create failed: exec: \"tool\": executable file not found in $PATH: unknown":                                  false,
		"failed to mount rootfs component: mount source: \"/x/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs\", no such file or directory: not a shim": false,
		// The words of a missing or failing OCI runtime, which no waiting mends: containerd looks for its log in the bundle.
		"failed to create shim task: OCI runtime create failed: unable to retrieve OCI runtime error (open /run/containerd/io.containerd.runtime.v2.task/ns/c/log.json: no such file or directory): fork/exec /usr/bin/crun: no such file or directory: unknown": false,
		"failed to create shim task: OCI runtime create failed: unable to retrieve OCI runtime error (open /run/containerd/io.containerd.runtime.v2.task/ns/c/log.json: no such file or directory): exec: \"crun\": executable file not found in $PATH: unknown": false,
	} {
		if got := remnant(errors.New(text)); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
	if remnant(nil) {
		t.Error("no error is no remnant")
	}
}
