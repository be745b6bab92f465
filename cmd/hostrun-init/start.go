package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// defaultPath is where a command is looked for when the environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// start executes args in a process group of its own, which becomes the terminal's foreground group if there is a
// terminal: ^C then reaches the command and its children, and not us.
func start(args, env []string) (pid int, err error) {
	path, err := find(args[0])
	if err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2}, Sys: group()}
	pid, err = syscall.ForkExec(path, args, attr)
	if err == syscall.ENOEXEC { // a script without #!: execvp(3) gives it to the shell, and so do we
		return syscall.ForkExec("/bin/sh", append([]string{"/bin/sh", path}, args[1:]...), attr)
	}
	return pid, err
}

// become puts the command in this process's place.
func become(args, env []string) error {
	path, err := find(args[0])
	if err != nil {
		return err
	}
	if err = syscall.Exec(path, args, env); err == syscall.ENOEXEC {
		err = syscall.Exec("/bin/sh", append([]string{"/bin/sh", path}, args[1:]...), env)
	}
	return err
}

// readFrom makes the named pipe the standard input. Opened for writing as well, it has no end of input when a writer goes (fifo(7)).
func readFrom(fifo string) error {
	fd, err := syscall.Open(fifo, syscall.O_RDWR, 0)
	if err != nil || fd == 0 {
		return err
	}
	if err := syscall.Dup3(fd, 0, 0); err != nil {
		return err
	}
	return syscall.Close(fd)
}

func group() *syscall.SysProcAttr {
	if hasTerminal() {
		return &syscall.SysProcAttr{Foreground: true, Ctty: 0} // in a group of its own, too
	}
	return &syscall.SysProcAttr{Setpgid: true}
}

// hasTerminal reports whether stdin is our controlling terminal: only that one has a foreground group for us
// (tcgetpgrp(3)).
func hasTerminal() bool {
	var pgrp int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&pgrp)))
	return errno == 0
}

// find looks a command up as execvp(3) does: a name with a slash is a path; any other is looked for in PATH, where a file
// that may not be executed counts only if no other is found.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	path, ok := os.LookupEnv("PATH")
	if !ok {
		path = defaultPath
	}
	var found error = syscall.ENOENT
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		file := dir + "/" + name
		err := executable(file)
		if err == nil {
			return file, nil
		}
		if err == syscall.EACCES {
			found = err
		}
	}
	return "", found
}

// executable returns nil for a file that may be executed, EACCES for anything else that exists.
func executable(file string) error {
	const mayExecute = 1 // X_OK
	var st syscall.Stat_t
	if err := syscall.Stat(file, &st); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return syscall.EACCES
	}
	return syscall.Access(file, mayExecute)
}

// statusOf tells a command that is not there from one that can't be executed, as docker-init and the shells do.
func statusOf(err error) int {
	if err == syscall.ENOENT || err == syscall.ENOTDIR {
		return statusNotFound
	}
	return statusNotExec
}

func words(err error) string {
	switch err {
	case syscall.ENOENT:
		return "not found (neither in PATH nor as a path; of a script, its interpreter)"
	case syscall.EACCES:
		return "not executable"
	}
	return err.Error()
}

func itoa(n int) string { return strconv.Itoa(n) }
