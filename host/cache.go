package host

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/cachefile"
)

// cacheKind's number changes with anything that changes what a probe finds in equal files.
const cacheKind = cachefile.Kind("hostrun python environment 2")

// justNow is how old a change must be to be told apart from a later one: kernels stamp files with a clock that ticks
// at least every 10 ms.
const justNow = 50 * time.Millisecond

// A watch is what the cache looks at to know that nothing changed. Paths are of the view.
type watch struct {
	Files []string     `json:"files"` // described themselves, links followed; absence counts
	Sites []watchedDir `json:"sites"`
}

// A watchedDir is described, and each name in it too, and the directories below it that hold native modules.
type watchedDir struct {
	Path   string   `json:"path"`
	Native []string `json:"native,omitempty"` // relative to Path
}

// A cached environment is the body of a cache file.
type cached struct {
	Fingerprint string      `json:"fingerprint"`
	Environment environment `json:"environment"`
}

// cachedEnvironment returns the environment from the cache where nothing that it was read from has changed, and reads
// it anew otherwise. Whatever is wrong with the cache costs that time and nothing else.
func (m machine) cachedEnvironment(ctx context.Context, chosen choice) (*environment, error) {
	if m.opt.CacheDir == "" {
		return m.readEnvironment(ctx, chosen)
	}
	file := m.cacheFile(chosen)
	if hit := loadCache(file); hit != nil && m.fingerprint(hit.Environment.Watch).sum == hit.Fingerprint {
		env := &hit.Environment
		env.fillPackages()
		return env, nil
	}
	start := time.Now()
	env, err := m.readEnvironment(ctx, chosen)
	if err != nil {
		return nil, err
	}
	// The list of what to watch is known only now; a change since start shows in a time that is not before it.
	now := m.fingerprint(env.Watch)
	if now.newest.Before(start.Add(-justNow)) {
		storeCache(file, cached{now.sum, *env})
	}
	return env, nil
}

// fillPackages makes Packages, which the cache does not hold twice.
func (env *environment) fillPackages() {
	env.Python.Packages = make([]Package, len(env.Dists))
	for i, d := range env.Dists {
		env.Python.Packages[i] = d.Package
	}
}

// cacheFile names the entry of an interpreter, of a root, and of what in the caller's environment changes the facts.
func (m machine) cacheFile(chosen choice) string {
	h := sha256.New()
	env := m.opt.Env
	for _, part := range []string{string(cacheKind), m.opt.Root, chosen.Executable, chosen.Pyenv, strings.Join(chosen.Why, "\n"),
		fmt.Sprint(os.Geteuid()), m.home(), env["PYTHONUSERBASE"], env["PYTHONNOUSERSITE"], env["LD_LIBRARY_PATH"],
		env["_PYTHON_SYSCONFIGDATA_NAME"], env["PATH"]} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return filepath.Join(m.opt.CacheDir, "python-"+hex.EncodeToString(h.Sum(nil)[:12])+".json")
}

// loadCache returns nil for anything but a whole entry.
func loadCache(file string) *cached {
	body, ok := cacheKind.Read(file, maxMetadata)
	var c cached
	if !ok || json.Unmarshal(body, &c) != nil {
		return nil
	}
	return &c
}

// storeCache writes the entry. A cache that can't be written is none.
func storeCache(file string, c cached) {
	c.Environment.Python.Packages = nil
	if body, err := json.Marshal(c); err == nil {
		_ = cacheKind.Write(file, body)
	}
}

// A fingerprint is the state of what is watched.
type fingerprint struct {
	sum    string
	newest time.Time // latest change of content or inode
}

type fingerprinter struct {
	h      hash.Hash
	newest time.Time
	buf    []byte
}

// fingerprint describes what is watched. It costs one lstat per name; nothing is opened but the watched directories.
func (m machine) fingerprint(w watch) fingerprint {
	f := &fingerprinter{h: sha256.New()}
	for _, p := range w.Files {
		r, err := m.view.Resolve(p)
		if err != nil {
			f.add(p, unix.Stat_t{})
			continue
		}
		st, _ := lstat(r.Real)
		f.add(p+"\x00"+r.Path, st)
	}
	for _, site := range w.Sites {
		m.fingerprintDir(f, site)
	}
	return fingerprint{hex.EncodeToString(f.h.Sum(nil)), f.newest}
}

func (m machine) fingerprintDir(f *fingerprinter, dir watchedDir) {
	r, err := m.view.Resolve(dir.Path)
	if err != nil {
		f.add(dir.Path, unix.Stat_t{})
		return
	}
	st, _ := lstat(r.Real)
	f.add(dir.Path+"\x00"+r.Path, st)
	for _, below := range dir.Native {
		st, _ := lstat(r.Real + "/" + below)
		f.add(below, st)
	}
	d, err := os.Open(r.Real)
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	sort.Strings(names)
	for _, name := range names {
		st, _ := lstat(r.Real + "/" + name)
		f.add(name, st)
	}
}

func (f *fingerprinter) add(name string, st unix.Stat_t) {
	b := append(f.buf[:0], name...)
	b = append(b, 0)
	for _, n := range []int64{int64(st.Dev), int64(st.Ino), int64(st.Mode), int64(st.Uid), st.Size, int64(st.Mtim.Sec), int64(st.Mtim.Nsec),
		int64(st.Ctim.Sec), int64(st.Ctim.Nsec)} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	f.buf = b
	f.h.Write(b)
	if changed := time.Unix(int64(st.Ctim.Sec), int64(st.Ctim.Nsec)); changed.After(f.newest) {
		f.newest = changed
	}
}

// watchList names what the facts of env were read from, as far as it is cheap to look at: the interpreter and its
// library, pyvenv.cfg, the loader's cache, the site directories with every name at their top, directories that would join
// sys.path if they appeared, and each directory of the trees that holds native modules.
func (m machine) watchList(env *environment, trees map[string]*tree, built *sysPath) watch {
	py := env.Python
	files := []string{py.Executable, py.Libpython, py.Stdlib, py.Dynload, "/etc/ld.so.cache", py.Prefix + "/conda-meta",
		path.Join(path.Dir(path.Dir(py.Executable)), "pyvenv.cfg"), path.Join(path.Dir(py.Executable), "pyvenv.cfg"), m.userSite(py.Python)}
	files = append(files, py.SiteDirsDeclared...)
	for _, line := range built.lines {
		files = append(files, line.Path)
	}
	var w watch
	for _, site := range py.Sites {
		var native []string
		for dir, names := range trees[site.Path].dirs {
			if strings.Contains(dir, "/") && holdsNative(names) {
				native = append(native, dir)
			}
		}
		w.Sites = append(w.Sites, watchedDir{site.Path, sortedSet(native)})
	}
	for _, file := range sortedSet(files) {
		if file != "" && !strings.ContainsRune(file, 0) {
			w.Files = append(w.Files, file)
		}
	}
	return w
}

func holdsNative(names []string) bool {
	for _, name := range names {
		if isNative(name) {
			return true
		}
	}
	return false
}
