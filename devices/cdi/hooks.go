package cdi

import (
	"debug/elf"
	"path"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/rootfs"
)

// The hooks of NVIDIA's CDI files (nvidia-container-toolkit, cmd/nvidia-cdi-hook) that mounts can stand for. Without them a file of that tool
// brings libcuda by a name that no program asks for.
const (
	createSymlinks = "create-symlinks"                  // --link TARGET::PATH
	updateCache    = "update-ldcache"                   // --folder DIRECTORY
	denyNodes      = "disable-device-node-modification" // no container with a device may make nodes here
	cudaCompat     = "enable-cuda-compat"               // of an image that has the package
	memoryLimits   = "apply-cuda-memory-limits"         // where a variable asks for them
)

// vendorHook is what a hook of NVIDIA's tool does, "" for another's.
func vendorHook(h *specs.Hook) (name string, args []string) {
	args = h.Args[min(1, len(h.Args)):]
	switch path.Base(h.Path) {
	case "nvidia-cdi-hook":
	case "nvidia-ctk":
		if len(args) == 0 || args[0] != "hook" {
			return "", nil
		}
		args = args[1:]
	default:
		return "", nil
	}
	if len(args) == 0 {
		return "", nil
	}
	return args[0], args[1:]
}

// values are those of a flag: --link A --link=B.
func values(args []string, flag string) []string {
	var all []string
	for i, arg := range args {
		if v, ok := strings.CutPrefix(arg, flag+"="); ok {
			all = append(all, v)
		} else if arg == flag && i+1 < len(args) {
			all = append(all, args[i+1])
		}
	}
	return all
}

// ReadsImage reports whether the image's files decide where libraries go: a file of the kind has a hook for the loader's cache, or brings
// NVIDIA's libcuda.
func (s *Source) ReadsImage() bool {
	for _, d := range s.r.described(s.kind) {
		if slices.ContainsFunc(d.GetSpec().ContainerEdits.Mounts, bringsCUDA) || slices.ContainsFunc(d.ContainerEdits.Mounts, bringsCUDA) {
			return true
		}
		for _, h := range append(slices.Clone(d.GetSpec().ContainerEdits.Hooks), d.ContainerEdits.Hooks...) {
			if name, _ := vendorHook(h); name == updateCache {
				return true
			}
		}
	}
	return false
}

// replaceHooks does by mounts what NVIDIA's hooks would do by links and by the loader's cache: each library is bound by its soname, in its own
// directory and in the one that the image's loader looks into. What is not done stays among the hooks, for the plan to tell of.
func (e *editing) replaceHooks(c devices.Container) {
	var links, folders []string
	var undone []*specs.Hook
	for _, h := range e.edits.Hooks {
		switch name, args := vendorHook(h); {
		case name == createSymlinks:
			links = append(links, values(args, "--link")...)
		case name == updateCache:
			folders = append(folders, values(args, "--folder")...)
		case name == denyNodes:
		case name == cudaCompat && c.View != nil && !c.View.Exists("/usr/local/cuda/compat"):
		case name == memoryLimits && !slices.ContainsFunc(c.Env, func(kv string) bool { return strings.HasPrefix(kv, "NVIDIA_GPU_MEMORY_") }):
		default:
			undone = append(undone, h)
		}
	}
	at := map[string]*specs.Mount{}
	for _, m := range e.edits.Mounts {
		at[m.ContainerPath] = m
	}
	folders = append(folders, e.cudaFolders(folders, links)...)
	dir := loaderDirectory(c.View)
	for _, m := range slices.Clone(e.edits.Mounts) {
		if slices.Contains(folders, path.Dir(m.ContainerPath)) {
			e.byName(m, e.soname(m.HostPath), dir, at)
		}
	}
	var left []string
	for _, link := range links {
		target, p, ok := strings.Cut(link, "::")
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(p), target)
		}
		m := at[path.Clean(target)]
		switch {
		case !ok || m == nil:
			left = append(left, "--link", link)
		case slices.Contains(folders, path.Dir(p)):
			e.byName(m, path.Base(p), dir, at)
		default:
			e.bind(m, path.Clean(p), at)
		}
	}
	if len(left) > 0 {
		undone = append(undone, &specs.Hook{HookName: "createContainer", Path: "nvidia-cdi-hook", Args: append([]string{"nvidia-cdi-hook", createSymlinks}, left...)})
	}
	e.edits.Hooks = undone
}

// byName binds a library's file by another name beside it, and in the directory that the image's loader looks into.
func (e *editing) byName(m *specs.Mount, name, dir string, at map[string]*specs.Mount) {
	if name == "" {
		return
	}
	e.bind(m, path.Join(path.Dir(m.ContainerPath), name), at)
	if dir != "" {
		e.bind(m, path.Join(dir, name), at)
	}
}

func (e *editing) bind(m *specs.Mount, to string, at map[string]*specs.Mount) {
	if at[to] != nil {
		return
	}
	more := *m
	more.ContainerPath, more.Options = to, slices.Clone(m.Options)
	at[to] = &more
	e.edits.Mounts = append(e.edits.Mounts, &more)
	e.edits.Origins[to] = e.edits.Origins[m.ContainerPath] + ", for a hook of it"
}

// soname is DT_SONAME of a library of the machine, "" where the file is none.
func (e *editing) soname(p string) string {
	f, err := rootfs.Dir(e.s.r.root).Open(p)
	if err != nil {
		return ""
	}
	defer f.Close()
	lib, err := elf.NewFile(f)
	if err != nil {
		return ""
	}
	defer lib.Close()
	if names, err := lib.DynString(elf.DT_SONAME); err == nil && len(names) > 0 && names[0] != "" {
		return path.Base(names[0])
	}
	return path.Base(p)
}

// loaders are those of glibc for which NVIDIA has libraries.
var loaders = []string{"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"}

// loaderDirectory is the first default directory of the image's loader below /usr that exists, "" where that can't be told.
func loaderDirectory(view *rootfs.View) string {
	for _, loader := range loaders {
		if view == nil || !view.Exists(loader) {
			continue
		}
		s, err := ld.NewSystem(view, loader, ld.Options{LoaderCache: []byte{}})
		if err != nil {
			return ""
		}
		defer s.Close()
		for _, dir := range s.DefaultDirectories() {
			if r, err := view.Resolve(dir); err == nil && strings.HasPrefix(r.Path, "/usr/") && view.IsDir(r.Path) {
				return r.Path
			}
		}
	}
	return ""
}
