package abi

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxVenvConfig bounds pyvenv.cfg, in bytes.
const maxVenvConfig = 64 << 10

// readVenv looks for pyvenv.cfg in the directory of argv0, unresolved, and in its parent (Modules/getpath.py).
func (d *detector) readVenv(argv0 string) error {
	bin := path.Dir(argv0)
	for _, dir := range []string{bin, path.Dir(bin)} {
		file := path.Join(dir, "pyvenv.cfg")
		b, err := d.view.ReadFile(file, maxVenvConfig)
		if err != nil {
			continue
		}
		v, ok := parseVenv(string(b))
		if !ok {
			continue
		}
		// site.py takes the parent of the executable's directory, wherever the file lies.
		v.Dir = path.Dir(bin)
		d.Venv, d.home = &v, path.Join("/", v.Home)
		d.prove("venv", file)
		if !d.view.IsDir(d.home) {
			_, err := d.view.Resolve(d.home)
			return &BrokenVenvError{Dir: v.Dir, Home: v.Home, Err: err}
		}
		return nil
	}
	return nil
}

// parseVenv reads pyvenv.cfg (PEP 405; Lib/site.py, venv). Without a home it makes no environment.
func parseVenv(text string) (Venv, bool) {
	var v Venv
	v.SystemSite = true // site.py's default when the key is absent
	for _, line := range strings.Split(text, "\n") {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "home":
			if v.Home == "" {
				v.Home = value
			}
		case "include-system-site-packages":
			v.SystemSite = strings.ToLower(value) == "true"
		case "version", "version_info":
			if v.Version == "" {
				v.Version = value
			}
		}
	}
	return v, strings.HasPrefix(v.Home, "/")
}

// findPrefix walks up from the executable's directory, or from a virtual environment's home, to the directory that
// holds the standard library, as Modules/getpath.py does. The library directory's name (sys.platlibdir) is compiled
// in: only one of lib and lib64 holds os.py.
func (d *detector) findPrefix() error {
	names := d.stdlibNames()
	// getpath.py never tries the root itself: the parent of "/bin" is the empty string.
	for dir := d.home; dir != "/"; dir = path.Dir(dir) {
		if d.tryPrefix(dir, names, "") {
			return nil
		}
	}
	for _, dir := range d.compiledPrefixes() {
		if d.tryPrefix(dir, names, " (prefix compiled into "+d.code.path+")") {
			return nil
		}
	}
	return d.noStdlib(names)
}

// tryPrefix takes dir as the prefix if the standard library is there.
func (d *detector) tryPrefix(dir string, names []string, note string) bool {
	for _, name := range names {
		stdlib := path.Join(dir, name)
		landmark := d.landmark(stdlib)
		if landmark == "" {
			continue
		}
		d.BasePrefix, d.Prefix, d.Stdlib = dir, dir, stdlib
		for _, field := range []string{"base_prefix", "stdlib", "prefix"} {
			d.prove(field, landmark+note)
		}
		d.applyVenv()
		return true
	}
	return false
}

// compiledPrefixes are directories that getpath.py falls back to: those of the usual ones, and of the executable's
// own parents, that stand as a constant in the binary (PREFIX, Modules/getpath.c).
func (d *detector) compiledPrefixes() []string {
	var prefixes []string
	wanted := []string{"/usr/local", "/usr"}
	for dir := path.Dir(path.Dir(d.Real)); dir != "/" && dir != "."; dir = path.Dir(dir) {
		wanted = append(wanted, dir)
	}
	for _, dir := range wanted {
		if !slices.Contains(prefixes, dir) && d.object.hasConstant(dir) {
			prefixes = append(prefixes, dir)
		}
	}
	return prefixes
}

func (d *detector) applyVenv() {
	if d.Venv != nil {
		d.Prefix = d.Venv.Dir
		d.prove("prefix", d.Evidence["venv"])
	}
	if dynload := path.Join(d.Stdlib, "lib-dynload"); d.view.IsDir(dynload) {
		d.Dynload = dynload
		d.prove("dynload", "directory")
	}
}

func (d *detector) noStdlib(names []string) error {
	reason := fmt.Sprintf("has no standard library: no %s/os.py in %s or above; it would stop with \"ModuleNotFoundError: No module named 'encodings'\"",
		names[0], d.home)
	if d.Venv != nil {
		return &BrokenVenvError{Dir: d.Venv.Dir, Home: d.Venv.Home, Err: fmt.Errorf("%s %s", d.Executable, reason)}
	}
	return &NotPythonError{Path: d.Executable, Reason: reason}
}

func (d *detector) stdlibNames() []string {
	v := fmt.Sprintf("%d.%d", d.Version.Major, d.Version.Minor)
	if d.Implementation == "pypy" {
		return []string{"lib/pypy" + v, "lib/pypy3", "lib-python/3"}
	}
	if d.threaded() {
		return []string{"lib/python" + v + "t", "lib64/python" + v + "t"}
	}
	return []string{"lib/python" + v, "lib64/python" + v}
}

// threaded tells of a free-threaded build before the sysconfig data is read.
func (d *detector) threaded() bool {
	if d.code.freeThreaded != nil {
		return *d.code.freeThreaded
	}
	if d.Version.before(3, 13) {
		return false
	}
	if m := libpythonName.FindStringSubmatch(path.Base(d.Libpython)); m != nil {
		return strings.Contains(m[4], "t")
	}
	m := executableName.FindStringSubmatch(path.Base(d.Real))
	return m != nil && strings.Contains(m[3], "t")
}

// landmark returns the file by which getpath.py knows a standard library, "" when dir is none.
func (d *detector) landmark(dir string) string {
	zip := dir + ".zip"
	zip = path.Join(path.Dir(zip), strings.ReplaceAll(path.Base(zip), fmt.Sprintf("%d.%d", d.Version.Major, d.Version.Minor),
		fmt.Sprintf("%d%d", d.Version.Major, d.Version.Minor)))
	for _, p := range []string{path.Join(dir, "os.py"), path.Join(dir, "os.pyc"), zip} {
		if fi, err := d.view.Stat(p); err == nil && fi.Mode().IsRegular() {
			return p
		}
	}
	return ""
}
