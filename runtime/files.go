package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// writeFiles makes the directories and files that the plan generates on the host.
func (c *Client) writeFiles(ctx context.Context, pl plan.Plan) error {
	if err := os.MkdirAll(c.dir(pl.ID), 0o755); err != nil {
		return fmt.Errorf("make the directory of container %s: %w", pl.ID, err)
	}
	if err := os.WriteFile(c.engineFile(pl.ID), []byte(c.opt.Address), 0o644); err != nil {
		return fmt.Errorf("note the containerd of container %s: %w", pl.ID, err)
	}
	for _, d := range pl.Directories {
		if err := c.makeFilled(ctx, pl, d); err != nil {
			return err
		}
	}
	for _, f := range pl.Files {
		if err := writeFile(f); err != nil {
			return err
		}
	}
	if err := c.writeData(pl); err != nil {
		return err
	}
	return makeRoot(pl.Root)
}

// engineFile says which containerd's container it is: while that one is away nobody else may take the files for garbage.
func (c *Client) engineFile(id string) string { return filepath.Join(c.dir(id), "engine") }

// madeIn is the socket of the containerd that a container was made in; "" where nothing says so.
func (c *Client) madeIn(id string) string {
	b, err := os.ReadFile(c.engineFile(id))
	if err != nil {
		return ""
	}
	return string(b)
}

// MayHave says whether a container of that name is not known to have been made in another containerd. Nobody is asked.
func (c *Client) MayHave(id string) bool {
	address := c.madeIn(id)
	return address == "" || address == c.opt.Address
}

// writeMadeOf keeps what the container was made of, for diff. The directory is there.
func (c *Client) writeMadeOf(pl plan.Plan) error {
	if pl.MadeOf == nil {
		return nil
	}
	return writeFile(plan.File{Path: c.madeOf(pl.ID), Binary: pl.MadeOf(), Mode: 0o600})
}

// makeDirectory makes d unless it is there: what is there keeps its owner and mode, it may be the user's.
func makeDirectory(d plan.Directory) error {
	fi, err := os.Stat(d.Path)
	switch {
	case err == nil && fi.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("make directory %s: a file is there", d.Path)
	case d.External != "" && errors.Is(err, fs.ErrNotExist):
		return finding.Errorf(finding.StatusNoPath, "correct its name, make it (mkdir "+d.Path+"), or remove external: true",
			"%s: the external volume %s is not there", finding.VolumeAbsent, d.External)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("make directory: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(d.Path), 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	mode := fs.FileMode(d.Mode & 0o777)
	if mode == 0 {
		mode = 0o755
	}
	if err := os.Mkdir(d.Path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := errors.Join(os.Chown(d.Path, int(d.UID), int(d.GID)), os.Chmod(d.Path, unixMode(d.Mode, mode))); err != nil {
		return fmt.Errorf("make directory %s: %w", d.Path, err)
	}
	return nil
}

// unixMode adds the set-id and sticky bits, which Go keeps elsewhere.
func unixMode(m uint32, perm fs.FileMode) fs.FileMode {
	if m&0o1000 != 0 {
		perm |= fs.ModeSticky
	}
	if m&0o2000 != 0 {
		perm |= fs.ModeSetgid
	}
	if m&0o4000 != 0 {
		perm |= fs.ModeSetuid
	}
	return perm
}

func writeFile(f plan.File) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", f.Path, err)
	}
	if f.Fifo {
		return makeFifo(f)
	}
	if err := replaceFile(f.Path, f.Bytes(), fs.FileMode(f.Mode&0o777)); err != nil {
		return fmt.Errorf("write %s: %w", f.Path, err)
	}
	return nil
}

// makeFifo makes a named pipe unless it is there.
func makeFifo(f plan.File) error {
	fi, err := os.Lstat(f.Path)
	if err == nil && fi.Mode()&fs.ModeNamedPipe == 0 {
		err = os.Remove(f.Path)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = unix.Mkfifo(f.Path, f.Mode&0o777)
	}
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = errors.Join(os.Chown(f.Path, int(f.UID), int(f.GID)), os.Chmod(f.Path, fs.FileMode(f.Mode&0o777)))
	}
	if err != nil {
		return fmt.Errorf("make the input %s: %w", f.Path, err)
	}
	return nil
}

// replaceFile writes beside path and renames: a reader sees the old content or the new, never half of it.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// removeFiles deletes what the container had on the host. Named volumes and bind sources are not among it.
func (c *Client) removeFiles(id string) error {
	return errors.Join(c.unstage(id), c.releaseIDs(id), c.removeData(id), os.RemoveAll(c.dir(id)), os.RemoveAll(c.ioDir(id)))
}
