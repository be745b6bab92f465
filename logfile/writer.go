package logfile

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Defaults of WriterOptions: 150 MB a container at most.
const (
	DefaultMaxSize  = 50_000_000 // bytes a file
	DefaultMaxFiles = 3          // files, the current one included
	DefaultIdle     = 25 * time.Millisecond
)

const (
	retryAfter = time.Second           // after a write error
	lockWait   = 2 * time.Second       // for the writer before us, which is about to end
	lockPoll   = 10 * time.Millisecond // between two tries to lock
)

// WriterOptions limit what a Writer leaves on disk. The zero value means the defaults.
type WriterOptions struct {
	MaxSize  int64 // bytes a file; a file that has reached it is rotated. Only one of a single entry may be larger
	MaxFiles int   // files, the current one included; with 1 only that
	// Idle is after which an unfinished line (a prompt, a progress bar) is written as a part.
	Idle     time.Duration
	Compress bool // files but the current one, with gzip: path.1.gz

	// Tap is called with each entry, too, by the goroutine that copies it; its text is valid during the call.
	Tap func(Entry)
}

// A Writer is the only writer of a log. Its methods may be called from several goroutines. None of them returns an
// error or waits for the disk to have space again, for that would block the container: what can't be written is dropped
// and counted, each second the file is tried again, and then an entry of stderr says how much was lost.
type Writer struct {
	path string
	opt  WriterOptions
	now  func() time.Time

	mu      sync.Mutex
	file    *os.File // nil while there is none
	size    int64    // bytes of file up to its last whole entry
	torn    bool     // file holds half an entry beyond size
	retryAt time.Time
	lost    loss

	packing bool // a file is being compressed
	packers sync.WaitGroup
	closing atomic.Bool
}

// loss counts what was dropped since the last entry that was written.
type loss struct {
	lines, bytes int64     // bytes as the container wrote them
	since        time.Time // zero when nothing was lost
	cause        error     // the last one
}

// NewWriter opens or creates the log at path, takes up an existing one at its end, and locks it. An old writer that
// is about to end is waited for, two seconds at most. A log that can't be opened is tried again with every second of
// output, as after any other write error.
func NewWriter(path string, opt WriterOptions) *Writer {
	if opt.MaxSize <= 0 {
		opt.MaxSize = DefaultMaxSize
	}
	if opt.MaxFiles <= 0 {
		opt.MaxFiles = DefaultMaxFiles
	}
	if opt.Idle <= 0 {
		opt.Idle = DefaultIdle
	}
	w := &Writer{path: path, opt: opt, now: time.Now}
	deadline := w.now().Add(lockWait)
	for {
		err := w.open()
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) || w.now().After(deadline) {
			return w
		}
		time.Sleep(lockPoll)
	}
}

// A batch is some entries of one stream, written at once.
type batch struct {
	data  []byte // in the file's format
	lines int64  // that end in it
	text  int64  // bytes, as the container wrote them
}

// write appends a batch, or drops and counts it.
func (w *Writer) write(b batch) {
	if len(b.data) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if now.Before(w.retryAt) {
		w.drop(b, now, nil)
		return
	}
	if err := w.put(b.data, now); err != nil {
		w.retryAt = now.Add(retryAfter)
		w.drop(b, now, err)
	}
}

func (w *Writer) drop(b batch, now time.Time, cause error) {
	if w.lost.since.IsZero() {
		w.lost.since = now
	}
	if cause != nil {
		w.lost.cause = cause
	}
	w.lost.lines += b.lines
	w.lost.bytes += b.text
}

// put makes sure of a file with room and appends entries, before them the account of what was lost.
func (w *Writer) put(entries []byte, now time.Time) error {
	var account []byte
	if !w.lost.since.IsZero() {
		account = w.lost.entry(now)
	}
	if err := w.ready(int64(len(account) + len(entries))); err != nil {
		return err
	}
	if account != nil {
		if err := w.append(account); err != nil {
			return err
		}
		w.lost = loss{}
	}
	return w.append(entries)
}

// ready opens the file if there is none, mends a torn end, and rotates a file that next would fill beyond its limit.
func (w *Writer) ready(next int64) error {
	if w.file == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.torn {
		if err := w.file.Truncate(w.size); err != nil {
			return err
		}
		w.torn = false
	}
	if w.size > 0 && w.size+next > w.opt.MaxSize {
		return w.rotate()
	}
	return nil
}

// append writes whole entries. On an error the file ends where it ended before, at once or, failing that, later.
func (w *Writer) append(entries []byte) error {
	n, err := w.file.Write(entries)
	if err == nil {
		w.size += int64(n)
		return nil
	}
	w.torn = n > 0 && w.file.Truncate(w.size) != nil
	return err
}

// open takes up the file at w.path. One that ends within an entry gets a newline first, so that what its
// last writer left does not swallow our first entry.
func (w *Writer) open() error {
	file, err := openLocked(w.path, os.O_CREATE)
	if err != nil {
		return err
	}
	end, err := mendEnd(file)
	if err != nil {
		file.Close()
		return err
	}
	w.file, w.size, w.torn = file, end, false
	return nil
}

// openLocked opens path for appending, and for reading its end, and locks it. Without the lock there is no file.
func openLocked(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|flags, 0o640)
	if err != nil {
		return nil, err
	}
	if err := flock(file, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	return file, nil
}

func mendEnd(file *os.File) (end int64, err error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	var last [1]byte
	if _, err := file.ReadAt(last[:], info.Size()-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return info.Size(), nil
	}
	if _, err := file.Write([]byte{'\n'}); err != nil {
		return 0, err
	}
	return info.Size() + 1, nil
}

// rotate makes the current file path.1 and starts a new one. The new one is locked before it gets its name, so that
// nobody sees a log of a living writer without a lock. The oldest goes first: on a full disk that is what makes room.
func (w *Writer) rotate() error {
	for i := w.opt.MaxFiles - 2; i > 0; i-- {
		if err := moveGeneration(w.path, i); err != nil {
			return err
		}
	}
	fresh := w.path + ".new"
	file, err := openLocked(fresh, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	noteOffset(w.path, numberOf(w.file), w.size, numberOf(file))
	if w.opt.MaxFiles > 1 {
		if err = os.Rename(w.path, generation(w.path, 1)); err == nil {
			_ = os.Remove(generation(w.path, 1) + zipped) // of a writer with more files than this one
		}
	}
	if err = ignoreMissing(err); err == nil { // somebody may have removed the file
		err = os.Rename(fresh, w.path)
	}
	if err != nil {
		file.Close()
		return err
	}
	w.file.Close()
	w.file, w.size = file, 0
	if w.opt.Compress && w.opt.MaxFiles > 1 {
		w.compress()
	}
	return nil
}

// Close tells what was lost and not yet told, if the file takes it now, and gives up the lock.
func (w *Writer) Close() {
	w.closing.Store(true)
	w.packers.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.lost.since.IsZero() && w.ready(0) == nil && w.append(w.lost.entry(w.now())) == nil {
		w.lost = loss{}
	}
	if w.file != nil {
		// Closing tells the watchers of the directory (IN_CLOSE_WRITE) before the kernel drops the lock.
		flock(w.file, syscall.LOCK_UN)
		w.file.Close()
		w.file = nil
	}
}

// entry is the account of the loss, in the file's format.
func (l loss) entry(now time.Time) []byte {
	text := "hostrun-log: " + strconv.FormatInt(l.lines, 10) + " lines (" + strconv.FormatInt(l.bytes, 10) +
		" bytes) were lost since " + l.since.UTC().Format(timeLayout)
	if l.cause != nil {
		text += ": " + l.cause.Error()
	}
	return appendEntry(nil, Entry{Time: now, Stream: Stderr, Text: oneLine(text)})
}

// oneLine replaces newlines: a path may hold one, an entry may not.
func oneLine(text string) []byte {
	b := []byte(text)
	for i, c := range b {
		if c == '\n' {
			b[i] = ' '
		}
	}
	return b
}

// generation returns the name of the n-th youngest file of a log; 0 is the current one.
func generation(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

// flock applies a lock operation, and again when a signal interrupts it.
func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if err != syscall.EINTR {
			return err
		}
	}
}
