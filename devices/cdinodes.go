package devices

import (
	"os"

	"tags.cncf.io/container-device-interface/specs-go"
)

// CDINodes are nodes in CDI's form, complete: with their numbers, owner and mode, so that nobody looks at them again.
func CDINodes(nodes []Node) []*specs.DeviceNode {
	all := make([]*specs.DeviceNode, 0, len(nodes))
	for _, n := range nodes {
		mode, uid, gid := os.FileMode(n.Mode&0o777), n.UID, n.GID
		c := &specs.DeviceNode{Path: n.Destination, Type: n.Type, Major: n.Major, Minor: n.Minor, FileMode: &mode, Permissions: n.Access, UID: &uid, GID: &gid}
		if n.Path != n.Destination {
			c.HostPath = n.Path
		}
		all = append(all, c)
	}
	return all
}
