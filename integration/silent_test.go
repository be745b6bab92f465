package integration

import (
	"io"
	"os/exec"
	"testing"
)

// silentDaemon listens at a socket and never says a word, in a process that does nothing: of one that works, as this one does, hostrun
// would be patient.
func silentDaemon(t *testing.T, socket string) {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "-c", `
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(128)
print("listens", flush=True)
sys.stdin.read()`, socket)
	stdin, err := cmd.StdinPipe()
	ok(t, err)
	stdout, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	_, err = io.ReadFull(stdout, make([]byte, len("listens")))
	ok(t, err)
}
