package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program builds the command as it is used: a test binary links packages that the program itself may lack.
func program(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// TestProgramHasSHA256: go-digest panicked with "sha256 not available" in the program, and never in a test.
func TestProgramHasSHA256(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "job.py"), []byte("print(1)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bin, out := program(t), filepath.Join(dir, "image.tar")
	for _, format := range []string{"oci", "docker"} {
		b, err := exec.Command(bin, "-o", out, "-format", format, "-ref", "job", "-cmd", "python3", "+"+filepath.Join(dir, "job.py")+"=/job.py").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", format, err, b)
		}
		if fi, err := os.Stat(out); err != nil || fi.Size() == 0 {
			t.Errorf("%s: archive %v, %v", format, fi, err)
		}
	}
}

func TestFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "image.tar")
	if err := os.WriteFile(filepath.Join(dir, "broken.tar"), []byte(strings.Repeat("no tar ", 200)), 0o644); err != nil {
		t.Fatal(err)
	}
	err := run([]string{"-o", out, filepath.Join(dir, "broken.tar")})
	if err == nil || !strings.Contains(err.Error(), "broken.tar") {
		t.Errorf("error %v, want one that names broken.tar", err)
	}
	left, err := filepath.Glob(out + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
