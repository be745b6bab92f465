package network

import (
	"fmt"
	"slices"
	"strings"
)

// HostsMark begins the part of a container's hosts file that follows its peers. What stands above it is the plan's.
const HostsMark = "# hostrun: this container and its peers\n"

// Hosts is that part for e: its own addresses, the host's names, then every container on one of its networks, by name and
// aliases. Peers come in the order of all, so that a file mostly grows at its end.
func Hosts(e Entry, all []Entry) string {
	if e.Request.Mode == Container {
		target := Same(all, e.Namespace, e.Request.Join)
		if target == nil || target.Request.Mode == Container {
			return ""
		}
		e = *target
	}
	var b strings.Builder
	b.WriteString(HostsMark)
	for _, l := range e.Links {
		for _, ip := range l.IPs {
			names := append(own(e), l.Aliases...)
			fmt.Fprintf(&b, "%s\t%s\n", ip, strings.Join(unique(names), " "))
		}
	}
	gateways(&b, e)
	for _, o := range all {
		if o.Namespace != e.Namespace || o.ID == e.ID {
			continue
		}
		for _, l := range e.Links {
			peer := o.On(l.Network)
			if peer == nil {
				continue
			}
			for _, ip := range peer.IPs {
				fmt.Fprintf(&b, "%s\t%s\n", ip, strings.Join(unique(append(append([]string{o.ID}, peer.Aliases...), linked(e, o.ID)...)), " "))
			}
		}
	}
	return b.String()
}

// own are the container's names for itself, the full one first (hosts(5): canonical_hostname).
func own(e Entry) []string {
	var names []string
	if e.Request.Domain != "" && e.Request.Hostname != "" {
		names = append(names, e.Request.Hostname+"."+e.Request.Domain)
	}
	if e.Request.Hostname != "" {
		names = append(names, e.Request.Hostname)
	}
	return append(names, e.ID)
}

// linked are e's own names for another container.
func linked(e Entry, id string) []string {
	var names []string
	for _, l := range e.Request.Links {
		if l.Name == id {
			names = append(names, l.Alias)
		}
	}
	return names
}

// gateways names the host, which is a bridge's gateway. On a network of another driver it is out of reach.
func gateways(b *strings.Builder, e Entry) {
	i := slices.IndexFunc(e.Links, Link.Bridged)
	if i < 0 {
		return
	}
	for _, name := range e.Request.Gateways {
		fmt.Fprintf(b, "%s\t%s\n", e.Links[i].Subnets[0].GatewayOf(), name)
	}
}

func unique(names []string) []string {
	var all []string
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			all = append(all, n)
		}
	}
	return all
}

// WithHosts puts the changing part below what stands above the mark in content.
func WithHosts(content, part string) string {
	above, _, _ := strings.Cut(content, HostsMark)
	return above + part
}
