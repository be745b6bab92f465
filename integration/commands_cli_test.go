package integration

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hostrun.dev/hostrun/integration/image/archive"
	"hostrun.dev/hostrun/runtime"
)

// TestPause: a frozen container says so, refuses what it can't do, and ends in order all the same.
func TestPause(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	up := plain(s, `command: [sh, -c, 'trap "echo asked; exit 5" TERM; n=0; while :; do n=$$((n+1)); echo $$n >/tmp/n; sleep 0.01; done']`, "stop_grace_period: 60s")
	before := s.inventory()
	s.must(up...)
	s.refused(1, "it is not paused", "hostrun ps", "unpause", "job")
	s.must("pause", "job")
	if one := s.ps(); one.Status != "paused" {
		t.Errorf("ps after pause: %+v", one)
	}
	if table := s.must("ps"); !strings.Contains(table, "(paused)") {
		t.Errorf("ps after pause:\n%s", table)
	}
	count := func() string {
		t.Helper()
		return s.must("cp", "job:/tmp/n", "-") // of a frozen container too
	}
	if a, b := count(), count(); a != b {
		t.Errorf("a paused container goes on: %q, then %q", a, b)
	}
	s.refused(1, "already paused", "hostrun unpause job", "pause", "job")
	s.refused(125, "it is paused", "hostrun unpause job", "exec", "job", "--", "true")
	s.refused(1, "it is paused", "hostrun unpause job", "start", "job")
	s.refused(1, "it is paused", "hostrun unpause job", up...)
	s.must("unpause", "job")
	was := s.must("exec", "job", "--", "cat", "/tmp/n")
	for deadline := time.Now().Add(time.Minute); s.must("exec", "job", "--", "cat", "/tmp/n") == was; {
		if time.Now().After(deadline) {
			t.Fatal("it does not go on after unpause")
		}
	}
	s.must("pause", "--all")
	s.must("stop", "job")
	if one := s.ps(); one.Status != "exited" || one.ExitStatus == nil || *one.ExitStatus != 5 {
		t.Errorf("stop of a paused container did not let it end in order: %+v", one)
	}
	s.must("start", "job")
	s.must("pause", "job")
	s.must("kill", "job")
	if r := s.hostrun("wait", "job"); r.status != 137 {
		t.Errorf("kill of a paused container:\n%v", r)
	}
	s.must("down", "job")
	s.nothingLeft(before)
}

// refused runs a command that must fail so, with a hint.
func (s *stage) refused(status int, message, hint string, args ...string) {
	s.t.Helper()
	r := s.hostrun(args...)
	if r.status != status || !strings.Contains(r.stderr, message) || !strings.Contains(r.stderr, hint) {
		s.t.Errorf("want status %d, %q and the hint %q:\n%v", status, message, hint, r)
	}
}

// TestTop: the processes of a container are seen from outside, by the container's names for users; the image has no ps.
func TestTop(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job", archive.File{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0::/:/bin/sh\nml:x:1234:1234::/:/bin/sh\n")}))
	up := plain(s, "command: [sh, -c, 'sleep 1001 & exec sleep 1000']", "user: ml")
	s.must(up...)
	var all []runtime.Process
	for deadline := time.Now().Add(time.Minute); len(all) < 2 || all[0].Name != "sleep" || all[1].Name != "sleep"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("top shows %+v", all)
		}
		all = nil
		for _, line := range strings.Split(strings.TrimSpace(s.must("top", "--format", "json", "job")), "\n") {
			all = append(all, parse[runtime.Process](t, line))
		}
	}
	first, second := all[0], all[1]
	if first.PID != s.ps().PID || first.ContainerPID != 1 || first.User != "ml" || first.UID != 1234 || first.Command != "sleep 1000" ||
		second.PPID != first.PID || second.Command != "sleep 1001" || first.Container != "job" || first.Memory == 0 {
		t.Errorf("top shows %+v", all)
	}
	table := s.must("top")
	head, rest, _ := strings.Cut(table, "\n")
	if strings.Join(strings.Fields(head), " ") != "NAME UID PID PPID C STIME TTY TIME CMD" || strings.Count(rest, "\n") != 2 {
		t.Errorf("top without names:\n%s", table)
	}
	if out := s.must("top", "-o", "pid,cpid,args", "job"); !strings.Contains(out, "PID") || !strings.Contains(out, "sleep 1001") {
		t.Errorf("top -o:\n%s", out)
	}
	s.refused(2, `no column "colour"`, "pid", "top", "-o", "colour", "job")
	s.must("down", "-t", "1", "job")
	s.refused(1, "no such container", "hostrun ps", "top", "nobody")
	// Of a profile it is no slip, and docker compose ends well, too.
	for _, verb := range []string{"top", "stop", "restart", "kill", "pause", "unpause", "rm", "logs", "ps"} {
		if r := s.hostrun(verb, "job"); r.status != 0 || !strings.Contains(r.stderr, "container job: there is no such container: nothing to do") {
			t.Errorf("%s of a profile without a container:\n%v", verb, r)
		}
		s.refused(1, "no such container", "hostrun ps", verb, "nobody")
	}
}

// TestCopy: docker's rules, on a container that runs and on one that has ended.
func TestCopy(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	must(t, os.MkdirAll(s.path("lent"), 0o755))
	must(t, os.MkdirAll(s.path("volume"), 0o777))
	s.write("lent/host.txt", "the machine's\n")
	up := plain(s, "volumes: ["+s.path("lent")+":/opt/lent:ro, "+s.path("volume")+":/volume]", "stop_grace_period: 0s",
		`command: [sh, -c, 'mkdir -p /w/d/sub; echo one >/w/d/one; echo two >/w/d/sub/two; busybox ln -s /etc/passwd /w/d/link; busybox ln -s ../../../../../../../../.. /w/up; busybox ln -s / /w/root; busybox chmod 640 /w/d/one; busybox chmod 4755 /w/d/sub/two; busybox chown 7:8 /w/d/one; busybox ln /w/d/one /w/d/hard; >/w/made; exec sleep 1000']`)
	before := s.inventory()
	s.must(up...)
	for deadline := time.Now().Add(time.Minute); s.hostrun("exec", "job", "--", "cat", "/w/made").status != 0; {
		if time.Now().After(deadline) {
			t.Fatal("the container does not come to its work")
		}
	}
	for _, when := range []string{"running", "stopped"} {
		t.Run(when, func(t *testing.T) {
			if when == "stopped" {
				s.must("kill", "job")
				s.hostrun("wait", "job")
			}
			s.t = t
			s.copiesOut(when)
			s.copiesIn(when)
		})
		s.t = t
	}
	must(t, os.RemoveAll(s.path("out")))
	s.refused(66, "copy: job:/w/none/: there is no such file or directory", "exec job -- ls -l /w", "cp", "job:/w/none/", ".") // it said "lstat //w/none"
	s.refused(66, "none: there is no such file or directory on this machine", "", "cp", s.path("none"), "job:/w")
	s.must("down", "job")
	s.nothingLeft(before)
	s.refused(1, "no such container", "hostrun ps", "cp", "job:/etc/passwd", ".")
}

// copiesOut compares what comes out with what docker's rules say.
func (s *stage) copiesOut(when string) {
	t := s.t
	t.Helper()
	out := s.path("out", when)
	must(t, os.MkdirAll(out, 0o755))
	at := func(parts ...string) string { return filepath.Join(append([]string{out}, parts...)...) }
	tree := func(dir string) string {
		var all []string
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, rel)
			return err
		})
		sort.Strings(all)
		return strings.Join(all, " ")
	}
	s.must("cp", "job:/w/d", at("new"))                 // as new
	s.must("cp", "job:/w/d", out)                       // below its name
	s.must("cp", "job:/w/d/.", at("new"))               // into it, again
	s.must("cp", "job:w/d/one", at("file"))             // relative to the root
	s.must("cp", "job:/w/d/one", at("new")+"/")         // into it
	s.must("cp", "-L", "job:/w/d/link", at("followed")) // the container's /etc/passwd
	s.must("cp", "job:/w/d/link", at("link"))           // the link
	s.must("cp", "job:/w/root/w/d/sub/", at("sub"))     // through a link
	s.must("cp", "-a", "job:/w/d/one", at("owned"))     // with its owner
	s.must("cp", "job:/w/up/etc/passwd", at("climbed")) // ../.. ends at the container's root
	s.must("cp", "job:/opt/lent/host.txt", at("lent"))  // of a bind
	for _, dir := range []string{at("new"), at("d")} {
		if got := tree(dir); got != ". hard link one sub sub/two" {
			t.Errorf("%s holds %s", dir, got)
		}
	}
	if got := tree(at("sub")); got != ". two" {
		t.Errorf("sub holds %s", got)
	}
	for name, want := range map[string]string{"file": "one\n", "followed": "root:x:0:0:root:/root:/bin/sh\n", "climbed": "root:x:0:0:root:/root:/bin/sh\n", "lent": "the machine's\n", "new/sub/two": "two\n"} {
		if got, err := os.ReadFile(at(name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
	if target, err := os.Readlink(at("link")); err != nil || target != "/etc/passwd" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	stat := func(name string) (fs.FileMode, syscall.Stat_t) {
		fi, err := os.Lstat(at(name))
		must(t, err)
		return fi.Mode(), *fi.Sys().(*syscall.Stat_t)
	}
	one, st := stat("d/one")
	_, hard := stat("d/hard")
	if two, _ := stat("d/sub/two"); one != 0o640 || two != 0o755|fs.ModeSetuid || st.Uid != 0 || st.Ino != hard.Ino {
		t.Errorf("modes %v and %v, owner %d, inodes %d and %d", one, two, st.Uid, st.Ino, hard.Ino)
	}
	if _, st := stat("owned"); st.Uid != 7 || st.Gid != 8 {
		t.Errorf("-a: owner %d:%d", st.Uid, st.Gid)
	}
	var names []string
	for in := tar.NewReader(strings.NewReader(s.must("cp", "job:/w/d", "-"))); ; {
		hdr, err := in.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		names = append(names, strings.TrimSuffix(hdr.Name, "/"))
	}
	sort.Strings(names)
	if got := strings.Join(names, " "); got != "d d/hard d/link d/one d/sub d/sub/two" {
		t.Errorf("the archive holds %s", got)
	}
	s.refused(66, "no such file", "", "cp", "job:/not/there", out)
	s.refused(1, "no such directory", "slash", "cp", "job:/w/d/one", at("missing")+"/")
	s.refused(1, "cannot copy directory", "", "cp", "job:/w/d", at("file"))
}

// copiesIn does the same in the other direction, and nothing of the machine may be touched.
func (s *stage) copiesIn(when string) {
	t := s.t
	t.Helper()
	s.write("in/"+when+"/a", "a of "+when+"\n")
	s.write("in/"+when+"/b/c", "c\n")
	in := s.path("in", when)
	must(t, os.Chmod(filepath.Join(in, "a"), 0o604))
	must(t, os.Chown(filepath.Join(in, "a"), 33, 44))
	read := func(path string) string {
		t.Helper()
		hdr, text := s.one("job:" + path)
		return strings.TrimSpace(text) + " " + hdr.FileInfo().Mode().String() + " " + strconv.Itoa(hdr.Uid) + ":" + strconv.Itoa(hdr.Gid)
	}
	s.must("cp", in, "job:/tmp/"+when)
	s.must("cp", in+"/a", "job:/tmp")
	s.must("cp", "-a", in+"/a", "job:/tmp/owned")
	s.must("cp", in+"/.", "job:/w/root/tmp") // through a link to the container's root
	s.must("cp", in+"/a", "job:/volume/"+when)
	a := "a of " + when
	for path, want := range map[string]string{
		"/tmp/" + when + "/a": a + " -rw----r-- 0:0", "/tmp/a": a + " -rw----r-- 0:0", "/tmp/owned": a + " -rw----r-- 33:44", "/tmp/b/c": "c -rw-r--r-- 0:0",
	} {
		if got := read(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if text, err := os.ReadFile(s.path("volume", when)); err != nil || strings.TrimSpace(string(text)) != a {
		t.Errorf("the volume got %q, %v", text, err)
	}
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	must(t, w.WriteHeader(&tar.Header{Name: "x/y", Mode: 0o600, Size: 2, Typeflag: tar.TypeReg}))
	_, err := w.Write([]byte("y\n"))
	must(t, err)
	must(t, w.WriteHeader(&tar.Header{Name: "x/out", Linkname: "/../../../../../../" + s.dir, Typeflag: tar.TypeSymlink}))
	must(t, w.WriteHeader(&tar.Header{Name: "x/out/evil", Mode: 0o600, Size: 0, Typeflag: tar.TypeReg}))
	must(t, w.Close())
	cmd := s.command("cp", "-", "job:/tmp")
	cmd.Stdin = &stream
	r := finish(cmd)
	if _, err := os.Lstat(s.path("evil")); err == nil {
		t.Errorf("a link in an archive led out of the container:\n%v", r)
	}
	if got := read("/tmp/x/y"); got != "y -rw------- 0:0" {
		t.Errorf("of the archive came %s\n%v", got, r)
	}
	s.refused(77, "/opt/lent is read-only there: it is the machine's "+s.path("lent"), "hostrun explain HR265", "cp", in+"/a", "job:/opt/lent/a")
	if entries, err := os.ReadDir(s.path("lent")); err != nil || len(entries) != 1 {
		t.Errorf("the lent directory holds %v, %v", entries, err)
	}
	s.refused(66, "no such file", "", "cp", in+"/none", "job:/tmp")
	s.refused(66, "no such file", "", "cp", in+"/a", "job:/not/there/a")
	s.refused(2, "between containers", "", "cp", "job:/a", "job:/b")
	s.refused(2, "neither", "", "cp", "/a", "./job:/b")
}

// one reads one file of a container.
func (s *stage) one(from string) (*tar.Header, string) {
	s.t.Helper()
	r := tar.NewReader(strings.NewReader(s.must("cp", from, "-")))
	hdr, err := r.Next()
	must(s.t, err)
	text, err := io.ReadAll(r)
	must(s.t, err)
	return hdr, string(text)
}
