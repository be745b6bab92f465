// Package machine gives tests a whole machine of another release or with other packages: a directory that is entered as a
// root, with hostrun's own private engine in it. Nothing is installed on the machine that tests.
package machine

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"hostrun.dev/hostrun/exectest"
)

var (
	//go:embed enter.sh
	enter string
	//go:embed boot.sh
	boot string
)

// A Machine is a root with a layer over it that is the test's own. Commands run one after the other: what one leaves
// running ends with it, and what it writes to disk is there for the next one.
type Machine struct {
	Root  string // directory with the machine's files; never written to
	State string // directory on a disk for what it writes; the owner removes it
}

// Shared is the directory that the machine sees as /shared.
func (m Machine) Shared() string { return filepath.Join(m.State, "shared") }

// New prepares a machine with the programs of the given directories in /shared/bin.
func New(root, state string, programs ...string) (Machine, error) {
	m := Machine{root, state}
	err := os.MkdirAll(filepath.Join(m.Shared(), "bin"), 0o755)
	if err == nil {
		err = os.MkdirAll(filepath.Join(m.Shared(), "profiles"), 0o755)
	}
	for _, dir := range programs {
		err = errors.Join(err, copyAll(dir, filepath.Join(m.Shared(), "bin")))
	}
	return m, errors.Join(err, exectest.WriteFile(filepath.Join(m.Shared(), "enter.sh"), []byte(enter), 0o755), exectest.WriteFile(filepath.Join(m.Shared(), "boot.sh"), []byte(boot), 0o755))
}

func copyAll(from, to string) error {
	out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

// Run runs a shell script on the machine, in /shared, with hostrun on its PATH and the private engine. It returns what
// the script writes; the error is its exit status, or why the machine could not be entered.
func (m Machine) Run(script string) (string, error) {
	if err := m.script(script); err != nil {
		return "", err
	}
	return m.by("enter.sh", m.Root, m.State, "bash", "/shared/script")
}

// Boot does the same on a machine whose first process is systemd, with cgroup v2 alone.
func (m Machine) Boot(script string) (string, error) {
	for _, name := range []string{"out", "status"} {
		_ = os.Remove(filepath.Join(m.Shared(), name))
	}
	if err := m.script(script); err != nil {
		return "", err
	}
	said, err := m.by("boot.sh", m.Root, m.State)
	out, readErr := os.ReadFile(filepath.Join(m.Shared(), "out"))
	if err == nil {
		return string(out), readErr
	}
	return string(out) + said, err
}

func (m Machine) script(script string) error {
	head := "export PATH=/shared/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root HOSTRUN_ENGINE=private HOSTRUN_PROGRESS=quiet NO_COLOR=1 LANG=C.UTF-8\ncd /shared\n"
	return os.WriteFile(filepath.Join(m.Shared(), "script"), []byte(head+script), 0o644)
}

// by runs one of the scripts that make the machine.
func (m Machine) by(script string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(m.Shared(), script), args...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A Job is a command in an image, with packages of the machine.
type Job struct {
	Name, Image string
	Python      string // the profile's python: as it is written; "" for /usr/bin/python3
	More        string // further lines of the profile
	Code        string // of python3 -c
}

// An Outcome is what hostrun said and what happened.
type Outcome struct {
	Check  int    // exit status of hostrun check
	Run    int    // of hostrun run
	Report string // of check, as JSON
	Output string // of the container
}

// Right says that check foretold the end.
func (o Outcome) Right() bool { return (o.Check == 0) == (o.Run == 0) }

// Try checks and runs jobs.
func (m Machine) Try(jobs ...Job) ([]Outcome, error) {
	var script strings.Builder
	for _, j := range jobs {
		python := j.Python
		if python == "" {
			python = "/usr/bin/python3"
		}
		profile := fmt.Sprintf("image: %s\npull_policy: never\npython: %s\n%scommand: [python3, -c, %q]\n", j.Image, python, j.More, j.Code)
		if err := os.WriteFile(filepath.Join(m.Shared(), "profiles", j.Name+".yaml"), []byte(profile), 0o644); err != nil {
			return nil, err
		}
		fmt.Fprintf(&script, "hostrun --profile-dir profiles check --format json %[1]s >%[1]s.json 2>%[1]s.err; echo $? >%[1]s.check\n"+
			"hostrun --profile-dir profiles run %[1]s >%[1]s.out 2>&1; echo $? >%[1]s.run\n", j.Name)
	}
	if out, err := m.Run(script.String()); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	outcomes := make([]Outcome, len(jobs))
	for i, j := range jobs {
		var err error
		if outcomes[i], err = m.outcome(j.Name); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

func (m Machine) outcome(name string) (o Outcome, err error) {
	for suffix, to := range map[string]*int{".check": &o.Check, ".run": &o.Run} {
		text, readErr := os.ReadFile(filepath.Join(m.Shared(), name+suffix))
		_, scanErr := fmt.Sscan(string(text), to)
		err = errors.Join(err, readErr, scanErr)
	}
	report, err1 := os.ReadFile(filepath.Join(m.Shared(), name+".json"))
	output, err2 := os.ReadFile(filepath.Join(m.Shared(), name+".out"))
	o.Report, o.Output = string(report), string(output)
	return o, errors.Join(err, err1, err2)
}
