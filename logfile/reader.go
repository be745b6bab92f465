package logfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"time"
)

// All is the Tail of ReadOptions that asks for every line.
const All = -1

// ReadOptions select lines. A line whose beginning lies in the range counts as a whole.
type ReadOptions struct {
	Tail       int       // lines from the end, of those in the range; negative: all
	Since      time.Time // inclusive; zero: from the beginning
	Until      time.Time // inclusive; zero: to the end
	Timestamps bool      // RFC 3339 in UTC and a space before each line

	// Follow waits for more, across rotations. It ends when Ended is closed (the task is over), no writer holds the log
	// any more, and everything is read; or when Until has passed; or with ctx, whose error it returns.
	Follow bool
	Ended  <-chan struct{}
}

// Read writes the lines of the log at path to the writer of their stream, in the order of the file; either may be
// io.Discard. The bytes are those of the container; a last line without newline stays so. A line of the file that is no
// entry is passed on whole to stdout. Without Follow, and with it once the task ended, a log that does not exist is an
// error (fs.ErrNotExist).
func Read(ctx context.Context, path string, opt ReadOptions, stdout, stderr io.Writer) error {
	r := reader{path: path, opt: opt, out: newPrinter(opt, stdout, stderr)}
	if opt.Follow {
		r.watch = newWatch(path)
		defer r.watch.close()
	}
	defer func() { closeAll(r.files) }()
	if err := r.open(ctx); err != nil {
		return err
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	return r.out.flush()
}

// A reader goes forward through the files of a log.
type reader struct {
	path  string
	opt   ReadOptions
	out   *printer
	watch *watch

	files []*os.File // oldest first; grows with each rotation, the read ones are closed
	ids   map[*os.File]identity
	at    int      // of files: the one being read
	lines *lines   // of it
	from  [2]place // by stream: entries before it are not wanted

	over   bool   // the last line was a piece of an overlong one
	stream Stream // of that piece
}

// open opens what there is, waits for the first file if asked to follow, and finds where to begin.
func (r *reader) open(ctx context.Context) error {
	for {
		files, ids, err := openAll(r.path)
		if err != nil {
			return err
		}
		if r.files, r.ids = files, ids; len(files) > 0 {
			break
		}
		if !r.opt.Follow || r.ended() {
			return &fs.PathError{Op: "open", Path: r.path, Err: fs.ErrNotExist}
		}
		if err := r.watch.wait(ctx, r.opt.Ended, r.patience()); err != nil {
			return err
		}
	}
	from, err := tail(r.files, r.opt)
	if err != nil {
		return err
	}
	r.from = from
	first := from[Stdout]
	if from[Stderr].before(first) {
		first = from[Stderr]
	}
	r.at, r.lines = first.file, newLines(r.files[first.file], first.offset)
	return nil
}

// run reads to the end, whatever that is by the options.
func (r *reader) run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		// In this order: what a writer wrote before it let go of the lock is then read for sure.
		free := !locked(r.files[r.at])
		last := r.last(free)
		if err := r.drain(); err != nil {
			return err
		}
		moved, err := r.nextFile()
		if err != nil {
			return err
		}
		switch {
		case moved:
		case last && free:
			return r.finishFile()
		case last:
			return nil // the last line may be in the middle of being written
		default:
			if err := r.pause(ctx); err != nil {
				return err
			}
		}
	}
}

// last reports whether the next end of the file is the end of reading.
func (r *reader) last(free bool) bool {
	return !r.opt.Follow || r.ended() && free || !r.opt.Until.IsZero() && time.Now().After(r.opt.Until)
}

func (r *reader) ended() bool {
	select {
	case <-r.opt.Ended: // never of nil
		return true
	default:
		return false
	}
}

func (r *reader) pause(ctx context.Context) error {
	if err := r.out.flush(); err != nil {
		return err
	}
	return r.watch.wait(ctx, r.opt.Ended, r.patience())
}

// patience is how long to wait for an event before looking again.
func (r *reader) patience() time.Duration {
	d := r.watch.patience
	if r.ended() { // only the lock is waited for, and a killed writer's lock goes without an event
		d = lockPoll
	}
	if !r.opt.Until.IsZero() {
		d = max(time.Millisecond, min(d, time.Until(r.opt.Until)+time.Millisecond))
	}
	return d
}

// drain prints what is whole in the current file.
func (r *reader) drain() error {
	for {
		line, offset, full, err := r.lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.print(line, offset, full); err != nil {
			return err
		}
	}
}

// finishFile prints the line that the current file ends in, when no writer will finish it.
func (r *reader) finishFile() error {
	if line, offset := r.lines.rest(); len(line) > 0 {
		return r.print(line, offset, true)
	}
	return nil
}

// nextFile goes to the file after the current one, if there is one.
func (r *reader) nextFile() (bool, error) {
	lost := int64(0)
	if r.at == len(r.files)-1 {
		if !r.opt.Follow {
			return false, nil
		}
		files, ids, _, err := openSince(r.path, r.ids[r.files[r.at]])
		if err != nil || len(files) == 0 {
			return false, err
		}
		r.files = append(r.files, files...)
		maps.Copy(r.ids, ids)
		// The writer left the old file before the new one had its name: now it is complete.
		if err := r.drain(); err != nil {
			return false, err
		}
	}
	if err := r.finishFile(); err != nil {
		return false, err
	}
	if r.opt.Follow {
		lost = r.between(r.files[r.at], r.files[r.at+1])
	}
	r.files[r.at].Close()
	r.at++
	r.lines, r.over = newLines(r.files[r.at], 0), false
	if lost > 0 {
		return true, r.out.print(Entry{Time: time.Now(), Stream: Stderr, Text: fmt.Appendf(nil, "hostrun: %d bytes of the log were rotated away before they were read", lost)}, true)
	}
	return true, nil
}

// between is how many bytes of the log lie between two of its files, as far as it says so.
func (r *reader) between(file, next *os.File) int64 {
	info, err := file.Stat()
	if err != nil || r.ids[next].first == 0 {
		return 0
	}
	return r.ids[next].first - r.ids[file].first - info.Size()
}

// print passes one line of the file on. What follows the first piece of an overlong line has no columns of its own.
func (r *reader) print(line []byte, offset int64, full bool) error {
	e, ok := Entry{Stream: r.stream, Text: line}, true
	if !r.over {
		e, ok = parseEntry(line)
		r.stream = e.Stream
	}
	if !full {
		e.Partial = true
	}
	r.over = !full
	if !r.lines.restarted && (place{r.at, offset}).before(r.from[e.Stream]) {
		return nil
	}
	return r.out.print(e, ok)
}
