package ld

import (
	"path"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// maxLoaderConfig bounds /etc/ld.so.conf and each file that it includes, in bytes.
const maxLoaderConfig = 64 << 10

// ConfiguredDirectories are those of a tree's /etc/ld.so.conf and of the files that it includes (ldconfig(8)), in their order. The loader
// itself reads the cache that ldconfig makes of them.
func ConfiguredDirectories(view *rootfs.View) []string {
	return loaderConfig(view, "/etc/ld.so.conf", 0)
}

func loaderConfig(view *rootfs.View, file string, depth int) []string {
	b, err := view.ReadFile(file, maxLoaderConfig)
	if err != nil || depth > 4 {
		return nil
	}
	var dirs []string
	for _, line := range strings.Split(string(b), "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 2 && fields[0] == "include":
			for _, pattern := range fields[1:] {
				for _, p := range glob(view, pattern, path.Dir(file)) {
					dirs = append(dirs, loaderConfig(view, p, depth+1)...)
				}
			}
		case len(fields) >= 1 && strings.HasPrefix(fields[0], "/"):
			dirs = append(dirs, fields[0])
		}
	}
	return dirs
}

// glob matches a pattern whose last element alone holds wildcards.
func glob(view *rootfs.View, pattern, dir string) []string {
	if !strings.HasPrefix(pattern, "/") {
		pattern = path.Join(dir, pattern)
	}
	parent, last := path.Split(pattern)
	entries, err := view.ReadDir(parent)
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		if ok, err := path.Match(last, e.Name()); err == nil && ok {
			found = append(found, path.Join(parent, e.Name()))
		}
	}
	return found
}
