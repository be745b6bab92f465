// Package rootfs reads a file tree as the root of a machine or of a container: one directory, or the layers of an
// image. Symbolic links are resolved inside the tree, so an absolute link of an image
// never leads to the host. Nothing is mounted, written or executed.
package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// MaxLinks is the number of symbolic links that one path may take, as in the kernel (MAXSYMLINKS, fs/namei.c).
const MaxLinks = 40

// ErrTooManyLinks is wrapped by errors about paths with more than MaxLinks links.
var ErrTooManyLinks = errors.New("too many levels of symbolic links")

// ErrNotRegular is wrapped by errors about opening what is no regular file.
var ErrNotRegular = errors.New("not a regular file")

// A View is a read-only file tree. Paths are absolute slash paths inside the tree; relative ones are taken from its
// root. A View is safe for concurrent use.
type View struct {
	layers []string // host directories, top first
	only   []string // nil: all of the layers. Else what is seen of them: these, and what is below and above them
	mounts []Mount  // destinations without links; none hides another
	merged sync.Map // path -> []string: what merge returned; images do not change
}

// Dir returns the tree below root on this machine; "/" is the machine itself.
func Dir(root string) *View { return &View{layers: []string{root}} }

// Layers returns the union of overlayfs layer directories, the topmost first: the order of lowerdir=
// (Documentation/filesystems/overlayfs.rst). Whiteouts and opaque directories hide what lies below.
func Layers(dirs ...string) *View { return &View{layers: dirs} }

// Only returns the same tree with nothing in it but paths, what is below them, and the directories that lead to them. A link that
// leads elsewhere dangles.
func (v *View) Only(paths ...string) *View {
	only := make([]string, 0, len(paths))
	for _, p := range paths {
		only = append(only, clean(p))
	}
	return &View{layers: v.layers, only: only, mounts: v.mounts}
}

// shows reports whether p is seen; all reports whether everything below it is, too.
func (v *View) shows(p string) (seen, all bool) {
	if v.only == nil {
		return true, true
	}
	for _, o := range v.only {
		switch {
		case within(p, o):
			return true, true
		case within(o, p):
			seen = true
		}
	}
	return seen, false
}

// within reports whether the cleaned path p is at or below dir.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// A Resolved is where a path leads.
type Resolved struct {
	Path string   // inside the view, without links
	Real string   // on this machine: the file to open; "" for a directory that exists only as a mount's parent
	Hops []string // the links that were followed, as "path -> target"
}

func clean(p string) string { return path.Clean("/" + filepath.ToSlash(p)) }

// Resolve follows every link of p inside the view. The error of a dangling link names the hop that leads nowhere and
// is fs.ErrNotExist.
func (v *View) Resolve(p string) (Resolved, error) { return v.walk("/", p, true) }

// Lresolve is Resolve, except that a link as the last element is not followed.
func (v *View) Lresolve(p string) (Resolved, error) { return v.walk("/", p, false) }

// ResolveIn is Resolve for a name below dir, the Path of something resolved before: its elements are not walked again.
func (v *View) ResolveIn(dir, name string) (Resolved, error) { return v.walk(dir, name, true) }

// walk takes "..", as the kernel does, from where the links before it have led (path_resolution(7)).
func (v *View) walk(cur, p string, followLast bool) (Resolved, error) {
	var r Resolved
	rest := elements(p)
	at, err := v.locate(cur)
	if err != nil {
		return r, pathErr("resolve", p, r, err)
	}
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		next := path.Join(cur, name)
		if next == cur {
			continue
		}
		if !at.dir {
			return r, pathErr("resolve", p, r, fs.ErrNotExist)
		}
		if at, err = v.locate(next); err != nil {
			return r, pathErr("resolve", p, r, err)
		}
		if !at.link || len(rest) == 0 && !followLast {
			cur = next
			continue
		}
		target, err := os.Readlink(at.real)
		if err != nil {
			return r, pathErr("resolve", p, r, cause(err))
		}
		r.Hops = append(r.Hops, next+" -> "+target)
		if len(r.Hops) > MaxLinks {
			return r, pathErr("resolve", p, r, ErrTooManyLinks)
		}
		rest = append(elements(target), rest...)
		if strings.HasPrefix(target, "/") {
			cur = "/"
		}
		if at, err = v.locate(cur); err != nil {
			return r, pathErr("resolve", p, r, err)
		}
	}
	r.Path, r.Real = cur, at.real
	return r, nil
}

func elements(p string) []string {
	return strings.FieldsFunc(filepath.ToSlash(p), func(c rune) bool { return c == '/' })
}

func pathErr(op, p string, r Resolved, err error) error {
	if len(r.Hops) > 0 {
		p = fmt.Sprintf("%s (through %s)", p, r.Hops[len(r.Hops)-1])
	}
	return &fs.PathError{Op: op, Path: p, Err: err}
}

// Lstat describes p itself, links in its parents followed.
func (v *View) Lstat(p string) (fs.FileInfo, error) {
	r, err := v.Lresolve(p)
	if err != nil {
		return nil, err
	}
	return v.describe(r)
}

// Stat describes what p leads to.
func (v *View) Stat(p string) (fs.FileInfo, error) {
	r, err := v.Resolve(p)
	if err != nil {
		return nil, err
	}
	return v.describe(r)
}

// Readlink returns the target of the link p, as it is written.
func (v *View) Readlink(p string) (string, error) {
	r, err := v.Lresolve(p)
	if err != nil {
		return "", err
	}
	return os.Readlink(r.Real)
}

// Open opens the regular file that p leads to. It never blocks on a FIFO and never opens a device.
func (v *View) Open(p string) (*os.File, error) {
	r, err := v.Resolve(p)
	if err != nil {
		return nil, err
	}
	return openRegular(p, r)
}

// OpenResolved opens the regular file that an earlier call has resolved.
func (v *View) OpenResolved(r Resolved) (*os.File, error) { return openRegular(r.Path, r) }

func openRegular(p string, r Resolved) (*os.File, error) {
	if r.Real == "" {
		return nil, &fs.PathError{Op: "open", Path: p, Err: ErrNotRegular}
	}
	fi, err := os.Lstat(r.Real)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: p, Err: ErrNotRegular}
	}
	f, err := os.OpenFile(r.Real, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if fi, err = f.Stat(); err != nil || !fi.Mode().IsRegular() {
		_ = f.Close()
		return nil, &fs.PathError{Op: "open", Path: p, Err: ErrNotRegular}
	}
	return f, nil
}

// ErrTooLarge is wrapped by ReadFile's error about a file over its limit.
var ErrTooLarge = errors.New("file too large")

// ReadFile returns the content of the regular file p, of at most limit bytes.
func (v *View) ReadFile(p string, limit int64) ([]byte, error) {
	r, err := v.Resolve(p)
	if err != nil {
		return nil, err
	}
	return readAtMost(p, r, limit)
}

func readAtMost(p string, r Resolved, limit int64) ([]byte, error) {
	f, err := openRegular(p, r)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, &fs.PathError{Op: "read", Path: p, Err: ErrTooLarge}
	}
	return b, nil
}

// Exists reports whether p leads to anything.
func (v *View) Exists(p string) bool {
	_, err := v.Resolve(p)
	return err == nil
}

// IsDir reports whether p leads to a directory.
func (v *View) IsDir(p string) bool {
	fi, err := v.Stat(p)
	return err == nil && fi.IsDir()
}
