package runtime

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hostrun.dev/hostrun/finding"
)

// An ociRuntime is the program that containerd's shim starts to make a container.
type ociRuntime struct {
	Path         string // for the shim; "" leaves its default, runc on the daemon's PATH
	Version      string // "crun 1.8.1"
	MountOptions []string
	Error        string // why it can't be used
	Silent       error  // it has not answered: the next time it may
}

// A probe is what one file of an OCI runtime says of itself; it is cached until the file changes.
type probe struct {
	Version      string   `json:"version"` // "crun 1.8.1"
	Built        []string `json:"built"`   // "+SECCOMP", of crun
	MountOptions []string `json:"mount_options"`
	Broken       string   `json:"-"` // why it does not even start: not kept, for another file than its own may mend it
}

// ociRuntime chooses the OCI runtime and says why. crun is preferred: it starts a container in half the time of runc.
func (c *Client) ociRuntime(ctx context.Context, asked string) ociRuntime {
	var r ociRuntime
	switch {
	case asked == "crun":
		r = c.crun(ctx)
	case filepath.IsAbs(asked):
		r = c.runtimeAt(ctx, asked)
	case asked == "runc":
		r = c.runc(ctx)
	default:
		r = c.crun(ctx)
		if r.Error != "" {
			c.opt.Log.Debug("crun is not used", "why", r.Error)
			r = c.runc(ctx)
		}
	}
	c.opt.Log.Debug("OCI runtime", "asked", asked, "version", r.Version, "path", r.Path, "root", c.opt.RuntimeRoot, "error", r.Error)
	return r
}

// runc is named by no path in the container's record: an upgrade that moves it is no reason for a start to fail.
func (c *Client) runc(ctx context.Context) ociRuntime {
	path := daemonLookPath(c.daemonPID, "runc")
	if path == "" && c.daemonPID == 0 { // a daemon that is not visible here may have one all the same
		return ociRuntime{Version: "runc"}
	}
	r := c.runtimeAt(ctx, path)
	r.Path = ""
	if path == "" {
		r.Error = "runc is not on the PATH of containerd"
	}
	return r
}

// crun is named by its path: on some systems the program called runc is on another PATH than crun.
func (c *Client) crun(ctx context.Context) ociRuntime {
	path := daemonLookPath(c.daemonPID, "crun")
	if path == "" {
		return ociRuntime{Error: "crun is not on the PATH of containerd"}
	}
	return c.runtimeAt(ctx, path)
}

func (c *Client) runtimeAt(ctx context.Context, path string) ociRuntime {
	if !executable(path) {
		return ociRuntime{Version: filepath.Base(path), Error: path + " is no executable file"}
	}
	p, err := c.probe(ctx, path)
	r := ociRuntime{Path: path, Version: p.Version, MountOptions: p.MountOptions}
	switch {
	case err != nil:
		r.Error, r.Silent = err.Error(), finding.Errorf(finding.StatusTryAgain, "try it: "+path+" --version", "ask the OCI runtime what it can do: %w", err)
	case p.Broken != "":
		r.Error = path + " does not start: " + p.Broken
	case strings.HasPrefix(p.Version, "crun "):
		r.Error = crunRefuses(p, c.hybridControllers(), c.bpfLocked())
	}
	return r
}

// crunRefuses says why crun would not start a container as hostrun's specs ask for it; "" if it would. The version of
// the specs, 1.0.2, is one that every crun takes (before 1.9 it knows no 1.2.0).
func crunRefuses(p probe, controllers string, memlock uint64) string {
	for _, need := range []string{"+SECCOMP", "+CAP"} {
		if !slices.Contains(p.Built, need) {
			return p.Version + " was built without " + strings.ToLower(need[1:])
		}
	}
	if controllers != "" { // crun, src/libcrun/cgroup-utils.c, libcrun_get_cgroup_mode
		return p.Version + " refuses a machine whose cgroup v2 has controllers (" + controllers + ") beside cgroup v1"
	}
	if memlock != 0 { // crun, src/libcrun/ebpf.c, libcrun_ebpf_load
		return p.Version + " must raise the limit of locked memory (RLIMIT_MEMLOCK) for cgroup v2, and containerd has no CAP_SYS_RESOURCE"
	}
	return ""
}

// hybridControllers are those of the cgroup v2 hierarchy beside cgroup v1, as the daemon sees them.
func (c *Client) hybridControllers() string {
	b, _ := os.ReadFile(c.daemonPath("/sys/fs/cgroup/unified/cgroup.controllers"))
	return strings.TrimSpace(string(b))
}

// bpfLocked is the daemon's hard limit of locked memory, in bytes, where that binds: with cgroup v2, devices are filtered
// by a program in the kernel, for which the OCI runtime wants no such limit.
func (c *Client) bpfLocked() uint64 {
	if _, err := os.Stat(c.daemonPath("/sys/fs/cgroup/cgroup.controllers")); err != nil {
		return 0 // cgroup v1
	}
	limits, _ := daemonLimits(c.daemonPID)
	return limits["memlock"]
}

// daemonPath is a path as the daemon sees it, which may have another mount namespace: as far as we may look into that
// (proc(5), /proc/pid/root: ptrace access), else as we see it.
func (c *Client) daemonPath(path string) string {
	root := filepath.Join("/proc", strconv.Itoa(c.daemonPID), "root")
	if _, err := os.Stat(root); c.daemonPID == 0 || err != nil {
		return path
	}
	return filepath.Join(root, path)
}

func (c *Client) probe(ctx context.Context, path string) (probe, error) {
	var p probe
	key := fmt.Sprintf("engine/runtime-%s.json", hashOf(cacheFormat, path, stamp(path)))
	if c.cached(key, &p) && p.Version != "" {
		return p, nil
	}
	p, err := askRuntime(ctx, path, runtimePatience)
	if err == nil && p.Broken == "" { // what it has not said may be said the next time: the cache would keep it until the file changes
		c.cache(key, p)
	}
	return p, err
}

// runtimePatience is how long an OCI runtime may take to say its version: a hundred times what it takes on a machine under load.
const runtimePatience = 30 * time.Second

// askRuntime runs `--version` and `features` (runc 1.1, crun 1.10). An old runtime has no features, ends with an error, and gets no
// option. An error says that the program has not come to answer.
func askRuntime(ctx context.Context, binary string, patience time.Duration) (probe, error) {
	p := probe{Version: filepath.Base(binary)}
	out, broken, err := answer(ctx, patience, binary, "--version")
	if err != nil || broken != "" {
		p.Broken = broken
		return p, err
	}
	p = readVersion(p.Version, string(out))
	if out, _, err = answer(ctx, patience, binary, "features"); err != nil {
		return p, err
	}
	var features struct {
		MountOptions []string `json:"mountOptions"`
	}
	if json.Unmarshal(out, &features) != nil {
		features.MountOptions = optionsOf(p.Version)
	}
	for _, o := range features.MountOptions {
		if recursive[o] {
			p.MountOptions = append(p.MountOptions, o)
		}
	}
	return p, nil
}

// answer runs the program. What it says with another exit status than 0 is no answer, and no error either; broken is why it did not
// come to its first line.
func answer(ctx context.Context, patience time.Duration, binary, question string) (out []byte, broken string, err error) {
	short, cancel := patient(ctx, patience, patience, nil)
	defer cancel()
	cmd := exec.CommandContext(short, binary, question)
	cmd.WaitDelay = time.Second // a child of it may hold the pipe
	out, err = cmd.Output()
	var exit *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return out, "", nil
	case impatient(short):
		return nil, "", fmt.Errorf("%s %s: no answer within %v", binary, question, patience)
	case ctx.Err() != nil:
		return nil, "", context.Cause(ctx)
	case errors.As(err, &exit) && !exit.Exited(): // somebody has killed it
		return nil, "", fmt.Errorf("%s %s: %w", binary, question, err)
	}
	return nil, notStarted(err), nil
}

// notStarted says why a program did not come to its first line, "" if it did: the kernel refused it, or the loader did, which ends
// with 127 and has said which library it misses (ld.so(8)).
func notStarted(err error) string {
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return err.Error()
	case exit.ExitCode() != 127:
		return ""
	}
	said, _, _ := strings.Cut(strings.TrimSpace(string(exit.Stderr)), "\n")
	return cmp.Or(said, exit.Error())
}

// readVersion reads "runc version 1.1.5+ds1" or "crun version 1.8.1" and the words after "spec:" of crun.
func readVersion(name, text string) probe {
	p := probe{Version: name}
	for i, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		switch {
		case i == 0 && len(f) == 3 && f[1] == "version":
			p.Version = f[0] + " " + f[2]
		case i == 0 && len(f) > 0:
			p.Version = name + " " + f[len(f)-1]
		case len(f) > 0 && strings.HasPrefix(f[0], "+"):
			p.Built = f
		}
	}
	return p
}

// optionsOf are the mount options of a crun that has no `features` and knows them: 1.4 has the recursive ones, which its
// NEWS names.
func optionsOf(version string) []string {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "crun %d.%d", &major, &minor); n < 2 || major < 1 || major == 1 && minor < 4 {
		return nil
	}
	return []string{"rro", "rnosuid", "rnodev", "rnoexec"}
}

// recursive holds the options of mount_setattr(2) that runtime-spec 1.1 added (config.md, "Linux mount options").
var recursive = map[string]bool{"rro": true, "rrw": true, "rnosuid": true, "rsuid": true, "rnodev": true, "rdev": true, "rnoexec": true,
	"rexec": true, "rnoatime": true, "ratime": true, "rnodiratime": true, "rdiratime": true, "rrelatime": true, "rnorelatime": true,
	"rstrictatime": true, "rnostrictatime": true, "rnosymfollow": true, "rsymfollow": true, "idmap": true, "ridmap": true}
