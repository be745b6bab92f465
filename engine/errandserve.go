package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a request: what a kernel takes as arguments and environment is less, and it comes at once.
const (
	errandMost     = 8 << 20 // bytes
	errandPatience = 5 * time.Second
)

// ServeErrands runs errands of members of the group by the program at that path, hostrun, until the listener is closed.
// note is told of each, by its user ID and arguments. Whoever can connect to the socket may have anything done as root;
// the socket's mode is the guard, as it is for the engine's own.
func ServeErrands(l Layout, gid int, program string, note func(uid uint32, args []string)) (net.Listener, error) {
	if err := os.Remove(l.ErrandAddress()); err != nil && !errors.Is(err, os.ErrNotExist) { // of an engine that died
		return nil, err
	}
	listener, err := net.Listen("unix", l.ErrandAddress())
	if err != nil {
		return nil, err
	}
	// Until here it was root's alone, by the umask: connect(2) asks for the right to write (unix(7)).
	if err := errors.Join(os.Chown(l.ErrandAddress(), 0, gid), os.Chmod(l.ErrandAddress(), 0o660)); err != nil {
		_ = listener.Close()
		return nil, err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveErrand(conn.(*net.UnixConn), program, note)
		}
	}()
	return listener, nil
}

func serveErrand(conn *net.UnixConn, program string, note func(uint32, []string)) {
	defer conn.Close()
	end := errandEnd{}
	cmd, in, err := beginErrand(conn, program, note)
	if err == nil {
		end = finishErrand(cmd, in)
	} else {
		end.Error = "the private engine runs no command for you: " + err.Error()
	}
	_ = json.NewEncoder(conn).Encode(end) // whoever asked may be gone
}

// A command is what does an errand.
type command struct {
	*exec.Cmd
	lost syscall.Signal // see Errand.Lost
}

// beginErrand reads the errand and starts it.
func beginErrand(conn *net.UnixConn, program string, note func(uint32, []string)) (*command, *json.Decoder, error) {
	_ = conn.SetReadDeadline(time.Now().Add(errandPatience))
	files, err := receiveFiles(conn)
	if err != nil {
		return nil, nil, err
	}
	defer closeFiles(files)
	bounded := &io.LimitedReader{R: conn, N: errandMost}
	in := json.NewDecoder(bounded)
	var e Errand
	if err := in.Decode(&e); err != nil {
		return nil, nil, err
	}
	_ = conn.SetReadDeadline(time.Time{})
	note(peerUID(conn), e.Args)
	cmd := exec.Command(program, e.Args...)
	cmd.Env = errandEnvironment(e.Env)
	cmd.Dir = fmt.Sprintf("/proc/self/fd/%d", files[3].Fd())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // signals of the terminal come to it from the member, once
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	// The engine is the last to be killed for memory; what it does for others is not.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), []byte("0"), 0o644)
	lost := e.Lost
	if lost <= 0 || lost > unix.SIGSYS {
		lost = unix.SIGHUP
	}
	return &command{cmd, lost}, in, nil
}

// finishErrand passes signals on until the command has ended. A member who is gone hangs up, as a terminal does.
func finishErrand(cmd *command, in *json.Decoder) errandEnd {
	go func() {
		for {
			var s errandSignal
			if err := in.Decode(&s); err != nil {
				_ = cmd.Process.Signal(cmd.lost)
				return
			}
			_ = cmd.Process.Signal(syscall.Signal(s.Signal))
		}
	}()
	_ = cmd.Wait() // the status says it
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return errandEnd{Status: 128 + int(status.Signal()), Signal: int(status.Signal())}
	}
	return errandEnd{Status: status.ExitStatus()}
}

// errandEnvironment is the member's without what changes how programs are loaded, which sudo takes out too.
func errandEnvironment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return strings.HasPrefix(kv, "LD_") || strings.HasPrefix(kv, "GODEBUG=") || strings.HasPrefix(kv, "GOTRACEBACK=")
	})
}

// peerUID is the kernel's word for who has connected (unix(7), SO_PEERCRED).
func peerUID(conn *net.UnixConn) (uid uint32) {
	uid = ^uint32(0)
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				uid = cred.Uid
			}
		})
	}
	return uid
}
