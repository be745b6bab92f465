package nvidia

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/finding"
)

// programs are the driver's own, and the capabilities that bring them (libnvidia-container, src/nvc_info.c).
var programs = []struct {
	name string
	caps []string
}{
	{"nvidia-smi", []string{utility}}, {"nvidia-debugdump", []string{utility}}, {"nvidia-persistenced", []string{utility}},
	{"nvidia-cuda-mps-control", []string{compute}}, {"nvidia-cuda-mps-server", []string{compute}},
}

var programDirectories = []string{"/usr/bin", "/usr/local/bin", "/bin", "/opt/bin", "/usr/sbin", "/usr/local/nvidia/bin",
	"/usr/lib/nvidia/current", "/usr/libexec/nvidia/tesla/bin", "/run/current-system/sw/bin"}

// files adds what the driver has as files.
func (e *editor) files() {
	libs, replaced := e.libraries()
	for _, l := range libs {
		e.library(l, replaced[l.Soname])
	}
	for _, p := range programs {
		if e.has(p.caps...) {
			e.program(p.name)
		}
	}
	e.firmware()
	if e.has(utility) {
		e.mount(e.m.socket(persistenced, e.driver.Root), persistenced, "socket of nvidia-persistenced", socket)
		e.mount(e.m.socket(fabricManager, e.driver.Root), fabricManager, "socket of nvidia-fabricmanager", socket)
	}
	if e.has(graphics) {
		e.graphics()
	}
	if e.has(compute, graphics) {
		e.config("OpenCL/vendors/nvidia.icd", "OpenCL")
	}
}

// libraries returns those that the capabilities ask for, and which of them the forward-compatibility package replaces.
func (e *editor) libraries() (libs []Library, replaced map[string]string) {
	replaced = map[string]string{}
	for _, l := range e.driver.Libraries {
		if e.has(l.Needs...) {
			libs = append(libs, l)
		}
	}
	c := e.driver.Compat
	if !e.wantsCompat(c) {
		return libs, replaced
	}
	for _, l := range libs {
		if at, ok := e.m.real(path.Join(c.Directory, l.Soname)); ok && l.Dir == "" {
			replaced[l.Soname] = at
		}
	}
	return append(libs, e.compatAlone(c, libs)...), replaced
}

// compatAlone are libraries of the package that an older driver does not have, and that the newer libcuda opens all the same: libnvidia-nvvm
// beside driver 470.
func (e *editor) compatAlone(c *Compat, have []Library) (more []Library) {
	for _, name := range e.m.names(c.Directory) {
		p := path.Join(c.Directory, name)
		if !strings.HasPrefix(name, "lib") || !ofDriver(name, c.Version) || !e.m.isFile(p) {
			continue
		}
		l, ok := e.m.library(p, "", nil)
		if known := slices.ContainsFunc(have, func(o Library) bool { return o.Dir == "" && o.Soname == l.Soname }); ok && !known && e.has(l.Needs...) {
			more = append(more, l)
		}
	}
	return more
}

// wantsCompat decides whether the machine's forward-compatibility package stands in for the driver's libcuda: what runs was
// built for a newer CUDA than the driver's, and the package serves the driver and the GPUs.
func (e *editor) wantsCompat(c *Compat) bool {
	want := builtFor(e.ask.Options["cuda"], e.env)
	if strings.EqualFold(e.ask.Options["compat"], "off") || want == "" || e.driver.CUDA == "" || compareVersions(want, e.driver.CUDA) <= 0 {
		return false
	}
	serves, _ := c.serves(e.driver.Version)
	return serves && allDataCenter(e.chosen)
}

// builtFor is the CUDA version, as major.minor, that a container's programs were built with: as somebody has found out, or as
// images of NVIDIA say.
func builtFor(option string, env []string) string {
	v := option
	if v == "" {
		v = lookup(env, "CUDA_VERSION")
	}
	parts := strings.Split(v, ".")
	if len(parts) < 2 || !isVersion(parts[0]+"."+parts[1]) {
		return ""
	}
	return parts[0] + "." + parts[1]
}

// library binds one library by its soname and its further names, over each path where the image has a file of the name: there it is a
// toolkit's stub, what was left by a build with the driver mounted, or another driver's, and none of them works with this kernel.
func (e *editor) library(l Library, compat string) {
	source, what := l.Path, path.Base(l.Path)
	if compat != "" {
		source, what = compat, "forward compatibility, "+path.Base(compat)
	}
	fi, err := e.m.stat(source)
	if err != nil {
		e.find(finding.Finding{ID: finding.GPULibraries, Severity: finding.Error, Subject: source, Got: "it is gone since the driver was looked at",
			Message: source + ": cannot open shared object file: No such file or directory", Remedy: "run the command again, or reinstall the driver"})
		return
	}
	for _, name := range append([]string{l.Soname}, l.Names...) {
		paths, _ := e.image.destinations(name, l.Dir, fi)
		for _, p := range paths {
			if compat == "" && e.keepsCompat(p) {
				continue
			}
			e.mount(source, p, what+" of NVIDIA's driver", readOnly)
		}
	}
}

// keepsCompat leaves an image's own forward-compatibility package alone where it serves this driver: it is newer than the
// driver's libraries.
func (e *editor) keepsCompat(p string) bool {
	if !e.image.known {
		return false
	}
	for _, dir := range compatDirectories {
		if r, err := e.image.view.Resolve(dir); err != nil || r.Path != path.Dir(p) && dir != path.Dir(p) {
			continue
		}
		serves, why := findCompat(e.image.view).serves(e.driver.Version)
		if serves && !allDataCenter(e.chosen) {
			serves, why = false, "forward compatibility works on data-center GPUs only"
		}
		if !serves && path.Base(p) == "libcuda.so.1" {
			e.find(finding.Finding{ID: finding.CUDACompat, Severity: finding.Info, Subject: p, Got: why,
				Message: "the image's forward-compatibility package is not used: " + why, Remedy: "nothing: the driver's own libcuda takes its place"})
		}
		return serves
	}
	return false
}

// programPlaces are where a program of the driver may lie: in the usual directories below its root, and beside its libraries.
func (e *editor) programPlaces() []string {
	var all []string
	for _, dir := range programDirectories {
		all = append(all, path.Join(e.driver.Root, dir))
	}
	beside := path.Dir(e.driver.Libcuda)
	return append(all, path.Join(path.Dir(beside), "bin"), path.Join(beside, "bin"), beside)
}

func (e *editor) program(name string) {
	for _, dir := range e.programPlaces() {
		p := path.Join(dir, name)
		if at, ok := e.m.real(p); ok && e.m.isFile(at) {
			e.mount(at, "/usr/bin/"+name, name+" of NVIDIA's driver", readOnly)
			return
		}
	}
	if name == "nvidia-smi" {
		e.find(finding.Finding{ID: finding.GPULibraries, Severity: finding.Warning, Subject: name, Got: "not below " + strings.Join(programDirectories, ", "),
			Message: "the driver's nvidia-smi is not on this machine, nor will it be in the container", Remedy: "install nvidia-utils (nvidia-smi on Debian)"})
	}
}

// firmware adds what the driver's user-space part reads of the GPU system processor.
func (e *editor) firmware() {
	for _, dir := range []string{"/usr/lib/firmware", "/lib/firmware", "/run/current-system/firmware", "/firmware"} {
		dir = path.Join(dir, "nvidia", e.driver.Version)
		below := path.Join(e.driver.Root, dir)
		at, ok := e.m.real(below)
		if !ok {
			continue
		}
		for _, name := range e.m.names(at) {
			if strings.HasSuffix(name, ".bin") && (strings.HasPrefix(name, "gsp") || strings.HasPrefix(name, "ucodes")) {
				e.mount(path.Join(at, name), path.Join("/lib/firmware/nvidia", e.driver.Version, name), "firmware of NVIDIA's driver", readOnly)
			}
		}
		return
	}
}

// graphicsFiles are the driver's entries for the loaders of Vulkan and EGL, below /usr/share or /etc.
var graphicsFiles = []string{
	"vulkan/icd.d/nvidia_icd.json", "vulkan/icd.d/nvidia_icd.x86_64.json", "vulkan/icd.d/nvidia_icd.aarch64.json",
	"vulkan/icd.d/nvidia_layers.json", "vulkan/implicit_layer.d/nvidia_layers.json", "glvnd/egl_vendor.d/10_nvidia.json",
	"egl/egl_external_platform.d/15_nvidia_gbm.json", "egl/egl_external_platform.d/10_nvidia_wayland.json",
	"egl/egl_external_platform.d/09_nvidia_wayland2.json", "egl/egl_external_platform.d/20_nvidia_xcb.json",
	"egl/egl_external_platform.d/20_nvidia_xlib.json",
}

func (e *editor) graphics() {
	for _, name := range graphicsFiles {
		e.config(name, "graphics")
	}
	for _, l := range e.driver.Libraries {
		switch stem, _, _ := strings.Cut(path.Base(l.Path), ".so"); stem {
		case "libnvidia-allocator": // GBM looks for its backend by this name
			e.mount(l.Path, path.Join(e.image.dir, "gbm", "nvidia-drm_gbm.so"), "GBM backend of NVIDIA's driver", readOnly)
		case "libGLX_nvidia": // GLVND's name for indirect GLX
			e.mount(l.Path, path.Join(e.image.dir, "libGLX_indirect.so.0"), "GLX of NVIDIA's driver", readOnly)
		}
	}
}

// config adds a file of the driver that lies below /usr/share or /etc, at its own path.
func (e *editor) config(name, what string) {
	for _, dir := range []string{"/usr/share", "/etc"} {
		p := path.Join(e.driver.Root, dir, name)
		if at, ok := e.m.real(p); ok {
			e.mount(at, path.Join(dir, name), what+" entry of NVIDIA's driver", readOnly)
			return
		}
	}
}

// mount adds a bind mount where the source is there; on the host's own root a file that is in its place needs none.
func (e *editor) mount(source, destination, origin string, options []string) bool {
	fi, err := e.m.stat(source)
	if err != nil || e.mounted[destination] {
		return err == nil
	}
	e.mounted[destination] = true
	switch {
	case e.image.known && fi.Mode()&fs.ModeSocket == 0 && e.image.isSame(destination, fi):
		return true
	case e.image.host && ofSystem(destination) && !e.image.view.Exists(destination):
		return true // a name that the machine itself does without
	}
	e.edits.Mounts = append(e.edits.Mounts, &specs.Mount{HostPath: source, ContainerPath: destination, Options: slices.Clone(options)})
	e.edits.Origins[destination] = origin
	return true
}

// ofSystem reports whether a path is below a directory that a container on the host's own root has read-only.
func ofSystem(p string) bool {
	return slices.ContainsFunc([]string{"/usr/", "/lib", "/bin/", "/etc/"}, func(dir string) bool { return strings.HasPrefix(p, dir) })
}
