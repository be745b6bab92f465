package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"

	"hostrun.dev/hostrun/profiles"
)

// A view is what one side makes of a service: values by the key of compose that they have. What is not said is not in it; what has a
// name with ~ is not compared.
type view map[string]any

func (v view) put(field string, value any) {
	r := reflect.ValueOf(value)
	switch r.Kind() {
	case reflect.Map, reflect.Slice:
		if r.Len() == 0 {
			return
		}
	default:
		if !r.IsValid() || r.IsZero() {
			return
		}
	}
	v[field] = value
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

type (
	port struct {
		IP, Published string
		Target        int
		Protocol      string
	}
	mount struct {
		Type, Source, Target string
		ReadOnly, NoCopy     bool
		Subpath, Propagation string
		Size                 int64
		FileSystem           string // type, device and options of what mount(8) mounts there
	}
	attached struct {
		Aliases              []string
		IPv4, IPv6, MAC      string
		Priority, Gateway    int64
		Internal, EnableIPv6 bool
		Driver               string
		Subnets              []profiles.Subnet
	}
	dependency struct {
		Condition         string
		Restart, Optional bool
	}
	data struct {
		Target                  string
		Mode                    uint32
		UID, GID                string
		File, Variable, Content string
		External                bool
	}
	device      struct{ Source, Target, Permissions string }
	accelerator struct {
		Driver string
		Count  int
		IDs    []string
	}
	hook struct {
		Command     []string
		User, Dir   string
		Privileged  bool
		Environment map[string]string
	}
)

// readConfig reads what docker compose config has printed, in which dollar signs are doubled.
func readConfig(text []byte) (*types.Project, error) {
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{ConfigFiles: []types.ConfigFile{{Filename: "config.json", Content: text}}}, func(o *loader.Options) {
		o.SkipValidation, o.SkipNormalization, o.SkipConsistencyCheck, o.SkipExtends, o.SkipInclude, o.SkipResolveEnvironment, o.SkipResolveLabels, o.SkipDefaultValues = true, true, true, true, true, true, true, true
		o.Profiles = []string{"*"}
		var named struct{ Name string }
		_ = json.Unmarshal(text, &named)
		o.SetProjectName(named.Name, true)
	})
}

// values are what both sides make of a service.
func values(p *types.Project, s types.ServiceConfig, q *profiles.Profile) (theirs, ours view) {
	theirs, ours = view{"~container_name": s.ContainerName}, view{}
	both := func(field string, a, b any) {
		theirs.put(field, a)
		ours.put(field, b)
	}
	both("image", cmp.Or(s.Image, p.Name+"-"+s.Name), q.Image)
	both("command", words(s.Command), commandOf(q.Command))
	both("entrypoint", words(s.Entrypoint), commandOf(q.Entrypoint))
	both("environment", withValues(s.Environment), variables(q.Environment))
	both("labels", map[string]string(s.Labels), q.Labels)
	both("annotations", map[string]string(s.Annotations), q.Annotations)
	both("sysctls", map[string]string(s.Sysctls), q.Sysctls)
	both("hostname", s.Hostname, q.Hostname)
	both("domainname", s.DomainName, q.Domainname)
	both("user", s.User, q.User)
	both("group_add", sorted(s.GroupAdd), sorted(q.GroupAdd))
	both("working_dir", s.WorkingDir, q.WorkingDir)
	both("platform", s.Platform, q.Platform)
	both("pull_policy", pullPolicy(s), q.PullPolicy)
	both("runtime", s.Runtime, q.Runtime)
	both("profiles", sorted(s.Profiles), sorted(q.Tags))
	both("init", s.Init != nil && *s.Init, q.Init)
	both("tty", s.Tty, q.TTY)
	both("stdin_open", s.StdinOpen, q.StdinOpen)
	both("stop_signal", s.StopSignal, q.StopSignal)
	both("stop_grace_period", length(s.StopGracePeriod), value(q.StopGracePeriod))
	// Namespaces and rights.
	both("pid", ofContainer(p, s.Pid), q.PID)
	both("ipc", ofContainer(p, s.Ipc), q.IPC)
	both("uts", ofContainer(p, s.Uts), q.UTS)
	both("userns_mode", s.UserNSMode, q.Userns)
	both("cgroup", s.Cgroup, q.Cgroup)
	both("cgroup_parent", s.CgroupParent, q.CgroupParent)
	both("privileged", s.Privileged, q.Privileged)
	both("read_only", s.ReadOnly, q.ReadOnly)
	both("cap_add", capabilities(s.CapAdd), sorted(q.CapAdd))
	both("cap_drop", capabilities(s.CapDrop), sorted(q.CapDrop))
	for _, opt := range s.SecurityOpt {
		name, said, _ := strings.Cut(strings.Replace(opt, "=", ":", 1), ":")
		if name == "no-new-privileges" {
			said = cmp.Or(said, "true")
		}
		theirs.put("security_opt."+name, said)
	}
	ours.put("security_opt.seccomp", q.Seccomp)
	ours.put("security_opt.apparmor", q.AppArmor)
	ours.put("security_opt.label", q.Label)
	if q.NoNewPrivileges != nil {
		ours.put("security_opt.no-new-privileges", fmt.Sprint(*q.NoNewPrivileges))
	}
	if q.OpenSystemPaths {
		ours.put("security_opt.systempaths", "unconfined")
	}
	// Limits; those of deploy go before the older keys.
	d := value(s.Deploy)
	most, least := value(d.Resources.Limits), value(d.Resources.Reservations)
	both("mem_limit", int64(cmp.Or(most.MemoryBytes, s.MemLimit)), q.MemLimit)
	both("mem_reservation", int64(cmp.Or(least.MemoryBytes, s.MemReservation)), q.MemReservation)
	both("memswap_limit", int64(s.MemSwapLimit), q.MemSwapLimit)
	both("mem_swappiness", int64(s.MemSwappiness), value(q.MemSwappiness))
	both("shm_size", int64(s.ShmSize), q.ShmSize)
	both("cpus", cmp.Or(float32(most.NanoCPUs), s.CPUS), float32(q.CPUs))
	both("deploy.reservations.cpus", float32(least.NanoCPUs), float32(q.CPUReservation))
	both("cpuset", s.CPUSet, q.CPUSet)
	both("cpu_shares", s.CPUShares, q.CPUShares)
	both("cpu_period", s.CPUPeriod, q.CPUPeriod)
	both("cpu_quota", s.CPUQuota, q.CPUQuota)
	both("cpu_rt_period", s.CPURTPeriod, q.CPURTPeriod)
	both("cpu_rt_runtime", s.CPURTRuntime, q.CPURTRuntime)
	both("pids_limit", cmp.Or(most.Pids, s.PidsLimit), q.PidsLimit)
	both("ulimits", limits(s.Ulimits), q.Ulimits)
	both("oom_kill_disable", s.OomKillDisable, q.OOMKillDisable)
	both("oom_score_adj", s.OomScoreAdj, int64(value(q.OOMScoreAdj)))
	both("restart", restart(s.Restart, d.RestartPolicy), strings.TrimPrefix(q.Restart, "no"))
	if n := cmp.Or(d.Replicas, s.Scale); n != nil {
		theirs.put("scale", strconv.Itoa(*n))
	}
	if q.Replicas != nil {
		ours.put("scale", strconv.Itoa(q.Replicas.Count))
	}
	// Devices.
	both("devices", each(s.Devices, func(d types.DeviceMapping) device { return device{clean(d.Source), clean(d.Target), d.Permissions} }),
		each(q.Devices, func(d profiles.Device) device { return device{d.Source, d.Target, d.Permissions} }))
	both("device_cgroup_rules", sorted(s.DeviceCgroupRules), each(q.DeviceRules, func(r profiles.DeviceRule) string {
		return strings.ReplaceAll(fmt.Sprintf("%s %d:%d %s", r.Type, r.Major, r.Minor, r.Access), "-1", "*")
	}))
	both("gpus", each(append(slices.Clone(least.Devices), s.Gpus...), func(r types.DeviceRequest) accelerator { return accelerator{r.Driver, int(r.Count), r.IDs} }),
		each(append(slices.Clone(q.GPUs), q.NPUs...), func(a profiles.Accelerator) accelerator {
			if a.All {
				a.Count = -1
			}
			return accelerator{a.Driver, a.Count, a.IDs}
		}))
	// Files.
	both("volumes", serviceMounts(p, s), profileMounts(q.Volumes))
	both("secrets", each(s.Secrets, func(r types.ServiceSecretConfig) data {
		return dataOf(types.FileReferenceConfig(r), types.FileObjectConfig(p.Secrets[r.Source]), "/run/secrets/")
	}), each(q.Secrets, profileData))
	both("configs", each(s.Configs, func(r types.ServiceConfigObjConfig) data {
		return dataOf(types.FileReferenceConfig(r), types.FileObjectConfig(p.Configs[r.Source]), "/")
	}), each(q.Configs, profileData))
	// The network.
	theirs.networks(p, s)
	if len(q.Networks) > 0 {
		ours.put("networks", profileNetworks(q.Networks))
	} else {
		ours.put("network_mode", cmp.Or(q.NetworkMode, "host"))
	}
	both("ports", each(s.Ports, func(o types.ServicePortConfig) port {
		return port{o.HostIP, o.Published, int(o.Target), cmp.Or(o.Protocol, "tcp")}
	}), profilePorts(q.Ports))
	both("expose", sorted(s.Expose), sorted(q.Expose))
	both("mac_address", s.MacAddress, q.MACAddress)
	both("extra_hosts", sorted(s.ExtraHosts.AsList("=")), each(q.ExtraHosts, hostEntry))
	both("dns", sorted(s.DNS), sorted(q.DNS))
	both("dns_search", sorted(s.DNSSearch), sorted(q.DNSSearch))
	both("dns_opt", sorted(s.DNSOpts), sorted(q.DNSOpt))
	both("links", each(s.Links, func(text string) string {
		name, alias, _ := strings.Cut(text, ":")
		return name + ":" + cmp.Or(alias, name)
	}), each(q.Links, func(l profiles.Link) string { return l.Name + ":" + l.Alias }))
	// Life.
	for name, d := range s.DependsOn {
		theirs.put("depends_on."+name, dependency{strings.TrimPrefix(d.Condition, "service_"), d.Restart, !d.Required})
	}
	for _, d := range q.DependsOn {
		ours.put("depends_on."+d.Name, dependency{d.Condition, d.Restart, d.Optional})
	}
	h, g := value(s.HealthCheck), value(q.Healthcheck)
	if h.Disable || slices.Equal(h.Test, []string{"NONE"}) {
		h = types.HealthCheckConfig{Disable: true}
	}
	both("healthcheck.disable", h.Disable, q.NoHealthcheck)
	both("healthcheck.test", []string(h.Test), g.Test)
	both("healthcheck.interval", length(h.Interval), g.Interval)
	both("healthcheck.timeout", length(h.Timeout), g.Timeout)
	both("healthcheck.start_period", length(h.StartPeriod), g.StartPeriod)
	both("healthcheck.start_interval", length(h.StartInterval), g.StartInterval)
	both("healthcheck.retries", int(value(h.Retries)), g.Retries)
	both("post_start", hooks(s.PostStart), profileHooks(q.PostStart))
	both("pre_stop", hooks(s.PreStop), profileHooks(q.PreStop))
	if l := s.Logging; l != nil {
		theirs.put("logging.driver", cmp.Or(l.Driver, "json-file"))
		size, err := units.FromHumanSize(l.Options["max-size"]) // of 1000, but for the driver local
		if l.Driver == "local" {
			size, err = units.RAMInBytes(l.Options["max-size"])
		}
		if err == nil {
			theirs.put("logging.max-size", size)
		}
		n, _ := strconv.Atoi(l.Options["max-file"])
		theirs.put("logging.max-file", n)
	}
	l := value(q.Logging)
	ours.put("logging.driver", l.Driver)
	ours.put("logging.max-size", l.MaxSize)
	ours.put("logging.max-file", l.MaxFiles)
	both("build", s.Build != nil, q.Build != nil)
	if s.Build == nil || q.Build == nil {
		return theirs, ours
	}
	b, c := s.Build, q.Build
	file := cmp.Or(b.Dockerfile, "Dockerfile")
	switch {
	case b.DockerfileInline != "":
		file = ""
	case filepath.IsAbs(b.Context) && !filepath.IsAbs(file):
		file = filepath.Join(b.Context, file)
	}
	both("build.context", b.Context, c.Context)
	both("build.dockerfile", file, c.Dockerfile)
	both("build.dockerfile_inline", b.DockerfileInline, c.DockerfileInline)
	both("build.target", b.Target, c.Target)
	both("build.args", withValues(b.Args), variables(c.Args))
	both("build.labels", map[string]string(b.Labels), c.Labels)
	both("build.tags", sorted(b.Tags), sorted(c.Tags))
	both("build.cache_from", sorted(b.CacheFrom), sorted(c.CacheFrom))
	both("build.cache_to", sorted(b.CacheTo), sorted(c.CacheTo))
	both("build.platforms", sorted(b.Platforms), sorted(c.Platforms))
	both("build.network", b.Network, c.Network)
	both("build.no_cache", b.NoCache, c.NoCache)
	both("build.pull", b.Pull, c.Pull)
	both("build.privileged", b.Privileged, c.Privileged)
	both("build.shm_size", int64(b.ShmSize), c.ShmSize)
	both("build.extra_hosts", sorted(b.ExtraHosts.AsList("=")), each(c.ExtraHosts, hostEntry))
	both("build.additional_contexts", map[string]string(b.AdditionalContexts), c.AdditionalContexts)
	return theirs, ours
}

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
