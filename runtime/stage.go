package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// An idStage holds, while a container with a user namespace is made, what its OCI runtime takes from the machine: its image's layers and
// its mounts, mounted once more with the container's ids (mount_setattr(2), MOUNT_ATTR_IDMAP), and its device nodes, which belong to
// the ids in the container that they belong to on the machine. As soon as the container has been made nothing of it is needed by its path.
type idStage struct {
	dir string
	ids *os.File // the user namespace whose maps the mounts have
}

// stageFor makes the stage of a container and returns its root's mounts as containerd shall make them; clear takes it away again. It does
// nothing for a container with the machine's ids. The network is prepared before, and parts of volumes are bound.
func (c *Client) stageFor(r containers.Container, root []mount.Mount) (staged []mount.Mount, clear func(), err error) {
	if r.Labels[plan.LabelIDs] == "" {
		return root, func() {}, nil
	}
	spec, err := specOf(r)
	if err != nil {
		return nil, nil, err
	}
	dir := plan.StageDirectory(c.opt.StateDir, c.opt.Namespace, r.ID)
	if err := c.unstage(r.ID); err != nil { // of a start that was killed
		return nil, nil, err
	}
	if err := c.claimIDs(r.ID, spec); err != nil {
		return nil, nil, err
	}
	clear = func() {
		if err := c.unstage(r.ID); err != nil {
			c.opt.Log.Warn("clear the mounts of its start", "container", r.ID, "error", err)
		}
	}
	ids, err := usernsOf(spec)
	if err != nil {
		return nil, nil, fmt.Errorf("start container %s: %w", r.ID, err)
	}
	defer ids.Close()
	err = c.atContainerd(func() (err error) {
		if err = os.MkdirAll(dir, 0o711); err == nil {
			staged, err = makeStage(dir, ids, root, spec)
		}
		return err
	})
	if err != nil {
		clear()
		return nil, nil, stageError(r.ID, err)
	}
	step("stage-made")
	return staged, clear, nil
}

// unstage takes a stage away with all that is mounted in it.
func (c *Client) unstage(id string) error {
	dir := plan.StageDirectory(c.opt.StateDir, c.opt.Namespace, id)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil // most containers have none
	}
	err := c.atContainerd(func() error {
		for unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) == nil {
		}
		return nil
	})
	if err == nil {
		err = os.Remove(dir)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) { // never RemoveAll: what might be mounted is the machine's
		return fmt.Errorf("clear the stage of container %s: %w", id, err)
	}
	return nil
}

// makeStage fills dir, an empty directory, and mounts a file system in memory there, for device nodes and to end all with one call.
func makeStage(dir string, ids *os.File, root []mount.Mount, spec *specs.Spec) ([]mount.Mount, error) {
	if err := unix.Mount("hostrun", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=711,size=1m"); err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, stageOwner), []byte(creator()), 0o600); err != nil {
		return nil, err
	}
	s := idStage{dir: dir, ids: ids}
	for i, m := range spec.Mounts {
		if !isStaged(m, dir) {
			continue
		}
		if err := s.bind(m, stagedMount(dir, i)); err != nil {
			return nil, err
		}
	}
	for i, d := range spec.Linux.Devices {
		if err := s.node(d, stagedNode(dir, i), spec.Linux); err != nil {
			return nil, fmt.Errorf("make the node %s: %w", d.Path, err)
		}
	}
	return s.layers(root, spec.Linux)
}

// usernsOf is a user namespace with the maps of the spec.
func usernsOf(spec *specs.Spec) (*os.File, error) {
	ids, err := mount.GetUsernsFD(mapText(spec.Linux.UIDMappings), mapText(spec.Linux.GIDMappings))
	if err != nil {
		return nil, fmt.Errorf("make a user namespace: %w (cat /proc/sys/user/max_user_namespaces says how many there may be)", err)
	}
	return ids, nil
}

// atContainerd calls fn with the mounts that containerd sees, which a service of systemd's may have for itself: there the OCI runtime
// looks for what it binds. fn stays in its goroutine.
func (c *Client) atContainerd(fn func() error) error {
	theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", c.daemonPID))
	if c.daemonPID == 0 || err != nil {
		return fn()
	}
	defer theirs.Close()
	own, err1 := os.Stat("/proc/self/ns/mnt")
	other, err2 := theirs.Stat()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if os.SameFile(own, other) {
		return fn()
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the mount namespace of containerd: %w", err)
		}
		return fn()
	})
}

func mapText(maps []specs.LinuxIDMapping) string {
	var all []string
	for _, m := range maps {
		all = append(all, fmt.Sprintf("%d:%d:%d", m.ContainerID, m.HostID, m.Size))
	}
	return strings.Join(all, ",")
}

// stageAttributes are options of a mount that it gets in the stage: to set them later takes rights over the machine's mounts.
var stageAttributes = map[string]struct {
	set, clear uint64
	recursive  bool
}{
	"ro": {set: unix.MOUNT_ATTR_RDONLY}, "rw": {}, "nosuid": {set: unix.MOUNT_ATTR_NOSUID}, "nodev": {set: unix.MOUNT_ATTR_NODEV}, "noexec": {set: unix.MOUNT_ATTR_NOEXEC},
	"rro": {set: unix.MOUNT_ATTR_RDONLY, recursive: true},
}

// An unmapped is the error of a mount that can't have the container's ids.
type unmapped struct {
	source, kind string
	err          error
}

func (u *unmapped) Error() string { return u.source + ": " + u.err.Error() }
func (u *unmapped) Unwrap() error { return u.err }

// bind mounts what m names at a path of the stage, with the container's ids and m's options.
func (s idStage) bind(m specs.Mount, at string) error {
	recursive := slices.Contains(m.Options, "rbind")
	tree, dir, err := s.clone(m.Source, recursive, len(m.UIDMappings) > 0)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	for _, o := range m.Options {
		if a, ok := stageAttributes[o]; ok && a.set != 0 {
			if err := setAttributes(tree, a.recursive, &unix.MountAttr{Attr_set: a.set}); err != nil {
				return fmt.Errorf("mount %s: option %s: %w", m.Source, o, err)
			}
		}
	}
	return s.attach(tree, at, dir)
}

// clone is a detached mount of a path, with the container's ids where mapped is set, and whether that is a directory.
func (s idStage) clone(source string, recursive, mapped bool) (tree int, dir bool, err error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	tree, err = unix.OpenTree(unix.AT_FDCWD, source, flags)
	if err != nil {
		return -1, false, &os.PathError{Op: "mount", Path: source, Err: err}
	}
	var st unix.Stat_t
	attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if mapped {
		attr.Attr_set, attr.Userns_fd = unix.MOUNT_ATTR_IDMAP, uint64(s.ids.Fd())
	}
	if err = unix.Fstat(tree, &st); err == nil {
		err = setAttributes(tree, recursive, &attr)
	}
	if err != nil {
		unix.Close(tree)
		return -1, false, &unmapped{source: source, kind: fileSystem(source), err: err}
	}
	return tree, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

func setAttributes(tree int, recursive bool, a *unix.MountAttr) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return unix.MountSetattr(tree, "", flags, a)
}

func (s idStage) attach(tree int, at string, dir bool) error {
	var err error
	if dir {
		err = os.Mkdir(at, 0o755)
	} else {
		err = os.WriteFile(at, nil, 0o644)
	}
	if err == nil {
		err = unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	if err != nil {
		return fmt.Errorf("mount at %s: %w", at, err)
	}
	return nil
}

// node makes a device node whose owner is in the container what it is on the machine.
func (s idStage) node(d specs.LinuxDevice, at string, l *specs.Linux) error {
	kind, mode := uint32(unix.S_IFCHR), uint32(0o600)
	if d.Type == "b" {
		kind = unix.S_IFBLK
	}
	if d.FileMode != nil {
		mode = uint32(d.FileMode.Perm())
	}
	var uid, gid uint32
	if d.UID != nil {
		uid = *d.UID
	}
	if d.GID != nil {
		gid = *d.GID
	}
	if err := unix.Mknod(at, kind|mode, int(unix.Mkdev(uint32(d.Major), uint32(d.Minor)))); err != nil {
		return err
	}
	return errors.Join(os.Chown(at, int(outside(l.UIDMappings, uid)), int(outside(l.GIDMappings, gid))), os.Chmod(at, os.FileMode(mode)))
}

// layers gives the mounts of a container's root the container's ids. Those of an image's files are mounted in the stage, where an overlay
// finds them (Linux 5.19); what the container writes lies on the disk with the machine's numbers, as the kernel maps no upper layer.
func (s idStage) layers(root []mount.Mount, l *specs.Linux) ([]mount.Mount, error) {
	if len(root) != 1 {
		return nil, fmt.Errorf("the snapshotter's mounts can't have other ids: there are %d", len(root))
	}
	m := root[0]
	m.Options = slices.Clone(m.Options)
	switch m.Type {
	case "bind":
		tree, dir, err := s.clone(m.Source, true, true)
		if err != nil {
			return nil, err
		}
		defer unix.Close(tree)
		m.Source = filepath.Join(s.dir, "root")
		return []mount.Mount{m}, s.attach(tree, m.Source, dir)
	case "overlay":
	default:
		return nil, fmt.Errorf("a root of the type %s can't have other ids: the snapshotters overlayfs and native can", m.Type)
	}
	lower := lowerDirs(m.Options)
	shared := map[string]string{} // two levels above a layer -> the mount of that in the stage
	for i, dir := range lower {
		above := filepath.Dir(filepath.Dir(dir))
		at, have := shared[above]
		if !have {
			tree, isDir, err := s.clone(above, false, true)
			if err != nil {
				return nil, err
			}
			at = filepath.Join(s.dir, fmt.Sprintf("l%d", len(shared)))
			err = s.attach(tree, at, isDir)
			unix.Close(tree)
			if err != nil {
				return nil, err
			}
			shared[above] = at
		}
		lower[i] = at + strings.TrimPrefix(dir, strings.TrimSuffix(above, "/"))
	}
	for i, o := range m.Options {
		if strings.HasPrefix(o, "lowerdir=") {
			m.Options[i] = "lowerdir=" + strings.Join(lower, ":")
		}
		if upper, ok := strings.CutPrefix(o, "upperdir="); ok {
			if err := ownUpper(upper, l); err != nil {
				return nil, err
			}
		}
	}
	return []mount.Mount{m}, nil
}

// ownUpper gives the layer of a new container, which becomes the root directory, to the container's id of who owns it.
func ownUpper(dir string, l *specs.Linux) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	uid, gid := st.Uid, st.Gid
	if !isOutside(l.UIDMappings, uid) {
		uid = outside(l.UIDMappings, uid)
	}
	if !isOutside(l.GIDMappings, gid) {
		gid = outside(l.GIDMappings, gid)
	}
	return os.Lchown(dir, int(uid), int(gid))
}

func isOutside(maps []specs.LinuxIDMapping, id uint32) bool {
	return slices.ContainsFunc(maps, func(m specs.LinuxIDMapping) bool { return id >= m.HostID && id-m.HostID < m.Size })
}

// stageError says of which mount the kernel does not change the ids, and of what file system it is.
func stageError(id string, err error) error {
	var u *unmapped
	if !errors.As(err, &u) {
		return fmt.Errorf("start container %s with ids of its own: %w", id, err)
	}
	why := u.err.Error()
	switch {
	case errors.Is(u.err, unix.EINVAL):
		why = "the kernel does not mount it with other ids"
	case errors.Is(u.err, unix.EPERM):
		why = "the kernel does not change its ids: it is mounted with other ids already, or hostrun has not the right to"
	}
	return finding.Errorf(finding.Explain(finding.UsernsMount).ExitStatus, "remove userns_mode, or take the files from another file system\nhostrun explain "+finding.UsernsMount,
		"container %s is not started: %s lies on %s: %s", id, u.source, u.kind, why)
}

// fileSystem names the file system that a path lies on, by the machine's list of mounts.
func fileSystem(path string) string {
	text, _ := os.ReadFile("/proc/thread-self/mountinfo")
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path
	}
	best, kind := "", "a file system that is not known"
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 1 {
			continue
		}
		if at := f[4]; below(real, strings.TrimSuffix(at, "/")) && len(at) >= len(best) {
			best, kind = at, g[0]
		}
	}
	return kind
}

// stageOwner is the file of a stage that says who makes the container.
const stageOwner = "creator"

// sweepStages takes away what killed commands have left.
func (c *Client) sweepStages() {
	dir := plan.StageDirectory(c.opt.StateDir, c.opt.Namespace, "")
	if entries, _ := os.ReadDir(dir); len(entries) == 0 {
		return
	}
	var dead []string
	_ = c.atContainerd(func() error {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			owner, err := os.ReadFile(filepath.Join(dir, e.Name(), stageOwner))
			if err == nil && !alive(string(owner)) { // else it is not yet mounted, or no more
				dead = append(dead, e.Name())
			}
		}
		return err
	})
	for _, id := range dead {
		if err := c.unstage(id); err != nil {
			c.opt.Log.Warn("sweep", "error", err)
		}
	}
}
