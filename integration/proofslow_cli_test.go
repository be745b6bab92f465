package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hostrun.dev/hostrun/integration/fixture"
)

// emptyEnvironment makes a virtual environment of the distribution's Python without packages.
func emptyEnvironment(t *testing.T, dir string) (site string) {
	t.Helper()
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--without-pip", dir).CombinedOutput(); err != nil {
		skip(t, "/usr/bin/python3 -m venv: %v\n%s", err, out)
	}
	found, err := filepath.Glob(dir + "/lib/python3*/site-packages")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

// TestSlowTree: where the host's packages lie on a server that stops to answer, a line tells after a second what takes so
// long, and ^C ends the start at once, with 130 and nothing left.
func TestSlowTree(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	real := s.path("real")
	site := emptyEnvironment(t, real)
	must(t, os.MkdirAll(filepath.Join(site, "p"), 0o755))
	must(t, os.WriteFile(filepath.Join(site, "p/__init__.py"), []byte("import json\n"), 0o644))
	var hangs atomic.Bool
	env := fixture.Faulty(t, real, func(ctx context.Context, operation, path string) syscall.Errno {
		if hangs.Load() && operation == "open" && strings.HasSuffix(path, "/p/__init__.py") {
			<-ctx.Done()
		}
		return 0
	})
	s.load(slim(t, "slow"))
	s.profile("slow", fmt.Sprintf("image: slow\npull_policy: never\npython: %q\ncommand: [python3, -c, 'import p']\n", env+"/bin/python3"))
	before := s.inventory()
	hangs.Store(true)
	cmd := s.command("--progress", "plain", "up", "slow")
	stderr, err := os.Create(s.path("stderr"))
	must(t, err)
	defer stderr.Close()
	cmd.Stderr = stderr
	must(t, cmd.Start())
	s.comes("a line that tells what takes so long", func() error {
		if said, err := os.ReadFile(stderr.Name()); err != nil || !strings.Contains(string(said), "what the command would load") {
			return fmt.Errorf("it says %q, %v", said, err)
		}
		return nil
	})
	must(t, cmd.Process.Signal(syscall.SIGINT))
	gone := time.AfterFunc(time.Minute, func() { // the file system hangs for as long
		t.Error("^C does not end it")
		_ = cmd.Process.Kill()
	})
	err = cmd.Wait()
	gone.Stop()
	if status := cmd.ProcessState.ExitCode(); status != 130 {
		t.Errorf("status %d (%v), not 130", status, err)
	}
	s.nothingLeft(before)
	hangs.Store(false)
	s.must("up", "slow")
	s.must("down", "-y", "slow")
}

// TestEditedInPlace: a source that is edited in its place, which does not change its directory, is noticed by the very
// next start.
func TestEditedInPlace(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	env := s.path("env")
	site := emptyEnvironment(t, env)
	file := filepath.Join(site, "p.py")
	must(t, os.WriteFile(file, []byte("import json\n"), 0o644))
	s.load(slim(t, "edited"))
	s.profile("job", fmt.Sprintf("image: edited\npull_policy: never\npython: %q\ncommand: [python3, -c, 'import p']\n", env+"/bin/python3"))
	time.Sleep(200 * time.Millisecond)
	for i := range 3 {
		if row, status := s.proven("python3", "-c", "import p"); status != 0 || row.Proof.Cached != (i > 0) {
			t.Fatalf("check number %d ends with %d; from the cache: %v", i+1, status, row.Proof.Cached)
		}
	}
	for range 2 {
		s.must("run", "-T", "job")
	}
	must(t, os.WriteFile(file, []byte("import nothere\n"), 0o644))
	if r := s.hostrun("run", "-T", "job"); r.status != 125 || !strings.Contains(r.stderr, "No module named 'nothere'") {
		t.Errorf("the start after the change: %v", r)
	}
}
