package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network/bridge"
	"hostrun.dev/hostrun/plan"
)

// inside calls fn with the container's root as the root directory: no link and no ".." of the container leads out of it,
// for the kernel resolves them there. fn must do all its work with files in the goroutine that it is called in, since
// only that one's thread sees the container, and the thread ends with it. Of a stopped container the layer and what the
// profile binds are mounted, for that thread alone: nothing stays if this process is killed.
func (c *Client) inside(ctx context.Context, name string, fn func(r containers.Container, spec *specs.Spec) error) error {
	r, err := c.own(ctx, name)
	if err != nil {
		return err
	}
	task, err := c.getTask(ctx, name)
	if err != nil {
		return err
	}
	if runs(task) {
		return c.insideRunning(ctx, r, task, fn)
	}
	l, r, err := c.lockOwn(ctx, name) // nobody starts it meanwhile: its layer must not be mounted twice
	if err != nil {
		return err
	}
	defer l.unlock()
	if task, err = c.getTask(ctx, name); err != nil {
		return err
	}
	if runs(task) {
		return c.insideRunning(ctx, r, task, fn)
	}
	return c.insideStopped(ctx, r, fn)
}

func (c *Client) insideRunning(ctx context.Context, r containers.Container, task *taskapi.Process, fn func(containers.Container, *specs.Spec) error) error {
	spec, err := specOf(r)
	if err != nil {
		return err
	}
	return onThread(func() error {
		root, err := os.Open(fmt.Sprintf("/proc/%d/root", task.Pid))
		if err != nil {
			return fmt.Errorf("enter container %s: %w", r.ID, err)
		}
		defer root.Close()
		// By now the number could be another process's.
		if now, err := c.getTask(ctx, r.ID); err != nil || now == nil || now.Pid != task.Pid || !runs(now) {
			return errors.Join(err, notRunning(r.ID))
		}
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("enter container %s: %w", r.ID, err)
		}
		if err := enterRoot(int(root.Fd())); err != nil {
			return fmt.Errorf("enter container %s: %w", r.ID, err)
		}
		return asRoot(spec, func() error { return fn(r, spec) })
	})
}

// asRoot calls fn with the container's root as who makes files, on this thread: in a mount with the container's ids nobody else can. The
// thread keeps its own rights.
func asRoot(spec *specs.Spec, fn func() error) error {
	if !hasOwnIDs(spec) {
		return fn()
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var rights [2]unix.CapUserData
	if err := unix.Capget(&header, &rights[0]); err != nil {
		return err
	}
	if err := unix.Setfsgid(int(outside(spec.Linux.GIDMappings, 0))); err != nil {
		return err
	}
	if err := unix.Setfsuid(int(outside(spec.Linux.UIDMappings, 0))); err != nil {
		return err
	}
	if err := unix.Capset(&header, &rights[0]); err != nil { // setfsuid(2) has taken those over files
		return err
	}
	return fn()
}

func (c *Client) insideStopped(ctx context.Context, r containers.Container, fn func(containers.Container, *specs.Spec) error) error {
	spec, err := specOf(r)
	if err != nil {
		return err
	}
	layers, err := c.rootOf(ctx, r)
	if err != nil {
		return fmt.Errorf("read the snapshot of container %s: %w", r.ID, err)
	}
	if err := c.stateDir(c.opt.StateDir); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.opt.StateDir, "root-")
	if err != nil {
		return fmt.Errorf("mount container %s: %w", r.ID, err)
	}
	defer os.Remove(dir) // never RemoveAll; here it is empty, and nothing is mounted on it
	var ids *os.File
	if hasOwnIDs(spec) {
		if ids, err = usernsOf(spec); err != nil {
			return fmt.Errorf("mount container %s: %w", r.ID, err)
		}
		defer ids.Close()
		defer func() { _ = c.unstage(r.ID) }()
	}
	return onThread(func() error {
		root, err := mountRoot(layers, spec, dir, plan.StageDirectory(c.opt.StateDir, c.opt.Namespace, r.ID), ids)
		if err != nil {
			return fmt.Errorf("mount container %s: %w", r.ID, err)
		}
		defer root.Close()
		if err := enterRoot(int(root.Fd())); err != nil {
			return fmt.Errorf("enter container %s: %w", r.ID, err)
		}
		return asRoot(spec, func() error { return fn(r, spec) })
	})
}

// onThread calls fn on a thread of its own, which ends with it: it may be changed in what others share.
func onThread(fn func() error) (err error) {
	bridge.OnOwnThread(func() {
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("internal error: %v", cause)
			}
		}()
		err = fn()
	})
	return err
}

func enterRoot(fd int) error {
	if err := unix.Fchdir(fd); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// mountRoot mounts a stopped container's root at dir in a mount namespace of this thread's own. ids are those of its user namespace, nil
// without one.
func mountRoot(layers []mount.Mount, spec *specs.Spec, dir, stage string, ids *os.File) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return nil, err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("keep mounts to this thread: %w", err)
	}
	if ids != nil {
		err := os.MkdirAll(stage, 0o711)
		if err == nil {
			layers, err = makeStage(stage, ids, layers, spec)
		}
		if err != nil {
			return nil, err
		}
		spec = stagedSpec(spec, stage)
	}
	for _, m := range layers {
		if err := mountHere(m, dir); err != nil {
			return nil, fmt.Errorf("mount its layer (%s): %w", m.Type, err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for _, m := range spec.Mounts {
		if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			continue // what is made anew at each start
		}
		if err := bindInto(int(root.Fd()), m); err != nil {
			root.Close()
			return nil, fmt.Errorf("mount %s at %s: %w", m.Source, m.Destination, err)
		}
	}
	if spec.Root != nil && spec.Root.Readonly {
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			root.Close()
			return nil, err
		}
	}
	return root, nil
}

// bindInto binds what a profile binds. A source or a place that is not there is left out: its start would tell.
func bindInto(root int, m specs.Mount) error {
	if _, err := os.Stat(m.Source); err != nil {
		return nil
	}
	place := func() (int, error) {
		return unix.Openat2(root, m.Destination, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	}
	at, err := place()
	if err != nil {
		return nil
	}
	err = unix.Mount(m.Source, fmt.Sprintf("/proc/self/fd/%d", at), "", unix.MS_BIND|unix.MS_REC, "")
	unix.Close(at)
	if err != nil || !slices.Contains(m.Options, "ro") && !slices.Contains(m.Options, "rro") {
		return err
	}
	if at, err = place(); err != nil { // what is on top by now
		return err
	}
	defer unix.Close(at)
	err = unix.MountSetattr(at, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.12
		err = unix.Mount("", fmt.Sprintf("/proc/self/fd/%d", at), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}
	return err
}

// mountFlags are the options of mount(8) that are flags of mount(2), as far as snapshotters name them.
var mountFlags = map[string]uintptr{
	"bind": unix.MS_BIND, "rbind": unix.MS_BIND | unix.MS_REC, "ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV,
	"noexec": unix.MS_NOEXEC, "noatime": unix.MS_NOATIME, "rw": 0, "defaults": 0,
}

// mountHere is mount(2) in the namespace of the calling thread. containerd's own function changes the thread where an
// overlay has many layers; so the directory that they share is left out of their names here.
func mountHere(m mount.Mount, target string) error {
	var flags uintptr
	var data []string
	for _, o := range m.Options {
		if flag, ok := mountFlags[o]; ok {
			flags |= flag
		} else {
			data = append(data, o)
		}
	}
	options := strings.Join(data, ",")
	if m.Type == "overlay" && len(options) >= os.Getpagesize()-512 {
		dir, short := shortened(data)
		if err := unix.Chdir(dir); err != nil {
			return err
		}
		options = strings.Join(short, ",")
	}
	if m.Target != "" {
		target = filepath.Join(target, m.Target)
	}
	return unix.Mount(m.Source, target, m.Type, flags, options)
}

// shortened makes the directories of an overlay relative to one that all lie below.
func shortened(options []string) (dir string, short []string) {
	shared := ""
	each := func(change func(string) string) []string {
		var all []string
		for _, o := range options {
			name, value, _ := strings.Cut(o, "=")
			switch name {
			case "lowerdir", "upperdir", "workdir":
				dirs := strings.Split(value, ":") // snapshotters' directories hold no colon
				for i := range dirs {
					dirs[i] = change(dirs[i])
				}
				o = name + "=" + strings.Join(dirs, ":")
			}
			all = append(all, o)
		}
		return all
	}
	each(func(d string) string {
		if shared == "" {
			shared = filepath.Dir(d)
		}
		for !strings.HasPrefix(d, strings.TrimSuffix(shared, "/")+"/") {
			shared = filepath.Dir(shared)
		}
		return d
	})
	return shared, each(func(d string) string { return strings.TrimPrefix(d, strings.TrimSuffix(shared, "/")+"/") })
}
