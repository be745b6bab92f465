//go:build linux

package nvidia_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/devices/nvidia/nvml"
	"hostrun.dev/hostrun/rootfs"
)

// A start with nothing changed asks nobody; what is damaged, or another user's, costs a question.
func TestNVMLIsAskedOnce(t *testing.T) {
	a, dir := dgxAnswers(), t.TempDir()
	root := nvidiatest.H100().Make(t)
	s := nvidia.New(root, nvidia.WithAsker(a.ask), nvidia.WithCache(dir))
	first := inventory(t, s, devices.Needs{})
	second := inventory(t, s, devices.Needs{})
	if len(a.asked) != 1 || first.Fingerprint != second.Fingerprint || second.Devices[7].Memory == 0 || len(second.Links) != 28 {
		t.Fatalf("asked %d times: %+v", len(a.asked), second.Devices[7])
	}
	inventory(t, s, devices.Needs{Health: true})
	if len(a.asked) != 2 {
		t.Errorf("health as it is now: asked %d times", len(a.asked))
	}
	file := filepath.Join(dir, "nvidia.json")
	for name, damage := range map[string]func() error{
		"cut off": func() error { return os.Truncate(file, 300) },
		"empty":   func() error { return os.Truncate(file, 0) },
		"a flipped bit": func() error {
			b, err := os.ReadFile(file)
			b[len(b)/2] ^= 1
			return errors.Join(err, os.WriteFile(file, b, 0o644))
		},
		"gone":        func() error { return os.Remove(file) },
		"a link":      func() error { return errors.Join(os.Rename(file, file+".old"), os.Symlink(file+".old", file)) },
		"a directory": func() error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o755)) },
	} {
		before := len(a.asked)
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if inv := inventory(t, s, devices.Needs{}); len(a.asked) != before+1 || inv.Devices[0].Memory == 0 {
			t.Errorf("%s: asked %d times more", name, len(a.asked)-before)
		}
		_ = os.Remove(file) // a directory in its place is not replaced: the next one asks again
		inventory(t, s, devices.Needs{})
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".nvidia-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Without a cache directory nothing is written, and NVML is asked each time.
func TestNoCacheDirectory(t *testing.T) {
	a := dgxAnswers()
	s := nvidia.New(nvidiatest.H100().Make(t), nvidia.WithAsker(a.ask))
	inventory(t, s, devices.Needs{})
	inventory(t, s, devices.Needs{})
	if _, err := os.Stat("nvidia.json"); len(a.asked) != 2 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("asked %d times, %v", len(a.asked), err)
	}
}

// TestFingerprint: it changes with the boot, the driver, the GPUs and the partitions, and each change asks NVML anew.
func TestFingerprint(t *testing.T) {
	write := func(name, body string) func(string) error {
		return func(root string) error {
			p := filepath.Join(root, name)
			return errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(body), 0o644))
		}
	}
	m := machines()["mig"]
	for name, c := range map[string]struct {
		change      func(root string) error
		fingerprint bool // changes; the question is asked again in any case where asked is set
		asked       bool
	}{
		"boot":   {write("proc/sys/kernel/random/boot_id", "another\n"), true, true},
		"module": {write("sys/module/nvidia/srcversion", "another\n"), true, true},
		"driver": {write("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.90.07  Fri\n"), true, true},
		"GPU gone": {func(root string) error {
			return os.RemoveAll(filepath.Join(root, "proc/driver/nvidia/gpus/0000:1b:00.0"))
		}, true, true},
		"uvm major": {write("proc/devices", "Character devices:\n195 nvidia\n237 nvidia-caps\n511 nvidia-uvm\n"), true, true},
		"MIG made":  {write("proc/driver/nvidia/capabilities/gpu1/mig/gi10/access", "DeviceFileMinor: 219\n"), true, true},
		"MIG gone": {func(root string) error {
			return os.RemoveAll(filepath.Join(root, "proc/driver/nvidia/capabilities/gpu1/mig/gi9"))
		}, true, true},
		"MIG's node": {write("proc/driver/nvidia/capabilities/gpu1/mig/gi9/access", "DeviceFileMinor: 229\n"), true, true},
		"libcuda": {func(root string) error {
			p := filepath.Join(root, "usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15")
			return errors.Join(os.Remove(p), os.WriteFile(p, nvidiatest.Library("libcuda.so.1"), 0o644))
		}, true, true},
		// A partition made again under its old number looks as before, and its UUID may be another one.
		"MIG made again": {func(root string) error {
			p := filepath.Join(root, "proc/driver/nvidia/capabilities/gpu1/mig/gi9/ci0")
			return errors.Join(os.Rename(p, p+"x"), os.Rename(p+"x", p))
		}, false, true},
		"another library": {write("usr/lib/x86_64-linux-gnu/libnvidia-new.so.550.54.15", "x"), false, true},
		"another file":    {write("etc/hostname", "other\n"), false, false},
		"NUMA node":       {write("sys/devices/x", ""), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := m.Make(t)
			a := dgxAnswers()
			s := nvidia.New(root, nvidia.WithAsker(a.ask), nvidia.WithCache(t.TempDir()))
			before := inventory(t, s, devices.Needs{})
			if again := inventory(t, s, devices.Needs{}); again.Fingerprint != before.Fingerprint || len(a.asked) != 1 {
				t.Fatalf("without a change: %s, then %s, asked %d times", before.Fingerprint, again.Fingerprint, len(a.asked))
			}
			if err := c.change(root); err != nil {
				t.Fatal(err)
			}
			after := inventory(t, s, devices.Needs{})
			if (after.Fingerprint != before.Fingerprint) != c.fingerprint || (len(a.asked) == 2) != c.asked {
				t.Errorf("changed: %v, want %v; asked %d times", after.Fingerprint != before.Fingerprint, c.fingerprint, len(a.asked))
			}
		})
	}
}

// A GPU that hangs costs its deadline once a minute, whatever is asked for.
func TestHungGPUIsNotAskedAgainAtOnce(t *testing.T) {
	a := dgxAnswers()
	a.gpus["0000:52:00.0"] = nvml.GPU{Error: "no answer in 10s", Hung: true}
	s := nvidia.New(nvidiatest.H100().Make(t), nvidia.WithAsker(a.ask), nvidia.WithCache(t.TempDir()))
	inventory(t, s, devices.Needs{})
	inventory(t, s, devices.Needs{})
	if len(a.asked) != 1 {
		t.Fatalf("asked %d times", len(a.asked))
	}
	inv := inventory(t, s, devices.Needs{Health: true})
	if len(a.asked) != 2 || slices.Contains(a.asked[1], "0000:52:00.0") || len(a.asked[1]) != 7 {
		t.Errorf("asked %v", a.asked[1:])
	}
	if h := inv.Devices[2].Health; h.State != "bad" || !strings.Contains(h.Reasons[0], "hangs") {
		t.Errorf("%+v", h)
	}
	nvidia.SetClock(s, func() time.Time { return time.Now().Add(2 * time.Minute) })
	inventory(t, s, devices.Needs{})
	if len(a.asked) != 3 || len(a.asked[2]) != 8 {
		t.Errorf("two minutes later: asked %v", a.asked[2:])
	}
}

// A GPU that was bad is asked again after a minute: a reset may have brought it back.
func TestResetIsNoticed(t *testing.T) {
	a := dgxAnswers()
	good := a.gpus["0000:52:00.0"]
	bad := good
	bad.Recovery = "reset"
	a.gpus["0000:52:00.0"] = bad
	s := nvidia.New(nvidiatest.H100().Make(t), nvidia.WithAsker(a.ask), nvidia.WithCache(t.TempDir()))
	inventory(t, s, devices.Needs{})
	a.gpus["0000:52:00.0"] = good
	if inv := inventory(t, s, devices.Needs{}); len(a.asked) != 1 || inv.Devices[2].Health.State != "bad" {
		t.Errorf("at once: asked %d times, %+v", len(a.asked), inv.Devices[2].Health)
	}
	nvidia.SetClock(s, func() time.Time { return time.Now().Add(2 * time.Minute) })
	if inv := inventory(t, s, devices.Needs{}); len(a.asked) != 2 || inv.Devices[2].Health.State != "ok" {
		t.Errorf("later: asked %d times, %+v", len(a.asked), inv.Devices[2].Health)
	}
}

// The first question may initialise a GPU, and the kernel's files then say more: that is no change that asks again.
func TestInitialisationIsNoChange(t *testing.T) {
	m := nvidiatest.H100()
	m.GPUs = m.GPUs[:1]
	m.GPUs[0].UUID = ""
	root := m.Make(t)
	asked := 0
	s := nvidia.New(root, nvidia.WithCache(t.TempDir()), nvidia.WithAsker(func(ctx context.Context, library string, addresses []string) nvml.Answer {
		asked++
		p := filepath.Join(root, "proc/driver/nvidia/gpus/0000:1b:00.0/information")
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		body := strings.Replace(string(b), "GPU-????????-????-????-????-????????????", "GPU-11111111-2222-3333-4444-000000000000", 1)
		if err := os.WriteFile(p, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		return dgxAnswers().ask(ctx, library, addresses)
	}))
	inventory(t, s, devices.Needs{})
	if inv := inventory(t, s, devices.Needs{}); asked != 1 || inv.Devices[0].Health.State != "ok" {
		t.Errorf("asked %d times, %+v", asked, inv.Devices[0].Health)
	}
}

// TestHotInventoryOpensNoDevice holds a lock on what a question would need: a hot inventory neither asks nor opens a GPU.
func TestHotInventoryOpensNoDevice(t *testing.T) {
	root := nvidiatest.H100().Make(t)
	dir := t.TempDir()
	inventory(t, nvidia.New(root, nvidia.WithAsker(dgxAnswers().ask), nvidia.WithCache(dir)), devices.Needs{})
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for i := range 8 {
		if _, err := unix.InotifyAddWatch(fd, filepath.Join(root, "dev", "nvidia"+string(rune('0'+i))), unix.IN_OPEN|unix.IN_ACCESS); err != nil {
			t.Fatal(err)
		}
	}
	hot := nvidia.New(root, nvidia.WithCache(dir), nvidia.WithAsker(func(context.Context, string, []string) nvml.Answer {
		t.Error("NVML is asked")
		return nvml.Answer{}
	}))
	inv := inventory(t, hot, devices.Needs{Users: true})
	if _, found := hot.Edits(inv, inv.Devices, devices.Ask{All: true}, devices.Container{}); len(found) > 0 {
		t.Errorf("%+v", found)
	}
	if n, err := unix.Read(fd, make([]byte, 4096)); n > 0 || !errors.Is(err, unix.EAGAIN) {
		t.Errorf("a device was opened (%d bytes of events, %v)", n, err)
	}
}

// hot is a source whose cache is warm, and what it says.
func hot(b *testing.B) (*nvidia.Source, devices.Inventory) {
	b.Helper()
	s := nvidia.New(nvidiatest.H100().Make(b), nvidia.WithAsker(dgxAnswers().ask), nvidia.WithCache(b.TempDir()))
	inv, err := s.Inventory(context.Background(), devices.Needs{})
	if err != nil {
		b.Fatal(err)
	}
	return s, inv
}

func BenchmarkHotInventory(b *testing.B) {
	s, _ := hot(b)
	for b.Loop() {
		if _, err := s.Inventory(context.Background(), devices.Needs{}); err != nil {
			b.Fatal(err)
		}
	}
}

// Both at once are what a start pays. The second image is as large as this machine's own root: its loader, cache and directories are
// read.
func BenchmarkEditsOfEight(b *testing.B) {
	s, inv := hot(b)
	for name, view := range map[string]*rootfs.View{"no image": nil, "large image": rootfs.Dir("/")} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.Edits(inv, inv.Devices, devices.Ask{}, devices.Container{View: view})
			}
		})
	}
}
