package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
)

// interpreters are the Pythons of this machine, one of each minor version.
func interpreters(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	patterns := []string{"/usr/bin/python3", "/usr/local/bin/python3", "/opt/*/bin/python3"}
	if home, err := os.UserHomeDir(); err == nil {
		patterns = append(patterns, home+"/.pyenv/versions/3.*/bin/python3", home+"/.local/share/uv/python/*/bin/python3")
	}
	for _, pattern := range patterns {
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			out, err := exec.Command(f, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])").Output()
			if v := strings.TrimSpace(string(out)); err == nil && found[v] == "" {
				found[v] = f
			}
		}
	}
	if len(found) == 0 {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal("no Python 3 with venv on this machine")
		}
		t.Skip("no Python 3 with venv on this machine")
	}
	return found
}

// imported is what one interpreter says about its modules.
type imported struct {
	Both, HostOnly, ImageOnly, Stdlib, FromPth string
	Path                                       []string
}

const ask = `
import json, sys
import both, hostonly, imageonly, frompth, bisect
print(json.dumps({"both": both.__file__, "hostOnly": hostonly.__file__, "imageOnly": imageonly.__file__,
    "fromPth": frompth.__file__, "stdlib": bisect.__file__, "path": sys.path}))`

// TestPthInRealInterpreters lets each Python of this machine read the generated file in a virtual environment: a module
// that both sides have comes from the side that has precedence, the standard library is never hidden, the host's own
// .pth files run, and -I and -E change nothing.
func TestPthInRealInterpreters(t *testing.T) {
	for version, executable := range interpreters(t) {
		t.Run(version, func(t *testing.T) {
			dir := t.TempDir()
			image, site := environment(t, executable, dir)
			lent := filepath.Join(dir, "lent")
			for _, name := range []string{"both", "hostonly", "bisect"} {
				write(t, filepath.Join(lent, name+".py"), "")
			}
			write(t, filepath.Join(lent, "inside", "frompth.py"), "")
			write(t, filepath.Join(lent, "own.pth"), "inside\n")
			write(t, filepath.Join(site, "both.py"), "")
			write(t, filepath.Join(site, "imageonly.py"), "")
			for precedence, winner := range map[string]string{"image": site, "host": lent} {
				content := generatedPth(t, version, site, lent, precedence)
				write(t, filepath.Join(site, "zz_hostrun.pth"), content)
				for _, flags := range [][]string{nil, {"-I"}, {"-E"}, {"-s"}} {
					got := importAll(t, image, flags)
					if filepath.Dir(got.Both) != winner {
						t.Errorf("precedence %s, flags %v: both comes from %s, want %s\n%s\n%s", precedence, flags, got.Both, winner, content, got.Path)
					}
					if strings.HasPrefix(got.Stdlib, dir) {
						t.Errorf("precedence %s: bisect of the standard library is hidden by %s", precedence, got.Stdlib)
					}
					if filepath.Dir(got.FromPth) != filepath.Join(lent, "inside") {
						t.Errorf("frompth comes from %s", got.FromPth)
					}
					if n := len(got.Path); n != len(slices.Compact(slices.Sorted(slices.Values(got.Path)))) {
						t.Errorf("sys.path has doubles: %s", got.Path)
					}
				}
			}
		})
	}
}

// environment makes a virtual environment and returns its interpreter and its site directory.
func environment(t *testing.T, executable, dir string) (image, site string) {
	t.Helper()
	venv := filepath.Join(dir, "venv")
	if out, err := exec.Command(executable, "-m", "venv", "--without-pip", venv).CombinedOutput(); err != nil {
		t.Fatalf("make a virtual environment: %v\n%s", err, out)
	}
	sites, err := filepath.Glob(venv + "/lib/python3*/site-packages")
	if err != nil || len(sites) != 1 {
		t.Fatalf("site directories %v, %v", sites, err)
	}
	return venv + "/bin/python3", sites[0]
}

// generatedPth is the file as Build makes it, with the container's directory of packages replaced by the one on this machine.
func generatedPth(t *testing.T, version, site, lent, precedence string) string {
	t.Helper()
	p := python("/usr/local/bin/python3", 11)
	if _, err := fmt.Sscanf(version, "3.%d", &p.Version.Minor); err != nil {
		t.Fatal(err)
	}
	h := host.Python{Python: p, Kind: "venv", Sites: []host.Site{{Path: lent, Real: lent, Kind: "site-packages"}}}
	f := borrowing(&h)
	f.Profile.Python.Precedence = precedence
	p.SiteDirs = []string{site}
	f.Image.Pythons = []abi.Python{p}
	pl := build(t, f)
	i := slices.IndexFunc(pl.Files, func(f plan.File) bool { return strings.HasSuffix(f.Path, "/zz_hostrun.pth") })
	if i < 0 {
		t.Fatal("no .pth file")
	}
	return regexp.MustCompile(`/opt/hostrun/site/0`).ReplaceAllString(pl.Files[i].Content, lent)
}

func importAll(t *testing.T, image string, flags []string) imported {
	t.Helper()
	cmd := exec.Command(image, append(slices.Clone(flags), "-c", ask)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1"}
	cmd.Dir = "/"
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s %v: %v\n%s", image, flags, err, stderr.String())
	}
	var got imported
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func write(t *testing.T, file, content string) {
	t.Helper()
	must(filepath.Dir(file))
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
