// Command hostrun-init is the first process of a container with `init: true`. It starts one command, passes signals on
// to it, reaps what is orphaned, and ends as the command ends.
//
//	hostrun-init [--stdin FIFO] [--exec] -- COMMAND [ARGS...]
//
// With --stdin the command reads a named pipe, which never ends, as it is open for writing too. With --exec the command takes this
// process's place, and nothing of the following is done.
//
// Two duties of PID 1 make it necessary. The kernel delivers to PID 1 only signals that it handles (pid_namespaces(7)),
// so a program that does not handle SIGTERM can't be stopped, only killed after the grace period. And every orphan
// becomes a child of PID 1, and a zombie if that does not wait for it.
//
// Exit status: the command's own; 128+n after signal n; 127 if the command was not found, 126 if it can't be executed,
// 2 for wrong usage. Standing below another PID 1, it ends by the signal that ended the command.
package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

const (
	statusUsage    = 2
	statusNotExec  = 126
	statusNotFound = 127
)

func main() {
	runtime.GOMAXPROCS(1)
	o, args := options(os.Args[1:])
	if len(args) == 0 {
		fail(statusUsage, "usage: hostrun-init [--stdin FIFO] [--exec] -- COMMAND [ARGS...]")
	}
	if o.stdin != "" {
		if err := readFrom(o.stdin); err != nil {
			fail(1, "hostrun-init: open "+o.stdin+": "+err.Error())
		}
	}
	if o.exec {
		err := become(args, os.Environ())
		fail(statusOf(err), "hostrun-init: execute "+args[0]+": "+words(err))
	}
	if os.Getpid() != 1 {
		becomeReaper()
	}
	signals := listen()
	child, err := start(args, os.Environ())
	if err != nil {
		fail(statusOf(err), "hostrun-init: execute "+args[0]+": "+words(err))
	}
	go forward(signals, child)
	end(reap(child))
}

type settings struct {
	stdin string
	exec  bool
}

func options(args []string) (o settings, command []string) {
	for len(args) > 0 {
		switch {
		case args[0] == "--":
			return o, args[1:]
		case args[0] == "--exec":
			o.exec = true
		case args[0] == "--stdin" && len(args) > 1:
			o.stdin, args = args[1], args[1:]
		default:
			return o, args
		}
		args = args[1:]
	}
	return o, args
}

func fail(status int, text string) {
	os.Stderr.WriteString(text + "\n")
	os.Exit(status)
}

// becomeReaper makes orphans below us our children though we are not PID 1 (prctl(2), PR_SET_CHILD_SUBREAPER). A kernel
// that can't is no reason to stop: then they are the real PID 1's.
func becomeReaper() {
	const setChildSubreaper = 36
	syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0)
}

// keep are the signals that are not passed on: those that report a fault of this very process, its own children and
// its own terminal access; and SIGURG, by which Go's scheduler interrupts its threads.
var keep = map[syscall.Signal]bool{
	syscall.SIGFPE: true, syscall.SIGILL: true, syscall.SIGSEGV: true, syscall.SIGBUS: true, syscall.SIGABRT: true,
	syscall.SIGTRAP: true, syscall.SIGSYS: true, syscall.SIGCHLD: true, syscall.SIGTTIN: true, syscall.SIGTTOU: true,
	syscall.SIGPIPE: true, syscall.SIGPROF: true, syscall.SIGURG: true,
}

// lastSignal is SIGRTMAX of Linux (signal(7)).
const lastSignal = 64

// listen takes hold of every signal that is to be passed on. Signals that were ignored when we were started (nohup) stay
// ignored, for the command too.
func listen() <-chan os.Signal {
	ch := make(chan os.Signal, 64)
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if !keep[n] && !signal.Ignored(n) {
			signal.Notify(ch, n)
		}
	}
	return ch
}

func forward(signals <-chan os.Signal, child int) {
	for s := range signals {
		// The child may be gone already: then there is nobody to tell.
		_ = syscall.Kill(child, s.(syscall.Signal))
	}
}

// reap waits for every child there is or will be, until child has ended, and returns how it ended. What runs on then,
// the kernel kills when PID 1 ends.
func reap(child int) syscall.WaitStatus {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			fail(1, "hostrun-init: wait for "+itoa(child)+": "+err.Error())
		}
		if pid == child && (status.Exited() || status.Signaled()) {
			return status
		}
	}
}

// end ends this process as the child ended. PID 1 can't die by its own signal, so it says 128+n, as a shell does.
func end(status syscall.WaitStatus) {
	if status.Exited() {
		os.Exit(status.ExitStatus())
	}
	s := status.Signal()
	if os.Getpid() != 1 {
		raise(s)
	}
	os.Exit(128 + int(s))
}

// raise ends this process by the signal. os/signal can't: it never gives a signal that Go ignores by itself (SIGUSR1) back
// to the kernel. The dump of memory, if any, is the child's, not ours.
func raise(s syscall.Signal) {
	var standard [8]uintptr // struct sigaction of any architecture, all zero: SIG_DFL
	const setSize = 8       // bytes of the kernel's sigset_t
	syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&standard)), 0, setSize, 0, 0)
	syscall.Kill(os.Getpid(), s)
	time.Sleep(time.Second) // another thread may be the one that dies of it
}
