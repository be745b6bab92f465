package integration

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/console"
)

// onTerminal runs a command line with its output on a real terminal, and returns all that came out of it.
func (s *stage) onTerminal(columns, height uint16, args ...string) (text string, status int) {
	s.t.Helper()
	master, name, err := console.NewPty()
	must(s.t, err)
	defer master.Close()
	must(s.t, master.Resize(console.WinSize{Width: columns, Height: height}))
	slave, err := os.OpenFile(name, os.O_RDWR, 0)
	must(s.t, err)
	cmd := s.command(args...)
	cmd.Env = append(cmd.Env, "HOSTRUN_PROGRESS=auto", "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	must(s.t, cmd.Start())
	must(s.t, slave.Close())
	out := make(chan string)
	go func() {
		all, _ := io.ReadAll(master) // EIO once nobody has the other side
		out <- string(all)
	}()
	_ = cmd.Wait()
	return <-out, exitStatus(cmd)
}

// TestLiveLinesOfUp: on a terminal up shows what it waits for while it does, and leaves the results alone on the screen.
func TestLiveLinesOfUp(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("slow", "sleep 2; echo ready; sleep 1000", "healthcheck: {log: ready, interval: 1s}")
	s.life("web", "sleep 1000", "depends_on: {slow: {condition: healthy}}")
	text, status := s.onTerminal(60, 24, "up", "web")
	for _, want := range []string{"  web  waiting for slow to be healthy  ", "1 of 2  ", "\x1b[2A", "\x1b[J", "slow created", "web created"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	if status != 0 || !strings.HasSuffix(strings.TrimSpace(text), "web created") {
		t.Errorf("status %d, at the end: %q", status, text)
	}
	for line := range strings.SplitSeq(text, "\n") {
		if i := strings.LastIndex(line, "\x1b[2K"); i >= 0 && len(strings.TrimRight(line[i+4:], "\r")) >= 60 {
			t.Errorf("a line wraps: %q", line)
		}
	}
	text, _ = s.onTerminal(60, 24, "--progress", "plain", "up", "--force-recreate", "slow")
	if strings.Contains(text, "\x1b[2K") || !strings.Contains(text, "Container slow  Creating") {
		t.Errorf("plain lines on a terminal: %q", text)
	}
	r := s.hostrun("--progress", "json", "up", "--force-recreate", "web")
	events := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(r.stderr)); lines.Scan(); {
		var e struct{ ID, Status, Profile, Time string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("%q: %v", lines.Text(), err)
			continue
		}
		if _, err := time.Parse(time.RFC3339Nano, e.Time); err != nil {
			t.Errorf("%q: %v", lines.Text(), err)
		}
		events[e.ID+" "+e.Status] = e.Profile
	}
	for _, want := range []string{"Container web Checking", "Container web Creating", "Container web Started"} {
		if events[want] != "web" {
			t.Errorf("no %q of the profile web: %v", want, r)
		}
	}
	r = s.hostrun("--progress", "json", "up", "nobody")
	var e struct {
		Error   bool
		Message string
		Code    int
	}
	if err := json.Unmarshal([]byte(r.stderr), &e); err != nil || !e.Error || e.Message == "" || e.Code != 65 {
		t.Errorf("an error: %v %+v", r, e)
	}
	s.must("down", "slow", "web")
}
