package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"hostrun.dev/hostrun/logfile"
)

// A journal sends entries to systemd's journal in its native protocol (systemd, docs/JOURNAL_NATIVE_PROTOCOL.md), with the fields that
// docker's driver gives them. It never holds the container up for long: what the journal does not take is dropped and counted, for the
// file has it.
type journal struct {
	socket string
	fields []byte // of every entry, in the protocol's form

	mu      sync.Mutex
	conn    *os.File // a socket of datagrams: one write is one entry
	retryAt time.Time
	lost    int
}

const (
	journalPatience = 500 * time.Millisecond // for one entry
	journalRetry    = time.Second
)

// Priorities of syslog(3) for the two streams, as docker's.
var priorities = map[logfile.Stream]string{logfile.Stdout: "6", logfile.Stderr: "3"}

// newJournal prepares for the container's fields, pairs of a name and a value.
func newJournal(socket string, fields ...string) *journal {
	j := &journal{socket: socket}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] != "" {
			j.fields = appendField(j.fields, fields[i], []byte(fields[i+1]))
		}
	}
	return j
}

// appendField writes one field: NAME=value, or with its length where the value has newlines.
func appendField(b []byte, name string, value []byte) []byte {
	b = append(b, name...)
	if bytes.IndexByte(value, '\n') < 0 {
		b = append(append(b, '='), value...)
		return append(b, '\n')
	}
	b = append(b, '\n')
	b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	return append(append(b, value...), '\n')
}

// send passes one entry on.
func (j *journal) send(e logfile.Entry) {
	b := make([]byte, 0, len(j.fields)+len(e.Text)+128)
	b = append(b, j.fields...)
	b = appendField(b, "PRIORITY", []byte(priorities[e.Stream]))
	if e.Partial {
		b = appendField(b, "CONTAINER_PARTIAL_MESSAGE", []byte("true"))
	}
	b = appendField(b, "SYSLOG_TIMESTAMP", []byte(e.Time.UTC().Format(time.RFC3339Nano)))
	b = appendField(b, "MESSAGE", e.Text)
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	if now.Before(j.retryAt) {
		j.lost++
		return
	}
	if j.lost > 0 {
		note := append(append([]byte{}, j.fields...), "PRIORITY=4\n"...)
		note = appendField(note, "MESSAGE", []byte("hostrun-log: "+strconv.Itoa(j.lost)+" entries did not get into the journal"))
		if !j.write(note, now) {
			j.lost++
			return
		}
		j.lost = 0
	}
	if !j.write(b, now) {
		j.lost++
	}
}

// write sends one datagram, connecting first where there is no connection: journald closes its socket when it is restarted.
func (j *journal) write(b []byte, now time.Time) bool {
	for fresh := false; ; fresh = true {
		if j.conn == nil {
			conn, err := connect(j.socket)
			if err != nil {
				break
			}
			j.conn, fresh = conn, true
		}
		_ = j.conn.SetWriteDeadline(now.Add(journalPatience))
		if _, err := j.conn.Write(b); err == nil {
			return true
		} else if os.IsTimeout(err) {
			break
		}
		j.conn.Close()
		j.conn = nil
		if fresh {
			break
		}
	}
	j.retryAt = time.Now().Add(journalRetry)
	return false
}

// connect opens a socket to the journal. Package net is not for this program, which stays as long as its container.
func connect(socket string) (*os.File, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		syscall.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), socket), nil
}
