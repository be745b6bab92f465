package engine

import (
	"context"
	"time"

	"hostrun.dev/hostrun/finding"
)

// A Status is what is known of the private engine without asking it.
type Status struct {
	Running  bool
	PID      int
	Version  string    // of hostrun-engine, as `hostrun version` writes it
	Since    time.Time // when it was ready
	Outdated bool      // it runs from another file than LibexecDir has now; it is replaced once nothing needs it
}

// Ensure starts the private engine if nobody answers at its socket, and waits until it does. Exactly one is started
// however many processes call at once. Hold it first, so that it does not go idle between Ensure and the first call.
// say is told what takes time; it may be nil. Errors carry status 75 (it does not come up; the end of its log is in the
// error) or 77 (only root may start it), and what to type.
func Ensure(ctx context.Context, l Layout, say func(string)) (started bool, err error) {
	return false, finding.Errorf(finding.StatusTryAgain, "", "start the private engine: not built yet")
}

// Hold keeps the engine from going idle until release is called or the process ends. It starts nothing, and works
// before the first start. Where an engine is just leaving it waits until that has gone.
func Hold(l Layout) (release func(), err error) { return func() {}, nil }

// State says whether the engine runs. It starts nothing and waits for nothing: a connect(2) and two small reads. That
// none runs is no error; a socket that may not be used is (77).
func State(l Layout) (Status, error) { return Status{}, nil }
