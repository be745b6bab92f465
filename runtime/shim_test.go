package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShimRefused: a shim that containerd can't execute is not asked for again; what another task's end has taken away is waited for.
func TestShimRefused(t *testing.T) {
	there := filepath.Join(t.TempDir(), shimName)
	if err := os.WriteFile(there, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	const gone = "/opt/old/lib/hostrun/" + shimName
	for _, c := range []struct {
		path, text string
		want       bool
	}{
		{there, "failed to start shim: start failed: : fork/exec PATH: exec format error", true}, // 1.6, 1.7
		{there, "failed to start shim: start failed: fork/exec PATH: permission denied", true},   // 2.4
		{there, "failed to start shim: start failed: : fork/exec PATH: no such file or directory", false},
		{there, "failed to start shim: start failed: io.containerd.runc.v2: getwd: no such file or directory: exit status 1", false},
		{there, "OCI runtime create failed: fork/exec /usr/bin/runc: permission denied", false},
		{there, "mkdir /s/io.containerd.runtime.v2.task/ns/victim: file exists", false},
		{gone, "failed to start shim: start failed: : fork/exec PATH: no such file or directory", true},
		{gone, "failed to resolve runtime path: invalid custom binary path: stat PATH: no such file or directory", true},
	} {
		if got := shimRefused(errors.New(strings.ReplaceAll(c.text, "PATH", c.path)), c.path); got != c.want {
			t.Errorf("%s: %t, want %t", c.text, got, c.want)
		}
	}
	if shimRefused(nil, there) {
		t.Error("no error is no refusal")
	}
}
