//go:build linux

package nvml

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/exectest"
)

// script is a child that is written in shell; "$@" are the addresses that it is asked for.
func script(t *testing.T, body string) Child {
	t.Helper()
	p := filepath.Join(t.TempDir(), "hostrun-nvml")
	prologue := "#!/bin/sh\n[ \"$1\" = -limit ] || exit 9\nshift 2\n[ \"$1\" != -library ] || shift 2\nsystem() { echo '{\"system\":{\"driver\":\"550.54.15\"}}'; }\n" +
		"gpu() { echo \"{\\\"begin\\\":\\\"$1\\\"}\"; echo \"{\\\"gpu\\\":{\\\"pci\\\":\\\"$1\\\",\\\"uuid\\\":\\\"GPU-$1\\\"}}\"; }\ndone_() { echo '{\"done\":true}'; }\n"
	if err := exectest.WriteFile(p, []byte(prologue+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return Child{Path: p, Step: time.Minute}
}

func shown(a Answer) string {
	parts := []string{a.System.Driver + a.System.Error}
	for _, g := range a.GPUs {
		text := g.PCI + "=" + g.UUID + g.Error
		if g.Hung {
			text += "(hung)"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

func TestAsk(t *testing.T) {
	three := []string{"a", "b", "c"}
	tests := []struct {
		name, script string
		addresses    []string
		want         string
	}{
		{"all answer", `system; for g in "$@"; do gpu $g; done; done_`, three, "550.54.15; a=GPU-a; b=GPU-b; c=GPU-c"},
		{"no GPU is asked for", `system; done_`, nil, "550.54.15"},
		{"one hangs", `system; for g in "$@"; do [ $g != b ] || exec sleep 60; gpu $g; done; done_`, three, "550.54.15; a=GPU-a; b=no answer in STEP(hung); c=GPU-c"},
		{"the last hangs", `system; for g in "$@"; do [ $g != c ] || exec sleep 60; gpu $g; done; done_`, three, "550.54.15; a=GPU-a; b=GPU-b; c=no answer in STEP(hung)"},
		{"one crashes", `system; for g in "$@"; do [ $g != b ] || kill -SEGV $$; gpu $g; done; done_`, three, "550.54.15; a=GPU-a; b=hostrun-nvml ended early: signal: segmentation fault; c=GPU-c"},
		{"one ends the loader", `system; for g in "$@"; do [ $g != a ] || { echo "symbol lookup error: nvmlX" >&2; exit 127; }; gpu $g; done; done_`, three,
			"550.54.15; a=hostrun-nvml ended early: exit status 127: symbol lookup error: nvmlX; b=GPU-b; c=GPU-c"},
		{"the library hangs", `exec sleep 60`, three, "no answer in STEP; a=no answer in STEP; b=no answer in STEP; c=no answer in STEP"},
		{"the library is missing", `echo '{"system":{"error":"ERROR_LIBRARY_NOT_FOUND"}}'`, three, "ERROR_LIBRARY_NOT_FOUND; a=ERROR_LIBRARY_NOT_FOUND; b=ERROR_LIBRARY_NOT_FOUND; c=ERROR_LIBRARY_NOT_FOUND"},
		{"it ends at once", `exit 3`, three[:1], "hostrun-nvml ended early: exit status 3; a=hostrun-nvml ended early: exit status 3"},
		{"it leaves one out", `system; gpu a; done_`, three[:2], "550.54.15; a=GPU-a; b=hostrun-nvml did not say anything of it"},
		{"it says more than asked", `system; gpu a; gpu x; gpu y; done_`, three[:1], "550.54.15; a=GPU-a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := script(t, test.script)
			if strings.Contains(test.want, "STEP") {
				c.Step = 400 * time.Millisecond
			}
			for { // on a loaded machine a shell takes longer than a short step
				diff := cmp.Diff(strings.ReplaceAll(test.want, "STEP", c.Step.String()), shown(c.Ask(context.Background(), test.addresses)))
				if diff == "" {
					return
				}
				if c.Step *= 4; c.Step > time.Minute {
					t.Fatal(diff)
				}
			}
		})
	}
}

func TestAskOfGarbage(t *testing.T) {
	for name, line := range map[string]string{"no JSON": "Segmentation fault", "two messages": `{"done":true,"begin":"a"}`, "none": `{}`, "a long line": strings.Repeat("x", 2<<20)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := script(t, "system; cat \"${0}.line\"; done_")
			if err := os.WriteFile(c.Path+".line", []byte(line+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if a := c.Ask(context.Background(), []string{"a"}); len(a.GPUs) != 1 || a.GPUs[0].Error == "" || a.Whole() {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestAskWithoutChild(t *testing.T) {
	a := Child{Path: filepath.Join(t.TempDir(), "gone")}.Ask(context.Background(), []string{"a"})
	if !strings.Contains(a.System.Error, "no such file") || len(a.GPUs) != 1 {
		t.Errorf("%+v", a)
	}
}

// A caller who gives up gets an answer at once, and no child is left.
func TestAskIsCancelled(t *testing.T) {
	c := script(t, `system; echo $$ >"$0.pid"; exec sleep 600`)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	written := make(chan string, 1)
	go func() {
		for ctx.Err() == nil {
			if pid, _ := os.ReadFile(c.Path + ".pid"); strings.HasSuffix(string(pid), "\n") {
				written <- strings.TrimSpace(string(pid))
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	c.Step = 5 * time.Minute
	start := time.Now()
	a := c.Ask(ctx, []string{"a", "b", "c"})
	if took := time.Since(start); took > time.Minute || a.Whole() || len(a.GPUs) != 3 {
		t.Errorf("%s: %+v", took, a)
	}
	proc := filepath.Join("/proc", <-written)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(proc); err != nil {
			return
		}
	}
	t.Errorf("%s is left", proc)
}

// A child's grandchild that keeps the pipes open does not keep the parent waiting.
func TestAskWithAGrandchild(t *testing.T) {
	c := script(t, `system; sleep 300 & echo $! >"$0.pid"; for g in "$@"; do gpu $g; done; done_`)
	start := time.Now()
	a := c.Ask(context.Background(), []string{"a"})
	if took := time.Since(start); took > time.Minute || !a.Whole() {
		t.Errorf("%s: %+v", took, a)
	}
	var pid int
	b, err := os.ReadFile(c.Path + ".pid")
	if err == nil {
		_, err = fmt.Sscan(string(b), &pid)
	}
	if err != nil {
		t.Fatal(err)
	}
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{"00000000:C1:00.0": "0000:c1:00.0", "0000:c1:00.0": "0000:c1:00.0", "00010000:01:00.0": "00010000:01:00.0", "": ""} {
		if got := Address(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"gpu":{"pci":"0000:01:00.0","index":0,"links":[{"switch":true,"count":18}]}}`))
	f.Add([]byte(`{"system":{"driver":"550.54.15"}}`))
	f.Add([]byte(`{"begin":"x"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := Decode(line)
		if err == nil && m.System == nil && m.GPU == nil && m.Begin == "" && !m.Done {
			t.Errorf("%q: an empty message", line)
		}
	})
}
