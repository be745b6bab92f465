//go:debug containermaxprocs=0

// Command hostrun-log keeps the output of one detached container. containerd's shim starts it, by the protocol of its
// "binary" loggers (containerd's core/runtime/v2/logging): the environment names the container, file descriptor 3 is
// its stdout, 4 its stderr, and a byte on 5 says that the container may start. The arguments are pairs of a key and a
// value: what the query of the logging URI held.
//
//	hostrun-log path /var/lib/hostrun/containers/hostrun/dinov2/log max-size 50000000 max-files 3
//
// It ends when both pipes do, and not before: SIGTERM, which the shim sends when the task is deleted, would lose the last
// lines. With logging: {driver: journald} it sends each entry to the journal as well. Of a container with a terminal (tty true) only the first pipe counts: the shim forgets to close its end of
// the second one. If the logger died, the container would write into a broken pipe; so it talks to no other process, needs
// little memory, and nothing that happens to the disk ends it.
package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"hostrun.dev/hostrun/logfile"
)

// File descriptors of the protocol.
const (
	stdoutFD = 3
	stderrFD = 4
	readyFD  = 5
)

// ttyIdle is how long the echo of a key waits for more, of a container with a terminal: somebody may sit at hostrun attach.
const ttyIdle = 10 * time.Millisecond

const usage = `usage: hostrun-log path FILE [max-size BYTES] [max-files N] [compress true|false] [tty true|false]
                   [journal SOCKET name NAME tag TAG image IMAGE namespace NAMESPACE]
It is started by containerd's shim, with the container's output on file descriptors 3 and 4.`

func main() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	runtime.GOMAXPROCS(1) // so Go need not read what the cgroup allows: the first line
	time.AfterFunc(untilFrugal, frugal)
	opt, err := parse(os.Args[1:])
	if err != nil {
		os.Stderr.WriteString("hostrun-log: " + err.Error() + "\n" + usage + "\n")
		os.Exit(2)
	}
	run(opt)
}

// untilFrugal is when the container has been started. To collect before costs a millisecond of the processor that the start wants,
// nearly half of what this program takes by then; Go does so at 4 MiB, if output comes as fast.
const untilFrugal = 2 * time.Second

// frugal keeps memory small from now on: one of these stands beside each container, mostly waiting.
func frugal() {
	debug.SetGCPercent(20)
	debug.SetMemoryLimit(4 << 20)
	debug.FreeOSMemory()
}

// options are the arguments.
type options struct {
	path  string
	limit logfile.WriterOptions
	tty   bool

	journal                     string // socket; "": no journal
	name, tag, image, namespace string // of the container, for the journal
}

func parse(args []string) (options, error) {
	var opt options
	if len(args)%2 != 0 {
		return opt, errors.New("arguments are pairs of a key and a value; " + strconv.Quote(args[len(args)-1]) + " has none")
	}
	for i := 0; i < len(args); i += 2 {
		if err := opt.set(args[i], args[i+1]); err != nil {
			return opt, errors.New("argument " + args[i] + " " + strconv.Quote(args[i+1]) + ": " + err.Error())
		}
	}
	if opt.path == "" {
		return opt, errors.New("no path")
	}
	return opt, nil
}

func (o *options) set(key, value string) (err error) {
	switch key {
	case "path":
		o.path = value
	case "max-size":
		o.limit.MaxSize, err = strconv.ParseInt(value, 10, 64)
	case "max-files":
		o.limit.MaxFiles, err = strconv.Atoi(value)
	case "compress":
		o.limit.Compress, err = strconv.ParseBool(value)
	case "journal":
		o.journal = value
	case "name":
		o.name = value
	case "tag":
		o.tag = value
	case "image":
		o.image = value
	case "namespace":
		o.namespace = value
	case "tty":
		if o.tty, err = strconv.ParseBool(value); o.tty {
			o.limit.Idle = ttyIdle
		}
	default:
		err = errors.New("unknown key")
	}
	return err
}

// run copies until the container has closed its output. The container may start before the log is open: meanwhile the
// pipes hold what it writes.
func run(opt options) {
	stdout, stderr := pipe(stdoutFD, "stdout"), pipe(stderrFD, "stderr")
	ready()
	if opt.journal != "" {
		opt.limit.Tap = newJournal(opt.journal, "CONTAINER_NAME", opt.name, "CONTAINER_ID", opt.name, "CONTAINER_ID_FULL", opt.name, "CONTAINER_TAG", opt.tag,
			"SYSLOG_IDENTIFIER", opt.tag, "IMAGE_NAME", opt.image, "HOSTRUN_NAMESPACE", opt.namespace).send
	}
	w := logfile.NewWriter(opt.path, opt.limit)
	defer w.Close()
	var both sync.WaitGroup
	both.Go(func() { pump(w, logfile.Stdout, stdout) })
	if opt.tty {
		stderr.Close()
	} else {
		both.Go(func() { pump(w, logfile.Stderr, stderr) })
	}
	both.Wait()
}

// pipe opens an inherited descriptor in non-blocking mode: then a read costs no thread, and can end after a time.
func pipe(fd int, name string) *os.File {
	// Not a pipe or closed: the first read tells.
	_ = syscall.SetNonblock(fd, true)
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

func ready() {
	f := os.NewFile(readyFD, "ready")
	f.Write([]byte{0}) // nobody waits: then nobody needs it
	f.Close()
}

// pump copies one stream to its end. Whatever goes wrong in the log, the container's output is read on.
func pump(w *logfile.Writer, stream logfile.Stream, from *os.File) {
	defer from.Close()
	defer io.Copy(io.Discard, from)
	defer func() {
		if cause := recover(); cause != nil {
			os.Stderr.WriteString("hostrun-log: internal error, the rest of " + stream.String() + " is not kept\n")
		}
	}()
	if err := w.Copy(stream, from); err != nil {
		os.Stderr.WriteString("hostrun-log: read " + stream.String() + ": " + err.Error() + "\n")
	}
}
