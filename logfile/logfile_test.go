package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is the n-th second of the tests' time.
func at(n int) time.Time { return time.Date(2026, 11, 22, 16, 0, n, 0, time.UTC) }

// line is an entry of the file at second n.
func line(n int, stream, tag, text string) string {
	return at(n).Format(timeLayout) + " " + stream + " " + tag + " " + text + "\n"
}

func logPath(t *testing.T, generations ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	for n, text := range generations {
		if err := os.WriteFile(generation(path, n), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func read(t *testing.T, path string, opt ReadOptions) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if failed := Read(context.Background(), path, opt, &out, &err); failed != nil {
		t.Fatal(failed)
	}
	return out.String(), err.String()
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFormat(t *testing.T) {
	path := logPath(t)
	w := NewWriter(path, WriterOptions{})
	w.now = func() time.Time { return at(7) }
	if err := w.Copy(Stdout, strings.NewReader("one\n\ntwo words \xff\r\nno newline")); err != nil {
		t.Fatal(err)
	}
	if err := w.Copy(Stderr, strings.NewReader("oops\n")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	want := "2026-11-22T16:00:07.000000000Z stdout F one\n" +
		"2026-11-22T16:00:07.000000000Z stdout F \n" +
		"2026-11-22T16:00:07.000000000Z stdout F two words \xff\r\n" +
		"2026-11-22T16:00:07.000000000Z stdout P no newline\n" +
		"2026-11-22T16:00:07.000000000Z stderr F oops\n"
	if diff := cmp.Diff(want, content(t, path)); diff != "" {
		t.Error(diff)
	}
}

// What goes in comes out, byte for byte, however it is cut into reads and lines.
func TestRoundTrip(t *testing.T) {
	long := strings.Repeat("0123456789", 5000)
	for name, text := range map[string]string{
		"empty":                "",
		"newline":              "\n",
		"no newline":           "prompt> ",
		"a part of full size":  strings.Repeat("x", readSize),
		"that and a newline":   strings.Repeat("x", readSize) + "\n",
		"one less":             strings.Repeat("x", readSize-1) + "\nnext\n",
		"longer than any part": "first\n" + long + "\nlast\n",
		"many short":           strings.Repeat("\n", 3*readSize) + strings.Repeat("a\n", 2*readSize),
		"zeros":                "a\x00b\n\x00\n",
	} {
		for _, chunk := range []int{1, 7, 4096, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", name, chunk), func(t *testing.T) {
				path := logPath(t)
				w := NewWriter(path, WriterOptions{})
				if err := w.Copy(Stderr, &chunked{[]byte(text), chunk}); err != nil {
					t.Fatal(err)
				}
				w.Close()
				stdout, stderr := read(t, path, ReadOptions{Tail: All})
				if stdout != "" || stderr != text {
					t.Errorf("%d bytes in, %d bytes out, and %d on the other stream", len(text), len(stderr), len(stdout))
				}
			})
		}
	}
}

// chunked yields at most n bytes a read.
type chunked struct {
	left []byte
	n    int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.left)
	c.left = c.left[n:]
	return n, nil
}

// An unfinished line is readable while its program waits, also when more of it comes all the time.
func TestPromptAndProgressBar(t *testing.T) {
	path := logPath(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log := NewWriter(path, WriterOptions{})
	done := make(chan error)
	go func() { done <- log.Copy(Stdout, r) }()
	fmt.Fprint(w, "50% ")
	for !strings.Contains(content(t, path), "stdout P 50% ") {
		time.Sleep(time.Millisecond)
	}
	for bar := true; bar; { // never silent as long as the idle time
		fmt.Fprint(w, ".")
		time.Sleep(DefaultIdle / 50)
		bar = strings.Count(content(t, path), "\n") < 4
	}
	fmt.Fprint(w, "done\n")
	w.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	log.Close()
	stdout, _ := read(t, path, ReadOptions{Tail: All})
	if !strings.HasPrefix(stdout, "50% .") || !strings.HasSuffix(stdout, ".done\n") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("read %q", stdout)
	}
}

func TestRotation(t *testing.T) {
	for _, files := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			path := logPath(t)
			w := NewWriter(path, WriterOptions{MaxSize: 1000, MaxFiles: files})
			for i := range 200 {
				if err := w.Copy(Stdout, strings.NewReader(fmt.Sprintf("line %d\n", i))); err != nil {
					t.Fatal(err)
				}
			}
			w.Close()
			for n := range files {
				if size := len(content(t, generation(path, n))); size == 0 || size > 1000 {
					t.Errorf("generation %d has %d bytes", n, size)
				}
			}
			names, err := os.ReadDir(filepath.Dir(path))
			if err != nil || len(names) != files+1 { // and log.at
				t.Errorf("%d files, want %d: %v %v", len(names), files+1, names, err)
			}
			stdout, _ := read(t, path, ReadOptions{Tail: All})
			kept := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
			for i, text := range kept {
				if want := fmt.Sprintf("line %d", 200-len(kept)+i); text != want {
					t.Fatalf("line %d is %q, want %q", i, text, want)
				}
			}
		})
	}
}

// TestBurstIsRotated: what a container writes faster than it is read goes into files of the size that was asked for, too.
func TestBurstIsRotated(t *testing.T) {
	path := logPath(t)
	w := NewWriter(path, WriterOptions{MaxSize: 5000, MaxFiles: 100})
	if err := w.Copy(Stdout, strings.NewReader(strings.Repeat("line\n", 3000))); err != nil {
		t.Fatal(err)
	}
	w.Close()
	files, _ := filepath.Glob(path + "*")
	for _, name := range files {
		if size := len(content(t, name)); size == 0 || size > 5000 {
			t.Errorf("%s has %d bytes", filepath.Base(name), size)
		}
	}
	if stdout, _ := read(t, path, ReadOptions{Tail: All}); strings.Count(stdout, "line\n") != 3000 {
		t.Errorf("%d lines are left", strings.Count(stdout, "line\n"))
	}
}

// A container that is started again goes on in the same file, with a count that includes what is there.
func TestTakesUpAnExistingFile(t *testing.T) {
	path := logPath(t, line(1, "stdout", "F", "before")+"2026-11-22T16:00:02.0000") // killed while writing
	w := NewWriter(path, WriterOptions{MaxSize: 200})
	if err := w.Copy(Stdout, strings.NewReader("after\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Copy(Stdout, strings.NewReader(strings.Repeat("x", 100)+"\n")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	stdout, _ := read(t, path, ReadOptions{Tail: All})
	want := "before\n2026-11-22T16:00:02.0000\nafter\n" + strings.Repeat("x", 100) + "\n"
	if diff := cmp.Diff(want, stdout); diff != "" {
		t.Error(diff)
	}
	if got := content(t, generation(path, 1)); !strings.HasPrefix(got, line(1, "stdout", "F", "before")) {
		t.Errorf("the old file was not rotated: %q", got)
	}
}

func TestOnlyOneWriter(t *testing.T) {
	path := logPath(t)
	first := NewWriter(path, WriterOptions{})
	if busy, err := HasWriter(path); !busy || err != nil {
		t.Errorf("HasWriter = %v, %v beside a writer", busy, err)
	}
	took := make(chan *Writer)
	go func() { took <- NewWriter(path, WriterOptions{}) }()
	time.Sleep(5 * lockPoll)
	if err := first.Copy(Stdout, strings.NewReader("first\n")); err != nil {
		t.Fatal(err)
	}
	first.Close()
	second := <-took
	if err := second.Copy(Stdout, strings.NewReader("second\n")); err != nil {
		t.Fatal(err)
	}
	second.Close()
	if busy, err := HasWriter(path); busy || err != nil {
		t.Errorf("HasWriter = %v, %v after the writers", busy, err)
	}
	if stdout, _ := read(t, path, ReadOptions{Tail: All}); stdout != "first\nsecond\n" {
		t.Errorf("read %q", stdout)
	}
	if busy, err := HasWriter(path + ".none"); busy || err != nil {
		t.Errorf("HasWriter = %v, %v of nothing", busy, err)
	}
}

// A rotated log is locked under its name as the first one was.
func TestLockOutlivesRotation(t *testing.T) {
	path := logPath(t)
	w := NewWriter(path, WriterOptions{MaxSize: 100})
	for range 10 {
		if err := w.Copy(Stdout, strings.NewReader("some text that fills the file\n")); err != nil {
			t.Fatal(err)
		}
		if busy, err := HasWriter(path); !busy || err != nil {
			t.Fatalf("HasWriter = %v, %v", busy, err)
		}
	}
	w.Close()
}

// On a full disk output is dropped and counted, a torn entry is taken back, and the account follows when there is room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("hostrun-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatalf("mount tmpfs: %v", err)
		}
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	path := filepath.Join(dir, "log")
	w := NewWriter(path, WriterOptions{})
	now := at(0)
	w.now = func() time.Time { return now }
	put := func(text string) {
		t.Helper()
		if err := w.Copy(Stdout, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	put("before\n")
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 50<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	put(strings.Repeat("this line is lost\n", 500)) // at once: 500 lines of 18 bytes do not fit
	put("lost too\n")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	put("within the second\n")
	now = now.Add(retryAfter)
	put("after\n")
	w.Close()
	want := line(0, "stdout", "F", "before") +
		line(1, "stderr", "F", "hostrun-log: 502 lines (9027 bytes) were lost since "+at(0).Format(timeLayout)+
			": write "+path+": no space left on device") +
		line(1, "stdout", "F", "after")
	if diff := cmp.Diff(want, content(t, path)); diff != "" {
		t.Error(diff)
	}
}

// A log whose directory is not there yet, or not any more, is tried again, and nothing blocks.
func TestMissingDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "later", "log")
	w := NewWriter(path, WriterOptions{})
	now := at(0)
	w.now = func() time.Time { return now }
	if err := w.Copy(Stdout, strings.NewReader("lost\n")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	now = now.Add(retryAfter)
	if err := w.Copy(Stdout, strings.NewReader("kept\n")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	stdout, stderr := read(t, path, ReadOptions{Tail: All})
	if stdout != "kept\n" || !strings.Contains(stderr, "1 lines (5 bytes) were lost") || !strings.Contains(stderr, "no such file") {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

func TestSelect(t *testing.T) {
	path := logPath(t,
		line(7, "stdout", "F", "seven")+line(8, "stderr", "P", "ei")+line(8, "stdout", "F", "8")+line(9, "stderr", "F", "ght")+line(10, "stdout", "P", "ten"),
		line(4, "stdout", "P", "fo")+line(5, "stderr", "F", "five")+line(6, "stdout", "F", "ur"),
		line(1, "stdout", "F", "one")+line(2, "stderr", "F", "two")+line(3, "stdout", "F", "three"))
	tests := []struct {
		name           string
		opt            ReadOptions
		stdout, stderr string
	}{
		{"all", ReadOptions{Tail: All}, "one\nthree\nfour\nseven\n8\nten", "two\nfive\neight\n"},
		{"none", ReadOptions{Tail: 0}, "", ""},
		{"an unfinished line counts", ReadOptions{Tail: 1}, "ten", ""},
		{"a line in parts is whole", ReadOptions{Tail: 2}, "ten", "eight\n"},
		{"between its parts", ReadOptions{Tail: 3}, "8\nten", "eight\n"},
		{"across files", ReadOptions{Tail: 5}, "four\nseven\n8\nten", "eight\n"},
		{"and their parts", ReadOptions{Tail: 6}, "four\nseven\n8\nten", "five\neight\n"},
		{"more than there are", ReadOptions{Tail: 100}, "one\nthree\nfour\nseven\n8\nten", "two\nfive\neight\n"},
		{"since", ReadOptions{Tail: All, Since: at(7)}, "seven\n8\nten", "eight\n"},
		{"since the middle of a line", ReadOptions{Tail: All, Since: at(9)}, "ten", ""},
		{"until", ReadOptions{Tail: All, Until: at(4)}, "one\nthree\nfour\n", "two\n"},
		{"range", ReadOptions{Tail: All, Since: at(3), Until: at(7)}, "three\nfour\nseven\n", "five\n"},
		{"end of a range, within a line", ReadOptions{Tail: 2, Until: at(5)}, "four\n", "five\n"},
		{"tail within since", ReadOptions{Tail: 2, Since: at(8)}, "ten", "eight\n"},
		{"timestamps", ReadOptions{Tail: 2, Timestamps: true},
			at(10).Format(timeLayout) + " ten", at(8).Format(timeLayout) + " eight\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr := read(t, path, tt.opt)
			if diff := cmp.Diff([]string{tt.stdout, tt.stderr}, []string{stdout, stderr}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Streams that go to the same place stay in order.
func TestOrderOfStreams(t *testing.T) {
	path := logPath(t, line(1, "stdout", "F", "1")+line(2, "stderr", "F", "2")+line(3, "stderr", "F", "3")+line(4, "stdout", "F", "4"))
	var both bytes.Buffer
	if err := Read(context.Background(), path, ReadOptions{Tail: All}, &both, &both); err != nil {
		t.Fatal(err)
	}
	if both.String() != "1\n2\n3\n4\n" {
		t.Errorf("read %q", &both)
	}
}

// Tail reads the end of a file only: here the rest of it is a hole of a terabyte.
func TestTailDoesNotReadTheWholeFile(t *testing.T) {
	path := logPath(t, "")
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("\n"+line(0, "stdout", "F", "not wanted")+line(1, "stdout", "F", "last but one")+line(2, "stdout", "F", "last")), 1<<40); err != nil {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatalf("no file of a terabyte can be made here: %v", err)
		}
		t.Skipf("no file of a terabyte can be made here: %v", err)
	}
	if stdout, _ := read(t, path, ReadOptions{Tail: 2}); stdout != "last but one\nlast\n" {
		t.Errorf("read %q", stdout)
	}
}

func TestDamage(t *testing.T) {
	long := strings.Repeat("y", 3*maxLine)
	tests := []struct{ name, file, want string }{
		{"hand-written", "hello\n" + line(1, "stdout", "F", "x"), "hello\nx\n"},
		{"empty line", "\n" + line(1, "stdout", "F", "x"), "\nx\n"},
		{"torn at the end", line(1, "stdout", "F", "x") + "2026-11-22T1", "x\n2026-11-22T1\n"},
		{"torn in the text", line(1, "stdout", "F", "x") + strings.TrimSuffix(line(2, "stdout", "F", "yz"), "\n"), "x\nyz\n"},
		{"no stream", at(1).Format(timeLayout) + " stdlog F x\n", at(1).Format(timeLayout) + " stdlog F x\n"},
		{"no tag", at(1).Format(timeLayout) + " stdout x\n", at(1).Format(timeLayout) + " stdout x\n"},
		{"lost blocks", "\x00\x00\x00\n" + line(1, "stdout", "F", "x"), "\x00\x00\x00\nx\n"},
		{"overlong entry", line(1, "stdout", "F", long) + line(2, "stdout", "F", "x"), long + "\nx\n"},
		{"overlong line", long + "\n" + line(2, "stdout", "F", "x"), long + "\nx\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := logPath(t, tt.file)
			for _, tail := range []int{All, 100} {
				if stdout, _ := read(t, path, ReadOptions{Tail: tail}); stdout != tt.want {
					t.Errorf("tail %d: %d bytes %.60q, want %d bytes %.60q", tail, len(stdout), stdout, len(tt.want), tt.want)
				}
			}
		})
	}
}

func TestNoLog(t *testing.T) {
	err := Read(context.Background(), logPath(t), ReadOptions{Tail: All}, io.Discard, io.Discard)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// FuzzReader reads what nobody would write: no option may make it panic, hang or read more than there is.
func FuzzReader(f *testing.F) {
	f.Add([]byte(line(1, "stdout", "P", "a")+line(2, "stderr", "F", "b")+line(3, "stdout", "F", "c")), []byte("x"), 2)
	f.Add([]byte("2026-11-22T16:00:00Z stdout F"), []byte("2026-11-22T16:00:00Z stderr P \n\n\n"), 1)
	f.Add([]byte("\x00\n stdout F \n2026-99-99T99:99:99Z stdout F x\n"), bytes.Repeat([]byte("z"), 2*maxLine), 100)
	f.Fuzz(func(t *testing.T, young, old []byte, tail int) {
		path := logPath(t, string(young), string(old))
		for _, opt := range []ReadOptions{{Tail: All}, {Tail: tail}, {Tail: tail, Since: at(2), Timestamps: true}} {
			var stdout, stderr bytes.Buffer
			if err := Read(context.Background(), path, opt, &stdout, &stderr); err != nil {
				t.Fatal(err)
			}
			lines := bytes.Count(young, []byte{'\n'}) + bytes.Count(old, []byte{'\n'}) + 2
			if n := stdout.Len() + stderr.Len(); n > len(young)+len(old)+lines*headerLen {
				t.Fatalf("%d bytes out of %d", n, len(young)+len(old))
			}
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte("2026-11-22T16:00:00.5Z stdout F x"))
	f.Add([]byte("2026-11-22T16:00:00+02:00 stderr P "))
	f.Fuzz(func(t *testing.T, in []byte) {
		in = bytes.ReplaceAll(in, []byte{'\n'}, nil)
		e, ok := parseEntry(in)
		if !ok {
			if !bytes.Equal(e.Text, in) {
				t.Fatalf("a damaged entry lost text: %q", e.Text)
			}
			return
		}
		again, ok := parseEntry(bytes.TrimSuffix(appendEntry(nil, e), []byte{'\n'}))
		if !ok && e.Time.UTC().Year() <= 9999 {
			t.Fatalf("%q is no entry any more", appendEntry(nil, e))
		}
		if ok && (!again.Time.Equal(e.Time) || again.Stream != e.Stream || again.Partial != e.Partial || !bytes.Equal(again.Text, e.Text)) {
			t.Fatalf("%+v became %+v", e, again)
		}
	})
}
