package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
)

// An environment is everything about the Python environment that does not depend on the profile: what the cache holds.
type environment struct {
	Python Python
	Dists  []distribution    // of Python.Packages, index by index
	Said   []finding.Finding // about the environment as such
	Watch  watch             // what the facts were read from
}

// python finds, reads and judges the environment that the profile needs.
func (m machine) python(ctx context.Context, needs Needs) (*Python, []finding.Finding, error) {
	chosen, said := m.choose(needs.Python)
	if len(finding.Errors(said)) > 0 {
		return nil, said, nil
	}
	env, err := m.cachedEnvironment(ctx, chosen)
	var broken *unusable
	if errors.As(err, &broken) {
		return nil, append(said, broken.said), nil
	}
	if err != nil {
		return nil, nil, err
	}
	said = append(said, m.pythonPath(env)...)
	said = append(said, env.Said...)
	return &env.Python, append(said, env.judge(needs)...), nil
}

// pythonPath tells of directories that the caller's PYTHONPATH adds on the host; they are no site directories, and a
// container gets only what its profile's environment says.
func (m machine) pythonPath(env *environment) []finding.Finding {
	var said []finding.Finding
	for _, dir := range filepathList(m.opt.Env["PYTHONPATH"]) {
		if dir == "" || !m.view.Exists(m.absolute(dir)) {
			continue
		}
		f := leadsOut("PYTHONPATH", m.absolute(dir), "PYTHONPATH adds "+m.absolute(dir)+" on the host, which is not mounted",
			env.mountOrInstall(m.absolute(dir)))
		f.Severity = finding.Info
		said = append(said, f)
	}
	return said
}

// unusable says that the chosen interpreter can't be borrowed from.
type unusable struct{ said finding.Finding }

func (u *unusable) Error() string { return u.said.Message }

// readEnvironment reads the environment of an interpreter from its files. The error is ctx's or *unusable.
func (m machine) readEnvironment(ctx context.Context, chosen choice) (*environment, error) {
	cfg, err := m.checkVenv(chosen.Executable)
	if err != nil {
		return nil, err
	}
	py, err := m.detect(chosen, cfg)
	if err != nil {
		return nil, err
	}
	env := &environment{Python: Python{Python: py, Kind: m.kind(chosen, py, cfg), Conda: m.conda(py.Prefix)}}
	path := m.buildSysPath(py)
	env.Python.Sites = path.sites
	trees, err := m.walkSites(ctx, env.Python.Sites)
	if err != nil {
		return nil, err
	}
	for i := range env.Python.Sites {
		env.Python.Sites[i].count(trees[env.Python.Sites[i].Path], py.Suffixes)
	}
	if env.Dists, err = readDistributions(ctx, env.Python.Sites, trees, py); err != nil {
		return nil, err
	}
	env.fillPackages()
	env.Python.Frameworks = m.frameworks(env.Python)
	env.Said = m.leaks(env, path, trees)
	env.Python.Bytecode = bytecode(py, env.Python.Sites, trees)
	for _, site := range env.Python.Sites {
		if site.Kind != kindPth {
			env.Python.Outside = append(env.Python.Outside, env.outside(site, trees[site.Path])...)
		}
	}
	env.Watch = m.watchList(env, trees, path)
	return env, nil
}

// detect asks package abi, and adds the base's directories to those of a virtual environment that shares them.
func (m machine) detect(chosen choice, cfg *pyvenvCfg) (abi.Python, error) {
	in := abi.Environment{Path: filepathList(m.opt.Env["PATH"]), LibraryPath: filepathList(m.opt.Env["LD_LIBRARY_PATH"]),
		SysconfigData: m.opt.Env["_PYTHON_SYSCONFIGDATA_NAME"]}
	py, err := abi.DetectPython(m.view, chosen.Executable, in)
	if err != nil {
		return py, m.notDetected(chosen, cfg, err)
	}
	if py.Evidence == nil {
		py.Evidence = map[string]string{}
	}
	py.Evidence["executable"] = strings.Join(chosen.Why, ", ")
	return py, nil
}

func (m machine) notDetected(chosen choice, cfg *pyvenvCfg, err error) error {
	if cfg != nil && errors.Is(err, fs.ErrNotExist) {
		return &unusable{brokenVenv(cfg.Dir, err.Error())}
	}
	return &unusable{noInterpreter(chosen.Executable, err.Error(), "no usable Python interpreter at "+chosen.Executable)}
}

func filepathList(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ":")
}

// kind names who made the environment.
func (m machine) kind(chosen choice, py abi.Python, cfg *pyvenvCfg) string {
	switch {
	case cfg != nil && cfg.UV:
		return "uv"
	case cfg != nil || py.Venv != nil:
		return "venv"
	case m.view.IsDir(py.Prefix + "/conda-meta"):
		return "conda"
	case chosen.Pyenv != "" || m.view.Exists(path.Dir(path.Dir(py.Prefix))+"/libexec/pyenv"):
		return "pyenv"
	case strings.Contains(py.Real, "/uv/python/"):
		return "uv"
	case py.Layout == "conda" || py.Layout == "standalone" || py.Layout == "debian":
		return py.Layout
	}
	return "system"
}

// A pyvenvCfg is what this package needs of pyvenv.cfg (PEP 405).
type pyvenvCfg struct {
	Dir, Home string
	UV        bool // written by uv
}

// readVenv reads pyvenv.cfg beside the executable or one directory up, links not followed (getpath.py).
func (m machine) readVenv(executable string) *pyvenvCfg {
	for _, dir := range []string{path.Dir(executable), path.Dir(path.Dir(executable))} {
		b, err := m.view.ReadFile(dir+"/pyvenv.cfg", smallFile)
		if err != nil {
			continue
		}
		cfg := &pyvenvCfg{Dir: dir}
		for _, line := range strings.Split(string(b), "\n") {
			key, value, _ := strings.Cut(line, "=")
			switch strings.ToLower(strings.TrimSpace(key)) {
			case "home":
				cfg.Home = strings.TrimSpace(value)
			case "uv":
				cfg.UV = true
			}
		}
		return cfg
	}
	return nil
}

// checkVenv tells of a virtual environment whose base is gone. Nil without pyvenv.cfg.
func (m machine) checkVenv(executable string) (*pyvenvCfg, error) {
	cfg := m.readVenv(executable)
	_, err := m.view.Resolve(executable)
	switch {
	case cfg == nil && err == nil:
		return nil, nil
	case cfg == nil:
		return nil, &unusable{noInterpreter(executable, err.Error(), "the Python interpreter "+executable+" leads nowhere")}
	case err != nil:
		return nil, &unusable{brokenVenv(cfg.Dir, err.Error())}
	case cfg.Home != "" && !m.view.IsDir(cfg.Home):
		return nil, &unusable{brokenVenv(cfg.Dir, cfg.Dir+"/pyvenv.cfg says home = "+cfg.Home+", which is gone")}
	}
	return cfg, nil
}

// walkSites reads the trees of all sites at once. Of a directory that a .pth line added only the top is read: it may
// be a project with anything below it, and it is not mounted.
func (m machine) walkSites(ctx context.Context, sites []Site) (map[string]*tree, error) {
	found := make([]*tree, len(sites))
	group, ctx := errgroup.WithContext(ctx)
	for i, site := range sites {
		group.Go(func() (err error) {
			if site.Kind == kindPth {
				found[i] = shallowTree(m, site.Path)
				return ctx.Err()
			}
			found[i], err = walkTree(ctx, m.view, site.Path)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	trees := map[string]*tree{}
	for i, site := range sites {
		trees[site.Path] = found[i]
	}
	return trees, nil
}

func shallowTree(m machine, p string) *tree {
	t := &tree{view: m.view, path: p, dirs: map[string][]string{}}
	r, err := m.view.Resolve(p)
	if err == nil {
		var entries []os.DirEntry
		t.root = r.Real
		if entries, err = os.ReadDir(r.Real); err == nil {
			names := make([]string, len(entries))
			for i, e := range entries {
				names[i] = e.Name()
			}
			t.dirs[""] = names
			return t
		}
	}
	t.denied = []denial{{"", err}}
	return t
}

// count takes over what the walk found.
func (s *Site) count(t *tree, suffixes []string) {
	s.Files, s.Bytes = t.files, t.bytes
	var modules []string
	for _, name := range t.dirs[""] {
		_, isDir := t.dirs[name]
		if s.Kind == kindPth || t.isLink(name) {
			isDir = t.view.IsDir(path.Join(t.path, name))
		}
		if isDir && isIdentifier(name) && name != "__pycache__" {
			modules = append(modules, name)
		} else if module := moduleOf(name, suffixes); !isDir && module != "" {
			modules = append(modules, module)
		}
	}
	s.Modules = sortedSet(modules)
}
