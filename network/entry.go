package network

import (
	"fmt"
	"hash/fnv"
	"path"
	"slices"
)

// An Entry is the journal of one container's network: written before anything is made for it, so that whoever comes after a
// crash knows what to remove. It lives as long as the boot, like what it tells of.
type Entry struct {
	Schema    int       `json:"schema"` // 1
	Namespace string    `json:"namespace"`
	ID        string    `json:"id"`
	Owner     string    `json:"owner,omitempty"` // containerd's socket
	Since     int64     `json:"since"`           // when it was attached: nanoseconds of Unix time. Entries are in this order
	Request   Request   `json:"request"`
	Links     []Link    `json:"links,omitempty"` // one for each attachment
	Bindings  []Binding `json:"bindings,omitempty"`
	Hosts     string    `json:"hosts,omitempty"` // the container's hosts file, on the host
	Ready     bool      `json:"ready,omitempty"` // all of it is made
}

// A Link is an attachment with all that was open settled.
type Link struct {
	Network  string   `json:"network"`
	Bridge   string   `json:"bridge"` // of the host; also the name of the CNI network. With another driver it is that alone
	Subnets  []Subnet `json:"subnets"`
	Internal bool     `json:"internal,omitempty"`
	MTU      int      `json:"mtu,omitempty"`
	Driver   string   `json:"driver,omitempty"` // as in the Definition, like the next three
	Parent   string   `json:"parent,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Reserved []string `json:"reserved,omitempty"`
	Aliases  []string `json:"aliases,omitempty"`
	Static   []string `json:"static,omitempty"` // addresses that it asked for
	MAC      string   `json:"mac,omitempty"`
	IPs      []string `json:"ips,omitempty"` // that it got
}

// Bridged reports whether the link is to a bridge of the host, which the host's rules are for.
func (l Link) Bridged() bool { return l.Driver == "" }

// On returns the entry's link to a network of its namespace, or nil.
func (e Entry) On(network string) *Link {
	for i := range e.Links {
		if e.Links[i].Network == network {
			return &e.Links[i]
		}
	}
	return nil
}

// name is of messages: "container web".
func (e Entry) name() string { return "container " + e.ID }

// bridgeName fits the kernel's 15 bytes (IFNAMSIZ), and is the same each time.
func bridgeName(scope, namespace, network string) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s\x00%s\x00%s", scope, namespace, network)
	return fmt.Sprintf("%s%08x", BridgePrefix, h.Sum32())
}

// NamespacePath is where the container's network namespace is bound below hostrun's state directory. Specs name it.
func NamespacePath(stateDir, namespace, id string) string {
	return path.Join(stateDir, "netns", namespace, id)
}

// BridgePrefix begins the name of every bridge of ours: firewall rules tell them by it.
const BridgePrefix = "hr-"

// Interface is the name of the i-th interface in the container.
func Interface(i int) string { return fmt.Sprintf("eth%d", i) }

// Same returns the entry of that container among all, or nil.
func Same(all []Entry, namespace, id string) *Entry {
	i := slices.IndexFunc(all, func(e Entry) bool { return e.Namespace == namespace && e.ID == id })
	if i < 0 {
		return nil
	}
	return &all[i]
}
