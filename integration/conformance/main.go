// Command conformance runs the same services by docker compose v2 on Debian's docker engine and by hostrun, compares what is to
// be seen of them from inside and outside, and writes docs/conformance.md. It fails where the two differ and no table says so, and
// where a table says so and they do not. It needs root, and what integration/conformance/setup.sh installs.
//
//	make conformance
//	go run ./integration/conformance -only 'volumes|tmpfs' -v
//	go run ./integration/conformance -imported -only files # hostrun runs what it imports of docker's file
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// settings are the flags.
type settings struct {
	bin     string
	only    string
	out     string
	records string
	verbose bool
	replay  bool
	imports bool
}

// inside is set in the environment of the process that has a machine of its own.
const inside = "HOSTRUN_CONFORMANCE_DIR"

func main() {
	var s settings
	flag.StringVar(&s.bin, "bin", "bin", "directory of hostrun and the programs beside it")
	flag.StringVar(&s.only, "only", "", "a pattern of names or groups: run only these cases, and write nothing")
	flag.StringVar(&s.out, "out", "docs/conformance.md", "file to write")
	flag.StringVar(&s.records, "records", "integration/conformance/records/docker.json", "file to write what docker did to; the tests compare hostrun with it")
	flag.BoolVar(&s.replay, "recorded", false, "run some cases by hostrun alone, against -records; needs no docker")
	flag.BoolVar(&s.imports, "imported", false, "hostrun runs what it imports from docker's compose file, instead of profiles by hand; writes nothing")
	flag.BoolVar(&s.verbose, "v", false, "print what both sides have shown")
	flag.Parse()
	run := outside
	if os.Getenv(inside) != "" {
		run = within
	}
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "conformance: error:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "conformance: "+format+"\n", args...) }

// outside makes the place, and the machine in it: namespaces of processes, mounts and network that end with this program, whatever
// happens to it. Docker's rules, bridges and daemons are none of the real machine's.
func outside(s settings) (err error) {
	bin, err := filepath.Abs(s.bin)
	if err != nil {
		return err
	}
	initProgram := filepath.Join(bin, "hostrun-init")
	if _, err := os.Stat(initProgram); err != nil {
		return fmt.Errorf("find hostrun's binaries: %w\nhint: make build", err)
	}
	if !s.replay {
		if err := script("integration/conformance/setup.sh"); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "hrc") // short: a socket's path has 107 bytes at most
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, clear(dir))
	}()
	if err := prepareImage(dir); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", initProgram, "--", self}, os.Args[1:]...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), inside+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the run has failed: %w", err)
	}
	return nil
}

func script(path string) error {
	cmd := exec.Command(path)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// within runs the cases in the machine.
func within(s settings) (err error) {
	m, err := newMachine(os.Getenv(inside), s.bin, !s.replay)
	if err != nil {
		return err
	}
	defer m.close()
	m.imported = s.imports
	if s.replay {
		return m.runRecorded(s.records)
	}
	cases, err := chosen(s.only)
	if err != nil {
		return err
	}
	if !wholeMachine() {
		cases = slices.DeleteFunc(cases, func(c scene) bool {
			if c.whole {
				say("%s: not compared, as this machine lacks capabilities and docker starts nothing that asks for them", c.name)
			}
			return c.whole
		})
		if os.Getenv("HOSTRUN_REQUIRE_ALL") != "" {
			return errors.New("the machine lacks capabilities, and HOSTRUN_REQUIRE_ALL is set")
		}
	}
	say("%d cases, hostrun beside docker compose %s on docker %s", len(cases), m.compose, m.docker)
	results, err := m.runAll(cases)
	if err != nil {
		return err
	}
	failed := 0
	for i := range results {
		r := &results[i]
		r.judge()
		if len(r.problems) > 0 && r.play != nil { // once more, alone: a machine that is busy is late, and a difference stays one
			say("%s differs: once more", r.name)
			again, err := m.playOne(cases[i])
			if err != nil {
				return err
			}
			again.judge()
			*r = again
		}
		if s.verbose {
			r.print(os.Stdout)
		}
		if len(r.problems) > 0 {
			failed++
			fmt.Printf("FAIL %s (%s)\n", r.name, r.about)
			for _, p := range r.problems {
				fmt.Printf("     %s\n", p)
			}
		}
	}
	if s.only == "" && !s.imports {
		for _, p := range unseen(results) {
			failed++
			fmt.Println("FAIL", p)
		}
	}
	fmt.Printf("%d cases, %d values compared, %d as the table of differences says, %d failed\n", len(results), compared(results), differing(results), failed)
	if failed > 0 {
		return fmt.Errorf("%d cases differ from what the tables say", failed)
	}
	if s.only != "" || s.imports {
		return nil
	}
	if err := m.writeRecords(s.records, results); err != nil {
		return err
	}
	return m.writeReport(s.out, results)
}

// wholeMachine reports whether this process has every capability that the kernel knows.
func wholeMachine() bool {
	last, _ := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	status, _ := os.ReadFile("/proc/self/status")
	n, err := strconv.Atoi(strings.TrimSpace(string(last)))
	_, rest, found := strings.Cut(string(status), "CapBnd:")
	if err != nil || !found {
		return false
	}
	have, err := strconv.ParseUint(strings.Fields(rest)[0], 16, 64)
	return err == nil && have == 1<<(n+1)-1
}

// chosen are the cases whose name or group matches.
func chosen(only string) ([]scene, error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	var all []scene
	names := map[string]bool{}
	for _, c := range scenes() {
		if names[c.name] {
			return nil, fmt.Errorf("two cases are called %s", c.name)
		}
		names[c.name] = true
		if pattern.MatchString(c.name) || pattern.MatchString(c.group) {
			all = append(all, c)
		}
	}
	return all, nil
}

// clear removes the directory and whatever is still mounted below it, and the cgroups.
func clear(dir string) error {
	for range 3 {
		text, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
				_ = exec.Command("umount", "--lazy", f[4]).Run()
			}
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		parents, _ := filepath.Glob(pattern + namespace + "*")
		for _, parent := range parents {
			below, _ := filepath.Glob(parent + "/*/")
			for _, d := range append(below, parent) {
				_ = os.Remove(d)
			}
		}
	}
	return os.RemoveAll(dir)
}
