package cdi

import (
	"path"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// libcuda is the name that programs look for NVIDIA's driver by: one that can't load it computes on the processor, mostly in silence.
const libcuda = "libcuda.so.1"

// muslLoaders are those of the C library that NVIDIA's files are not built for.
var muslLoaders = []string{"/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"}

// bringsCUDA reports whether a mount is of NVIDIA's libcuda, by whatever version its name has.
func bringsCUDA(m *specs.Mount) bool {
	return strings.HasPrefix(path.Base(m.HostPath), "libcuda.so")
}

// cudaFolders are directories with a libcuda that nothing brings by the name of libcuda.so.1: a file that was made without hooks.
func (e *editing) cudaFolders(folders, links []string) []string {
	named := func(p string) bool { return path.Base(p) == libcuda }
	if slices.ContainsFunc(e.edits.Mounts, func(m *specs.Mount) bool { return named(m.ContainerPath) }) || slices.ContainsFunc(links, named) {
		return nil
	}
	var more []string
	for _, m := range e.edits.Mounts {
		if dir := path.Dir(m.ContainerPath); bringsCUDA(m) && e.soname(m.HostPath) == libcuda && !slices.Contains(folders, dir) {
			more = append(more, dir)
		}
	}
	return more
}

// probe says what is tried before the container's program runs: that libcuda loads where the files bring it, and that those nodes of NVIDIA's
// open whose opening changes nothing. Of other vendors' nodes nobody knows that.
func (e *editing) probe(c devices.Container) {
	p := &e.edits.Probe
	for _, n := range e.edits.DeviceNodes {
		if e.opens(hostPath(n)) {
			p.Open = append(p.Open, n.Path)
		}
	}
	slices.Sort(p.Open)
	if c.View == nil || !slices.ContainsFunc(e.edits.Mounts, bringsCUDA) {
		return
	}
	if at := slices.IndexFunc(loaders, c.View.Exists); at >= 0 {
		p.Loader, p.Load = loaders[at], []string{libcuda}
	} else if at := slices.IndexFunc(muslLoaders, c.View.Exists); at >= 0 {
		e.report(finding.GPUImageLibc, libcuda, "the image's C library is musl ("+muslLoaders[at]+")", "NVIDIA's libraries are built for glibc and do not load under musl: \"Error relocating libcuda.so.1\"",
			"use an image of Debian, Ubuntu, RHEL or another distribution with glibc")
	}
}

// opens reports whether a node can be opened and closed without an effect on the device (devices/nvidia has the same rule). A GPU that nobody
// has open is initialised by its first open, for seconds, but where nvidia-persistenced keeps it ready.
func (e *editing) opens(host string) bool {
	switch name := strings.TrimPrefix(host, "/dev/"); {
	case name == "nvidiactl", name == "nvidia-uvm", name == "dxg", strings.HasPrefix(name, "nvidia-caps/"):
		return true
	case strings.HasPrefix(name, "nvidia") && strings.Trim(name, "0123456789") == "nvidia":
		return rootfs.Dir(e.s.r.root).Exists("/run/nvidia-persistenced/socket")
	}
	return false
}
