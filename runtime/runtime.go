// Package runtime does what a plan says, through containerd. It is the only package that imports containerd's client,
// and the only one with effects. Its state is containerd's: the container's record, written first, is the journal.
package runtime

import (
	"context"
	"io"
	"log/slog"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/plan"
)

// Options say which containerd, and where hostrun's own files lie.
type Options struct {
	Address    string // containerd's socket, absolute
	Namespace  string
	StateDir   string // /run/hostrun: what does not outlive a boot
	DataDir    string // /var/lib/hostrun: named volumes, generated files, logs
	CacheDir   string // /var/cache/hostrun: may be deleted at any time; "" for none
	LibexecDir string // holds hostrun-log, hostrun-init, hostrun-ports, hostrun-reap, hostrun-probe and the shim
	// RuntimeRoot is where the OCI runtime keeps its state; "" for its default, which all containerds of a machine share.
	RuntimeRoot string
	// ContainerdsShim leaves containers of the system's containerd to its own shim.
	ContainerdsShim bool
	// Peers are further containerds in which containers of hostrun may hold devices; nil for none.
	Peers func(context.Context) []*Client
	// ListAhead asks for the containers together with the first call of Open, for a command that surely calls List: List then
	// returns what was there at that moment, the first time.
	ListAhead bool
	// Beside is called in a goroutine of its own with a client that has connected, while Open waits for containerd's first
	// answer; nil for none. What it begins fails if Open does.
	Beside   func(*Client)
	Log      *slog.Logger
	Progress func(Event) // called from several goroutines; nil for none
}

// An Event is one change that a person may want to see while hostrun works.
type Event struct {
	ID      string `json:"id"`                  // "Container dinov2", "Image dinov2:latest", "Layer sha256:..."
	Parent  string `json:"parent_id,omitempty"` // of a layer: its image's ID
	Status  string `json:"status"`
	Text    string `json:"text,omitempty"`
	Details string `json:"details,omitempty"`
	Current int64  `json:"current,omitempty"` // bytes
	Total   int64  `json:"total,omitempty"`   // bytes; 0 when unknown
}

// An UpResult says what Up did.
type UpResult struct {
	ID      string   `json:"id"`
	Action  string   `json:"action"`            // "unchanged", "created", "started", "replaced"
	Changed []string `json:"changed,omitempty"` // of a replacement: "process.args: [...] -> [...]"
	MadeOf  []byte   `json:"-"`                 // of the container that was replaced: plan.Made as JSON; nil where nobody has kept it
}

// IO is the terminal or the pipes of a foreground process.
type IO struct {
	Stdin          io.Reader // nil for none
	Stdout, Stderr io.Writer
	TTY            bool // Stdin is a terminal to be put in raw mode and resized
}

// ExecOptions describe a further process of a running container.
type ExecOptions struct {
	Args       []string
	Env        []string // added: NAME=VALUE
	WorkingDir string
	User       string // uid[:gid] or a name of the container
	TTY        bool
	Privileged bool // with every capability
}

// A Container is one line of `hostrun ps`. Its JSON form is part of the contract.
type Container struct {
	Schema    int      `json:"schema"` // 1
	Profile   string   `json:"profile"`
	Container string   `json:"container"`
	Stack     string   `json:"stack,omitempty"`      // the name of the stack that its profile is of
	StackFile string   `json:"stack_file,omitempty"` // and the stack's file
	Image     string   `json:"image"`
	Status    string   `json:"status"` // "created", "running", "paused", "exited", "unknown" (it ran, and its end was not seen)
	Health    string   `json:"health"`
	PID       int      `json:"pid"`     // 0 unless it runs
	Devices   []string `json:"devices"` // CDI's qualified names
	// DeviceNumbers say how the container counts its devices, and Numbering says it in words: "container 0 = /dev/davinci4 (0000:C1:00.0)".
	DeviceNumbers []plan.DeviceNumber `json:"device_numbers,omitempty"`
	Numbering     []string            `json:"numbering,omitempty"`
	// Ports lead from the host to the container; Networks are its addresses, by network. Of one that runs.
	Ports      []network.Binding   `json:"ports,omitempty"`
	Networks   map[string][]string `json:"networks,omitempty"`
	CreatedAt  time.Time           `json:"created_at"`
	StartedAt  *time.Time          `json:"started_at"`
	FinishedAt *time.Time          `json:"finished_at,omitempty"`
	ExitStatus *int                `json:"exit_status"`          // null while it runs
	OOMKilled  bool                `json:"oom_killed,omitempty"` // the kernel has ended a process of it for want of memory
	// Faults are what drivers have written into the kernel's log about its devices while it had them; filled in by who asks for it.
	Faults []devices.Fault `json:"faults,omitempty"`
	Supervision
}

// A Supervision is what hostrun supervise has done with a container, and will do.
type Supervision struct {
	Restart      string     `json:"restart,omitempty"`       // the profile's policy; "" for no
	Restarts     int        `json:"restarts,omitempty"`      // since a person started it
	RestartAt    *time.Time `json:"restart_at,omitempty"`    // when it is due, of a container that has ended
	Unit         string     `json:"unit,omitempty"`          // the service that it belongs to (plan.Unit.Label): systemd restarts that, and hostrun supervise leaves it alone
	Refused      string     `json:"refused,omitempty"`       // why it is not started again
	RefusedAs    int        `json:"refused_as,omitempty"`    // the exit status that this would have
	Lost         bool       `json:"lost,omitempty"`          // containerd has no record of it, and its process runs
	GivenUp      bool       `json:"given_up,omitempty"`      // containerd can't reach it any more, and its process runs
	StoppedBy    string     `json:"stopped_by,omitempty"`    // "user", or "health": on_failure
	HealthOutput string     `json:"health_output,omitempty"` // of the probe that made it unhealthy
	DependsOn    []string   `json:"depends_on,omitempty"`    // containers
	RestartWith  []string   `json:"restart_with,omitempty"`  // of them, those after whose restart this one is restarted too
}

// LogOptions select lines.
type LogOptions struct {
	Follow       bool
	Tail         int // lines from the end; -1 for all
	Since, Until time.Time
	Timestamps   bool
}

// An ImageInfo is one line of `hostrun images`.
type ImageInfo struct {
	Schema    int        `json:"schema"` // 1
	Name      string     `json:"name"`
	Digest    string     `json:"digest"`
	ID        string     `json:"id,omitempty"` // digest of its configuration, as docker counts images; of this machine's platform
	Platforms []string   `json:"platforms"`
	Size      int64      `json:"size"`               // bytes of content: compressed layers and configuration
	CreatedAt time.Time  `json:"created_at"`         // here: pulled or loaded
	BuiltAt   *time.Time `json:"built_at,omitempty"` // as its configuration says
}
