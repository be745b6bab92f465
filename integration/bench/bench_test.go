package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain takes orphans over as the benchmark does.
func TestMain(m *testing.M) {
	if err := becomeReaper(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func ms(values ...int) sample {
	var s sample
	for _, v := range values {
		s.add(time.Duration(v) * time.Millisecond)
	}
	return s
}

func TestSample(t *testing.T) {
	for _, tt := range []struct {
		s    sample
		want string
	}{
		{ms(3), "3.0 / 3.0 / 3.0"},
		{ms(9, 1, 5), "1.0 / 5.0 / 9.0"},
		{ms(4, 1, 3, 2), "1.0 / 2.5 / 4.0"},
		{ms(200, 100, 1000), "100 / 200 / 1000"},
		{nil, "not measured"},
	} {
		if got := tt.s.String(); got != tt.want {
			t.Errorf("%v: %s, want %s", []time.Duration(tt.s), got, tt.want)
		}
	}
	if got := ratio(ms(10, 50, 30), ms(100, 20, 60)); got != 0.5 {
		t.Errorf("ratio %v, want 0.5", got)
	}
	unsorted := ms(3, 1, 2)
	unsorted.median()
	if diff := cmp.Diff(ms(3, 1, 2), unsorted); diff != "" {
		t.Errorf("the order of the runs is lost: %s", diff)
	}
}

// Subjects take turns, warm-ups do not count, and the preparation is not in the time.
func TestMeasureTakesTurns(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	note := func(text string) command {
		return command{args: []string{"sh", "-c", "echo " + text + " >>" + log}, env: os.Environ()}
	}
	prepared := 0
	subjects := []subject{
		{name: "a", steps: []command{note("a1"), note("a2")}, before: func() error { prepared++; time.Sleep(time.Second / 5); return nil }},
		{name: "b", steps: []command{note("b")}},
	}
	results, err := measure(3, subjects, nil, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("a1\na2\nb\n", warmups+3); string(text) != want {
		t.Errorf("order %q", text)
	}
	if len(results[0].total) != 3 || len(results[0].step) != 2 || len(results[0].step[1]) != 3 || prepared != warmups+3 {
		t.Errorf("%+v, prepared %d times", results[0], prepared)
	}
	if least := results[0].total.min(); least >= time.Second/5 {
		t.Errorf("%v: the preparation was measured", least)
	}
}

func TestMeasureFailsWithTheOutput(t *testing.T) {
	broken := subject{name: "x", steps: []command{{args: []string{"sh", "-c", "echo the cause >&2; exit 3"}}}}
	_, err := measure(1, []subject{broken}, nil, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "exit status 3\nthe cause") {
		t.Errorf("got %v", err)
	}
}

// The time that a service gets between up and down is nobody's.
func TestPausesDoNotCount(t *testing.T) {
	late := command{args: []string{"true"}, env: os.Environ(), pause: time.Second / 2}
	r := result{subject: subject{steps: []command{late, late}}, step: make([]sample, 2)}
	begin := time.Now()
	if err := r.once(true, nil); err != nil {
		t.Fatal(err)
	}
	if real := time.Since(begin); real < time.Second || real-r.total.max() < time.Second || real-r.clean.max() < time.Second {
		t.Errorf("whole %v and %v of %v with two pauses of half a second", r.total, r.clean, real)
	}
}

// What a command leaves in the background is waited for, outside its own time; a daemon is not.
func TestSettleWaitsForTheBackground(t *testing.T) {
	done := filepath.Join(t.TempDir(), "done")
	daemon := exec.Command("sleep", "1000")
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Wait()
	defer daemon.Process.Kill()
	leaves := subject{name: "x", steps: []command{{args: []string{"sh", "-c", "(sleep 0.3; touch " + done + ") >/dev/null 2>&1 &"}, env: os.Environ()}}}
	r := result{subject: leaves, step: make([]sample, 1)}
	if err := r.once(true, map[int]bool{daemon.Process.Pid: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(done); err != nil {
		t.Errorf("did not wait: %v", err)
	}
	if r.clean.min()-r.total.min() < 200*time.Millisecond {
		t.Errorf("whole %v, until nothing is left %v", r.total, r.clean)
	}
}

func TestTreeIsAnEnvironment(t *testing.T) {
	if _, err := os.Stat(python); err != nil {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skipf("the distribution's Python is missing: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "env")
	site, err := makeTree(dir, python, treeFiles)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	if err := filepath.WalkDir(site, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if files != treeFiles {
		t.Errorf("%d files, want %d", files, treeFiles)
	}
	const ask = `
import importlib.metadata, pack007.sub0.module1
print(len([d for d in importlib.metadata.distributions() if d.metadata["Name"].startswith("pack")]))`
	out, err := exec.Command(filepath.Join(dir, "bin", "python3"), "-c", ask).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "100" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestReport(t *testing.T) {
	up := table{title: "Up", explain: "Why.", results: []result{
		{subject: subject{name: "hostrun", note: "ours"}, total: ms(10), step: []sample{ms(7), ms(3)}, clean: ms(11)},
		{subject: subject{name: "peer"}, total: ms(40), step: []sample{ms(30), ms(10)}, clean: ms(40)},
	}}
	up.compare("hostrun / peer", 0, 1, 0.5)
	up.limit("a limit", 31*time.Millisecond, 30*time.Millisecond)
	r := report{date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), rounds: 20, machine: []string{"2 CPUs"}, peers: []string{"peer 1.0"}, tables: []table{up}}
	var got strings.Builder
	if err := r.write(&got); err != nil {
		t.Fatal(err)
	}
	const want = `## Up

Why.

| | whole | up | down | until nothing is left |
|---|---|---|---|---|
| ` + "`hostrun`" + `: ours | 10.0 / 10.0 / 10.0 | 7.0 / 7.0 / 7.0 | 3.0 / 3.0 / 3.0 | 11.0 / 11.0 / 11.0 |
| ` + "`peer`" + ` | 40.0 / 40.0 / 40.0 | 30.0 / 30.0 / 30.0 | 10.0 / 10.0 / 10.0 | 40.0 / 40.0 / 40.0 |

| figure | measured | target | |
|---|---|---|---|
| hostrun / peer | 0.25 | at most 0.5 | met |
| a limit | 31.0 ms | at most 30.0 ms | **missed** |
`
	head, tables, _ := strings.Cut(got.String(), "## Up")
	if diff := cmp.Diff(want, "## Up"+tables); diff != "" {
		t.Error(diff)
	}
	for _, part := range []string{"2 January 2026", "2 CPUs", "peer 1.0", "20 rounds after 2"} {
		if !strings.Contains(head, part) {
			t.Errorf("%q does not say %q", head, part)
		}
	}
	if missed := r.missed(); len(missed) != 1 || missed[0].what != "a limit" {
		t.Errorf("missed: %+v", missed)
	}
}
