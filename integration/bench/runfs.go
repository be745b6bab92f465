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

// insideBench is set in the environment of the benchmark itself, to the load of the machine before.
const insideBench = "HOSTRUN_BENCH_INSIDE"

// goInside runs this program again, with more flags, in namespaces of its own: bridges, addresses and rules of both sides touch nothing
// of the machine's, whose own firewall touches none of theirs; and it may have another /run.
func goInside(load string, flags ...string) error {
	cmd := exec.Command("/proc/self/exe", append(os.Args[1:], flags...)...)
	cmd.Env = append(os.Environ(), insideBench+"="+load)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // that one gets it too, and clears up
	return cmd.Run()
}

// furnish gives the namespaces what a machine has: a loopback interface, and a file system in memory on /run if there is none.
func furnish() error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w\n%s", err, out)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(runFS, &fs); err != nil {
		return fmt.Errorf("%s: %w", runFS, err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		return nil
	}
	say("%s is no file system in memory here: taking one for the benchmark", runFS)
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
