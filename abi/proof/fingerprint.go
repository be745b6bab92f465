package proof

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A watched is a list of files of this machine, by their directories: the paths are deep and many.
type watched []folder

// A folder is a directory and names in it, sorted.
type folder struct {
	dir   string
	names []string
}

// watch makes the list of absolute paths.
func watch(files []string) watched {
	in := map[string][]string{}
	for _, file := range files {
		dir, name := filepath.Split(file)
		in[dir] = append(in[dir], name)
	}
	var w watched
	for dir, names := range in {
		slices.Sort(names)
		w = append(w, folder{dir, slices.Compact(names)})
	}
	slices.SortFunc(w, func(a, b folder) int { return strings.Compare(a.dir, b.dir) })
	return w
}

// text has a line for each directory, which begins with a slash, and behind it one for each name.
func (w watched) text() string {
	var b strings.Builder
	for _, f := range w {
		b.WriteString(f.dir + "\n")
		for _, name := range f.names {
			b.WriteString(name + "\n")
		}
	}
	return b.String()
}

func parseWatched(text string) watched {
	var w watched
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "/"):
			w = append(w, folder{dir: line})
		case len(w) > 0:
			w[len(w)-1].names = append(w[len(w)-1].names, line)
		}
	}
	return w
}

// fingerprint describes the files, and says when the latest of them has changed. Nothing but directories is opened. It
// is what a proof costs at each start, so directories are looked at side by side.
func (w watched) fingerprint() (string, time.Time) {
	prints := make([]statPrint, len(w))
	bases, opened := w.bases()
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(len(prints), 4) {
		wait.Go(func() {
			var work []byte
			for i := int(next.Add(1) - 1); i < len(prints); i = int(next.Add(1) - 1) {
				work = prints[i].describe(w[i], bases[i], work)
			}
		})
	}
	wait.Wait()
	h := sha256.New()
	var newest time.Time
	for _, p := range prints {
		h.Write(p.sum[:])
		if changed := time.Unix(0, p.newest); changed.After(newest) {
			newest = changed
		}
	}
	for _, b := range opened {
		_ = unix.Close(b.fd)
	}
	return hex.EncodeToString(h.Sum(nil)), newest
}

// A base is an open directory above others: to open each of them costs more than to look a path of some names up.
type base struct {
	fd   int // -1 where it can't be opened
	path string
}

// worthOpening is how many elements of paths an open directory must save: to open and close it costs as much.
const worthOpening = 128

// bases opens directories of the list, and returns the nearest one above each, or that itself.
func (w watched) bases() (all, opened []base) {
	var above []base
	all = make([]base, len(w))
	for i, f := range w { // they are sorted
		for len(above) > 0 && !strings.HasPrefix(f.dir, above[len(above)-1].path) {
			above = above[:len(above)-1]
		}
		near := base{-1, ""}
		if len(above) > 0 {
			near = above[len(above)-1]
		}
		if deeper := strings.Count(f.dir[len(near.path):], "/"); len(above) == 0 || deeper*w[i:].below(f.dir) > worthOpening {
			if fd, err := unix.Open(f.dir, openPath, 0); err == nil {
				near = base{fd, f.dir}
				above, opened = append(above, near), append(opened, near)
			}
		}
		all[i] = near
	}
	return all, opened
}

// below counts the names in a directory, which is the first, and below it, as far as that matters.
func (w watched) below(dir string) int {
	n := 0
	for _, f := range w {
		if n > worthOpening || !strings.HasPrefix(f.dir, dir) {
			break
		}
		n += len(f.names)
	}
	return n
}

// A statPrint is the state of some files.
type statPrint struct {
	sum    [sha256.Size]byte
	newest int64 // latest change, in nanoseconds since 1970
}

// describe looks the files of one directory up, which lies at or below a base. Links are followed: one that leads elsewhere
// leads to another inode. work is memory for that, or nil; it is returned for the next.
func (p *statPrint) describe(f folder, at base, work []byte) []byte {
	file := []byte(strings.TrimPrefix(f.dir, at.path))
	below := len(file)
	buf := append(append(work[:0], f.dir...), 0)
	for _, name := range f.names {
		var st unix.Stat_t
		if file = append(file[:below], name...); len(file) == 0 {
			file = append(file, '.')
		}
		if at.fd >= 0 {
			if unix.Fstatat(at.fd, unsafe.String(&file[0], len(file)), &st, 0) != nil {
				st = unix.Stat_t{}
			}
		}
		buf = append(append(buf, name...), 0)
		for _, n := range []int64{int64(st.Dev), int64(st.Ino), int64(st.Mode), int64(st.Uid), st.Size, int64(st.Mtim.Sec), int64(st.Mtim.Nsec),
			int64(st.Ctim.Sec), int64(st.Ctim.Nsec)} {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(n))
		}
		p.newest = max(p.newest, int64(st.Ctim.Sec)*1e9+int64(st.Ctim.Nsec))
	}
	p.sum = sha256.Sum256(buf)
	return buf
}
