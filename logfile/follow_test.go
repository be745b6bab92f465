package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// seen is where a follower under test writes to.
type seen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newSeen() *seen { return &seen{more: make(chan struct{}, 1)} }

func (s *seen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// until waits for the text.
func (s *seen) until(t *testing.T, want string) {
	t.Helper()
	for !strings.Contains(s.String(), want) {
		select {
		case <-s.more:
		case <-time.After(2 * time.Minute):
			t.Fatalf("%q did not come; there is %.200q", want, s)
		}
	}
}

// follow starts a follower of both streams in one.
func follow(path string, opt ReadOptions) (*seen, chan error) {
	out, done := newSeen(), make(chan error, 1)
	opt.Follow = true
	go func() { done <- Read(context.Background(), path, opt, out, out) }()
	return out, done
}

func put(t *testing.T, w *Writer, text string) {
	t.Helper()
	if err := w.Copy(Stdout, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// A follower that starts before the log does sees every line, through many rotations, and ends after the task and the writer.
func TestFollowAcrossRotations(t *testing.T) {
	path := logPath(t)
	ended := make(chan struct{})
	out, done := follow(path, ReadOptions{Tail: All, Ended: ended})
	w := NewWriter(path, WriterOptions{MaxSize: 2000, MaxFiles: 3})
	var want strings.Builder
	for i := range 500 {
		text := fmt.Sprintf("line %d\n", i)
		want.WriteString(text)
		put(t, w, text)
		if i%20 == 19 { // no more than one generation ahead: what is gone from disk can't be read
			out.until(t, text)
		}
	}
	close(ended)
	select {
	case err := <-done:
		t.Fatalf("ended beside a living writer: %v", err)
	case <-time.After(5 * lockPoll):
	}
	put(t, w, "after the end of the task\n")
	want.WriteString("after the end of the task\n")
	w.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if out.String() != want.String() {
		t.Errorf("%d bytes of %d came", len(out.String()), want.Len())
	}
}

// A follower that falls behind by more than what is kept goes on with the oldest that there is.
func TestFollowFarBehind(t *testing.T) {
	path := logPath(t)
	w := NewWriter(path, WriterOptions{MaxSize: 1000, MaxFiles: 2})
	put(t, w, "first\n")
	block := &blocking{seen: newSeen(), entered: make(chan struct{}), gate: make(chan struct{})}
	ended, done, said := make(chan struct{}), make(chan error, 1), newSeen()
	go func() {
		done <- Read(context.Background(), path, ReadOptions{Tail: All, Follow: true, Ended: ended}, block, said)
	}()
	<-block.entered
	for i := range 300 {
		put(t, w, fmt.Sprintf("line %d\n", i))
	}
	close(block.gate)
	block.until(t, "line 299\n")
	close(ended)
	w.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(block.String(), "\n"), "\n")
	if lines[0] != "first" {
		t.Errorf("begins with %q", lines[0])
	}
	rising, missing := -1, 0
	for _, text := range lines[1:] {
		var n int
		if _, err := fmt.Sscanf(text, "line %d", &n); err != nil || n <= rising {
			t.Fatalf("%q after line %d", text, rising)
		}
		for gone := rising + 1; gone < n; gone++ {
			missing += headerLen + len(fmt.Sprintf("line %d", gone))
		}
		rising = n
	}
	if want := fmt.Sprintf("hostrun: %d bytes of the log were rotated away before they were read\n", missing); missing == 0 || said.String() != want {
		t.Errorf("it says %q, want %q", said, want)
	}
}

// TestFollowFloodOfRotations: a follower beside a writer that rotates all the time, several times between two looks, has each line as
// long as it does not fall behind by more than is kept.
func TestFollowFloodOfRotations(t *testing.T) {
	const kept, count = 40, 2000
	for _, packed := range []bool{false, true} {
		path := logPath(t)
		w := NewWriter(path, WriterOptions{MaxSize: 1000, MaxFiles: kept, Compress: packed})
		ended := make(chan struct{})
		out, done := follow(path, ReadOptions{Tail: All, Ended: ended})
		var want strings.Builder
		for i := range count {
			text := fmt.Sprintf("line %d\n", i)
			want.WriteString(text)
			put(t, w, text)
			if i%250 == 249 { // 14 files further
				out.until(t, text)
			}
		}
		close(ended)
		w.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if out.String() != want.String() {
			t.Errorf("compressed %v: %d bytes of %d came: %q", packed, len(out.String()), want.Len(), firstDifference(out.String(), want.String()))
		}
	}
}

// firstDifference is the first line of got that is not want's.
func firstDifference(got, want string) string {
	expect := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(expect) || line != expect[i] {
			return line
		}
	}
	return ""
}

// blocking is a terminal whose person pressed ^S.
type blocking struct {
	*seen
	once    sync.Once
	entered chan struct{}
	gate    chan struct{}
}

func (b *blocking) Write(p []byte) (int, error) {
	b.once.Do(func() { close(b.entered) })
	<-b.gate
	return b.seen.Write(p)
}

// The last line without its newline comes too, when no writer can finish it any more.
func TestFollowToATornEnd(t *testing.T) {
	path := logPath(t, line(1, "stdout", "F", "whole")+strings.TrimSuffix(line(2, "stdout", "F", "torn"), "\n"))
	ended := make(chan struct{})
	close(ended)
	out, done := follow(path, ReadOptions{Tail: All, Ended: ended})
	if err := <-done; err != nil || out.String() != "whole\ntorn\n" {
		t.Errorf("read %q, %v", out, err)
	}
}

// While a writer lives, half an entry is no entry.
func TestDoesNotReadHalfAnEntry(t *testing.T) {
	whole, half := line(1, "stdout", "F", "whole"), line(2, "stdout", "F", "half")
	path := logPath(t, "")
	w := NewWriter(path, WriterOptions{})
	defer w.Close()
	if err := os.WriteFile(path, []byte(whole+half[:len(half)/2]), 0o644); err != nil {
		t.Fatal(err)
	}
	if stdout, _ := read(t, path, ReadOptions{Tail: All}); stdout != "whole\n" {
		t.Errorf("read %q", stdout)
	}
}

func TestFollowAKilledWriter(t *testing.T) {
	path := logPath(t, line(1, "stdout", "F", "kept"))
	holder := exec.Command("flock", "--exclusive", path, "sleep", "1000")
	holder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	for held := false; !held; {
		var err error
		if held, err = HasWriter(path); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	out, done := follow(path, ReadOptions{Tail: All, Ended: ended})
	out.until(t, "kept\n")
	close(ended)
	if err := syscall.Kill(-holder.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	holder.Wait()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestFollowEndings(t *testing.T) {
	path := logPath(t, line(1, "stdout", "F", "text"))
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		out, done := newSeen(), make(chan error)
		go func() { done <- Read(ctx, path, ReadOptions{Tail: All, Follow: true}, out, out) }()
		out.until(t, "text\n")
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("until a time", func(t *testing.T) {
		out, done := follow(path, ReadOptions{Tail: All, Until: time.Now().Add(50 * time.Millisecond)})
		if err := <-done; err != nil || out.String() != "text\n" {
			t.Errorf("read %q, %v", out, err)
		}
	})
	t.Run("no log and no task", func(t *testing.T) {
		ended := make(chan struct{})
		_, done := follow(path+".none", ReadOptions{Ended: ended})
		close(ended)
		if err := <-done; !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("removed meanwhile", func(t *testing.T) {
		gone := logPath(t, line(1, "stdout", "F", "text"))
		ended := make(chan struct{})
		out, done := follow(gone, ReadOptions{Tail: All, Ended: ended})
		out.until(t, "text\n")
		if err := os.RemoveAll(filepath.Dir(gone)); err != nil {
			t.Fatal(err)
		}
		close(ended)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("the reader's output is closed", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if err := Read(context.Background(), path, ReadOptions{Tail: All, Follow: true}, w, w); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("got %v", err)
		}
	})
}

// Somebody empties the file by hand: what follows is read from its beginning.
func TestFollowAnEmptiedFile(t *testing.T) {
	path := logPath(t)
	w := NewWriter(path, WriterOptions{})
	put(t, w, strings.Repeat("a long past\n", 20))
	out, done := follow(path, ReadOptions{Tail: 1, Ended: closed()})
	out.until(t, "past\n")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	put(t, w, "new\n")
	out.until(t, "new\n")
	w.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if out.String() != "a long past\nnew\n" {
		t.Errorf("read %q", out)
	}
}

func closed() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}

// Without inotify (its limit is reached, or the directory came later) the follower polls.
func TestFollowByPolling(t *testing.T) {
	path := filepath.Join(t.TempDir(), "later", "log")
	ended := make(chan struct{})
	out, done := follow(path, ReadOptions{Tail: All, Ended: ended})
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	w := NewWriter(path, WriterOptions{})
	put(t, w, "polled\n")
	out.until(t, "polled\n")
	w.Close()
	close(ended)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
