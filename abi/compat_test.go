package abi

import (
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
)

// cp311 is an ordinary Debian interpreter; each row changes one side of a pair of them.
func cp311() Python {
	return Python{
		Executable: "/usr/bin/python3", Real: "/usr/bin/python3.11", Implementation: "cpython",
		Version: Version{Major: 3, Minor: 11, Micro: 2, Level: "final"},
		SOABI:   "cpython-311-x86_64-linux-gnu", ExtSuffix: ".cpython-311-x86_64-linux-gnu.so",
		Suffixes:  []string{".cpython-311-x86_64-linux-gnu.so", ".abi3.so", ".so"},
		Multiarch: "x86_64-linux-gnu", Arch: "x86_64", Bits: 64, Libc: "glibc", LibcVersion: "2.36", LibstdcxxVersion: "3.4.30",
		Prefix: "/usr", BasePrefix: "/usr", SiteDirs: []string{"/usr/lib/python3/dist-packages"}, Layout: "debian",
		Evidence: map[string]string{"version": "symbol Py_Version of /usr/bin/python3.11", "suffixes": "EXT_SUFFIX of data.py"},
	}
}

func minor(n int) func(*Python) {
	return func(p *Python) {
		p.Version.Minor = n
		tag := strings.Replace(p.SOABI, "311", Version{Major: 3, Minor: n, Micro: -1}.String(), 1)
		setSOABI(p, strings.ReplaceAll(tag, "3.", "3"))
	}
}

func setSOABI(p *Python, soabi string) {
	p.SOABI, p.ExtSuffix = soabi, "."+soabi+".so"
	p.Suffixes = []string{p.ExtSuffix, ".abi3.so", ".so"}
}

func debugBuild(p *Python) {
	release := p.ExtSuffix
	p.Debug, p.ABIFlags = true, p.ABIFlags+"d"
	head, tail, _ := strings.Cut(p.SOABI, "-x86")
	setSOABI(p, head+"d-x86"+tail)
	if !p.Version.before(3, 8) && !p.TraceRefs {
		p.Suffixes = slices.Insert(p.Suffixes, 1, release)
	}
}

func threaded(p *Python) {
	minor(13)(p)
	p.FreeThreaded, p.ABIFlags = true, "t"
	setSOABI(p, "cpython-313t-x86_64-linux-gnu")
}

func traced(p *Python) { p.TraceRefs = true }

func release(text string) func(*Python) {
	v, ok := parseVersion(text)
	if !ok {
		panic(text)
	}
	return func(p *Python) {
		minor(v.Minor)(p)
		p.Version = v
	}
}

func wheels(p *Python) {
	p.SiteDirs, p.Prefix, p.BasePrefix = []string{"/opt/py/lib/python3.11/site-packages"}, "/opt/py", "/opt/py"
}

func TestCompatible(t *testing.T) {
	tests := []struct {
		name        string
		host, image []func(*Python)
		want        []string // "ID severity"
		says        string   // part of the first message
	}{
		{name: "same", want: nil},
		{name: "implementation", image: on(func(p *Python) {
			p.Implementation = "pypy"
			p.Suffixes = []string{".pypy311-pp73-x86_64-linux-gnu.so", ".so"}
		}), want: s("HR016 error"), says: "PyPy 3.11"},
		{name: "machine", image: on(func(p *Python) { p.Arch = "aarch64" }), want: s("HR015 error"),
			says: "cannot open shared object file: No such file or directory"},
		{name: "word size", image: on(func(p *Python) { p.Bits = 32 }), want: s("HR015 error")},
		{name: "musl image", image: on(func(p *Python) { p.Libc, p.LibcVersion = "musl", "" }), want: s("HR014 error"),
			says: "Error loading shared library ld-linux-x86-64.so.2"},
		{name: "musl host", host: on(func(p *Python) { p.Libc, p.LibcVersion = "musl", "" }), want: s("HR014 error"), says: "libc.musl-x86_64.so.1"},
		{name: "static image", image: on(func(p *Python) { p.Libc, p.Static = "", true }), want: s("HR014 error"), says: "Dynamic loading not supported"},
		{name: "older image", image: on(minor(9)), want: s("HR012 error"), says: "ModuleNotFoundError"},
		{name: "newer image", image: on(minor(12)), want: s("HR012 error"), says: ".cpython-311-x86_64-linux-gnu.so"},
		{name: "3.1 is not 3.11", image: on(minor(1)), want: s("HR012 error")},
		{name: "free-threaded image", host: on(minor(13)), image: on(threaded), want: s("HR013 error"),
			says: "SystemError: init function of ... returned uninitialized object"},
		{name: "free-threaded host", host: on(threaded), image: on(minor(13)), want: s("HR013 error"), says: "ModuleNotFoundError"},
		{name: "free-threaded both", host: on(threaded), image: on(threaded), want: nil},
		{name: "debug image", image: on(debugBuild), want: nil},
		{name: "debug image of 3.8", host: on(minor(8)), image: on(minor(8), debugBuild), want: nil},
		{name: "debug image of 3.7", host: on(minor(7)), image: on(minor(7), debugBuild), want: s("HR013 error")},
		{name: "debug host", host: on(debugBuild), want: s("HR013 error"), says: ".cpython-311d-x86_64-linux-gnu.so"},
		{name: "debug both", host: on(debugBuild), image: on(debugBuild), want: nil},
		{name: "debug free-threaded image", host: on(threaded), image: on(threaded, debugBuild), want: nil},
		{name: "trace-refs image", image: on(traced), want: s("HR013 error"), says: "undefined symbol: PyModule_Create2"},
		{name: "trace-refs host of 3.12", host: on(minor(12), traced), image: on(minor(12)), want: s("HR013 error"), says: "PyModule_Create2TraceRefs"},
		{name: "trace-refs of 3.13", host: on(minor(13), traced), image: on(minor(13)), want: nil},
		{name: "trace-refs both", host: on(traced), image: on(traced), want: nil},
		{name: "patch", image: on(release("3.11.9")), want: s("HR024 info"), says: "3.11.9"},
		{name: "patch unknown", image: on(release("3.11")), want: s("HR024 info")},
		{name: "patch 3.9.8", host: on(release("3.9.18")), image: on(release("3.9.8")), want: s("HR024 warning"), says: "undefined symbol"},
		{name: "patch 3.9.3 of 64 bits", host: on(release("3.9.18")), image: on(release("3.9.3")), want: s("HR024 info")},
		{name: "patch 3.9.3 of 32 bits", host: on(release("3.9.18"), narrow), image: on(release("3.9.3"), narrow), want: s("HR024 warning")},
		{name: "beta image", host: on(release("3.14.0")), image: on(release("3.14.0b3")), want: s("HR017 error"), says: "3.14.0b3"},
		{name: "two alphas", host: on(release("3.14.0a1")), image: on(release("3.14.0a2")), want: s("HR017 error")},
		{name: "same beta", host: on(release("3.14.0b3")), image: on(release("3.14.0b3")), want: nil},
		{name: "candidate and final", host: on(release("3.14.0rc2")), image: on(release("3.14.1")), want: s("HR017 warning")},
		{name: "beta and candidate", host: on(release("3.14.0b4")), image: on(release("3.14.0rc1")), want: s("HR017 error")},
		{name: "suffix", image: on(func(p *Python) { setSOABI(p, "cpython-311-x86_64-linux-custom") }), want: s("HR021 error"), says: "ModuleNotFoundError"},
		{name: "suffix unknown", image: on(func(p *Python) { p.Suffixes, p.ExtSuffix = nil, "" }), want: s("HR021 error"), says: "nothing can be proven"},
		{name: "suffix of the host unknown", host: on(func(p *Python) { p.Suffixes, p.ExtSuffix = nil, "" }), want: s("HR021 error"), says: "nothing can be proven"},
		{name: "contradiction", image: on(func(p *Python) { p.Conflicts = []Conflict{{"soabi", []string{"a, by x", "b, by y"}}} }),
			want: s("HR020 error"), says: "a, by x; b, by y"},
		{name: "older glibc, distribution packages", image: on(glibc("2.31")), want: s("HR023 warning"), says: "version `GLIBC_2.36' not found"},
		{name: "older glibc, wheels", host: on(wheels), image: on(glibc("2.31")), want: s("HR023 info"), says: "GLIBC_2.31"},
		{name: "glibc numbers are no text", host: on(glibc("2.9")), image: on(glibc("2.31")), want: nil},
		{name: "newer glibc", image: on(glibc("2.41")), want: nil},
		{name: "glibc unknown", image: on(glibc("")), want: nil},
		{name: "older libstdc++", image: on(func(p *Python) { p.LibstdcxxVersion = "3.4.28" }), want: s("HR023 warning"), says: "GLIBCXX_3.4.30"},
		{name: "no libstdc++", image: on(func(p *Python) { p.LibstdcxxVersion = "" }), want: s("HR023 warning"), says: "libstdc++.so.6: cannot open shared object file"},
		{name: "everything", image: on(func(p *Python) { p.Libc, p.Arch = "musl", "aarch64" }, minor(12)),
			want: s("HR015 error", "HR014 error", "HR012 error")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host, image := cp311(), cp311()
			host.Executable = "/home/me/venv/bin/python"
			for _, change := range tt.host {
				change(&host)
			}
			for _, change := range tt.image {
				change(&image)
			}
			got := Compatible(host, image)
			var ids []string
			for _, f := range got {
				ids = append(ids, f.ID+" "+string(f.Severity))
				checkFinding(t, f, host, image)
			}
			if !slices.Equal(ids, tt.want) {
				t.Fatalf("got %q, want %q\n%+v", ids, tt.want, got)
			}
			if len(got) > 0 && !strings.Contains(got[0].Message, tt.says) {
				t.Errorf("message %q does not say %q", got[0].Message, tt.says)
			}
		})
	}
}

// checkFinding holds each finding to its form: it names both executables and what to do.
func checkFinding(t *testing.T, f finding.Finding, host, image Python) {
	t.Helper()
	if f.Message == "" || f.Got == "" || f.Want == "" || f.Subject == "" {
		t.Errorf("finding with an empty part: %+v", f)
	}
	if f.Severity != finding.Info && f.Remedy == "" {
		t.Errorf("finding without a remedy: %+v", f)
	}
	if f.ID != finding.PythonContradiction && (!strings.Contains(f.Want, host.Executable) || !strings.Contains(f.Got, image.Executable)) {
		t.Errorf("finding that does not name both interpreters: %+v", f)
	}
	if f.ID == finding.PythonVersion && !strings.Contains(f.Got, "symbol Py_Version of /usr/bin/python3.11") {
		t.Errorf("finding without its evidence: %+v", f)
	}
}

func on(changes ...func(*Python)) []func(*Python) { return changes }
func s(ids ...string) []string                    { return ids }
func glibc(v string) func(*Python)                { return func(p *Python) { p.LibcVersion = v } }
func narrow(p *Python)                            { p.Bits = 32 }
