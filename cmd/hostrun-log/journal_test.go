package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A journald is the receiving end of the protocol.
type journald struct {
	t    *testing.T
	conn *net.UnixConn
}

func listen(t *testing.T, path string) *journald {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &journald{t, conn}
}

// next reads an entry's fields.
func (j *journald) next() map[string]string {
	j.t.Helper()
	b := make([]byte, 64<<10)
	_ = j.conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := j.conn.Read(b)
	if err != nil {
		j.t.Fatal(err)
	}
	fields := map[string]string{}
	for b = b[:n]; len(b) > 0; {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		name, value, plain := strings.Cut(string(line), "=")
		if b = rest; plain {
			fields[name] = value
			continue
		}
		size := binary.LittleEndian.Uint64(b)
		fields[string(line)], b = string(b[8:8+size]), b[8+size+1:]
	}
	return fields
}

// TestJournal: each line comes with docker's fields, and is in the file too.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	socket, path := filepath.Join(dir, "socket"), filepath.Join(dir, "log")
	j := listen(t, socket)
	s := startLogger(t, "path", path, "journal", socket, "name", "web", "image", "docker.io/library/web:latest", "tag", "web/job", "namespace", "hostrun")
	fmt.Fprint(s.stdout, "one = 1\n")
	want := map[string]string{"MESSAGE": "one = 1", "PRIORITY": "6", "CONTAINER_NAME": "web", "CONTAINER_ID": "web", "CONTAINER_ID_FULL": "web", "IMAGE_NAME": "docker.io/library/web:latest",
		"CONTAINER_TAG": "web/job", "SYSLOG_IDENTIFIER": "web/job", "HOSTRUN_NAMESPACE": "hostrun"}
	got := j.next()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if _, partial := got["CONTAINER_PARTIAL_MESSAGE"]; partial || got["SYSLOG_TIMESTAMP"] == "" {
		t.Errorf("%v", got)
	}
	fmt.Fprint(s.stderr, "two\xff\n")
	if got := j.next(); got["MESSAGE"] != "two\xff" || got["PRIORITY"] != "3" {
		t.Errorf("of stderr: %v", got)
	}
	fmt.Fprint(s.stdout, strings.Repeat("x", 20<<10)+"\n") // longer than an entry
	if got := j.next(); got["CONTAINER_PARTIAL_MESSAGE"] != "true" || strings.Trim(got["MESSAGE"], "x") != "" {
		t.Errorf("of a long line: %.80v", got)
	}
	s.stdout.Close()
	s.stderr.Close()
	if err := s.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), " stdout F one = 1\n") || !strings.Contains(string(text), " stderr F two\xff\n") {
		t.Errorf("the file has %.200q, %v", text, err)
	}
}

// TestJournalIsAway: the container goes on, the file has all, and the journal is told how much it missed.
func TestJournalIsAway(t *testing.T) {
	dir := t.TempDir()
	socket, path := filepath.Join(dir, "socket"), filepath.Join(dir, "log")
	j := listen(t, socket)
	s := startLogger(t, "path", path, "journal", socket, "name", "web", "tag", "web")
	fmt.Fprint(s.stdout, "before\n")
	if got := j.next(); got["MESSAGE"] != "before" {
		t.Fatalf("%v", got)
	}
	j.conn.Close()
	os.Remove(socket)
	for i := range 3 {
		fmt.Fprintf(s.stdout, "missed %d\n", i)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if text, _ := os.ReadFile(path); strings.Contains(string(text), "missed 2\n") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the file has %q", text)
		}
	}
	j = listen(t, socket)
	lines := make(chan map[string]string, 16)
	go func() {
		for {
			b := make([]byte, 4096)
			n, err := j.conn.Read(b)
			if err != nil {
				return
			}
			lines <- map[string]string{"all": string(b[:n])}
		}
	}()
	missed, after := false, false
	for deadline := time.After(time.Minute); !missed || !after; {
		fmt.Fprint(s.stdout, "after\n")
		select {
		case got := <-lines:
			missed = missed || strings.Contains(got["all"], "entries did not get into the journal")
			after = after || strings.HasSuffix(got["all"], "MESSAGE=after\n")
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			t.Fatalf("told of what it missed: %v, and of what came after: %v", missed, after)
		}
	}
	s.stdout.Close()
	s.stderr.Close()
	if err := s.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestJournalThatDoesNotRead: a queue that is full holds nobody up.
func TestJournalThatDoesNotRead(t *testing.T) {
	dir := t.TempDir()
	socket, path := filepath.Join(dir, "socket"), filepath.Join(dir, "log")
	listen(t, socket)
	s := startLogger(t, "path", path, "journal", socket, "name", "web", "tag", "web")
	begun := time.Now()
	for i := range 20000 {
		fmt.Fprintf(s.stdout, "line %d\n", i)
	}
	s.stdout.Close()
	s.stderr.Close()
	if err := s.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), " line 19999\n") {
		t.Errorf("the file ends in %q, %v", text[max(0, len(text)-80):], err)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}
