package plan_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/abi/stage"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// lends is what a proof found to lend: two libraries of one directory, one of another, and what a link leads to.
func lends() *proof.Report {
	return &proof.Report{Schema: 1, Lent: &proof.Lent{
		Libraries: []stage.Library{
			{Name: "libblas.so.3", Source: "/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", Path: "/opt/hostrun/lib/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", Bytes: 448000, For: "numpy.linalg._umath_linalg"},
			{Name: "libgfortran.so.5", Source: "/usr/lib/x86_64-linux-gnu/libgfortran.so.5.0.0", Path: "/opt/hostrun/lib/usr/lib/x86_64-linux-gnu/libgfortran.so.5.0.0", Bytes: 2920000, For: "numpy.linalg._umath_linalg"},
		},
		Cache: []byte("glibc-ld.so.cache1.1\x00\xff"),
		Binds: []proof.Bind{
			{Source: "/usr/lib/x86_64-linux-gnu", Destination: "/opt/hostrun/lib/usr/lib/x86_64-linux-gnu", Dir: true, Kind: proof.BindLibraries, For: "numpy"},
			{Source: "/usr/share/fonts/a.ttf", Destination: "/opt/hostrun/share/a.ttf", Kind: proof.BindLink, For: "matplotlib", Bytes: 1000},
		},
	}}
}

// debians is a distribution's Python: its packages lie apart from the standard library.
func debians(p *abi.Python) {
	p.Prefix, p.BasePrefix, p.Stdlib, p.Real = "/usr", "/usr", "/usr/lib/python3.11", "/usr/bin/python3.11"
	if p.Venv == nil {
		p.SiteDirs = []string{"/usr/local/lib/python3.11/dist-packages", "/usr/lib/python3/dist-packages"}
	}
}

// moving is an interpreter in a tree of its own.
func moving() *host.Python {
	h := condaHost()
	h.Real, h.Stdlib = h.Prefix+"/bin/python3.11", h.Prefix+"/lib/python3.11"
	return h
}

func init() {
	leadsOut := finding.Finding{ID: finding.SitePathIgnored, Severity: finding.Warning, Subject: "/home/u/venv/lib/python3.11/site-packages/matplotlib",
		Got: "matplotlib/a.ttf -> ../../../../share/fonts/a.ttf", Message: "1 link of matplotlib to places that are not mounted"}
	cases["host-lends"] = func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Proof = lends()
		f.Host.Findings = []finding.Finding{leadsOut}
		return f
	}
	cases["host-lends-off"] = func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Proof, f.Profile.Python.BorrowLibraries = lends(), "off"
		return f
	}
	cases["host-lends-below-a-volume"] = func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Volumes = []profiles.Volume{{Type: "bind", Source: "/srv/etc", Target: "/etc", Key: "volumes[0]"}}
		f.Profile.Lines["volumes[0]"] = at(7)
		f.Sources = map[string]plan.Source{"/srv/etc": {Exists: true, Dir: true}}
		return f
	}
	cases["bytecode-apart"] = func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Host.Python.Bytecode = host.Bytecode{Tag: "cpython-311", Sources: 20000, Usable: 12}
		f.Profile.User = "app"
		return f
	}
	cases["host-interpreter"] = func() plan.Facts {
		f := borrowing(moving())
		f.Profile.Python.InterpreterFrom = "host"
		f.Image.Pythons = nil
		f.Image.Findings = []finding.Finding{{ID: finding.PythonMissingImage, Severity: finding.Error, Subject: "python3", Message: "no interpreter"}}
		return f
	}
	cases["host-interpreter-fixed-refused"] = func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Python.InterpreterFrom = "host"
		f.Profile.Lines["python.interpreter_from"] = at(4)
		f.Image.Pythons[0].Version.Micro++
		return f
	}
	cases["host-stdlib-with-packages-refused"] = func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Python.InterpreterFrom = "host"
		return f
	}
	cases["host-interpreter-hidden-refused"] = func() plan.Facts {
		f := borrowing(moving())
		f.Profile.Python.InterpreterFrom = "host"
		f.Image.Paths["/home/u/anaconda3"] = plan.Path{Real: "/home/u/anaconda3", Dir: true, Mode: 0o755, Entries: 3}
		return f
	}
	cases["host-stdlib"] = func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Python.InterpreterFrom = "host"
		debians(&f.Image.Pythons[0])
		debians(&f.Host.Python.Python)
		return f
	}
}

// TestLendsReplay: a recording of facts keeps a binary file, and gives the same container.
func TestLendsReplay(t *testing.T) {
	f := cases["host-lends"]()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var again plan.Facts
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	first, second := build(t, f), build(t, again)
	if first.Hash != second.Hash || first.Hash == build(t, cases["host-lends-off"]()).Hash {
		t.Errorf("hashes %s, %s", first.Hash, second.Hash)
	}
	i := slices.IndexFunc(second.Files, func(f plan.File) bool { return strings.HasSuffix(f.Path, "/ld.so.cache") })
	if i < 0 || string(second.Files[i].Bytes()) != string(f.Proof.Lent.Cache) {
		t.Errorf("files %+v", second.Files)
	}
}

// TestBytecodeStaysWhereItIsOfUse: the prefix hides .pyc files, so that it is set only where they are of none.
func TestBytecodeStaysWhereItIsOfUse(t *testing.T) {
	for name, change := range map[string]func(*plan.Facts){
		"most fit":    func(f *plan.Facts) { f.Host.Python.Bytecode.Usable = 15000 },
		"few sources": func(f *plan.Facts) { f.Host.Python.Bytecode.Sources = 20 },
		"the profile has its own": func(f *plan.Facts) {
			f.Profile.Environment = []profiles.EnvVar{{Name: "PYTHONPYCACHEPREFIX", Value: "/tmp/x"}}
		},
		"the profile wants none": func(f *plan.Facts) {
			f.Profile.Environment = []profiles.EnvVar{{Name: "PYTHONDONTWRITEBYTECODE", Value: "1"}}
		},
		"Python 3.7": func(f *plan.Facts) { f.Host.Python.Version.Minor, f.Image.Pythons[0].Version.Minor = 7, 7 },
	} {
		f := cases["bytecode-apart"]()
		change(&f)
		pl, _ := plan.Build(f)
		for _, kv := range pl.Spec.Process.Env {
			if strings.HasPrefix(kv, "PYTHONPYCACHEPREFIX=/opt/hostrun") {
				t.Errorf("%s: %s", name, kv)
			}
		}
		if slices.ContainsFunc(pl.Findings, func(x finding.Finding) bool { return x.ID == finding.BytecodeApart }) {
			t.Errorf("%s: told", name)
		}
	}
}

// TestTheRemedyOfAMissingStandardModule names what this host could do about it.
func TestTheRemedyOfAMissingStandardModule(t *testing.T) {
	missing := finding.Finding{ID: finding.StandardMissing, Severity: finding.Error, Subject: "json", Message: "No module named 'json'", Remedy: "install it"}
	for name, c := range map[string]struct {
		host *host.Python
		want string
	}{
		"conda":                   {moving(), "which runs the host's own"},
		"the same release":        {venvHost(11), "of the same release 3.11.4"},
		"another release's micro": {func() *host.Python { h := venvHost(11); h.Version.Micro = 9; return h }(), "install it"},
	} {
		f := borrowing(c.host)
		debians(&f.Image.Pythons[0])
		f.Proof = &proof.Report{Schema: 1, Findings: []finding.Finding{missing}}
		pl, _ := plan.Build(f)
		i := slices.IndexFunc(pl.Findings, func(x finding.Finding) bool { return x.ID == finding.StandardMissing })
		if i < 0 || !strings.HasSuffix(pl.Findings[i].Remedy, c.want) && !strings.Contains(pl.Findings[i].Remedy, "; or set python.interpreter_from: host") ||
			!strings.Contains(pl.Findings[i].Remedy, c.want) {
			t.Errorf("%s: %+v", name, pl.Findings)
		}
	}
}

// TestLibstdcxxThatIsLentIsNotMissing: the finding of the two Pythons speaks of the image alone.
func TestLibstdcxxThatIsLentIsNotMissing(t *testing.T) {
	h := venvHost(11)
	h.LibstdcxxVersion = "3.4.30"
	f := borrowing(h)
	f.Proof = lends()
	told := func() bool {
		return slices.ContainsFunc(build(t, f).Findings, func(x finding.Finding) bool { return x.ID == finding.LibcFloor })
	}
	f.Image.Pythons = []abi.Python{python("/usr/local/bin/python3", 11)}
	if !told() {
		t.Fatal("no finding about libstdc++ to settle")
	}
	f.Proof.Lent.Libraries = append(f.Proof.Lent.Libraries, stage.Library{Name: "libstdc++.so.6", Source: "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30",
		Path: "/opt/hostrun/lib/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30", For: "torch._C"})
	if told() {
		t.Error("told that libstdc++ is missing, and it is lent")
	}
}

// TestPlaceBelowAClosedDirectory: root's cache is bound where links name it, and another user can't get there.
func TestPlaceBelowAClosedDirectory(t *testing.T) {
	f := borrowing(venvHost(11))
	f.Proof = &proof.Report{Schema: 1, Lent: &proof.Lent{Binds: []proof.Bind{{Source: "/root/.cache/uv/archive-v0", Destination: "/root/.cache/uv/archive-v0", Dir: true, Kind: proof.BindLink, For: "torch"}}}}
	f.Image.Paths["/root"] = plan.Path{Real: "/root", Dir: true, Mode: 0o700}
	told := func() bool {
		return slices.ContainsFunc(build(t, f).Findings, func(x finding.Finding) bool { return x.ID == finding.PathNotTraversed })
	}
	if told() {
		t.Error("root can't enter its own home")
	}
	if f.Profile.User = "app"; !told() {
		t.Error("nothing is said of a place that the user can't reach")
	}
}
