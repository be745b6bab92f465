package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemonWait bounds how long a daemon may take to answer, and to end.
const daemonWait = 30 * time.Second

// A daemon is a private one, with everything of it below one directory.
type daemon struct {
	name   string
	socket string
	log    string
	cmd    *exec.Cmd
	ended  chan error
}

// startDaemon starts a daemon and waits for its socket.
func startDaemon(name, socket, log string, args ...string) (*daemon, error) {
	d, err := launch(name, socket, log, args...)
	if err != nil {
		return nil, err
	}
	return d, d.await()
}

// launch starts a daemon.
func launch(name, socket, log string, args ...string) (*daemon, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	d := &daemon{name: name, socket: socket, log: log, cmd: exec.Command(args[0], args[1:]...), ended: make(chan error, 1)}
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for the benchmark, which then stops the daemon
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	return d, nil
}

func (d *daemon) await() error {
	for deadline := time.Now().Add(daemonWait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("unix", d.socket); err == nil {
			return conn.Close()
		}
		select {
		case err := <-d.ended:
			d.ended <- err
			return fmt.Errorf("start %s: it ended at once (%v); its log ends in:\n%s", d.name, err, lastLines(d.log))
		default:
		}
	}
	d.stop()
	return fmt.Errorf("start %s: no answer on %s; its log ends in:\n%s", d.name, d.socket, lastLines(d.log))
}

// stop ends the daemon by its process ID, with force if it does not listen.
func (d *daemon) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(daemonWait):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
}

func lastLines(file string) string {
	text, _ := os.ReadFile(file)
	return string(text[max(0, len(text)-2000):])
}

// startContainerd starts the containerd of PATH, with its state below run.
func startContainerd(dir, run string) (*daemon, error) {
	socket := filepath.Join(run, "containerd.sock")
	config := filepath.Join(dir, "containerd.toml")
	text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		filepath.Join(dir, "containerd"), filepath.Join(run, "containerd"), socket)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return startDaemon("containerd", socket, filepath.Join(dir, "containerd.log"), "containerd", "--config", config)
}

// startDockerd starts the dockerd of PATH on that containerd, without the network docker0, which compose does not use.
func startDockerd(dir, run, containerd string) (*daemon, error) {
	socket := filepath.Join(run, "docker.sock")
	return startDaemon("dockerd", socket, filepath.Join(dir, "dockerd.log"), "dockerd", "--containerd", containerd,
		"--data-root", filepath.Join(dir, "docker"), "--exec-root", filepath.Join(run, "docker"),
		"--pidfile", filepath.Join(run, "docker.pid"), "--host", "unix://"+socket, "--bridge=none",
		"--cgroup-parent", "/"+namespace)
}

// startEngine starts hostrun's private engine with directories of its own. It stays, however idle.
func startEngine(bin, state, root string) (*daemon, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	return startDaemon("hostrun-engine", filepath.Join(state, "engine.sock"), filepath.Join(state, "bench.log"),
		"env", "HOSTRUN_ENGINE_IDLE=24h", filepath.Join(bin, "hostrun-engine"), "--state", state, "--root", root)
}

// children returns the processes whose parent is this one.
func children() []int {
	var pids []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread may be gone meanwhile
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// removeAll removes the benchmark's directory, and first whatever is still mounted below it.
func removeAll(dir string) error {
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	var failed []error
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := syscall.Unmount(mounts[i], syscall.MNT_DETACH); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, fmt.Errorf("unmount %s: %w", mounts[i], err))
		}
	}
	return errors.Join(append(failed, os.RemoveAll(dir))...)
}

// mountsBelow returns the mount points below dir in the order of mounting (proc(5), mountinfo).
func mountsBelow(dir string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	return points, nil
}

// removeCgroups removes what the containers' cgroups lay in, in each hierarchy of version 1 and in that of version 2. The
// kernel refuses to remove one that is in use.
func removeCgroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		parents, _ := filepath.Glob(pattern + namespace)
		for _, parent := range parents {
			below, _ := filepath.Glob(parent + "/*/")
			for _, dir := range append(below, parent) {
				_ = syscall.Rmdir(dir)
			}
		}
	}
}
