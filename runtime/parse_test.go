package runtime

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/finding"
)

func TestStartErrorReadsTheRuntimesWords(t *testing.T) {
	for text, want := range map[string]int{
		`OCI runtime create failed: runc create failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown`: finding.StatusNotFound,
		`runc create failed: unable to start container process: exec: "/no/such": stat /no/such: no such file or directory: unknown`:                    finding.StatusNotFound,
		"crun: executable file `nosuch` not found in $PATH: No such file or directory: unknown":                                                         finding.StatusNotFound,
		`runc create failed: unable to start container process: exec: "/etc": is a directory: unknown`:                                                  finding.StatusNotExec,
		`runc create failed: unable to start container process: exec: "/etc/x": permission denied: unknown`:                                             finding.StatusNotExec,
		"exec /bin/x: exec format error": finding.StatusNotExec,
		"runc create failed: unable to start container process: error mounting \"/x\": no such file or directory": finding.StatusFailed,
		"write /var/lib/x: no space left on device":                                                               finding.StatusFailed,
	} {
		if got := finding.StatusOf(startError("start container a", "x", errors.New(text))); got != want {
			t.Errorf("%s: status %d, want %d", text, got, want)
		}
	}
}

func TestLowerDirs(t *testing.T) {
	got := lowerDirs([]string{"ro", `lowerdir=/a:/b\:c:/d\\e`})
	if want := []string{"/a", "/b:c", `/d\e`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHardLimits: unlimited is left out, and nothing at all is a limit.
func TestHardLimits(t *testing.T) {
	const text = `Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max processes             96365                96365                processes 
Max open files            1024                 20000                files     
Max locked memory         8388608              unlimited            bytes     
Max nice priority         0                    0                    
Max realtime priority     0                    0                    
Max realtime timeout      unlimited            unlimited            us        
`
	want := map[string]uint64{"nproc": 96365, "nofile": 20000, "nice": 0, "rtprio": 0}
	if got := hardLimits(text); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	b, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		t.Fatal(err)
	}
	for words := range limitNames { // the kernel's own, at this moment
		if !strings.Contains(string(b), "\n"+words+" ") {
			t.Errorf("/proc/self/limits has no %q:\n%s", words, b)
		}
	}
}

// TestOCIRuntimeThatDoesNotStart: the error was "unable to retrieve OCI runtime error (open .../log.json: no such file or directory)".
func TestOCIRuntimeThatDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ content, version, why string }{
		"library": {"#!/bin/sh\necho 'runc: error while loading shared libraries: libseccomp.so.2: cannot open shared object file' >&2; exit 127\n", "library", "libseccomp.so.2"},
		"machine": {"\x7fELF of another machine", "machine", "exec format error"},
		"wrapper": {"#!/bin/sh\nexit 1\n", "wrapper", ""}, // it may know no --version
		"works":   {"#!/bin/sh\necho runc version 1.2.3\n", "runc 1.2.3", ""},
	} {
		file := filepath.Join(dir, name)
		if err := exectest.WriteFile(file, []byte(c.content), 0o755); err != nil {
			t.Fatal(err)
		}
		p, err := askRuntime(context.Background(), file, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if p.Version != c.version || (p.Broken == "") != (c.why == "") || !strings.Contains(p.Broken, c.why) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func FuzzLowerDirs(f *testing.F) {
	f.Add(`/a:/b`)
	f.Add(`\:`)
	f.Fuzz(func(t *testing.T, list string) {
		escaped := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(list)
		if got := lowerDirs([]string{"lowerdir=" + escaped}); len(got) != 1 || got[0] != list {
			t.Errorf("%q became %q", list, got)
		}
	})
}

func FuzzAccounts(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n#c\n\nshort:x\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, line := range parseAccounts(text, 4) {
			if len(line) < 4 || line[0] == "" || strings.Contains(strings.Join(line, ""), "\n") {
				t.Errorf("%q gave %q", text, line)
			}
		}
	})
}

func TestCreatorLabel(t *testing.T) {
	if !alive(creator()) {
		t.Error("this process is dead")
	}
	for _, label := range []string{"", "1", "x:y:z", "1:1:" + bootID(), strings.Replace(creator(), bootID(), "other-boot", 1)} {
		if alive(label) {
			t.Errorf("%q lives", label)
		}
	}
}

func TestReadVersion(t *testing.T) {
	for text, want := range map[string]string{
		"runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\n":          "runc 1.1.5+ds1",
		"crun version 1.8.1\ncommit: f8a0\nspec: 1.0.0\n+SYSTEMD +SECCOMP +CAP +YAJL\n\n": "crun 1.8.1",
		"crun 0.17\n": "x 0.17", "": "x", "\n": "x",
	} {
		if got := readVersion("x", text); got.Version != want {
			t.Errorf("%q: %q, want %q", text, got.Version, want)
		}
	}
}

func TestCrunRefuses(t *testing.T) {
	good := readVersion("crun", "crun version 1.8.1\n+SECCOMP +CAP\n")
	for _, test := range []struct {
		p           probe
		controllers string
		memlock     uint64
		want        string
	}{
		{p: good},
		{p: good, controllers: "hugetlb", want: "hugetlb"},
		{p: good, memlock: 8 << 20, want: "CAP_SYS_RESOURCE"},
		{p: readVersion("crun", "crun version 1.8.1\n+CAP\n"), want: "without seccomp"},
		{p: readVersion("crun", ""), want: "without seccomp"},
	} {
		got := crunRefuses(test.p, test.controllers, test.memlock)
		if got != test.want && (test.want == "" || !strings.Contains(got, test.want)) {
			t.Errorf("%+v: %q", test, got)
		}
	}
	if optionsOf("crun 1.3") != nil || optionsOf("runc 1.4.0") != nil || !slices.Contains(optionsOf("crun 1.4"), "rro") || optionsOf("crun 1.10.1") == nil {
		t.Error("mount options by version")
	}
}

func FuzzReadVersion(f *testing.F) {
	f.Add("crun version 1.8.1\n+SECCOMP +CAP\n")
	f.Fuzz(func(t *testing.T, text string) { optionsOf(readVersion("x", text).Version) })
}
