package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// runFS is where daemons keep what ends with the machine: a file system in memory on each machine that systemd has started
// (file-hierarchy(7)). A plain container or a small virtual machine may lack it, and then each start waits for a disk a dozen times.
const runFS = "/run"

// insideRun is set in the environment of a benchmark that has got one.
const insideRun = "HOSTRUN_BENCH_INSIDE"

// withRunFS runs the benchmark again with a file system in memory on /run, which nobody else sees, where the machine has none. done says that
// this has happened.
func withRunFS() (done bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(runFS, &fs); err != nil {
		return false, fmt.Errorf("%s: %w", runFS, err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		return false, nil
	}
	if os.Getenv(insideRun) != "" {
		return false, mountRunFS()
	}
	say("%s is no file system in memory here: taking one for the benchmark", runFS)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideRun+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // that one gets it too, and clears up
	return true, cmd.Run()
}

func mountRunFS() error {
	if err := unix.Mount("tmpfs", runFS, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount a file system in memory on %s: %w", runFS, err)
	}
	return nil
}

// makeRunDir makes the directory of the daemons' state.
func (w *world) makeRunDir() (err error) {
	w.run, err = os.MkdirTemp(runFS, "hrb")
	return err
}

// state is a directory for what ends with the machine.
func (w *world) state(name string) string { return filepath.Join(w.run, name) }
