package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/profiles/seccomp"
	"github.com/moby/sys/capability"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

const runtimeName = "io.containerd.runc.v2"

// engineFacts is what is cached of one run of the daemon.
type engineFacts struct {
	Snapshotter string   `json:"snapshotter"`
	Why         []string `json:"why,omitempty"` // a better snapshotter is not used
}

// Engine reports what this containerd can do, and the OCI runtime that hostrun chooses by itself.
func (c *Client) Engine(ctx context.Context) (plan.Engine, error) { return c.EngineFor(ctx, "") }

// EngineFor is Engine with the OCI runtime that a profile asks for: "" for hostrun's choice, "runc", "crun", or a path.
func (c *Client) EngineFor(ctx context.Context, asked string) (plan.Engine, error) {
	if _, err := c.facts(c.in(ctx)); err != nil {
		return plan.Engine{}, err
	}
	r := c.ociRuntime(ctx, asked)
	if r.Silent != nil {
		return plan.Engine{}, r.Silent
	}
	e := plan.Engine{Namespace: c.opt.Namespace, RuntimeName: runtimeName, OCIRuntime: r.Version, RuntimePath: r.Path, RuntimeRoot: c.opt.RuntimeRoot,
		RuntimeError: r.Error, MountOptions: r.MountOptions, DataDir: c.opt.DataDir, StateDir: c.opt.StateDir, Seccomp: seccomp.DefaultProfile()}
	if init := filepath.Join(c.opt.LibexecDir, "hostrun-init"); executable(init) {
		e.InitBinary = init
	}
	e.Limits, e.OOMScoreFixed = daemonLimits(c.daemonPID)
	e.NoFileMax, e.MemlockMax = e.Limits["nofile"], e.Limits["memlock"]
	delete(e.Limits, "nofile")
	delete(e.Limits, "memlock")
	e.Capabilities = daemonCapabilities(c.daemonPID)
	e.OOMScoreAdj = oomScoreAdj(c.daemonPID)
	e.CPUs = bindableCPUs(c.daemonPID)
	return e, nil
}

// daemonCapabilities returns the daemon's bounding set: the OCI runtime can give a container no more (capabilities(7),
// "Capability bounding set"). It is nil, which means all, where the set is full or can't be seen.
func daemonCapabilities(pid int) []string {
	if pid <= 0 {
		return nil
	}
	caps, err := capability.NewPid2(pid)
	if err == nil {
		err = caps.Load()
	}
	if err != nil {
		return nil
	}
	known := plan.Capabilities()
	last, err := capability.LastCap()
	if err == nil && int(last) < len(known)-1 {
		known = known[:last+1]
	}
	var have []string
	for bit, name := range known {
		if caps.Get(capability.BOUNDING, capability.Cap(bit)) {
			have = append(have, name)
		}
	}
	if len(have) == len(known) {
		return nil
	}
	return have
}

// bindableCPUs are the processors that a container can be bound to: those of the daemon, where cgroups have a cpuset.
func bindableCPUs(pid int) string {
	controllers, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	_, err := os.Stat("/sys/fs/cgroup/cpuset/cpuset.cpus")
	if pid <= 0 || err != nil && !slices.Contains(strings.Fields(string(controllers)), "cpuset") {
		return ""
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "\nCpus_allowed_list:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

func executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}

func (c *Client) snapshotter(ctx context.Context) (string, error) {
	f, err := c.facts(ctx)
	return f.Snapshotter, err
}

// facts asks once a run of the daemon.
func (c *Client) facts(ctx context.Context) (engineFacts, error) {
	c.engineOnce.Do(func() {
		c.engine, c.engineErr = c.readFacts(ctx)
		if len(c.engine.Why) > 0 {
			c.opt.Log.Debug("containerd has no overlayfs: each container gets a copy of its image", "snapshotter", c.engine.Snapshotter, "why", strings.Join(c.engine.Why, "; "))
		}
	})
	return c.engine, c.engineErr
}

func (c *Client) readFacts(ctx context.Context) (engineFacts, error) {
	var f engineFacts
	key := fmt.Sprintf("engine/%s-%d-%d.json", hashOf(cacheFormat, c.opt.Address, bootID()), c.daemonPID, startTime(max(c.daemonPID, 1)))
	if c.daemonPID > 0 && c.cached(key, &f) && f.Snapshotter != "" {
		return f, nil
	}
	f, err := c.pickSnapshotter(ctx)
	if len(f.Why) > 0 { // once a run of the daemon
		c.progress("containerd", "Warning", "it has no overlayfs ("+strings.Join(f.Why, "; ")+"): each container gets a copy of its image, which takes time and room")
	}
	if err == nil && c.daemonPID > 0 {
		c.cache(key, f)
	}
	return f, err
}

// pickSnapshotter prefers overlayfs, and falls back to native where the kernel or the file system has no overlay.
func (c *Client) pickSnapshotter(ctx context.Context) (engineFacts, error) {
	r, err := c.ctrd.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1")
	if err != nil {
		return engineFacts{}, fmt.Errorf("ask containerd for its snapshotters: %w", err)
	}
	usable, why := map[string]bool{}, []string{}
	for _, p := range r.Plugins {
		if p.InitErr == nil {
			usable[p.ID] = true
		} else {
			why = append(why, p.ID+": "+p.InitErr.Message)
		}
	}
	if usable["overlayfs"] {
		return engineFacts{Snapshotter: "overlayfs"}, nil
	}
	if usable["native"] {
		if len(why) == 0 {
			why = []string{"it is not enabled"}
		}
		return engineFacts{Snapshotter: "native", Why: why}, nil
	}
	return engineFacts{}, finding.Errorf(finding.StatusFailed, "enable overlayfs in /etc/containerd/config.toml (disabled_plugins)",
		"containerd at %s has neither overlayfs nor native snapshots (%s)", c.opt.Address, strings.Join(why, "; "))
}

// daemonLookPath finds the OCI runtime as the daemon's shim will: on the daemon's PATH.
func daemonLookPath(pid int, name string) string {
	path := os.Getenv("PATH")
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil && pid > 0 {
		for _, kv := range strings.Split(string(b), "\x00") {
			if p, ok := strings.CutPrefix(kv, "PATH="); ok {
				path = p
			}
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if p := filepath.Join(dir, name); filepath.IsAbs(p) && executable(p) {
			return p
		}
	}
	return ""
}

func stamp(path string) string {
	fi, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d", fi.Size(), fi.ModTime().UnixNano())
}

// daemonLimits returns the daemon's hard limits, by the names of ulimits, where it may not raise them for a container
// (setrlimit(2): CAP_SYS_RESOURCE), and that it may not: nil and false where it may, or where that can't be seen.
func daemonLimits(pid int) (limits map[string]uint64, fixed bool) {
	if pid <= 0 {
		return nil, false
	}
	caps, err := capability.NewPid2(pid)
	if err == nil {
		err = caps.Load()
	}
	if err != nil || caps.Get(capability.EFFECTIVE, capability.CAP_SYS_RESOURCE) {
		return nil, false
	}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	return hardLimits(string(b)), true
}

// oomScoreAdj is -1000 to 1000; 0 where it can't be seen.
func oomScoreAdj(pid int) int {
	if pid <= 0 {
		return 0
	}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

// limitNames are ulimits by the words of /proc/PID/limits (fs/proc/base.c, lnames).
var limitNames = map[string]string{
	"Max cpu time": "cpu", "Max file size": "fsize", "Max data size": "data", "Max stack size": "stack", "Max core file size": "core",
	"Max resident set": "rss", "Max processes": "nproc", "Max open files": "nofile", "Max locked memory": "memlock", "Max address space": "as",
	"Max file locks": "locks", "Max pending signals": "sigpending", "Max msgqueue size": "msgqueue", "Max nice priority": "nice",
	"Max realtime priority": "rtprio", "Max realtime timeout": "rttime",
}

// hardLimits reads /proc/PID/limits: name, soft, hard and, for most, a unit. Those that are unlimited are left out.
func hardLimits(limits string) map[string]uint64 {
	found := map[string]uint64{}
	for line := range strings.Lines(limits) {
		for words, name := range limitNames {
			rest, ok := strings.CutPrefix(line, words)
			f := strings.Fields(rest)
			if !ok || len(f) < 2 {
				continue
			}
			if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				found[name] = n
			}
		}
	}
	return found
}
