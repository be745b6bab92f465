package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/moby/go-archive"
	"github.com/moby/go-archive/compression"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// A Copying says what hostrun cp copies, by docker's rules (docker container cp): of trailing slashes, of "/.", of what
// is there already, and of links, which the side that they are on resolves.
type Copying struct {
	Container string
	Inside    string // path of the container; relative to its root
	Outside   string // absolute path of the machine; "" for Stream

	Stream io.ReadWriter // a tar archive instead of Outside

	Archive    bool // keep owners; otherwise files are root's inside, and the caller's outside
	FollowLink bool // copy what a link at the source's end leads to
}

// CopyIn copies from the machine into the container, running or stopped, and returns the bytes of the archive that went over.
func (c *Client) CopyIn(ctx context.Context, o Copying) (int64, error) {
	ctx = c.in(ctx)
	if _, err := c.own(ctx, o.Container); err != nil {
		return 0, err
	}
	var info *archive.CopyInfo
	r, w := io.Pipe()
	defer r.Close()
	count := &counter{r: r}
	if o.Stream == nil {
		known, err := archive.CopyInfoSourcePath(o.Outside, o.FollowLink)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, finding.Errorf(finding.StatusNoPath, "", "copy: %s: there is no such file or directory on this machine", o.Outside)
		}
		if err != nil {
			return 0, outsideError(o.Outside, err)
		}
		info = &known
		go func() { w.CloseWithError(pack(w, known, sameOwner)) }()
	} else {
		plain, err := compression.DecompressStream(o.Stream)
		if err != nil {
			return 0, fmt.Errorf("read the archive: %w", err)
		}
		defer plain.Close()
		go func() { _, err := io.Copy(w, plain); w.CloseWithError(err) }()
	}
	err := c.inside(ctx, o.Container, func(r containers.Container, spec *specs.Spec) error {
		return insideError(o, spec, o.unpackInside(ctx, spec, info, count))
	})
	return count.n, err
}

// unpackInside runs with the container's root as its own.
func (o Copying) unpackInside(ctx context.Context, spec *specs.Spec, info *archive.CopyInfo, content io.Reader) error {
	path := insidePath(o.Inside)
	to, err := archive.CopyInfoDestinationPath(path)
	if err != nil {
		return err
	}
	opt := &archive.TarOptions{NoOverwriteDirNonDir: true, IDMap: idMap(spec), BestEffortXattrs: true}
	if !o.Archive {
		uid, gid := opt.IDMap.RootPair()
		opt.ChownOpts = &archive.ChownOpts{UID: uid, GID: gid}
	}
	content = interruptible{ctx, content}
	if info == nil {
		if !to.IsDir {
			return fmt.Errorf("%s: %w", path, archive.ErrNotDirectory)
		}
		return archive.Unpack(content, to.Path, opt)
	}
	dir, rebased, err := archive.PrepareArchiveCopy(content, *info, to)
	if err != nil {
		return err
	}
	defer rebased.Close()
	return archive.Unpack(rebased, dir, opt)
}

// CopyOut copies from the container, running or stopped, to the machine, and returns the bytes of the archive that went over.
func (c *Client) CopyOut(ctx context.Context, o Copying) (int64, error) {
	ctx = c.in(ctx)
	r, w := io.Pipe()
	defer r.Close()
	found, over := make(chan archive.CopyInfo, 1), make(chan error, 1)
	go func() {
		err := c.inside(ctx, o.Container, func(_ containers.Container, spec *specs.Spec) error {
			info, err := archive.CopyInfoSourcePath(insidePath(o.Inside), o.FollowLink)
			if errors.Is(err, fs.ErrNotExist) {
				return finding.Errorf(finding.StatusNoPath, "see what is there: hostrun exec "+o.Container+" -- ls -l "+insidePath(filepath.Dir(filepath.Clean(o.Inside))), "copy: %s:%s: there is no such file or directory", o.Container, o.Inside)
			}
			if err != nil {
				return insideError(o, spec, err)
			}
			found <- info
			ids := idMap(spec)
			return insideError(o, spec, pack(w, info, func(uid, gid int) (int, int) {
				if u, g, err := ids.ToContainer(uid, gid); err == nil {
					return u, g
				}
				return uid, gid
			}))
		})
		w.CloseWithError(err)
		over <- err
	}()
	var info archive.CopyInfo
	select {
	case info = <-found:
	case err := <-over:
		if err == nil {
			err = fmt.Errorf("copy from container %s: nothing came", o.Container)
		}
		return 0, err
	}
	count := &counter{r: interruptible{ctx, r}}
	var err error
	if o.Stream != nil {
		_, err = io.Copy(o.Stream, count)
	} else {
		err = unpackOutside(count, info, o)
	}
	r.CloseWithError(errStopped)
	if inner := <-over; inner != nil && !errors.Is(inner, errStopped) {
		err = inner
	}
	return count.n, err
}

var errStopped = errors.New("the copy has ended")

func unpackOutside(content io.Reader, info archive.CopyInfo, o Copying) error {
	to, err := archive.CopyInfoDestinationPath(o.Outside)
	if err != nil {
		return outsideError(o.Outside, err)
	}
	dir, rebased, err := archive.PrepareArchiveCopy(content, info, to)
	if err != nil {
		return outsideError(o.Outside, err)
	}
	defer rebased.Close()
	opt := &archive.TarOptions{NoOverwriteDirNonDir: true, NoLchown: !o.Archive, BestEffortXattrs: true, InUserNS: os.Geteuid() != 0}
	if !o.Archive && os.Geteuid() == 0 { // what is overwritten in place keeps no other owner
		opt.NoLchown, opt.ChownOpts = false, &archive.ChownOpts{UID: os.Getuid(), GID: os.Getgid()}
	}
	if err := archive.Unpack(rebased, dir, opt); err != nil {
		return outsideError(o.Outside, err)
	}
	_, err = io.Copy(io.Discard, rebased) // the archive's padding
	return err
}

// insidePath is absolute and clean, but for an end that docker's rules look at.
func insidePath(path string) string {
	return archive.PreserveTrailingDotOrSeparator(filepath.Join("/", path), path)
}

func sameOwner(uid, gid int) (int, int) { return uid, gid }

// idMap is the container's user namespace's.
func idMap(spec *specs.Spec) user.IdentityMapping {
	var m user.IdentityMapping
	if spec.Linux == nil {
		return m
	}
	for _, ids := range []struct {
		from []specs.LinuxIDMapping
		to   *[]user.IDMap
	}{{spec.Linux.UIDMappings, &m.UIDMaps}, {spec.Linux.GIDMappings, &m.GIDMaps}} {
		for _, one := range ids.from {
			*ids.to = append(*ids.to, user.IDMap{ID: int64(one.ContainerID), ParentID: int64(one.HostID), Count: int64(one.Size)})
		}
	}
	return m
}

// A counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// interruptible ends with ctx.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, context.Cause(i.ctx)
	}
	return i.r.Read(p)
}

// outsideError says docker's rule that was broken on the machine's side.
func outsideError(path string, err error) error { return ruleError(path, err) }

// insideError adds the container, and says of what is mounted read-only why that is so.
func insideError(o Copying, spec *specs.Spec, err error) error {
	switch {
	case err == nil, errors.Is(err, errStopped), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, unix.EROFS):
		return readOnlyError(o, spec, err)
	case errors.Is(err, unix.EBUSY):
		return finding.Errorf(finding.StatusFailed, "write into the file instead: hostrun exec -i "+o.Container+" -- sh -c 'cat >FILE'",
			"container %s: %w: a file that is mounted there can't be replaced", o.Container, err)
	}
	return ruleError(o.Container+":"+o.Inside, err)
}

func ruleError(where string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, archive.ErrDirNotExists):
		hint = "a name that ends in / is that of a directory: make it, or leave the slash away"
	case errors.Is(err, archive.ErrCannotCopyDir):
		hint = "a directory can't take the place of a file"
	case errors.Is(err, archive.ErrNotDirectory):
		hint = "an archive is unpacked into a directory that is there"
	case errors.Is(err, fs.ErrNotExist):
		return finding.Errorf(finding.StatusNoPath, "the file is copied to a directory that must be there", "copy: %s: %w", where, err)
	}
	return finding.Errorf(finding.StatusFailed, hint, "copy: %s: %w", where, err)
}

// readOnlyError names the mount.
func readOnlyError(o Copying, spec *specs.Spec, err error) error {
	path := insidePath(o.Inside)
	var at *fs.PathError
	if errors.As(err, &at) {
		path = at.Path
	}
	path = filepath.Clean(path)
	var holder *specs.Mount
	for i, m := range spec.Mounts {
		if below(path, strings.TrimSuffix(m.Destination, "/")) && (holder == nil || len(m.Destination) >= len(holder.Destination)) {
			holder = &spec.Mounts[i]
		}
	}
	what, remedy := fmt.Sprintf("%s: its root is read-only (read_only: true)", path), "copy to a volume or a tmpfs of the container, or set read_only: false in the profile"
	if holder != nil {
		what = fmt.Sprintf("%s is read-only there: it is the machine's %s", holder.Destination, holder.Source)
		remedy = "change the files on the machine, in " + holder.Source + ", or copy to another place"
	}
	return finding.Errorf(finding.Explain(finding.CopyReadOnly).ExitStatus, remedy+"\nhostrun explain "+finding.CopyReadOnly,
		"copy to container %s: %s: %w", o.Container, what, err)
}

// LikeDocker gives a clean path the end that the original has and docker's rules look at: a slash, or "/.".
func LikeDocker(clean, original string) string {
	return archive.PreserveTrailingDotOrSeparator(clean, original)
}
