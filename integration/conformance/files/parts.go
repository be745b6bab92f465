package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"

	"hostrun.dev/hostrun/profiles"
)

// This file reads the parts of a service that the two sides write in different forms.

func hostEntry(h profiles.Host) string { return h.Name + "=" + h.IP }

func pullPolicy(s types.ServiceConfig) string {
	policy, every, _ := s.GetPullPolicy()
	switch {
	case s.PullPolicy == "":
		return ""
	case every > 0:
		return profiles.PullEvery(every)
	}
	return policy
}

// restart is the policy of deploy, where there is one (compose, getRestartPolicy).
func restart(policy string, deployed *types.RestartPolicy) string {
	if r := deployed; r != nil {
		policy = r.Condition
		if n := value(r.MaxAttempts); n > 0 && policy == "on-failure" {
			policy += fmt.Sprint(":", n)
		}
	}
	switch policy {
	case "no", "none":
		return ""
	case "any":
		return "always"
	}
	return policy
}

func hooks(list []types.ServiceHook) (all []hook) {
	for _, h := range list {
		all = append(all, hook{h.Command, h.User, h.WorkingDir, h.Privileged, withValues(h.Environment)})
	}
	return all
}

func profileHooks(list []profiles.Hook) (all []hook) {
	for _, h := range list {
		all = append(all, hook{value(h.Command), h.User, h.WorkingDir, h.Privileged, variables(h.Environment)})
	}
	return all
}

// networks are the names that networks really have, each with what the service and the file say of it.
func (v view) networks(p *types.Project, s types.ServiceConfig) {
	if s.NetworkMode != "" {
		v.put("network_mode", ofContainer(p, s.NetworkMode))
		return
	}
	all := map[string]attached{}
	for key, n := range s.Networks {
		if n == nil {
			n = &types.ServiceNetworkConfig{}
		}
		of := p.Networks[key]
		if name := cmp.Or(of.Name, key); bool(of.External) && (name == "host" || name == "none") {
			v.put("network_mode", name)
			continue
		}
		aliases := slices.Clone(n.Aliases)
		if s.ContainerName != "" && s.ContainerName != s.Name {
			aliases = append(aliases, s.ContainerName)
		}
		one := attached{Aliases: unique(aliases), IPv4: n.Ipv4Address, IPv6: n.Ipv6Address, MAC: n.MacAddress, Priority: int64(n.Priority), Gateway: int64(n.GatewayPriority),
			Internal: of.Internal, EnableIPv6: of.EnableIPv6 != nil && *of.EnableIPv6}
		if of.Driver != "bridge" {
			one.Driver = of.Driver
		}
		for _, pool := range of.Ipam.Config {
			one.Subnets = append(one.Subnets, profiles.Subnet{Subnet: pool.Subnet, Gateway: pool.Gateway, Range: pool.IPRange})
		}
		all[cmp.Or(of.Name, key)] = one
	}
	v.put("networks", all)
}

func serviceMounts(p *types.Project, s types.ServiceConfig) []mount {
	var all []mount
	for _, m := range s.Volumes {
		one := mount{Type: m.Type, Source: clean(m.Source), Target: clean(m.Target), ReadOnly: m.ReadOnly}
		if m.Volume != nil {
			one.NoCopy, one.Subpath = m.Volume.NoCopy, m.Volume.Subpath
		}
		if m.Bind != nil {
			one.Propagation = m.Bind.Propagation
		}
		if m.Tmpfs != nil {
			one.Size = int64(m.Tmpfs.Size)
		}
		if of, ok := p.Volumes[m.Source]; ok && m.Type == "volume" {
			one.Source = cmp.Or(of.Name, m.Source)
			switch o := of.DriverOpts; {
			case o["type"] == "none" && strings.Contains(o["o"], "bind"):
				one.Type, one.Source = "bind", clean(o["device"])
			case o["type"] != "":
				one.FileSystem = strings.Join([]string{o["type"], o["device"], o["o"]}, " ")
			}
		}
		all = append(all, one)
	}
	for _, t := range s.Tmpfs {
		target, options, _ := strings.Cut(t, ":")
		one := mount{Type: "tmpfs", Target: clean(target)}
		for option := range strings.SplitSeq(options, ",") {
			if size, ok := strings.CutPrefix(option, "size="); ok {
				one.Size, _ = units.RAMInBytes(size)
			}
			one.ReadOnly = one.ReadOnly || option == "ro"
		}
		all = append(all, one)
	}
	return sorted(all)
}

func dataOf(q types.FileReferenceConfig, of types.FileObjectConfig, dir string) data {
	d := data{Target: cmp.Or(q.Target, q.Source), Mode: 0o444, UID: q.UID, GID: q.GID, File: of.File, Variable: of.Environment, Content: of.Content, External: bool(of.External)}
	if !strings.HasPrefix(d.Target, "/") {
		d.Target = dir + d.Target
	}
	if q.Mode != nil {
		d.Mode = uint32(*q.Mode) &^ 0o222
	}
	return d
}

// profilePorts are single ports, as docker compose has them.
func profilePorts(list []profiles.Port) []port {
	var all []port
	for _, q := range list {
		for target := int(q.Target); target <= max(int(q.Target), int(q.End)); target++ {
			published := ""
			switch first, last := int(q.First), int(q.Last); {
			case first == 0:
			case q.End > q.Target:
				published = strconv.Itoa(first + target - int(q.Target))
			case last > first:
				published = fmt.Sprintf("%d-%d", first, last)
			default:
				published = strconv.Itoa(first)
			}
			all = append(all, port{q.HostIP, published, target, q.Protocol})
		}
	}
	return sorted(all)
}

func profileMounts(list []profiles.Volume) []mount {
	var all []mount
	for _, m := range list {
		if strings.HasPrefix(m.Key, "volumes_from") {
			continue // the other container's
		}
		one := mount{Type: m.Type, Source: clean(m.Source), Target: clean(m.Target), ReadOnly: m.ReadOnly, NoCopy: m.NoCopy, Subpath: m.Subpath, Propagation: m.Propagation, Size: m.TmpfsSize}
		if m.Anonymous {
			one.Source = ""
		}
		if m.Mount != nil {
			one.FileSystem = strings.Join([]string{m.Mount.Type, m.Mount.Device, strings.Join(m.Mount.Options, ",")}, " ")
		}
		all = append(all, one)
	}
	return sorted(all)
}

func profileNetworks(list []profiles.Network) map[string]attached {
	all := map[string]attached{}
	for _, n := range list {
		all[n.Name] = attached{Aliases: unique(n.Aliases), IPv4: n.IPv4, IPv6: n.IPv6, MAC: n.MAC, Priority: n.Priority, Gateway: n.GatewayPriority,
			Internal: n.Internal, EnableIPv6: n.EnableIPv6, Driver: n.Driver, Subnets: n.Subnets}
	}
	return all
}

func profileData(q profiles.Data) data {
	one := data{Target: q.Target, Mode: q.Mode, File: q.File, Variable: q.Variable, Content: value(q.Content), External: q.Credential != ""}
	if q.UID != nil {
		one.UID = fmt.Sprint(*q.UID)
	}
	if q.GID != nil {
		one.GID = fmt.Sprint(*q.GID)
	}
	return one
}

// ofContainer is a value that may name a container; one with a name is called as its service in a stack.
func ofContainer(p *types.Project, text string) string {
	if name, ok := strings.CutPrefix(text, "service:"); ok {
		return "container:" + name
	}
	if name, ok := strings.CutPrefix(text, "container:"); ok {
		for _, s := range p.Services {
			if s.ContainerName == name {
				return "container:" + s.Name
			}
		}
	}
	return text
}

// words tells no words from nothing said.
func words(list []string) any {
	if list != nil && len(list) == 0 {
		return "none"
	}
	return slices.Clone(list)
}

func commandOf(c *profiles.Command) any {
	if c == nil {
		return nil
	}
	return words(append([]string{}, *c...))
}

func withValues(m types.MappingWithEquals) map[string]string {
	all := map[string]string{}
	for name, value := range m {
		if value != nil {
			all[name] = *value
		}
	}
	return all
}

func variables(list []profiles.EnvVar) map[string]string {
	all := map[string]string{}
	for _, v := range list {
		all[v.Name] = v.Value
	}
	return all
}

func capabilities(list []string) []string {
	var all []string
	for _, c := range list {
		if c = strings.ToUpper(c); c != "ALL" {
			c = "CAP_" + strings.TrimPrefix(c, "CAP_")
		}
		all = append(all, c)
	}
	return sorted(all)
}

func limits(m map[string]*types.UlimitsConfig) map[string]profiles.Ulimit {
	all := map[string]profiles.Ulimit{}
	for name, l := range m {
		all[name] = profiles.Ulimit{Soft: int64(cmp.Or(l.Single, l.Soft)), Hard: int64(cmp.Or(l.Single, l.Hard))}
	}
	return all
}

func length(d *types.Duration) time.Duration { return time.Duration(value(d)) }

// value is what a pointer leads to; nothing where that is nowhere.
func value[T any](p *T) (none T) {
	if p == nil {
		return none
	}
	return *p
}

// each is a list of what becomes of each item, in order.
func each[T, U any](list []T, f func(T) U) []U {
	var all []U
	for _, item := range list {
		all = append(all, f(item))
	}
	return sorted(all)
}

func clean(path string) string {
	if len(path) > 1 {
		return strings.TrimRight(path, "/")
	}
	return path
}

func unique(list []string) []string { return slices.Compact(sorted(list)) }

// sorted is nil for nothing.
func sorted[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return list
}
