package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A node is what is at a path without links in its parents.
type node struct {
	real      string // on this machine; "" for the parent of a mount that is in no layer
	dir, link bool
}

func nodeOf(real string, fi fs.FileInfo) node {
	return node{real: real, dir: fi.IsDir(), link: fi.Mode()&fs.ModeSymlink != 0}
}

// locate finds p, whose parents hold no links: in the mount that covers it, else in the topmost layer that has it.
func (v *View) locate(p string) (node, error) {
	n, err := v.locateBelow(p)
	if errors.Is(err, fs.ErrNotExist) && v.leadsToMount(p) {
		return node{dir: true}, nil
	}
	return n, err
}

func (v *View) locateBelow(p string) (node, error) {
	if real, ok := v.inMount(p); ok {
		fi, err := os.Lstat(real)
		if err != nil {
			return node{}, cause(notThere(err))
		}
		return nodeOf(real, fi), nil
	}
	if p == "/" {
		if len(v.layers) == 0 {
			return node{}, fs.ErrNotExist
		}
		return node{real: v.layers[0], dir: true}, nil
	}
	return v.locateInLayers(p)
}

func (v *View) locateInLayers(p string) (node, error) {
	dirs, err := v.merge(path.Dir(p))
	if err != nil {
		return node{}, err
	}
	for _, dir := range dirs {
		real := filepath.Join(dir, path.Base(p))
		fi, err := os.Lstat(real)
		switch {
		case err == nil && isWhiteout(fi):
			return node{}, fs.ErrNotExist
		case err == nil:
			return nodeOf(real, fi), nil
		case !absent(err):
			return node{}, cause(err)
		}
	}
	return node{}, fs.ErrNotExist
}

// notThere takes ENOTDIR for absence, as the layers do.
func notThere(err error) error {
	if absent(err) {
		return fs.ErrNotExist
	}
	return err
}

// merge returns the host directories that together make the directory p, whose parents hold no links: the topmost
// first. A layer in which p is something else ends the list (overlayfs merges directories only), and so does an opaque
// one. A link in a lower layer is thus never followed: it could lead out of the tree.
func (v *View) merge(p string) ([]string, error) {
	if len(v.layers) == 1 {
		return []string{filepath.Join(v.layers[0], p)}, nil
	}
	if dirs, ok := v.merged.Load(p); ok {
		return dirs.([]string), nil
	}
	candidates := v.layers
	if p != "/" {
		parents, err := v.merge(path.Dir(p))
		if err != nil {
			return nil, err
		}
		candidates = make([]string, len(parents))
		for i, parent := range parents {
			candidates[i] = filepath.Join(parent, path.Base(p))
		}
	}
	dirs, err := mergeable(candidates)
	if err == nil {
		v.merged.Store(p, dirs)
	}
	return dirs, err
}

func mergeable(candidates []string) ([]string, error) {
	var dirs []string
	for _, dir := range candidates {
		fi, err := os.Lstat(dir)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, cause(err)
		}
		if !fi.IsDir() { // a whiteout, a file, a link
			break
		}
		dirs = append(dirs, dir)
		if isOpaque(dir) {
			break
		}
	}
	return dirs, nil
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// isWhiteout knows the character device 0:0 by which overlayfs hides what lies below.
func isWhiteout(fi fs.FileInfo) bool {
	if fi.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && uint64(st.Rdev) == 0
}

func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// ReadDir returns the entries of the directory p leads to, sorted by name, merged over all layers and mounts.
func (v *View) ReadDir(p string) ([]fs.DirEntry, error) {
	r, err := v.Resolve(p)
	if err != nil {
		return nil, err
	}
	entries, err := v.readBelow(p, r)
	if err != nil {
		return nil, err
	}
	return v.withMounts(r.Path, entries), nil
}

func (v *View) readBelow(p string, r Resolved) ([]fs.DirEntry, error) {
	if r.Real == "" {
		return nil, nil
	}
	if _, ok := v.inMount(r.Path); ok || len(v.layers) == 1 {
		return os.ReadDir(r.Real)
	}
	dirs, err := v.merge(r.Path)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: p, Err: err}
	}
	if len(dirs) == 0 {
		return nil, &fs.PathError{Op: "readdir", Path: p, Err: syscall.ENOTDIR}
	}
	return readMerged(dirs)
}

func readMerged(dirs []string) ([]fs.DirEntry, error) {
	seen := map[string]bool{}
	var all []fs.DirEntry
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if seen[e.Name()] {
				continue
			}
			seen[e.Name()] = true
			if hidden(e) {
				continue
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, nil
}

func hidden(e fs.DirEntry) bool {
	if e.Type()&fs.ModeCharDevice == 0 {
		return false
	}
	fi, err := e.Info()
	return err == nil && isWhiteout(fi)
}
