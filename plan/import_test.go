package plan_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

// machineAsImage makes a root file system of this machine's own files, with a layer of its own to write to: an image
// with a real Python that nothing has to be pulled for.
func machineAsImage(t *testing.T, root string) abi.Python {
	t.Helper()
	found, err := abi.DetectPython(rootfs.Dir("/"), "/usr/bin/python3", abi.Environment{Path: []string{"/usr/bin"}})
	why := ""
	if err != nil {
		why = "no Python at /usr/bin/python3: " + err.Error()
	}
	layers := t.TempDir()
	options := "lowerdir=/,upperdir=" + must(layers, "upper") + ",workdir=" + must(layers, "work")
	if out, err := exec.Command("mount", "-t", "overlay", "-o", options, "overlay", root).CombinedOutput(); err != nil {
		why = "no overlay on this machine's root: " + string(out)
	} else {
		t.Cleanup(func() {
			if out, err := exec.Command("umount", root).CombinedOutput(); err != nil {
				t.Errorf("umount %s: %v\n%s", root, err, out)
			}
		})
	}
	if why != "" {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return found
}

// TestRuncImportsTheHostsPackages starts a real Python with runc: as a user without a home it imports a package that only
// the host's site directory has, by way of one of the host's own .pth files too, and can't write there.
func TestRuncImportsTheHostsPackages(t *testing.T) {
	runc := needRunc(t)
	bundle := t.TempDir()
	image := machineAsImage(t, must(bundle, "rootfs"))
	site := t.TempDir()
	if err := os.Chmod(site, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(site, "borrowed_package.py"), "where = __file__\n")
	write(t, filepath.Join(site, "inside", "by_pth.py"), "")
	write(t, filepath.Join(site, "own.pth"), "inside\n")

	f := borrowing(nil)
	realHost(t, &f)
	f.Host.Python = &host.Python{Python: image, Kind: "system", Sites: []host.Site{{Path: site, Real: site, Kind: "site-packages", Mode: 0o755, Files: 3}}}
	f.Image.Pythons = []abi.Python{image}
	f.Image.Env, f.Image.Paths = []string{"PATH=/usr/bin:/bin"}, map[string]plan.Path{}
	f.Profile.User = "1234"
	f.Profile.ReadOnly = true
	f.Profile.Command = command("python3", "-c", "import borrowed_package, by_pth, os; print(borrowed_package.where, by_pth.__file__, os.access('/opt/hostrun/site/0', os.W_OK), os.getuid())")
	got := strings.TrimSpace(start(t, runc, bundle, f))
	if want := "/opt/hostrun/site/0/borrowed_package.py /opt/hostrun/site/0/inside/by_pth.py False 1234"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
