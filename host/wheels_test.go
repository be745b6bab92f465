package host

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
)

// The wheels of these tests: small, native, each with a top_level.txt and a RECORD of its own.
var testWheels = []string{"markupsafe==2.1.5", "pyyaml==6.0.2"}

// pip runs the system's pip for the environment; it may reach the network, so it gets this process's variables.
func pip(t *testing.T, venv string, args ...string) error {
	t.Helper()
	args = append([]string{"-m", "pip", "--python", venv + "/bin/python3", "--quiet", "--disable-pip-version-check"}, args...)
	out, err := exec.Command(needPythons(t)[0], args...).CombinedOutput()
	if err != nil {
		t.Logf("pip %v: %v\n%s", args[3:], err, out)
	}
	return err
}

// wheelVenv is an environment with the test wheels, which are downloaded once.
func wheelVenv(t *testing.T) (venv, site string) {
	t.Helper()
	venv, site = plainVenv(t)
	cache := cmp.Or(os.Getenv("HOSTRUN_TEST_CACHE"), "/var/cache/hostrun-test") + "/wheels"
	offline := append([]string{"install", "--no-index", "--find-links", cache}, testWheels...)
	if pip(t, venv, offline...) == nil {
		return venv, site
	}
	if pip(t, venv, append([]string{"download", "--only-binary", ":all:", "--no-deps", "-d", cache}, testWheels...)...) != nil || pip(t, venv, offline...) != nil {
		skip(t, "the wheels can't be downloaded")
	}
	return venv, site
}

func TestRealWheels(t *testing.T) {
	venv, site := wheelVenv(t)
	env := bareEnv(t)
	env["ASK_COUNT"] = "1"
	f := ask(t, venv+"/bin/python3", env)
	for name, tops := range map[string][]string{"MarkupSafe": {"markupsafe"}, "PyYAML": {"_yaml", "yaml"}} {
		if p := packageNamed(t, f, name); !slices.Equal(p.TopLevel, tops) || p.MissingCount != 0 || p.Site != site {
			t.Error(p)
		}
	}
	if len(f.Findings) != 0 {
		t.Error(f.Findings)
	}
	speedups := onlyGlob(t, site+"/markupsafe/_speedups.*.so")
	remove(t, speedups)
	remove(t, site+"/yaml/loader.py")
	f = probeNeeds(t, Needs{Python: venv, Packages: []string{"markupsafe"}})
	got := []string{"HR031 error MarkupSafe", "HR031 warning PyYAML"}
	if !slices.Equal(findingsOf(f.Findings), got) {
		t.Error(f.Findings)
	}
	said := find(t, f.Findings, finding.SiteIncomplete)
	if !strings.Contains(said.Message, "markupsafe/"+filepath.Base(speedups)) || !strings.Contains(said.Message, "its import fails") {
		t.Error(said.Message)
	}
	if yaml := packageNamed(t, f, "PyYAML"); yaml.MissingModule || !slices.Equal(yaml.Missing, []string{"yaml/loader.py"}) {
		t.Error(yaml)
	}
}

// TestRealEditableInstalls lets pip and setuptools write the three forms of an editable install.
func TestRealEditableInstalls(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"flat": {"hrflat/__init__.py": ""},                          // a finder with MAPPING
		"src":  {"src/hrsrc/__init__.py": "", "src/hrsrc/a.py": ""}, // a .pth line
	} {
		t.Run(name, func(t *testing.T) {
			venv := makeVenv(t, needPythons(t)[0], "--system-site-packages") // the system's setuptools builds
			site := onlyGlob(t, venv+"/lib/python3*/site-packages")
			project := t.TempDir()
			writeFile(t, project+"/pyproject.toml", "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n[project]\nname = \"hr-"+name+"\"\nversion = \"0.3\"\n")
			for file, content := range files {
				writeFile(t, filepath.Join(project, file), content)
			}
			if pip(t, venv, "install", "--no-build-isolation", "--no-deps", "--no-index", "-e", project) != nil {
				skip(t, "this machine's pip and setuptools make no editable installs")
			}
			f := ask(t, venv+"/bin/python3", bareEnv(t))
			p := packageNamed(t, f, "hr-"+name)
			if p.Editable != project || p.Site != site || !slices.Equal(p.TopLevel, []string{"hr" + name}) || p.Version != "0.3" {
				t.Error(p)
			}
			leaks := 0
			for _, said := range f.Findings {
				if said.ID == finding.SitePathIgnored && strings.HasPrefix(said.Subject, "hr-") && strings.Contains(said.Remedy, project) {
					leaks++
				}
			}
			if leaks != 1 {
				t.Error(f.Findings)
			}
		})
	}
}
