package proof

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/rootfs"
)

// cacheFormat changes with the rules: what abi/imports, abi/ld and this package find in equal files.
const cacheFormat = "hostrun proof 2 "

// maxCache bounds an entry, in bytes.
const maxCache = 64 << 20

// justNow is how old a change must be to be told apart from a later one: kernels stamp files with a clock that ticks at
// least every 10 ms.
const justNow = 50 * time.Millisecond

// A Cache keeps proofs, one file each. Whatever is wrong with one costs the time of a new proof.
type Cache struct {
	Dir   string // "" for none
	Image string // chain ID of the image; "" where the root is this machine's own
	// Mounts are what is shown in the view, links in their sources followed. What they hold is fingerprinted; of all else
	// only with an empty Image.
	Mounts []rootfs.Mount
	// Given is what else decides: content of generated files, what the mounts' sources are.
	Given []string
	// Ahead is what LookAhead began, nil for nothing. It saves time and decides nothing.
	Ahead *Ahead
}

func (c Cache) file(r Request) (string, error) {
	key, err := json.Marshal(struct {
		Cache   Cache
		Request Request
	}{Cache{Image: c.Image, Mounts: c.Mounts, Given: c.Given}, r})
	sum := sha256.Sum256(append([]byte(cacheFormat), key...))
	return filepath.Join(c.Dir, "proof-"+hex.EncodeToString(sum[:16])+".json"), err
}

// An entry is a proof, and what it was made from: files of this machine, and their fingerprint.
type entry struct {
	report  []byte
	sum     string
	watched watched
}

// Load returns the proof of an equal request, if none of the files that it was made from has changed since, and ctx does
// not end before that is known.
func (c Cache) Load(ctx context.Context, r Request) (Report, bool) {
	report, err := within(ctx, func() (Report, error) {
		report, ok := c.load(r)
		if !ok {
			return report, fs.ErrNotExist
		}
		return report, nil
	})
	return report, err == nil
}

func (c Cache) load(r Request) (Report, bool) {
	file, err := c.file(r)
	if err != nil || c.Dir == "" {
		return Report{}, false
	}
	e, holds := c.Ahead.found(file)
	if !holds {
		c.Ahead.remember(c.Dir, file)
		if e, holds = current(file); !holds {
			return Report{}, false
		}
	}
	var report Report
	if json.Unmarshal(e.report, &report) != nil {
		return Report{}, false
	}
	report.Cached = true
	return report, true
}

// current returns the entry of a file if all that it watches is as it was.
func current(file string) (entry, bool) {
	e, ok := read(file)
	if !ok {
		return e, false
	}
	sum, _ := e.watched.fingerprint()
	return e, sum == e.sum
}

// read returns nothing for anything but a whole entry that this user or root wrote.
func read(file string) (entry, bool) {
	b, ok := readOwn(file)
	if !ok {
		return entry{}, false
	}
	return parse(b)
}

func readOwn(file string) ([]byte, bool) {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != 0 && int(st.Uid) != os.Geteuid() || st.Size > maxCache {
		return nil, false
	}
	b := make([]byte, st.Size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, false
	}
	return b, true
}

func parse(b []byte) (entry, bool) {
	head, rest, ok := bytes.Cut(b, []byte("\n"))
	sum := sha256.Sum256(rest)
	if !ok || string(head) != cacheFormat+hex.EncodeToString(sum[:]) {
		return entry{}, false
	}
	parts := strings.SplitN(string(rest), "\n\n", 3)
	if len(parts) != 3 {
		return entry{}, false
	}
	return entry{[]byte(parts[0]), parts[1], parseWatched(parts[2])}, true
}

// Store keeps a proof that was begun at a time. A change since then, and a cache that can't be written, leave it out.
func (c Cache) Store(view *rootfs.View, r Request, report Report, began time.Time) {
	file, err := c.file(r)
	if err != nil || c.Dir == "" {
		return
	}
	files := c.watched(view, report)
	sum, newest := files.fingerprint()
	body, err := json.Marshal(report)
	if err != nil || !newest.Before(began.Add(-justNow)) {
		return
	}
	text := string(body) + "\n\n" + sum + "\n\n" + files.text()
	hash := sha256.Sum256([]byte(text))
	prune(c.Dir, time.Now())
	write(file, cacheFormat+hex.EncodeToString(hash[:])+"\n"+text)
}

// Bounds of the cache: the number of proofs, and the age of what a writer that was killed has left.
const (
	maxEntries = 100
	maxAge     = time.Hour
)

// prune removes the oldest of too many proofs and of too many hints at them, and what killed writers have left.
func prune(dir string, now time.Time) {
	entries, _ := os.ReadDir(dir)
	old := map[string][]fs.FileInfo{}
	for _, e := range entries {
		kind, _, _ := strings.Cut(e.Name(), "-")
		fi, err := e.Info()
		switch {
		case err != nil:
		case kind == "proof" || kind == "last":
			old[kind] = append(old[kind], fi)
		case kind == ".proof" && now.Sub(fi.ModTime()) > maxAge:
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	for _, files := range old {
		slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
		for _, fi := range files[min(len(files), maxEntries-1):] {
			_ = os.Remove(filepath.Join(dir, fi.Name()))
		}
	}
}

// write goes by rename. A cache that can't be written is none.
func write(file, text string) {
	if os.MkdirAll(filepath.Dir(file), 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".proof-*")
	if err != nil {
		return
	}
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

// watched are the files of this machine behind paths of the view: those of an image do not change. A name with a
// newline can't be listed, and its directory is.
func (c Cache) watched(view *rootfs.View, report Report) watched {
	f := finder{cache: c, view: view, dirs: map[string]place{}}
	var files []string
	add := func(real string) {
		for strings.ContainsRune(real, '\n') {
			real = filepath.Dir(real)
		}
		if real != "" {
			files = append(files, real)
		}
	}
	for _, p := range report.Watch {
		add(f.real(p))
	}
	for _, p := range report.HostWatch {
		add(p)
	}
	return watch(files)
}

// A finder finds files of this machine behind paths of a view, and remembers their directories: there are some of the
// former in each of the latter.
type finder struct {
	cache Cache
	view  *rootfs.View
	dirs  map[string]place
}

// A place is a directory of the view, and where on this machine all of it lies, "" for nowhere.
type place struct {
	rootfs.Resolved
	single string
	err    error // it leads nowhere
}

// real is the file of this machine at a path, or where it would be; "" for what is the image's.
func (f *finder) real(p string) string {
	r, err := f.resolve(p)
	if err != nil {
		return f.missing(p)
	}
	if f.cache.Image == "" {
		return r.Real
	}
	for _, m := range f.cache.Mounts {
		if below(r.Real, m.Source) {
			return r.Real
		}
	}
	return ""
}

func (f *finder) resolve(p string) (rootfs.Resolved, error) {
	if p = path.Clean(p); p == "/" {
		return f.view.Resolve(p)
	}
	at, err := f.place(path.Dir(p))
	if err != nil {
		return at.Resolved, err
	}
	return f.in(at, path.Base(p))
}

// place resolves a directory by its parent, which most have in common.
func (f *finder) place(dir string) (at place, err error) {
	at, known := f.dirs[dir]
	if known {
		return at, at.err
	}
	defer func() { at.err = err; f.dirs[dir] = at }()
	if dir == "/" {
		at.Resolved, err = f.view.Resolve(dir)
	} else {
		var parent place
		if parent, err = f.place(path.Dir(dir)); err == nil {
			at.Resolved, err = f.in(parent, path.Base(dir))
			if parent.single != "" && at.Real == filepath.Join(parent.single, path.Base(dir)) {
				at.single = at.Real // what lies in such a one, and is no link, is one too
				return at, err
			}
		}
	}
	if err == nil {
		at.single, _ = f.view.Single(at.Resolved)
	}
	return at, err
}

// in resolves a name in a directory.
func (f *finder) in(at place, name string) (rootfs.Resolved, error) {
	if at.single != "" {
		real := filepath.Join(at.single, name)
		var st unix.Stat_t
		if unix.Lstat(real, &st) == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return rootfs.Resolved{Path: path.Join(at.Path, name), Real: real}, nil
		}
	}
	return f.view.ResolveIn(at.Path, name)
}

// missing is where a path that leads nowhere would lie in a mount.
func (f *finder) missing(p string) string {
	var best rootfs.Mount
	for _, m := range f.cache.Mounts {
		if below(p, m.Destination) && len(m.Destination) > len(best.Destination) {
			best = m
		}
	}
	if best.Destination == "" {
		return ""
	}
	return filepath.Join(best.Source, strings.TrimPrefix(p, best.Destination))
}

func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// Identity tells a file of this machine apart from another one that takes its place: for Cache.Given.
func Identity(file string) string {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return file + ": " + err.Error()
	}
	return fmt.Sprintf("%s: %d %d %o", file, st.Dev, st.Ino, st.Mode)
}
