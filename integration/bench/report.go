package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A report is everything that a reader needs to judge the figures.
type report struct {
	date    time.Time
	rounds  int
	machine []string // "kernel 6.1"
	peers   []string // "containerd 1.6.20"
	tables  []table
}

// write writes the report as Markdown.
func (r report) write(w io.Writer) error {
	p := &printer{w: w}
	p.f("# Benchmarks\n\nWritten by `make bench` (`go run ./integration/bench`), on %s. Figures of another machine differ; the ratios are what to compare.\n\n", r.date.UTC().Format("2 January 2006"))
	p.f("- Machine: %s\n- Peers: %s\n", strings.Join(r.machine, ", "), strings.Join(r.peers, ", "))
	p.f("- Method: whole processes, from before the start to the end, in turn (A B A B), %d rounds after %d that do not count. "+
		"Milliseconds, as minimum / median / maximum; ratios are of medians.\n- containerd and dockerd are private to the run: own directories and sockets, their state on a file system in memory as /run is one. hostrun and compose v2 run from copies, as installed programs are.\n", r.rounds, warmups)
	for _, t := range r.tables {
		t.write(p)
	}
	return p.err
}

func (t table) write(p *printer) {
	p.f("\n## %s\n\n%s\n", t.title, t.explain)
	if len(t.results) > 0 {
		t.writeResults(p)
	}
	if len(t.verdict) == 0 {
		return
	}
	p.f("\n| figure | measured | target | |\n|---|---|---|---|\n")
	for _, v := range t.verdict {
		p.f("| %s | %s | %s | %s |\n", v.what, v.got, v.target, v.word())
	}
}

func (t table) writeResults(p *printer) {
	steps := len(t.results[0].step)
	p.f("\n| | whole |%s until nothing is left |\n|---|---|%s---|\n", stepHeads(steps), strings.Repeat("---|", stepColumns(steps)))
	for _, r := range t.results {
		p.f("| %s | %s |", r.title(), r.total)
		for i := range stepColumns(steps) {
			p.f(" %s |", r.step[i])
		}
		p.f(" %s |\n", r.clean)
	}
}

// stepColumns is how many columns single steps get: two for up and down, else none.
func stepColumns(steps int) int {
	if steps != 2 {
		return 0
	}
	return steps
}

func stepHeads(steps int) string {
	if steps == 2 {
		return " up | down |"
	}
	return ""
}

func (r result) title() string {
	if r.note == "" {
		return "`" + r.name + "`"
	}
	return "`" + r.name + "`: " + r.note
}

func (v verdict) word() string {
	switch {
	case v.target == "":
		return ""
	case v.met:
		return "met"
	}
	return "**missed**"
}

// missed returns the figures that miss their target.
func (r report) missed() []verdict {
	var all []verdict
	for _, t := range r.tables {
		for _, v := range t.verdict {
			if !v.met {
				all = append(all, v)
			}
		}
	}
	return all
}

// A printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// describeMachine says what the figures depend on, the load by others included.
func describeMachine(load string) []string {
	var name unix.Utsname
	_ = unix.Uname(&name) // it can't fail
	return []string{cpuModel(), fmt.Sprintf("%d CPUs", runtime.NumCPU()), "Linux " + unix.ByteSliceToString(name.Release[:]), "load average before the start " + load}
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg") // Linux has it
	load, _, _ := strings.Cut(string(text), " ")
	return load
}

func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, found := strings.Cut(string(info), "model name\t: ")
	if !found {
		return runtime.GOARCH
	}
	model, _, _ := strings.Cut(rest, "\n")
	return model
}

// describePeers asks each peer for its version.
func (w *world) describePeers() ([]string, error) {
	var all []string
	for _, c := range []struct {
		name string
		args []string
		from int // the word of the first line that is the version
	}{
		{"containerd", []string{"containerd", "--version"}, 2},
		{"runc", []string{"runc", "--version"}, 2},
		{"ctr", []string{"ctr", "--version"}, 2},
		{"dockerd", []string{"dockerd", "--version"}, 2},
		{"docker client", []string{"docker", "--version"}, 2},
	} {
		_, out, err := w.command(c.args...).run()
		if err != nil {
			return nil, err
		}
		words := strings.Fields(string(out))
		if len(words) <= c.from {
			return nil, fmt.Errorf("%s: unexpected output %q", strings.Join(c.args, " "), out)
		}
		all = append(all, c.name+" "+strings.TrimSuffix(words[c.from], ","))
	}
	for _, tool := range w.compose {
		all = append(all, tool.name)
	}
	return all, nil
}
