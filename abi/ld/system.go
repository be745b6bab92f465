package ld

import (
	"bytes"
	"fmt"
	"path"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// maxLoader bounds the program interpreter, and the C library where it has to tell its release, in bytes.
const maxLoader = 16 << 20

// habits are what a loader was built with.
type habits struct {
	machine
	interpreter string // as programs name it
	loader      *file
	musl        bool
	noRelr      bool     // musl before 1.2.4 passes DT_RELR over
	directories []string // system_dirs, with a slash at the end
	lib         string   // $LIB
	platform    string   // $PLATFORM
	hwcaps      []string // glibc-hwcaps subdirectories, best first
	level       int      // x86-64 level of the processor
	cache       cacheIndex
}

// Interpreter returns the PT_INTERP of the program at a path of the view: the loader to make a System with. The error is
// ErrNotDynamic where it has none.
func Interpreter(view *rootfs.View, program string) (string, error) {
	f, err := view.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	i, fault := readImage(f, fi.Size(), machine{})
	switch {
	case fault != nil:
		return "", fmt.Errorf("read a program: %s", fault.message(program))
	case i.interp == "":
		return "", fmt.Errorf("%s: %w", program, ErrNotDynamic)
	}
	return i.interp, nil
}

func (s *System) readHabits(interpreter string) error {
	f, fault := s.open(interpreter)
	if fault != nil {
		return fmt.Errorf("read the program interpreter: %s", fault.message(interpreter))
	}
	h := &s.habits
	h.machine, h.interpreter, h.loader = f.machine, interpreter, f
	h.musl = strings.Contains(path.Base(interpreter), "ld-musl-")
	h.level = max(s.options.ISALevel, 1)
	h.platform = platformOf(f.machine, h.level)
	if h.musl {
		s.readMuslVersion(interpreter)
		return s.readMuslPath(interpreter)
	}
	body := s.body(f)
	h.directories = systemDirectories(body)
	if h.directories == nil {
		h.directories = fallbackDirectories(f.machine)
	}
	h.lib = strings.Trim(strings.TrimPrefix(h.directories[0], "/usr"), "/")
	if h.minor = minorOf(body); h.minor == 0 {
		h.minor = s.libcMinor()
	}
	h.hwcaps = s.hwcaps()
	s.store.forget() // files read before the release was known
	return s.readCache()
}

func (s *System) body(f *file) []byte {
	b := make([]byte, min(f.size, maxLoader))
	n, _ := f.r.ReadAt(b, 0)
	return b[:n]
}

// minorOf reads the banner of the loader or the C library: "stable release version 2.36."
func minorOf(body []byte) int {
	_, after, _ := bytes.Cut(body, []byte("release version 2."))
	digits := after[:min(len(after), 3)]
	if end := bytes.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	n, _ := strconv.Atoi(string(digits))
	return n
}

// libcMinor asks libc.so.6, for loaders that do not know their release (before glibc 2.33).
func (s *System) libcMinor() int {
	dirs := append([]string{path.Dir(s.habits.loader.real) + "/"}, s.habits.directories...)
	for _, dir := range dirs {
		if f, fault := s.open(dir + "libc.so.6"); fault == nil {
			return minorOf(s.body(f))
		}
	}
	return 0
}

// systemDirectories finds system_dirs in the loader: texts that begin and end with a slash, one after the other
// (elf/dl-load.c and the Makefile's trusted-dirs.h).
func systemDirectories(body []byte) []string {
	for rest := body; ; {
		at := bytes.Index(rest, []byte("\x00/"))
		if at < 0 {
			return nil
		}
		rest = rest[at+1:]
		if dirs := directoryRun(rest); dirs != nil {
			return dirs
		}
	}
}

func directoryRun(b []byte) []string {
	var dirs []string
	for len(dirs) < 16 {
		end := bytes.IndexByte(b[:min(len(b), pageSize)], 0)
		if end < 2 || b[0] != '/' || b[end-1] != '/' || !bytes.Contains(b[:end], []byte("lib")) || !printable(b[:end]) {
			break
		}
		dirs = append(dirs, string(b[:end]))
		b = b[end+1:]
	}
	return dirs
}

func printable(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

func fallbackDirectories(m machine) []string {
	if m.wide {
		return []string{"/lib64/", "/usr/lib64/"}
	}
	return []string{"/lib/", "/usr/lib/"}
}

// platformOf gives AT_PLATFORM, which glibc replaces on newer x86-64 processors (init_cpu_features, sysdeps/x86).
func platformOf(m machine, level int) string {
	switch m.code {
	case 3:
		return "i686"
	case 62:
		if level >= 3 {
			return "haswell"
		}
		return "x86_64"
	case 183:
		return "aarch64"
	}
	return ""
}

// hwcaps names the subdirectories of glibc-hwcaps, known since glibc 2.33.
func (s *System) hwcaps() []string {
	switch {
	case s.options.HWCaps != nil:
		return s.options.HWCaps
	case s.habits.code != 62 || s.habits.minor < 33:
		return nil
	}
	var names []string
	for level := s.habits.level; level > 1; level-- {
		names = append(names, "x86-64-v"+strconv.Itoa(level))
	}
	return names
}

// subdirectories returns those in which the loader looks before it looks in dir itself, and that exist; "" is dir.
func (s *System) subdirectories(dir string) []string {
	if known, ok := s.store.subdirs.Load(dir); ok {
		return known.([]string)
	}
	var subs []string
	if s.directory(dir+"glibc-hwcaps/") != "" {
		for _, name := range s.habits.hwcaps {
			subs = append(subs, "glibc-hwcaps/"+name+"/")
		}
	}
	subs = append(append(subs, s.legacy(dir)...), "")
	s.store.subdirs.Store(dir, subs)
	return subs
}

// legacy returns the combinations of the old subdirectories, which glibc 2.37 gave up (_dl_important_hwcaps,
// elf/dl-hwcaps.c of 2.36): tls/haswell/x86_64, tls/haswell, tls/x86_64, tls, haswell/x86_64, ...
func (s *System) legacy(dir string) []string {
	if s.habits.minor >= 37 || s.habits.code != 62 {
		return nil
	}
	words := []string{"tls/", "x86_64/"}
	if s.habits.platform != "x86_64" {
		words = []string{"tls/", s.habits.platform + "/", "x86_64/"}
	}
	var subs []string
	for mask := 1<<len(words) - 1; mask > 0; mask-- {
		sub := ""
		for i, word := range words {
			if mask>>(len(words)-1-i)&1 == 1 {
				sub += word
			}
		}
		if first, _, _ := strings.Cut(sub, "/"); s.directory(dir+first+"/") != "" {
			subs = append(subs, sub)
		}
	}
	return subs
}

// Libc returns "glibc" or "musl".
func (s *System) Libc() string {
	if s.habits.musl {
		return "musl"
	}
	return "glibc"
}

// GlibcVersion returns the release of the loader, "2.36"; "" for musl, and where it is not known.
func (s *System) GlibcVersion() string {
	if s.habits.musl || s.habits.minor == 0 {
		return ""
	}
	return "2." + strconv.Itoa(s.habits.minor)
}

// DefaultDirectories returns where the loader looks last.
func (s *System) DefaultDirectories() []string {
	dirs := make([]string, len(s.habits.directories))
	for i, dir := range s.habits.directories {
		dirs[i] = path.Clean(dir)
	}
	return dirs
}

// Find tells where the loader takes a library from that a program without search paths of its own needs: LD_LIBRARY_PATH,
// ld.so.cache, the default directories. False when there is none for this machine.
func (s *System) Find(name string) (Object, bool) {
	nobody := &object{file: &file{image: &image{machine: s.habits.machine}}}
	at, f := s.find(name, nil, nobody)
	if s.habits.musl {
		at, f = (&loading{system: s, program: nobody}).muslFind(name, nil)
	}
	if f != nil {
		return Object{}, false
	}
	o := &object{file: at.file, path: at.path, name: name, how: at.how}
	return o.describe(), true
}
