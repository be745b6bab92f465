package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices/devicestest"
	"hostrun.dev/hostrun/finding"
)

// accelerators makes n nodes that a CDI file of the stage describes, under a kind of the stage's own: leases are the
// machine's, and other tests run at the same time. It returns the kind.
func (s *stage) accelerators(n int) string {
	s.t.Helper()
	kind := "test" + strings.ReplaceAll(s.namespace, "-", "x") + ".example/acc"
	s.env = append(s.env, "HOSTRUN_CDI_SPEC_DIRS="+s.path("cdi"))
	s.describe(kind, n, 241)
	return kind
}

func (s *stage) describe(kind string, n int, major uint32) {
	s.t.Helper()
	var list []string
	for i := range n {
		devicestest.Mknod(s.t, s.dir, fmt.Sprintf("dev/acc%d", i), major, uint32(i), 0o660)
		list = append(list, fmt.Sprintf(`{"name":"%d","containerEdits":{"deviceNodes":[{"path":"/dev/acc%[1]d","hostPath":%q}]}}`, i, s.path(fmt.Sprintf("dev/acc%d", i))))
	}
	devicestest.Mknod(s.t, s.dir, "dev/accctl", major, 255, 0o666)
	s.write("lib/driver/libacc.so", "")
	s.write("cdi/acc.json", fmt.Sprintf(`{"cdiVersion":"0.5.0","kind":%q,"containerEdits":{"env":["ACC=1"],"deviceNodes":[{"path":"/dev/accctl","hostPath":%q}],
		"mounts":[{"hostPath":%q,"containerPath":"/opt/acc","options":["ro","rbind"]}]},"devices":[%s]}`, kind, s.path("dev/accctl"), s.path("lib/driver"), strings.Join(list, ",")))
}

func (s *stage) job(name, devices string) {
	s.profile(name, "rootfs: host\ncommand: sleep 1000\nstop_grace_period: 0s\n"+devices)
}

// fails runs a command that must end with the status and say the words.
func (s *stage) fails(status int, words string, args ...string) {
	s.t.Helper()
	if r := s.hostrun(args...); r.status != status || !strings.Contains(r.stdout+r.stderr, words) {
		s.t.Errorf("hostrun %s: status %d, want %d and %q:\n%s", strings.Join(args, " "), r.status, status, words, r.stdout+r.stderr)
	}
}

// TestDevicesLife takes leased devices through every verb: who has one has it alone, as long as it runs.
func TestDevicesLife(t *testing.T) {
	s := newStage(t)
	kind := s.accelerators(3)
	before := s.inventory()
	s.job("one", "devices: ["+kind+"=1]\n")
	s.job("rival", "devices: ["+kind+"=1]\n")
	s.job("all", "devices: ["+kind+"=all]\n")
	printed := parse[specs.Spec](t, s.must("spec", "one"))
	out := s.must("up", "one")
	if !strings.Contains(out, "container 0 = "+s.path("dev/acc1")) {
		t.Errorf("up: %s", out)
	}
	record, err := s.client.ContainerService().Get(s.context(), "one")
	must(t, err)
	if stored := parse[specs.Spec](t, string(record.Spec.GetValue())); len(stored.Linux.Devices) != 2 || len(printed.Linux.Devices) != 2 {
		t.Errorf("devices of the spec: %+v", stored.Linux.Devices)
	}
	if nodes := s.must("exec", "one", "--", "stat", "-c", "%n %t:%T %a", "/dev/acc1", "/dev/accctl"); nodes != "/dev/acc1 f1:1 660\n/dev/accctl f1:ff 666\n" {
		t.Errorf("the nodes: %s", nodes)
	}
	if r := s.hostrun("exec", "one", "--", "sh", "-c", "test $ACC = 1 -a -f /opt/acc/libacc.so && test -e /dev/acc0 || touch /opt/acc/x || mknod /tmp/n c 241 0 || echo shut"); !strings.Contains(r.stdout, "shut") {
		t.Errorf("other nodes, a writable driver, or mknod: %+v", r)
	}
	s.fails(finding.StatusTryAgain, "container one holds it", "up", "rival")
	s.fails(finding.StatusTryAgain, "container one holds it", "up", "all")
	s.fails(125, "HR074", "run", "rival")
	s.fails(finding.StatusTryAgain, "HR074", "up", "--dry-run", "rival")
	if out := s.must("up", "one"); out != "one unchanged\n" {
		t.Errorf("the second up: %s", out)
	}
	s.must("restart", "one")
	if ps := s.ps(); len(ps.Devices) != 1 || ps.Devices[0] != kind+"=1" || len(ps.DeviceNumbers) != 1 || ps.DeviceNumbers[0].Number != 0 {
		t.Errorf("ps: %+v", ps)
	}
	line := s.must("devices", "--format", "{{.name}} {{.health.state}} {{.holder}}", kind)
	if line != "0 unknown \n1 unknown one\n2 unknown \n" {
		t.Errorf("devices:\n%s", line)
	}
	if table := s.must("devices", "--wide"); !strings.Contains(table, "HOLDER") || !strings.Contains(table, s.path("dev/acc2")) {
		t.Errorf("devices:\n%s", table)
	}

	s.must("stop", "one") // it holds nothing now
	s.must("up", "rival")
	s.fails(finding.StatusTryAgain, "container rival holds it", "start", "one")
	s.fails(finding.StatusTryAgain, "container rival holds it", "up", "one")
	s.must("down", "rival")
	s.must("start", "one")
	s.must("down", "one")
	s.must("up", "all")
	s.must("down", "all")
	s.nothingLeft(before)
}

// TestDevicesRenumbered: after a reboot the driver's major is another. up makes the container anew and says so; start refuses.
func TestDevicesRenumbered(t *testing.T) {
	s := newStage(t)
	kind := s.accelerators(2)
	before := s.inventory()
	s.job("one", "devices: ["+kind+"=0]\n")
	s.must("up", "one")
	s.describe(kind, 2, 242)
	out := s.must("up", "one")
	if !strings.Contains(out, "one replaced") || !strings.Contains(out, "the device node /dev/acc0 (major): 241 -> 242") {
		t.Errorf("up: %s", out)
	}
	s.must("stop", "one")
	s.describe(kind, 2, 243)
	s.must("up", "one")
	s.must("down", "one")
	s.nothingLeft(before)
}

// TestDevicesQueue: those who wait get a device in the order in which they came, and ^C leaves the queue.
func TestDevicesQueue(t *testing.T) {
	s := newStage(t)
	kind := s.accelerators(1)
	before := s.inventory()
	for _, name := range []string{"holder", "first", "second", "third"} {
		s.job(name, "devices: ["+kind+"=0]\n")
	}
	s.must("up", "holder")
	s.fails(finding.StatusTryAgain, "container holder holds it", "up", "--wait-device=200ms", "first")
	var ended sync.Map
	waiting := map[string]*exec.Cmd{}
	for i, name := range []string{"first", "second", "third"} {
		cmd := s.command("up", "--wait-device", name)
		must(t, cmd.Start())
		waiting[name] = cmd
		go func() { ended.Store(name, fmt.Sprint(cmd.Wait())) }()
		eventually(t, func() bool {
			d := parse[struct{ Waiters []string }](t, s.must("devices", "--format", "json", kind))
			return len(d.Waiters) == i+1 && d.Waiters[i] == name
		})
	}
	if r := s.hostrun("ps"); !strings.Contains(r.stderr, "second waits for devices") {
		t.Errorf("ps: %s", r.stderr)
	}
	s.must("down", "holder")
	eventually(t, func() bool { return strings.Contains(s.must("ps", "--quiet"), "first\n") })
	s.fails(finding.StatusTryAgain, "HR074", "up", "holder") // nobody passes those who wait
	must(t, waiting["second"].Process.Signal(syscall.SIGINT))
	eventually(t, func() bool { _, ok := ended.Load("second"); return ok })
	if got := s.must("devices", "--format", "{{json .waiters}}", kind); got != "[\"third\"]\n" {
		t.Errorf("waiters after ^C: %s", got)
	}
	s.must("down", "first")
	eventually(t, func() bool { return strings.Contains(s.must("ps", "--quiet"), "third\n") })
	eventually(t, func() bool { v, ok := ended.Load("third"); return ok && v == "<nil>" })
	s.must("down", "third")
	s.nothingLeft(before)
}

func eventually(t *testing.T, ask func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ask() {
			return
		}
	}
	t.Fatal("it does not come to be")
}

// TestDevicesByNumber: gpus: of a machine that has only a CDI file for them, shared and not, and what the file does not describe.
func TestDevicesByNumber(t *testing.T) {
	s := newStage(t)
	s.accelerators(2)
	s.describe("nvidia.com/gpu", 2, 241)
	before := s.inventory()
	s.job("a", "gpus: 1\n")
	s.job("b", "gpus: {count: 1, share: true}\n")
	s.job("c", "gpus: {count: 1, share: true}\n")
	s.job("nine", "gpus: 9\n")
	s.job("npu", "npus: 1\n")
	s.job("maybe", "npus: {count: 1, optional: true}\n")
	s.fails(finding.StatusNoDevice, "9 GPUs are asked for, and this machine has 2", "check", "nine")
	s.fails(finding.StatusNoDevice, "this machine has no NPU", "up", "npu")
	s.must("up", "a", "b")
	s.must("up", "c")
	s.job("d", "gpus: 1\n")
	s.fails(finding.StatusTryAgain, "HR074", "up", "d")
	recorded := s.must("facts", "a")
	var facts struct{ Grants, Inventories []json.RawMessage }
	must(t, json.Unmarshal([]byte(recorded), &facts))
	if len(facts.Grants) != 1 || len(facts.Inventories) != 1 {
		t.Errorf("facts: %d grants, %d inventories", len(facts.Grants), len(facts.Inventories))
	}
	file := s.write("facts.json", recorded)
	must(t, os.RemoveAll(s.path("cdi")))
	if again := s.must("spec", "--facts", file); !strings.Contains(again, `"path": "/dev/acc`) {
		t.Errorf("replayed without the device:\n%s", again)
	}
	s.must("run", "maybe", "--", "true")
	s.must("down", "a", "b", "c")
	s.nothingLeft(before)
}

// TestDevicesOfOtherTools: a container that another program has made in another namespace, with the device's node, makes it busy.
func TestDevicesOfOtherTools(t *testing.T) {
	s := newStage(t)
	kind := s.accelerators(2)
	s.job("model", "devices: ["+kind+"=0]\n")
	s.job("one", "devices: ["+kind+"=0]\n")
	s.job("any", "devices: ["+kind+"=0, "+kind+"=1]\n")
	s.must("up", "model")
	record, err := s.client.ContainerService().Get(s.context(), "model")
	must(t, err)
	spec := parse[specs.Spec](t, string(record.Spec.GetValue()))
	s.must("stop", "model")
	spec.Linux.CgroupsPath = "/" + s.namespace + "-other/theirs"
	ctx := namespaces.WithNamespace(context.Background(), s.namespace+"-other")
	theirs, err := s.client.NewContainer(ctx, "theirs", containerd.WithSpec(&spec), containerd.WithRuntime("io.containerd.runc.v2", nil))
	must(t, err)
	root := mount.Mount{Type: "bind", Source: s.path("data", "containers", s.namespace, "model", "own", "root"), Options: []string{"rbind", "rw"}}
	task, err := theirs.NewTask(ctx, cio.NullIO, containerd.WithRootFS([]mount.Mount{root}))
	must(t, err)
	defer func() {
		_, err := task.Delete(ctx, containerd.WithProcessKill)
		must(t, errors.Join(err, theirs.Delete(ctx), s.client.NamespaceService().Delete(ctx, s.namespace+"-other")))
		above, err := filepath.Glob("/sys/fs/cgroup/*/" + s.namespace + "-other")
		must(t, err)
		for _, dir := range append(above, "/sys/fs/cgroup/"+s.namespace+"-other") {
			if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the other tool's cgroup is left: %v", err)
			}
		}
		s.must("up", "one") // it is free again
		s.must("down", "one", "model")
	}()
	must(t, task.Start(ctx))
	s.fails(finding.StatusTryAgain, "HR075", "up", "one")
	s.fails(finding.StatusTryAgain, s.namespace+"-other container theirs uses it", "up", "any")
}

// TestDevicesBadFile: a CDI file with errors is named by all who look, and the others work.
func TestDevicesBadFile(t *testing.T) {
	s := newStage(t)
	kind := s.accelerators(1)
	s.write("cdi/broken.yaml", "cdiVersion: 0.3.0\nkind: [\n")
	s.job("one", "devices: ["+kind+"=0]\n")
	r := s.hostrun("check", "one")
	if r.status != 0 || !strings.Contains(r.stdout+r.stderr, "broken.yaml has errors") {
		t.Errorf("%+v", r)
	}
	if r := s.hostrun("devices"); r.status != 0 || !strings.Contains(r.stderr, "broken.yaml") {
		t.Errorf("%+v", r)
	}
	must(t, os.Remove(filepath.Join(s.dir, "dev/acc0")))
	s.fails(finding.StatusNoDevice, "does not exist", "check", "one")
	if r := s.hostrun("doctor"); !strings.Contains(r.stdout, "acc0 does not exist") || !strings.Contains(r.stdout, "broken.yaml") {
		t.Errorf("doctor:\n%s", r.stdout)
	}
	s.fails(finding.StatusProfile, "NVIDIA_VISIBLE_DEVICES", "check", "hello", "-e", "NVIDIA_VISIBLE_DEVICES=all")
}
