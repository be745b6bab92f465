// Package devices names accelerators and describes what a container needs of them.
package devices

import (
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// A Node is a device node of this machine. The numbers are read at every start: majors are dynamic.
type Node struct {
	Path        string `json:"path"`        // on the host
	Destination string `json:"destination"` // in the container
	Type        string `json:"type"`        // "c" or "b"
	Major       int64  `json:"major"`
	Minor       int64  `json:"minor"`
	Mode        uint32 `json:"mode"` // permission bits
	UID         uint32 `json:"uid"`
	GID         uint32 `json:"gid"`
	Access      string `json:"access"` // of the cgroup rule: some of "rwm"
}

// A Request is one entry of a profile's devices: a node, or a directory of nodes.
type Request struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Access      string `json:"access"` // "" is "rw": no mknod
	File        string `json:"-"`      // of the profile
	Line        int    `json:"-"`
}

// Nodes reads the nodes that requests name below root ("/"): a directory gives every node below it, its own name
// mapped below the destination. What is absent, or no node, is a finding. The order is that of the requests, then by path.
// Links are followed inside root; those inside a directory are passed over, as runc does, for what they name is either
// below it too or was not asked for. Where two requests have one destination, the later holds.
func Nodes(root string, requests []Request) ([]Node, []finding.Finding) {
	r := reader{view: rootfs.Dir(root), at: map[string]int{}}
	for _, q := range requests {
		r.read(q)
	}
	return r.nodes, r.findings
}
