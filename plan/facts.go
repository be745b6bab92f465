// Package plan turns facts into one OCI runtime spec, or into findings that say why not. It is pure: no file, clock,
// environment or network. The same facts give the same plan, on any machine.
package plan

import (
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"strings"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/profiles"
)

// Facts is everything that a plan depends on. It prints as JSON, and a recording of it replays.
type Facts struct {
	Schema int `json:"schema"` // 1
	// ID of the container; "" is the profile's name. A one-off container of `run` has one of its own.
	ID string `json:"id,omitempty"`
	// Replica counts the containers of a profile with replicas from 1; 0 for the one container of another, and for those of run.
	Replica int              `json:"replica,omitempty"`
	Profile profiles.Profile `json:"profile"`
	Host    host.Facts       `json:"host"`
	Nodes   []devices.Node   `json:"nodes,omitempty"`  // of the profile's devices
	Blocks  []devices.Node   `json:"blocks,omitempty"` // of blkio_config
	// Inventories are of the kinds of accelerators that the profile asks for, and Grants what was chosen of them.
	Inventories []devices.Inventory   `json:"inventories,omitempty"`
	Grants      []devices.Grant       `json:"grants,omitempty"`
	Sources     map[string]Source     `json:"sources,omitempty"` // of bind mounts: host path -> what is there
	Data        map[string]DataSource `json:"data,omitempty"`    // of secrets and configs, by DataKey
	Network     *Network              `json:"network,omitempty"` // nil unless the profile has ports or a bridge
	IDs         *IDRange              `json:"ids,omitempty"`     // nil without a user namespace
	Image       Image                 `json:"image"`
	Engine      Engine                `json:"engine"`
	// Proof says what of the packages loads; nil before it is made, and where nothing is to be proved.
	Proof  *proof.Report `json:"proof,omitempty"`
	Strict bool          `json:"strict,omitempty"` // warnings of the proof stop the start, too
	// Unit says that one process looks after the container and ends with it, as a service; nil for none.
	Unit *Unit `json:"unit,omitempty"`
	// Foreground says that the container's streams are the caller's, as those of `run` are.
	Foreground bool `json:"foreground,omitempty"`
	// Findings of the stages before, of devices and of the image among them; Host's are in Host.
	Findings []finding.Finding `json:"findings,omitempty"`
}

// A Unit is what a container belongs to that `hostrun up --supervise` keeps.
type Unit struct {
	Name   string `json:"name"`             // "hostrun@web.service"; of what is no unit, words for a person
	User   string `json:"user,omitempty"`   // the ID of the user whose systemd runs it; "" for the machine's
	Cgroup string `json:"cgroup,omitempty"` // for the container: below the unit's, which systemd has delegated; "" for one of its own
}

// ofUser joins a unit's name and its user: two of one name are two.
const ofUser = " of user "

// Label is the unit as the container's record has it.
func (u Unit) Label() string {
	if u.User == "" {
		return u.Name
	}
	return u.Name + ofUser + u.User
}

// UnitOf is the unit of a label.
func UnitOf(label string) Unit {
	name, user, _ := strings.Cut(label, ofUser)
	return Unit{Name: name, User: user}
}

// Systemctl is a command line for the unit, as its owner types it.
func (u Unit) Systemctl(verb string) string {
	if u.User == "" {
		return "systemctl " + verb + " " + u.Name
	}
	return "systemctl --user " + verb + " " + u.Name
}

// A Source is what a host path of a bind mount is.
type Source struct {
	Exists bool   `json:"exists"`
	Dir    bool   `json:"dir,omitempty"`
	Error  string `json:"error,omitempty"` // why it could not be looked at, unless it is missing
}

// An Image is what was read of an image without running it.
type Image struct {
	Reference string `json:"reference"` // full: docker.io/library/dinov2:latest
	Digest    string `json:"digest"`    // of the manifest or index that the reference names
	ChainID   string `json:"chain_id"`  // of its layers (image-spec, "Layer ChainID"): key of the snapshot and of caches
	OS        string `json:"os"`
	Arch      string `json:"architecture"`
	Variant   string `json:"variant,omitempty"`

	Env        []string          `json:"env,omitempty"` // NAME=VALUE
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	WorkingDir string            `json:"working_dir,omitempty"`
	User       string            `json:"user,omitempty"`
	StopSignal string            `json:"stop_signal,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	// Healthcheck is docker's HEALTHCHECK: Test as in a profile; nil without one.
	Healthcheck *profiles.Healthcheck `json:"healthcheck,omitempty"`
	Volumes     []string              `json:"volumes,omitempty"` // anonymous volumes that the image declares

	Pythons  []abi.Python   `json:"pythons,omitempty"`  // nil unless Needs.Python
	Sites    []host.Site    `json:"sites,omitempty"`    // of all Pythons: Path, Kind and Modules only
	Packages []host.Package `json:"packages,omitempty"` // distributions in them: Name, Version and Site only
	// Frameworks is what files tell of torch and others in the site directories of each of Pythons, by its Executable; those
	// without any are left out.
	Frameworks map[string]frameworks.Facts `json:"frameworks,omitempty"`

	Users    []User            `json:"users,omitempty"`    // /etc/passwd
	Groups   []Group           `json:"groups,omitempty"`   // /etc/group
	Root     []RootEntry       `json:"root,omitempty"`     // with rootfs: host, which has no reference, digest and layers: the machine's own files that are its root, sorted
	Paths    map[string]Path   `json:"paths,omitempty"`    // those that Needs asked for, and each directory above them
	Findings []finding.Finding `json:"findings,omitempty"` // of reading it
}

// A User is a line of /etc/passwd.
type User struct {
	Name string `json:"name"`
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	Home string `json:"home"`
}

// A Group is a line of /etc/group.
type Group struct {
	Name    string   `json:"name"`
	GID     uint32   `json:"gid"`
	Members []string `json:"members,omitempty"`
}

// A Path is what the image has at a path, links followed. A path that it lacks is absent from Image.Paths.
type Path struct {
	Real    string `json:"real"` // inside the image
	Dir     bool   `json:"dir,omitempty"`
	Mode    uint32 `json:"mode"` // permission bits
	UID     uint32 `json:"uid"`
	GID     uint32 `json:"gid"`
	Entries int    `json:"entries,omitempty"` // of a directory
}

// ImageNeeds says which facts of an image a profile asks for. Its JSON form is part of the image cache's key.
type ImageNeeds struct {
	Python bool `json:"python,omitempty"`
	// Frameworks asks for the interpreters and what is installed for them, where the profile asks for accelerators and lends no packages.
	Frameworks bool     `json:"frameworks,omitempty"`
	Command    []string `json:"command,omitempty"` // [0] is the interpreter that the profile's command names by an absolute path; nil: look at the image's own command
	Path       string   `json:"path,omitempty"`    // the profile's PATH, "" for the image's
	Paths      []string `json:"paths,omitempty"`   // sorted
}

// Engine is what containerd and the OCI runtime of this machine can do, as far as the spec depends on it.
type Engine struct {
	Namespace    string   `json:"namespace"`
	RuntimeName  string   `json:"runtime_name"`            // "io.containerd.runc.v2"
	OCIRuntime   string   `json:"oci_runtime"`             // that the profile asks for or that fits best, with its version: "runc 1.1.5"
	RuntimePath  string   `json:"runtime_path,omitempty"`  // its file; "" leaves containerd's default, runc on its own PATH
	RuntimeRoot  string   `json:"runtime_root,omitempty"`  // where it keeps its state; "" for its default
	RuntimeError string   `json:"runtime_error,omitempty"` // why there is none that can be used
	MountOptions []string `json:"mount_options,omitempty"` // that it knows beyond the classic ones ("rro"), by `runc features`; sorted
	NoFileMax    uint64   `json:"nofile_max,omitempty"`    // hard RLIMIT_NOFILE of the daemon; 0: may be raised at will
	MemlockMax   uint64   `json:"memlock_max,omitempty"`   // likewise, RLIMIT_MEMLOCK in bytes
	// Limits are further hard limits of the daemon that it may not raise, by the names of ulimits; nil: it may, or has none.
	Limits      map[string]uint64 `json:"limits,omitempty"`
	OOMScoreAdj int               `json:"oom_score_adj,omitempty"` // of the daemon (proc(5), oom_score_adj), which a container's process would inherit
	// OOMScoreFixed says that it may not lower it: it has no CAP_SYS_RESOURCE.
	OOMScoreFixed bool             `json:"oom_score_fixed,omitempty"`
	Capabilities  []string         `json:"capabilities,omitempty"` // bounding set of the daemon, "CAP_CHOWN" form: it can give no other; nil: all
	CPUs          string           `json:"cpus,omitempty"`         // processors that a container can be bound to, "0-3,8"; "" where there is no cpuset
	DataDir       string           `json:"data_dir"`               // /var/lib/hostrun: named volumes, generated files, logs
	StateDir      string           `json:"state_dir,omitempty"`    // /run/hostrun, which "" stands for: network namespaces
	InitBinary    string           `json:"init_binary,omitempty"`  // host path of hostrun-init
	Seccomp       *seccomp.Seccomp `json:"seccomp,omitempty"`      // the default profile, conditions not yet evaluated
}

// A Plan is what will be started, and all that must be known about it.
type Plan struct {
	Schema    int    `json:"schema"` // 1
	ID        string `json:"id"`     // of the container: the profile's name
	Profile   string `json:"profile"`
	Namespace string `json:"namespace"`
	Image     string `json:"image"` // full reference
	Digest    string `json:"digest"`
	ChainID   string `json:"chain_id"`       // "" without an image
	Root      *Root  `json:"root,omitempty"` // instead of an image
	Runtime   string `json:"runtime"`        // containerd's runtime name
	// The OCI runtime's file and its root; "" for containerd's defaults.
	RuntimePath string            `json:"runtime_path,omitempty"`
	RuntimeRoot string            `json:"runtime_root,omitempty"`
	Spec        *specs.Spec       `json:"spec"`
	Labels      map[string]string `json:"labels,omitempty"` // of the container: the profile's own and hostrun.dev/*

	Files       []File      `json:"files,omitempty"`       // to write before the start
	Directories []Directory `json:"directories,omitempty"` // to make before the start
	Data        []Data      `json:"data,omitempty"`        // likewise, in memory: secrets and configs
	// Values are the contents of Data, by their Path: read at the start, shown and kept nowhere.
	Values   map[string][]byte `json:"-"`
	Findings []finding.Finding `json:"findings,omitempty"`
	Borrowed []Borrowed        `json:"borrowed,omitempty"`
	// Frameworks are those that the command's Python would import; nil for none.
	Frameworks *frameworks.Facts `json:"frameworks,omitempty"`
	Origins    map[string]string `json:"origins,omitempty"` // JSON pointer into the spec -> where it comes from ("profile dinov2.yaml:7", "image", "host python")

	// Source is what the plan was made of, for those who make it again: kept with the container, and nobody else's to read.
	Source []byte `json:"-"`
	// MadeOf is what diff compares a container with later; nil for none. It is called where the container's files are written.
	MadeOf func() []byte `json:"-"`

	// Keeper says that this process is what the container's unit runs.
	Keeper bool `json:"-"`

	Lending Lending     `json:"-"` // what the proof may lend, beyond this plan
	Python  *abi.Python `json:"-"` // that runs the command, where packages are borrowed
	// FromHost says that Python is the host's, at the paths that it has on the host, in an image.
	FromHost bool `json:"-"`

	// Stage is where the mounts lie, while the container is made, whose files have the container's ids; "" without a user namespace.
	Stage string `json:"stage,omitempty"`

	TTY         bool    `json:"tty,omitempty"`
	StdinOpen   bool    `json:"stdin_open,omitempty"`
	Input       string  `json:"input,omitempty"` // the named pipe that a detached process without a terminal reads, on the host
	StopSignal  string  `json:"stop_signal"`
	StopSeconds float64 `json:"stop_seconds"`
	Hash        string  `json:"hash"` // sha256 over spec, files' content, image digest: what `up` compares
}

// A File is generated for the container and bound into it. It lies in the container's own directory.
type File struct {
	Path    string `json:"path"` // on the host
	Content string `json:"content,omitempty"`
	Binary  []byte `json:"binary,omitempty"` // instead of Content, where that is no text
	Mode    uint32 `json:"mode"`

	Fifo bool   `json:"fifo,omitempty"` // a named pipe instead, of this owner
	UID  uint32 `json:"uid,omitempty"`
	GID  uint32 `json:"gid,omitempty"`
}

// Bytes are those of the file.
func (f File) Bytes() []byte {
	if f.Binary != nil {
		return f.Binary
	}
	return []byte(f.Content)
}

// A Directory is made on the host unless it exists: a named volume, or a bind source with create_host_path.
type Directory struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`

	Mount    *profiles.VolumeMount `json:"mount,omitempty"`    // what is mounted at it
	External string                `json:"external,omitempty"` // the name of a volume that is not made here: it has to be there
	// Copy is a directory of the image that is copied into an empty one, with its owners and modes; not part of what makes a container
	// another one.
	Copy string `json:"copy,omitempty"`
}

// Borrowed is something of the host that the container reads.
type Borrowed struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Bytes       int64  `json:"bytes"` // 0 when not measured
	For         string `json:"for"`   // "python", "cuda", or the package that needs it
	// Kind is "" for what the profile names, "library" for one that the image lacks, "link" and "source" for places that the
	// packages lead to, "interpreter" and "stdlib" for parts of the host's Python.
	Kind string `json:"kind,omitempty"`
}
