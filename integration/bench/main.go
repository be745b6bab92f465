// Command bench measures hostrun against ctr and docker compose, side by side, in daemons of its own, and writes
// docs/benchmarks.md. It needs root, and what integration/bench/setup.sh installs.
//
//	make bench
//	go run ./integration/bench -n 50 -only run
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// settings are the flags.
type settings struct {
	rounds  int
	bin     string
	image   string
	toolkit string
	only    string
	out     string
	strict  bool
}

// leastRounds is what a published figure needs.
const leastRounds = 20

func main() {
	s := settings{}
	flag.IntVar(&s.rounds, "n", 30, "rounds to count")
	flag.StringVar(&s.bin, "bin", "bin", "directory of hostrun and the programs beside it")
	flag.StringVar(&s.image, "image", "", "archive of the image, named "+imageName+", with python3 of this distribution; built if not given")
	flag.StringVar(&s.toolkit, "toolkit", "", "directory of NVIDIA's generator and its hooks; built if not given")
	flag.StringVar(&s.only, "only", "", "a list of run, up, network, stack, list, eight, check, accelerators, toolkit, proof, million, engine, memory, files, containers, supervise, probes, restart, logs and biglog: measure only those, and print instead of writing -out")
	flag.BoolVar(&s.strict, "strict", false, "fail when a target is missed")
	flag.StringVar(&s.out, "out", "docs/benchmarks.md", "file to write")
	flag.Parse()
	side := outside
	if load, inside := os.LookupEnv(insideBench); inside {
		side = func(s settings) error { return bench(s, load) }
	}
	if err := side(s); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

// outside makes what needs the machine's own network, and runs the benchmark in one of its own.
func outside(s settings) (err error) {
	load := loadAverage()
	if s.rounds < leastRounds && s.only == "" {
		return fmt.Errorf("-n %d: figures that are written down need %d rounds at least", s.rounds, leastRounds)
	}
	if s.bin, err = filepath.Abs(s.bin); err != nil {
		return err
	}
	for _, program := range []string{"hostrun", "hostrun-engine"} {
		if _, err := os.Stat(filepath.Join(s.bin, program)); err != nil {
			return fmt.Errorf("find hostrun's binaries: %w\nhint: make build", err)
		}
	}
	if err := setUp(); err != nil {
		return err
	}
	if s.image == "" {
		dir, err := os.MkdirTemp("", "hrb-image")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if s.image, err = buildImage(".", dir); err != nil {
			return err
		}
	}
	if s.toolkit == "" && s.measures("toolkit") {
		if s.toolkit, err = os.MkdirTemp("", "hrb-toolkit"); err != nil {
			return err
		}
		defer os.RemoveAll(s.toolkit)
		if err := buildToolkit(s.toolkit); err != nil {
			return err
		}
	}
	return goInside(load, "-image", s.image, "-toolkit", s.toolkit)
}

// bench measures; load is the machine's load average from before.
func bench(s settings, load string) (err error) {
	if s.bin, err = filepath.Abs(s.bin); err != nil {
		return err
	}
	if s.image, err = filepath.Abs(s.image); err != nil {
		return err
	}
	if err := furnish(); err != nil {
		return err
	}
	machine := describeMachine(load)
	if err := becomeReaper(); err != nil {
		return fmt.Errorf("wait for background processes: %w", err)
	}
	w, err := newWorld(s.bin, s.image, say)
	if err != nil {
		return err
	}
	w.toolkit = s.toolkit
	r, err := w.measureAll(s)
	r.machine = machine
	if err := errors.Join(err, w.close()); err != nil {
		return err
	}
	return publish(r, s)
}

// setUp installs and builds the peers.
func setUp() error {
	cmd := exec.Command("integration/bench/setup.sh")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("integration/bench/setup.sh: %w", err)
	}
	return nil
}

// measures says whether a table is asked for.
func (s settings) measures(name string) bool {
	return s.only == "" || slices.Contains(strings.Split(s.only, ","), name)
}

// measureAll measures what is asked for.
func (w *world) measureAll(s settings) (report, error) {
	r := report{date: time.Now(), rounds: s.rounds}
	var err error
	if r.peers, err = w.describePeers(); err != nil {
		return r, err
	}
	var progress io.Writer = io.Discard
	if term.IsTerminal(int(os.Stderr.Fd())) {
		progress = os.Stderr
	}
	inTurn := func(subjects ...subject) ([]result, error) {
		stay := w.daemons()
		for _, pid := range children() { // containers that a table has started to be there
			stay[pid] = true
		}
		return measure(s.rounds, subjects, stay, progress)
	}
	for _, part := range []struct {
		name  string
		table func() (table, error)
	}{
		{"run", func() (table, error) { return w.runTable(inTurn) }},
		{"up", func() (table, error) { return w.upTable(inTurn) }},
		{"network", func() (table, error) { return w.networkTable(inTurn) }},
		{"stack", func() (table, error) { return w.stackTable(inTurn) }},
		{"list", func() (table, error) { return w.listTable(inTurn) }},
		{"eight", func() (table, error) { return w.eightTable(inTurn) }},
		{"check", func() (table, error) { return w.checkTable(inTurn) }},
		{"accelerators", func() (table, error) { return w.acceleratorTable(inTurn) }},
		{"toolkit", func() (table, error) { return w.toolkitTable(inTurn) }},
		{"proof", func() (table, error) { return w.firstProofTable(inTurn) }},
		{"million", func() (table, error) { return w.millionTable(inTurn) }},
		{"engine", func() (table, error) { return w.engineTable(s.rounds) }},
		{"memory", w.memoryTable},
		{"files", func() (table, error) { return w.filesTable(inTurn) }},
		{"containers", func() (table, error) { return w.containersTable(inTurn) }},
		{"supervise", w.superviseTable},
		{"probes", w.probesTable},
		{"restart", func() (table, error) { return w.restartTable(s.rounds) }},
		{"logs", w.latencyTable},
		{"biglog", func() (table, error) { return w.bigLogTable(s.rounds, progress) }},
	} {
		if !s.measures(part.name) {
			continue
		}
		say("measuring: %s", part.name)
		t, err := part.table()
		if err != nil {
			return r, err
		}
		r.tables = append(r.tables, t)
	}
	return r, nil
}

// publish prints the report, writes it down if it is whole, and fails if a target is missed.
func publish(r report, s settings) error {
	var text strings.Builder
	if err := r.write(&text); err != nil {
		return err
	}
	if _, err := io.WriteString(os.Stdout, text.String()); err != nil {
		return err
	}
	if s.only == "" {
		if err := os.WriteFile(s.out, []byte(text.String()), 0o644); err != nil {
			return err
		}
		say("written to %s", s.out)
	}
	missed := r.missed()
	for _, m := range missed {
		say("target missed: %s is %s, to be %s", m.what, m.got, m.target)
	}
	if s.strict && len(missed) > 0 {
		return fmt.Errorf("%d targets missed", len(missed))
	}
	return nil
}
