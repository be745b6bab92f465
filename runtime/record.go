package runtime

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Labels of the container's record: the whole state.
const (
	labelProfile     = "hostrun.dev/profile"
	labelHash        = "hostrun.dev/plan-sha256"
	labelChainID     = "hostrun.dev/chain-id"
	labelStopSignal  = "hostrun.dev/stop-signal"
	labelStopSeconds = "hostrun.dev/stop-seconds"
	labelTTY         = "hostrun.dev/tty"
	labelDevices     = "hostrun.dev/devices"

	labelState      = "hostrun.dev/state"   // creating, ready, removing
	labelCreator    = "hostrun.dev/creator" // <pid>:<starttime>:<boot_id>
	labelOneOff     = "hostrun.dev/one-off" // "true": lives and dies with its creator
	labelLog        = "hostrun.dev/log"
	labelStdin      = "hostrun.dev/stdin" // the fifo by which attach reaches a detached container's terminal
	labelStartedAt  = "hostrun.dev/started-at"
	labelFinishedAt = "hostrun.dev/finished-at"
	labelExitStatus = "hostrun.dev/exit-status"
	labelOOMKilled  = "hostrun.dev/oom-killed" // "true": with that exit status, for want of memory
)

const (
	stateCreating = "creating"
	stateReady    = "ready"
	stateRemoving = "removing"
)

// creator names this process so that no other process of any boot is taken for it.
var creator = sync.OnceValue(func() string {
	pid := os.Getpid()
	return fmt.Sprintf("%d:%d:%s", pid, startTime(pid), bootID())
})

// alive reports whether the process that a creator label names still runs. A label that can't be read names nobody.
func alive(label string) bool {
	part := strings.SplitN(label, ":", 3)
	if len(part) != 3 || part[2] != bootID() {
		return false
	}
	pid, err1 := strconv.Atoi(part[0])
	start, err2 := strconv.ParseUint(part[1], 10, 64)
	return err1 == nil && err2 == nil && start != 0 && startTime(pid) == start
}

// startTime is field 22 of /proc/PID/stat, in clock ticks after boot (proc(5)); 0 without such a process, and for one
// that is dead and only waits for its parent.
func startTime(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(b[max(0, bytes.LastIndexByte(b, ')')):], []byte(") "))
	field := strings.Fields(string(rest))
	if !ok || len(field) < 20 || field[0] == "Z" || field[0] == "X" {
		return 0
	}
	ticks, _ := strconv.ParseUint(field[19], 10, 64)
	return ticks
}

var bootID = sync.OnceValue(func() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
})

// abandoned reports whether nobody will finish what the record says is under way, provided that nobody holds the
// container's lock: a removal is always done under it, by a process that may not be the one that began it.
func abandoned(r containers.Container) bool {
	if r.Labels[labelProfile] == "" {
		return false // foreign
	}
	switch {
	case r.Labels[labelState] == stateRemoving:
		return true
	case r.Labels[labelState] == stateCreating, r.Labels[labelOneOff] == "true":
		return !alive(r.Labels[labelCreator])
	}
	return false
}

func foreign(r containers.Container) bool { return r.Labels[labelProfile] == "" }

func specOf(r containers.Container) (*specs.Spec, error) {
	if r.Spec == nil {
		return nil, fmt.Errorf("read the spec of container %s: the record has none", r.ID)
	}
	spec := new(specs.Spec)
	if err := typeurl.UnmarshalTo(r.Spec, spec); err != nil {
		return nil, fmt.Errorf("read the spec of container %s: %w", r.ID, err)
	}
	return unstaged(spec), nil
}

// dir is the container's directory on the host: generated files and the log. It ends with the container.
func (c *Client) dir(id string) string {
	return filepath.Join(c.opt.DataDir, "containers", c.opt.Namespace, id)
}

// ioDir holds the fifos of foreground processes of the container.
func (c *Client) ioDir(id string) string {
	return filepath.Join(c.opt.StateDir, "io", c.opt.Namespace, id)
}

func (c *Client) logPath(id string) string { return filepath.Join(c.dir(id), "log") }

func timeLabel(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func labelTime(labels map[string]string, key string) *time.Time {
	t, err := time.Parse(time.RFC3339Nano, labels[key])
	if err != nil {
		return nil
	}
	return &t
}

func labelInt(labels map[string]string, key string) *int {
	n, err := strconv.Atoi(labels[key])
	if err != nil {
		return nil
	}
	return &n
}

// grace is the time between the stop signal and SIGKILL.
func grace(labels map[string]string) time.Duration {
	s, err := strconv.ParseFloat(labels[labelStopSeconds], 64)
	if err != nil || s < 0 {
		return 10 * time.Second
	}
	return time.Duration(s * float64(time.Second))
}

// madeOf is the file with what the container was made of, for diff.
func (c *Client) madeOf(id string) string { return filepath.Join(c.dir(id), "made-of.json") }
