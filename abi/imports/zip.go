package imports

import (
	"archive/zip"
	"io"
	"os"
	"path"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// Bounds of what is read in one archive: entries of its directory, and bytes of one file.
const (
	maxArchiveFiles = 200_000
	maxSource       = 32 << 20
)

// An archive is a zip file on sys.path (PEP 273; Lib/zipimport.py).
type archive struct {
	files map[string]*zip.File
	dirs  map[string]bool // directories that have files, without the closing slash
	file  *os.File
}

// openArchive returns nil for what is no zip file. It stays open as long as the finder is used. implicit says that files make
// directories of their own accord: before 3.14 a namespace package must have an entry itself (gh-59110).
func openArchive(view *rootfs.View, p string, implicit bool) *archive {
	file, err := view.Open(p)
	if err != nil {
		return nil
	}
	fi, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil
	}
	r, err := zip.NewReader(file, fi.Size())
	if r == nil || err != nil && err != zip.ErrInsecurePath || len(r.File) > maxArchiveFiles {
		_ = file.Close()
		return nil
	}
	a := &archive{files: map[string]*zip.File{}, dirs: map[string]bool{}, file: file}
	for _, f := range r.File {
		a.files[f.Name] = f
		if !implicit {
			continue
		}
		for dir := path.Dir(f.Name); dir != "." && dir != "/" && !a.dirs[dir]; dir = path.Dir(dir) {
			a.dirs[dir] = true
		}
	}
	return a
}

// find looks in zipimporter's order: packages first, bytecode before source.
func (a *archive) find(name, tail, entry string) *spec {
	for _, end := range []string{"/__init__.pyc", "/__init__.py", ".pyc", ".py"} {
		if _, ok := a.files[tail+end]; !ok {
			continue
		}
		s := &spec{name: name, file: path.Join(entry, tail+end), kind: Zip, entry: entry, isPkg: strings.HasPrefix(end, "/")}
		if s.isPkg {
			s.path = []string{path.Join(entry, tail)}
		}
		return s
	}
	if a.dirs[tail] || a.files[tail+"/"] != nil {
		return &spec{name: name, kind: Namespace, isPkg: true, entry: entry, path: []string{path.Join(entry, tail)}}
	}
	return nil
}

// below gives the part of the archive that lies in a directory of it.
func (a *archive) below(dir string) *archive {
	part := &archive{files: map[string]*zip.File{}, dirs: map[string]bool{}}
	for name, f := range a.files {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			part.files[rest] = f
		}
	}
	for name := range a.dirs {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			part.dirs[rest] = true
		}
	}
	return part
}

// read returns a source file of the archive.
func (a *archive) read(name string) (string, bool) {
	f := a.files[name]
	if f == nil || f.UncompressedSize64 > maxSource {
		return "", false
	}
	r, err := f.Open()
	if err != nil {
		return "", false
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxSource))
	return string(b), err == nil
}

func (a *archive) close() { _ = a.file.Close() }
