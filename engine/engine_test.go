package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/finding"
)

func testLayout(t *testing.T) Layout {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return Layout{StateDir: filepath.Join(dir, "s"), RootDir: filepath.Join(dir, "r"), LibexecDir: filepath.Join(dir, "lib")}
}

func TestInstalled(t *testing.T) {
	l := testLayout(t)
	if err := Installed(l); finding.StatusOf(err) != finding.StatusTryAgain || !strings.Contains(err.Error(), Binary) || len(finding.HintOf(err)) == 0 {
		t.Errorf("nothing is there: %v", err)
	}
	if err := os.Mkdir(l.LibexecDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		mode os.FileMode
		want string
	}{{Binary, 0o755, Shim + ": it is not there"}, {Shim, 0o644, "not executable"}, {Shim, 0o755, ""}} {
		path := filepath.Join(l.LibexecDir, c.name)
		_ = os.Remove(path)
		if err := os.WriteFile(path, nil, c.mode); err != nil {
			t.Fatal(err)
		}
		err := Installed(l)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s with mode %v: %v, want %q", c.name, c.mode, err, c.want)
		}
	}
}

// TestLayoutLimits: the longest state directory that is allowed leads to sockets that Linux and containerd take.
func TestLayoutLimits(t *testing.T) {
	l := Layout{RootDir: "/r", LibexecDir: "/l", StateDir: "/" + strings.Repeat("s", longestState()-1)}
	if err := l.Check(); err != nil {
		t.Errorf("%d bytes: %v", len(l.StateDir), err)
	}
	if n := len(l.ShimSocketDir()) + 1 + 64; n > 106 {
		t.Errorf("a shim's socket would have %d bytes", n)
	}
	l.StateDir += "s"
	if err := l.Check(); finding.StatusOf(err) != finding.StatusUsage {
		t.Errorf("%d bytes: %v", len(l.StateDir), err)
	}
	l.StateDir = l.RootDir
	if err := l.Check(); finding.StatusOf(err) != finding.StatusUsage {
		t.Errorf("one directory for both: %v", err)
	}
}

// TestReserveOnce: two engines are refused in one process too, for flock(2) belongs to the open file.
func TestReserveOnce(t *testing.T) {
	l := testLayout(t)
	locks, err := Reserve(l)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Reserve(l)
	if !errors.Is(err, errBusy) || !strings.Contains(err.Error(), "pid") {
		t.Errorf("a second one: %v", err)
	}
	for _, f := range locks {
		_ = f.Close()
	}
	if locks, err = Reserve(l); err != nil {
		t.Errorf("after the first has left: %v", err)
	}
	for _, f := range locks {
		_ = f.Close()
	}
}

// TestHoldAndLeave: the engine leaves only when nobody holds it, and who comes while it leaves waits for its end.
func TestHoldAndLeave(t *testing.T) {
	l := testLayout(t)
	release, err := Hold(l)
	if err != nil {
		if os.Geteuid() == 0 || os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip("needs root: ", err)
	}
	clients, err := OpenClients(l, -1)
	if err != nil {
		t.Fatal(err)
	}
	if Leave(clients) {
		t.Error("it leaves although a client holds it")
	}
	release()
	if !Leave(clients) {
		t.Fatal("it does not leave although nobody holds it")
	}
	held := make(chan error)
	go func() {
		release, err := Hold(l)
		if err == nil {
			release()
		}
		held <- err
	}()
	select {
	case err := <-held:
		t.Fatalf("a client did not wait for the engine's end: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	_ = clients.Close()
	if err := <-held; err != nil {
		t.Errorf("after the engine's end: %v", err)
	}
}

func TestStateOfNone(t *testing.T) {
	l := testLayout(t)
	if s, err := State(l); err != nil || s.Running {
		t.Errorf("nothing is there: %+v, %v", s, err)
	}
	if err := os.Mkdir(l.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(l.Address(), 0o600); err != nil { // no socket, though it has the name of one
		t.Fatal(err)
	}
	if s, err := State(l); err != nil || s.Running {
		t.Errorf("a file in the socket's place: %+v, %v", s, err)
	}
}

func TestRecord(t *testing.T) {
	l := testLayout(t)
	if err := os.Mkdir(l.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	want := Record{PID: 12, Version: "v1", Since: time.Unix(1700000000, 0).UTC(), Stamp: "1-2"}
	if err := Publish(l, want); err != nil {
		t.Fatal(err)
	}
	if got := readRecord(l); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := os.WriteFile(l.recordFile(), []byte(`{"pid":`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := readRecord(l); got != (Record{}) {
		t.Errorf("a torn record: %+v", got)
	}
}

func TestPathOrder(t *testing.T) {
	got := strings.Split(Path(Layout{LibexecDir: "/lib/hostrun"}, "/nix/bin"), ":")
	if got[0] != "/lib/hostrun" || got[len(got)-1] != "/lib/hostrun/oci" || !slices.Contains(got, "/nix/bin") {
		t.Errorf("PATH %v", got)
	}
	if got := Path(Layout{LibexecDir: "/l"}, ""); strings.Contains(got, "::") {
		t.Errorf("an empty entry is the working directory: %s", got)
	}
}

// TestStartUnit stands in for systemd, which is not PID 1 where tests run: systemd-run gets a command line that it accepts,
// and its failure is told with what it said.
func TestStartUnit(t *testing.T) {
	l := testLayout(t)
	bin := t.TempDir()
	script := "#!/bin/sh\nprintf '%s\\n' \"$@\" >" + bin + "/args\nexit ${FAIL:-0}\n"
	if err := exectest.WriteFile(filepath.Join(bin, "systemd-run"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	if err := startUnit(context.Background(), l); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(bin + "/args")
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, want := range []string{"--property=Type=notify", "--property=KillMode=process", "--property=Delegate=yes", "--collect"} {
		if !slices.Contains(args, want) {
			t.Errorf("%s is not among %q", want, args)
		}
	}
	at := slices.Index(args, "--")
	if want := append([]string{l.binary()}, arguments(l)...); at < 0 || !slices.Equal(args[at+1:], want) {
		t.Errorf("command %q, want %q", args[at+1:], want)
	}
	t.Setenv("FAIL", "4")
	if err := startUnit(context.Background(), l); finding.StatusOf(err) != finding.StatusTryAgain || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("a failure of systemd-run: %v", err)
	}
}

// TestKilledEngineLeavesItsUnit: systemd keeps the unit of an engine that was killed while a container of it lives, and gives nobody its
// name. The real systemd says so in `make vm`.
func TestKilledEngineLeavesItsUnit(t *testing.T) {
	l := testLayout(t)
	l.StateDir = "/run/hostrun/engine"
	bin := t.TempDir()
	script := `#!/bin/sh
for word; do case $word in
--unit=hostrun-engine)
	echo "Failed to start transient service unit: Unit hostrun-engine.service was already loaded or has a fragment file." >&2
	exit 1 ;;
--unit=*) echo "$word" >>` + bin + `/units ;;
esac; done
`
	if err := exectest.WriteFile(filepath.Join(bin, "systemd-run"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	if err := startUnit(context.Background(), l); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(bin + "/units")
	if want := fmt.Sprintf("--unit=hostrun-engine-%d\n", os.Getpid()); string(b) != want {
		t.Errorf("units %q, want %q", b, want)
	}
}

func TestDying(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if dying(cmd.Process.Pid) {
		t.Error("it lives")
	}
	_ = cmd.Process.Kill()
	for end := time.Now().Add(time.Minute); !dying(cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("killed and not yet reaped, it is not seen as dying")
		}
	}
	_ = cmd.Wait()
	if dying(cmd.Process.Pid) || dying(0) {
		t.Error("who is not there is not dying")
	}
}

// TestPassable: a command that came first made /run/hostrun for root alone, and the group could not reach the socket.
func TestPassable(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]os.FileMode{"hostrun": 0o711, "other": 0o700} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := passable(path); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, fi.Mode(), err, want)
		}
	}
}
