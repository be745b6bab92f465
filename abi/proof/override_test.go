package proof

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// TestLibraryPathOverridesOwnLibraries: a toolkit on LD_LIBRARY_PATH is taken in place of a wheel's own library, as with
// nvJitLink, where the wheel finds that by DT_RUNPATH. The interpreter itself says what it comes to.
func TestLibraryPathOverridesOwnLibraries(t *testing.T) {
	py := thePython(t)
	const both, one = "int p(void) { return 1; } int q(void) { return 2; }", "int p(void) { return 1; }"
	const usesBoth = "extern int p(void), q(void); int use(void) { return p() + q(); }"
	linked := []string{"-Wl,-soname,libp.so.12"}
	versioned := append(linked, "-Wl,--default-symver") // as NVIDIA's: the soname is the version
	at := func(tags string) []string {
		return []string{"-Lprov/lib", "-l:libp.so.12", "-Wl,-rpath,$ORIGIN/../prov/lib", "-Wl," + tags}
	}
	for _, c := range []struct {
		name     string
		tags     string
		link     []string
		toolkit  string // code of its library; "" for none
		severity finding.Severity
		fails    bool
	}{
		{"an older one", "--enable-new-dtags", versioned, one, finding.Error, true},
		{"an older one, which a program may forestall", "--enable-new-dtags", linked, one, finding.Warning, true},
		{"another one that does", "--enable-new-dtags", versioned, both, finding.Warning, false},
		{"DT_RPATH goes first", "--disable-new-dtags", versioned, one, "", false},
		{"the toolkit lacks it", "--enable-new-dtags", versioned, "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := library{"prov/lib/libp.so.12", both, c.link}
			w := world{build: []library{own, module("pkg/_a.so", usesBoth, at(c.tags)...)}, sources: map[string]string{"pkg/__init__.py": "from . import _a"}}
			site, toolkit := w.make(t), t.TempDir()
			if c.toolkit != "" {
				library{"libp.so.12.1", c.toolkit, c.link}.build(t, toolkit)
				if err := os.Symlink("libp.so.12.1", filepath.Join(toolkit, "libp.so.12")); err != nil {
					t.Fatal(err)
				}
			}
			v, err := rootfs.Mounted(rootfs.Dir("/"), rootfs.Mount{Source: site, Destination: shown}, rootfs.Mount{Source: toolkit, Destination: "/opt/toolkit"})
			if err != nil {
				t.Fatal(err)
			}
			r := request(py, "import pkg")
			r.Env["LD_LIBRARY_PATH"] = "/opt/toolkit"
			report, err := Prove(context.Background(), v, r)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/usr/bin/python3", "-B", "-c", "import pkg")
			cmd.Env = []string{"PYTHONPATH=" + site, "PATH=/usr/bin", "LD_LIBRARY_PATH=" + toolkit}
			out, err := cmd.CombinedOutput()
			if (err != nil) != c.fails {
				t.Fatalf("the interpreter itself: %v: %s", err, out)
			}
			i := slices.IndexFunc(report.Findings, func(f finding.Finding) bool { return f.ID == finding.LibraryOverridden })
			switch {
			case c.severity == "" && i >= 0:
				t.Errorf("a false alarm: %+v", report.Findings[i])
			case c.severity != "" && (i < 0 || report.Findings[i].Severity != c.severity):
				t.Errorf("%+v, want HR124 as %s", report.Findings, c.severity)
			case c.severity != "" && !(strings.Contains(report.Findings[i].Got, "/opt/toolkit/libp.so.12 (libp.so.12.1)") && strings.Contains(report.Findings[i].Want, shown+"/prov/lib/libp.so.12")):
				t.Errorf("it does not name both files: %+v", report.Findings[i])
			}
			if stops := len(finding.Errors(report.Findings)) > 0; stops != (c.severity == finding.Error) {
				t.Errorf("stops: %v, and the interpreter: %s", stops, out)
			}
			said := strings.TrimSpace(string(out))
			if said = strings.ReplaceAll(said[strings.LastIndexByte(said, '\n')+1:], site, shown); c.fails && !strings.Contains(report.Findings[i].Message, said) {
				t.Errorf("it quotes %q, and the interpreter says %s", report.Findings[i].Message, said)
			}
		})
	}
}

// TestOverrideThatIsCaught: a library that LD_LIBRARY_PATH puts in the place of a wheel's stopped the start also where the
// program catches that its module does not load.
func TestOverrideThatIsCaught(t *testing.T) {
	const both = "int p(void) { return 1; } int q(void) { return 2; }"
	link := []string{"-Wl,-soname,libp.so.12", "-Wl,--default-symver"}
	w := world{build: []library{{"prov/lib/libp.so.12", both, link},
		module("pkg/_a.so", "extern int p(void), q(void); int use(void) { return p() + q(); }", "-Lprov/lib", "-l:libp.so.12", "-Wl,-rpath,$ORIGIN/../prov/lib", "-Wl,--enable-new-dtags")},
		sources: map[string]string{"pkg/__init__.py": ""}}
	site, toolkit := w.make(t), t.TempDir()
	library{"libp.so.12", "int p(void) { return 1; }", link}.build(t, toolkit)
	v, err := rootfs.Mounted(rootfs.Dir("/"), rootfs.Mount{Source: site, Destination: shown}, rootfs.Mount{Source: toolkit, Destination: "/opt/toolkit"})
	must(t, err)
	r := request(thePython(t), "try:\n    import pkg._a\nexcept ImportError:\n    pass")
	r.Env["LD_LIBRARY_PATH"] = "/opt/toolkit"
	report, err := Prove(t.Context(), v, r)
	must(t, err)
	i := slices.IndexFunc(report.Findings, func(f finding.Finding) bool { return f.ID == finding.LibraryOverridden })
	if i < 0 || report.Findings[i].Severity != finding.Warning || len(finding.Errors(report.Findings)) > 0 {
		t.Errorf("%+v", report.Findings)
	}
}
