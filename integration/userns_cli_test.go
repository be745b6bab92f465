package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hostrun.dev/hostrun/integration/image/archive"
)

// idMapOf is the first line of a process's map of user ids: its own first, the machine's first, how many.
func idMapOf(t *testing.T, pid int) (first, outside, size int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err == nil {
		_, err = fmt.Sscan(string(text), &first, &outside, &size)
	}
	if err != nil {
		t.Fatal(err)
	}
	return first, outside, size
}

// TestUserNamespace: with userns_mode: private root of the container is nobody on the machine, while the files of the image, of volumes
// and of hostrun have the owners that they have without.
func TestUserNamespace(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job", archive.File{Path: "/of-70", Mode: 0o640, UID: 70, GID: 71, Content: []byte("x\n")}))
	before := s.inventory()
	s.write("shared/closed/in", "bound\n")
	if err := os.Chmod(s.path("shared/closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	lines := []string{"userns_mode: private", "command: [sleep, '1000']", "stop_signal: SIGKILL", "init: true",
		"volumes: ['" + s.path("shared/closed") + ":/bound', 'kept:/kept', '" + s.path("shared/closed/in") + ":/ro:ro']"}
	s.must(plain(s, lines...)...)
	pid := int(s.ps().PID)
	_, outside, size := idMapOf(t, pid)
	if outside == 0 || size != 65536 {
		t.Errorf("the container's ids are %d of the machine's from %d on", size, outside)
	}
	if got := s.must("exec", "job", "--", "sh", "-c", "busybox id -u; busybox stat -c '%u:%g' / /bin/busybox /of-70 /bound /bound/in /etc/hosts; cat /ro; "+
		"busybox touch /bound/new /kept/new /new && busybox chown 1000:1001 /bound/new && busybox stat -c '%u:%g' /new"); got != "0\n0:0\n0:0\n70:71\n0:0\n0:0\n0:0\nbound\n0:0\n" {
		t.Errorf("inside: %q", got)
	}
	if r := s.hostrun("exec", "job", "--", "sh", "-c", "echo x >/ro"); r.status == 0 {
		t.Errorf("a file that is mounted read-only was written")
	}
	for path, want := range map[string]uint32{"shared/closed/new": 1000, "data/volumes/kept/new": 0} {
		fi, err := os.Stat(s.path(path))
		if err != nil {
			t.Fatal(err)
		}
		if got := fi.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s is user %d's on the machine, not %d's", path, got, want)
		}
	}
	s.write("go", "in\n")
	copies := func(when string) {
		t.Helper()
		s.must("cp", s.path("go"), "job:/kept/in-"+when)
		s.must("cp", s.path("go"), "job:/in-"+when)
		s.must("cp", "job:/new", s.path("out-"+when))
		fi, err := os.Stat(s.path("data/volumes/kept/in-" + when))
		if err != nil || fi.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Errorf("%s: copied into a volume: %v, %v", when, fi, err)
		}
	}
	copies("running")
	s.must("restart", "job")
	if _, now, _ := idMapOf(t, int(s.ps().PID)); now != outside {
		t.Errorf("after a restart its ids begin at %d, not at %d", now, outside)
	}
	s.must("stop", "job")
	copies("stopped")
	if got := s.must(plain(s, lines...)...); !strings.Contains(got, "started") {
		t.Errorf("up of what is stopped: %q", got)
	}
	if got := s.must("exec", "job", "--", "busybox", "stat", "-c", "%u", "/new", "/in-running", "/in-stopped", "/kept/in-stopped"); got != "0\n0\n0\n0\n" {
		t.Errorf("after a restart: %q", got)
	}
	s.profile("other", "image: job:latest\npull_policy: never\nuserns_mode: auto\ncommand: [busybox, cat, /proc/self/uid_map]\nnetwork_mode: none\nsysctls: {net.ipv4.ip_forward: 1, kernel.shmmni: 100}\n")
	if got := strings.Fields(s.must("run", "other")); len(got) != 3 || got[0] != "0" || got[1] == fmt.Sprint(outside) || got[1] == "0" {
		t.Errorf("another container has the ids %q, and the first %d", got, outside)
	}
	// On a bridge the network is of the user namespace: its settings are the container's, and what is started in it later comes in.
	s.profile("web", "image: job:latest\npull_policy: never\nuserns_mode: private\nnetwork_mode: bridge\nports: ['80']\nsysctls: {net.ipv4.ip_forward: 0}\nuser: '1000'\n"+
		"stop_signal: SIGKILL\nhealthcheck: {test: [CMD, busybox, 'true'], interval: 1s}\npost_start: [{command: [busybox, 'true']}]\n"+
		"command: [busybox, httpd, -f, -p, '80', -h, /etc]\n")
	s.must("up", "--wait", "web")
	if got := s.must("exec", "web", "--", "sh", "-c", "echo $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start) $(cat /proc/sys/net/ipv4/ip_forward); busybox wget -qO - http://127.0.0.1/hostname"); got != "0 0\nweb\n" {
		t.Errorf("the bridged container: %q", got)
	}
	s.must("restart", "web")
	if got := s.must("exec", "web", "--", "busybox", "wget", "-qO", "-", "http://web/hostname"); got != "web\n" {
		t.Errorf("the bridged container after a restart: %q", got)
	}
	s.must("down", "-y", "web")
	s.must("down", "-v", "-y", "job")
	s.nothingLeft(before)
	left, err := filepath.Glob(s.path("data/ids/[0-9]*"))
	if err != nil || len(left) > 0 {
		t.Errorf("ranges are left: %v, %v", left, err)
	}
}

// TestUserNamespaceWithDevicesAndSecrets: what hostrun brings into a container is there with its owners: nodes of accelerators that only
// root and their group may open, secrets, a terminal, the named pipe of standard input; and a supervisor's restart keeps the ids.
func TestUserNamespaceWithDevicesAndSecrets(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	kind := s.accelerators(1)
	must(t, os.Chown(s.path("dev/acc0"), 0, 1006))
	before := s.inventory()
	s.write("key", "s3cret\n")
	up := plain(s, "userns_mode: auto", "user: '1000'", "group_add: ['1006']", "command: [sh, -c, 'cat; sleep 1000']", "stop_signal: SIGKILL", "stdin_open: true", "restart: always",
		"devices: ['"+kind+"=0']", "secrets: {key: {file: "+s.path("key")+", uid: '1000', gid: '1001', mode: 0400}}")
	s.must(up...)
	look := "busybox stat -c '%u:%g %a %t' /dev/acc0 /run/secrets/key /.hostrun-stdin; cat /run/secrets/key; busybox ls /opt/acc"
	want := "0:1006 660 f1\n1000:1001 400 0\n1000:0 600 0\ns3cret\nlibacc.so\n"
	if got := s.must("exec", "job", "--", "sh", "-c", look); got != want {
		t.Errorf("inside: %q, want %q", got, want)
	}
	first := s.ps().PID
	_, outside, _ := idMapOf(t, first)
	s.crash("job")
	second := first
	s.comes("it runs again", func() error {
		c := s.ps()
		if second = c.PID; c.Status != "running" || second == first {
			return fmt.Errorf("it is %s, process %d", c.Status, second)
		}
		return nil
	})
	if _, now, _ := idMapOf(t, second); now != outside {
		t.Errorf("after a restart its ids begin at %d, not at %d", now, outside)
	}
	if got := s.must("exec", "job", "--", "sh", "-c", look); got != want {
		t.Errorf("after a restart: %q, want %q", got, want)
	}
	if text, status := s.onTerminal(80, 24, "exec", "-it", "job", "--", "sh", "-c", "busybox stty size && echo of $(busybox stat -c %u $(busybox tty))"); status != 0 || !strings.Contains(text, "24 80") {
		t.Errorf("a terminal: status %d, %q", status, text)
	}
	s.must("stats", "--no-stream", "job")
	s.must("down", "job")
	s.nothingLeft(before)
}
