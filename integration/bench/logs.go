package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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

// What the container writes in bulk: lines of 100 bytes, each of its own, in blocks.
const (
	bulkBytes = 1_000_000_000
	bulkLine  = 100
	bulkBlock = 1000 // lines
)

// flood is a program for the image's Python that writes them as fast as it is let, then how long that took and how long the longest
// write did, in seconds, into the file that its argument names, and stays.
var flood = fmt.Sprintf(`import os, sys, time
block = b"".join(b"########%%08d" %% i + b"." * %d + b"\n" for i in range(%d))
begin, longest = time.monotonic(), 0
for n in range(%d):
    text = memoryview(block.replace(b"########", b"%%08d" %% n))
    while text:
        before = time.monotonic()
        text = text[os.write(1, text):]
        longest = max(longest, time.monotonic() - before)
with open(sys.argv[1] + ".new", "w") as f:
    f.write("%%.6f %%.6f\n" %% (time.monotonic() - begin, longest))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(100000)
`, bulkLine-17, bulkBlock, bulkBytes/bulkLine/bulkBlock)

// bulkSum is the sum of what flood writes.
func bulkSum() string {
	sum := sha256.New()
	rest := strings.Repeat(".", bulkLine-17) + "\n"
	var line []byte
	for n := range bulkBytes / bulkLine {
		line = append(fmt.Appendf(line[:0], "%08d%08d", n/bulkBlock, n%bulkBlock), rest...)
		sum.Write(line)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// A bulk is one way to keep a gigabyte of output.
type bulk struct {
	result
	keeper         func() ([]int, error) // the processes that take the output
	up, logs, down command
	silent         bool // nothing is kept

	longest sample
	cpu     sample
	read    sample
}

// bulkRounds are enough for what takes so long.
const bulkRounds = 3

// bigLogTable measures a gigabyte of output at full speed: how long the container takes, what keeping it costs, and that all of it is there.
func (w *world) bigLogTable(rounds int, progress io.Writer) (t table, err error) {
	rounds = min(rounds, bulkRounds)
	v2 := w.compose[len(w.compose)-1]
	noted := filepath.Join(w.dir, "bulk")
	if err := os.MkdirAll(noted, 0o755); err != nil {
		return t, err
	}
	head := fmt.Sprintf("image: %s\nstop_signal: SIGKILL\nvolumes: [\"%s:/bench\"]\n", imageName, noted)
	flooding := "command: [python3, -c, " + strconv.Quote(flood) + ", /bench/took]\n"
	nowhere := "command: [sh, -c, 'exec python3 -c \"$1\" /bench/took >/dev/null', sh, " + strconv.Quote(flood) + "]\n"
	docker := func(driver, options string) dockerLog {
		return dockerLog{driver, "services:\n  bench:\n    network_mode: host\n    " + strings.ReplaceAll(strings.TrimSpace(head+flooding), "\n", "\n    ") + "\n    logging: {driver: " + driver + options + "}\n"}
	}
	files := map[string]string{"profiles/bulk.yaml": head + flooding + "logging: {options: {max-size: 4g}}\n", "profiles/nowhere.yaml": head + nowhere}
	for _, d := range []dockerLog{docker("json-file", ""), docker("local", ", options: {max-size: 4g}")} {
		files["compose-"+d.driver+".yaml"] = d.text
	}
	if err := w.write(files); err != nil {
		return t, err
	}
	dockerd := func() ([]int, error) { return []int{w.dockerd.cmd.Process.Pid}, nil }
	theirs := func(driver string) bulk {
		return bulk{result: result{subject: subject{name: v2.name, note: "driver " + driver}}, keeper: dockerd, up: w.composeFile(v2, driver, "up", "-d"),
			logs: w.command("docker", "logs", "bench-"+driver+"-bench-1"), down: w.composeFile(v2, driver, "down")}
	}
	ways := []bulk{
		{result: result{subject: subject{name: "hostrun"}}, keeper: w.loggers, up: w.hostrun("up", "bulk"), logs: w.hostrun("logs", "bulk"), down: w.hostrun("down", "-y", "bulk")},
		theirs("json-file"), theirs("local"),
		{result: result{subject: subject{name: "hostrun", note: "into /dev/null"}}, silent: true, up: w.hostrun("up", "nowhere"), down: w.hostrun("down", "-y", "nowhere")},
	}
	want := bulkSum()
	for round := range rounds {
		for i := range ways {
			if err := ways[i].once(noted, want); err != nil {
				return t, fmt.Errorf("%s: %w", ways[i].title(), err)
			}
			if err := settle(w.daemons()); err != nil {
				return t, err
			}
			fmt.Fprintf(progress, "\r  round %d of %d", round+1, rounds)
		}
	}
	t = table{title: "A gigabyte of output", explain: fmt.Sprintf("A container writes %d lines of %d bytes as fast as it is let, %d times. Then the log is read and compared with what was written, byte for byte. "+
		"The longest write is how long the container stood still at most. The processor's time is that of hostrun-log, or of dockerd.", bulkBytes/bulkLine, bulkLine, rounds)}
	for _, b := range ways {
		t.tell(b.title()+": container", fmt.Sprintf("%.2f s, %.0f MB/s; longest write %s ms", b.total.median().Seconds(), bulkBytes/1e6/b.total.median().Seconds(), millis(b.longest.max())))
		if !b.silent {
			t.tell(b.title()+": keeping it; reading it, all there", fmt.Sprintf("%.2f s of the processor; %.2f s", b.cpu.median().Seconds(), b.read.median().Seconds()))
		}
	}
	for i, name := range []string{"json-file", "local"} {
		r := ratio(ways[0].total, ways[i+1].total)
		t.verdict = append(t.verdict, verdict{"hostrun / docker's driver " + name + ", container", fmt.Sprintf("%.2f", r), "at most 1", r <= 1})
	}
	lost := verdict{"lines lost", "0", "0", true} // another number is an error of its own
	t.limit("hostrun: longest write", ways[0].longest.max(), blockTarget)
	t.verdict = append(t.verdict, lost)
	return t, nil
}

// blockTarget is how long one write of the container may take.
const blockTarget = 500 * time.Millisecond

type dockerLog struct{ driver, text string }

// once lets the container write, reads what was kept, and compares.
func (b *bulk) once(noted, want string) (err error) {
	if err := emptied(noted); err != nil {
		return err
	}
	if _, _, err := b.up.run(); err != nil {
		return err
	}
	defer func() {
		_, _, downErr := b.down.run()
		err = errors.Join(err, downErr)
	}()
	var pids []int
	var before time.Duration
	if !b.silent {
		if pids, err = b.keeper(); err != nil {
			return err
		}
		if before, err = cpuOf(pids); err != nil {
			return err
		}
	}
	text, err := awaitFile(filepath.Join(noted, "took"), 5*time.Minute)
	if err != nil {
		return err
	}
	var took, longest float64
	if _, err := fmt.Sscan(text, &took, &longest); err != nil {
		return fmt.Errorf("read what the container notes, %q: %w", text, err)
	}
	b.total.add(time.Duration(took * float64(time.Second)))
	b.longest.add(time.Duration(longest * float64(time.Second)))
	if b.silent {
		return nil
	}
	time.Sleep(time.Second) // what is on its way
	after, err := cpuOf(pids)
	if err != nil {
		return err
	}
	b.cpu.add(after - before)
	return b.compare(want)
}

// compare reads the log.
func (b *bulk) compare(want string) error {
	cmd := exec.Command(b.logs.args[0], b.logs.args[1:]...)
	cmd.Env, cmd.Dir = b.logs.env, b.logs.dir
	sum := sha256.New()
	count := &counter{to: sum}
	cmd.Stdout = count
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(b.logs.args, " "), err)
	}
	b.read.add(time.Since(begin))
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != want {
		return fmt.Errorf("what the log has is not what was written: %d bytes of %d", count.bytes, bulkBytes)
	}
	return nil
}

// A counter counts what passes.
type counter struct {
	to    io.Writer
	bytes int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return c.to.Write(p)
}

func cpuOf(pids []int) (all time.Duration, err error) {
	for _, pid := range pids {
		one, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		all += one
	}
	return all, nil
}

func awaitFile(path string, patience time.Duration) (string, error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(path); err == nil {
			return string(text), nil
		}
	}
	return "", fmt.Errorf("no %s after %v", path, patience)
}
