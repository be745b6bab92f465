package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/rootfs"
)

// siteAt is where a package set lies in a container: the place that package plan gives to borrowed packages.
const siteAt = "/opt/hostrun/site"

// An image is a root with one interpreter in it.
type image struct {
	name   string
	root   string // directory on this machine
	python string // inside; "" for a root without one
	mounts []mount
	env    []string // LD_LIBRARY_PATH and LD_PRELOAD
	key    string   // changes when anything in it does
}

// A mount shows a directory of this machine in a container, read-only.
type mount struct{ source, at string }

// A set is a tree of native modules.
type set struct {
	name    string
	dir     string   // directory on this machine
	at      string   // inside the container
	modules []string // below dir
	key     string
}

// An environment is what surrounds a loader: its variables, and libraries that it is shown.
type environment struct {
	env    []string
	mounts string // root whose libraries are mounted at librariesAt
	cache  bool   // an ld.so.cache that lists them after the image's own is mounted too, as hostrun does
}

// environments, by the name that pairs have for them after an @. The libraries of a full root are shown to a minimal
// one: what LD_LIBRARY_PATH then takes from there is what should not be done to an image (another C library wins over
// the image's own), and has to be predicted all the same.
var environments = map[string]environment{
	"path-debian12":  {env: []string{"LD_LIBRARY_PATH=" + librariesAt}, mounts: "debian12-full"},
	"path-debian13":  {env: []string{"LD_LIBRARY_PATH=/nowhere:" + librariesAt + ":"}, mounts: "debian13-full"},
	"bundled":        {env: []string{"LD_LIBRARY_PATH=" + siteAt + "/numpy.libs:" + siteAt + "/scipy.libs:" + siteAt + "/pillow.libs"}},
	"cache-debian12": {mounts: "debian12-full", cache: true},
	"cache-debian13": {mounts: "debian13-full", cache: true},
	"preload":        {env: []string{"LD_PRELOAD=libstdc++.so.6 " + librariesAt + "/libgomp.so.1"}, mounts: "debian12-full"},
}

const librariesAt = "/opt/hostrun/libraries"

// pairs says which set is tried in which image: root, then /interpreter where it is not python3, or +prefix for an
// interpreter that is mounted, and @ with a name of environments. Sets that do not fit the interpreter are there on
// purpose: whether the linker is content does not depend on the suffix of a file.
var pairs = []struct {
	set    string
	images []string
}{
	{"cp39", []string{"debian11-minimal", "debian11-full", "debian12-full+3.9"}},
	{"cp310", []string{"debian12-full+3.10", "debian12-minimal+3.10"}},
	{"cp311", []string{"debian12-minimal", "debian12-full", "debian12-full/python3.11d", "debian11-minimal", "debian13-minimal", "sid-minimal",
		"debian12-minimal+standalone", "debian11-minimal+standalone"}},
	{"cp312", []string{"debian12-full+3.12", "debian12-minimal+3.12"}},
	{"cp313", []string{"debian13-minimal", "debian13-full", "debian13-full/python3.13d", "sid-full", "debian12-full+3.13"}},
	{"cp313t", []string{"debian12-full+3.13t", "debian13-minimal+3.13t", "debian13-minimal"}},
	{"dist-debian11", []string{"debian11-full", "debian11-minimal", "debian12-minimal"}},
	{"dist-debian12", []string{"debian12-full", "debian12-minimal", "debian11-minimal", "debian13-minimal"}},
	{"dist-debian13", []string{"debian13-full", "debian13-minimal", "debian12-minimal", "sid-minimal"}},
	{"dynload-debian11", []string{"debian11-minimal", "debian12-minimal"}},
	{"dynload-debian12", []string{"debian12-minimal", "debian11-minimal", "debian12-full/python3.11d", "debian13-minimal"}},
	{"dynload-debian13", []string{"debian13-minimal", "debian12-minimal", "debian11-full+3.13t", "sid-minimal"}},
	{"dynload-sid", []string{"sid-minimal", "debian13-minimal", "debian12-minimal"}},
	{"libraries-debian12", []string{"debian12-full", "debian12-minimal", "debian11-full", "debian13-full"}},
	{"libraries-debian13", []string{"debian13-full", "debian13-minimal", "debian12-full"}},
	{"demo", []string{"debian12-minimal", "debian12-full"}},
	{"damage", []string{"debian11-minimal", "debian12-minimal", "debian13-minimal", "sid-minimal"}},
	{"dist-debian12", []string{"debian12-minimal@path-debian12", "debian11-minimal@path-debian12", "debian13-minimal@path-debian12", "debian12-minimal@path-debian13",
		"debian12-minimal@cache-debian12", "debian11-minimal@cache-debian12"}},
	{"dist-debian13", []string{"debian13-minimal@cache-debian13", "sid-minimal@cache-debian13", "debian12-minimal@cache-debian13"}},
	{"cp311", []string{"debian12-minimal@path-debian12", "debian12-minimal@bundled", "debian12-minimal@preload"}},
	{"damage", []string{"debian12-minimal@path-debian12"}},
	{"more-cp39", []string{"debian11-minimal", "debian11-full"}},
	{"more-cp311", []string{"debian12-minimal", "debian12-full"}},
	{"more-cp313", []string{"debian13-minimal", "debian13-full"}},
	{"further-cp311", []string{"debian12-minimal", "debian12-full", "debian11-minimal", "debian13-minimal", "sid-full"}},
	{largeSet, []string{"debian12-minimal", "debian12-full", "debian13-minimal"}},
	{"cp311", []string{"musl"}},
	{"damage", []string{"musl"}},
}

// largeSet is of 7 GB, and not brought by make truth: LIST=fourth integration/truth/wheels.sh cp311. It is compared where it is.
const largeSet = "fourth-cp311"

// A world is what is there on this machine: the cache of roots and sites, and the interpreters.
type world struct {
	cache    string
	kept     string          // directory of answers
	missing  map[string]bool // what was asked for and is not there
	prefixes map[string]string
}

func newWorld(cache string) *world {
	w := &world{cache: cache, missing: map[string]bool{}, prefixes: map[string]string{}}
	home, _ := os.UserHomeDir()
	for name, elsewhere := range map[string]string{
		"3.13t":      "",
		"3.9":        filepath.Join(home, ".pyenv/versions/3.9.*"),
		"3.10":       filepath.Join(home, ".pyenv/versions/3.10.*"),
		"3.12":       filepath.Join(home, ".pyenv/versions/3.12.*"),
		"3.13":       filepath.Join(home, ".pyenv/versions/3.13.*"),
		"standalone": "",
	} {
		for _, pattern := range []string{filepath.Join(cache, "pythons", name), elsewhere} { // of pythons.sh first
			if found, _ := filepath.Glob(pattern); len(found) > 0 {
				w.prefixes[name] = slices.Max(found)
				break
			}
		}
	}
	return w
}

func (w *world) root(name string) string { return filepath.Join(w.cache, "roots", name) }

// image returns the image of a name in pairs, or false where it is not on this machine.
func (w *world) image(name string) (image, bool) {
	whole, around, _ := strings.Cut(name, "@")
	root, prefix, prefixed := strings.Cut(whole, "+")
	root, python, _ := strings.Cut(root, "/")
	i := image{name: name, root: w.root(root), python: "/usr/bin/python3"}
	if root == "musl" {
		i.python = ""
	}
	key, err := os.ReadFile(i.root + ".key")
	if err != nil {
		return i, w.lacks(name)
	}
	i.key = root + string(key)
	if python != "" {
		i.python = "/usr/bin/" + python
	}
	if prefixed {
		dir, ok := w.prefixes[prefix]
		if !ok {
			return i, w.lacks(name)
		}
		i.mounts = []mount{{dir, dir}} // at its own place: a build may name that in DT_RUNPATH
		i.python = filepath.Join(dir, "bin/python3")
		i.key += fingerprint(dir)
	}
	if around != "" && !w.surround(&i, environments[around]) {
		return i, w.lacks(name)
	}
	i.key = digest(i.key, i.python)
	return i, true
}

// surround gives the image an environment.
func (w *world) surround(i *image, e environment) bool {
	i.env = e.env
	i.key += strings.Join(i.env, " ") + e.mounts
	if e.mounts == "" {
		return true
	}
	key, err := os.ReadFile(w.root(e.mounts) + ".key")
	i.key += string(key)
	i.mounts = append(i.mounts, mount{filepath.Join(w.root(e.mounts), "usr/lib/x86_64-linux-gnu"), librariesAt})
	if err == nil && e.cache {
		var merged string
		merged, err = w.mergedCache(i.root, w.root(e.mounts))
		i.mounts = append(i.mounts, mount{merged, ld.CachePath})
		i.key += "merged"
	}
	return err == nil
}

// mergedCache writes the ld.so.cache of a root with the libraries of another that it lacks, at librariesAt.
func (w *world) mergedCache(root, lender string) (string, error) {
	own, err := ld.ReadCache(rootfs.Dir(root))
	if err != nil {
		return "", err
	}
	lent, err := ld.ReadCache(rootfs.Dir(lender))
	if err != nil {
		return "", err
	}
	var more []ld.CacheEntry
	for _, e := range lent.Entries {
		if dir, name := path.Split(e.Path); strings.HasSuffix(dir, "/lib/x86_64-linux-gnu/") {
			e.Path = path.Join(librariesAt, name)
			more = append(more, e)
		}
	}
	to := filepath.Join(w.cache, "merged", filepath.Base(root)+"-"+filepath.Base(lender)+".cache")
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", err
	}
	return to, os.WriteFile(to, own.Merge(more).Bytes(false), 0o644)
}

// set returns the set of a name in pairs, or false where it is not on this machine.
func (w *world) set(name string) (set, bool) {
	s := set{name: name, at: siteAt, dir: w.setDir(name)}
	if s.dir == "" {
		return s, w.lacks(name)
	}
	if site, below := strings.CutPrefix(s.dir, filepath.Join(w.cache, "sites")+"/"); below {
		site, _, _ = strings.Cut(site, "/")
		if _, err := os.Stat(filepath.Join(w.cache, "sites", site+".key")); err != nil {
			return s, w.lacks(name) // wheels.sh is at it, or was ended
		}
	}
	s.modules = modules(s.dir)
	s.key = digest(s.dir, fingerprint(s.dir))
	return s, len(s.modules) > 0 || w.lacks(name)
}

// setDir is where the set of a name lies, "" if nowhere.
func (w *world) setDir(name string) string {
	kind, release, _ := strings.Cut(name, "-")
	full := w.root(release + "-full")
	pattern := filepath.Join(w.cache, "sites", name)
	switch kind {
	case "dist":
		pattern = filepath.Join(full, "usr/lib/python3/dist-packages")
	case "dynload":
		pattern = filepath.Join(full, "usr/lib/python3.*/lib-dynload")
	case "libraries":
		pattern = filepath.Join(full, "usr/lib/x86_64-linux-gnu")
	case "demo":
		pattern = cmp.Or(os.Getenv("HOSTRUN_CACHE"), "/var/cache/hostrun-demo") + "/venv-3.11/lib/python3.11/site-packages"
		if found, _ := filepath.Glob(pattern); len(found) == 0 {
			pattern = filepath.Join(w.cache, "sites/torch/lib/python3.11/site-packages") // wheels.sh brings it then
		}
	case "damage":
		pattern = w.damageDir()
	}
	found, _ := filepath.Glob(pattern)
	if len(found) == 0 {
		return ""
	}
	return slices.Max(found)
}

// packages tells whether the set has whole packages, which can be imported, and not only modules.
func (s set) packages() bool {
	kind, _, _ := strings.Cut(s.name, "-")
	return s.name == "demo" || kind == "dist" || kind == "more" || kind == "further" || kind == "fourth" || strings.HasPrefix(s.name, "cp")
}

func (w *world) lacks(name string) bool {
	w.missing[name] = true
	return false
}

// modules lists what a loader may be asked to open below dir: regular files, and links, whose names say so.
func modules(dir string) []string {
	var all []string
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if name := d.Name(); strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.") {
			rel, _ := filepath.Rel(dir, p)
			all = append(all, rel)
		}
		return nil
	})
	return all
}

// fingerprint changes when a file below dir is added, removed, replaced or edited.
func fingerprint(dir string) string {
	h := sha256.New()
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() && d.Name() == "__pycache__" {
			return fs.SkipDir
		}
		fi, err := d.Info()
		if err == nil && !d.IsDir() {
			fmt.Fprintf(h, "%s %d %d %v\n", p, fi.Size(), fi.ModTime().UnixNano(), fi.Mode())
		}
		return nil
	})
	return fmt.Sprintf("%x", h.Sum(nil))
}

func digest(parts ...string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(parts, "\x00"))))[:16]
}
