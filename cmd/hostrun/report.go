package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// report prints what err says, once, and returns the exit status.
func (s *session) report(err error) int {
	s.progress.end()
	if err == nil {
		return 0
	}
	if cause := s.signals.ended(); cause != nil && (errors.Is(err, context.Canceled) || s.status(err) > 128) {
		err = cause
	}
	var status ended
	if errors.As(err, &status) {
		return int(status)
	}
	var stop interrupted
	if errors.As(err, &stop) && s.watches() {
		return s.status(err)
	}
	var all several
	if !errors.As(err, &all) {
		all = several{err}
	}
	for i, one := range all {
		all[i] = needsRoot(one)
		s.reportOne(all[i])
	}
	return s.status(all[0])
}

// needsRoot gives an error about a directory of root's its class, and what to type: a socket that a group may use leads
// that far.
func needsRoot(err error) error {
	if os.Geteuid() == 0 || !errors.Is(err, fs.ErrPermission) || finding.StatusOf(err) != finding.StatusFailed {
		return err
	}
	return finding.Errorf(finding.StatusPermission, "run hostrun as root: sudo hostrun ...", "%w", err)
}

// watches says whether ^C is the way out of the verb, and no news to who typed it.
func (s *session) watches() bool {
	verb := s.line.verb()
	return verb != nil && slices.Contains([]string{"run", "exec", "shell", "logs", "wait", "events", "supervise"}, verb.Name)
}

func (s *session) reportOne(err error) {
	if s.progress.mode == "json" {
		s.reportJSON(err)
		return
	}
	findings := findingsOf(err)
	s.writeFindings(findings)
	fmt.Fprintf(s.stderr, "%s %s\n", s.paint(red, "hostrun: error:"), s.headline(err, findings))
	for _, line := range hintsOf(err, findings) {
		fmt.Fprintf(s.stderr, "%s %s\n", s.paint(cyan, "hostrun: hint:"), line)
	}
}

func (s *session) reportJSON(err error) {
	findings := findingsOf(err)
	profile := ""
	if refused := (*plan.Refused)(nil); errors.As(err, &refused) {
		profile = refused.Profile
	}
	line, _ := json.Marshal(map[string]any{
		"schema": 1, "time": time.Now().UTC().Format(time.RFC3339Nano), "profile": profile,
		"error": true, "message": s.headline(err, findings), "hint": strings.Join(hintsOf(err, findings), "\n"),
		"findings": append([]finding.Finding{}, findings...), "code": s.status(err),
	})
	fmt.Fprintf(s.stderr, "%s\n", line)
}

// status is the exit status that err asks for.
func (s *session) status(err error) int {
	var stop interrupted
	if errors.As(err, &stop) {
		return 128 + stop.number
	}
	var status ended
	if errors.As(err, &status) {
		return int(status)
	}
	var early notStarted
	if errors.As(err, &early) {
		return early.status()
	}
	return statusOf(err)
}

func statusOf(err error) int {
	var refused *plan.Refused
	if errors.As(err, &refused) {
		return finding.ExitStatus(refused.Findings)
	}
	return finding.StatusOf(err)
}

// notStarted is an error of run, exec or up --attach from before the process began: a status of the process itself
// must not be mistaken for ours.
type notStarted struct{ err error }

func (n notStarted) Error() string { return n.err.Error() }
func (n notStarted) Unwrap() error { return n.err }

func (n notStarted) status() int {
	switch status := statusOf(n.err); status {
	case finding.StatusUsage, finding.StatusNotExec, finding.StatusNotFound:
		return status
	}
	return finding.StatusNotStarted
}

// inForeground is the end of a foreground process: its status, or why there is none.
func (s *session) inForeground(status int, err error) error {
	if err == nil { // also after ^C: a job that saves its work and ends well has ended well
		return asEnded(status)
	}
	if cause := s.signals.ended(); cause != nil {
		return cause
	}
	return beforeStart(err)
}

func beforeStart(err error) error {
	if err == nil {
		return nil
	}
	if all, ok := err.(several); ok { // each of them is reported by itself
		early := make(several, len(all))
		for i, one := range all {
			early[i] = notStarted{one}
		}
		return early
	}
	return notStarted{err}
}

// findingsOf returns the findings that an error is made of.
func findingsOf(err error) []finding.Finding {
	var refused *plan.Refused
	if errors.As(err, &refused) {
		return refused.Findings
	}
	return profileFindings(err)
}

func (s *session) headline(err error, findings []finding.Finding) string {
	var refused *plan.Refused
	var stop interrupted
	switch {
	case errors.As(err, &stop):
		return stop.Error()
	case errors.As(err, &refused):
		return fmt.Sprintf("%s: not started: %s", refused.Profile, count(len(findings), "finding", "stops", "stop")+" it")
	case len(findings) == 1:
		return fmt.Sprintf("%s: the profile is invalid", s.shortPath(findings[0].File))
	case len(findings) > 1:
		return fmt.Sprintf("%s: the profile is invalid: %d problems", s.shortPath(findings[0].File), len(findings))
	}
	return strings.TrimRight(err.Error(), "\n")
}

func count(n int, noun, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s %s", noun, one)
	}
	return fmt.Sprintf("%d %ss %s", n, noun, many)
}

func hintsOf(err error, findings []finding.Finding) []string {
	var stop interrupted
	if errors.As(err, &stop) {
		return []string{"the same command again completes what is half done"}
	}
	if len(findings) == 0 {
		return finding.HintOf(err)
	}
	if id := findings[0].ID; id != "" && id != finding.ProfileInvalid { // each finding has shown its own way out
		return []string{"hostrun explain " + id + " tells more"}
	}
	return nil
}

// warn shows what does not stop the start.
func (s *session) warn(findings []finding.Finding) {
	if s.global.quiet {
		return
	}
	for _, f := range findings {
		if f.Severity == finding.Warning {
			s.writeFindings([]finding.Finding{f})
		}
	}
}

// tell prints what is wrong, where that ends no command.
func (s *session) tell(findings []finding.Finding) {
	s.writeFindings(finding.Errors(findings))
	s.warn(findings)
}

func (s *session) writeFindings(findings []finding.Finding) {
	s.progress.pause()
	for _, f := range findings {
		s.writeFinding(s.stderr, f)
	}
}

// writeFinding prints one finding in the shape of compilers: what, where, the two sides, the way out.
func (s *session) writeFinding(w io.Writer, f finding.Finding) {
	width := s.widthOf(w)
	s.writeMessage(w, f)
	if place := s.place(f); place != "" {
		fmt.Fprintf(w, "  --> %s\n", place)
	}
	for _, row := range [][2]string{{"about", f.Subject}, {"got", f.Got}, {"want", f.Want}, {"help", f.Remedy}} {
		if row[1] != "" && !(row[0] == "about" && (strings.Contains(f.Message, f.Subject) || f.Subject == f.File)) {
			fmt.Fprintf(w, "  %5s: %s\n", row[0], fold(row[1], width, 9, 9))
		}
	}
}

// writeMessage prints a finding's first line.
func (s *session) writeMessage(w io.Writer, f finding.Finding) {
	color := map[finding.Severity]string{finding.Error: red, finding.Warning: yellow, finding.Info: cyan}[f.Severity]
	name := fmt.Sprintf("%s[%s]", f.Severity, f.ID)
	text := fold(f.Message, s.widthOf(w), len(name)+2, 4)
	if color != "" && s.colored(w) {
		name = color + name + plain
	}
	fmt.Fprintf(w, "%s: %s\n", name, text)
}

// place is file:line, relative to the caller's directory where that is shorter.
func (s *session) place(f finding.Finding) string {
	if f.File == "" {
		return ""
	}
	if f.Line == 0 {
		return s.shortPath(f.File)
	}
	return fmt.Sprintf("%s:%d", s.shortPath(f.File), f.Line)
}

// shortPath is a path relative to the caller's directory where that is shorter.
func (s *session) shortPath(file string) string {
	if rel, err := filepath.Rel(s.dir, file); err == nil && filepath.IsAbs(file) && len(rel) < len(file) {
		return rel
	}
	return file
}

func indented(text, by string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+by)
}

// note tells a person something in passing, on stderr.
func (s *session) note(format string, args ...any) {
	if s.global.quiet || s.progress.mode == "json" {
		return
	}
	s.progress.pause()
	fmt.Fprintf(s.stderr, "hostrun: note: "+format+"\n", args...)
}

// profileFindings returns the problems of a profile that is none (profiles.InvalidError).
func profileFindings(err error) []finding.Finding {
	var invalid interface{ Findings() []finding.Finding }
	if errors.As(err, &invalid) {
		return invalid.Findings()
	}
	return nil
}
