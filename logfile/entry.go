// Package logfile keeps the output of a detached container: one file of text that cat, grep and tail understand,
// written by hostrun-log and read by `hostrun logs`.
//
// Each line of the file is an entry, in the format of Kubernetes' container runtime interface (CRI logging):
//
//	2026-11-22T16:07:00.000000000Z stdout F loss 0.25
//
// that is the time in RFC 3339 with nanoseconds and in UTC, the stream, F for a full line or P for a part of one (it goes
// on in the stream's next entry), and the bytes as the container wrote them. The file is rotated by its writer, which
// is the only one and holds a lock (flock, exclusive) on it for life: `path` becomes `path.1`, `path.1` becomes `path.2`.
//
// The package needs nothing beyond the standard library, because hostrun-log, of which one runs for each detached
// container, is made of it. It needs Linux.
package logfile

import (
	"bytes"
	"time"
)

// A Stream is one of the two outputs of a process.
type Stream uint8

// The streams, in the words of the file.
const (
	Stdout Stream = iota
	Stderr
)

func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// An Entry is one line of the file.
type Entry struct {
	Time    time.Time // when the bytes arrived; zero in a damaged entry
	Stream  Stream
	Partial bool   // the line goes on in the stream's next entry
	Text    []byte // without the newline
}

// timeLayout is RFC3339Nano without the removal of trailing zeros, so that the columns of a file stand in line.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// headerLen is the length of an entry without its text, newline included, as appendEntry writes it.
const headerLen = len("2026-11-22T16:07:00.000000000Z stdout F \n")

// appendEntry appends e to buf in the file's format. e.Text must not hold a newline.
func appendEntry(buf []byte, e Entry) []byte {
	return appendStamped(buf, appendTime(nil, e.Time), e)
}

func appendTime(buf []byte, t time.Time) []byte { return t.UTC().AppendFormat(buf, timeLayout) }

// appendStamped is appendEntry with the time as appendTime writes it.
func appendStamped(buf, stamp []byte, e Entry) []byte {
	buf = append(buf, stamp...)
	buf = append(buf, ' ')
	buf = append(buf, e.Stream.String()...)
	if e.Partial {
		buf = append(buf, " P "...)
	} else {
		buf = append(buf, " F "...)
	}
	buf = append(buf, e.Text...)
	return append(buf, '\n')
}

// parseEntry reads one line of the file, without its newline. A line that is no entry (a torn write, a hand in the
// file) comes back whole as the text of an entry of stdout without a time, and ok is false. Text lies in line.
func parseEntry(line []byte) (e Entry, ok bool) {
	damaged := Entry{Text: line}
	stamp, rest, found := bytes.Cut(line, []byte{' '})
	if !found {
		return damaged, false
	}
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return damaged, false
	}
	e.Time = t
	switch {
	case bytes.HasPrefix(rest, []byte("stdout ")):
		e.Stream = Stdout
	case bytes.HasPrefix(rest, []byte("stderr ")):
		e.Stream = Stderr
	default:
		return damaged, false
	}
	rest = rest[len("stdout "):]
	if len(rest) < 2 || rest[0] != 'F' && rest[0] != 'P' || rest[1] != ' ' {
		return damaged, false
	}
	e.Partial = rest[0] == 'P'
	e.Text = rest[2:]
	return e, true
}
