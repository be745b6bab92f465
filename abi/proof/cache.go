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
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
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

// An entry is a proof, and what it was made from: files of this machine.
type entry struct {
	report []byte
	quick  watched // directories, native files, and all sources that are no installed package's
	rest   string  // text of a watched: sources of installed packages. Installers replace them, which changes their directory
}

type watched struct {
	sum   string
	files []string
}

func (w watched) holds() bool {
	sum, _ := fingerprint(w.files)
	return sum == w.sum
}

// Load returns the proof of an equal request, if none of the files that it was made from has changed since. Where it
// found nothing wrong, a changed source of an installed package is noticed by its directory alone, unless complete is
// asked for: Recheck looks at the rest meanwhile.
func (c Cache) Load(r Request, complete bool) (Report, bool) {
	file, err := c.file(r)
	if err != nil || c.Dir == "" {
		return Report{}, false
	}
	e, ok := read(file)
	if !ok {
		return Report{}, false
	}
	if !e.quick.holds() {
		return Report{}, false
	}
	var report Report
	if json.Unmarshal(e.report, &report) != nil {
		return Report{}, false
	}
	clean := !slices.ContainsFunc(report.Findings, func(f finding.Finding) bool { return f.Severity != finding.Info })
	if (complete || !clean) && !parseWatched(e.rest).holds() {
		return Report{}, false
	}
	report.Cached = true
	return report, true
}

// Recheck drops the proof of a request if a file that Load did not look at has changed.
func (c Cache) Recheck(r Request) {
	file, err := c.file(r)
	if err != nil || c.Dir == "" {
		return
	}
	if e, ok := read(file); ok && !parseWatched(e.rest).holds() {
		_ = os.Remove(file)
	}
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
	parts := strings.SplitN(string(rest), "\n\n", 3)
	if len(parts) != 3 {
		return entry{}, false
	}
	return entry{[]byte(parts[0]), parseWatched(parts[1]), parts[2]}, true
}

func parseWatched(text string) watched {
	lines := strings.Split(text, "\n")
	return watched{lines[0], lines[1:]}
}

func (w watched) text() string { return strings.Join(append([]string{w.sum}, w.files...), "\n") }

// Store keeps a proof that was begun at a time. A change since then, and a cache that can't be written, leave it out.
func (c Cache) Store(view *rootfs.View, r Request, report Report, began time.Time) {
	file, err := c.file(r)
	if err != nil || c.Dir == "" {
		return
	}
	quick, rest := c.watched(view, r, report.Watch)
	quick.files = append(quick.files, report.HostWatch...)
	slices.Sort(quick.files)
	var newest, other time.Time
	quick.sum, newest = fingerprint(quick.files)
	rest.sum, other = fingerprint(rest.files)
	body, err := json.Marshal(report)
	if err != nil || !newest.Before(began.Add(-justNow)) || !other.Before(began.Add(-justNow)) {
		return
	}
	text := string(body) + "\n\n" + quick.text() + "\n\n" + rest.text()
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
func (c Cache) watched(view *rootfs.View, r Request, paths []string) (quick, rest watched) {
	for _, p := range paths {
		real := c.real(view, p)
		if strings.ContainsRune(real, '\n') {
			real = filepath.Dir(real)
		}
		installed := strings.HasSuffix(p, ".py") && slices.ContainsFunc(r.SiteDirs, func(dir string) bool { return below(p, dir) })
		switch {
		case real == "" || strings.ContainsRune(real, '\n'):
		case installed:
			rest.files = append(rest.files, real)
		default:
			quick.files = append(quick.files, real)
		}
	}
	for _, w := range []*watched{&quick, &rest} {
		slices.Sort(w.files)
		w.files = slices.Compact(w.files)
	}
	return quick, rest
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

// fingerprint describes files, and says when the latest of them has changed. Nothing but directories is opened. It is
// what a proof costs at each start, so the list is cut into parts that are done side by side.
func fingerprint(files []string) (string, time.Time) {
	const part = 256
	prints := make([]statPrint, (len(files)+part-1)/part)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(len(prints), 4) {
		wait.Go(func() {
			for i := int(next.Add(1) - 1); i < len(prints); i = int(next.Add(1) - 1) {
				prints[i].describe(files[i*part : min((i+1)*part, len(files))])
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
	return hex.EncodeToString(h.Sum(nil)), newest
}

// A statPrint is the state of some files.
type statPrint struct {
	sum    [sha256.Size]byte
	newest int64 // latest change, in nanoseconds since 1970
}

// describe looks files up below their directory, which is opened once: the paths are deep. Links are followed: one that
// leads elsewhere leads to another inode.
func (p *statPrint) describe(files []string) {
	h := sha256.New()
	dir, fd := "", -1
	var buf []byte
	for _, file := range files {
		in, name := filepath.Split(file)
		if in != dir {
			_ = unix.Close(fd)
			dir, fd = in, -1
			fd, _ = unix.Open(dir, openPath, 0)
		}
		var st unix.Stat_t
		if fd >= 0 {
			_ = unix.Fstatat(fd, name, &st, 0)
		}
		buf = append(append(buf[:0], file...), 0)
		for _, n := range []int64{int64(st.Dev), int64(st.Ino), int64(st.Mode), int64(st.Uid), st.Size, int64(st.Mtim.Sec), int64(st.Mtim.Nsec),
			int64(st.Ctim.Sec), int64(st.Ctim.Nsec)} {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(n))
		}
		h.Write(buf)
		p.newest = max(p.newest, int64(st.Ctim.Sec)*1e9+int64(st.Ctim.Nsec))
	}
	_ = unix.Close(fd)
	h.Sum(p.sum[:0])
}

// Identity tells a file of this machine apart from another one that takes its place: for Cache.Given.
func Identity(file string) string {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return file + ": " + err.Error()
	}
	return fmt.Sprintf("%s: %d %d %o", file, st.Dev, st.Ino, st.Mode)
}
