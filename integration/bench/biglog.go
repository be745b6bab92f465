package main

import (
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

// What the container writes in bulk: lines of 100 bytes, each of its own, in blocks.
const (
	bulkBytes = 1_000_000_000
	bulkLine  = 100
	bulkBlock = 1000 // lines

	peersShare = 5 // docker's drivers get a fifth of it: they take ten times as long, and their readers longer
)

// flood is a program for the image's Python that writes them as fast as it is let, then how long that took and how long the longest
// write did, in seconds, into the file that its first argument names, and stays. The second is the number of blocks.
var flood = fmt.Sprintf(`import os, sys, time
block = b"".join(b"########%%08d" %% i + b"." * %d + b"\n" for i in range(%d))
begin, longest = time.monotonic(), 0
for n in range(int(sys.argv[2])):
    text = memoryview(block.replace(b"########", b"%%08d" %% n))
    while text:
        before = time.monotonic()
        text = text[os.write(1, text):]
        longest = max(longest, time.monotonic() - before)
with open(sys.argv[1] + ".new", "w") as f:
    f.write("%%.6f %%.6f\n" %% (time.monotonic() - begin, longest))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(100000)
`, bulkLine-17, bulkBlock)

// bulkSum is the sum of so many bytes of what flood writes.
func bulkSum(bytes int) string {
	sum := sha256.New()
	rest := strings.Repeat(".", bulkLine-17) + "\n"
	var line []byte
	for n := range bytes / bulkLine {
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
	bytes          int
	sum            string // of them; "": nothing is kept

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
	flooding := func(bytes int) string {
		return fmt.Sprintf("command: [python3, -c, %s, /bench/took, \"%d\"]\n", strconv.Quote(flood), bytes/bulkLine/bulkBlock)
	}
	nowhere := fmt.Sprintf("command: [sh, -c, 'exec python3 -c \"$$1\" /bench/took %d >/dev/null', sh, %s]\n", bulkBytes/bulkLine/bulkBlock, strconv.Quote(flood))
	docker := func(driver, options string) dockerLog {
		return dockerLog{driver, "services:\n  bench:\n    network_mode: host\n    " + strings.ReplaceAll(strings.TrimSpace(head+flooding(bulkBytes/peersShare)), "\n", "\n    ") + "\n    logging: {driver: " + driver + options + "}\n"}
	}
	files := map[string]string{"profiles/bulk.yaml": head + flooding(bulkBytes) + "logging: {options: {max-size: 4g}}\n", "profiles/nowhere.yaml": head + nowhere}
	for _, d := range []dockerLog{docker("json-file", ""), docker("local", ", options: {max-size: 4g}")} {
		files["compose-"+d.driver+".yaml"] = d.text
	}
	if err := w.write(files); err != nil {
		return t, err
	}
	dockerd := func() ([]int, error) { return []int{w.dockerd.cmd.Process.Pid}, nil }
	sum, share := bulkSum(bulkBytes), bulkSum(bulkBytes/peersShare)
	theirs := func(driver string) bulk {
		return bulk{bytes: bulkBytes / peersShare, sum: share, result: result{subject: subject{name: v2.name, note: "driver " + driver}}, keeper: dockerd, up: w.composeFile(v2, driver, "up", "-d"),
			logs: w.command("docker", "logs", "bench-"+driver+"-bench-1"), down: w.composeFile(v2, driver, "down")}
	}
	ways := []bulk{
		{bytes: bulkBytes, sum: sum, result: result{subject: subject{name: "hostrun"}}, keeper: w.loggers, up: w.hostrun("up", "bulk"), logs: w.hostrun("logs", "bulk"), down: w.hostrun("down", "-y", "bulk")},
		theirs("json-file"), theirs("local"),
		{result: result{subject: subject{name: "hostrun", note: "into /dev/null"}}, bytes: bulkBytes, up: w.hostrun("up", "nowhere"), down: w.hostrun("down", "-y", "nowhere")},
	}
	for round := range rounds {
		for i := range ways {
			if err := ways[i].once(noted); err != nil {
				return t, fmt.Errorf("%s: %w", ways[i].title(), err)
			}
			if err := settle(w.daemons()); err != nil {
				return t, err
			}
			fmt.Fprintf(progress, "\r  round %d of %d", round+1, rounds)
		}
	}
	t = table{title: "A gigabyte of output", explain: fmt.Sprintf("A container writes %d lines of %d bytes as fast as it is let, %d times; docker's a fifth of them. Then the log is read and compared with what was written, byte for byte. "+
		"The longest write is how long the container stood still at most. The processor's time is that of hostrun-log, or of dockerd.", bulkBytes/bulkLine, bulkLine, rounds)}
	for _, b := range ways {
		mega := float64(b.bytes) / 1e6
		t.tell(b.title()+": the container", fmt.Sprintf("%.2f s, %.0f MB/s; longest write %s ms", b.total.median().Seconds(), mega/b.total.median().Seconds(), millis(b.longest.max())))
		if b.sum != "" {
			t.tell(b.title()+": to keep it; to read it, all there", fmt.Sprintf("%.2f s of the processor for each 100 MB; %.0f MB/s", b.cpu.median().Seconds()/mega*100, mega/b.read.median().Seconds()))
		}
	}
	for i, name := range []string{"json-file", "local"} {
		r := ratio(ways[0].total, ways[i+1].total) / peersShare
		t.verdict = append(t.verdict, verdict{"hostrun / docker's driver " + name + ": the container's time for a byte", fmt.Sprintf("%.2f", r), "at most 1", r <= 1})
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
func (b *bulk) once(noted string) (err error) {
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
	if b.sum != "" {
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
	say("  %s: written in %.1f s", b.title(), took)
	if b.sum == "" {
		return nil
	}
	time.Sleep(time.Second) // what is on its way
	after, err := cpuOf(pids)
	if err != nil {
		return err
	}
	b.cpu.add(after - before)
	return b.compare()
}

// compare reads the log.
func (b *bulk) compare() error {
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
	say("  %s: read in %.1f s", b.title(), time.Since(begin).Seconds())
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != b.sum {
		return fmt.Errorf("what the log has is not what was written: %d bytes of %d", count.bytes, b.bytes)
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
