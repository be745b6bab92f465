package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
)

// TestLockedDriver: a machine whose driver, or whose CANN that is lent, was updated is refused by --locked, which says both versions and the
// line of the lock; and a profile that asks for no device has neither.
func TestLockedDriver(t *testing.T) {
	site := newSites(t)
	older, newer := nvidiatest.H100(), nvidiatest.H100()
	newer.Driver = "570.86.10"
	cann := func(version, driver string) ascendtest.Machine {
		m := ascendtest.A2()
		m.Version = ascendtest.VersionInfo(driver, "C25", "C21", "C23", "C25")
		m.Files = map[string]string{"/usr/local/Ascend/cann-8.5.0/aarch64-linux/ascend_toolkit_install.info": ascendtest.ToolkitInfo(version, "C25", "C21", "C23", "C25"),
			"/usr/local/Ascend/cann-8.5.0/lib64/libascendcl.so": ""}
		return m
	}
	for _, c := range []struct {
		asks          string
		before, after func(t *testing.T, root string)
		entry, says   string
	}{
		{"gpus: 1", gpus(older), gpus(newer), "    drivers:\n      nvidia.com/gpu: " + older.Driver + "\n", "the driver of GPUs: " + older.Driver + " -> 570.86.10"},
		{"npus: [0]\nascend: {toolkit: host}", npus(cann("8.5.0", "25.5.0")), npus(cann("8.5.1", "25.5.0")), "    cann: 8.5.0\n", "the host's CANN: 8.5.0 -> 8.5.1"},
		{"npus: [0]", npus(cann("8.5.0", "25.5.0")), npus(cann("8.5.1", "25.5.1")), "      ascend.com/npu: 25.5.0\n", "the driver of NPUs: 25.5.0 -> 25.5.1"},
		{"environment: {A: b}", gpus(older), gpus(newer), "      platform: ", ""},
	} {
		s := site(t, c.before)
		s.job(c.asks)
		if status, out, errs := s.hostrun("lock", "job"); status != 0 || !strings.HasPrefix(out, "job: locked in ") {
			t.Fatalf("%s: %d %s%s", c.asks, status, out, errs)
		}
		locks, _ := filepath.Glob(filepath.Join(s.dir, "*", "hostrun.lock"))
		if len(locks) == 0 {
			locks = []string{filepath.Join(s.dir, "hostrun.lock")}
		}
		text, err := os.ReadFile(locks[0])
		must(t, err)
		if !strings.Contains(string(text), c.entry) || c.says == "" && strings.Contains(string(text), "drivers") {
			t.Errorf("%s: no %q in\n%s", c.asks, c.entry, text)
		}
		if status, _, errs := s.hostrun("spec", "--locked", "job"); status != 0 {
			t.Errorf("%s: %d\n%s", c.asks, status, errs)
		}
		must(t, os.RemoveAll(s.root))
		must(t, os.Mkdir(s.root, 0o755))
		c.after(t, s.root)
		ascendtest.Write(t, s.root, "proc/sys/kernel/osrelease", "6.8.0\n")
		status, _, errs := s.hostrun("spec", "--locked", "job")
		if c.says == "" {
			if status != 0 {
				t.Errorf("%s: %d\n%s", c.asks, status, errs)
			}
			continue
		}
		if status != 78 || !strings.Contains(errs, "error[HR370]: not what hostrun.lock says: "+c.says+"\n") || !strings.Contains(errs, "hostrun.lock:") {
			t.Errorf("%s: %d\n%s", c.asks, status, errs)
		}
		if status, out, _ := s.hostrun("lock", "--check", "job"); status != 3 || !strings.Contains(out, "\n  "+c.says+" (") {
			t.Errorf("%s: %d %s", c.asks, status, out)
		}
		if status, _, errs := s.hostrun("spec", "job"); status != 0 {
			t.Errorf("without a lock: %d\n%s", status, errs)
		}
	}
}
