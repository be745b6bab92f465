package ld

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// A machineRoot is a root directory in which programs are run, with the directory shared at /mnt; "" is this machine.
type machineRoot struct{ dir, shared string }

// really opens files in processes of the interpreter, and returns what the loader said, and where its module _ctypes lies.
func really(t *testing.T, root machineRoot, interpreter string, files []string, env ...string) (said map[string]string, ctypes string) {
	t.Helper()
	script, err := os.ReadFile("testdata/dlopen.py")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{interpreter, "-S", "-E", "-c", string(script)}
	if root.dir != "" {
		enter := `mount --bind "$1" "$2/mnt" && shift && exec chroot "$@"`
		args = append([]string{"unshare", "-m", "sh", "-c", enter, "sh", root.shared, root.dir}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/bin", "LC_ALL=C"}, env...)
	cmd.Stdin = strings.NewReader(strings.Join(files, "\n"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", interpreter, err, stderr.String())
	}
	lines := strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
	said = map[string]string{}
	for _, line := range lines[1:] {
		file, what, _ := strings.Cut(line, "\t")
		said[file] = what
	}
	return said, lines[0]
}

// predicted says the same of a Result.
func predicted(r Result) string {
	switch {
	case r.Verdict == OK:
		return "ok"
	case r.Killed:
		return "signal"
	}
	return "error " + r.Message
}

// process starts the interpreter as dlopen.py has it: with _ctypes in it.
func process(t *testing.T, view *rootfs.View, interpreter, ctypes string, o Options) *Process {
	t.Helper()
	s, err := NewSystem(view, "/lib64/ld-linux-x86-64.so.2", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	p, err := s.Start(interpreter)
	if err != nil {
		t.Fatal(err)
	}
	if ctypes != "-" {
		var r Result
		if p, r = p.With(ctypes, false); r.Verdict != OK {
			t.Fatalf("%s: %+v", ctypes, r)
		}
	}
	return p
}

// agree compares predictions with what the loader really said. The words of a signal's number are not compared.
func agree(t *testing.T, p *Process, said map[string]string) map[Verdict]int {
	t.Helper()
	counts := map[Verdict]int{}
	files := make([]string, 0, len(said))
	for file := range said {
		files = append(files, file)
	}
	sort.Strings(files)
	for _, file := range files {
		r := p.Open(file)
		counts[r.Verdict]++
		got, want := predicted(r), said[file]
		if got != want && !(got == "signal" && strings.HasPrefix(want, "signal")) {
			t.Errorf("%s:\npredicted %s (%s)\nreally    %s", file, got, r.Message, want)
		}
	}
	return counts
}

func interpreters(t *testing.T) []string {
	t.Helper()
	var found []string
	home, err := os.UserHomeDir()
	if err == nil {
		found, _ = filepath.Glob(filepath.Join(home, ".pyenv/versions/*/bin/python"))
	}
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		found = append(found, "/usr/bin/python3")
	}
	return found
}

func isaLevel() int {
	b, _ := os.ReadFile("/proc/cpuinfo")
	has := func(flags ...string) bool {
		for _, f := range flags {
			if !bytes.Contains(b, []byte(" "+f+" ")) {
				return false
			}
		}
		return true
	}
	switch {
	case has("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"):
		return 4
	case has("avx", "avx2", "bmi1", "bmi2", "fma", "movbe"):
		return 3
	case has("sse4_2", "popcnt"):
		return 2
	}
	return 1
}

// The loader of this machine is the judge: each extension module of each interpreter here, opened by each.
func TestTruthOfInterpreters(t *testing.T) {
	view := rootfs.Dir("/")
	all := interpreters(t)
	if len(all) == 0 {
		skip(t, "needs an interpreter")
	}
	var files []string
	for _, below := range strings.Fields(os.Getenv("HOSTRUN_LD_TREES")) {
		files = append(files, sharedObjectsOf(below)...)
	}
	if files == nil {
		for _, exe := range all {
			dynload, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(exe)), "lib/python*/lib-dynload/*.so"))
			for i := 0; i < len(dynload); i += 7 {
				files = append(files, dynload[i])
			}
		}
		files = append(files, sharedObjectsOf("/usr/lib/python3/dist-packages")...)
	}
	for _, exe := range all {
		t.Run(strings.ReplaceAll(exe, "/", "_"), func(t *testing.T) {
			said, ctypes := really(t, machineRoot{}, exe, files)
			p := process(t, view, exe, ctypes, Options{ISALevel: isaLevel()})
			t.Log(agree(t, p, said))
		})
	}
}
