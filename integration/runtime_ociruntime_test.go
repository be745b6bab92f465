package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// cgroupKinds are the machines that crun works on.
var cgroupKinds = map[string]fixture.Option{"cgroup v1": fixture.PureCgroup1(), "cgroup v2": fixture.Cgroup2()}

func needCrun(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("crun"); err != nil {
		fixture.Skip(t, "crun is not installed (apt-get install crun)")
	}
}

// TestRuntimeCrun: crun is hostrun's choice where it works, and everything works with it.
func TestRuntimeCrun(t *testing.T) {
	needCrun(t)
	for _, e := range fixture.Engines(t) {
		for name, option := range cgroupKinds {
			t.Run(e.Name+" "+name, func(t *testing.T) {
				ctrd := fixture.StartContainerd(t, e.Binary, option)
				w := newWorld(t, ctrd)
				w.opt.RuntimeRoot = ctrd.Path("oci")
				var err error
				ok(t, w.c.Close())
				w.c, err = runtime.Open(context.Background(), w.opt)
				ok(t, err)
				w.load(fixture.BusyboxImage(t, busybox))
				w.life(w.engine("runc"), "runc ")
				if e := w.engine("crun"); strings.Contains(e.RuntimeError, "CAP_SYS_RESOURCE") { // and this machine has not, for cgroup v2
					t.Log(e.RuntimeError)
					w.life(w.engine(""), "runc ")
					return
				}
				w.life(w.engine(""), "crun ")
			})
		}
	}
}

// engine asks for an OCI runtime.
func (w *world) engine(asked string) plan.Engine {
	w.t.Helper()
	e, err := w.c.EngineFor(context.Background(), asked)
	ok(w.t, err)
	return e
}

// life is that of a container with the engine's OCI runtime.
func (w *world) life(e plan.Engine, version string) {
	w.t.Helper()
	ctx := context.Background()
	if !strings.HasPrefix(e.OCIRuntime, version) || e.RuntimeError != "" || !slices.Contains(e.MountOptions, "rro") {
		w.t.Fatalf("runtime %q, mount options %v: %s", e.OCIRuntime, e.MountOptions, e.RuntimeError)
	}
	with := func(pl plan.Plan) plan.Plan {
		pl.RuntimePath, pl.RuntimeRoot = e.RuntimePath, e.RuntimeRoot
		return pl
	}
	status, err := w.c.Run(ctx, with(w.plan("one", "sh", "-c", "exit 3")), runtime.IO{}, nil)
	ok(w.t, err)
	equal(w.t, "status", status, 3)
	dir := w.t.TempDir()
	ok(w.t, os.Chmod(filepath.Dir(w.opt.StateDir), 0o711)) // as /run and /run/containerd are
	status, err = w.c.Run(ctx, with(ownIDs(w.plan("mapped", "sh", "-c", "busybox stat -c %u:%g / && echo x >/bound/new && ls -l /dev/null-too && echo x >/dev/null-too && ! busybox mount -t tmpfs x /proc"), dir, w.opt)), runtime.IO{}, nil)
	ok(w.t, err)
	equal(w.t, "status with ids of its own", status, 0)
	fi, err := os.Stat(filepath.Join(dir, "new"))
	ok(w.t, err)
	equal(w.t, "owner of what it made", fi.Sys().(*syscall.Stat_t).Uid, 0)
	pl := with(w.plan("web", "sh", "-c", "echo out; trap 'exit 5' TERM; sleep 1000 & wait"))
	w.up(pl, "created")
	w.up(pl, "unchanged")
	if found, err := filepath.Glob(filepath.Join(e.RuntimeRoot, w.opt.Namespace, "web")); err != nil || len(found) != 1 {
		w.t.Errorf("the runtime's state is not below %s", e.RuntimeRoot)
	}
	w.eventually("it logs", func() error { return w.logged("web", "out\n", "") })
	status, err = w.c.Exec(ctx, "web", runtime.ExecOptions{Args: []string{"true"}}, runtime.IO{}, nil)
	ok(w.t, err)
	equal(w.t, "exec", status, 0)
	ok(w.t, w.c.Stop(ctx, "web", nil))
	equal(w.t, "exit status", *w.one("web").ExitStatus, 5)
	ok(w.t, w.c.Start(ctx, "web"))
	ok(w.t, w.c.Kill(ctx, "web", "KILL"))
	ok(w.t, w.c.Down(ctx, "web", nil))
	_, err = w.c.Run(ctx, with(w.plan("none", "nosuch")), runtime.IO{}, nil)
	refused(w.t, "no such command", err, 127, "nosuch")
	_, err = w.c.Run(ctx, with(w.plan("noexec", "/etc/notexec")), runtime.IO{}, nil)
	refused(w.t, "not executable", err, 126, "/etc/notexec")
	w.clean()
}

// TestRuntimeChoice: what a profile asks for has to work; what hostrun chooses does.
func TestRuntimeChoice(t *testing.T) {
	needCrun(t)
	w := newWorld(t, fixture.StartContainerd(t, fixture.Engines(t)[0].Binary))
	controllers, _ := os.ReadFile("/sys/fs/cgroup/unified/cgroup.controllers")
	hybrid := len(strings.TrimSpace(string(controllers))) > 0
	want := map[bool]string{true: "runc ", false: "crun "}[hybrid]
	if e := w.engine(""); !strings.HasPrefix(e.OCIRuntime, want) || e.RuntimeError != "" {
		t.Errorf("hybrid %v: %s %s", hybrid, e.OCIRuntime, e.RuntimeError)
	}
	if e := w.engine("crun"); hybrid != strings.Contains(e.RuntimeError, "beside cgroup v1") {
		t.Errorf("hybrid %v: %s", hybrid, e.RuntimeError)
	}
	if e := w.engine("/usr/sbin/runc"); !strings.HasPrefix(e.OCIRuntime, "runc ") || e.RuntimePath != "/usr/sbin/runc" || e.RuntimeError != "" {
		t.Errorf("by path: %+v", e)
	}
	if e := w.engine("/no/such"); !strings.Contains(e.RuntimeError, "/no/such") {
		t.Errorf("missing: %q", e.RuntimeError)
	}
}

// TestRuntimeWithoutOverlay: a machine without overlayfs copies the image for each container, and is told so.
func TestRuntimeWithoutOverlay(t *testing.T) {
	for _, e := range fixture.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			w := newWorld(t, fixture.StartContainerd(t, e.Binary, fixture.Disabled("io.containerd.snapshotter.v1.overlayfs")))
			ctx := context.Background()
			var said output
			w.opt.Progress = func(e runtime.Event) { _, _ = said.Write([]byte(e.ID + " " + e.Status + " " + e.Text + "\n")) }
			ok(t, w.c.Close())
			var err error
			w.c, err = runtime.Open(ctx, w.opt)
			ok(t, err)
			w.load(fixture.BusyboxImage(t, busybox))
			status, err := w.c.Run(ctx, w.plan("one", "sh", "-c", "touch /made; exit 3"), runtime.IO{}, nil)
			ok(t, err)
			equal(t, "status", status, 3)
			w.up(quick(w.plan("web", "sleep", "1000")), "created")
			ok(t, w.c.Stop(ctx, "web", nil))
			ok(t, w.c.Start(ctx, "web"))
			ok(t, w.c.Down(ctx, "web", nil))
			if n := strings.Count(said.String(), "no overlayfs"); n != 1 {
				t.Errorf("said %d times:\n%s", n, said.String())
			}
		})
	}
}

// ownIDs gives a plan a user namespace, a directory with the owners that it has outside, and a device node.
func ownIDs(pl plan.Plan, dir string, o runtime.Options) plan.Plan {
	ids := []specs.LinuxIDMapping{{HostID: 0x7ff00000, Size: 1 << 16}}
	mode := os.FileMode(0o666)
	pl.Stage = plan.StageDirectory(o.StateDir, o.Namespace, pl.ID)
	pl.Labels[plan.LabelIDs] = "2146435072:2146435072:65536"
	pl.Spec.Linux.UIDMappings, pl.Spec.Linux.GIDMappings = ids, ids
	pl.Spec.Linux.Namespaces = append(pl.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	pl.Spec.Linux.Devices = append(pl.Spec.Linux.Devices, specs.LinuxDevice{Path: "/dev/null-too", Type: "c", Major: 1, Minor: 3, FileMode: &mode})
	for i, m := range pl.Spec.Mounts {
		if m.Type == "sysfs" { // it has the machine's network
			pl.Spec.Mounts[i] = specs.Mount{Destination: "/sys", Type: "bind", Source: "/sys", Options: []string{"rbind", "rprivate", "rro", "nosuid", "noexec", "nodev"}}
		}
	}
	pl.Spec.Mounts = append(pl.Spec.Mounts, specs.Mount{Destination: "/bound", Type: "bind", Source: dir, Options: []string{"rbind", "rprivate", "nosuid", "ridmap"}, UIDMappings: ids, GIDMappings: ids})
	return pl
}
