package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/rootfs"
)

// cacheFormat changes with the rules: what abi/imports, abi/ld and this package find in equal files.
const cacheFormat = "hostrun proof 1 "

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
}

func (c Cache) file(r Request) (string, error) {
	key, err := json.Marshal(struct {
		Cache   Cache
		Request Request
	}{Cache{Image: c.Image, Mounts: c.Mounts, Given: c.Given}, r})
	sum := sha256.Sum256(append([]byte(cacheFormat), key...))
	return filepath.Join(c.Dir, "proof-"+hex.EncodeToString(sum[:16])+".json"), err
}

// An entry is head, body and the list of what is watched: files of this machine, a line each.
type entry struct {
	fingerprint string
	report      []byte
	watch       []string
}

// Load returns the proof of an equal request, if none of the files that it was made from has changed since.
func (c Cache) Load(r Request) (Report, bool) {
	file, err := c.file(r)
	if err != nil || c.Dir == "" {
		return Report{}, false
	}
	e, ok := read(file)
	if !ok {
		return Report{}, false
	}
	if sum, _ := fingerprint(e.watch); sum != e.fingerprint {
		return Report{}, false
	}
	var report Report
	if json.Unmarshal(e.report, &report) != nil {
		return Report{}, false
	}
	report.Cached = true
	return report, true
}

// read returns nothing for anything but a whole entry that this user or root wrote.
func read(file string) (entry, bool) {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return entry{}, false
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != 0 && int(st.Uid) != os.Geteuid() || st.Size > maxCache {
		return entry{}, false
	}
	b := make([]byte, st.Size)
	if _, err := io.ReadFull(f, b); err != nil {
		return entry{}, false
	}
	return parse(b)
}

func parse(b []byte) (entry, bool) {
	head, rest, ok := bytes.Cut(b, []byte("\n"))
	sum := sha256.Sum256(rest)
	if !ok || string(head) != cacheFormat+hex.EncodeToString(sum[:]) {
		return entry{}, false
	}
	print, rest, ok1 := bytes.Cut(rest, []byte("\n"))
	report, list, ok2 := bytes.Cut(rest, []byte("\n"))
	if !ok1 || !ok2 {
		return entry{}, false
	}
	return entry{string(print), report, strings.Split(strings.TrimSuffix(string(list), "\n"), "\n")}, true
}

// Store keeps a proof that was begun at a time. A change since then, and a cache that can't be written, leave it out.
func (c Cache) Store(view *rootfs.View, r Request, report Report, began time.Time) {
	file, err := c.file(r)
	if err != nil || c.Dir == "" {
		return
	}
	watch := c.watched(view, report.Watch)
	sum, newest := fingerprint(watch)
	body, err := json.Marshal(report)
	if err != nil || !newest.Before(began.Add(-justNow)) {
		return
	}
	text := sum + "\n" + string(body) + "\n" + strings.Join(watch, "\n") + "\n"
	hash := sha256.Sum256([]byte(text))
	write(file, cacheFormat+hex.EncodeToString(hash[:])+"\n"+text)
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
func (c Cache) watched(view *rootfs.View, paths []string) []string {
	var files []string
	for _, p := range paths {
		real := c.real(view, p)
		if strings.ContainsRune(real, '\n') {
			real = filepath.Dir(real)
		}
		if real != "" && !strings.ContainsRune(real, '\n') {
			files = append(files, real)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// real is the file of this machine at a path, or where it would be; "" for what is the image's.
func (c Cache) real(view *rootfs.View, p string) string {
	r, err := view.Resolve(p)
	if err != nil {
		var best rootfs.Mount
		for _, m := range c.Mounts {
			if below(p, m.Destination) && len(m.Destination) > len(best.Destination) {
				best = m
			}
		}
		if best.Destination == "" {
			return ""
		}
		return filepath.Join(best.Source, strings.TrimPrefix(p, best.Destination))
	}
	if c.Image == "" {
		return r.Real
	}
	for _, m := range c.Mounts {
		if below(r.Real, m.Source) {
			return r.Real
		}
	}
	return ""
}

func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// fingerprint describes files, and says when the latest of them has changed. Nothing is opened.
func fingerprint(files []string) (string, time.Time) {
	h := sha256.New()
	var newest time.Time
	var buf []byte
	for _, file := range files {
		var st unix.Stat_t
		_ = unix.Stat(file, &st) // links are followed; one that leads elsewhere has another inode
		buf = append(append(buf[:0], file...), 0)
		for _, n := range []int64{int64(st.Dev), int64(st.Ino), int64(st.Mode), int64(st.Uid), st.Size, int64(st.Mtim.Sec), int64(st.Mtim.Nsec),
			int64(st.Ctim.Sec), int64(st.Ctim.Nsec)} {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(n))
		}
		h.Write(buf)
		if changed := time.Unix(int64(st.Ctim.Sec), int64(st.Ctim.Nsec)); changed.After(newest) {
			newest = changed
		}
	}
	return hex.EncodeToString(h.Sum(nil)), newest
}

// Identity tells a file of this machine apart from another one that takes its place: for Cache.Given.
func Identity(file string) string {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return file + ": " + err.Error()
	}
	return fmt.Sprintf("%s: %d %d %o", file, st.Dev, st.Ino, st.Mode)
}
