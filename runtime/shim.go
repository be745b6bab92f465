package runtime

import (
	"os"
	"path/filepath"
	"strings"
)

// shimName is the file of hostrun's shim, beside the other helpers.
const shimName = "containerd-shim-runc-v2"

// ownShim is the path of hostrun's shim, for containers of the system's containerd, where that sees the file: containerd 1.6 and
// later start a task with the shim that its call names, and remember it (shim-binary-path in the bundle); earlier ones take their own. It is
// "" where containerd's own is to be used. The private engine finds hostrun's by its PATH.
func (c *Client) ownShim() string {
	c.shimOnce.Do(func() {
		path := filepath.Join(c.opt.LibexecDir, shimName)
		if c.opt.ContainerdsShim || c.opt.RuntimeRoot != "" || c.daemonPID == 0 || !executable(path) {
			return
		}
		ours, err1 := os.Stat(path)
		theirs, err2 := os.Stat(c.daemonPath(path))
		if err1 == nil && err2 == nil && os.SameFile(ours, theirs) {
			c.shim = path
		}
		c.opt.Log.Debug("shim", "path", c.shim)
	})
	return c.shim
}

// shimThere is the path of hostrun's shim if that keeps containers there: the private engine knows no other.
func (c *Client) shimThere() string {
	if c.opt.RuntimeRoot != "" {
		return filepath.Join(c.opt.LibexecDir, shimName)
	}
	return c.ownShim()
}

// shimRefused recognises that containerd could not execute the shim at path, which it was told to: its file system is mounted noexec for it, or a
// rule of the machine's security forbids it. Where "no such file" is said of a program that is there, the bundle has gone that it should start in.
func shimRefused(err error, path string) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	named := strings.Contains(text, "fork/exec "+path+": ") || strings.Contains(text, "failed to resolve runtime path: ")
	return named && (!strings.Contains(text, "no such file or directory") || !executable(path))
}
