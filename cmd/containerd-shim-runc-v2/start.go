//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/containerd/v2/plugins"
	gorunc "github.com/containerd/go-runc"
	"github.com/containerd/plugin"
	"golang.org/x/sys/unix"
)

// pluginType is of what this program adds to containerd's shim, and no other plugin requires.
const pluginType plugin.Type = "dev.hostrun.shim.v1"

// swift is loaded after the task service, which chooses how processes are started.
var swift = &plugin.Registration{Type: pluginType, ID: "swift", Requires: []plugin.Type{plugins.TTRPCPlugin}, InitFn: func(*plugin.InitContext) (any, error) {
	gorunc.Monitor = starter{gorunc.Monitor}
	return struct{}{}, nil
}}

// A starter starts the OCI runtime's processes, and does without that of `runc start`: the first process of a container that
// runc has created waits for somebody to open exec.fifo, and then begins the container's program. All that `runc start` does is to
// read from there (runc 1.1 to 1.5: start.go; libcontainer, Container.exec and linuxStandardInit.Init), and for that a process
// takes 6 ms, a tenth of the container's start. Whatever is not as it should be is left to runc, and its words.
type starter struct{ gorunc.ProcessMonitor }

func (s starter) Start(c *exec.Cmd) (chan gorunc.Exit, error) {
	if ended := started(c); ended != nil {
		return ended, nil
	}
	return s.ProcessMonitor.Start(c)
}

// StartLocked is what containerd's shim calls: its runc dies with it.
func (s starter) StartLocked(c *exec.Cmd) (chan gorunc.Exit, error) {
	if ended := started(c); ended != nil {
		return ended, nil
	}
	return s.ProcessMonitor.StartLocked(c)
}

// started does what the command would do, and returns its end; nil if that is to be left to it.
func started(c *exec.Cmd) chan gorunc.Exit {
	dir, ok := runcState(c)
	if !ok || !letGo(dir, alive) {
		return nil
	}
	ended := make(chan gorunc.Exit, 1)
	ended <- gorunc.Exit{Timestamp: time.Now()}
	return ended
}

// Wait is for a command that Start has been given, whether it has become a process or not.
func (s starter) Wait(c *exec.Cmd, ended chan gorunc.Exit) (int, error) {
	if c.Process == nil {
		return (<-ended).Status, nil
	}
	return s.ProcessMonitor.Wait(c, ended)
}

// runcState returns the directory that runc keeps of the container which the command is to start. It is no command of runc's
// where libcontainer's state.json is missing: crun keeps other files, and waits in another way.
func runcState(c *exec.Cmd) (dir string, ok bool) {
	root := slices.Index(c.Args, "--root")
	if n := len(c.Args); n < 5 || c.Args[n-2] != "start" || root < 0 || root >= n-3 {
		return "", false
	}
	dir = filepath.Join(c.Args[root+1], c.Args[len(c.Args)-1])
	_, err := os.Lstat(filepath.Join(dir, "state.json"))
	return dir, err == nil
}

// lookAgain is how often a process that does not come to the fifo is looked after; runc's own interval.
const lookAgain = 100 * time.Millisecond

// letGo opens and reads the fifo that the first process waits at, and removes it, which tells runc that the container runs. It
// reports whether the process has passed; if not, nothing is changed.
func letGo(dir string, alive func() bool) bool {
	path := filepath.Join(dir, "exec.fifo")
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode()&os.ModeNamedPipe == 0 {
		return false
	}
	// Without O_NONBLOCK it would wait for ever for a process that is dead.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	for alive() {
		// To close it now could kill the process, which may be between opening and writing.
		if arrived(fd, lookAgain) {
			break
		}
	}
	var text [8]byte
	n, err := unix.Read(fd, text[:])
	return err == nil && n > 0 && os.Remove(path) == nil
}

// arrived waits for the process's word, or its end.
func arrived(fd int, patience time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(patience.Milliseconds()))
	return err == nil && n > 0 || err != nil && !errors.Is(err, unix.EINTR)
}

// alive says whether the container's first process is there. The shim runs in the bundle, and keeps its number there.
func alive() bool {
	pid, err := gorunc.ReadPidFile(process.InitPidFile)
	return err == nil && unix.Kill(pid, 0) == nil
}
