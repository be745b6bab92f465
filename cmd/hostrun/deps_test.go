package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestInstalledBelowAnotherPrefix: after `make install PREFIX=/opt/hostrun` the programs beside hostrun were looked for in /usr/local alone.
func TestInstalledBelowAnotherPrefix(t *testing.T) {
	prefix := t.TempDir()
	d := deps{program: filepath.Join(prefix, "bin")}
	libexec := filepath.Join(prefix, "lib", "hostrun")
	for _, dir := range []string{d.program, libexec} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put := func(dir string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "hostrun-log"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(libexec)
	if got := d.libexecDir(); got != libexec {
		t.Errorf("installed: %s, want %s", got, libexec)
	}
	put(d.program) // as they are built
	if got := d.libexecDir(); got != d.program {
		t.Errorf("built: %s, want %s", got, d.program)
	}
}
