package nvidia

import (
	"debug/elf"
	"io"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/rootfs"
)

// driverRoots are where a driver's files may lie besides the machine's own root: NVIDIA's driver container, and the installers of
// Google's and other read-only systems.
var driverRoots = []string{"/", "/run/nvidia/driver", "/home/kubernetes/bin/nvidia", "/opt/nvidia", "/var/lib/nvidia"}

// libraryDirectories are where installers and distributions leave the driver's libraries, below a driver's root.
var libraryDirectories = []string{
	"/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
	"/usr/lib/x86_64-linux-gnu/nvidia/current", "/usr/lib/aarch64-linux-gnu/nvidia/current", "/usr/lib/x86_64-linux-gnu/nvidia",
	"/usr/lib/aarch64-linux-gnu/nvidia", "/usr/lib64/nvidia", "/usr/lib/nvidia", "/usr/lib", "/lib64", "/lib/x86_64-linux-gnu",
	"/lib/aarch64-linux-gnu", "/run/opengl-driver/lib", "/usr/local/nvidia/lib64", "/usr/local/nvidia/lib", "/usr/local/lib", "/lib",
	"/usr/local/glibc/usr/lib",
}

// parents are directories in which those of a driver are called after it, or after its version: /usr/lib/nvidia-550, /opt/nvidia/current.
var parents = []string{"/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local", "/opt",
	"/usr/lib/nvidia", "/usr/lib64/nvidia", "/usr/lib/x86_64-linux-gnu/nvidia", "/usr/lib/aarch64-linux-gnu/nvidia", "/usr/local/nvidia", "/opt/nvidia"}

// further lists more directories below a driver's root, for where the usual ones have no libcuda of the kernel's driver: those of the
// machine's ld.so.conf, and those that are called after the driver.
func (m machine) further(root string) []string {
	var dirs []string
	if root == "/" {
		dirs = ld.ConfiguredDirectories(m.view)
	}
	for _, parent := range parents {
		for _, name := range m.names(path.Join(root, parent)) {
			if !strings.Contains(strings.ToLower(path.Base(parent)+name), "nvidia") {
				continue
			}
			dir := path.Join(parent, name)
			if !m.view.IsDir(path.Join(root, dir)) {
				continue
			}
			for _, below := range []string{"", "lib64", "lib", "usr/lib64", "usr/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"} {
				dirs = append(dirs, path.Join(dir, below))
			}
		}
	}
	return dirs
}

// libraries is where the driver's files are.
type libraries struct {
	root    string // of the driver
	dir     string // of libcuda, without links
	libcuda string // the file itself
	version string // of its name: libcuda.so.550.54.15
}

// findLibraries looks for the libcuda of the kernel's driver, and takes another one where there is none of its version, so
// that the difference can be said. "" as root is each of driverRoots in turn.
func (m machine) findLibraries(kernel, root string) libraries {
	roots := driverRoots
	if root != "" {
		roots = []string{root}
	}
	var other libraries
	for _, dirs := range []func(root string) []string{func(string) []string { return libraryDirectories }, m.further} {
		for _, root := range roots {
			if !m.view.IsDir(root) {
				continue
			}
			found, exact := m.librariesBelow(root, kernel, dirs(root))
			if exact {
				return found
			}
			if other.libcuda == "" {
				other = found
			}
		}
	}
	return other
}

func (m machine) librariesBelow(root, kernel string, dirs []string) (found libraries, exact bool) {
	for _, dir := range dirs {
		if at, ok := m.real(path.Join(root, dir, "libcuda.so."+kernel)); ok && kernel != "" && m.is64(at) {
			return libraries{root: root, dir: path.Dir(at), libcuda: at, version: kernel}, true
		}
	}
	candidates := []string{}
	if root == "/" {
		candidates = cached(m.view, "libcuda.so.1")
	}
	for _, dir := range dirs {
		candidates = append(candidates, path.Join(root, dir, "libcuda.so.1"))
	}
	for _, c := range candidates {
		at, ok := m.real(c)
		if !ok || isStub(at) || !m.is64(at) {
			continue
		}
		l := libraries{root: root, dir: path.Dir(at), libcuda: at, version: versionOf(at)}
		if l.version == kernel {
			return l, true
		}
		if found.libcuda == "" {
			found = l
		}
	}
	return found, false
}

// is64 reports whether a file is an ELF file of 64 bits: a machine may have the driver's 32-bit libraries alone, for games.
func (m machine) is64(p string) bool {
	f, err := m.view.Open(p)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [elf.EI_CLASS + 1]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:elf.EI_CLASS]) == elf.ELFMAG && elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS64
}

// cached returns where the cache of a tree's loader has a library.
func cached(view *rootfs.View, name string) []string {
	c, err := ld.ReadCache(view)
	if err != nil {
		return nil
	}
	var paths []string
	for _, e := range c.Entries {
		if e.Name == name {
			paths = append(paths, e.Path)
		}
	}
	return paths
}

// versionOf returns the driver's version in a library's file name, "" where there is none.
func versionOf(file string) string {
	_, v, ok := strings.Cut(path.Base(file), ".so.")
	if !ok || !isVersion(v) {
		return ""
	}
	return v
}

// isStub reports whether a path is of a toolkit's stubs: libraries for linking, whose functions answer CUDA_ERROR_STUB_LIBRARY.
func isStub(p string) bool { return path.Base(path.Dir(p)) == "stubs" }

// The capabilities of NVIDIA_DRIVER_CAPABILITIES that stand for libraries.
const (
	compute  = "compute"
	utility  = "utility"
	video    = "video"
	graphics = "graphics"
	ngx      = "ngx"
)

// uses says which capabilities need a library, by its name before ".so". It follows libnvidia-container's lists (src/nvc_info.c).
// A name that is not here is bound for compute: a library that a later driver brings is missed when absent, and harmless else.
var uses = map[string][]string{
	"libnvidia-ml": {utility}, "libnvidia-cfg": {utility}, "libnvidia-nscq": {utility}, "libnvidia-sandboxutils": {utility},
	"libnvcuvid": {video}, "libnvidia-encode": {video}, "libnvidia-opticalflow": {video}, "libvdpau_nvidia": {video},
	"libnvidia-gpucomp": {compute, graphics}, "libnvidia-allocator": {compute, graphics},
	"libnvidia-ngx": {ngx}, "libnvidia-egl-gbm": {graphics}, "libnvidia-egl-wayland": {graphics}, "libnvidia-egl-wayland2": {graphics},
	"libnvidia-egl-xcb": {graphics}, "libnvidia-egl-xlib": {graphics}, "libGLX_nvidia": {graphics}, "libEGL_nvidia": {graphics},
	"libGLESv1_CM_nvidia": {graphics}, "libGLESv2_nvidia": {graphics}, "libnvidia-glcore": {graphics}, "libnvidia-eglcore": {graphics},
	"libnvidia-glsi": {graphics}, "libnvidia-tls": {graphics}, "libnvidia-glvkspirv": {graphics}, "libnvidia-rtcore": {graphics},
	"libnvidia-cbl": {graphics}, "libnvoptix": {graphics}, "libnvidia-fbc": {graphics}, "libnvidia-ifr": {graphics},
	"libnvidia-vulkan-producer": {graphics}, "libnvidia-vksc-core": {graphics}, "libnvidia-present": {graphics}, "libnvidia-api": {graphics},
	"libnvidia-gtk2": nil, "libnvidia-gtk3": nil, "libnvidia-wayland-client": nil, "libglxserver_nvidia": nil, // of the desktop's settings and the X server
}

// isolated are libraries with versions of their own, that come with the driver all the same.
var isolated = []string{"libnvidia-nvvm70", "libnvidia-nscq", "libnvidia-egl-gbm", "libnvidia-egl-wayland", "libnvidia-egl-wayland2", "libnvidia-egl-xcb", "libnvidia-egl-xlib"}

// driverLibraries lists the libraries of the driver in dir and in dir/vdpau, by path.
func (m machine) driverLibraries(l libraries) []Library {
	if l.libcuda == "" {
		return nil
	}
	var all []Library
	for _, below := range []string{"", "vdpau"} {
		dir := path.Join(l.dir, below)
		targets := map[string][]string{} // file -> names that lead to it
		for _, name := range m.names(dir) {
			if !strings.HasPrefix(name, "lib") || !strings.Contains(name, ".so") {
				continue
			}
			if at, ok := m.real(path.Join(dir, name)); ok && path.Base(at) != name {
				targets[at] = append(targets[at], name)
			}
		}
		for _, name := range m.names(dir) {
			if p := path.Join(dir, name); ofDriver(name, l.version) && m.isFile(p) {
				if lib, ok := m.library(p, below, targets[p]); ok {
					all = append(all, lib)
				}
			}
		}
	}
	return all
}

func (m machine) isFile(p string) bool {
	fi, err := m.view.Lstat(p)
	return err == nil && fi.Mode().IsRegular()
}

// ofDriver reports whether a file name is that of a driver's library of the version.
func ofDriver(name, version string) bool {
	stem, suffix, ok := strings.Cut(name, ".so.")
	return ok && (suffix == version || slices.Contains(isolated, stem) && suffix != "")
}

func (m machine) library(p, below string, linked []string) (Library, bool) {
	stem, _, _ := strings.Cut(path.Base(p), ".so")
	needs, known := uses[stem]
	if !known {
		needs = []string{compute}
	}
	soname, ok := m.soname(p)
	if !ok || len(needs) == 0 {
		return Library{}, false
	}
	lib := Library{Path: p, Soname: soname, Dir: below, Needs: needs}
	for _, name := range linked {
		if name != soname && strings.HasSuffix(name, ".so") { // what a dlopen without a version asks for
			lib.Names = append(lib.Names, name)
		}
	}
	// Programs open these without a version (triton and numba libcuda), and hosts have the links from -dev packages only.
	if name := stem + ".so"; (stem == "libcuda" || stem == "libnvidia-opticalflow") && !slices.Contains(lib.Names, name) {
		lib.Names = append(lib.Names, name)
	}
	return lib, true
}

// soname reads DT_SONAME of a 64-bit library, and takes the file's name where it has none: the loader compares with that.
func (m machine) soname(p string) (string, bool) {
	f, err := m.view.Open(p)
	if err != nil {
		return "", false
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil || e.Class != elf.ELFCLASS64 {
		return "", false
	}
	defer e.Close()
	if names, err := e.DynString(elf.DT_SONAME); err == nil && len(names) > 0 && names[0] != "" && !strings.Contains(names[0], "/") {
		return names[0], true
	}
	return path.Base(p), true
}
