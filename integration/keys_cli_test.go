package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/integration/image/archive"
	"hostrun.dev/hostrun/runtime"
)

// TestSecretsAndConfigs: files in memory, with their owner and mode; nowhere else; kept over a restart, replaced when they change, and
// gone after down.
func TestSecretsAndConfigs(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	const secret, other = "correct-horse-battery", "staple-of-another-kind"
	s.write("profiles/cert.pem", secret+"-from-file\n")
	s.write("creds/from_systemd", "by systemd\n")
	s.life("safe", "cat /run/secrets/token | busybox wc -c; exec sleep 1000", "restart: always", "user: \"1000:1000\"",
		"secrets: [{source: token, environment: SAFE_TOKEN, mode: 0400}, {source: cert, file: ./cert.pem, target: server.crt, uid: \"0\", gid: 7, mode: 0640}, from_systemd]",
		"configs: {app.ini: {content: \"debug=$${HOME}\\n\"}, deep: {file: ./cert.pem, target: /etc/deep/er.conf}}")
	up := func(token string, args ...string) result {
		cmd := s.command(append([]string{"up", "safe"}, args...)...)
		cmd.Env = append(cmd.Env, "CREDENTIALS_DIRECTORY="+s.path("creds"))
		if token != "" {
			cmd.Env = append(cmd.Env, "SAFE_TOKEN="+token)
		}
		return finish(cmd)
	}
	if r := up(""); r.status != 66 || !strings.Contains(r.stderr, "safe.yaml:") || !strings.Contains(r.stderr, "HR270") || !strings.Contains(r.stderr, "SAFE_TOKEN is not set") {
		t.Errorf("without the variable: %v", r)
	}
	if r := up(secret); r.status != 0 || !strings.Contains(r.stdout, "safe created") {
		t.Fatalf("%v", r)
	}
	show := func() string {
		return s.must("exec", "--user=0", "safe", "--", "sh", "-c",
			"cd /run/secrets; for f in token server.crt from_systemd /app.ini /etc/deep/er.conf; do busybox stat -c '%n %a %u %g' $f; cat $f; echo; done; busybox grep -c ' /run/secrets/token ramfs ro,' /proc/mounts; echo x >token || true")
	}
	want := func(token string) string {
		return fmt.Sprintf("token 400 1000 1000\n%s\nserver.crt 440 0 7\n%s-from-file\n\nfrom_systemd 444 1000 1000\nby systemd\n\n/app.ini 444 1000 1000\ndebug=${HOME}\n\n/etc/deep/er.conf 444 1000 1000\n%s-from-file\n\n1\n", token, secret, secret)
	}
	if got := show(); got != want(secret) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want(secret))
	}
	for _, words := range [][]string{{"inspect", "safe"}, {"spec", "safe"}, {"facts", "safe"}, {"logs", "safe"}, {"ps", "-a", "--format", "json"}} {
		cmd := s.command(words...)
		cmd.Env = append(cmd.Env, "SAFE_TOKEN="+secret, "CREDENTIALS_DIRECTORY="+s.path("creds"))
		if r := finish(cmd); r.status != 0 || strings.Contains(r.stdout+r.stderr, secret) {
			t.Errorf("hostrun %v tells the secret: %v", words, r)
		}
	}
	for _, file := range holding(t, secret, s.path("data"), s.path("state"), s.path("cache"), filepath.Join(theatre.engine.root, "io.containerd.metadata.v1.bolt"), filepath.Join(filepath.Dir(theatre.engine.address), "state")) {
		if file != s.path("profiles/cert.pem") {
			t.Errorf("the secret is on disk: %s", file)
		}
	}
	if r := up(secret); !strings.Contains(r.stdout, "safe unchanged") {
		t.Errorf("once more: %v", r)
	}
	if r := up(other); !strings.Contains(r.stdout, "safe replaced") || !strings.Contains(r.stdout, "secret token: another content") || strings.Contains(r.stdout, other) {
		t.Errorf("with another secret: %v", r)
	}
	// Neither the supervisor nor these commands have the variable.
	must(t, unix.Kill(s.all()["safe"].PID, unix.SIGKILL))
	s.comes("it has been started again", func() error {
		if c := s.all()["safe"]; c.Restarts != 1 || c.Status != "running" {
			return fmt.Errorf("%+v", c)
		}
		return nil
	})
	s.must("restart", "safe")
	s.must("stop", "safe")
	s.must("start", "safe")
	if got := show(); got != want(other) {
		t.Errorf("after restarts:\n%s", got)
	}
	s.must("down", "safe")
	s.comes("nothing is left", func() error {
		if left := holding(t, other, s.path("state")); len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}

// holding are the files below dirs, on a disk, that hold text.
func holding(t *testing.T, text string, dirs ...string) []string {
	t.Helper()
	var found []string
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return nil // it goes at this moment
			}
			if e.IsDir() {
				var at unix.Statfs_t
				if unix.Statfs(path, &at) == nil && (at.Type == unix.RAMFS_MAGIC || at.Type == unix.OVERLAYFS_SUPER_MAGIC) {
					return filepath.SkipDir
				}
				return nil
			}
			if !e.Type().IsRegular() {
				return nil
			}
			if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), text) {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

// TestWeightsAndNamespaces: what a profile says of limits, weights and shared namespaces is what the kernel has.
func TestWeightsAndNamespaces(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	s.profile("bound", `image: job
pull_policy: never
command: [sleep, "1000"]
cpu_shares: 512
cpu_period: 50000
cpu_quota: 25000
mem_limit: 64m
mem_reservation: 32m
oom_score_adj: 321
umask: 0027
uts: host
cgroup_parent: /keys-test
device_cgroup_rules: ["c 10:229 rw"]
deploy: {resources: {limits: {pids: 99}}}
blkio_config: {weight: 300}
`)
	s.profile("beside", "image: job\npull_policy: never\ncommand: [sleep, '1000']\npid: container:bound\ndepends_on: [bound]\n")
	s.must("up", "bound", "beside")
	pid := s.all()["bound"].PID
	group := map[string]string{}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for _, controller := range strings.Split(f[1], ",") {
				group[controller] = f[2]
			}
		}
	}
	read := func(controller, v1, v2 string) string {
		file := filepath.Join("/sys/fs/cgroup", controller, group[controller], v1)
		if _, v1there := group[controller]; !v1there {
			file = filepath.Join("/sys/fs/cgroup", group[""], v2)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(b))
	}
	for _, c := range []struct{ what, got, v1, v2 string }{
		{"cpu_shares", read("cpu", "cpu.shares", "cpu.weight"), "512", "20"},
		{"cpu_quota", read("cpu", "cpu.cfs_quota_us", "cpu.max"), "25000", "25000 50000"},
		{"mem_reservation", read("memory", "memory.soft_limit_in_bytes", "memory.low"), "33554432", "33554432"},
		{"pids", read("pids", "pids.max", "pids.max"), "99", "99"},
	} {
		if c.got != c.v1 && c.got != c.v2 {
			t.Errorf("%s: %s, want %s or %s", c.what, c.got, c.v1, c.v2)
		}
	}
	for controller, path := range group {
		if controller == "memory" && !strings.HasPrefix(path, "/keys-test/") && !strings.Contains(path, "/keys-test/") {
			t.Errorf("cgroup_parent: %s is in %s", controller, path)
		}
	}
	got := s.must("exec", "bound", "--", "sh", "-c", "cat /proc/1/oom_score_adj; busybox grep Umask /proc/1/status; busybox hostname")
	host, err := os.Hostname()
	must(t, err)
	if want := "321\nUmask:\t0027\n" + host + "\n"; got != want {
		t.Errorf("in the container %q, want %q", got, want)
	}
	// Two first processes: that of bound is 1, and the other one is seen beside it.
	if got := s.must("exec", "beside", "--", "busybox", "ps", "-o", "pid,args"); strings.Count(got, "sleep 1000") != 2 {
		t.Errorf("pid: container:bound shows\n%s", got)
	}
	s.must("stop", "bound")
	if r := s.hostrun("restart", "beside"); r.status == 0 || !strings.Contains(r.stderr, "shares the processes of container bound, which does not run") {
		t.Errorf("beside without bound: %v", r)
	}
	s.must("down", "beside", "bound")
	left, _ := filepath.Glob("/sys/fs/cgroup/*/keys-test/*/bound")
	if len(left) > 0 {
		t.Errorf("cgroups are left: %v", left)
	}
	for _, dir := range []string{"/sys/fs/cgroup/*/keys-test/*", "/sys/fs/cgroup/*/keys-test", "/sys/fs/cgroup/keys-test/*", "/sys/fs/cgroup/keys-test"} {
		all, _ := filepath.Glob(dir)
		for _, one := range all {
			_ = os.Remove(one)
		}
	}
}

// TestSharedIPC: two containers have one IPC namespace and one /dev/shm; service: starts the other one first, and nothing of it stays.
func TestSharedIPC(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	before := s.inventory()
	s.profile("donor", "image: job\npull_policy: never\ncommand: [sleep, '1000']\nstop_signal: SIGKILL\nipc: shareable\n")
	s.profile("mate", "image: job\npull_policy: never\ncommand: [sleep, '1000']\nstop_signal: SIGKILL\nipc: service:donor\n")
	s.must("up", "mate")
	all := s.all()
	ipc := func(name string) string {
		where, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/ipc", all[name].PID))
		must(t, err)
		return where
	}
	if ipc("donor") != ipc("mate") {
		t.Errorf("namespaces %s and %s", ipc("donor"), ipc("mate"))
	}
	s.must("exec", "donor", "--", "sh", "-c", "echo word >/dev/shm/word")
	if got := s.must("exec", "mate", "--", "sh", "-c", "busybox cat /dev/shm/word; echo back >/dev/shm/back"); got != "word\n" {
		t.Errorf("/dev/shm of donor as mate sees it: %q", got)
	}
	if got := s.must("exec", "donor", "--", "busybox", "cat", "/dev/shm/back"); got != "back\n" {
		t.Errorf("what mate wrote: %q", got)
	}
	s.must("stop", "donor", "mate")
	if r := s.hostrun("start", "mate"); r.status == 0 || !strings.Contains(r.stderr, "shares the IPC of container donor, which does not run") {
		t.Errorf("mate without donor: %v", r)
	}
	s.must("down", "mate", "donor")
	s.nothingLeft(before)
}

// TestSubpath: a part of a volume is what the container sees, and nothing that a link in the volume leads to.
func TestSubpath(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	part := func(path string) {
		s.profile("part", "image: job\npull_policy: never\ncommand: [sleep, '1000']\nstop_signal: SIGKILL\nvolumes: [{type: volume, source: v, target: /part, volume: {subpath: "+path+"}}]\n")
	}
	part("in/here")
	if r := s.hostrun("up", "part"); r.status != 66 || !strings.Contains(r.stderr, "the volume v does not have it") {
		t.Errorf("a part that is not there: %v", r)
	}
	volume := s.path("data/volumes/v")
	must(t, os.MkdirAll(filepath.Join(volume, "in/here"), 0o755))
	must(t, os.WriteFile(filepath.Join(volume, "in/here/file"), []byte("inside\n"), 0o644))
	must(t, os.Symlink("/etc", filepath.Join(volume, "out")))
	must(t, os.Symlink("in", filepath.Join(volume, "within")))
	s.must("up", "part")
	s.must("stop", "part")
	s.must("start", "part")
	if got := s.must("exec", "part", "--", "sh", "-c", "ls /part; cat /part/file"); got != "file\ninside\n" {
		t.Errorf("the part has %q", got)
	}
	part("out")
	if r := s.hostrun("up", "part"); r.status != 77 || !strings.Contains(r.stderr, "leads out of the volume") {
		t.Errorf("a link out of the volume: %v", r)
	}
	part("within/here/file")
	s.must("up", "part")
	if got := s.must("exec", "part", "--", "cat", "/part"); got != "inside\n" {
		t.Errorf("the file is %q", got)
	}
	s.must("down", "part")
	s.comes("nothing is left", func() error {
		if left, _ := filepath.Glob(s.path("state/subpaths", s.namespace, "*")); len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}

// TestHooks: pre_start before the container, post_start and pre_stop in it, each as it says; one that fails ends the start.
func TestHooks(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	must(t, os.Mkdir(s.path("shared"), 0o777))
	s.load(tiny(t, "other", archive.File{Path: "/bin/other", Mode: 0o755, Content: []byte("#!/bin/sh\necho other image as $(busybox id -u) >>/shared/log\n")}))
	hooks := func(post string) {
		s.life("hooked", "echo main >>/shared/log; exec sleep 1000", "user: \"1000:1000\"", "volumes: [../shared:/shared]",
			"pre_start: [{command: [sh, -c, 'echo first $$A as $$(busybox id -u) >>/shared/log'], environment: {A: 1}, user: '7'}, {image: other, command: other}]",
			"post_start: [{command: [sh, -c, 'echo after $$B in $$PWD as $$(busybox id -u) >>/shared/log; busybox chown 0 /shared/log'], environment: [B=2], user: '0', working_dir: /tmp}, {command: [sh, -c, '"+post+"']}]",
			"pre_stop: [{command: [sh, -c, 'echo bye >>/shared/bye; test ! -e /shared/stay']}]")
	}
	read := func(name string) string {
		b, err := os.ReadFile(s.path("shared", name))
		must(t, err)
		return string(b)
	}
	hooks("true")
	must(t, os.Chmod(s.path("shared"), 0o777))
	must(t, os.WriteFile(s.path("shared/log"), nil, 0o666))
	must(t, os.Chmod(s.path("shared/log"), 0o666))
	s.must("up", "hooked")
	got := strings.Split(strings.TrimSpace(read("log")), "\n")
	if len(got) != 4 || got[0] != "first 1 as 7" || got[1] != "other image as 0" || !slices.Contains(got, "main") || !slices.Contains(got, "after 2 in /tmp as 0") {
		t.Errorf("the hooks wrote %q", got)
	}
	s.must("up", "hooked") // unchanged: nothing runs again
	if again := read("log"); strings.Count(again, "first") != 1 || strings.Count(again, "after") != 1 {
		t.Errorf("up of one that runs: %q", again)
	}
	must(t, os.WriteFile(s.path("shared/stay"), nil, 0o644))
	if r := s.hostrun("stop", "hooked"); r.status == 0 || !strings.Contains(r.stderr, "pre_stop[0] has failed") || !running(s.all()["hooked"]) {
		t.Errorf("stop, with a pre_stop that fails: %v", r)
	}
	must(t, os.Remove(s.path("shared/stay")))
	s.must("restart", "hooked")
	if log := read("log"); strings.Count(log, "first") != 1 || strings.Count(log, "after") != 2 {
		t.Errorf("after a restart: %q", log)
	}
	s.must("down", "hooked")
	if n := strings.Count(read("bye"), "bye"); n != 3 {
		t.Errorf("pre_stop ran %d times", n)
	}
	hooks("echo it is not there; exit 9")
	r := s.hostrun("up", "hooked")
	if r.status != 75 || !strings.Contains(r.stderr, "post_start[1] has failed: sh -c") || !strings.Contains(r.stderr, "status 9") || !strings.Contains(r.stderr, "it is not there") {
		t.Errorf("a post_start that fails: %v", r)
	}
	if c := s.all()["hooked"]; c.Status != "exited" {
		t.Errorf("and leaves %+v", c)
	}
	s.must("down", "hooked")
	s.life("early", "true", "pre_start: [{command: [sh, -c, 'echo no model; exit 4']}]")
	r = s.hostrun("up", "early")
	if r.status != 75 || !strings.Contains(r.stderr, "pre_start[0] (early.yaml:") || !strings.Contains(r.stderr, "no model") || s.all()["early"].Container != "" {
		t.Errorf("a pre_start that fails: %v", r)
	}
}

// TestLogging: rotated and compressed files, nothing, and the journal.
func TestLogging(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	s.life("files", "i=0; while test $$i -lt 3000; do echo line $$i of many that are written; i=$$((i+1)); done; exec sleep 1000", "logging: {driver: local, options: {max-size: 20k, max-file: 3}}")
	s.life("silent", "echo nobody hears; exit 3", "logging: {driver: none}")
	s.life("journal", "echo told; exec sleep 1000", "logging: {driver: journald, options: {tag: '{{.Name}}-x'}}")
	s.must("up", "files")
	s.comes("the last line is read", func() error {
		if got := s.must("logs", "--tail=2", "files"); got != "line 2998 of many that are written\nline 2999 of many that are written\n" {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	log := s.path("data/containers", s.namespace, "files/log")
	s.comes("the rotated files are compressed", func() error {
		all, _ := filepath.Glob(log + ".[0-9]*")
		if fi, err := os.Stat(log); err != nil || fi.Size() > 20<<10 {
			return fmt.Errorf("%v %v", fi, err)
		}
		if !slices.Contains(all, log+".1.gz") || len(all) != 2 {
			return fmt.Errorf("%v", all)
		}
		return nil
	})
	got := s.must("logs", "files")
	if n := strings.Count(got, "\n"); n < 400 || n > 2900 || !strings.HasPrefix(got, "line ") || !strings.HasSuffix(got, "line 2999 of many that are written\n") {
		t.Errorf("logs has %d lines: %.60s", n, got)
	}
	if r := s.hostrun("up", "--attach", "silent"); r.status != 3 || r.stdout != "silent created\n" {
		t.Errorf("attached, with logging: none: %v", r)
	}
	if r := s.hostrun("logs", "silent"); r.status != 1 || !strings.Contains(r.stderr, "logging: {driver: none}") {
		t.Errorf("logs: %v", r)
	}
	_, err := os.Stat(runtime.JournalSocket)
	if r := s.hostrun("up", "journal"); err != nil {
		if r.status != 66 || !strings.Contains(r.stderr, "HR272") || s.all()["journal"].Container != "" {
			t.Errorf("without a journal: %v", r)
		}
	} else if r.status != 0 || s.must("logs", "journal") != "told\n" {
		t.Errorf("with the journal: %v", r)
	}
	s.must(append([]string{"down"}, strings.Fields(s.names())...)...)
}
