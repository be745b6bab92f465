package devices

import (
	"context"
	"encoding/json"
	"errors"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// ErrAbsent is what a Source returns on a machine without its hardware and without its driver.
var ErrAbsent = errors.New("no such hardware")

// A Source knows one kind of accelerator: one folder below devices. It reads below the root that it was made with, and never
// starts a process of an image.
type Source interface {
	// Kind is CDI's vendor/class: "nvidia.com/gpu".
	Kind() string
	// Inventory lists the machine's devices. One that is dead or does not answer costs its own health, not the others. It
	// returns ErrAbsent where there is neither hardware nor driver; hardware without a driver is a finding of the inventory.
	Inventory(ctx context.Context, needs Needs) (Inventory, error)
	// Edits describes what a container with the chosen devices needs. What does not fit is a finding. Device numbers are read
	// at this moment: majors are dynamic.
	Edits(inv Inventory, chosen []Device, ask Ask, c Container) (Edits, []finding.Finding)
}

// ReadsImage reports whether the source looks at the image's files (Container.View) to make its edits. One that does not says so by
// a method ReadsImage, and spares each start the look.
func ReadsImage(s Source) bool {
	says, ok := s.(interface{ ReadsImage() bool })
	return !ok || says.ReadsImage()
}

// Needs says what of an inventory the caller can't do without; a Source may answer with more.
type Needs struct {
	Health bool // as it is now, not as it was cached
	Users  bool // processes and containers that hold a device without a lease of ours
}

// An Inventory is what a machine has of one kind, and prints as JSON.
type Inventory struct {
	Kind string `json:"kind"`
	// Fingerprint changes with the boot, the driver, the devices and their partitions, and with nothing else.
	Fingerprint string `json:"fingerprint"`
	Driver      string `json:"driver,omitempty"` // version of the kernel's driver
	// Devices in the order of their index; partitions follow their parent.
	Devices []Device `json:"devices"`
	Links   []Link   `json:"links,omitempty"`
	// Unasked says why what only the vendor's library knows is not known: memory, links, profiles and names of partitions. "" where it was asked.
	Unasked  string            `json:"-"`
	Facts    json.RawMessage   `json:"facts,omitempty"` // the kind's own
	Findings []finding.Finding `json:"findings,omitempty"`
}

// A Device is one accelerator, or one partition of one.
type Device struct {
	Kind string `json:"kind"`
	// Name is CDI's device name and the lease's key: the same after a reboot where the kind allows it.
	Name    string   `json:"name"`
	Index   int      `json:"index"`             // as the vendor's tools count; -1 for a partition
	Aliases []string `json:"aliases,omitempty"` // further names that a profile may use: UUID, PCI address, "0:1"
	Model   string   `json:"model,omitempty"`
	PCI     string   `json:"pci,omitempty"`    // 0000:c1:00.0
	NUMA    int      `json:"numa"`             // node; -1 when unknown
	CPUs    string   `json:"cpus,omitempty"`   // close ones, in cpuset(7)'s list form
	Memory  int64    `json:"memory,omitempty"` // bytes; 0 when unknown
	Parent  string   `json:"parent,omitempty"` // name of the whole device, for a partition
	Profile string   `json:"profile,omitempty"`
	// Group names those that must be taken together: the dies of one card.
	Group  string          `json:"group,omitempty"`
	Nodes  []string        `json:"nodes,omitempty"` // its own device nodes on the host
	Health Health          `json:"health"`
	Users  []User          `json:"users,omitempty"`
	Facts  json.RawMessage `json:"facts,omitempty"` // the kind's own
}

// Health is whether a device can be given to a container.
type Health struct {
	State   string   `json:"state"` // "ok", "warn" (usable), "bad" (not given), "unknown"
	Reasons []string `json:"reasons,omitempty"`
}

// A User holds a device without a lease of ours: a process, or a container of another tool.
type User struct {
	PID  int    `json:"pid,omitempty"`
	Name string `json:"name,omitempty"` // of the program, or "docker container web"
}

// A Link says how close two devices are. Pairs that no Link names are farthest apart.
type Link struct {
	A      string `json:"a"`
	B      string `json:"b"`
	Kind   string `json:"kind"`   // "NV12", "PIX", "HCCS", ...
	Weight int    `json:"weight"` // more is closer; comparable within one inventory only
}

// An Ask is what a profile wants of one kind: gpus, npus.
type Ask struct {
	Kind         string   `json:"kind"`
	All          bool     `json:"all,omitempty"`
	Count        int      `json:"count,omitempty"`
	IDs          []string `json:"ids,omitempty"` // names or aliases as the profile has them, ranges expanded
	Capabilities []string `json:"capabilities,omitempty"`
	MinMemory    int64    `json:"min_memory,omitempty"` // bytes a device
	Idle         bool     `json:"idle,omitempty"`       // only those that nobody uses
	SameLink     bool     `json:"same_link,omitempty"`  // all of one fast interconnect group (same_nvlink)
	Partition    string   `json:"partition,omitempty"`  // profile of a partition: MIG's "1g.10gb"
	Share        int      `json:"share,omitempty"`      // containers that may hold a device at once; 0 is 1, -1 any number
	Optional     bool     `json:"optional,omitempty"`   // run without, where there is none
	Affinity     string   `json:"affinity,omitempty"`   // "" is "prefer"; "strict", "off"
	// Qualified is for IDs that were written as CDI's qualified names: an administrator's CDI file goes before our discovery.
	Qualified bool `json:"qualified,omitempty"`
	// Options are the kind's own: "toolkit" of Ascend, "gds" of NVIDIA.
	Options map[string]string `json:"options,omitempty"`
	Key     string            `json:"key,omitempty"` // in the profile's Lines: "gpus", "npus"
	File    string            `json:"-"`
	Line    int               `json:"-"`
}

// A Container is what a Source may know of the container to be.
type Container struct {
	View *rootfs.View // the image's files, or the host's where it is the root; nil when not known
	Env  []string     // of image and profile, NAME=VALUE
	User uint32       // uid of the process
	Host bool         // its root is the machine's own: nothing new can be made in directories of the system
}

// Edits is what a container needs for its devices: CDI's own form, without hooks, and what CDI has no word for.
type Edits struct {
	specs.ContainerEdits
	// PrependEnv are directories that go before the container's own value of a list variable: LD_LIBRARY_PATH of Ascend, and of NVIDIA on the machine's own root.
	PrependEnv map[string][]string `json:"prepend_env,omitempty"`
	// DropEnv are variables that must not reach the container from image or caller.
	DropEnv []string `json:"drop_env,omitempty"`
	// Passwd asks for a line of /etc/passwd for the container's user, who has none: HCCL of Ascend calls getpwuid(3).
	Passwd bool `json:"passwd,omitempty"`
	// Origins says for each mount and node, by its path in the container, what it is for: "libcuda of driver 550.54.15".
	Origins map[string]string `json:"origins,omitempty"`
	// Probe says what is tried before the container's process runs, besides a look at each node.
	Probe Probe `json:"probe,omitzero"`
}

// A Grant is what a container gets for one Ask: devices that are held for it, and what it needs for them. It prints as JSON, and
// a recording of it replays.
type Grant struct {
	Ask    Ask      `json:"ask"`
	Chosen []Device `json:"chosen"` // empty where the Ask was optional, and there is none
	Edits  Edits    `json:"edits"`
}
