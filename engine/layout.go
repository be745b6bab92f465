// Package engine knows the private engine: containerd's server in a program of our own (cmd/hostrun-engine), for machines
// that have none. It says where its files lie, starts exactly one however many commands ask at once, and keeps it while
// a command works. It imports neither containerd's client nor its server: a command pays for neither before it needs them.
package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"hostrun.dev/hostrun/finding"
)

// Binary and Shim are the names of the two programs in Layout.LibexecDir. The shim's name is the one that containerd
// makes of the runtime's name io.containerd.runc.v2 (core/runtime/v2/shim.BinaryName).
const (
	Binary = "hostrun-engine"
	Shim   = "containerd-shim-runc-v2"
)

// Layout says where the private engine's files are. All paths are absolute.
type Layout struct {
	StateDir   string // what does not outlive a boot: sockets, locks, logs (/run/hostrun/engine)
	RootDir    string // images, snapshots, records (/var/lib/hostrun/engine)
	LibexecDir string // holds hostrun-engine and its shim
}

// Address is the socket that containerd's clients use.
func (l Layout) Address() string { return filepath.Join(l.StateDir, "engine.sock") }

// RuntimeRoot is the state root of runc or crun (Options.Root of the runtime). It is the engine's own: runc's default for
// containerd, /run/containerd/runc, is shared by every containerd on the host, and their containers may bear one name.
func (l Layout) RuntimeRoot() string { return filepath.Join(l.StateDir, "runc") }

// LogFile is what the engine writes; the one before it ends in ".1".
func (l Layout) LogFile() string { return filepath.Join(l.StateDir, "engine.log") }

func (l Layout) binary() string      { return filepath.Join(l.LibexecDir, Binary) }
func (l Layout) shim() string        { return filepath.Join(l.LibexecDir, Shim) }
func (l Layout) startLock() string   { return filepath.Join(l.StateDir, "start.lock") }
func (l Layout) clientsLock() string { return filepath.Join(l.StateDir, "clients.lock") }

// EngineLock is held by the running engine for its whole life. A second one would wait for ever in bolt's own lock.
func (l Layout) EngineLock() string { return filepath.Join(l.RootDir, "engine.lock") }

// Installed returns nil if hostrun-engine and its shim are there and executable, else an error of status 75 that says
// which is not, and what to type. It costs two stat(2).
func Installed(l Layout) error {
	for _, path := range []string{l.binary(), l.shim()} {
		fi, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return missing(path, "it is not there")
		case err != nil:
			return missing(path, err.Error())
		case !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0:
			return missing(path, "it is not executable")
		}
	}
	return nil
}

func missing(path, cause string) error {
	return finding.Errorf(finding.StatusTryAgain, "install hostrun as a whole: make install\nor use the distribution's containerd: apt-get install containerd",
		"look for the private engine: %s: %s", path, cause)
}
