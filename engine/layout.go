// Package engine knows the private engine: containerd's server in a program of our own (cmd/hostrun-engine), for machines
// that have none. It says where its files lie, starts exactly one however many commands ask at once, and keeps it while
// a command works. It imports neither containerd's client nor its server: a command pays for neither before it needs them.
package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"hostrun.dev/hostrun/finding"
)

// Binary and Shim are the names of the two programs in Layout.LibexecDir. The shim's name is the one that containerd
// makes of the runtime's name io.containerd.runc.v2.
const (
	Binary = "hostrun-engine"
	Shim   = "containerd-shim-runc-v2"
)

// DefaultGroup is the group whose members may use the engine's socket, where the machine has such a group.
const DefaultGroup = "hostrun"

// Layout says where the private engine's files are. All paths are absolute.
type Layout struct {
	StateDir   string // what does not outlive a boot: sockets, locks, log (/run/hostrun/engine)
	RootDir    string // images, snapshots, records (/var/lib/hostrun/engine)
	LibexecDir string // holds hostrun-engine and its shim
}

// Address is the socket that containerd's clients use.
func (l Layout) Address() string { return filepath.Join(l.StateDir, "engine.sock") }

// EventAddress is the socket on which shims report what happened to their containers.
func (l Layout) EventAddress() string { return l.Address() + ".ttrpc" }

// ShimSocketDir holds the sockets of the shims.
func (l Layout) ShimSocketDir() string { return filepath.Join(l.StateDir, "s") }

// RuntimeRoot is the state root of runc or crun (Options.Root of the runtime). It is the engine's own: the default below
// /run/containerd is shared by every containerd of the host, and two of them may have a container of the same name.
func (l Layout) RuntimeRoot() string { return filepath.Join(l.StateDir, "runc") }

// LogFile is what the engine writes; what it wrote before ends in ".1".
func (l Layout) LogFile() string { return filepath.Join(l.StateDir, "engine.log") }

func (l Layout) binary() string      { return filepath.Join(l.LibexecDir, Binary) }
func (l Layout) startLock() string   { return filepath.Join(l.StateDir, "start.lock") }
func (l Layout) clientsLock() string { return filepath.Join(l.StateDir, "clients.lock") }
func (l Layout) recordFile() string  { return filepath.Join(l.StateDir, "engine.json") }

// Shim is the program that keeps one container.
func (l Layout) Shim() string { return filepath.Join(l.LibexecDir, Shim) }

// Installed returns nil if hostrun-engine and its shim are there and executable, else an error of status 75 that says
// which is not, and what to type. It costs two stat(2).
func Installed(l Layout) error {
	for _, path := range []string{l.binary(), l.Shim()} {
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

// Limits of names of sockets: sun_path has 108 bytes with the final zero (unix(7)). A shim's socket is a hash of 64
// digits in its directory, and containerd refuses a name of more than 106 bytes.
const (
	longestSocket = 107
	longestShim   = 106 - len("/") - 64
)

// Check refuses a layout that can't work, before anything is made. Its errors carry status 2.
func (l Layout) Check() error {
	for name, dir := range map[string]string{"state": l.StateDir, "root": l.RootDir, "libexec": l.LibexecDir} {
		if !filepath.IsAbs(dir) {
			return finding.Errorf(finding.StatusUsage, "give an absolute path", "the private engine's %s directory %q: not an absolute path", name, dir)
		}
	}
	if l.StateDir == l.RootDir {
		return finding.Errorf(finding.StatusUsage, "give two directories", "the private engine's state and root are both %s", l.StateDir)
	}
	if long := tooLong(l); long != "" {
		return finding.Errorf(finding.StatusUsage, fmt.Sprintf("choose a state directory of at most %d bytes", longestState()),
			"the private engine's state directory %s is too long: %s", l.StateDir, long)
	}
	return nil
}

func tooLong(l Layout) string {
	if n := len(l.EventAddress()); n > longestSocket {
		return fmt.Sprintf("the socket %s would have %d bytes, and Linux takes %d", l.EventAddress(), n, longestSocket)
	}
	if n := len(l.ShimSocketDir()); n > longestShim {
		return fmt.Sprintf("the sockets of containers in %s would have %d bytes, and containerd takes %d", l.ShimSocketDir(), n+1+64, 106)
	}
	return ""
}

func longestState() int { return min(longestShim-len("/s"), longestSocket-len("/engine.sock.ttrpc")) }
