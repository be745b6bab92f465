// Command try runs many commands on many machines and images, with packages that the machines' distribution made, and
// prints what hostrun check said before beside what happened: the truth about what the host lends.
//
//	go run ./integration/machine/try [-bin DIR] [-cases FILE] [MACHINE...]
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"hostrun.dev/hostrun/integration/machine"
)

//go:embed cases.txt
var cases string

// A trial is a line of cases.txt.
type trial struct {
	host, image, python, code string
}

func main() {
	bin := flag.String("bin", "bin", "directory with hostrun and its engine (make build)")
	flag.Parse()
	wrong, err := run(*bin, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "try: error:", err)
		os.Exit(1)
	}
	if wrong > 0 {
		os.Exit(3)
	}
}

func cache() string {
	if dir := os.Getenv("HOSTRUN_TEST_CACHE"); dir != "" {
		return filepath.Join(dir, "truth/roots")
	}
	return "/var/cache/hostrun-test/truth/roots"
}

func run(bin string, only []string) (wrong int, err error) {
	trials := map[string][]trial{}
	var hosts []string
	for _, line := range strings.Split(cases, "\n") {
		words := strings.SplitN(line, "|", 4)
		if len(words) != 4 || strings.HasPrefix(line, "#") {
			continue
		}
		for i := range words {
			words[i] = strings.TrimSpace(words[i])
		}
		for _, image := range strings.Fields(words[1]) {
			trials[words[0]] = append(trials[words[0]], trial{words[0], image, words[2], words[3]})
		}
		if !slices.Contains(hosts, words[0]) {
			hosts = append(hosts, words[0])
		}
	}
	fmt.Printf("%-13s %-17s %-6s %-6s %-5s %s\n", "machine", "image", "check", "run", "right", "command; what the host lends")
	for _, host := range hosts {
		if len(only) > 0 && !slices.Contains(only, host) {
			continue
		}
		n, err := on(host, bin, trials[host])
		if err != nil {
			return wrong, fmt.Errorf("%s: %w", host, err)
		}
		wrong += n
	}
	return wrong, nil
}

// on tries all of one machine, and returns how many ended otherwise than was said.
func on(host, bin string, trials []trial) (wrong int, err error) {
	root := filepath.Join(cache(), host)
	if _, err := os.Stat(root); err != nil {
		return 0, fmt.Errorf("%w: build it with ROOTS=hosts.txt integration/truth/roots.sh %s", err, host)
	}
	state, err := os.MkdirTemp("/var/tmp", "hostrun-machine-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(state)
	m, err := machine.New(root, state, bin)
	if err != nil {
		return 0, err
	}
	if err := load(m, trials); err != nil {
		return 0, err
	}
	var jobs []machine.Job
	for i, t := range trials {
		jobs = append(jobs, machine.Job{Name: fmt.Sprintf("job%d", i), Image: t.image + ":1", Python: t.python, Code: t.code})
	}
	outcomes, err := m.Try(jobs...)
	for i, o := range outcomes {
		fmt.Printf("%-13s %-17s %-6d %-6d %-5v %s\n", host, trials[i].image, o.Check, o.Run, o.Right(), abridged(trials[i].code)+"; "+lent(o.Report))
		if !o.Right() {
			wrong++
			fmt.Println("    " + last(o.Output))
		}
	}
	return wrong, err
}

// load makes the images of the trials and loads them on the machine.
func load(m machine.Machine, trials []trial) error {
	done := map[string]bool{}
	for _, t := range trials {
		if done[t.image] {
			continue
		}
		done[t.image] = true
		out := filepath.Join(m.Shared(), t.image+".tar")
		cmd := exec.Command("go", "run", "./integration/image", "-o", out, "-ref", t.image+":1", "-cmd", "python3", filepath.Join(cache(), t.image))
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("image %s: %w: %s", t.image, err, text)
		}
		if text, err := m.Run("hostrun load " + t.image + ".tar"); err != nil {
			return fmt.Errorf("load %s: %w: %s", t.image, err, text)
		}
		if err := os.Remove(out); err != nil {
			return err
		}
	}
	return nil
}

func abridged(s string) string {
	if len(s) > 60 {
		return s[:57] + "..."
	}
	return s
}

// lent says what check's report says of the libraries, or the first error.
func lent(report string) string {
	var r struct {
		Findings []struct{ ID, Severity, Message string }
	}
	if json.Unmarshal([]byte(report), &r) != nil {
		return "no report"
	}
	text := "nothing"
	for _, f := range r.Findings {
		if f.Severity == "error" {
			return f.ID + " " + f.Message
		}
		if f.ID == "HR110" {
			text, _, _ = strings.Cut(f.Message, ":")
		}
	}
	return text
}

func last(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return lines[len(lines)-1]
}
