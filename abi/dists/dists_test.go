package dists

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

func index(tb testing.TB, files map[string]string) *Index {
	tb.Helper()
	root := tb.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			tb.Fatal(err)
		}
	}
	return New(rootfs.Dir(root))
}

func TestOwners(t *testing.T) {
	x := index(t, map[string]string{
		"s/numpy-2.4.6.dist-info/RECORD":                "numpy/_core/_m.cpython-311.so,sha256=x,9\nnumpy/__init__.py,,\r\n\"odd, name/_o.so\",,\n../../elsewhere/_e.so,,\n",
		"s/numpy-2.4.6.dist-info/METADATA":              "Metadata-Version: 2.4\nName: NumPy\nVersion: 2.4.6\n\nName: no\n",
		"s/old-1.0-py3.11.egg-info/PKG-INFO":            "Name: old\nVersion: 1.0\n",
		"s/old-1.0-py3.11.egg-info/installed-files.txt": "../oldmod/_x.so\n",
		"s/PyYAML-6.0.egg-info/PKG-INFO":                "Name: PyYAML\nVersion: 6.0\n",
		"s/PyYAML-6.0.egg-info/top_level.txt":           "_yaml\nyaml\n",
		"s/flat-3.egg-info":                             "Name: flat\nVersion: 3\n",
		"s/one-1.dist-info/top_level.txt":               "shared\n",
		"s/two-2.dist-info/top_level.txt":               "shared\n",
		"s/~umpy-1.dist-info/RECORD":                    "numpy/_core/_m.cpython-311.so,,\n",
		"s/stray/deep/_s.so":                            "",
		"usr/lib/py/_d.so":                              "",
		"var/lib/dpkg/info/python3-d:amd64.list":        "/.\n/usr/lib/py/_d.so\n/lib/py/_merged.so\n",
		"var/lib/dpkg/status":                           "Package: python3-d\nStatus: ok\nVersion: 1-2\n",
		"var/lib/dpkg/info/broken.md5sums":              "/usr/lib/py/_d.so\n",
		"c/conda-meta/z-1-0.json":                       `{"name": "z", "version": "1", "files": ["lib/libz.so.1"]}`,
		"c/conda-meta/bad-1-0.json":                     `{"name": 7`,
	})
	for file, want := range map[string]Owner{
		"/s/numpy/_core/_m.cpython-311.so": {"NumPy", "2.4.6", "/s", "RECORD"},
		"/s/odd, name/_o.so":               {"NumPy", "2.4.6", "/s", "RECORD"},
		"/s/oldmod/_x.so":                  {"old", "1.0", "/s", "RECORD"},
		"/s/yaml/_yaml.so":                 {"PyYAML", "6.0", "/s", "name"},
		"/s/_yaml.cpython-311.so":          {"PyYAML", "6.0", "/s", "name"},
		"/s/flat/_f.so":                    {"flat", "3", "/s", "name"},
		"/s/shared/_s.so":                  {Dir: "/s/shared"},
		"/s/stray/deep/_s.so":              {Dir: "/s/stray"},
		"/usr/lib/py/_d.so":                {"python3-d", "1-2", "/usr/lib/py", "dpkg"},
		"/usr/lib/py/_merged.so":           {"python3-d", "1-2", "/lib/py", "dpkg"},
		"/c/lib/libz.so.1":                 {"z", "1", "/c", "conda"},
		"/c/lib/other.so":                  {Dir: "/c/lib"},
		"/nowhere/x.so":                    {Dir: "/nowhere"},
	} {
		if got := x.Owner(file); got != want {
			t.Errorf("%s: %+v, want %+v", file, got, want)
		}
	}
}

func FuzzOwner(f *testing.F) {
	f.Add("numpy/_m.so,,\n\"a\"\"b.so\",,\n", "Name: x\nVersion: 1\n", `{"name": "z", "files": ["a.so"]}`)
	f.Fuzz(func(t *testing.T, record, metadata, conda string) {
		x := index(t, map[string]string{"s/a-1.dist-info/RECORD": record, "s/a-1.dist-info/METADATA": metadata, "s/b.egg-info": metadata,
			"conda-meta/z.json": conda, "var/lib/dpkg/status": metadata, "var/lib/dpkg/info/z.list": record})
		for _, file := range []string{"/s/numpy/_m.so", "/a.so", record} {
			x.Owner(file)
		}
	})
}
