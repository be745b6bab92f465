package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/runtime"
)

// startSupervisor starts one in the background, so that it outlives this command and whatever that was started by. Where systemd runs it
// is a unit of its own, which systemd brings back when it is killed; elsewhere a process that has another one beside it for that.
func (s *session) startSupervisor(ctx context.Context, client *runtime.Client) error {
	log, err := openSuperviseLog(client.SuperviseLog())
	if err != nil {
		return err
	}
	defer log.Close()
	if _, err := os.Stat("/run/systemd/system"); err == nil { // sd_booted(3)
		err := s.startSupervisorUnit(ctx, client)
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.log.Warn("start hostrun supervise as a unit of systemd", "error", err)
	}
	cmd, err := s.background(client.Address(), "supervise", "--until-idle", "--revived="+revival{}.String())
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	// It lives on with descriptors of its own alone: one that the caller was given, as by `exec 9>lock; flock 9`, must not live as long.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11; before, Go has marked its own
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() { _ = cmd.Wait() }()
	s.log.Debug("started the supervisor", "process", cmd.Process.Pid, "log", client.SuperviseLog())
	return nil
}

func openSuperviseLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if fi, err := os.Stat(path); err == nil && fi.Size() > 1<<20 {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(path, flags, 0o600)
}

// superviseProperties let systemd bring it back whenever it is killed, and leave it ended when it leaves by itself, or nothing but a person
// can mend what it ends with (docs/exit-status.md). systemd.service(5), systemd.exec(5), systemd.unit(5).
var superviseProperties = []string{"Restart=on-failure", "RestartSec=100ms", "StartLimitIntervalSec=0", "RestartPreventExitStatus=2 65 66 69 77 78",
	"KillMode=mixed", "OOMScoreAdjust=-500"}

// startSupervisorUnit asks systemd for a transient unit: a child would be in the cgroup of whatever has started hostrun, and end with that.
func (s *session) startSupervisorUnit(ctx context.Context, client *runtime.Client) error {
	cmd, err := s.background(client.Address(), "supervise", "--until-idle")
	if err != nil {
		return err
	}
	name := "hostrun-" + filepath.Base(strings.TrimSuffix(client.SuperviseLog(), ".log"))
	names := []string{name, name + "-" + strconv.Itoa(os.Getpid())} // the first may be that of one which is just leaving
	if s.abs(s.global.stateDir) != "/run/hostrun" {
		names = names[1:] // names are the machine's
	}
	for _, name := range names {
		args := []string{"--quiet", "--collect", "--unit=" + name, "--description=hostrun: containers of " + s.global.namespace + " that are to be up"}
		for _, p := range append(slices.Clone(superviseProperties), "StandardOutput=append:"+client.SuperviseLog(), "StandardError=append:"+client.SuperviseLog()) {
			args = append(args, "--property="+p)
		}
		for _, kv := range cmd.Env {
			args = append(args, "--setenv="+kv)
		}
		var out []byte
		out, err = exec.CommandContext(ctx, "systemd-run", append(append(args, "--", cmd.Path), cmd.Args[1:]...)...).CombinedOutput()
		if err == nil {
			s.log.Debug("started the supervisor", "unit", name, "log", client.SuperviseLog())
			return nil
		}
		if err = fmt.Errorf("systemd-run: %w: %s", err, strings.TrimSpace(string(out))); !engine.UnitExists(out) {
			break
		}
	}
	return err
}

// background prepares a command of hostrun for a containerd and the same directories, in a session of its own.
func (s *session) background(address string, words ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	g := s.global
	args := []string{"--address=" + address, "--namespace=" + g.namespace, "--progress=quiet", "--color=never", "--log-level=" + g.logLevel,
		"--state-dir=" + s.abs(g.stateDir), "--data-dir=" + s.abs(g.dataDir), "--libexec-dir=" + s.libexec(), "--system-address=" + s.abs(g.systemAddress),
		"--cdi-spec-dirs=" + g.cdiDirs}
	if g.cacheDir != "" {
		args = append(args, "--cache-dir="+s.abs(g.cacheDir))
	}
	cmd := exec.Command(self, append(args, words...)...)
	cmd.Dir, cmd.Env = "/", superviseEnvironment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ^C at the terminal is not for it
	return cmd, nil
}
