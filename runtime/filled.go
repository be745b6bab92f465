package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

// This file fills volumes: docker copies what the image has at the target into a volume that is empty.

func (c *Client) anonymousDir(id string) string {
	return plan.AnonymousDirectory(c.opt.DataDir, c.opt.Namespace, id)
}

// dropAnonymous puts the volumes without names of a container that is to go among its files, which are removed with it. Its process
// has ended.
func (c *Client) dropAnonymous(id string) error {
	dir := c.anonymousDir(id)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := os.MkdirAll(c.dir(id), 0o755)
	if err == nil {
		err = os.Rename(dir, filepath.Join(c.dir(id), "volumes"))
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) { // a removal was cut short
		err = os.RemoveAll(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the volumes of container %s: %w", id, err)
	}
	return nil
}

// Incomplete reports whether a volume is empty, not there, or being filled: what the image has at its place is, or will be, in it.
func Incomplete(volume string) bool {
	empty, err := emptyDirectory(volume)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	_, err = os.Lstat(fillingDir(volume))
	return empty || err == nil
}

// fillingDir is where the content of a volume is copied before it is moved in: beside the volume, where no container reaches, so that
// none can turn a path that is being written to into a link. As long as it is there the volume is not complete.
func fillingDir(volume string) string {
	return filepath.Join(filepath.Dir(volume), ".filling-"+filepath.Base(volume)) // no volume's name begins with a dot
}

// makeFilled makes the directory, and if it is empty gives it what the image has for it: owner and mode, too. Whoever is killed at it
// leaves it empty, or with a complete copy beside it, which the next one moves in; so does a machine that loses its power.
func (c *Client) makeFilled(ctx context.Context, pl plan.Plan, d plan.Directory) error {
	if err := makeDirectory(d); err != nil {
		return err
	}
	if d.Mount != nil {
		if err := mountVolume(d); err != nil {
			return err
		}
	}
	if d.Copy == "" {
		return nil
	}
	empty, err := emptyDirectory(d.Path)
	if err != nil {
		return fmt.Errorf("fill volume: %w", err)
	}
	work := fillingDir(d.Path)
	if _, err := os.Lstat(work); !empty && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !sameDevice(d.Path, filepath.Dir(d.Path)) {
		c.opt.Log.Warn("the volume is a file system of its own: nothing of the image is copied into it", "volume", d.Path)
		return nil
	}
	lock, err := lockFilling(ctx, work)
	if err != nil {
		return fmt.Errorf("fill %s: %w", d.Path, err)
	}
	defer lock.Close()
	lasting := !strings.HasPrefix(d.Path, c.dir(pl.ID)+"/") // else it goes with a container of run
	ready := filepath.Join(work, "ready")
	if _, err := os.Lstat(ready); errors.Is(err, fs.ErrNotExist) {
		if empty, err = emptyDirectory(d.Path); err == nil && empty {
			err = stage(work, ready, lasting, func(to string) (bool, error) { return c.fillFrom(ctx, pl, d.Copy, to) })
		}
		if _, there := os.Lstat(ready); err != nil || there != nil { // another was quicker, or the image has no such directory
			return errors.Join(err, os.RemoveAll(work))
		}
	}
	if err := moveIn(ready, d.Path); errors.Is(err, unix.EXDEV) { // a bind mount of the same file system
		c.opt.Log.Warn("the volume is mounted from elsewhere: nothing of the image is copied into it", "volume", d.Path)
	} else if err != nil {
		return fmt.Errorf("fill %s: %w", d.Path, err)
	} else if lasting { // before the marks go by which the next one would complete it
		if err := nameOnDisk(d.Path); err != nil {
			return fmt.Errorf("fill %s: %w", d.Path, err)
		}
	}
	return os.RemoveAll(work)
}

// treeOnDisk returns when everything that was written to the file system of dir is on its disk (syncfs(2)). Before that a machine that
// loses its power may keep the names of files and lose what is in them, and a volume that has names in it is never filled again. It is
// a variable for the test's sake, which can't cut the power.
var treeOnDisk = func(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}

// nameOnDisk does so for what a directory says of itself and of the names in it. File systems that don't do it by directory (EINVAL,
// fsync(2)) are asked for all of it.
var nameOnDisk = func(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); errors.Is(err, unix.EINVAL) {
		return treeOnDisk(dir)
	} else if err != nil {
		return err
	}
	return nil
}

func sameDevice(a, b string) bool {
	var sa, sb unix.Stat_t
	return unix.Stat(a, &sa) == nil && unix.Stat(b, &sb) == nil && sa.Dev == sb.Dev
}

// lockFilling makes the directory and holds its lock until the file is closed: two containers that start at once share a volume.
func lockFilling(ctx context.Context, work string) (*os.File, error) {
	for {
		if err := os.Mkdir(work, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		f, err := os.Open(work)
		if errors.Is(err, fs.ErrNotExist) { // the other one has just ended
			continue
		} else if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			held, herr := f.Stat()
			now, nerr := os.Lstat(work)
			if herr == nil && nerr == nil && os.SameFile(held, now) {
				return f, nil
			}
		}
		f.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, &fs.PathError{Op: "flock", Path: work, Err: err}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stage makes the copy at ready, with all of it or not at all, on the disk before it has that name if it is to last. It makes nothing
// where the image has no such directory.
func stage(work, ready string, lasting bool, fill func(to string) (there bool, err error)) error {
	made := filepath.Join(work, "copy")
	if err := os.RemoveAll(made); err != nil { // of one that was killed
		return err
	}
	if err := os.Mkdir(made, 0o700); err != nil {
		return err
	}
	there, err := fill(made)
	if err != nil || !there {
		return err
	}
	if lasting {
		if err := treeOnDisk(made); err != nil {
			return err
		}
	}
	return os.Rename(made, ready)
}

// moveIn moves what is in one directory to another one, and dresses that. A name that is taken by now stays what it is: a
// container that has had the volume before may have made it.
func moveIn(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		old, fresh := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		err := unix.Renameat2(unix.AT_FDCWD, old, unix.AT_FDCWD, fresh, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without
			if _, there := os.Lstat(fresh); errors.Is(there, fs.ErrNotExist) {
				err = unix.Rename(old, fresh)
			} else {
				err = there
			}
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return &fs.PathError{Op: "rename", Path: fresh, Err: err}
		}
	}
	return dress(from, to)
}

func emptyDirectory(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// fillFrom copies a directory of the image, and says whether there is one.
func (c *Client) fillFrom(ctx context.Context, pl plan.Plan, from, to string) (there bool, err error) {
	view, done, err := c.view(ctx, pl.Image, pl.ChainID)
	if err != nil {
		return false, fmt.Errorf("fill %s from the image: %w", to, err)
	}
	defer func() { err = errors.Join(err, done()) }()
	at, err := view.Resolve(from)
	if err != nil || !view.IsDir(from) {
		return false, nil
	}
	if err := newTreeCopy(ctx, view).fill(at.Path, to); err != nil {
		return false, fmt.Errorf("fill %s with the image's %s: %w", to, from, err)
	}
	awaitForks()
	return true, nil
}

// awaitForks waits until each process that was being forked has executed its program. Until then it has the descriptors by which this
// process wrote files, and the container that gets the files could not execute them: "text file busy" (golang.org/issue/22315).
func awaitForks() {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
}

// A treeCopy copies files of an image with owners, modes, times and extended attributes. Links lead where they led.
type treeCopy struct {
	ctx   context.Context
	view  *rootfs.View
	links map[inode]string // copies of files with several names
}

type inode struct{ device, number uint64 }

func newTreeCopy(ctx context.Context, view *rootfs.View) treeCopy {
	return treeCopy{ctx: ctx, view: view, links: map[inode]string{}}
}

// fill copies what is in a directory, and gives the other one what it is itself.
func (t treeCopy) fill(from, to string) error {
	entries, err := t.view.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := t.copy(path.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	at, err := t.view.Lresolve(from)
	if err != nil {
		return err
	}
	return dress(at.Real, to)
}

func (t treeCopy) copy(from, to string) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	at, err := t.view.Lresolve(from)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(at.Real, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: at.Real, Err: err}
	}
	kind, one := st.Mode&unix.S_IFMT, inode{st.Dev, st.Ino}
	if first := t.links[one]; first != "" {
		return os.Link(first, to)
	}
	switch kind {
	case unix.S_IFDIR:
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		return t.fill(from, to)
	case unix.S_IFLNK:
		target, err := os.Readlink(at.Real)
		if err == nil {
			err = os.Symlink(target, to)
		}
		if err != nil {
			return err
		}
	case unix.S_IFREG:
		if err := copyFile(t.view, at, to); err != nil {
			return err
		}
	default:
		if err := unix.Mknod(to, st.Mode, int(st.Rdev)); err != nil {
			return &fs.PathError{Op: "mknod", Path: to, Err: err}
		}
	}
	if st.Nlink > 1 {
		t.links[one] = to
	}
	return dress(at.Real, to)
}

func copyFile(view *rootfs.View, at rootfs.Resolved, to string) error {
	in, err := view.OpenResolved(at)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// dress gives a copy the original's owner, mode, attributes and times; the owner first, as a change of it takes rights away.
func dress(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: from, Err: err}
	}
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if !link {
		if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
			return &fs.PathError{Op: "chmod", Path: to, Err: err}
		}
	}
	copyAttributes(from, to)
	return unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// copyAttributes takes those along that belong to the file: rights of programs, and what people have put there. A file system without
// any is no reason to fail.
func copyAttributes(from, to string) {
	names := make([]byte, 64<<10) // XATTR_LIST_MAX, linux/limits.h
	n, err := unix.Llistxattr(from, names)
	if err != nil {
		return
	}
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	for _, name := range strings.Split(string(names[:n]), "\x00") {
		if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") || name == "" { // the layer's, not the file's
			continue
		}
		if size, err := unix.Lgetxattr(from, name, value); err == nil {
			_ = unix.Lsetxattr(to, name, value[:size], 0)
		}
	}
}
