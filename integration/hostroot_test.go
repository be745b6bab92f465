package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// machineSecrets are planted in the machine of these tests; none may be seen by a container.
var machineSecrets = []string{"/root/.ssh/id_ed25519", "/home/ann/.netrc", "/home/ann/.docker/config.json", "/home/ann/.kube/config", "/etc/shadow", "/etc/gshadow",
	"/etc/sudoers", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssl/private/key.pem", "/etc/krb5.keytab", "/etc/NetworkManager/system-connections/wifi", "/etc/environment",
	"/etc/profile.d/proxy.sh", "/etc/machine-id", "/etc/kubernetes/admin.conf", "/etc/pip.conf", "/var/lib/kubelet/pki/key", "/var/log/auth.log", "/var/tmp/old",
	"/tmp/old", "/srv/data", "/mnt/nfs", "/boot/key", "/run/secrets/token", "/opt/closed/key", "/usr/local/etc/api.key", "/data/key"}

// closedSecrets lie in directories that a container is shown, and are closed to others: they are covered there.
var closedSecrets = []string{"/etc/ssl/certs/server.key", "/opt/tool/.env", "/opt/tool/conf/key", "/usr/lib/container-auth.json", "/usr/closed/key",
	"/usr/local/nginx/conf/key.pem", "/usr/local/share/keys/key", "/usr/etc/shadow", "/usr/lib/credstore/db"}

// fakeMachine is a small machine of busybox below a directory, with merged /usr or with directories of old, secrets, a socket and a
// file system that is mounted below /usr.
func fakeMachine(t *testing.T, merged bool) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		fixture.Skip(t, "busybox-static is not installed (apt-get install busybox-static)")
	}
	body, err := os.ReadFile(busybox)
	ok(t, err)
	dir, err := os.MkdirTemp("/tmp", "hrm")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	plant := func(name, content string, mode os.FileMode) {
		p := filepath.Join(dir, name)
		ok(t, os.MkdirAll(filepath.Dir(p), 0o755))
		ok(t, exectest.WriteFile(p, []byte(content), mode))
	}
	bin := "bin"
	if merged {
		bin = "usr/bin"
		ok(t, os.Symlink("usr/bin", filepath.Join(dir, "bin")))
	}
	plant(bin+"/busybox", string(body), 0o755)
	for _, applet := range []string{"sh", "cat", "ls", "touch", "id", "sleep", "grep", "mkdir", "readlink", "wc"} {
		ok(t, os.Symlink("busybox", filepath.Join(dir, bin, applet)))
	}
	for _, s := range append(slices.Clone(machineSecrets), closedSecrets...) {
		plant(s, "secret\n", 0o600)
	}
	plant("opt/tool/conf/open", "open\n", 0o644)
	plant("opt/tool/closed-program", "#!/bin/sh\n", 0o711)
	for _, closed := range []string{"usr/closed", "usr/local/share/keys"} {
		ok(t, os.Chmod(filepath.Join(dir, closed), 0o711))
	}
	plant("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n", 0o644)
	plant("etc/group", "root:x:0:\nann:x:1000:\nvideo:x:44:ann\n", 0o644)
	plant("etc/ssl/certs/ca.pem", "certificate\n", 0o644)
	plant("opt/tool/file", "tool\n", 0o644)
	plant("proc/self/net/unix", "Num RefCount Protocol Flags Type St Inode Path\n0: 2 0 00010000 0001 01 1 /opt/tool/service.sock\n0: 2 0 00010000 0001 01 2 /opt/tool/file\n", 0o444)
	plant("proc/self/mountinfo", "30 1 0:30 / /usr/mounted rw - tmpfs tmpfs rw\n", 0o644)
	ok(t, os.Chmod(filepath.Join(dir, "opt/closed"), 0o711))
	ok(t, os.Symlink("../root", filepath.Join(dir, "opt/leak")))
	ok(t, os.Symlink("/home/ann/.netrc", filepath.Join(dir, "etc/nccl.conf")))
	for _, name := range []string{"run/docker.sock", "opt/tool/service.sock"} {
		socket, err := net.Listen("unix", filepath.Join(dir, name))
		ok(t, err)
		t.Cleanup(func() { _ = socket.Close() })
	}
	mounted := filepath.Join(dir, "usr/mounted")
	ok(t, os.MkdirAll(mounted, 0o755))
	ok(t, unix.Mount("tmpfs", mounted, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { _ = unix.Unmount(mounted, unix.MNT_DETACH) })
	ok(t, os.WriteFile(filepath.Join(mounted, "file"), []byte("mounted\n"), 0o644))
	return dir
}

// hostRootFacts are those of a profile without an image on the machine below dir.
func (w *world) hostRootFacts(dir, id string, change func(*profiles.Profile), args ...string) plan.Facts {
	w.t.Helper()
	command := profiles.Command(args)
	atOnce := time.Duration(0)
	p := profiles.Profile{Name: "test", Rootfs: profiles.HostRoot, ReadOnly: true, Command: &command, StopGracePeriod: &atOnce}
	if change != nil {
		change(&p)
	}
	machine, err := host.Probe(context.Background(), host.Options{Root: "/"}, host.Needs{})
	ok(w.t, err)
	engine, err := w.c.Engine(context.Background())
	ok(w.t, err)
	machine.Hosts, machine.ResolvConf = "", ""
	return plan.Facts{Schema: 1, ID: id, Profile: p, Host: machine, Engine: engine, Image: runtime.HostRoot(dir, plan.Needs(&p))}
}

// on builds the plan and lets its mounts come from the machine below dir.
func on(t *testing.T, dir string, f plan.Facts) plan.Plan {
	t.Helper()
	pl, err := plan.Build(f)
	if err != nil {
		t.Fatalf("%v: %v", err, pl.Findings)
	}
	for i, m := range pl.Spec.Mounts {
		if _, err := os.Lstat(filepath.Join(dir, m.Source)); err == nil && m.Type == "bind" {
			pl.Spec.Mounts[i].Source = filepath.Join(dir, m.Source)
		}
		for j, o := range m.Options {
			if lower, ok := strings.CutPrefix(o, "lowerdir="); ok {
				pl.Spec.Mounts[i].Options[j] = "lowerdir=" + filepath.Join(dir, lower)
			}
		}
	}
	return pl
}

// look is a script that says what of some paths it sees, and to which of others it can write.
func look(see, write []string) string {
	return fmt.Sprintf(`for f in %s; do if [ -f $f ] || [ -d $f ] || [ -S $f ]; then echo seen $f; fi; done
for f in %s; do if touch $f 2>/dev/null; then echo written $f; fi; done
for d in /run /home /root /tmp; do if [ -n "$(ls -A $d 2>/dev/null)" ]; then echo not empty $d; fi; done`, strings.Join(see, " "), strings.Join(write, " "))
}

func (w *world) prints(pl plan.Plan, want ...string) {
	w.t.Helper()
	var out output
	status, err := w.c.Run(context.Background(), pl, runtime.IO{Stdout: &out, Stderr: &out}, nil)
	ok(w.t, err)
	got := slices.DeleteFunc(strings.Split(out.String(), "\n"), func(line string) bool { return line == "" })
	if status != 0 || !slices.Equal(got, want) {
		w.t.Errorf("status %d, printed %q, want %q", status, got, want)
	}
}

// TestHostRootShowsProgramsAndNoSecrets: what is planted on the machine is not in the container, and nothing of the machine can be
// written to, be it mounted below a directory, with the OCI runtime's recursive option or without.
func TestHostRootShowsProgramsAndNoSecrets(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name              string
			merged, recursive bool
		}{{"merged", true, true}, {"split", false, true}, {"no recursive option", true, false}} {
			t.Run(c.name, func(t *testing.T) {
				w := &world{t: t, ctrd: w.ctrd, opt: w.opt, c: w.c}
				dir := fakeMachine(t, c.merged)
				see := slices.Concat(machineSecrets, closedSecrets, []string{"/bin/sh", "/etc/passwd", "/etc/ssl/certs/ca.pem", "/usr/mounted/file", "/opt/tool/file", "/opt/tool/conf/open",
					"/opt/tool/closed-program", "/opt/tool/service.sock", "/opt/leak", "/etc/nccl.conf", "/run/docker.sock"})
				write := []string{"/x", "/usr/x", "/usr/mounted/x", "/opt/tool/x", "/opt/x", "/etc/x", "/etc/passwd", "/etc/ssl/certs/x", "/bin/x"}
				f := w.hostRootFacts(dir, "job", nil, "sh", "-c", look(see, write)+"; touch /tmp/x /run/x /root/x /var/tmp/x && echo scratch")
				if !c.recursive {
					f.Engine.MountOptions = nil
				}
				w.prints(on(t, dir, f), "seen /bin/sh", "seen /etc/passwd", "seen /etc/ssl/certs/ca.pem", "seen /usr/mounted/file", "seen /opt/tool/file",
					"seen /opt/tool/conf/open", "seen /opt/tool/closed-program", "scratch")
				w.clean()
				unwritten(t, dir, "usr", "usr/mounted", "opt", "opt/tool", "etc", "etc/ssl/certs", "bin", "tmp", "run", "root")
			})
		}
	})
}

// unwritten fails the test where the container's x is on the machine.
func unwritten(t *testing.T, dir string, below ...string) {
	t.Helper()
	for _, d := range below {
		if _, err := os.Lstat(filepath.Join(dir, d, "x")); err == nil {
			t.Errorf("the container has written to %s of the machine", d)
		}
	}
}

// TestHostRootWritableLayerVanishes: it is the container's own, outlives a stop as an image's container's does, and goes
// with it.
func TestHostRootWritableLayerVanishes(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		dir := fakeMachine(t, true)
		all := "/x /usr/x /usr/bin/x /opt/tool/x /etc/x /tmp/x /root/x /home/x"
		script := "mkdir -p /home; for f in " + all + "; do if [ -e $f ]; then echo kept $f; else touch $f && echo new $f; fi; done; for f in " +
			"/usr/mounted/x /etc/passwd /etc/ssl/certs/x /usr/local/etc/x; do if touch $f 2>/dev/null; then echo written $f; fi; done; sleep 1000"
		f := w.hostRootFacts(dir, "job", func(p *profiles.Profile) { p.ReadOnly = false }, "sh", "-c", script)
		pl := on(t, dir, f)
		w.up(pl, "created")
		w.up(pl, "unchanged")
		made, kept := "", ""
		for _, p := range strings.Fields(all) {
			made, kept = made+"new "+p+"\n", kept+"kept "+p+"\n"
		}
		w.eventually("it writes", func() error { return w.logged("job", made, "") })
		equal(t, "image", w.one("job").Image, "")
		ctx := context.Background()
		ok(t, w.c.Stop(ctx, "job", nil))
		ok(t, w.c.Start(ctx, "job"))
		w.eventually("it finds what it wrote", func() error { return w.logged("job", made+kept, "") })
		if fi, err := os.Stat(filepath.Join(w.opt.DataDir, "containers", w.opt.Namespace, "job", "own")); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("the layer is open to others: %v %v", fi, err) // a set-user-ID program in it would be theirs to run
		}
		ok(t, w.c.Down(ctx, "job", nil))
		w.clean()
		unwritten(t, dir, ".", "usr", "usr/bin", "opt/tool", "etc", "tmp", "root", "home", "usr/mounted", "etc/ssl/certs", "usr/local/etc")
	})
}

// TestHostRootRunsAsAUserOfTheMachine: names are those of the machine's passwd, and the home directory is a new one.
func TestHostRootRunsAsAUserOfTheMachine(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		dir := fakeMachine(t, true)
		f := w.hostRootFacts(dir, "job", func(p *profiles.Profile) { p.User = "ann" }, "sh", "-c",
			`id -u; id -G; echo $HOME; ls -A /home/ann | wc -l; touch $HOME/x /tmp/x && echo scratch; touch /run/x 2>/dev/null || echo closed`)
		w.prints(on(t, dir, f), "1000", "1000 44", "/home/ann", "0", "scratch", "closed")
		w.clean()
	})
}

// TestHostRootWithoutAPlaceForALayer: where overlayfs does not take the file system of hostrun's directory, the error says what to do.
func TestHostRootWithoutAPlaceForALayer(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		dir := fakeMachine(t, true)
		for _, d := range []string{"lower", "upper", "work", "data"} {
			ok(t, os.Mkdir(w.ctrd.Path(d), 0o755))
		}
		data := w.ctrd.Path("data") // no overlay goes over an overlay's upper layer
		ok(t, unix.Mount("overlay", data, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", w.ctrd.Path("lower"), w.ctrd.Path("upper"), w.ctrd.Path("work"))))
		defer func() { ok(t, unix.Unmount(data, unix.MNT_DETACH)) }()
		opt := w.opt
		opt.DataDir = data
		c, err := runtime.Open(context.Background(), opt)
		ok(t, err)
		defer c.Close()
		v := &world{t: t, ctrd: w.ctrd, opt: opt, c: c}
		_, err = c.Up(context.Background(), on(t, dir, v.hostRootFacts(dir, "job", func(p *profiles.Profile) { p.ReadOnly = false }, "true")), false)
		refused(t, "up", err, 1, "writable layer", "read_only", "ext4")
		if l := v.leaks(); len(l.Containers)+len(l.Tasks)+len(l.Shims)+len(l.Cgroups)+len(l.Files) > 0 || len(l.Mounts) > 1 {
			t.Errorf("left behind:\n%s", l)
		}
	})
}

// TestHostRootFactsShowNoMoreThanTheContainer: a path is known only where the container has it.
func TestHostRootFactsShowNoMoreThanTheContainer(t *testing.T) {
	if os.Getuid() != 0 {
		fixture.Skip(t, "a file system has to be mounted, which needs root")
	}
	dir := fakeMachine(t, true)
	img := runtime.HostRoot(dir, plan.ImageNeeds{Paths: append(slices.Clone(machineSecrets), "/bin/sh", "/usr/mounted/file", "/opt/leak/.ssh/id_ed25519")})
	for _, p := range append(slices.Clone(machineSecrets), "/opt/leak/.ssh/id_ed25519", "/opt/leak", "/root", "/home/ann", "/", "/etc") {
		if at, known := img.Paths[p]; known && p != "/usr/local/etc/api.key" { // masked by a mount: its place is known
			t.Errorf("%s is known: %+v", p, at)
		}
	}
	equal(t, "/bin/sh", img.Paths["/bin/sh"].Real, "/usr/bin/busybox")
	closed := map[string]string{ // what is covered as a whole, and a socket; no other of a container's, whose name is a file here
		"/etc/ssl/certs": "/etc/ssl/certs/server.key", "/opt/tool": "/opt/tool/.env /opt/tool/conf/key /opt/tool/service.sock",
		"/usr": "/usr/closed /usr/lib/container-auth.json /usr/local/etc/api.key /usr/local/nginx/conf/key.pem /usr/local/share/keys",
	}
	var have []string
	for _, e := range img.Root {
		have = append(have, e.Path)
	}
	equal(t, "root", strings.Join(have, " "), "/bin /etc/group /etc/passwd /etc/ssl/certs /opt/tool /usr /usr/etc /usr/lib/credstore /usr/local/etc")
	for _, e := range img.Root {
		if e.Path == "/usr" && !slices.Equal(e.Mounts, []string{"/usr/mounted"}) {
			t.Errorf("mounts below /usr: %q", e.Mounts)
		}
		if want := closed[e.Path]; strings.Join(e.Closed, " ") != want {
			t.Errorf("closed below %s: %q, want %q", e.Path, e.Closed, want)
		}
	}
}

// TestHostRootKilledAnywhere kills up and down at each step: the same command again heals, and nothing stays behind.
func TestHostRootKilledAnywhere(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		dir := fakeMachine(t, true)
		writable := func(p *profiles.Profile) { p.ReadOnly = false }
		pl := quick(on(t, dir, w.hostRootFacts(dir, "job", writable, "sleep", "1000")))
		for _, d := range []struct {
			verb  string
			steps []string
		}{{"up", creation}, {"down", removal}} {
			for _, step := range d.steps {
				if step == "snapshot-marked" || step == "snapshot-made" {
					continue // no layer is made ahead where there is no image
				}
				if d.verb == "down" {
					w.running(pl)
				}
				inReaper := d.verb == "down" && step != "removal-marked" // then down itself succeeds
				if !w.die(d.verb, step, pl) && !inReaper {
					t.Errorf("%s does not come to step %s", d.verb, step)
				}
				w.running(pl)
				ok(t, w.c.Remove(context.Background(), "job", true))
				w.clean()
			}
		}
	})
}
