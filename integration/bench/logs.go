package main

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	latencyTarget = 50 * time.Millisecond
	latencyLines  = 200
)

// clock is a program for the image's Python that writes the time, in nanoseconds, again and again. Its first argument is what ends each.
const clock = `import sys, time
end = sys.argv[1].encode().decode("unicode_escape")
while True:
    sys.stdout.write("%d" % time.time_ns() + end)
    sys.stdout.flush()
    time.sleep(0.037)
`

// latencyTable measures how long a line takes from the container to whoever follows the log.
func (w *world) latencyTable() (t table, err error) {
	v2 := w.compose[len(w.compose)-1]
	profile := func(end string) string {
		return fmt.Sprintf("image: %s\nstop_signal: SIGKILL\ncommand: [python3, -c, %s, %s]\n", imageName, strconv.Quote(clock), strconv.Quote(end))
	}
	if err := w.write(map[string]string{"profiles/clock.yaml": profile(`\n`), "profiles/bar.yaml": profile(`\r`),
		"compose-clock.yaml": fmt.Sprintf("services:\n  bench:\n    image: %s\n    network_mode: host\n    stop_signal: SIGKILL\n    command: [python3, -c, %s, '\\n']\n", imageName, strconv.Quote(clock))}); err != nil {
		return t, err
	}
	t = table{title: "logs -f", explain: fmt.Sprintf("From the time that the container writes to the time at which it comes out of the command that follows the log, %d lines, one each 37 ms. A progress bar ends each time with a carriage return alone; docker keeps such a line to itself until it ends.", latencyLines)}
	for _, one := range []struct {
		result
		up, follow, down command
		end              byte
	}{
		{result{subject: subject{name: "hostrun logs -f"}}, w.hostrun("up", "clock"), w.hostrun("logs", "-f", "clock"), w.hostrun("down", "-y", "clock"), '\n'},
		{result{subject: subject{name: v2.name + " logs -f"}}, w.composeFile(v2, "clock", "up", "-d"), w.composeFile(v2, "clock", "logs", "-f", "--no-log-prefix", "--no-color"), w.composeFile(v2, "clock", "down"), '\n'},
		{result{subject: subject{name: "hostrun logs -f", note: "a progress bar"}}, w.hostrun("up", "bar"), w.hostrun("logs", "-f", "bar"), w.hostrun("down", "-y", "bar"), '\r'},
	} {
		late, err := latency(one.up, one.follow, one.down, one.end)
		if err != nil {
			return t, fmt.Errorf("%s: %w", one.title(), err)
		}
		one.total, one.clean = late, late
		t.results = append(t.results, one.result)
	}
	t.limit("hostrun logs -f, median", t.results[0].total.median(), latencyTarget)
	t.limit("hostrun logs -f, the latest line", t.results[0].total.max(), latencyTarget)
	t.limit("a progress bar, median", t.results[2].total.median(), latencyTarget)
	return t, settle(w.daemons())
}

// latency starts the container, follows its log, and compares the times in it with the clock.
func latency(up, follow, down command, end byte) (late sample, err error) {
	if _, _, err := up.run(); err != nil {
		return nil, err
	}
	defer func() {
		_, _, downErr := down.run()
		err = errors.Join(err, downErr)
	}()
	cmd := exec.Command(follow.args[0], follow.args[1:]...)
	cmd.Env, cmd.Dir = follow.env, follow.dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	in := bufio.NewReader(out)
	var last, written int64
	for count := range latencyLines {
		text, err := in.ReadString(end)
		now := time.Now().UnixNano()
		if err != nil {
			return nil, fmt.Errorf("after %d lines: %w", count, err)
		}
		if written, err = strconv.ParseInt(strings.TrimSpace(text), 10, 64); err != nil || written <= last {
			return nil, fmt.Errorf("line %d is %q, after %d", count, text, last)
		}
		last = written
		if count >= latencyLines/20 { // the first were written before anybody followed
			late.add(time.Duration(now - written))
		}
	}
	return late, nil
}
