package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/finding"
)

// npuHealthVerb is the hidden verb of a process that asks npu-smi for the starts to come, behind the back of one. Its argument is
// the cache directory.
const npuHealthVerb = "__npu-health"

// askNPUsLater starts that process, which outlives this one.
func (s *session) askNPUsLater() {
	self, err := os.Executable()
	if err != nil || s.program == "" || s.root != "/" { // of a test, or not this machine
		return
	}
	s.asksNPUs.Do(func() {
		cmd := exec.Command(self, npuHealthVerb, s.abs(s.global.cacheDir))
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ^C at the terminal is not for it
		if err := cmd.Start(); err == nil {
			_ = cmd.Process.Release()
		}
	})
}

// runNPUHealth asks npu-smi, unless another process does so at this moment: one that hangs must not gather followers.
func runNPUHealth(ctx context.Context, s *session, words []string) error {
	if len(words) != 1 || !filepath.IsAbs(words[0]) {
		return finding.Errorf(finding.StatusUsage, "it is for hostrun's own use", "%s: wrong arguments", npuHealthVerb)
	}
	if err := os.MkdirAll(words[0], 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(words[0], "ascend-health.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	_, err = ascend.New(s.root, ascend.NPUSMI(s.npuSMI), ascend.Remember(words[0], nil)).Inventory(ctx, devices.Needs{Health: true})
	return err
}
