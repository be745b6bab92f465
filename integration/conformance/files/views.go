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
