package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// runFS is where daemons keep what ends with the machine: a file system in memory on each machine that systemd has started
// (file-hierarchy(7)). A plain container or a small virtual machine may lack it, and then each start waits for a disk a dozen times.
const runFS = "/run"

// insideBench is set in the environment of the benchmark itself, to the load of the machine before.
const insideBench = "HOSTRUN_BENCH_INSIDE"

// goInside runs this program again, with more flags, in namespaces of its own: bridges, addresses and rules of both sides touch nothing
// of the machine's, whose own firewall touches none of theirs; it may have another /run; and whatever ends it, its daemons, containers and
// mounts end with it. What lies on the disk is removed here.
func goInside(load string, flags ...string) error {
	dir, err := os.MkdirTemp("", "hrb") // short: a socket's path has 107 bytes at most
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer removeCgroups()
	runtime.LockOSThread() // Pdeathsig is of the thread
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append(os.Args[1:], flags...)...)
	cmd.Env = append(os.Environ(), insideBench+"="+load, "TMPDIR="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	return cmd.Run()
}

// furnish gives the namespaces what a machine has: their processes in /proc, a loopback interface, and a file system in memory on /run if
// there is none.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
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
