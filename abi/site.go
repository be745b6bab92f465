package abi

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxSiteModule bounds Lib/site.py, in bytes.
const maxSiteModule = 1 << 20

// findSites lists the directories that site.py of this layout adds, and which of them exist.
func (d *detector) findSites() {
	file := path.Join(d.Stdlib, "site.py")
	b, err := d.view.ReadFile(file, maxSiteModule)
	site := string(b)
	if err != nil {
		file = "layout"
	}
	d.Layout = d.layout(site)
	d.SiteDirs, d.SiteDirsDeclared = []string{}, []string{}
	prefixes := []string{d.BasePrefix}
	if d.Venv != nil {
		prefixes = []string{d.Prefix}
		if d.Venv.SystemSite {
			prefixes = append(prefixes, d.BasePrefix)
		}
	}
	// Fedora and its relatives put /usr/local first (their patch "make pip and distutils install into /usr/local").
	if strings.Contains(site, "RPM_BUILD_ROOT") && (d.Venv == nil || d.Venv.SystemSite) && d.BasePrefix == "/usr" {
		prefixes = append([]string{"/usr/local"}, prefixes...)
		if d.Venv != nil {
			prefixes = append([]string{d.Prefix}, prefixes...)
		}
	}
	for _, prefix := range prefixes {
		for _, dir := range d.sitesOf(prefix) {
			if slices.Contains(d.SiteDirsDeclared, dir) {
				continue
			}
			d.SiteDirsDeclared = append(d.SiteDirsDeclared, dir)
			if d.view.IsDir(dir) {
				d.SiteDirs = append(d.SiteDirs, dir)
			}
		}
	}
	d.prove("site_dirs", file)
}

// layout says who laid the interpreter's files out.
func (d *detector) layout(site string) string {
	switch {
	case strings.Contains(site, "dist-packages"), site == "" && d.view.IsDir("/usr/lib/python3/dist-packages") && d.BasePrefix == "/usr":
		return "debian"
	case d.Implementation == "pypy":
		return "pypy"
	case d.view.IsDir(path.Join(d.BasePrefix, "conda-meta")):
		return "conda"
	case d.vars["prefix"] == "/install", d.vars["PYTHON_BUILD_STANDALONE"] == "1":
		return "standalone"
	}
	return "upstream"
}

// sitesOf is site.getsitepackages for one prefix.
func (d *detector) sitesOf(prefix string) []string {
	name := path.Base(d.Stdlib)
	var dirs []string
	if d.Layout != "debian" {
		for _, lib := range d.libDirs() {
			dirs = append(dirs, path.Join(prefix, lib, name, "site-packages"))
		}
		return dirs
	}
	short := strings.TrimSuffix(name, "t")
	if d.Implementation == "cpython" {
		short = fmt.Sprintf("python%d.%d", d.Version.Major, d.Version.Minor)
	}
	if d.Venv != nil {
		dirs = append(dirs, path.Join(prefix, "lib", name, "site-packages"))
	}
	dirs = append(dirs,
		path.Join(prefix, "local/lib", short, "dist-packages"),
		path.Join(prefix, "lib/python3/dist-packages"))
	if d.Implementation == "cpython" {
		dirs = append(dirs, path.Join(prefix, "lib", short, "dist-packages"))
	}
	return dirs
}

// libDirs is sys.platlibdir, and lib.
func (d *detector) libDirs() []string {
	if strings.HasPrefix(d.Stdlib, path.Join(d.BasePrefix, "lib64")+"/") {
		return []string{"lib64", "lib"}
	}
	return []string{"lib"}
}

// findLibc reads the symbol versions that the C library and the C++ library of the view define.
func (d *detector) findLibc() {
	if d.Libc == "glibc" {
		d.LibcVersion = d.libraryVersion("libc.so.6", "GLIBC_", "libc_version")
	}
	d.LibstdcxxVersion = d.libraryVersion("libstdc++.so.6", "GLIBCXX_", "libstdcxx_version")
}

// libraryVersion gives the highest version of name that the library defines. The package's version is of no use:
// only defined symbol versions decide what loads.
func (d *detector) libraryVersion(name, prefix, field string) string {
	p := ""
	if own := path.Join(d.BasePrefix, "lib", name); d.Layout == "conda" && matches(d.view, d.exe, own) {
		p = own
	} else if p = findLibrary(d.view, d.exe, d.Real, name, d.env); p == "" {
		return ""
	}
	o, done, err := openObject(d.view, p)
	if err != nil {
		return ""
	}
	defer done()
	v := highestVersion(o.versions(), prefix)
	if v != "" {
		d.prove(field, "symbol versions of "+p)
	}
	return v
}
