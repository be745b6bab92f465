package logfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// settle waits until the file that was rotated last is compressed.
func settle(t *testing.T, w *Writer) {
	t.Helper()
	done := make(chan struct{})
	go func() { w.packers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it is still compressing")
	}
}

// TestCompressedFiles: what is rotated is compressed, and read as before: from the beginning, from the end, and by one who follows.
func TestCompressedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := NewWriter(path, WriterOptions{MaxSize: 600, MaxFiles: 5, Compress: true})
	var followed bytes.Buffer
	ended, over := make(chan struct{}), make(chan error, 1)
	var written []string
	say := func(n int) {
		for range n {
			line := fmt.Sprintf("line %03d\n", len(written))
			written = append(written, line)
			if err := w.Copy(Stdout, strings.NewReader(line)); err != nil {
				t.Fatal(err)
			}
			settle(t, w)
		}
	}
	say(30)
	go func() {
		over <- Read(context.Background(), path, ReadOptions{Follow: true, Tail: All, Ended: ended}, &followed, io.Discard)
	}()
	say(25)
	files, err := filepath.Glob(path + "*")
	files = slices.DeleteFunc(files, func(name string) bool { return name == offsetsName(path) })
	if err != nil || len(files) != 5 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files[1:] {
		if b, err := os.ReadFile(name); err != nil || filepath.Ext(name) != ".gz" || !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
			t.Errorf("%s is not compressed: %v", name, err)
		}
	}
	var all, last bytes.Buffer
	if err := Read(context.Background(), path, ReadOptions{Tail: All}, &all, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(written, ""); !strings.HasSuffix(got, all.String()) || strings.Count(all.String(), "\n") < 40 {
		t.Errorf("all of it is\n%s", all.String())
	}
	if err := Read(context.Background(), path, ReadOptions{Tail: 22}, &last, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(written[len(written)-22:], ""); last.String() != want {
		t.Errorf("the last are\n%s", last.String())
	}
	w.Close()
	close(ended)
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if got := followed.String(); !strings.HasSuffix(strings.Join(written, ""), got) || strings.Count(got, "\n") < 40 {
		t.Errorf("who follows reads\n%s", got)
	}
	// A writer without compression takes the log up.
	w = NewWriter(path, WriterOptions{MaxSize: 600, MaxFiles: 3})
	say(30)
	w.Close()
	all.Reset()
	if err := Read(context.Background(), path, ReadOptions{Tail: 15}, &all, io.Discard); err != nil || all.String() != strings.Join(written[len(written)-15:], "") {
		t.Errorf("%v:\n%s", err, all.String())
	}
}

// TestCompressionIsOvertaken: a container that writes faster than files are compressed loses nothing.
func TestCompressionIsOvertaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := NewWriter(path, WriterOptions{MaxSize: 100_000, MaxFiles: 200, Compress: true})
	var text strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&text, "line %d of many, of which none may be missing\n", i)
	}
	if err := w.Copy(Stdout, strings.NewReader(text.String())); err != nil {
		t.Fatal(err)
	}
	settle(t, w)
	w.Close()
	if plain, _ := filepath.Glob(path + ".*[0-9]"); len(plain) > 0 {
		t.Errorf("in the end some are not compressed: %v", plain)
	}
	var all strings.Builder
	if err := Read(context.Background(), path, ReadOptions{Tail: All}, &all, io.Discard); err != nil {
		t.Fatal(err)
	}
	if all.String() != text.String() {
		t.Errorf("%d bytes of %d", all.Len(), text.Len())
	}
	if left, _ := filepath.Glob(path + ".packing"); len(left) > 0 {
		t.Error("a half compressed file is left")
	}
}

// TestDamagedCompressedFile: its whole beginning is read.
func TestDamagedCompressedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := NewWriter(path, WriterOptions{MaxSize: 60_000, MaxFiles: 3, Compress: true})
	for i := range 2500 {
		_ = w.Copy(Stdout, strings.NewReader(fmt.Sprintf("line %d\n", i)))
	}
	settle(t, w)
	w.Close()
	name := path + ".1" + zipped
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b[:len(b)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	if err := Read(context.Background(), path, ReadOptions{Tail: All}, &all, io.Discard); err != nil || !strings.Contains(all.String(), "line 2499\n") || !strings.HasPrefix(all.String(), "line ") {
		t.Errorf("%v: %.200s", err, all.String())
	}
}
