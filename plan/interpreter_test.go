package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// threePythons: /usr/local has 3.12, /usr 3.11, and a virtual environment is made of the second. Only the host's 3.11 and
// the generated file's version tell which one was chosen.
func threePythons() plan.Facts {
	f := borrowing(venvHost(11))
	local, usr := python("/usr/local/bin/python3", 12), python("/usr/bin/python3", 11)
	usr.Prefix, usr.Real, usr.SiteDirs = "/usr", "/usr/bin/python3.11", []string{"/usr/lib/python3/dist-packages"}
	venv := usr
	venv.Executable, venv.Prefix = "/venv/bin/python", "/venv"
	venv.Venv, venv.SiteDirs = &abi.Venv{Dir: "/venv"}, []string{"/venv/lib/python3.11/site-packages"}
	pypy := python("/opt/pypy/bin/pypy3", 11)
	pypy.Implementation, pypy.Real = "pypy", "/opt/pypy/bin/pypy3.11"
	pypy.SiteDirs = []string{"/opt/pypy/lib/pypy3.11/site-packages"}
	f.Image.Env = []string{"PATH=/usr/local/bin:/usr/bin:/opt/pypy/bin"}
	f.Image.Pythons = []abi.Python{local, usr, venv, pypy}
	f.Image.Paths["/usr/bin/python3.11"] = plan.Path{Real: "/usr/bin/python3.11", Mode: 0o755}
	f.Image.Paths["/bin"] = plan.Path{Real: "/usr/bin", Dir: true, Mode: 0o755}
	return f
}

func TestWhichPythonTheCommandRuns(t *testing.T) {
	const local, usr, venv, pypy = "/usr/local/lib/python3.12/site-packages", "/usr/lib/python3/dist-packages", "/venv/lib/python3.11/site-packages", "/opt/pypy/lib/pypy3.11/site-packages"
	for _, c := range []struct {
		command string
		path    string
		want    string // the site directory with the generated file; else a finding's ID
	}{
		{command: "python3 a.py", want: local},
		{command: "python a.py", want: local},
		{command: "python3.12 a.py", want: local},
		{command: "python3.11 a.py", want: usr},
		{command: "/usr/bin/python3 a.py", want: usr},
		{command: "/usr/bin/python3.11 a.py", want: usr},
		{command: "/bin/python3 a.py", want: usr},
		{command: "/venv/bin/python a.py", want: venv},
		{command: "/venv/bin/python3 a.py", want: venv},
		{command: "pypy3 a.py", want: pypy},
		{command: "env A=1 python3.11 a.py", want: usr},
		{command: "bash -c 'cd /x && exec /venv/bin/python a.py'", want: venv},
		{command: "bash -lc 'A=1 python3.11 -m torch.distributed.run a.py'", want: usr},
		{command: "numactl -N 0 /usr/bin/python3 a.py", want: usr},
		{command: "python3 /usr/bin/python3.11", want: local},
		{command: "torchrun a.py", want: local},
		{command: "python3 a.py", path: "/venv/bin:/usr/bin", want: venv},
		{command: "torchrun a.py", path: "/usr/bin", want: usr},
		{command: "python3.9 a.py", want: "HR018"},
		{command: "/opt/none/bin/python a.py", want: "HR018"},
		{command: "python2 a.py", want: "HR018"},
		{command: "torchrun a.py", path: "/nowhere", want: "HR019"},
	} {
		t.Run(c.command+" "+c.path, func(t *testing.T) {
			f := threePythons()
			f.Profile.Command = command(shellWords(c.command)...)
			if c.path != "" {
				f.Profile.Environment = []profiles.EnvVar{{Name: "PATH", Value: c.path}}
			}
			pl, _ := plan.Build(f)
			for _, m := range pl.Spec.Mounts {
				if dir, ok := strings.CutSuffix(m.Destination, "/zz_hostrun.pth"); ok {
					if dir != c.want {
						t.Errorf("the file is in %s, want %s", dir, c.want)
					}
					return
				}
			}
			if !slices.ContainsFunc(finding.Errors(pl.Findings), func(f finding.Finding) bool { return f.ID == c.want }) {
				t.Errorf("no file, and findings %v, want %s", pl.Findings, c.want)
			}
		})
	}
}

// shellWords splits at spaces; single quotes hold words together.
func shellWords(s string) []string {
	var all []string
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		all = append(all, strings.Fields(part)...)
	}
	return all
}

func TestFlagsThatKeepPackagesOut(t *testing.T) {
	for cmd, refused := range map[string]bool{
		"python3 -S a.py":                          true,
		"python3 -uS a.py":                         true,
		"python3 -W ignore -S a.py":                true,
		"python3 -Wignore -S a.py":                 true,
		"python3 -X dev -S a.py":                   true,
		"python3 --check-hash-based-pycs never -S": true,
		"bash -c 'python3 -S a.py'":                true,
		"python3 -I a.py":                          false,
		"python3 -E -s a.py":                       false,
		"python3 a.py -S":                          false,
		"python3 -m job -S":                        false,
		"python3 -c print() -S":                    false,
		"python3 -XS a.py":                         false,
		"python3 -W S a.py":                        false,
	} {
		f := borrowing(venvHost(11))
		f.Profile.Command = command(shellWords(cmd)...)
		f.Host.Python.Packages = []host.Package{{Name: "PyTorch", Version: "2.6.0", TopLevel: []string{"torch"}}}
		f.Proof = &proof.Report{Schema: 1, Findings: []finding.Finding{{ID: finding.ModuleMissing, Severity: finding.Error, Subject: "torch.nn", Message: "ModuleNotFoundError: No module named 'torch'"}}}
		pl, _ := plan.Build(f)
		got := slices.ContainsFunc(pl.Findings, func(f finding.Finding) bool { return f.ID == finding.PythonFlagIgnores })
		if got != refused {
			t.Errorf("%s: told %v, want %v", cmd, got, refused)
		}
	}
}

// TestFlagThatDoesNoHarm: python -S is no misfit where the command ends for no package of the host, as far as the proof can say.
func TestFlagThatDoesNoHarm(t *testing.T) {
	missing := finding.Finding{ID: finding.ModuleMissing, Severity: finding.Error, Subject: "elsewhere", Message: "ModuleNotFoundError: No module named 'elsewhere'"}
	caught := missing
	caught.Subject, caught.Severity = "torch", finding.Info
	for name, report := range map[string]*proof.Report{"not proved yet": nil, "nothing is missing": {Schema: 1}, "nobody has it": {Schema: 1, Findings: []finding.Finding{missing}},
		"its failure is caught": {Schema: 1, Findings: []finding.Finding{caught}}} {
		f := borrowing(venvHost(11))
		f.Profile.Command = command("python3", "-S", "a.py")
		f.Host.Python.Packages = []host.Package{{Name: "PyTorch", Version: "2.6.0", TopLevel: []string{"torch"}}}
		f.Proof = report
		pl, _ := plan.Build(f)
		if slices.ContainsFunc(pl.Findings, func(f finding.Finding) bool { return f.ID == finding.PythonFlagIgnores }) {
			t.Errorf("%s: %v", name, pl.Findings)
		}
	}
}

func TestNeedsNamesWhatThePlanLooksAt(t *testing.T) {
	f := dinov2()
	f.Profile.Command = command("/opt/conda/bin/python3", "a.py")
	got := plan.Needs(&f.Profile)
	want := plan.ImageNeeds{
		Python: true, Command: []string{"/opt/conda/bin/python3"},
		Paths: []string{"/etc/ld.so.cache", "/opt/conda/bin/python3", "/opt/conda/lib/python3.11/site-packages", "/opt/hostrun", "/root", "/usr/local/cuda", "/workspace"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/srv/dinov2"}, plan.BindSources(&f.Profile)); diff != "" {
		t.Error(diff)
	}
	f.Profile.Command = command("bash", "-c", "cd /x && exec /srv/app/bin/python a.py")
	if got := plan.Needs(&f.Profile).Command; !slices.Equal(got, []string{"/srv/app/bin/python"}) {
		t.Errorf("the interpreter in a script: %q", got)
	}
	f.Profile.Command = command("python3", "a.py")
	if got := plan.Needs(&f.Profile).Command; got != nil {
		t.Errorf("a name needs no more than PATH, and got %q", got)
	}
	least := job()
	if diff := cmp.Diff(plan.ImageNeeds{}, plan.Needs(&least)); diff != "" {
		t.Errorf("the least profile needs nothing of the image's files:\n%s", diff)
	}
}

// A second name of one directory is lent once; a conda environment's own libraries come with it.
func TestSitesAreLentOnce(t *testing.T) {
	pl := build(t, borrowing(venvHost(11)))
	if len(pl.Borrowed) != 1 || pl.Borrowed[0].Destination != "/opt/hostrun/site/0" {
		t.Errorf("borrowed %+v", pl.Borrowed)
	}
	conda := condaHost()
	conda.Sites = append(conda.Sites, host.Site{Path: "/home/u/link", Real: conda.Sites[0].Path + "/sub", Kind: "pth"})
	pl = build(t, borrowing(conda))
	if len(pl.Borrowed) != 2 || pl.Borrowed[0].Destination != "/opt/hostrun/env" {
		t.Errorf("borrowed %+v", pl.Borrowed)
	}
}
