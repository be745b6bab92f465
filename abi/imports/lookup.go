package imports

import (
	"path"
	"strings"
)

// find looks a module up; in a package that extends its own __path__ at run time, everywhere.
func (p *process) find(full string, search []string, parent *module) *spec {
	if dir, ok := p.site.preset[full]; ok {
		return &spec{name: full, kind: Namespace, isPkg: true, path: []string{dir}, entry: path.Dir(dir)}
	}
	if s := p.known(full); s != "" {
		if found := p.loader.finder.find(s, p.path); found != nil {
			renamed := *found
			renamed.name = full
			return &renamed
		}
	}
	if target := p.site.alias[full]; target != "" {
		if s := p.loader.locate(target); s != nil {
			renamed := *s
			renamed.name = full
			return &renamed
		}
	}
	if parent != nil && !parent.spec.isPkg {
		return nil
	}
	if s := p.site.redirected(p.loader.finder, full); s != nil {
		return s
	}
	if s := p.loader.finder.find(full, search); s != nil {
		return s
	}
	if s := p.site.findEditable(p.loader.finder, full); s != nil || parent == nil {
		return s
	}
	if u := p.loader.unit(parent.spec); u != nil && u.hook {
		return p.extended(full, parent)
	}
	return nil
}

// known tells of modules of the standard library that others put into sys.modules under a second name.
func (p *process) known(name string) string {
	switch name {
	case "os.path":
		return "posixpath"
	case "importlib._bootstrap":
		return "_frozen_importlib"
	case "importlib._bootstrap_external":
		return "_frozen_importlib_external"
	case "collections.abc":
		if p.site.py.Version.Minor >= 13 {
			return "_collections_abc"
		}
	}
	return ""
}

// extended looks below every entry of sys.path, as pkgutil.extend_path and pkg_resources' namespaces do.
func (p *process) extended(full string, parent *module) *spec {
	var dirs []string
	for _, entry := range p.path {
		dirs = append(dirs, path.Join(entry, strings.ReplaceAll(parent.spec.name, ".", "/")))
	}
	return p.loader.finder.find(full, dirs)
}
