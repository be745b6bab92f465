//go:build cgo

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/devices/nvidia/nvml"
)

// built is the program, linked as `make build` does, and where the libraries of the tests lie.
var built struct{ dir, program string }

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hostrun-nvml-*")
	if err != nil {
		panic(err)
	}
	built.dir, built.program = dir, filepath.Join(dir, "hostrun-nvml")
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// program builds hostrun-nvml once.
func program(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(built.program); err == nil {
		return built.program
	}
	cmd := exec.Command("go", "build", "-o", built.program, "-ldflags", "-extldflags=-Wl,-z,lazy", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return built.program
}

// fake builds a libnvidia-ml.so with a fault.
func fake(t *testing.T, macros ...string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Fatal("gcc is missing, and cgo is on: ", err)
	}
	p := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	args := append([]string{"-shared", "-fPIC", "-w", "-Wl,-soname,libnvidia-ml.so.1", "-o", p}, macros...)
	if out, err := exec.Command(gcc, append(args, "testdata/fake.c")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

func TestRealLibrary(t *testing.T) {
	all := []string{"0000:01:00.0", "0000:02:00.0", "0000:03:00.0"}
	const killed = "ended early: exit status 2: SIGABRT: abort"
	for name, c := range map[string]struct {
		macros []string
		want   string // system, and then each GPU's error
	}{
		"in order":             {nil, "550.54.15 12.4 9.0 ||"},
		"one is lost":          {[]string{"-DLOST=1"}, "550.54.15 12.4 9.0 |ERROR_GPU_IS_LOST: GPU is lost|"},
		"one hangs":            {[]string{"-DHANG=0"}, "550.54.15 12.4  no answer in 1.5s||"},
		"the last hangs":       {[]string{"-DHANG=2"}, "550.54.15 12.4 9.0 ||no answer in 1.5s"},
		"one crashes":          {[]string{"-DCRASH=1"}, "550.54.15 12.4 9.0 |" + killed + "|"},
		"an old library":       {[]string{"-DOLD"}, "550.54.15 12.4  ||"},
		"releases differ":      {[]string{"-DMISMATCH"}, "ERROR_LIB_RM_VERSION_MISMATCH: Driver/library version mismatch"},
		"Init hangs":           {[]string{"-DHANG_INIT"}, "no answer in 1.5s"},
		"a library that is no": {[]string{"-DNONE"}, "ERROR_LIBRARY_NOT_FOUND: NVML Shared Library couldn't be found or loaded"},
	} {
		t.Run(name, func(t *testing.T) {
			path := fake(t, c.macros...)
			if name == "a library that is no" {
				if err := os.WriteFile(path, []byte("no library"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			a := nvml.Child{Path: program(t), Library: path, Step: 1500 * time.Millisecond}.Ask(context.Background(), all)
			got := a.System.Error
			if got == "" {
				var errs []string
				for _, g := range a.GPUs {
					errs = append(errs, strings.TrimPrefix(g.Error, "hostrun-nvml "))
					if g.Error == "" && (g.UUID == "" || g.Memory != 80<<30 || g.Name != "NVIDIA Fake" || g.Brand != "nvidia") {
						t.Errorf("%+v", g)
					}
				}
				got = fmt.Sprintf("%s %s %s %s", a.System.Driver, a.System.CUDA, a.GPUs[0].Capability, strings.Join(errs, "|"))
			}
			if got != c.want || len(a.GPUs) != 3 {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// The program starts on a machine without the library. Linked with -z now, which some distributions make the default, it would
// end there with status 127: "symbol lookup error".
func TestStartsWithoutTheLibrary(t *testing.T) {
	out, err := exec.Command(program(t), "-library", "/nonexistent/libnvidia-ml.so.1", "0000:01:00.0").CombinedOutput()
	if err != nil || !strings.Contains(string(out), `{"system":{"error":"ERROR_LIBRARY_NOT_FOUND`) {
		t.Errorf("%v, %s", err, out)
	}
}

// A child whose parent is gone ends by itself.
func TestLimit(t *testing.T) {
	cmd := exec.Command(program(t), "-limit", "300ms", "-library", fake(t, "-DHANG=0"), "0000:01:00.0") // both are built first
	start := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if took := time.Since(start); !errors.As(err, &exit) || took > time.Minute {
		t.Errorf("%v after %s", err, took)
	}
}

// Built without cgo it says so, in the words of its protocol.
func TestWithoutCgo(t *testing.T) {
	p := filepath.Join(t.TempDir(), "hostrun-nvml")
	cmd := exec.Command("go", "build", "-o", p, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if a := (nvml.Child{Path: p}).Ask(context.Background(), []string{"a"}); !strings.Contains(a.System.Error, "without cgo") {
		t.Errorf("%+v", a)
	}
}
