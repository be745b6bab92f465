package host

import (
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// Installed lists the distributions and the top-level modules in site directories of a view, by the names of directory
// entries alone (PEP 427: NAME-VERSION.dist-info): enough to see what an image has beside the host's packages. Sites
// carry Path, Kind and Modules only, packages Name, Version and Site only. A directory that can't be read is left out.
func Installed(view *rootfs.View, dirs, suffixes []string) (sites []Site, packages []Package) {
	for _, dir := range dirs {
		entries, err := view.ReadDir(dir)
		if err != nil {
			continue
		}
		var modules []string
		for _, e := range entries {
			switch name := e.Name(); {
			case isDistribution(dir, name):
				dist, version := splitDistName(name)
				packages = append(packages, Package{Name: dist, Version: version, Site: dir})
			case strings.HasPrefix(name, "_") || name == "README.txt":
			case e.IsDir() && isIdentifier(name):
				modules = append(modules, name)
			case moduleOf(name, suffixes) != "":
				modules = append(modules, moduleOf(name, suffixes))
			}
		}
		sites = append(sites, Site{Path: dir, Kind: siteKind(dir), Modules: sortedSet(modules)})
	}
	return sites, packages
}
