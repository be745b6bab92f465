package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/containers"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/plan"
)

// shareIPC keeps the IPC namespace of the container that r shares, and its /dev/shm, at the paths that r's spec names.
func (c *Client) shareIPC(ctx context.Context, r containers.Container) error {
	other := r.Labels[plan.LabelIPC]
	if other == "" {
		return nil
	}
	task, err := c.sharedTask(ctx, r.ID, "IPC", other)
	if err != nil {
		return err
	}
	dir := c.ipcDirectory(r.ID)
	space, shm := filepath.Join(dir, plan.IPCNamespaceFile), filepath.Join(dir, plan.IPCSharedDirectory)
	err = c.unshareIPC(r.ID)
	if err == nil {
		err = c.stateDir(dir)
	}
	if err == nil {
		err = errors.Join(os.WriteFile(space, nil, 0o600), os.Mkdir(shm, 0o700))
	}
	if err == nil {
		err = unix.Mount(fmt.Sprintf("/proc/%d/ns/ipc", task.Pid), space, "", unix.MS_BIND, "")
	}
	if err == nil {
		err = mountOf(int(task.Pid), "/dev/shm", shm)
	}
	if err != nil {
		return fmt.Errorf("container %s: share the IPC of container %s: %w", r.ID, other, errors.Join(err, c.unshareIPC(r.ID)))
	}
	return nil
}

func (c *Client) ipcDirectory(id string) string {
	return plan.IPCDirectory(c.opt.StateDir, c.opt.Namespace, id)
}

// unshareIPC gives both up; most containers have none.
func (c *Client) unshareIPC(id string) error {
	dir := c.ipcDirectory(id)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var err error
	for _, name := range []string{plan.IPCNamespaceFile, plan.IPCSharedDirectory} {
		at := filepath.Join(dir, name)
		for unix.Unmount(at, unix.MNT_DETACH) == nil { // a start that was killed has left one more
		}
		if e := os.Remove(at); !errors.Is(e, fs.ErrNotExist) { // and never what is mounted: only an empty directory or file goes
			err = errors.Join(err, e)
		}
	}
	if err = errors.Join(err, os.Remove(dir)); err != nil {
		return fmt.Errorf("give up the shared IPC of container %s: %w", id, err)
	}
	return nil
}

// mountOf mounts at a path of this process's what is mounted at one of another mount namespace. mount(2) binds nothing of another
// namespace, but open_tree(2) taken there gives a copy that can be put anywhere (Linux 5.2).
func mountOf(pid int, source, target string) error {
	tree := -1
	if err := onThread(func() (err error) { tree, err = cloneTree(pid, source); return err }); err != nil {
		return err
	}
	defer unix.Close(tree)
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount %s to %s: %w", source, target, err)
	}
	return nil
}

// cloneTree takes its thread into the other namespace.
func cloneTree(pid int, source string) (int, error) {
	space, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open the mount namespace of process %d: %w", pid, err)
	}
	defer unix.Close(space)
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns(2) asks for a root and a directory that are the thread's own
		return -1, fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(space, unix.CLONE_NEWNS); err != nil {
		return -1, fmt.Errorf("enter the mount namespace of process %d: %w", pid, err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open_tree %s: %w", source, err)
	}
	return fd, nil
}
