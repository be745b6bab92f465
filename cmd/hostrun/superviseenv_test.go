package main

import (
	"slices"
	"testing"
)

// TestSupervisorFindsPlugins: it starts containers again, and lets them through firewalld again, so it needs the paths of the command that
// has started it; the rest of the environment is that command's own.
func TestSupervisorFindsPlugins(t *testing.T) {
	t.Setenv("CNI_PATH", "/opt/plugins")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/bus")
	t.Setenv("HF_TOKEN", "secret")
	env := superviseEnvironment()
	for entry, want := range map[string]bool{"CNI_PATH=/opt/plugins": true, "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/bus": true, "HF_TOKEN=secret": false} {
		if slices.Contains(env, entry) != want {
			t.Errorf("%s: want %v in %v", entry, want, env)
		}
	}
}
