package main

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"hostrun.dev/hostrun/profiles"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The scripts run the real main as a process of its own; nothing in it knows that it is tested.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hostrun": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("CONTAINERD_ADDRESS", filepath.Join(env.WorkDir, "no.sock"))
			env.Setenv("HOSTRUN_SYSTEM_ADDRESS", filepath.Join(env.WorkDir, "system.sock"))
			env.Setenv("HOSTRUN_CACHE_DIR", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("HOSTRUN_DATA_DIR", filepath.Join(env.WorkDir, "data"))
			env.Setenv("HOSTRUN_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("TERM", "xterm")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": status,
		},
	})
}

// status runs hostrun and compares its exit status: status 78 hostrun check dinov2.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N hostrun ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("run %v: %v", args[1:], err)
		}
		got = exit.ExitCode()
	}
	if want := args[0]; want != strconv.Itoa(got) {
		ts.Fatalf("exit status %d, want %s", got, want)
	}
}

// TestBuiltinProfilesAreListed keeps hostrun profiles and the embedded files together.
func TestBuiltinProfilesAreListed(t *testing.T) {
	all, err := profiles.List(profiles.Options{Cwd: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(os.DirFS("../../profiles/builtin"), "*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no built-in profiles: %v", err)
	}
	if len(all) != len(files) {
		t.Errorf("%d profiles listed, %d embedded", len(all), len(files))
	}
}
