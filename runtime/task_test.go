package runtime

import (
	"errors"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// TestBundleTakenAway: an up right after one that was killed failed, as containerd was still undoing the first one's task.
func TestBundleTakenAway(t *testing.T) {
	for text, want := range map[string]bool{
		"failed to start shim: start failed: io.containerd.runc.v2: getwd: no such file or directory: exit status 1":                                                   true,
		"failed to start shim: start failed: failed to write bootstrap.json: open /s/io.containerd.runtime.v2.task/ns/victim/1: no such file or directory":             true,
		"failed to start shim: start failed: io.containerd.runc.v2: failed to write socket-dir: symlink /run/containerd/s s: no such file or directory: exit status 1": true,
		"failed to create shim task: mkdir /s/io.containerd.runtime.v2.task/ns/victim/rootfs: no such file or directory":                                               true,
		"failed to create shim task: ttrpc: closed": true,
		"failed to create shim task: OCI runtime create failed: runc create failed: container with given ID already exists: unknown":                          true,
		"failed to create shim task: OCI runtime create failed: container `victim` already exists: unknown":                                                   true,
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

// TestRemnantsOnABusyMachine: to end the shim of a killed command takes seconds on a busy machine, and the next up gave up when that
// was done, with the words of containerd's last cleaning up.
func TestRemnantsOnABusyMachine(t *testing.T) {
	begun := time.Now()
	at := func(seconds int) time.Time { return begun.Add(time.Duration(seconds) * time.Second) }
	gone := errors.New("failed to create shim task: ttrpc: closed")
	r := retrial{begun: begun}
	for i, one := range []struct {
		err     error
		seconds int
		over    bool
	}{
		{errdefs.ErrAlreadyExists, 0, false}, {errdefs.ErrAlreadyExists, 7, false}, {gone, 8, false}, {gone, 12, false},
		{gone, 14, true}, {errdefs.ErrAlreadyExists, 16, true}, {nil, 1, true}, {errors.New("another"), 1, true},
	} {
		if got := r.over(one.err, at(one.seconds)); got != one.over {
			t.Errorf("%d: %v after %d s: %t", i, one.err, one.seconds, got)
		}
	}
}
