// Package profiles reads profiles: YAML files that say what to run. It is strict, so that nothing a person wrote is
// dropped in silence, and every value keeps the line that it came from. Keys are those of the compose specification
// wherever it has a word for the thing; docs/profile.md lists them.
package profiles

import "time"

// A Profile is one container to run, as its file says: variables substituted, extends and env_file merged, relative
// paths made absolute. Nothing in it depends on the machine.
type Profile struct {
	Name string `json:"name"`
	File string `json:"file"` // "builtin:dinov2.yaml" for a built-in one
	Dir  string `json:"dir"`  // of the file; relative paths were taken from it. The caller's for a built-in one

	Tags  []string `json:"tags,omitempty"`  // for up --tag
	Stack *Stack   `json:"stack,omitempty"` // whose file it is one of; nil: a file of its own

	Image      string `json:"image"`
	Rootfs     string `json:"rootfs,omitempty"`      // "": the image's. "host": the root is made of this machine's own files, and Image is ""
	Build      *Build `json:"build,omitempty"`       // how the image is made; nil: it is pulled or loaded
	Platform   string `json:"platform,omitempty"`    // os/arch[/variant]; "" is this machine's
	PullPolicy string `json:"pull_policy,omitempty"` // "" or "missing", "always", "never", "build", or one of PullEvery

	Entrypoint *Command `json:"entrypoint,omitempty"` // nil: the image's. Empty: none
	Command    *Command `json:"command,omitempty"`    // nil: the image's
	WorkingDir string   `json:"working_dir,omitempty"`
	User       string   `json:"user,omitempty"` // name|uid[:group|gid]
	GroupAdd   []string `json:"group_add,omitempty"`
	Hostname   string   `json:"hostname,omitempty"`

	// Environment in the order of the file; env_file's entries first. A variable without value is not in it: it was
	// taken from the caller, or left out because the caller has none.
	Environment []EnvVar `json:"environment,omitempty"`

	Volumes []Volume `json:"volumes,omitempty"` // volumes and tmpfs of the profile, in order
	Devices []Device `json:"devices,omitempty"`

	Secrets []Data `json:"secrets,omitempty"`
	Configs []Data `json:"configs,omitempty"`

	GPUs   []Accelerator `json:"gpus,omitempty"`
	NPUs   []Accelerator `json:"npus,omitempty"`
	Ascend Ascend        `json:"ascend,omitzero"`

	ShmSize int64             `json:"shm_size,omitempty"` // bytes; 0: not said
	IPC     string            `json:"ipc,omitempty"`      // "", "private", "host", "shareable", "none", "container:NAME"
	Ulimits map[string]Ulimit `json:"ulimits,omitempty"`

	CapAdd          []string `json:"cap_add,omitempty"`           // "CAP_SYS_ADMIN" form, or "ALL"
	CapDrop         []string `json:"cap_drop,omitempty"`          // likewise
	NoNewPrivileges *bool    `json:"no_new_privileges,omitempty"` // security_opt; nil: the default (on)
	Seccomp         string   `json:"seccomp,omitempty"`           // "" the default, "multiarch" that for 32-bit programs too, "unconfined", or the absolute path of a profile
	SeccompProfile  []byte   `json:"seccomp_profile,omitempty"`   // the content of that file
	AppArmor        string   `json:"apparmor,omitempty"`          // security_opt: a loaded profile of AppArmor's; "" is none
	Label           string   `json:"label,omitempty"`             // security_opt: a part of an SELinux label; "" is none
	OpenSystemPaths bool     `json:"open_system_paths,omitempty"` // security_opt: what of /proc and /sys is hidden or read-only by default is neither
	Runtime         string   `json:"runtime,omitempty"`           // "" hostrun's choice, "runc", "crun", or an absolute path
	Privileged      bool     `json:"privileged,omitempty"`
	ReadOnly        bool     `json:"read_only,omitempty"` // with Rootfs "host" true unless the file says false
	Init            bool     `json:"init,omitempty"`
	TTY             bool     `json:"tty,omitempty"`
	StdinOpen       bool     `json:"stdin_open,omitempty"`

	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	StopSignal      string         `json:"stop_signal,omitempty"`       // "" the image's, else SIGTERM
	StopGracePeriod *time.Duration `json:"stop_grace_period,omitempty"` // nil: 10 s

	Logging *Logging `json:"logging,omitempty"` // nil: rotated files, with the defaults of package logfile

	PreStart  []Hook `json:"pre_start,omitempty"`
	PostStart []Hook `json:"post_start,omitempty"`
	PreStop   []Hook `json:"pre_stop,omitempty"`

	Restart     string       `json:"restart,omitempty"`     // "": no; "always", "unless-stopped", "on-failure", "on-failure:3"
	Healthcheck *Healthcheck `json:"healthcheck,omitempty"` // nil: the image's HEALTHCHECK, if it has one
	// NoHealthcheck switches the image's off, too: test: [NONE], disable: true.
	NoHealthcheck bool         `json:"no_healthcheck,omitempty"`
	DependsOn     []Dependency `json:"depends_on,omitempty"`
	Replicas      *Replicas    `json:"replicas,omitempty"` // nil: one container, called as the profile

	CPUs      float64 `json:"cpus,omitempty"`       // 0: no limit
	CPUSet    string  `json:"cpuset,omitempty"`     // "0-3,8"
	MemLimit  int64   `json:"mem_limit,omitempty"`  // bytes
	PidsLimit int64   `json:"pids_limit,omitempty"` // -1: none

	CPUShares      int64   `json:"cpu_shares,omitempty"`      // 0: not said, as of all of these
	CPUPeriod      int64   `json:"cpu_period,omitempty"`      // µs
	CPUQuota       int64   `json:"cpu_quota,omitempty"`       // µs; -1: no limit
	CPURTPeriod    int64   `json:"cpu_rt_period,omitempty"`   // µs
	CPURTRuntime   int64   `json:"cpu_rt_runtime,omitempty"`  // µs
	CPUReservation float64 `json:"cpu_reservation,omitempty"` // processors that have to be there (deploy.resources.reservations.cpus)
	MemReservation int64   `json:"mem_reservation,omitempty"` // bytes
	MemSwapLimit   int64   `json:"memswap_limit,omitempty"`   // bytes of memory and swap; -1: no limit
	MemSwappiness  *int64  `json:"mem_swappiness,omitempty"`  // 0 to 100
	OOMKillDisable bool    `json:"oom_kill_disable,omitempty"`
	OOMScoreAdj    *int    `json:"oom_score_adj,omitempty"`
	BlkIO          *BlkIO  `json:"blkio_config,omitempty"`

	DeviceRules []DeviceRule `json:"device_cgroup_rules,omitempty"`

	PID          string  `json:"pid,omitempty"`           // "" its own, "host", "container:NAME"
	UTS          string  `json:"uts,omitempty"`           // "" its own, "host"
	Userns       string  `json:"userns_mode,omitempty"`   // "", "host" or "private": "auto" is that
	Cgroup       string  `json:"cgroup,omitempty"`        // "" by cgroup version, "host", "private"
	CgroupParent string  `json:"cgroup_parent,omitempty"` // absolute, below the cgroups' root
	Umask        *uint32 `json:"umask,omitempty"`

	Sysctls     map[string]string `json:"sysctls,omitempty"`
	ExtraHosts  []Host            `json:"extra_hosts,omitempty"`
	DNS         []string          `json:"dns,omitempty"`
	DNSSearch   []string          `json:"dns_search,omitempty"`
	DNSOpt      []string          `json:"dns_opt,omitempty"`
	Domainname  string            `json:"domainname,omitempty"`
	MACAddress  string            `json:"mac_address,omitempty"`  // of the first network's interface
	NetworkMode string            `json:"network_mode,omitempty"` // "" is "host"; "none", "bridge", "container:NAME"
	Networks    []Network         `json:"networks,omitempty"`     // with "bridge"; none: the one called default
	Links       []Link            `json:"links,omitempty"`
	Ports       []Port            `json:"ports,omitempty"`
	Expose      []string          `json:"expose,omitempty"` // for people: containers of a network reach every port of each other

	Python Python `json:"python"`
	CUDA   string `json:"cuda,omitempty"` // "" or "none": none; "auto", or an absolute path

	Extensions map[string]any `json:"extensions,omitempty"` // x-*

	// Lines tells where a key stands: "image", "volumes[2]", "environment.A", "python.target". A key that came with extends
	// stands in another file.
	Lines map[string]Position `json:"lines,omitempty"`
}

// A Position is a place in a profile's file. Line and Column count from 1.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column,omitempty"`
}

// A Command is compose's command or entrypoint. The string form is split by shell's rules of quoting, as compose
// does; no shell runs.
type Command []string

// An EnvVar is one variable of the container's environment.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Volume is one mount that the profile asks for.
type Volume struct {
	Type     string `json:"type"`             // "bind", "volume", "tmpfs"
	Source   string `json:"source,omitempty"` // absolute host path; a volume's name (docs/profile.md: [a-zA-Z0-9][a-zA-Z0-9_.-]*)
	Target   string `json:"target"`           // absolute path in the container
	ReadOnly bool   `json:"read_only,omitempty"`
	External bool   `json:"external,omitempty"` // a volume that has to be there already

	Anonymous bool   `json:"anonymous,omitempty"` // volume: without a name, the container's own
	Of        string `json:"of,omitempty"`        // of an anonymous one: the container whose it is; "" for this one (volumes_from)
	NoCopy    bool   `json:"no_copy,omitempty"`   // volume: where it is empty, it stays so, whatever the image has there

	Propagation    string `json:"propagation,omitempty"`      // bind: "" is rprivate; [r]private|[r]shared|[r]slave
	CreateHostPath bool   `json:"create_host_path,omitempty"` // bind: make the missing source, a directory
	Recursive      string `json:"recursive,omitempty"`        // bind: "" or "enabled": submounts too; "disabled"; "writable", "readonly" where it is read-only
	Subpath        string `json:"subpath,omitempty"`          // volume: what of it
	Relabel        bool   `json:"relabel,omitempty"`          // bind: options z and Z

	Mount *VolumeMount `json:"mount,omitempty"` // volume: the file system that is mounted at its directory; nil is none

	TmpfsSize    int64    `json:"tmpfs_size,omitempty"`    // bytes; 0: the kernel's default, half of the memory
	TmpfsOptions []string `json:"tmpfs_options,omitempty"` // of mount(8), in place of the defaults: "exec", "uid=1000"
	TmpfsMode    uint32   `json:"tmpfs_mode,omitempty"`    // permission bits; 0: 01777

	Key string `json:"key"` // in Lines: "volumes[0]", "tmpfs[1]"
}

// A VolumeMount is what mount(8) is to mount at a volume's directory.
type VolumeMount struct {
	Type    string   `json:"type"`              // "nfs", "tmpfs", "ext4"
	Device  string   `json:"device"`            // as the file system wants it: ":/exports/data", "/dev/sdb1"
	Options []string `json:"options,omitempty"` // "addr=10.0.0.5", "ro"
}

// A Device is one entry of devices: a node, a directory of nodes, or a device by its name.
type Device struct {
	Source      string `json:"source"`
	CDI         bool   `json:"cdi,omitempty"` // Source is CDI's qualified name: vendor/class=name
	Target      string `json:"target"`
	Permissions string `json:"permissions,omitempty"` // "" is "rw"
	Key         string `json:"key"`
}

// A Ulimit is a soft and a hard limit; -1 is unlimited.
type Ulimit struct {
	Soft int64 `json:"soft"`
	Hard int64 `json:"hard"`
}

// A Host is an entry of extra_hosts; IP may be "host-gateway".
type Host struct {
	Name string `json:"name"`
	IP   string `json:"ip"`
}

// Python says which packages of the host the container borrows.
type Python struct {
	Interpreter string   `json:"interpreter,omitempty"` // "" or "none": none; "auto", or an absolute path of an interpreter or environment
	Target      string   `json:"target,omitempty"`      // mount over exactly this directory of the container
	Packages    []string `json:"packages,omitempty"`    // roots of the scan; must be installed
	Precedence  string   `json:"precedence,omitempty"`  // "" or "image": the image's packages first; "host"

	BorrowLibraries string `json:"borrow_libraries,omitempty"` // "" or "auto": libraries that the image lacks are lent; "off"
	InterpreterFrom string `json:"interpreter_from,omitempty"` // "" or "image"; "host": the host's own interpreter runs
}
