package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// onNPUs runs a command line on a machine with NPUs, without containerd. npu-smi is a script that prints a recorded table.
func onNPUs(t *testing.T, m ascendtest.Machine, table string, words ...string) (stdout, stderr string) {
	t.Helper()
	root, dir := t.TempDir(), t.TempDir()
	ascendtest.Build(t, root, m)
	smi := filepath.Join(root, "usr/local/bin/npu-smi")
	if err := os.Remove(smi); err != nil {
		t.Fatal(err)
	}
	if table != "" {
		recorded, err := filepath.Abs("../../devices/ascend/testdata/" + table)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(smi, []byte("#!/bin/sh\ncat "+recorded+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	words = append([]string{"--state-dir", filepath.Join(dir, "state"), "--data-dir", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache"),
		"--system-address", filepath.Join(dir, "none.sock")}, words...)
	var out, errs bytes.Buffer
	if status := run(t.Context(), words, strings.NewReader(""), &out, &errs, deps{env: map[string]string{}, dir: dir, root: root}); status != 0 {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	return out.String(), errs.String()
}

// TestDevicesOfNPUs is what hostrun devices prints on a machine of each product.
func TestDevicesOfNPUs(t *testing.T) {
	mixed := ascendtest.A2()
	mixed.Version = ascendtest.VersionInfo("24.1.rc3", "C19", "C13", "C15", "C17", "C18", "C19")
	virtual := ascendtest.Duo()
	virtual.Virtual = []int{100, 116}
	var b strings.Builder
	for _, c := range []struct {
		name    string
		machine ascendtest.Machine
		table   string
	}{
		{"A2, eight 910B4", ascendtest.A2(), "info-a2.txt"}, {"A3, sixteen dies", ascendtest.A3(), "info-a3.txt"}, {"two 300I Duo with parts", virtual, "info-duo.txt"},
		{"310B without npu-smi", ascendtest.Edge(), ""}, {"the driver in a place of its own", ascendtest.CustomPlace(), "info-a2.txt"},
		{"the driver is not loaded", ascendtest.NotLoaded(), ""}, {"an older driver", mixed, "info-a2.txt"},
	} {
		out, errs := onNPUs(t, c.machine, c.table, "devices")
		b.WriteString("-- " + c.name + " --\n" + out + errs)
	}
	golden := filepath.Join("testdata", "npus.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("differs (-update rewrites it):\n%s", diff)
	}
}

// TestRenamedNPU: /dev/davinci4:/dev/davinci0 is refused with the line of the profile, and the reason.
func TestRenamedNPU(t *testing.T) {
	facts := plan.Facts{Profile: profiles.Profile{
		Devices: []profiles.Device{{Source: "/dev/davinci4", Target: "/dev/davinci0", Key: "devices[0]"}, {Source: "/dev/davinci5", Target: "/dev/davinci5", Key: "devices[1]"}},
		Lines:   map[string]profiles.Position{"devices[0]": {File: "p.yaml", Line: 3}}}}
	found := fitNPUs(nil, &facts, devices.Grant{}, nil)
	if len(found) != 1 || found[0].ID != finding.AscendRename || found[0].File != "p.yaml" || found[0].Line != 3 {
		t.Errorf("%+v", found)
	}
}

// TestImagesVisibleDevices: what an image says of visible devices does not reach the container, and is no reason to refuse it.
func TestImagesVisibleDevices(t *testing.T) {
	facts := plan.Facts{Image: plan.Image{Env: []string{"A=1", "ASCEND_RT_VISIBLE_DEVICES=0,1,2,3"}}}
	if got := environment(&facts); len(got) != 1 || got[0] != "A=1" {
		t.Errorf("%q", got)
	}
	facts.Profile.Environment = []profiles.EnvVar{{Name: "ASCEND_RT_VISIBLE_DEVICES", Value: "1"}}
	if got := environment(&facts); len(got) != 2 || got[1] != "ASCEND_RT_VISIBLE_DEVICES=1" {
		t.Errorf("%q", got)
	}
}
