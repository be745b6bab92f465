package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// An Errand is a command line of hostrun that a member of the engine's group has the engine run as root, with the
// member's own streams, directory and environment. It is what makes membership whole, as Docker's group is: the
// directories in which hostrun keeps generated files, logs and locks are root's.
type Errand struct {
	Args []string `json:"args"` // without the program's name
	Env  []string `json:"env"`  // NAME=VALUE
	// Lost is the signal that the command gets when the member's is gone; 0 for SIGHUP, as of a terminal.
	Lost syscall.Signal `json:"lost,omitempty"`
}

// An Ending is how an errand's command has ended.
type Ending struct {
	Status int            // 128+n for a signal
	Signal syscall.Signal // 0 where it has left by itself
}

// What follows the Errand on the connection: signals from the member, and once the status from the engine.
type (
	errandSignal struct {
		Signal int `json:"signal"`
	}
	errandEnd struct {
		Status int    `json:"status"`
		Signal int    `json:"signal,omitempty"`
		Error  string `json:"error,omitempty"` // it was not started
	}
)

// errandFiles are passed with an Errand, in this order: the standard streams, and the directory.
const errandFiles = 4

// ErrandAddress is the socket at which members of the group have commands run as root. It is there only while the engine
// runs and the machine has the group.
func (l Layout) ErrandAddress() string { return filepath.Join(l.StateDir, "errand.sock") }

// Run has the engine run the errand, in the directory dir, and returns how the command has ended. Signals that this process gets meanwhile are the command's. The error is for a command that was not started;
// it wraps os.ErrNotExist where there is no such service.
func (e Errand) Run(l Layout, streams [3]*os.File, dir string) (ending Ending, err error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: l.ErrandAddress(), Net: "unix"})
	if err != nil {
		return Ending{}, err
	}
	defer conn.Close()
	at, err := os.Open(dir)
	if err != nil {
		return Ending{}, err
	}
	defer at.Close()
	rights := unix.UnixRights(int(streams[0].Fd()), int(streams[1].Fd()), int(streams[2].Fd()), int(at.Fd()))
	if _, _, err := conn.WriteMsgUnix([]byte{'\n'}, rights, nil); err != nil {
		return Ending{}, err
	}
	signals, unwatch := watchSignals() // before the command can be there: the runtime ignores some that nobody watches
	defer unwatch()
	out := json.NewEncoder(conn)
	if err := out.Encode(e); err != nil {
		return Ending{}, err
	}
	defer passSignals(out, signals)()
	var end errandEnd
	if err := json.NewDecoder(conn).Decode(&end); err != nil {
		return Ending{}, finding.Errorf(finding.StatusTryAgain, "the same command again", "the private engine ended before the command did: %w", err)
	}
	if end.Error != "" {
		return Ending{}, errors.New(end.Error)
	}
	return Ending{end.Status, syscall.Signal(end.Signal)}, nil
}

// watchSignals collects the signals that may be meant for the command.
func watchSignals() (got chan os.Signal, unwatch func()) {
	got = make(chan os.Signal, 16)
	signal.Notify(got, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH)
	return got, func() { signal.Stop(got) }
}

// passSignals sends each of the signals, until the function that it returns is called.
func passSignals(out *json.Encoder, got <-chan os.Signal) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-got:
				_ = out.Encode(errandSignal{int(s.(syscall.Signal))}) // an engine that is gone shows itself in the answer
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// receiveFiles reads what WriteMsgUnix has sent first.
func receiveFiles(conn *net.UnixConn) ([]*os.File, error) {
	one, control := make([]byte, 1), make([]byte, unix.CmsgSpace(errandFiles*4))
	_, n, _, _, err := conn.ReadMsgUnix(one, control)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // something else than descriptors
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("errand-%d", len(files))))
		}
	}
	if len(files) != errandFiles {
		closeFiles(files)
		return nil, fmt.Errorf("%d descriptors came along, not %d", len(files), errandFiles)
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
