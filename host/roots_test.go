package host

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// prefixFiles is an installation of the system's Python version below prefix.
func prefixFiles(prefix, py string) map[string]string {
	prefix = strings.TrimPrefix(prefix, "/")
	lib := prefix + "/lib/" + py
	return map[string]string{
		prefix + "/bin/" + py: "elf", prefix + "/bin/python3": "-> " + py,
		lib + "/os.py": "", lib + "/site.py": "# upstream's\n", lib + "/lib-dynload/": "", lib + "/site-packages/": "",
		"lib64/ld-linux-x86-64.so.2": "",
	}
}

func sysconfigData(prefix, py string) string {
	tag := "cpython-" + strings.ReplaceAll(strings.TrimPrefix(py, "python"), ".", "")
	return fmt.Sprintf("build_time_vars = {'prefix': %q,\n 'SOABI': '%s-x86_64-linux-gnu',\n 'EXT_SUFFIX': '.%s-x86_64-linux-gnu.so',\n 'ABIFLAGS': '',\n 'MULTIARCH': 'x86_64-linux-gnu',\n 'VERSION': '%s'}\n",
		prefix, tag, tag, strings.TrimPrefix(py, "python"))
}

// TestKindsOfEnvironments reads machines that are laid out as the installers do it.
func TestKindsOfEnvironments(t *testing.T) {
	py := systemPython(t)
	data := "_sysconfigdata__linux_x86_64-linux-gnu.py"
	with := func(base map[string]string, more map[string]string) map[string]string {
		all := maps.Clone(base)
		maps.Copy(all, more)
		return all
	}
	conda, uvPython := "/home/u/miniconda3", "/home/u/.local/share/uv/python/cpython-3.11.9-linux-x86_64-gnu"
	uvFiles := with(prefixFiles(uvPython, py), map[string]string{uvPython[1:] + "/lib/" + py + "/" + data: sysconfigData("/install", py)})
	tests := []struct {
		name, path, kind string
		files            map[string]string
		sites            []string
		conda            map[string]string
	}{
		{"conda", conda + "/bin", "conda", with(prefixFiles(conda, py), map[string]string{
			"home/u/miniconda3/conda-meta/python-3.11.9-h955ad1f_0.json": "{}", "home/u/miniconda3/conda-meta/cudatoolkit-11.8.0-h6a678d5_0.json": "{}",
			"home/u/miniconda3/conda-meta/zlib-1.2-0.json": "{}", "home/u/miniconda3/conda-meta/history": ""}),
			[]string{conda + "/lib/" + py + "/site-packages site-packages"}, map[string]string{"python": "3.11.9", "cudatoolkit": "11.8.0"}},
		{"standalone", "/opt/python/bin", "standalone", with(prefixFiles("/opt/python", py), map[string]string{"opt/python/lib/" + py + "/" + data: sysconfigData("/install", py)}),
			[]string{"/opt/python/lib/" + py + "/site-packages site-packages"}, nil},
		{"uv's own Python", uvPython + "/bin", "uv", uvFiles, []string{uvPython + "/lib/" + py + "/site-packages site-packages"}, nil},
		{"uv venv", "/job/.venv/bin", "uv", with(uvFiles, map[string]string{
			"job/.venv/bin/python3": "-> python", "job/.venv/bin/python": "-> " + uvPython + "/bin/" + py,
			"job/.venv/pyvenv.cfg":                    "home = " + uvPython + "/bin\nimplementation = CPython\nuv = 0.4.18\nversion_info = 3.11.9\ninclude-system-site-packages = false\n",
			"job/.venv/lib/" + py + "/site-packages/": ""}),
			[]string{"/job/.venv/lib/" + py + "/site-packages site-packages"}, nil},
		{"debian", "/usr/bin", "debian", with(prefixFiles("/usr", py), map[string]string{
			"usr/lib/" + py + "/site.py": "# dist-packages\n", "usr/lib/python3/dist-packages/yaml/__init__.py": "",
			"usr/local/lib/" + py + "/dist-packages/": "", "root/.local/lib/" + py + "/site-packages/mine.py": ""}),
			[]string{"/root/.local/lib/" + py + "/site-packages user", "/usr/local/lib/" + py + "/dist-packages dist-packages", "/usr/lib/python3/dist-packages dist-packages"}, nil},
		{"pyenv", "/py/shims", "pyenv", with(prefixFiles("/py/versions/3.11.9", py), map[string]string{"py/shims/python3": shim, "py/version": "3.11.9\n"}),
			[]string{"/py/versions/3.11.9/lib/" + py + "/site-packages site-packages"}, nil},
		{"system", "/usr/local/bin", "system", prefixFiles("/usr/local", py), []string{"/usr/local/lib/" + py + "/site-packages site-packages"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := fakeRoot(t, tt.files)
			f, err := Probe(context.Background(), Options{Root: root, Env: map[string]string{"PATH": tt.path, "HOME": "/root"}, Dir: "/job"}, Needs{Python: "auto"})
			if err != nil || f.Python == nil {
				t.Fatal(err, f.Findings)
			}
			var sites []string
			for _, s := range f.Python.Sites {
				sites = append(sites, s.Path+" "+s.Kind)
			}
			if diff := cmp.Diff(tt.sites, sites); diff != "" {
				t.Error(diff)
			}
			if f.Python.Kind != tt.kind || !cmp.Equal(f.Python.Conda, tt.conda) {
				t.Error(f.Python.Kind, f.Python.Conda)
			}
			if v := "python" + fmt.Sprintf("%d.%d", f.Python.Version.Major, f.Python.Version.Minor); v != py {
				t.Error(v)
			}
			for _, said := range f.Findings {
				t.Errorf("%+v", said)
			}
		})
	}
}

// TestFactsDocument holds docs/facts.md to the fields of the JSON.
func TestFactsDocument(t *testing.T) {
	text := readAll(t, "../docs/facts.md")
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.\\[\\]]+)` \\|").FindAllStringSubmatch(text, -1) {
		documented[row[1]] = true
	}
	for name := range jsonFields() {
		if !documented[name] {
			t.Errorf("docs/facts.md has no row for `%s`", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		if strings.HasPrefix(name, "inventories[]") || strings.HasPrefix(name, "grants[]") {
			continue // of plan.Facts: package devices has the types
		}
		t.Errorf("docs/facts.md documents `%s`, which is no field", name)
	}
}
