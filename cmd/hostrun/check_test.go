package main

import (
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/dists"
	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
)

func TestFrameworkLines(t *testing.T) {
	need := func(name, major, from string) frameworks.Need {
		n := frameworks.Need{Soname: "lib" + name + ".so." + major, Name: name, Major: major, From: from}
		if from != "" {
			n.Found = "/somewhere"
		}
		return n
	}
	facts := &frameworks.Facts{
		Torch: &frameworks.Torch{Version: "2.6.0+cu124", Dir: "/s/torch", CUDA: "12.4", CXX11ABI: "1", SASS: []string{"sm_50", "sm_80", "sm_90"}, PTX: []string{"compute_90"},
			Needs: []frameworks.Need{need("cublas", "12", "wheel"), need("cudart", "12", "wheel"), need("cudnn", "9", "toolkit")}},
		TorchNPU: &frameworks.TorchNPU{Version: "2.6.0", TorchBase: "2.6.0", Needs: []frameworks.Need{{Soname: "libhccl.so"}}},
		Others: []frameworks.Other{{Name: "jax", Version: "0.10", Dir: "/s/jax", CUDA: "12", Backends: []string{"cuda12"}}, {Name: "numpy", Version: "1", Dir: "/s/numpy"},
			{Name: "onnxruntime-gpu", Version: "1.31", Dir: "/s/onnxruntime", CUDA: "13.0", SASS: []string{"sm_90a"}, Needs: []frameworks.Need{need("curand", "10", ""), need("nvinfer", "10", "system")}}},
	}
	lent := host.Facts{Python: &host.Python{Frameworks: facts}}
	image := plan.Facts{}
	for _, c := range []struct {
		side  plan.Facts
		facts *frameworks.Facts
		want  []string
	}{
		{image, nil, nil},
		{plan.Facts{Host: lent}, facts, []string{
			"torch 2.6.0+cu124 (host), CUDA 12.4, CXX11 ABI 1, sm_50...sm_90 (3) + PTX compute_90, needs cudart 12, cudnn 9 and 1 more: found in the wheels and in the toolkit",
			"torch_npu 2.6.0 (host), for torch 2.6.0, needs of CANN libhccl.so",
			"jax 0.10 (host), CUDA 12, with cuda12",
			"onnxruntime-gpu 1.31 (host), CUDA 13.0, sm_90a, needs curand 10 and 1 more: not found libcurand.so.10"}},
		{image, &frameworks.Facts{Torch: &frameworks.Torch{Version: "2.5.1+cpu", Dir: "/s/torch"}}, []string{"torch 2.5.1+cpu (image), for processors alone"}},
		{image, &frameworks.Facts{Torch: &frameworks.Torch{Version: "2.7", HIP: "6.3", Needs: []frameworks.Need{need("amdhip64", "6", "")}}}, []string{"torch 2.7 (image), ROCm 6.3, needs amdhip64 6: none of them found"}},
	} {
		if got := frameworkLines(c.side, c.facts); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		text                  string
		width, column, indent int
		want                  string
	}{
		{"as it is, however long it may be", 0, 9, 9, "as it is, however long it may be"},
		{"two\nlines", 0, 0, 2, "two\n  lines"},
		{"one two three", 9, 2, 2, "one two\n  three"},
		{"/a/path/that/is/long and more", 10, 0, 2, "/a/path/that/is/long\n  and more"},
		{"größer größer", 12, 4, 0, "größer\ngrößer"},
		{"", 10, 0, 0, ""},
		{"a  b", 80, 0, 0, "a  b"},
	} {
		if got := fold(c.text, c.width, c.column, c.indent); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

func TestOnlyChoosesRows(t *testing.T) {
	for _, c := range []struct {
		only     string
		verdict  proof.Verdict
		imported bool
		want     bool
	}{
		{"", proof.OK, false, true}, {"failing", proof.OK, true, false}, {"failing", proof.Gate, false, true}, {"failing", proof.Conditional, false, false},
		{"imported", proof.OK, true, true}, {"imported", proof.OK, false, false}, {"failing,imported", proof.Missing, false, false}, {"failing,imported", proof.Missing, true, true},
		{"imported,failing", proof.OK, true, false}, {"missing,arch", proof.Arch, false, true}, {"missing,arch", proof.Version, false, false}, {"conditional", proof.Conditional, false, true},
	} {
		if got := wanted(c.only, c.verdict, c.imported); got != c.want {
			t.Errorf("--only %q: %s, imported %v: %v", c.only, c.verdict, c.imported, got)
		}
	}
	for only, fails := range map[string]bool{"failing": false, "missing,imported": false, "ok": false, "fail": true, "failing,": true, "": false} {
		if err := (checkOptions{only: only, modules: true}).checkLists(); (err != nil) != fails {
			t.Errorf("--only %q: %v", only, err)
		}
	}
	if (checkOptions{only: "failing"}).checkLists() == nil || (checkOptions{modules: true, distributions: true}).checkLists() == nil {
		t.Error("flags that mean nothing together are taken")
	}
}

func TestRowsOfAProof(t *testing.T) {
	result := checkResult{facts: plan.Facts{Proof: &proof.Report{Imported: []string{"b"}, All: []proof.Module{
		{Name: "z.ok", Path: "/p/z", Verdict: proof.OK, Owner: dists.Owner{Name: "Z"}, Side: "host"},
		{Name: "b.bad", Path: "/p/b", Verdict: proof.Missing, Message: "ImportError: x", Remedy: "r", Reach: imports.Required, Owner: dists.Owner{Name: "B", Version: "1"}, Side: "host"},
		{Name: "a.ok", Path: "/p/a", Verdict: proof.OK, Side: "image", Owner: dists.Owner{Dir: "/p"}},
	}}}}
	var names []string
	for _, m := range moduleRows([]checkResult{result}, "") {
		names = append(names, m.Module)
	}
	if got := strings.Join(names, " "); got != "b.bad a.ok z.ok" {
		t.Errorf("modules are in the order %s", got)
	}
	rows := distributionRows([]checkResult{result}, "failing")
	want := distributionRow{Schema: 1, Distribution: "B", Version: "1", Side: "host", Verdict: proof.Missing, Modules: 1, Failing: 1, Reached: true, Module: "b.bad", Message: "ImportError: x", Remedy: "r"}
	if len(rows) != 1 || rows[0] != want {
		t.Errorf("got %+v", rows)
	}
	if got := toldMessage(proof.Conditional, "ImportError: libc10.so: ...", "/s/torch/lib/libc10.so"); got != "loads once libc10.so is loaded" {
		t.Errorf("a conditional one says %q", got)
	}
	if cells := distributionTable.cells(distributionRows([]checkResult{result}, "")[1]); cells[2] != "(/p)" || cells[1] != "-" || cells[6] != "-" {
		t.Errorf("modules of no distribution: %q", cells)
	}
}

func TestCheckTellsErrorsFullyAndTheRestInALine(t *testing.T) {
	s, stdout, _ := testSession()
	s.writeCheck(checkResult{Profile: "p", Findings: []finding.Finding{{ID: "HR100", Severity: finding.Error, Message: "m1", Got: "g"}, {ID: "HR108", Severity: finding.Warning, Message: "m2"},
		{ID: "HR024", Severity: finding.Info, Message: "m3", Got: "long"}, {ID: "HR098", Severity: finding.Info, Message: "m4"}}, ElapsedMS: 1.5})
	text := stdout.String()
	for _, want := range []string{"p: does not fit  (1 error, 1 warning, 1.5 ms)\n", "\nerror[HR100]: m1\n    got: g\n", "\nwarning[HR108]: m2\n\ninfo[HR024]: m3\ninfo[HR098]: m4\n", "proved    nothing: the errors come first"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing of\n%s", want, text)
		}
	}
}

// TestFindingsOnStdoutAreColouredByIt: they were coloured when stderr was a terminal, and stdout a file.
func TestFindingsOnStdoutAreColouredByIt(t *testing.T) {
	s, stdout, stderr := testSession()
	s.env["FORCE_COLOR"] = "1"
	s.writeFinding(s.stdout, finding.Finding{ID: "HR100", Severity: finding.Error, Message: "m"})
	if !strings.Contains(stdout.String(), red+"error[HR100]"+plain+": m") || stderr.Len() > 0 {
		t.Errorf("got %q and %q", stdout, stderr)
	}
	stdout.Reset()
	s.env["NO_COLOR"] = "1"
	if s.writeFinding(s.stdout, finding.Finding{ID: "HR100", Severity: finding.Error, Message: "m"}); stdout.String() != "error[HR100]: m\n" {
		t.Errorf("with NO_COLOR: %q", stdout)
	}
}

func TestNarrowSides(t *testing.T) {
	rows := sides(plan.Facts{Host: host.Facts{OS: host.OS{Pretty: "Debian"}, Arch: "amd64"}, Image: plan.Image{Reference: "docker.io/library/a:1", Arch: "amd64"}}, abi.Python{})
	if got := sideBySide(rows); got != "           host            image\n  system   Debian, amd64   a:1, amd64\n" {
		t.Errorf("%q", got)
	}
	if got := oneByOne(rows); got != "  host\n    system   Debian, amd64\n  image\n    system   a:1, amd64\n" {
		t.Errorf("%q", got)
	}
	if got := borrowedTable([]plan.Borrowed{{Source: "/a", Destination: "/b", For: "python"}}, "\n    \t  at\t"); got != "    python   -      /a\n               at   /b\n" {
		t.Errorf("%q", got)
	}
}

// TestCheckOfUnknownDependency: check says of depends_on what up refuses it for, in the same words and before it looks at any image.
func TestCheckOfUnknownDependency(t *testing.T) {
	s := &site{t: t, dir: t.TempDir(), root: t.TempDir(), address: "/nowhere.sock"}
	s.write("stack.yaml", "profiles:\n  web:\n    image: a\n    depends_on: [nowhere, db]\n  db: {image: a, depends_on: [other]}\n")
	s.write("profiles/a.yaml", "image: a\ndepends_on: {b: {condition: healthy}}\n")
	s.write("profiles/b.yaml", "rootfs: host\n")
	s.write("profiles/c.yaml", "image: a\ndepends_on: [d]\n")
	s.write("profiles/d.yaml", "image: a\ndepends_on: [c]\n")
	for name, wants := range map[string][]string{
		"./stack.yaml":     {"error[HR221]: depends_on: there is no profile nowhere", "./stack.yaml:4", "there is no profile other", "./stack.yaml:5"},
		"./stack.yaml:web": {"error[HR221]: depends_on: there is no profile nowhere", "./stack.yaml:4"},
		"a":                {"error[HR223]: depends_on: b has no healthcheck", "profiles/a.yaml:2"},
		"c":                {"the profiles depend on each other: c -> d -> c"},
	} {
		status, _, got := s.hostrun("check", name)
		up, _, want := s.hostrun("up", "--dry-run", name)
		if status != finding.StatusProfile || status != up || got != want {
			t.Errorf("check %s: %d\n%s\nup: %d\n%s", name, status, got, up, want)
		}
		for _, words := range wants {
			if !strings.Contains(got, words) {
				t.Errorf("check %s lacks %q:\n%s", name, words, got)
			}
		}
	}
	s.write("profiles/e.yaml", "image: a\ndepends_on: {nowhere: {required: false}}\n")
	if status, _, got := s.hostrun("check", "e"); status == finding.StatusProfile || !strings.Contains(got, "e goes on without nowhere") {
		t.Errorf("%d\n%s", status, got)
	}
}
