package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices/devicestest"
)

// TestSurvivesDaemonReload: on a machine that systemd has booted, with cgroup v2, a container keeps what it was given of devices, and nothing
// else, when systemd reads its units again and when it executes itself anew. Where an OCI hook adds devices behind systemd's back, they are
// gone then ("Failed to initialize NVML: Unknown Error"). On the way, hostrun-probe enters a cgroup of version 2.
func TestSurvivesDaemonReload(t *testing.T) {
	if _, err := os.Stat("/usr/lib/systemd/systemd"); err != nil {
		skip(t, "this machine has no systemd")
	}
	// Numbers that no container has by default, of nodes that anybody may open: loop-control and fuse (Linux, admin-guide/devices.txt).
	m, _ := furnished(t, func(root string) {
		devicestest.Mknod(t, root, "dev/given", 10, 237, 0o666)
		devicestest.Mknod(t, root, "dev/other", 10, 229, 0o666)
	}, nil)
	kind := "test" + filepath.Base(t.TempDir()) + filepath.Base(m.State) + ".example/acc"
	ok(t, os.MkdirAll(filepath.Join(m.Shared(), "cdi"), 0o755))
	ok(t, os.WriteFile(filepath.Join(m.Shared(), "cdi", "acc.json"), fmt.Appendf(nil,
		`{"cdiVersion":"0.5.0","kind":%q,"devices":[{"name":"0","containerEdits":{"deviceNodes":[{"path":"/dev/given","hostPath":"/shared/fake/dev/given"}]}}]}`, kind), 0o644))
	jobOn(t, m, "train", "network_mode: none\nvolumes: [/shared/fake/dev:/nodes]\ndevices: ["+kind+"=0]")
	out, err := m.Boot(furnishing + `
export HOSTRUN_NAMESPACE=reload HOSTRUN_CDI_SPEC_DIRS=/shared/cdi
engine
hr load box.tar >/dev/null
try hr up train
sees() { hr exec train -- sh -c 'for n in /dev/given /nodes/other; do if (exec 3<>$n) 2>/tmp/e || (exec 3<$n) 2>/tmp/e; then echo "$n opens"; else echo "$n: $(cat /tmp/e)"; fi; done'; }
try sees before
for i in 1 2 3; do mkdir -p /etc/systemd/system/some$i.slice.d; systemctl daemon-reload; done
try sees reloaded
systemctl daemon-reexec
for i in $(seq 100); do systemctl is-system-running >/dev/null 2>&1; [ $? -le 1 ] && break; sleep 0.05; done
try sees executed
pid=$(hr inspect train | sed -n 's/^ *"pid": \([0-9]*\),$/\1/p')
probe() { echo $pid /sys/fs/cgroup/reload/train/cgroup.procs | hostrun-probe "$@"; }
try probe 0 0 "" 0 rw:open:10:229:/nodes/other rw:open:10:237:/dev/given
try hr down train
cat /proc/1/comm
`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	same := []string{"/dev/given opens", "/nodes/other: ", "Operation not permitted", "status 0"}
	expect(t, out, map[string][]string{"hr up train": {"train created", "status 0"}, "sees before": same, "sees reloaded": same, "sees executed": same,
		"hr down train": {"status 0", "systemd"}})
	probed := 0
	for line, text := range steps(out) {
		if !strings.HasPrefix(line, "probe ") {
			continue
		}
		probed++
		if strings.TrimSuffix(text, "\n") != fmt.Sprintf("%d\n0\nstatus 0", int(unix.EPERM)) {
			t.Errorf("$ %s: %q", line, text)
		}
	}
	if probed != 1 {
		t.Errorf("hostrun-probe was tried %d times\n%s", probed, out)
	}
}
