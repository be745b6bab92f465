package integration

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/console"

	"hostrun.dev/hostrun/runtime"
)

// TestRuntimeCommandErrors: 127 and 126, by up, run and exec, in one sentence, with nothing left.
func TestRuntimeCommandErrors(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.up(w.plan("base", "sleep", "1000"), "created")
		for _, test := range []struct {
			command string
			status  int
			words   string
		}{
			{"nosuch", 127, `command "nosuch": not found`},
			{"/no/such", 127, `command "/no/such": not found`},
			{"/etc/notexec", 126, `command "/etc/notexec": not executable`},
			{"/etc", 126, `command "/etc": not executable`},
		} {
			t.Run(test.command, func(t *testing.T) {
				_, err := w.c.Run(ctx, w.plan("one", test.command), runtime.IO{}, nil)
				refused(t, "run", err, test.status, test.words)
				_, err = w.c.Up(ctx, w.plan("two", test.command), false)
				refused(t, "up", err, test.status, test.words)
				_, err = w.c.Exec(ctx, "base", runtime.ExecOptions{Args: []string{test.command}}, runtime.IO{}, nil)
				refused(t, "exec", err, test.status, test.words)
			})
		}
		ok(t, w.c.Remove(ctx, "base", true))
		w.clean()
	})
}

func TestRuntimeExec(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.up(w.plan("base", "sleep", "1000"), "created")
		for _, test := range []struct {
			name   string
			opt    runtime.ExecOptions
			stdin  string
			status int
			stdout string
		}{
			{name: "status", opt: runtime.ExecOptions{Args: []string{"sh", "-c", "exit 9"}}, status: 9},
			{name: "signal", opt: runtime.ExecOptions{Args: []string{"sh", "-c", "kill -9 $$"}}, status: 137},
			{name: "environment", opt: runtime.ExecOptions{Args: []string{"sh", "-c", "echo $A $PATH"}, Env: []string{"A=b"}}, stdout: "b /bin\n"},
			{name: "directory", opt: runtime.ExecOptions{Args: []string{"pwd"}, WorkingDir: "/etc"}, stdout: "/etc\n"},
			{name: "number", opt: runtime.ExecOptions{Args: []string{"sh", "-c", "id -u; id -g"}, User: "7:8"}, stdout: "7\n8\n"},
			{name: "name", opt: runtime.ExecOptions{Args: []string{"sh", "-c", "id -u; id -G"}, User: "app"}, stdout: "1000\n1000 44\n"},
			{name: "stdin", opt: runtime.ExecOptions{Args: []string{"cat"}}, stdin: "fed", stdout: "fed"},
			{name: "left in the background", opt: runtime.ExecOptions{Args: []string{"sh", "-c", "sleep 1000 & echo done"}}, stdout: "done\n"},
		} {
			t.Run(test.name, func(t *testing.T) {
				var stdout output
				stdio := runtime.IO{Stdout: &stdout}
				if test.stdin != "" {
					stdio.Stdin = strings.NewReader(test.stdin)
				}
				status, err := w.c.Exec(ctx, "base", test.opt, stdio, nil)
				ok(t, err)
				equal(t, "status", status, test.status)
				equal(t, "stdout", stdout.String(), test.stdout)
			})
		}
		_, err := w.c.Exec(ctx, "base", runtime.ExecOptions{Args: []string{"id"}, User: "nobody9"}, runtime.IO{}, nil)
		refused(t, "user", err, 1, "nobody9", "--user")
		_, err = w.c.Exec(ctx, "none", runtime.ExecOptions{Args: []string{"id"}}, runtime.IO{}, nil)
		refused(t, "absent", err, 1, "no such container")
		ok(t, w.c.Remove(ctx, "base", true))
		w.clean()
	})
}

// TestRuntimeTTY: the process sees a terminal of the right size from its first instruction, and every resize.
func TestRuntimeTTY(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		w.up(w.plan("base", "sleep", "1000"), "created")
		for _, verb := range []string{"run", "exec"} {
			t.Run(verb, func(t *testing.T) {
				master, path, err := console.NewPty()
				ok(t, err)
				defer master.Close()
				slave := openTTY(t, path)
				defer slave.Close()
				ok(t, master.Resize(console.WinSize{Height: 33, Width: 77}))
				var seen output
				go func() { _, _ = io.Copy(&seen, master) }()
				stdio := runtime.IO{Stdin: slave, Stdout: slave, Stderr: slave, TTY: true}
				script := []string{"sh", "-c", "stty size; tty; read line; echo got:$line; exit 5"}
				done := make(chan int, 1)
				go func() {
					var status int
					var err error
					if verb == "exec" {
						status, err = w.c.Exec(context.Background(), "base", runtime.ExecOptions{Args: script, TTY: true}, stdio, nil)
					} else {
						pl := w.plan("one", script...)
						pl.TTY, pl.Spec.Process.Terminal = true, true
						status, err = w.c.Run(context.Background(), pl, stdio, nil)
					}
					if err != nil {
						t.Error(err)
					}
					done <- status
				}()
				w.eventually("the size", func() error { return has(&seen, "33 77", "/dev/pts/") })
				_, err = master.Write([]byte("words\r"))
				ok(t, err)
				equal(t, "status", <-done, 5)
				w.eventually("the echo", func() error { return has(&seen, "got:words") })
			})
		}
		ok(t, w.c.Remove(context.Background(), "base", true))
		w.clean()
	})
}

func has(o *output, words ...string) error {
	for _, word := range words {
		if !strings.Contains(o.String(), word) {
			return fmt.Errorf("%q is not in %q", word, o.String())
		}
	}
	return nil
}

// TestRuntimeSignals: signals reach the foreground process; its status for one that it dies of is 128+n; a cancelled
// context stops it.
func TestRuntimeSignals(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		for _, test := range []struct {
			name, signal string
			script       string
			status       int
		}{
			{"handled", "SIGUSR1", "trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done", 3},
			{"killed", "KILL", "echo ready; sleep 1000", 137},
			{"cancelled", "", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done", 4},
			{"cancelled and deaf", "", "echo ready; sleep 1000", 137},
		} {
			t.Run(test.name, func(t *testing.T) {
				var stdout output
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				signals := make(chan string, 1)
				go func() {
					for !strings.Contains(stdout.String(), "ready") {
						time.Sleep(5 * time.Millisecond)
					}
					if test.signal == "" {
						cancel()
					} else {
						signals <- test.signal
					}
				}()
				status, err := w.c.Run(ctx, w.plan("one", "sh", "-c", test.script), runtime.IO{Stdout: &stdout}, signals)
				ok(t, err)
				equal(t, "status", status, test.status)
				w.clean()
			})
		}
	})
}

// TestRuntimeTogether: eight ups of one name make one container, and every one succeeds.
func TestRuntimeTogether(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		pl := w.plan("same", "sleep", "1000")
		actions := make([]string, 8)
		var wg sync.WaitGroup
		for i := range actions {
			wg.Go(func() {
				c, err := runtime.Open(context.Background(), w.opt)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				res, err := c.Up(context.Background(), pl, false)
				if err != nil {
					t.Error(err)
				}
				actions[i] = res.Action
			})
		}
		wg.Wait()
		count := map[string]int{}
		for _, a := range actions {
			count[a]++
		}
		if count["created"] != 1 || count["unchanged"] != 7 {
			t.Errorf("actions: %v", count)
		}
		w.again(pl)
		ok(t, w.c.Remove(context.Background(), "same", true))
		for i := range 4 { // and four different ones at once
			wg.Go(func() {
				if _, err := w.c.Run(context.Background(), w.plan(fmt.Sprint("many-", i), "true"), runtime.IO{}, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.clean()
	})
}

// TestRuntimeLogComplete: 20,000 lines arrive whole and in order, attached and read afterwards.
func TestRuntimeLogComplete(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.up(w.plan("chatty", "sh", "-c", "seq 1 20000; printf end; exit 6"), "created")
		var attached output
		status, err := w.c.Attach(ctx, "chatty", runtime.IO{Stdout: &attached}, nil)
		ok(t, err)
		equal(t, "status", status, 6)
		var want strings.Builder
		for i := range 20000 {
			fmt.Fprintln(&want, i+1)
		}
		want.WriteString("end")
		equal(t, "attached", attached.String() == want.String(), true)
		var after output
		ok(t, w.c.Logs(ctx, "chatty", runtime.LogOptions{Tail: -1}, &after, io.Discard))
		equal(t, "afterwards", after.String() == want.String(), true)
		ok(t, w.c.Remove(ctx, "chatty", false))
		w.clean()
	})
}

// TestRuntimeDaemonKilled: containers outlive the daemon; waiting goes on; an end that nobody saw is "unknown".
func TestRuntimeDaemonKilled(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		pl := w.plan("steady", "sh", "-c", "echo one; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo two; exit 11")
		w.up(pl, "created")
		waited := make(chan int, 2)
		wait := func() {
			status, err := w.c.Wait(ctx, "steady")
			if err != nil {
				t.Error(err)
			}
			waited <- status
		}
		go wait()
		w.eventually("it runs", func() error { return w.logged("steady", "one\n", "") })
		w.ctrd.Kill()
		go wait() // one that comes while the daemon is away met an error
		w.ctrd.Start()
		w.eventually("containerd answers", func() error { _, err := w.c.List(ctx, true); return err })
		w.up(pl, "unchanged")
		status, err := w.c.Exec(ctx, "steady", runtime.ExecOptions{Args: []string{"touch", "/tmp/go"}}, runtime.IO{}, nil)
		ok(t, err)
		equal(t, "exec", status, 0)
		equal(t, "status", <-waited, 11)
		equal(t, "status of who came while it was away", <-waited, 11)
		w.eventually("the log goes on", func() error { return w.logged("steady", "one\ntwo\n", "") })

		pl = w.plan("steady", "sleep", "1000")
		w.up(pl, "replaced")
		pid := w.one("steady").PID
		w.ctrd.Kill()
		kill(t, pid)
		w.ctrd.Start()
		w.eventually("containerd answers", func() error { _, err := w.c.List(ctx, true); return err })
		w.eventually("an end that nobody saw is known", func() error { // the shim tells of it when it gets there
			if c := w.one("steady"); c.Status != "unknown" && (c.Status != "exited" || *c.ExitStatus != 137) {
				return fmt.Errorf("%+v", c)
			}
			return nil
		})
		w.up(pl, "started")
		ok(t, w.c.Remove(ctx, "steady", true))
		w.clean()
	})
}
