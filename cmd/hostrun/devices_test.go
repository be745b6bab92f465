package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/devicestest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/integration/fixture"
)

// onFakeMachine runs a command line on a machine with n fake accelerators that hostrun finds by itself, and without containerd.
func onFakeMachine(t *testing.T, n int, words ...string) (status int, stdout, stderr string) {
	t.Helper()
	root, dir := t.TempDir(), t.TempDir()
	if n > 0 {
		devicestest.FakeMachine(t, root, n)
	}
	old := discoveries
	discoveries = []func(*session) devices.Source{func(s *session) devices.Source { return devicestest.Fake{Root: s.root} }}
	t.Cleanup(func() { discoveries = old })
	words = append([]string{"--state-dir", filepath.Join(dir, "state"), "--data-dir", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache"),
		"--system-address", filepath.Join(dir, "none.sock")}, words...)
	var out, errs bytes.Buffer
	status = run(t.Context(), words, strings.NewReader(""), &out, &errs, deps{env: map[string]string{}, dir: dir, root: root})
	return status, out.String(), errs.String()
}

// TestDevicesWithoutContainerd: what a machine has does not depend on a daemon.
func TestDevicesWithoutContainerd(t *testing.T) {
	status, out, errs := onFakeMachine(t, 2, "devices", "--format", "json")
	var names []string
	for line := range strings.Lines(out) {
		var d map[string]any
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"schema", "kind", "name", "pci", "nodes", "numa", "health", "holder", "waiters"} {
			if _, ok := d[field]; !ok {
				t.Errorf("%s has no %s", line, field)
			}
		}
		names = append(names, d["name"].(string))
	}
	if status != 0 || !slices.Equal(names, []string{"0", "1"}) {
		t.Errorf("status %d, devices %q\n%s", status, names, errs)
	}
	if status, out, errs := onFakeMachine(t, 1, "devices", "--wide"); status != 0 || !strings.Contains(out, "Acc 1") || !strings.Contains(out, "/dev/acc0") {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
	if status, out, errs := onFakeMachine(t, 0, "devices"); status != 0 || out != "" || !strings.Contains(errs, "no accelerator") {
		t.Errorf("none: %d %q %q", status, out, errs)
	}
}

func TestExportCDI(t *testing.T) {
	status, out, errs := onFakeMachine(t, 2, "export", "cdi", "--no-gids")
	var spec struct {
		CDIVersion, Kind string
		Annotations      map[string]string
		Devices          []struct{ Name string }
		ContainerEdits   struct{ Env, Hooks []any }
	}
	if err := json.Unmarshal([]byte(out), &spec); err != nil || status != 0 {
		t.Fatalf("status %d, %v\n%s%s", status, err, out, errs)
	}
	if spec.Kind != devicestest.FakeKind || spec.CDIVersion != "0.6.0" || len(spec.Devices) != 3 || spec.Annotations["hostrun.dev/fingerprint"] != "acc" || len(spec.ContainerEdits.Hooks)+len(spec.ContainerEdits.Env) > 0 {
		t.Errorf("%s", out)
	}
	for _, c := range []struct {
		devices int
		words   []string
		status  int
		text    string
	}{
		{0, []string{"export", "cdi"}, finding.StatusNoDevice, "no accelerator"},
		{1, []string{"export", "cdi", "--kind", "a.com/b"}, finding.StatusNoDevice, "no a.com/b"},
		{1, []string{"export"}, finding.StatusUsage, "what is to be written"},
	} {
		if status, _, errs := onFakeMachine(t, c.devices, c.words...); status != c.status || !strings.Contains(errs, c.text) {
			t.Errorf("%q: %d, %s", c.words, status, errs)
		}
	}
}

// TestFactsHaveInventories: a recording of the machine alone has its accelerators.
func TestFactsHaveInventories(t *testing.T) {
	status, out, errs := onFakeMachine(t, 1, "facts", "--python", "none", "--cuda", "none")
	var facts struct{ Inventories []devices.Inventory }
	if err := json.Unmarshal([]byte(out), &facts); err != nil || status != 0 || len(facts.Inventories) != 1 || facts.Inventories[0].Devices[0].Name != "0" {
		t.Errorf("status %d, %v\n%s%s", status, err, out, errs)
	}
}

func TestWaitDevice(t *testing.T) {
	for text, want := range map[string]time.Duration{"true": forever, "": forever, "false": 0, "30s": 30 * time.Second, "0s": 0} {
		var w waitFlag
		if err := w.Set(text); err != nil || w.wait != want {
			t.Errorf("%q: %v, %v", text, w.wait, err)
		}
	}
	for _, text := range []string{"soon", "-1s", "30"} {
		if err := new(waitFlag).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	s, _, _ := testSession()
	line, err := arrange(newApp(s), []string{"up", "--wait-device", "job", "--wait-device=5s"})
	if err != nil || !slices.Equal(line.names, []string{"job"}) || !slices.Equal(line.local, []string{"--wait-device", "--wait-device=5s"}) {
		t.Errorf("%+v, %v", line, err)
	}
}

// reader is a Fake that looks at the image's files.
type reader struct {
	devicestest.Fake
	saw *[]string
}

func (reader) ReadsImage() bool { return true }

func (r reader) Edits(inv devices.Inventory, chosen []devices.Device, ask devices.Ask, c devices.Container) (devices.Edits, []finding.Finding) {
	if c.View != nil && c.View.Exists("/bin/busybox") {
		*r.saw = append(*r.saw, "the image's files")
	}
	return r.Fake.Edits(inv, chosen, ask, c)
}

// TestImageIsLent: a source sees the image's files, and nothing of the loan is left in containerd, also where the start is refused.
func TestImageIsLent(t *testing.T) {
	ctrd := fixture.StartContainerd(t, fixture.Engines(t)[0].Binary)
	root, dir := t.TempDir(), t.TempDir()
	devicestest.FakeMachine(t, root, 1)
	var saw []string
	old := discoveries
	discoveries = []func(*session) devices.Source{func(s *session) devices.Source { return reader{devicestest.Fake{Root: s.root}, &saw} }}
	t.Cleanup(func() { discoveries = old })
	archive := filepath.Join(dir, "image.tar")
	text, err := io.ReadAll(fixture.BusyboxImage(t, "docker.io/library/busybox:latest").Archive())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"image.tar": string(text), "profiles/fits.yaml": "image: busybox\ncommand: [sh]\ndevices: [" + devicestest.FakeKind + "=0]\n",
		"profiles/bad.yaml": "image: busybox\ncommand: [sh]\ndevices: [" + devicestest.FakeKind + "=7]\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		status int
		words  []string
	}{{0, []string{"load", archive}}, {0, []string{"spec", "fits"}}, {finding.StatusNoDevice, []string{"spec", "bad"}}} {
		words := append([]string{"--address", ctrd.Address, "--state-dir", filepath.Join(dir, "state"), "--data-dir", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache")}, c.words...)
		var out, errs bytes.Buffer
		if status := run(t.Context(), words, strings.NewReader(""), &out, &errs, deps{env: map[string]string{}, dir: dir, root: root}); status != c.status {
			t.Errorf("%q: status %d\n%s", c.words, status, errs.String())
		}
	}
	if len(saw) != 1 {
		t.Errorf("seen: %q", saw)
	}
	if left := fixture.LeaksOf(t, ctrd, "hostrun", filepath.Join(dir, "state"), filepath.Join(dir, "data")); len(left.Snapshots) > 0 {
		t.Errorf("left behind: %q", left.Snapshots)
	}
}
