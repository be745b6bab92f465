package abi

import (
	"path"
	"strings"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/rootfs"
)

// openObject reads the ELF file p of the view. The caller closes the object's file by calling the returned function.
func openObject(view *rootfs.View, p string) (*object, func(), error) {
	f, err := view.Open(p)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	o, err := readObject(f, fi.Size())
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return o, func() { _ = f.Close() }, nil
}

// findLibrary looks a DT_NEEDED name of o up as the loader does (ld.so(8)): DT_RPATH unless there is a DT_RUNPATH,
// LD_LIBRARY_PATH, DT_RUNPATH, the directories of ld.so.conf, and the default ones. from is the path under which o was
// opened; $ORIGIN is its directory. Files of another machine are passed over. "" means not found.
func findLibrary(view *rootfs.View, o *object, from, name string, env Environment) string {
	if strings.Contains(name, "/") {
		if p := expandOrigin(name, from); matches(view, o, p) {
			return p
		}
		return ""
	}
	var dirs []string
	if o.runpath == "" {
		dirs = append(dirs, splitDirs(o.rpath, from)...)
	}
	dirs = append(dirs, env.LibraryPath...)
	dirs = append(dirs, splitDirs(o.runpath, from)...)
	for _, dir := range dirs {
		if p := path.Join("/", dir, name); dir != "" && matches(view, o, p) {
			return p
		}
	}
	return findSystemLibrary(view, o, name)
}

// findSystemLibrary looks in the directory of the program interpreter (the C library's own), in ld.so.conf's
// directories, and in the loader's default ones, multiarch directories of Debian included.
func findSystemLibrary(view *rootfs.View, o *object, name string) string {
	dirs := ld.ConfiguredDirectories(view)
	dirs = append(dirs, systemDirs(o)...)
	if o.interp != "" {
		if r, err := view.Resolve(o.interp); err == nil {
			dirs = append(dirs, path.Dir(r.Path))
		}
	}
	for _, dir := range dirs {
		if p := path.Join(dir, name); matches(view, o, p) {
			return p
		}
	}
	return ""
}

func systemDirs(o *object) []string {
	triplet := debianTriplet(machineName(o))
	dirs := []string{"/lib/" + triplet, "/usr/lib/" + triplet}
	if o.wide {
		dirs = append(dirs, "/lib64", "/usr/lib64")
	}
	return append(dirs, "/lib", "/usr/lib", "/usr/local/lib")
}

// debianTriplet gives the multiarch directory of a machine (Debian policy, "Architecture specification strings").
func debianTriplet(machine string) string {
	switch machine {
	case "i686":
		return "i386-linux-gnu"
	case "armv7l":
		return "arm-linux-gnueabihf"
	case "ppc64le":
		return "powerpc64le-linux-gnu"
	case "mips64":
		return "mips64el-linux-gnuabi64"
	}
	return machine + "-linux-gnu"
}

// matches reports whether p is an ELF file of o's machine and word size.
func matches(view *rootfs.View, o *object, p string) bool {
	f, err := view.Open(p)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [20]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:4]) != "\x7fELF" {
		return false
	}
	return (head[4] == 2) == o.wide && o.order.Uint16(head[18:]) == o.machine
}

func splitDirs(list, from string) []string {
	if list == "" {
		return nil
	}
	dirs := strings.Split(list, ":")
	for i, dir := range dirs {
		if dir != "" {
			dirs[i] = expandOrigin(dir, from)
		}
	}
	return dirs
}

// expandOrigin replaces $ORIGIN by the directory of the path under which the object was opened.
func expandOrigin(s, from string) string {
	return path.Join("/", originPath(s, from))
}

// originPath is expandOrigin as the loader prints it: dots are kept.
func originPath(s, from string) string {
	dir := path.Dir(from)
	return strings.NewReplacer("${ORIGIN}", dir, "$ORIGIN", dir).Replace(s)
}

// highestVersion returns the highest number among versions named prefix + "x.y.z", "" when there is none.
func highestVersion(versions []string, prefix string) string {
	best := ""
	for _, v := range versions {
		if n, ok := strings.CutPrefix(v, prefix); ok && numeric(n) && (best == "" || lessNumeric(best, n)) {
			best = n
		}
	}
	return best
}

func numeric(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == "" && s[0] != '.'
}

// lessNumeric compares dotted numbers.
func lessNumeric(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(x) && i < len(y); i++ {
		if m, n := number(x[i]), number(y[i]); m != n {
			return m < n
		}
	}
	return len(x) < len(y)
}
