// Package finding holds what hostrun tells a person when host, image and profile do not fit: the finding, its
// catalogue, and the error that carries an exit status and a hint. It is the lowest package of the import arrow.
package finding

import (
	"errors"
	"fmt"
	"strings"
)

// Severity says what a finding does to a start.
type Severity string

const (
	Error   Severity = "error"   // stops the start
	Warning Severity = "warning" // shown, does not stop the start
	Info    Severity = "info"    // shown by check only
)

// A Finding is one fact about a pair of host and container that a person should know before the start.
// Its JSON form is part of the contract of `hostrun check --format json`.
type Finding struct {
	ID       string   `json:"id"` // stable, as in "HR012"; see Explain
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"`        // what it is about: a path, a package, a profile key
	Got      string   `json:"got,omitempty"`  // what was found, with its source
	Want     string   `json:"want,omitempty"` // what would have fitted, with its source
	Message  string   `json:"message"`        // one sentence; where it prevents a failure, the loader's or Python's own words
	Remedy   string   `json:"remedy,omitempty"`
	File     string   `json:"file,omitempty"` // the profile's file, where a line of it is the cause
	Line     int      `json:"line,omitempty"` // 1-based; 0 when no line is the cause
}

// Errors returns those findings that stop a start, in order.
func Errors(all []Finding) []Finding {
	var stop []Finding
	for _, f := range all {
		if f.Severity == Error {
			stop = append(stop, f)
		}
	}
	return stop
}

// ExitStatus returns the exit status of the first finding that stops a start (docs/exit-status.md), or 0.
func ExitStatus(all []Finding) int {
	for _, f := range all {
		if f.Severity == Error {
			return Explain(f.ID).ExitStatus
		}
	}
	return 0
}

// An Err is an error that knows its exit status and what the person should type next. Either may be absent.
type Err struct {
	Err    error  // what was being done, to what, and the cause
	Hint   string // one or more lines, each printed after "hostrun: hint: "
	Status int    // exit status of docs/exit-status.md; 0 means "no class of its own" (1)
}

// Exit statuses, from docs/exit-status.md. The numbers from 64 on are those of sysexits.h.
const (
	StatusFailed     = 1   // the workload failed, or an error without a class of its own
	StatusUsage      = 2   // flags or arguments
	StatusDifference = 3   // a difference or a regression was found
	StatusProfile    = 65  // the profile is invalid (EX_DATAERR)
	StatusNoPath     = 66  // a host path is missing (EX_NOINPUT)
	StatusNoDevice   = 69  // a device is absent (EX_UNAVAILABLE)
	StatusTryAgain   = 75  // leased, or registry or containerd away (EX_TEMPFAIL)
	StatusPermission = 77  // no permission (EX_NOPERM)
	StatusMisfit     = 78  // what is borrowed does not fit (EX_CONFIG)
	StatusNotStarted = 125 // run, up --attach: hostrun failed before the container started
	StatusNotExec    = 126 // run, up --attach: the command is not executable
	StatusNotFound   = 127 // run, up --attach: the command was not found
)

func (e *Err) Error() string { return e.Err.Error() }
func (e *Err) Unwrap() error { return e.Err }

// Errorf returns an *Err with the given exit status; hint may be empty.
func Errorf(status int, hint, format string, args ...any) error {
	return &Err{Err: fmt.Errorf(format, args...), Hint: hint, Status: status}
}

// StatusOf returns the exit status that err asks for, 1 if it asks for none, and 0 for nil.
func StatusOf(err error) int {
	if err == nil {
		return 0
	}
	var e *Err
	if errors.As(err, &e) && e.Status != 0 {
		return e.Status
	}
	return StatusFailed
}

// HintOf returns the hint lines of err, outermost first.
func HintOf(err error) []string {
	var e *Err
	if !errors.As(err, &e) || e.Hint == "" {
		return nil
	}
	return strings.Split(e.Hint, "\n")
}
