package imports

import (
	"archive/zip"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// An oddity is what an environment may hold beside packages. Each command must end as the scan says, by the very message.
type oddity struct {
	name  string
	files map[string]string // below the site directory; SOURCE is a directory outside of it, SITE the site directory
	env   []string
	runs  []string // what follows the interpreter, in words; a single word with blanks is the code of -c
	least int      // minor version from which on the case holds
	open  []string // those of runs that fail without a claim: what the scan lists as not checked decides
}

var oddities = []oddity{
	{name: "relative lines", files: map[string]string{"a.pth": "sub/dir\n../beside  \n", "sub/dir/inner.py": "", "../beside/besides.py": ""}, runs: []string{"import inner, besides", "import dir"}},
	{name: "line after code that fails", files: map[string]string{"a.pth": "import nothere_at_all\nSOURCE/added\n", "SOURCE/added/by_pth.py": ""}, runs: []string{"import by_pth"}},
	{name: "line after code that raises", files: map[string]string{"a.pth": "import sys; raise ValueError\nSOURCE/added\n", "SOURCE/added/by_pth.py": ""}, runs: []string{"import by_pth"}},
	{name: "line after code that is no Python", files: map[string]string{"a.pth": "import sys; (\nSOURCE/added\n", "SOURCE/added/by_pth.py": ""}, runs: []string{"import by_pth"}, open: []string{"import by_pth"}},
	{name: "code finds what lines before it added", files: map[string]string{"a.pth": "SOURCE/added\nimport by_pth\nSOURCE/more\n", "SOURCE/added/by_pth.py": "", "SOURCE/more/later.py": ""}, runs: []string{"import later"}},
	{name: "front", files: map[string]string{"a.pth": "import sys; sys.path.insert(0, 'SOURCE/front')\n", "SOURCE/front/twice.py": "import nothere_front", "twice.py": ""}, runs: []string{"import twice"}},
	{name: "never true", files: map[string]string{"a.pth": "import os, sys; os.environ.get('NOPE') and sys.path.append('SOURCE/added')\n", "SOURCE/added/by_pth.py": ""}, runs: []string{"import by_pth"}, open: []string{"import by_pth"}},
	{name: "easy-install", files: map[string]string{"easy-install.pth": "import sys; sys.__plen = len(sys.path)\n./one-1.egg\nSOURCE/dev\nimport sys; new=sys.path[sys.__plen:]; del sys.path[sys.__plen:]; p=getattr(sys,'__egginsert',0); sys.path[p:p]=new; sys.__egginsert = p+len(new)\n",
		"one-1.egg/one.py": "", "SOURCE/dev/colorsys.py": "import nothere_dev"}, runs: []string{"import one", "import colorsys"}},
	{name: "zipped egg", files: map[string]string{"easy-install.pth": "./zipped-1.egg\n", "zipped-1.egg": "zip: zipped/__init__.py=from . import inner|zipped/inner.py=import json|zipped/data.txt=x|flat.py=import nothere_flat"}, runs: []string{"import zipped", "import zipped.inner", "import zipped.gone", "import flat"}},
	{name: "archive on PYTHONPATH", files: map[string]string{"SOURCE/a.zip": "zip: top.py=import low|lib/low.py=x = 1"}, env: []string{"PYTHONPATH=SOURCE/a.zip:SOURCE/a.zip/lib"}, runs: []string{"import top", "import lib.low", "import lib.none"}},
	{name: "empty part of PYTHONPATH", files: map[string]string{"SOURCE/here.py": ""}, env: []string{"PYTHONPATH=SOURCE:"}, runs: []string{"import here"}},
	{name: "odd ends of lines", files: map[string]string{"a.pth": "SOURCE/added\r\nSOURCE/more\t \n\n#SOURCE/other\n", "SOURCE/added/one.py": "", "SOURCE/more/two.py": "", "SOURCE/other/three.py": ""}, runs: []string{"import one, two", "import three"}},
	{name: "mark of the byte order", least: 8, files: map[string]string{"a.pth": "\ufeffSOURCE/added\nSOURCE/more\n", "SOURCE/added/one.py": "", "SOURCE/more/two.py": ""}, runs: []string{"import two", "import one"}},
	{name: "hidden", files: map[string]string{".a.pth": "SOURCE/added\n", "SOURCE/added/one.py": ""}, runs: []string{"import one"}},
	{name: "a directory, a link", files: map[string]string{"a.pth/x": "", "b.pth": "-> SOURCE/real.txt", "SOURCE/real.txt": "SOURCE/added\n", "SOURCE/added/one.py": ""}, runs: []string{"import one"}},
	{name: "a line that names a file", files: map[string]string{"a.pth": "SOURCE/file.txt\n", "SOURCE/file.txt": "no archive"}, runs: []string{"import nothere_file"}},
	{name: "nested site", files: map[string]string{"a.pth": "import site; site.addsitedir('SOURCE/nest')\n", "SOURCE/nest/b.pth": "deeper\n", "SOURCE/nest/deeper/deep.py": ""}, runs: []string{"import deep"}},
	{name: "sitecustomize adds", files: map[string]string{"sitecustomize.py": "import sys\nsys.path.append('SOURCE/added')\n", "SOURCE/added/one.py": ""}, runs: []string{"import one"}},
	{name: "module of a line adds", files: map[string]string{"a.pth": "import adder\n", "adder.py": "import site\nsite.addsitedir('SOURCE/added')\n", "SOURCE/added/one.py": ""}, runs: []string{"import one"}},
	{name: "pkgutil's namespace", files: map[string]string{"ns/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n", "ns/here.py": "", "a.pth": "SOURCE/more\n", "SOURCE/more/ns/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n", "SOURCE/more/ns/there.py": ""},
		runs: []string{"import ns.here, ns.there", "import ns.nowhere"}, open: []string{"import ns.nowhere"}},
	{name: "path of a package", files: map[string]string{"pkg/__init__.py": "import os\n__path__.append(os.path.join(os.path.dirname(__file__), 'more'))\n", "pkg/more/extra.py": ""}, runs: []string{"import pkg.extra"}},
	{name: "namespace over two places", files: map[string]string{"ns/a.py": "", "x.pth": "SOURCE/more\n", "SOURCE/more/ns/b.py": "", "SOURCE/more/ns/sub/c.py": ""}, runs: []string{"import ns.a, ns.b, ns.sub.c", "import ns.sub.d", "import ns.c"}},
	{name: "namespace that grows", files: map[string]string{"ns/a.py": "", "SOURCE/more/ns/b.py": "", "SOURCE/more/ns/c.py": ""},
		runs: []string{"import sys; import ns.a; sys.path.append('SOURCE/more'); import ns.b", "import sys, ns; sys.path.append('SOURCE/more'); from ns import a, c"}},
	{name: "package before namespace", files: map[string]string{"ns/a.py": "", "x.pth": "SOURCE/more\n", "SOURCE/more/ns/__init__.py": "", "SOURCE/more/ns/b.py": ""}, runs: []string{"import ns.b", "import ns.a"}},
	{name: "only a cache", files: map[string]string{"__pycache__/cached.cpython-311.pyc": "", "empty/.keep": ""}, runs: []string{"import cached", "import empty", "import empty.x", "from empty import x"}},
	{name: "letters", files: map[string]string{"Upper.py": ""}, runs: []string{"import upper", "import Upper"}},
	{name: "directory beside a module", files: map[string]string{"both/x.py": "", "both.py": "y = 1"}, runs: []string{"import both", "import both.x"}},
	{name: "editables", files: map[string]string{"_editable_impl_p.pth": "import _editable_impl_p", "_editable_impl_p.py": "from editables.redirector import RedirectingFinder as F\nF.install()\nF.map_module('p', 'SOURCE/p/__init__.py')\nF.map_module('m', 'SOURCE/m.py')\nF.map_module('lost', 'SOURCE/lost.py')",
		"editables/__init__.py": "", "editables/redirector.py": redirector, "SOURCE/p/__init__.py": "from . import inner", "SOURCE/p/inner.py": "import json", "SOURCE/m.py": "import nothere_m"}, runs: []string{"import p", "import p.inner", "import p.gone", "import m", "import other", "import lost"}},
	{name: "namespaces of setuptools", files: map[string]string{"__editable__.n-1.pth": "import __editable___n_1_finder; __editable___n_1_finder.install()", "__editable___n_1_finder.py": setuptoolsFinder,
		"nsp/beta/__init__.py": "", "SOURCE/alpha/__init__.py": "from . import b", "SOURCE/alpha/b.py": "", "SOURCE/renamed/__init__.py": "from . import inner", "SOURCE/renamed/inner/__init__.py": "import json", "SOURCE/single.py": "", "SOURCE/deep/z.py": ""},
		runs: []string{"import nsp.alpha", "import nsp.beta", "import nsp.alpha.b", "import nsp.gone", "import renamed", "import renamed.gone", "import single", "import only.here.deep.z", "import only.nothing", "import only", "import nsp.alpha.x", "import absent", "import nsp.alpha, nsp.beta, absent"}},
	{name: "another importer", files: map[string]string{"a.pth": "import _made\n", "_made.py": "import _importer\n_importer.add('given', 'SOURCE/given.py')\n",
		"_importer.py":    "import sys\nfrom importlib.util import spec_from_file_location\nKNOWN = {}\nclass F:\n    @staticmethod\n    def find_spec(name, path=None, target=None):\n        return spec_from_file_location(name, KNOWN[name]) if name in KNOWN else None\ndef add(name, file):\n    KNOWN[name] = file\n    sys.meta_path.append(F)\n",
		"SOURCE/given.py": ""}, runs: []string{"import given"}},
	{name: "modules run", least: 8, files: map[string]string{"pkg/__init__.py": "", "pkg/__main__.py": "from . import inner\nimport nothere_main\n", "pkg/inner.py": "", "bare/__init__.py": "", "nsm/__main__.py": "import json\nimport nothere_nsm", "mod-with-dash.py": "import nothere_dash", "deep/__init__.py": "", "deep/er/__init__.py": "import nothere_er", "deep/er/__main__.py": ""},
		runs: []string{"-m pkg", "-m pkg.inner", "-m pkg.__main__", "-m bare", "-m nsm", "-m mod-with-dash", "-m gone", "-m gone.sub", "-m pkg.gone", "-m deep.er", "-m pkg.inner.x", "-m json", "SITE/pkg/__main__.py", "SITE/pkg", "SITE/nsm", "SITE/bare", "-m deep.none.x"}},
	{name: "scripts", least: 8, files: map[string]string{"SOURCE/s.py": "import beside\nimport nothere_s", "SOURCE/beside.py": "", "SOURCE/link.py": "-> SOURCE/other/t.py", "SOURCE/other/t.py": "import near\nimport nothere_t", "SOURCE/other/near.py": "", "SOURCE/app.pyz": "zip: __main__.py=import lib1\nimport nothere_z|lib1.py=x = 1", "SOURCE/noext": "import nothere_noext", "SOURCE/rel.py": "from . import beside", "SOURCE/rel2.py": "from .beside import x"},
		runs: []string{"SOURCE/s.py", "SOURCE/link.py", "SOURCE/app.pyz", "SOURCE/noext", "-I SOURCE/s.py", "-E -s SOURCE/s.py", "SOURCE/gone.py", "SOURCE/rel.py", "SOURCE/rel2.py", "-S SOURCE/s.py", "-X utf8 -W ignore -B SOURCE/s.py", "-mSOURCE", "-Wd -m gone"}},
	{name: "scripts that end before", files: map[string]string{"SOURCE/well.py": "import os, sys\nif not os.path.exists('/nothere/at/all'):\n    sys.exit()\nimport nothere_1", "SOURCE/badly.py": "import os, sys\nif not os.path.exists('/nothere/at/all'):\n    sys.exit(3)\nimport json",
		"SOURCE/caught.py": "import sys\ntry:\n    import nothere_2\nexcept ImportError:\n    sys.exit('please install nothere_2')", "SOURCE/minus.py": "import sys\ntry:\n    import nothere_2\nexcept ImportError:\n    sys.exit(-1)",
		"SOURCE/fine.py": "try:\n    import nothere_3\nexcept ImportError:\n    raise SystemExit(0)\nimport nothere_4", "SOURCE/plain.py": "try:\n    import nothere_3\nexcept ImportError:\n    raise SystemExit\nimport nothere_4",
		"SOURCE/text.py": "try:\n    import nothere_3\nexcept ImportError as e:\n    raise SystemExit('no: %s' % e)", "SOURCE/loop.py": "import sys\nfor a in sys.path:\n    if a is not None:\n        quit()\nimport nothere_5",
		"SOURCE/other.py": "import sys\ntry:\n    import json\nexcept ImportError:\n    sys.exit(0)\nimport nothere_6", "SOURCE/used.py": "import argparse\np = argparse.ArgumentParser()\np.add_argument('x', nargs='*')\nargs = p.parse_args()\nimport nothere_7",
		"SOURCE/never.py": "import sys\nif sys.version_info < (3, 2):\n    sys.exit(0)\ndef f():\n    sys.exit(0)\nimport nothere_8", "early.py": "import os\nraise SystemExit(0)", "SOURCE/early.py": "import early\nimport nothere_9",
		"SOURCE/else.py": "try:\n    import json\nexcept (ImportError, ModuleNotFoundError) as e:\n    pass\nelse:\n    import nothere_10", "SOURCE/else2.py": "try:\n    x = int('a')\n    import json\nexcept (ImportError, ValueError):\n    pass\nelse:\n    import nothere_11"},
		runs: []string{"SOURCE/well.py", "SOURCE/badly.py", "SOURCE/caught.py", "SOURCE/minus.py", "SOURCE/fine.py", "SOURCE/plain.py", "SOURCE/text.py", "SOURCE/loop.py", "SOURCE/other.py", "SOURCE/used.py", "SOURCE/used.py a --help", "SOURCE/never.py", "SOURCE/early.py", "SOURCE/else.py", "SOURCE/else2.py"},
		open: []string{"SOURCE/badly.py"}},
	{name: "less of sys.path", files: map[string]string{"one.py": ""}, runs: cutting, open: cutting},
}

var cutting = []string{"import sys; sys.path = []; import one", "import sys; sys.path.remove('SITE'); import one", "import sys; del sys.path[:]; import one", "import sys; sys.path.clear(); import one",
	"import sys; sys.path[:] = []; import one"}

const redirector = `import importlib.abc, importlib.util, sys
class RedirectingFinder(importlib.abc.MetaPathFinder):
    _redirections = {}
    @classmethod
    def map_module(cls, name, path):
        cls._redirections[name] = path
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if "." in fullname or path is not None or fullname not in cls._redirections:
            return None
        return importlib.util.spec_from_file_location(fullname, cls._redirections[fullname])
    @classmethod
    def install(cls):
        if cls not in sys.meta_path:
            sys.meta_path.append(cls)
`

const setuptoolsFinder = `import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.machinery import all_suffixes as module_suffixes
from importlib.util import spec_from_file_location
from itertools import chain
from pathlib import Path

MAPPING = {'nsp.alpha': 'SOURCE/alpha', 'renamed': 'SOURCE/renamed', 'single': 'SOURCE/single', 'only.here.deep': 'SOURCE/deep', 'absent': 'SOURCE/absent'}
NAMESPACES = {'nsp': [], 'only': [], 'only.here': [], 'only.here.deep': ['SOURCE/deep']}
PATH_PLACEHOLDER = '__editable__.n-1.finder' + ".__path_hook__"


class _EditableFinder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in MAPPING:
            return cls._find_spec(fullname, Path(MAPPING[fullname]))
        parent, _, child = fullname.rpartition(".")
        if parent and parent in MAPPING:
            return PathFinder.find_spec(fullname, path=[MAPPING[parent]])
        return None

    @classmethod
    def _find_spec(cls, fullname, candidate_path):
        init = candidate_path / "__init__.py"
        candidates = (candidate_path.with_suffix(x) for x in module_suffixes())
        for candidate in chain([init], candidates):
            if candidate.exists():
                return spec_from_file_location(fullname, candidate)
        return None


class _EditableNamespaceFinder:
    @classmethod
    def _path_hook(cls, path):
        if path == PATH_PLACEHOLDER:
            return cls
        raise ImportError

    @classmethod
    def _paths(cls, fullname):
        paths = NAMESPACES[fullname]
        if not paths and fullname in MAPPING:
            paths = [MAPPING[fullname]]
        return [*paths, PATH_PLACEHOLDER]

    @classmethod
    def find_spec(cls, fullname, target=None):
        if fullname in NAMESPACES:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = cls._paths(fullname)
            return spec
        return None


def install():
    if not any(finder == _EditableFinder for finder in sys.meta_path):
        sys.meta_path.append(_EditableFinder)
    if not NAMESPACES:
        return
    if not any(hook == _EditableNamespaceFinder._path_hook for hook in sys.path_hooks):
        sys.path_hooks.append(_EditableNamespaceFinder._path_hook)
    if PATH_PLACEHOLDER not in sys.path:
        sys.path.append(PATH_PLACEHOLDER)
`

// TestOddities runs commands in environments with odd things in them, and holds what the scan says against what happens.
func TestOddities(t *testing.T) {
	for _, base := range pythons(t) {
		version := detect(t, base).Version
		if !everything() && version.Minor != 8 && version.Minor != 13 && base != "/usr/bin/python3" {
			continue
		}
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if out, err := command(base, "-m", "venv", "--without-pip", dir); err != nil {
				skip(t, "python3 -m venv: ", out)
			}
			for _, o := range oddities {
				if version.Minor >= o.least {
					t.Run(o.name, func(t *testing.T) { o.compare(t, dir) })
				}
			}
		})
	}
}

// compare runs all commands of an oddity in the environment at dir.
func (o oddity) compare(t *testing.T, dir string) {
	source, python := t.TempDir(), dir+"/bin/python3"
	site := o.fill(t, dir, source)
	fill := strings.NewReplacer("SOURCE", source, "SITE", site).Replace
	py := detect(t, python)
	env := map[string]string{}
	var real []string
	for _, e := range o.env {
		name, value, _ := strings.Cut(fill(e), "=")
		env[name], real = value, append(real, fill(e))
	}
	for _, run := range o.runs {
		args := strings.Fields(fill(run))
		if strings.Contains(run, "import ") {
			args = []string{"-c", fill(run)}
		}
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Known: &parsed, Command: append([]string{python}, args...), Env: env, WorkingDir: "/"})
		must(t, err)
		said, failed := ended(python, args, real)
		first := report.First()
		open := slices.Contains(o.open, run) && slices.ContainsFunc(report.NotChecked, func(n NotChecked) bool {
			return n.Reach == Required || n.What == "pth" || n.What == "raise" && n.At.Module == "__main__"
		})
		switch {
		case first == nil && failed && !open:
			t.Errorf("%s: nothing foreseen, really %q; not checked: %v", run, said, slices.DeleteFunc(report.NotChecked, func(n NotChecked) bool { return n.Reach == Deferred }))
		case first != nil && !failed:
			t.Errorf("%s: foreseen %q at %v, really nothing", run, first.text(), first.At)
		case first != nil && !first.Raised && !strings.HasSuffix(said, first.text()):
			t.Errorf("%s: foreseen %q, really %q", run, first.text(), said)
		}
	}
}

// TestChangedDirectory: a shell's cd comes before what -c, -m and PYTHONPATH find in the working directory.
func TestChangedDirectory(t *testing.T) {
	const python = "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		skip(t, "no interpreter of the distribution: ", err)
	}
	py, dir := detect(t, python), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "deep/pkg"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "deep/pkg/__init__.py"), []byte("import nothere_pkg"), 0o644))
	for _, script := range []string{"cd DIR/deep && exec PY -c 'import pkg'", "cd DIR; cd deep; PY -m pkg", "cd DIR && PY -c 'import pkg'", "PY -c 'import pkg'", "cd DIR/deep && PY -I -c 'import pkg'"} {
		script = strings.NewReplacer("DIR", dir, "PY", python).Replace(script)
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Known: &parsed, Command: []string{"sh", "-c", script}, WorkingDir: "/"})
		must(t, err)
		said, failed := ended("/bin/sh", []string{"-c", script}, nil)
		if first := report.First(); !failed || first == nil || !strings.HasSuffix(said, first.text()) {
			t.Errorf("%s: foreseen %+v, really %q", script, first, said)
		}
	}
}

// ended is the last line that a command writes when it fails.
func ended(python string, args, env []string) (last string, failed bool) {
	cmd := exec.Command(python, args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=" + noHome, "PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1"}, env...)
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], err != nil
}

// fill puts the files into the environment at dir, in place of all that its site directory has. A text that begins with
// "zip: " names the files of an archive, with "-> " the target of a link.
func (o oddity) fill(t *testing.T, dir, source string) (site string) {
	t.Helper()
	found, err := filepath.Glob(dir + "/lib/python3*")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	must(t, os.RemoveAll(found[0]))
	site = found[0] + "/site-packages"
	must(t, os.MkdirAll(site, 0o755))
	for name, text := range o.files {
		p := strings.ReplaceAll(name, "SOURCE", source)
		if !filepath.IsAbs(p) {
			p = filepath.Join(site, p)
		}
		text = strings.ReplaceAll(text, "SOURCE", source)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(target, p))
			continue
		}
		if list, ok := strings.CutPrefix(text, "zip: "); ok {
			text = zipped(t, strings.Split(list, "|"))
		}
		must(t, os.WriteFile(p, []byte(text), 0o644))
	}
	return site
}

// zipped is an archive of files, each written as NAME=TEXT.
func zipped(t *testing.T, files []string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		name, text, _ := strings.Cut(f, "=")
		out, err := w.Create(name)
		must(t, err)
		_, err = out.Write([]byte(text))
		must(t, err)
	}
	must(t, w.Close())
	return b.String()
}
