package runtime

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/moby/go-archive"
	"golang.org/x/sys/unix"
)

// A packer writes files as tar, by names that docker's rules of copying give them (go-archive, TarResourceRebase). Unlike
// that library's it fails where a file can't be read: what a copy leaves out is said.
type packer struct {
	out   *tar.Writer
	owner func(uid, gid int) (int, int) // what the archive says of owners
	links map[[2]uint64]string          // device and inode -> name in the archive
}

// pack writes the file or directory that info names.
func pack(w io.Writer, info archive.CopyInfo, owner func(uid, gid int) (int, int)) error {
	p := packer{out: tar.NewWriter(w), owner: owner, links: map[[2]uint64]string{}}
	dir, base := archive.SplitPathDirEntry(info.Path)
	name := base
	if info.RebaseName != "" {
		name = info.RebaseName
	}
	top := filepath.Join(dir, base)
	fi, err := os.Lstat(top)
	if err != nil {
		return err
	}
	if err := p.add(top, name, fi); err != nil {
		return err
	}
	return p.out.Close()
}

func (p *packer) add(path, name string, fi fs.FileInfo) error {
	if fi.Mode()&fs.ModeSocket != 0 {
		return nil // means nothing without its process
	}
	link := ""
	if fi.Mode()&fs.ModeSymlink != 0 {
		var err error
		if link, err = os.Readlink(path); err != nil {
			return gone(err)
		}
	}
	hdr, err := archive.FileInfoHeader(name, fi, link)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	hdr.ModTime = fi.ModTime()
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: no file of Linux", path)
	}
	hdr.Uid, hdr.Gid = p.owner(int(st.Uid), int(st.Gid))
	hdr.Uname, hdr.Gname = "", ""
	if fi.Mode()&fs.ModeDevice != 0 {
		hdr.Devmajor, hdr.Devminor = int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev)))
	}
	if fi.Mode().IsRegular() && st.Nlink > 1 {
		id := [2]uint64{uint64(st.Dev), st.Ino}
		if first, ok := p.links[id]; ok {
			hdr.Typeflag, hdr.Linkname, hdr.Size = tar.TypeLink, first, 0
			return p.out.WriteHeader(hdr)
		}
		p.links[id] = name
	}
	_ = archive.ReadSecurityXattrToTarHeader(path, hdr) // file systems without have none
	switch {
	case fi.Mode().IsRegular():
		return p.content(path, hdr)
	case fi.IsDir():
		return p.directory(path, name, hdr)
	}
	return p.out.WriteHeader(hdr)
}

// content writes as many bytes as the header says: a file that grows meanwhile is cut, one that shrinks ends in zeros, as
// GNU tar does it.
func (p *packer) content(path string, hdr *tar.Header) error {
	f, err := os.Open(path)
	if err != nil {
		return gone(err)
	}
	defer f.Close()
	if err := p.out.WriteHeader(hdr); err != nil {
		return err
	}
	n, err := io.Copy(p.out, io.LimitReader(f, hdr.Size))
	if err != nil {
		return err
	}
	_, err = io.CopyN(p.out, zeros{}, hdr.Size-n)
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (p *packer) directory(path, name string, hdr *tar.Header) error {
	if err := p.out.WriteHeader(hdr); err != nil {
		return err
	}
	if kernelsOwn(path) && !kernelsOwn(filepath.Dir(path)) && filepath.Dir(name) != "." {
		return nil // met on the way, not asked for: /proc of a copied root
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return gone(err)
	}
	for _, e := range entries {
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		below := name + "/" + e.Name()
		if err := p.add(filepath.Join(path, e.Name()), below, fi); err != nil {
			return err
		}
	}
	return nil
}

// gone passes over a file that was removed while the copy went on.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// kernelsOwn says whether a directory shows the kernel's state instead of files (statfs(2), f_type).
func kernelsOwn(dir string) bool {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return false
	}
	switch int64(st.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC, mqueueMagic:
		return true
	}
	return false
}

const mqueueMagic = 0x19800202
