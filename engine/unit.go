package engine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// unitProperties let the engine live apart from who started it, and its containers apart from the engine: a container is
// in a cgroup of its own below the unit (Delegate), and goes on when the unit ends (KillMode). systemd.exec(5),
// systemd.kill(5), systemd.resource-control(5).
var unitProperties = []string{"Type=notify", "NotifyAccess=main", "KillMode=process", "Delegate=yes", "TasksMax=infinity",
	"LimitNOFILE=infinity", "OOMScoreAdjust=-999", "TimeoutStartSec=" + strconv.Itoa(int(patience.Seconds()))}

// startUnit asks systemd for a transient unit: a process that is merely a child would be in the session's cgroup, and may be
// ended with it (logind.conf(5), KillUserProcesses). systemd-run returns when the engine has said that it is ready.
func startUnit(ctx context.Context, l Layout) error {
	run, err := exec.LookPath("systemd-run")
	if err != nil {
		return startProcess(ctx, l)
	}
	name := unitName(l)
	out, err := exec.CommandContext(ctx, run, unitArguments(l, name)...).CombinedOutput()
	if err != nil && ctx.Err() == nil && UnitExists(out) {
		out, err = exec.CommandContext(ctx, run, unitArguments(l, ownUnit(name))...).CombinedOutput()
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return failed(l, fmt.Sprintf("%s: %v: %s", run, err, strings.TrimSpace(string(out))))
}

// unitName is of this process where the directories are not the usual ones: names are the machine's.
func unitName(l Layout) string {
	const name = "hostrun-engine"
	if l.StateDir != "/run/hostrun/engine" {
		return ownUnit(name)
	}
	return name
}

func ownUnit(name string) string { return name + "-" + strconv.Itoa(os.Getpid()) }

// UnitExists says whether systemd refuses because of the name (bus_unit_validate_load_state and method_start_transient_unit in its
// dbus-unit.c and dbus-manager.c). The unit of an engine that was killed stays as long as one of its containers lives: their
// processes are in it.
func UnitExists(said []byte) bool {
	return bytes.Contains(said, []byte("was already loaded")) || bytes.Contains(said, []byte("already exists"))
}

func unitArguments(l Layout, name string) []string {
	args := []string{"--quiet", "--collect", "--unit=" + name, "--description=hostrun's private containerd"}
	// What it says before it opens its log itself goes there too (systemd 240).
	for _, p := range append(slices.Clone(unitProperties), "StandardOutput=append:"+l.LogFile(), "StandardError=append:"+l.LogFile()) {
		args = append(args, "--property="+p)
	}
	for _, kv := range environment(l) {
		args = append(args, "--setenv="+kv)
	}
	return append(append(args, "--", l.binary()), arguments(l)...)
}
