package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"hostrun.dev/hostrun/runtime"
)

// TestSuperviseLogIsQuietAboutCommands: that a command is at work on a container was a warning in each journal.
func TestSuperviseLogIsQuietAboutCommands(t *testing.T) {
	var out bytes.Buffer
	s := &session{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	s.superviseLog("settle", "container", "a", "error", fmt.Errorf("settle: %w", runtime.ErrBusy))
	s.superviseLog("settle", "container", "b", "error", errors.New("the disk is gone"))
	if text := out.String(); strings.Contains(text, "container=a") || !strings.Contains(text, "container=b") {
		t.Error(text)
	}
}
