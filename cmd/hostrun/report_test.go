package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

func testSession() (*session, *bytes.Buffer, *bytes.Buffer) {
	var stdout, stderr bytes.Buffer
	s := newSession(strings.NewReader(""), &stdout, &stderr, deps{dir: "/home/u", root: "/", env: map[string]string{}})
	return s, &stdout, &stderr
}

func TestReportGivesEachErrorItsStatus(t *testing.T) {
	misfit := &plan.Refused{Profile: "p", Findings: []finding.Finding{{ID: finding.PythonVersion, Severity: finding.Error, Message: "m"}}}
	for _, tc := range []struct {
		name string
		err  error
		want int
	}{
		{"none", nil, 0},
		{"plain", errors.New("x"), finding.StatusFailed},
		{"of a class", finding.Errorf(finding.StatusTryAgain, "", "x"), finding.StatusTryAgain},
		{"findings", misfit, finding.StatusMisfit},
		{"findings, wrapped", fmt.Errorf("a: %w", misfit), finding.StatusMisfit},
		{"the container's own", asEnded(42), 42},
		{"run before the start", beforeStart(misfit), finding.StatusNotStarted},
		{"run without containerd", beforeStart(finding.Errorf(finding.StatusTryAgain, "", "x")), finding.StatusNotStarted},
		{"run, not found", beforeStart(finding.Errorf(finding.StatusNotFound, "", "x")), finding.StatusNotFound},
		{"run, not executable", beforeStart(finding.Errorf(finding.StatusNotExec, "", "x")), finding.StatusNotExec},
		{"run, usage", beforeStart(finding.Errorf(finding.StatusUsage, "", "x")), finding.StatusUsage},
		{"several: the first", severally([]error{nil, misfit, errors.New("x")}), finding.StatusMisfit},
	} {
		s, _, _ := testSession()
		if got := s.report(tc.err); got != tc.want {
			t.Errorf("%s: exit status %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestReportShowsFindingsAllAtOnce(t *testing.T) {
	s, _, stderr := testSession()
	s.report(&plan.Refused{Profile: "dinov2", Findings: []finding.Finding{
		{ID: "HR012", Severity: finding.Error, Subject: "python", Message: "host packages are cp312, image Python is cp311",
			Got: "3.12.1, /opt/venv/bin/python3", Want: "3.11", Remedy: "use another image", File: "/home/u/profiles/dinov2.yaml", Line: 14},
		{ID: "HR050", Severity: finding.Error, Subject: "/data", Message: "the source is missing"},
	}})
	want := `error[HR012]: host packages are cp312, image Python is cp311
  --> profiles/dinov2.yaml:14
  about: python
    got: 3.12.1, /opt/venv/bin/python3
   want: 3.11
   help: use another image
error[HR050]: the source is missing
  about: /data
hostrun: error: dinov2: not started: 2 findings stop it
hostrun: hint: hostrun explain HR012 tells more
`
	if got := stderr.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestPanicIsOneErrorWithoutStack(t *testing.T) {
	s, _, stderr := testSession()
	err := guard(func() error { var none []int; return asEnded(none[len(none)]) })()
	if status := s.report(err); status != finding.StatusFailed {
		t.Errorf("exit status %d", status)
	}
	text := stderr.String()
	if !strings.Contains(text, "internal error at report_test.go:") || strings.Contains(text, "goroutine") || strings.Count(text, "\n") != 2 {
		t.Errorf("printed:\n%s", text)
	}
}

func TestInterruptedCommandSaysSo(t *testing.T) {
	s, _, stderr := testSession()
	ctx, cancel := context.WithCancel(context.Background())
	s.signals.cancel = cancel
	s.signals.handle(2)
	if ctx.Err() == nil {
		t.Fatal("the first ^C did not cancel the command")
	}
	if status := s.report(fmt.Errorf("pull: %w", ctx.Err())); status != 130 {
		t.Errorf("exit status %d, want 130", status)
	}
	if !strings.Contains(stderr.String(), "error: interrupted by SIGINT\nhostrun: hint: the same command again") {
		t.Errorf("printed %q", stderr)
	}
}

func TestInterruptsAskThenKillThenGiveUp(t *testing.T) {
	s, _, _ := testSession()
	ctx, cancel := context.WithCancel(context.Background())
	exited := 0
	s.signals.cancel, s.signals.exit = cancel, func(status int) { exited = status }
	child, release := s.signals.foreground("SIGQUIT", 3600e9)
	defer release()
	s.signals.handle(2)
	s.signals.handle(2)
	if first, second := <-child, <-child; first != "SIGQUIT" || second != "SIGKILL" {
		t.Errorf("the process got %s, %s", first, second)
	}
	if ctx.Err() != nil {
		t.Error("the second ^C gave up on the process")
	}
	s.signals.handle(2)
	if ctx.Err() == nil {
		t.Error("the third ^C did not give up")
	}
	s.signals.handle(2)
	if exited != 130 {
		t.Errorf("the fourth ^C ended with %d", exited)
	}
}
