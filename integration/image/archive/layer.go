package archive

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

// A Layer is a set of files: those below Dir, those of the tar file Tar, then Files. One of them is enough.
type Layer struct {
	Dir   string // owners, modes, links and hard links are kept; devices, sockets and FIFOs are left out
	Tar   string // a plain tar file
	Files []File // written last, in this order, so that they win
}

// A File is one entry that is made up instead of read from a tree. Parents that no entry names are made, owned by
// root, with mode 0755.
type File struct {
	Path    string      // inside the image, with or without a leading slash
	Mode    fs.FileMode // permission bits; fs.ModeDir and fs.ModeSymlink say that it is not a regular file
	Content []byte      // of a link: where it leads
	UID     int
	GID     int
}

func (l Layer) name() string {
	switch {
	case l.Tar != "":
		return "add " + filepath.Base(l.Tar)
	case l.Dir != "":
		return "add a directory"
	}
	return fmt.Sprintf("add %d files", len(l.Files))
}

// packed is a layer on disk.
type packed struct {
	name   string
	file   string        // ours, in the temporary directory
	size   int64         // bytes of file
	digest digest.Digest // of file
	diffID digest.Digest // of the tar before compression
}

// pack writes the layer's tar to file, through gzip if compress is set.
func pack(l Layer, file string, compress bool) (p packed, err error) {
	f, err := os.Create(file)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	whole, plain := digest.SHA256.Digester(), digest.SHA256.Digester()
	out := io.MultiWriter(f, whole.Hash())
	closer := io.Closer(nopCloser{})
	if compress {
		gz, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
		if err != nil {
			return p, err
		}
		out, closer = gz, gz
	}
	if err := writeLayer(io.MultiWriter(out, plain.Hash()), l); err != nil {
		return p, err
	}
	if err := closer.Close(); err != nil {
		return p, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	return packed{name: l.name(), file: file, size: size, digest: whole.Digest(), diffID: plain.Digest()}, err
}

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

func writeLayer(w io.Writer, l Layer) error {
	tw := &layerWriter{tar: tar.NewWriter(w), seen: map[string]bool{"": true}, links: map[inode]string{}}
	if l.Dir != "" {
		if err := tw.tree(l.Dir); err != nil {
			return err
		}
	}
	if l.Tar != "" {
		if err := tw.copyTar(l.Tar); err != nil {
			return err
		}
	}
	for _, f := range l.Files {
		if err := tw.made(f); err != nil {
			return err
		}
	}
	return tw.tar.Close()
}

// inode names a file of the host, for finding hard links.
type inode struct{ dev, ino uint64 }

type layerWriter struct {
	tar   *tar.Writer
	seen  map[string]bool // directories that have an entry, clean and relative
	links map[inode]string
}

// entry writes h, with everything that differs from day to day and from machine to machine taken out.
func (w *layerWriter) entry(h *tar.Header, content io.Reader) error {
	h.ModTime, h.AccessTime, h.ChangeTime = Created, time.Time{}, time.Time{}
	h.Uname, h.Gname = "", ""
	h.Format = tar.FormatPAX
	if h.Typeflag == tar.TypeDir {
		w.seen[strings.TrimSuffix(h.Name, "/")] = true
	}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg || content == nil {
		return nil
	}
	_, err := io.Copy(w.tar, content)
	return err
}

// tree adds the files below root in the order of their names.
func (w *layerWriter) tree(root string) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil || rel == "." {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		return w.hostFile(p, filepath.ToSlash(rel), fi)
	})
}

func (w *layerWriter) hostFile(p, name string, fi fs.FileInfo) error {
	if fi.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe) != 0 {
		return nil
	}
	link := ""
	if fi.Mode()&fs.ModeSymlink != 0 {
		var err error
		if link, err = os.Readlink(p); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(fi, link)
	if err != nil {
		return err
	}
	h.Name = name
	if fi.IsDir() {
		h.Name += "/"
	}
	if w.hardLink(h, fi) || !fi.Mode().IsRegular() {
		return w.entry(h, nil)
	}
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	return w.entry(h, f)
}

// hardLink turns h into a link if the same inode was written before.
func (w *layerWriter) hardLink(h *tar.Header, fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 || !fi.Mode().IsRegular() {
		return false
	}
	id := inode{uint64(st.Dev), st.Ino}
	first, again := w.links[id]
	if !again {
		w.links[id] = h.Name
		return false
	}
	h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
	return true
}

// copyTar adds the entries of a tar file in the order they have there.
func (w *layerWriter) copyTar(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		name := strings.TrimPrefix(h.Name, "./")
		if name == "" || !wanted[h.Typeflag] {
			continue
		}
		kept := &tar.Header{ // extended attributes and times stay behind
			Typeflag: h.Typeflag, Name: name, Linkname: linkName(h), Size: h.Size, Mode: h.Mode, Uid: h.Uid, Gid: h.Gid,
		}
		if err := w.entry(kept, r); err != nil {
			return fmt.Errorf("add %s of %s: %w", h.Name, file, err)
		}
	}
}

// wanted are the kinds of entries that an image keeps: /dev is the OCI runtime's affair.
var wanted = map[byte]bool{tar.TypeReg: true, tar.TypeDir: true, tar.TypeSymlink: true, tar.TypeLink: true}

// linkName returns where h leads: a hard link names another entry, which loses its leading "./" too.
func linkName(h *tar.Header) string {
	if h.Typeflag == tar.TypeLink {
		return strings.TrimPrefix(h.Linkname, "./")
	}
	return h.Linkname
}

func (w *layerWriter) made(f File) error {
	name := strings.TrimPrefix(path.Clean("/"+f.Path), "/")
	if err := w.parentsOf(name); err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(f.Mode.Perm()), Uid: f.UID, Gid: f.GID}
	switch {
	case f.Mode&fs.ModeDir != 0:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case f.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, string(f.Content), 0o777
	default:
		h.Typeflag, h.Size = tar.TypeReg, int64(len(f.Content))
	}
	return w.entry(h, strings.NewReader(string(f.Content)))
}

func (w *layerWriter) parentsOf(name string) error {
	var missing []string
	for dir := path.Dir(name); dir != "." && !w.seen[dir]; dir = path.Dir(dir) {
		missing = append(missing, dir)
	}
	slices.Reverse(missing)
	for _, dir := range missing {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}
		if err := w.entry(h, nil); err != nil {
			return err
		}
	}
	return nil
}
