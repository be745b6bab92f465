package devices

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// maxNodes bounds what one start may add: each node is a rule of the device cgroup.
const maxNodes = 1024

// own are entries of /dev that every container has of its own (runc makes or mounts them; libcontainer, "/dev" mounts).
var own = map[string]bool{"/dev/pts": true, "/dev/shm": true, "/dev/mqueue": true, "/dev/fd": true, "/dev/console": true, "/dev/ptmx": true}

type reader struct {
	view     *rootfs.View
	nodes    []Node
	at       map[string]int // destination -> index in nodes
	findings []finding.Finding
}

func (r *reader) read(q Request) {
	if q.Destination == "" {
		q.Destination = q.Source
	}
	if q.Access == "" {
		q.Access = "rw" // no mknod: a node that the job makes would open devices it was not given
	}
	resolved, err := r.view.Resolve(q.Source)
	if err != nil {
		r.absent(q, err)
		return
	}
	fi, err := os.Lstat(resolved.Real)
	switch {
	case err != nil:
		r.absent(q, err)
	case fi.IsDir():
		r.directory(q, resolved.Path)
	case !r.add(q, resolved.Path, q.Destination, fi):
		r.notNode(q, resolved.Path, fi)
	}
}

// directory adds the nodes below dir, sorted by path.
func (r *reader) directory(q Request, dir string) {
	before := len(r.findings)
	if found := r.walk(q, dir, q.Destination); !found && len(r.findings) == before {
		r.find(finding.DeviceNotNode, q, "a directory without device nodes", "a device node, or a directory of such",
			fmt.Sprintf("%s holds no device node", q.Source), "load the driver that makes them, or name another directory; use volumes: for files")
	}
}

func (r *reader) walk(q Request, dir, destination string) (found bool) {
	entries, err := r.view.ReadDir(dir)
	if err != nil {
		r.absent(q, err)
		return false
	}
	for _, e := range entries {
		p, to := path.Join(dir, e.Name()), path.Join(destination, e.Name())
		switch {
		case own[p] || e.Type()&fs.ModeSymlink != 0:
		case e.IsDir():
			found = r.walk(q, p, to) || found
		case e.Type()&fs.ModeDevice != 0:
			if fi, err := e.Info(); err == nil { // one that is gone since the listing is no longer below dir
				found = r.add(q, p, to, fi) || found
			}
		}
		if len(r.nodes) > maxNodes {
			r.nodes = r.nodes[:maxNodes]
			r.find(finding.DeviceNotNode, q, "too many nodes", "", fmt.Sprintf("%s holds more than %d device nodes", q.Source, maxNodes), "name the nodes that the job uses")
			return true
		}
	}
	return found
}

// add appends the node that fi describes; false if it is none.
func (r *reader) add(q Request, p, destination string, fi fs.FileInfo) bool {
	if fi.Mode()&fs.ModeDevice == 0 {
		return false
	}
	n, ok := number(fi)
	if !ok {
		return false
	}
	n.Path, n.Destination, n.Access = p, destination, q.Access
	n.Mode = permissions(fi.Mode())
	n.Type = "b"
	if fi.Mode()&fs.ModeCharDevice != 0 {
		n.Type = "c"
	}
	if i, ok := r.at[destination]; ok {
		r.nodes[i] = n
		return true
	}
	r.at[destination] = len(r.nodes)
	r.nodes = append(r.nodes, n)
	return true
}

// permissions returns the bits of chmod(2).
func permissions(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

func (r *reader) find(id string, q Request, got, want, message, remedy string) {
	r.findings = append(r.findings, finding.Finding{
		ID: id, Severity: finding.Error, Subject: q.Source, Got: got, Want: want, Message: message, Remedy: remedy, File: q.File, Line: q.Line,
	})
}

func (r *reader) absent(q Request, err error) {
	var pe *fs.PathError
	reason := err
	if errors.As(err, &pe) {
		reason = pe.Err
	}
	got := reason.Error()
	if pe != nil && strings.Contains(pe.Path, "through") { // the hop of a link that leads nowhere
		got = pe.Path + ": " + got
	}
	if !errors.Is(err, fs.ErrNotExist) {
		r.find(finding.DeviceMissing, q, got, "a device node", fmt.Sprintf("%s can't be looked at: %s", q.Source, got), "run hostrun as root, or correct the path under devices:")
		return
	}
	r.find(finding.DeviceMissing, q, got, "a device node", missing(q.Source, got), driverOf(q.Source))
}

// driverOf says how to bring a device back that is not there.
func driverOf(source string) string {
	base := path.Base(source)
	switch {
	case strings.HasPrefix(base, "nvidia-uvm"):
		return "load its driver: nvidia-modprobe -u -c=0"
	case strings.HasPrefix(base, "nvidia"):
		return "load NVIDIA's driver: nvidia-smi has to work on the host"
	case strings.HasPrefix(base, "davinci"), base == "devmm_svm", base == "hisi_hdc":
		return "load Ascend's driver: npu-smi info has to work on the host"
	case base == "kfd":
		return "load AMD's driver: modprobe amdgpu"
	case base == "fuse":
		return "load its driver: modprobe fuse"
	}
	return "load its driver, or correct devices:"
}

func (r *reader) notNode(q Request, p string, fi fs.FileInfo) {
	kind := "a file"
	switch m := fi.Mode(); {
	case m&fs.ModeNamedPipe != 0:
		kind = "a FIFO"
	case m&fs.ModeSocket != 0:
		kind = "a socket"
	}
	r.find(finding.DeviceNotNode, q, kind, "a device node, or a directory of such",
		fmt.Sprintf("%s is %s, not a device node", q.Source, kind), fmt.Sprintf("move it to volumes:, as %s:%s", p, q.Destination))
}

// missing says that a device is absent, with the cause where that is more than the absence: a link that leads nowhere.
func missing(source, cause string) string {
	text := "the device " + source + " does not exist"
	if cause != fs.ErrNotExist.Error() {
		text += ": " + cause
	}
	return text
}
