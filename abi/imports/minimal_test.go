package imports

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// TestMinimalImageLacksCtypesFirst: Debian's python3-minimal with a whole torch mounted stops at ctypes, before anything
// of torch's own is missed.
func TestMinimalImageLacksCtypesFirst(t *testing.T) {
	const root = "/var/cache/hostrun-test/pythons/minimal-amd64"
	if _, err := os.Stat(root + "/usr/bin/python3.11"); err != nil {
		skip(t, "needs a root with python3-minimal: ", err)
	}
	site := filepath.Join(filepath.Dir(demoPython), "../lib/python3.11/site-packages")
	if _, err := os.Stat(filepath.Join(site, "torch")); err != nil { // a stand-in that begins as torch does
		site = t.TempDir()
		must(t, os.Mkdir(filepath.Join(site, "torch"), 0o755))
		must(t, os.WriteFile(filepath.Join(site, "torch/__init__.py"), []byte("import builtins\nimport ctypes\nimport torch._C\n"), 0o644))
	}
	view, err := rootfs.Mounted(rootfs.Dir(root), rootfs.Mount{Source: site, Destination: "/opt/hostrun/site/0"})
	must(t, err)
	py, err := abi.DetectPython(view, "/usr/bin/python3.11", abi.Environment{})
	must(t, err)
	report, err := Scan(t.Context(), view, Request{Python: py, Command: []string{"python3.11", "-c", "import torch"},
		Env: map[string]string{"PATH": "/usr/bin", "PYTHONPATH": "/opt/hostrun/site/0"}, HostDirs: []string{"/opt/hostrun"}})
	must(t, err)
	first := report.First()
	if first == nil || first.Name != "ctypes" || !first.Stdlib || first.Message != "No module named 'ctypes'" {
		t.Fatalf("first: %+v", first)
	}
	found := finding.Errors(report.Findings(true))
	if len(found) == 0 || found[0].ID != finding.StandardMissing {
		t.Errorf("findings: %+v", found)
	}
	if said := inRoot(t, root, site); !strings.HasSuffix(said, first.Error+": "+first.Message) {
		t.Errorf("python3.11 says %q", said)
	}
	torch := report.Modules[0]
	for _, m := range report.Modules {
		if m.Name == "torch" {
			torch = m
		}
	}
	if torch.Side != "host" || torch.File != "/opt/hostrun/site/0/torch/__init__.py" {
		t.Errorf("torch: %+v", torch)
	}
}

// inRoot really imports torch in a copy of the root, and returns what Python says.
func inRoot(t *testing.T, root, site string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "mounting needs root")
	}
	there := filepath.Join(t.TempDir(), "root")
	script := `cp -a "$1" "$3" && mkdir -p "$3/opt/hostrun/site/0" && mount --bind "$2" "$3/opt/hostrun/site/0" &&
		PYTHONPATH=/opt/hostrun/site/0 PYTHONDONTWRITEBYTECODE=1 chroot "$3" /usr/bin/python3.11 -c "import torch"`
	out, _ := exec.Command("unshare", "-m", "sh", "-c", script, "sh", root, site, there).CombinedOutput()
	return strings.TrimSpace(string(out))
}
