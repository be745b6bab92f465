package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/rootfs"
)

func TestInstalled(t *testing.T) {
	root := t.TempDir()
	site := "/usr/lib/python3/dist-packages"
	for _, p := range []string{"numpy/__init__.py", "numpy-1.26.4.dist-info/METADATA", "PyYAML-6.0.egg-info/PKG-INFO",
		"yaml/__init__.py", "six.py", "_cffi_backend.cpython-311-x86_64-linux-gnu.so", "markupsafe.cpython-311-x86_64-linux-gnu.so",
		"numpy.libs/libx.so", "__pycache__/six.pyc", "README.txt", "zz.pth"} {
		full := filepath.Join(root, site, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sites, packages := Installed(rootfs.Dir(root), []string{"/nowhere", site}, []string{".cpython-311-x86_64-linux-gnu.so", ".so"})
	wantSites := []Site{{Path: site, Kind: kindDist, Modules: []string{"markupsafe", "numpy", "six", "yaml"}}}
	if diff := cmp.Diff(wantSites, sites); diff != "" {
		t.Errorf("sites (-want +got):\n%s", diff)
	}
	wantPackages := []Package{{Name: "PyYAML", Version: "6.0", Site: site}, {Name: "numpy", Version: "1.26.4", Site: site}}
	if diff := cmp.Diff(wantPackages, packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}
