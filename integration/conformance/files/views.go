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

	"hostrun.dev/hostrun/profiles"
)

// A view is what one side makes of a service: values by the key of compose that they have. What is not said is not in it.
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
	limit = profiles.Ulimit
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

// ofService is docker compose's view.
func ofService(p *types.Project, s types.ServiceConfig) view {
	v := view{}
	v.put("image", s.Image)
	if s.Image == "" {
		v.put("image", p.Name+"-"+s.Name)
	}
	putCommand(v, "command", s.Command, s.Command != nil)
	putCommand(v, "entrypoint", s.Entrypoint, s.Entrypoint != nil)
	v.put("environment", withValues(s.Environment))
	v.put("labels", map[string]string(s.Labels))
	v.put("annotations", map[string]string(s.Annotations))
	for field, text := range map[string]string{
		"hostname": s.Hostname, "user": s.User, "working_dir": s.WorkingDir, "domainname": s.DomainName, "stop_signal": s.StopSignal, "platform": s.Platform, "runtime": s.Runtime,
		"cpuset": s.CPUSet, "pid": s.Pid, "ipc": s.Ipc, "uts": s.Uts, "userns_mode": s.UserNSMode, "cgroup": s.Cgroup, "cgroup_parent": s.CgroupParent, "mac_address": s.MacAddress,
	} {
		v.put(field, ofContainer(p, text))
	}
	v.put("pull_policy", strings.NewReplacer("if_not_present", "missing").Replace(s.PullPolicy))
	v.put("init", s.Init != nil && *s.Init)
	v.put("tty", s.Tty)
	v.put("stdin_open", s.StdinOpen)
	v.put("privileged", s.Privileged)
	v.put("read_only", s.ReadOnly)
	v.put("oom_kill_disable", s.OomKillDisable)
	v.put("oom_score_adj", s.OomScoreAdj)
	v.put("cap_add", capabilities(s.CapAdd))
	v.put("cap_drop", capabilities(s.CapDrop))
	v.put("expose", sorted(s.Expose))
	v.put("dns", sorted(s.DNS))
	v.put("dns_search", sorted(s.DNSSearch))
	v.put("dns_opt", sorted(s.DNSOpts))
	v.put("group_add", sorted(s.GroupAdd))
	v.put("profiles", sorted(s.Profiles))
	v.put("sysctls", map[string]string(s.Sysctls))
	v.put("extra_hosts", sorted(s.ExtraHosts.AsList("=")))
	v.put("stop_grace_period", length(s.StopGracePeriod))
	v.put("device_cgroup_rules", sorted(s.DeviceCgroupRules))
	v.put("ulimits", limits(s.Ulimits))
	v.put("cpu_shares", s.CPUShares)
	v.put("cpu_period", s.CPUPeriod)
	v.put("cpu_quota", s.CPUQuota)
	v.put("cpu_rt_period", s.CPURTPeriod)
	v.put("cpu_rt_runtime", s.CPURTRuntime)
	v.put("memswap_limit", int64(s.MemSwapLimit))
	v.put("shm_size", int64(s.ShmSize))
	v.resources(s)
	for _, opt := range s.SecurityOpt {
		name, value, _ := strings.Cut(strings.Replace(opt, "=", ":", 1), ":")
		if name == "no-new-privileges" && value == "" {
			value = "true"
		}
		v.put("security_opt."+name, value)
	}
	var ports []port
	for _, q := range s.Ports {
		ports = append(ports, port{q.HostIP, q.Published, int(q.Target), cmp.Or(q.Protocol, "tcp")})
	}
	v.put("ports", sorted(ports))
	v.put("volumes", serviceMounts(p, s))
	v.networks(p, s)
	depends := map[string]dependency{}
	for name, d := range s.DependsOn {
		depends[name] = dependency{strings.TrimPrefix(d.Condition, "service_"), d.Restart, !d.Required}
	}
	v.put("depends_on", depends)
	var links []string
	for _, l := range s.Links {
		name, alias, _ := strings.Cut(l, ":")
		links = append(links, name+":"+cmp.Or(alias, name))
	}
	v.put("links", sorted(links))
	if h := s.HealthCheck; h != nil {
		if h.Disable || slices.Equal(h.Test, []string{"NONE"}) {
			v.put("healthcheck.disable", true)
		} else {
			v.put("healthcheck.test", []string(h.Test))
			v.put("healthcheck.interval", length(h.Interval))
			v.put("healthcheck.timeout", length(h.Timeout))
			v.put("healthcheck.start_period", length(h.StartPeriod))
			v.put("healthcheck.start_interval", length(h.StartInterval))
			if h.Retries != nil {
				v.put("healthcheck.retries", int(*h.Retries))
			}
		}
	}
	var devices []device
	for _, d := range s.Devices {
		devices = append(devices, device{clean(d.Source), clean(d.Target), d.Permissions})
	}
	v.put("devices", sorted(devices))
	if l := s.Logging; l != nil {
		v.put("logging.driver", cmp.Or(l.Driver, "json-file"))
		v.put("logging.max-size", bytesOf(l.Options["max-size"]))
		n, _ := strconv.Atoi(l.Options["max-file"])
		v.put("logging.max-file", n)
	}
	var secrets, configs []data
	for _, q := range s.Secrets {
		secrets = append(secrets, dataOf(types.FileReferenceConfig(q), types.FileObjectConfig(p.Secrets[q.Source]), "/run/secrets/"))
	}
	for _, q := range s.Configs {
		configs = append(configs, dataOf(types.FileReferenceConfig(q), types.FileObjectConfig(p.Configs[q.Source]), "/"))
	}
	v.put("secrets", sorted(secrets))
	v.put("configs", sorted(configs))
	for field, list := range map[string][]types.ServiceHook{"post_start": s.PostStart, "pre_stop": s.PreStop} {
		var hooks []hook
		for _, h := range list {
			hooks = append(hooks, hook{h.Command, h.User, h.WorkingDir, h.Privileged, withValues(h.Environment)})
		}
		v.put(field, hooks)
	}
	v.build(s.Build)
	return v
}

// resources are those of deploy, and of the older keys where it says nothing.
func (v view) resources(s types.ServiceConfig) {
	d := s.Deploy
	if d == nil {
		d = &types.DeployConfig{}
	}
	most, least := d.Resources.Limits, d.Resources.Reservations
	if most == nil {
		most = &types.Resource{}
	}
	if least == nil {
		least = &types.Resource{}
	}
	v.put("mem_limit", cmp.Or(int64(most.MemoryBytes), int64(s.MemLimit)))
	v.put("mem_reservation", cmp.Or(int64(least.MemoryBytes), int64(s.MemReservation)))
	v.put("cpus", cmp.Or(float32(most.NanoCPUs), s.CPUS))
	v.put("deploy.reservations.cpus", float32(least.NanoCPUs))
	v.put("pids_limit", cmp.Or(most.Pids, s.PidsLimit))
	if n := cmp.Or(d.Replicas, s.Scale); n != nil {
		v.put("scale", strconv.Itoa(*n))
	}
	restart := s.Restart
	if r := d.RestartPolicy; restart == "" && r != nil {
		restart = map[string]string{"none": "", "any": "unless-stopped", "": "unless-stopped"}[r.Condition]
		if r.Condition == "on-failure" {
			restart = r.Condition
			if r.MaxAttempts != nil && *r.MaxAttempts > 0 {
				restart += fmt.Sprint(":", *r.MaxAttempts)
			}
		}
	}
	if restart != "no" {
		v.put("restart", restart)
	}
	var all []accelerator
	for _, r := range append(slices.Clone(least.Devices), s.Gpus...) {
		all = append(all, accelerator{r.Driver, int(r.Count), r.IDs})
	}
	v.put("gpus", all)
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
				one.Size = bytesOf(size)
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

func (v view) build(b *types.BuildConfig) {
	if b == nil {
		return
	}
	v.put("build.context", b.Context)
	v.put("build.args", withValues(b.Args))
	v.put("build.target", b.Target)
	v.put("build.dockerfile_inline", b.DockerfileInline)
	if file := b.Dockerfile; b.DockerfileInline == "" && file != "" {
		if filepath.IsAbs(b.Context) && !filepath.IsAbs(file) {
			file = filepath.Join(b.Context, file)
		}
		v.put("build.dockerfile", file)
	}
	v.put("build.tags", []string(b.Tags))
	v.put("build.cache_from", []string(b.CacheFrom))
	v.put("build.cache_to", []string(b.CacheTo))
	v.put("build.platforms", []string(b.Platforms))
	v.put("build.labels", map[string]string(b.Labels))
	v.put("build.network", b.Network)
	v.put("build.no_cache", b.NoCache)
	v.put("build.pull", b.Pull)
	v.put("build.privileged", b.Privileged)
	v.put("build.shm_size", int64(b.ShmSize))
	v.put("build.extra_hosts", sorted(b.ExtraHosts.AsList("=")))
	v.put("build.additional_contexts", map[string]string(b.AdditionalContexts))
}

// ofProfile is hostrun's view.
func ofProfile(p *profiles.Profile) view {
	v := view{}
	v.put("image", p.Image)
	for field, words := range map[string]*profiles.Command{"command": p.Command, "entrypoint": p.Entrypoint} {
		if words != nil {
			putCommand(v, field, *words, true)
		}
	}
	v.put("environment", variables(p.Environment))
	v.put("labels", p.Labels)
	v.put("annotations", p.Annotations)
	for field, text := range map[string]string{
		"hostname": p.Hostname, "user": p.User, "working_dir": p.WorkingDir, "domainname": p.Domainname, "stop_signal": p.StopSignal, "platform": p.Platform, "runtime": p.Runtime,
		"cpuset": p.CPUSet, "pid": p.PID, "ipc": p.IPC, "uts": p.UTS, "userns_mode": p.Userns, "cgroup": p.Cgroup, "cgroup_parent": p.CgroupParent, "mac_address": p.MACAddress,
		"pull_policy": p.PullPolicy, "security_opt.seccomp": p.Seccomp, "security_opt.apparmor": p.AppArmor, "security_opt.label": p.Label,
	} {
		v.put(field, text)
	}
	v.put("init", p.Init)
	v.put("tty", p.TTY)
	v.put("stdin_open", p.StdinOpen)
	v.put("privileged", p.Privileged)
	v.put("read_only", p.ReadOnly)
	v.put("oom_kill_disable", p.OOMKillDisable)
	if p.OOMScoreAdj != nil {
		v.put("oom_score_adj", int64(*p.OOMScoreAdj))
	}
	v.put("cap_add", sorted(p.CapAdd))
	v.put("cap_drop", sorted(p.CapDrop))
	v.put("expose", sorted(p.Expose))
	v.put("dns", sorted(p.DNS))
	v.put("dns_search", sorted(p.DNSSearch))
	v.put("dns_opt", sorted(p.DNSOpt))
	v.put("group_add", sorted(p.GroupAdd))
	v.put("profiles", sorted(p.Tags))
	v.put("sysctls", p.Sysctls)
	var hosts, links, rules []string
	for _, h := range p.ExtraHosts {
		hosts = append(hosts, h.Name+"="+h.IP)
	}
	for _, l := range p.Links {
		links = append(links, l.Name+":"+l.Alias)
	}
	for _, r := range p.DeviceRules {
		rules = append(rules, fmt.Sprintf("%s %s:%s %s", r.Type, anyNumber(r.Major), anyNumber(r.Minor), r.Access))
	}
	v.put("extra_hosts", sorted(hosts))
	v.put("links", sorted(links))
	v.put("device_cgroup_rules", sorted(rules))
	if p.StopGracePeriod != nil {
		v.put("stop_grace_period", *p.StopGracePeriod)
	}
	v.put("ulimits", p.Ulimits)
	v.put("cpu_shares", p.CPUShares)
	v.put("cpu_period", p.CPUPeriod)
	v.put("cpu_quota", p.CPUQuota)
	v.put("cpu_rt_period", p.CPURTPeriod)
	v.put("cpu_rt_runtime", p.CPURTRuntime)
	v.put("memswap_limit", p.MemSwapLimit)
	v.put("shm_size", p.ShmSize)
	v.put("mem_limit", p.MemLimit)
	v.put("mem_reservation", p.MemReservation)
	v.put("cpus", float32(p.CPUs))
	v.put("deploy.reservations.cpus", float32(p.CPUReservation))
	v.put("pids_limit", p.PidsLimit)
	if p.Replicas != nil {
		v.put("scale", strconv.Itoa(p.Replicas.Count))
	}
	if p.Restart != "no" {
		v.put("restart", p.Restart)
	}
	if p.NoNewPrivileges != nil {
		v.put("security_opt.no-new-privileges", fmt.Sprint(*p.NoNewPrivileges))
	}
	if p.OpenSystemPaths {
		v.put("security_opt.systempaths", "unconfined")
	}
	var all []accelerator
	for _, a := range append(slices.Clone(p.GPUs), p.NPUs...) {
		if a.All {
			a.Count = -1
		}
		all = append(all, accelerator{a.Driver, a.Count, a.IDs})
	}
	v.put("gpus", all)
	v.put("ports", profilePorts(p.Ports))
	v.put("volumes", profileMounts(p.Volumes))
	switch networks := profileNetworks(p.Networks); {
	case len(networks) > 0:
		v.put("networks", networks)
	default:
		v.put("network_mode", cmp.Or(p.NetworkMode, "host"))
	}
	depends := map[string]dependency{}
	for _, d := range p.DependsOn {
		depends[d.Name] = dependency{d.Condition, d.Restart, d.Optional}
	}
	v.put("depends_on", depends)
	v.put("healthcheck.disable", p.NoHealthcheck)
	if h := p.Healthcheck; h != nil {
		v.put("healthcheck.test", h.Test)
		v.put("healthcheck.interval", h.Interval)
		v.put("healthcheck.timeout", h.Timeout)
		v.put("healthcheck.start_period", h.StartPeriod)
		v.put("healthcheck.start_interval", h.StartInterval)
		v.put("healthcheck.retries", h.Retries)
	}
	var devices []device
	for _, d := range p.Devices {
		devices = append(devices, device{d.Source, d.Target, d.Permissions})
	}
	v.put("devices", sorted(devices))
	if l := p.Logging; l != nil {
		v.put("logging.driver", l.Driver)
		v.put("logging.max-size", l.MaxSize)
		v.put("logging.max-file", l.MaxFiles)
	}
	v.put("secrets", profileData(p.Secrets))
	v.put("configs", profileData(p.Configs))
	for field, list := range map[string][]profiles.Hook{"pre_start": p.PreStart, "post_start": p.PostStart, "pre_stop": p.PreStop} {
		var hooks []hook
		for _, h := range list {
			one := hook{nil, h.User, h.WorkingDir, h.Privileged, variables(h.Environment)}
			if h.Command != nil {
				one.Command = *h.Command
			}
			hooks = append(hooks, one)
		}
		v.put(field, hooks)
	}
	v.profileBuild(p.Build)
	return v
}

func (v view) profileBuild(b *profiles.Build) {
	if b == nil {
		return
	}
	v.put("build.context", b.Context)
	v.put("build.args", variables(b.Args))
	v.put("build.target", b.Target)
	v.put("build.dockerfile_inline", b.DockerfileInline)
	v.put("build.dockerfile", b.Dockerfile)
	v.put("build.tags", b.Tags)
	v.put("build.cache_from", b.CacheFrom)
	v.put("build.cache_to", b.CacheTo)
	v.put("build.platforms", b.Platforms)
	v.put("build.labels", b.Labels)
	v.put("build.network", b.Network)
	v.put("build.no_cache", b.NoCache)
	v.put("build.pull", b.Pull)
	v.put("build.privileged", b.Privileged)
	v.put("build.shm_size", b.ShmSize)
	var hosts []string
	for _, h := range b.ExtraHosts {
		hosts = append(hosts, h.Name+"="+h.IP)
	}
	v.put("build.extra_hosts", sorted(hosts))
	v.put("build.additional_contexts", b.AdditionalContexts)
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

func profileData(list []profiles.Data) []data {
	var all []data
	for _, q := range list {
		one := data{Target: q.Target, Mode: q.Mode, File: q.File, Variable: q.Variable, External: q.Credential != ""}
		if q.Content != nil {
			one.Content = *q.Content
		}
		if q.UID != nil {
			one.UID = fmt.Sprint(*q.UID)
		}
		if q.GID != nil {
			one.GID = fmt.Sprint(*q.GID)
		}
		all = append(all, one)
	}
	return sorted(all)
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

// putCommand tells no words from nothing said.
func putCommand(v view, field string, words []string, said bool) {
	if said && len(words) == 0 {
		v[field] = "none"
		return
	}
	v.put(field, slices.Clone(words))
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

func limits(m map[string]*types.UlimitsConfig) map[string]limit {
	all := map[string]limit{}
	for name, l := range m {
		all[name] = limit{Soft: int64(cmp.Or(l.Single, l.Soft)), Hard: int64(cmp.Or(l.Single, l.Hard))}
	}
	return all
}

func length(d *types.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return time.Duration(*d)
}

func bytesOf(text string) int64 {
	var n types.UnitBytes
	if n.DecodeMapstructure(text) != nil {
		return 0
	}
	return int64(n)
}

func anyNumber(n int64) string {
	if n == -1 {
		return "*"
	}
	return strconv.FormatInt(n, 10)
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
