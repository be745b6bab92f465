package host

import (
	"path"

	"hostrun.dev/hostrun/abi/frameworks"
)

// frameworks reads what an environment has; nil for none.
func (m machine) frameworks(py Python) *frameworks.Facts {
	p := frameworks.Places{Python: py.Version.String(), Arch: py.Arch}
	for _, site := range py.Sites {
		p.Sites = append(p.Sites, site.Path)
	}
	if f := frameworks.Read(m.view, p); !f.Empty() {
		return &f
	}
	return nil
}

// findLibraries looks in the toolkit, in the environment's prefix and among the system's libraries for what no wheel
// brings. It costs some lookups, and is no part of the cache: the profile decides which toolkit counts.
func (m machine) findLibraries(f *Facts) {
	if f.Python == nil || f.Python.Frameworks == nil {
		return
	}
	places := []frameworks.Place{}
	if f.CUDA != nil {
		for _, dir := range f.CUDA.LibDirs {
			places = append(places, frameworks.Place{Dir: dir, From: "toolkit"})
		}
	}
	for _, dir := range []string{path.Join(f.Python.BasePrefix, "lib"), "/usr/lib/" + f.Python.Arch + "-linux-gnu", "/usr/lib64"} {
		places = append(places, frameworks.Place{Dir: dir, From: "system"})
	}
	f.Python.Frameworks.Find(m.view, places)
}
