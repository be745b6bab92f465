// Package runtime does what a plan says, through containerd. It is the only package that imports containerd's client,
// and the only one with effects. Its state is containerd's: the container's record, written first, is the journal.
package runtime

import (
	"context"
	"io"
	"log/slog"
	"time"

	"hostrun.dev/hostrun/plan"
)

// Options say which containerd, and where hostrun's own files lie.
type Options struct {
	Address    string // containerd's socket, absolute
	Namespace  string
	StateDir   string // /run/hostrun: what does not outlive a boot
	DataDir    string // /var/lib/hostrun: named volumes, generated files, logs
	CacheDir   string // /var/cache/hostrun: may be deleted at any time; "" for none
	LibexecDir string // holds hostrun-log and hostrun-init
	Log        *slog.Logger
	Progress   func(Event) // called from several goroutines; nil for none
}

// An Event is one change that a person may want to see while hostrun works.
type Event struct {
	ID      string `json:"id"` // "Container dinov2", "Image dinov2:latest", "Layer sha256:..."
	Status  string `json:"status"`
	Text    string `json:"text,omitempty"`
	Current int64  `json:"current,omitempty"` // bytes
	Total   int64  `json:"total,omitempty"`   // bytes; 0 when unknown
}

// A Client talks to one containerd in one namespace. It is safe for concurrent use.
type Client struct{}

// Open connects to containerd. Its errors carry status 75 (no daemon, a hanging one) or 77 (no permission), and what to type.
func Open(ctx context.Context, opt Options) (*Client, error) { panic("runtime: being written") }

// Close ends the connection. Containers go on.
func (c *Client) Close() error { panic("runtime: being written") }

// Engine reports what this containerd and its OCI runtime can do.
func (c *Client) Engine(ctx context.Context) (plan.Engine, error) { panic("runtime: being written") }

// EnsureImage makes the image present by the profile's pull_policy and returns its full reference.
func (c *Client) EnsureImage(ctx context.Context, ref, platform, policy string) (string, error) {
	panic("runtime: being written")
}

// Inspect reads the image's configuration and files: no process, no mount or snapshot is left. What it finds wrong with
// the image is in the result's findings; the error is for an image that is not there (with where it is, if it is
// elsewhere) or can't be read.
func (c *Client) Inspect(ctx context.Context, ref, platform string, needs plan.ImageNeeds) (plan.Image, error) {
	panic("runtime: being written")
}

// An UpResult says what Up did.
type UpResult struct {
	ID      string   `json:"id"`
	Action  string   `json:"action"`            // "unchanged", "created", "started", "replaced"
	Changed []string `json:"changed,omitempty"` // of a replacement: "process.args: [...] -> [...]"
}

// Up makes the container of the plan exist and run, detached. It does nothing if the same plan already runs, and
// replaces the container if the plan's hash differs or force is set.
func (c *Client) Up(ctx context.Context, pl plan.Plan, force bool) (UpResult, error) {
	panic("runtime: being written")
}

// IO is the terminal or the pipes of a foreground process.
type IO struct {
	Stdin          io.Reader // nil for none
	Stdout, Stderr io.Writer
	TTY            bool // Stdin is a terminal to be put in raw mode and resized
}

// Run starts a one-off container of the plan in the foreground and returns its exit status (128+n for a signal). The
// container is removed afterwards, in the background but never lost. Signals that ctx's owner wants delivered come
// through signals; a cancelled ctx stops the container.
func (c *Client) Run(ctx context.Context, pl plan.Plan, stdio IO, signals <-chan string) (int, error) {
	panic("runtime: being written")
}

// Attach follows the output of a detached container until it ends and returns its exit status.
func (c *Client) Attach(ctx context.Context, name string, stdio IO, signals <-chan string) (int, error) {
	panic("runtime: being written")
}

// Start starts the stopped container again, with the spec that it has.
func (c *Client) Start(ctx context.Context, name string) error { panic("runtime: being written") }

// Stop sends the stop signal, waits for timeout (nil: the container's own stop_grace_period) and kills what is left.
// Output and exit status stay.
func (c *Client) Stop(ctx context.Context, name string, timeout *time.Duration) error {
	panic("runtime: being written")
}

// Kill sends a signal ("SIGUSR1", "TERM", "9").
func (c *Client) Kill(ctx context.Context, name, signal string) error { panic("runtime: being written") }

// Remove deletes the container, its snapshot, files and log. A running one is refused unless force is set.
func (c *Client) Remove(ctx context.Context, name string, force bool) error {
	panic("runtime: being written")
}

// Wait returns the container's exit status once it has ended.
func (c *Client) Wait(ctx context.Context, name string) (int, error) { panic("runtime: being written") }

// ExecOptions describe a further process of a running container.
type ExecOptions struct {
	Args       []string
	Env        []string // added: NAME=VALUE
	WorkingDir string
	User       string // uid[:gid] or a name of the container
	TTY        bool
}

// Exec runs a process in the running container and returns its exit status.
func (c *Client) Exec(ctx context.Context, name string, opt ExecOptions, stdio IO, signals <-chan string) (int, error) {
	panic("runtime: being written")
}

// A Container is one line of `hostrun ps`. Its JSON form is part of the contract.
type Container struct {
	Schema     int        `json:"schema"` // 1
	Profile    string     `json:"profile"`
	Container  string     `json:"container"`
	Image      string     `json:"image"`
	Status     string     `json:"status"` // "created", "running", "paused", "exited", "unknown" (it ran, and its end was not seen)
	Health     string     `json:"health"`
	PID        int        `json:"pid"` // 0 unless it runs
	Devices    []string   `json:"devices"`
	CreatedAt  time.Time  `json:"created_at"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	ExitStatus *int       `json:"exit_status"` // null while it runs
}

// List returns the containers of the namespace that are hostrun's, by name; ended ones too if all is set.
func (c *Client) List(ctx context.Context, all bool) ([]Container, error) {
	panic("runtime: being written")
}

// InspectContainer returns everything that is known of a container, as JSON shows it.
func (c *Client) InspectContainer(ctx context.Context, name string) (any, error) {
	panic("runtime: being written")
}

// LogOptions select lines.
type LogOptions struct {
	Follow       bool
	Tail         int // lines from the end; -1 for all
	Since, Until time.Time
	Timestamps   bool
}

// Logs writes the container's output to stdout and stderr, each line where it was written.
func (c *Client) Logs(ctx context.Context, name string, opt LogOptions, stdout, stderr io.Writer) error {
	panic("runtime: being written")
}

// An ImageInfo is one line of `hostrun images`.
type ImageInfo struct {
	Schema    int       `json:"schema"` // 1
	Name      string    `json:"name"`
	Digest    string    `json:"digest"`
	Platforms []string  `json:"platforms"`
	Size      int64     `json:"size"` // bytes of content: compressed layers and configuration
	CreatedAt time.Time `json:"created_at"`
}

// Images lists the namespace's images by name.
func (c *Client) Images(ctx context.Context) ([]ImageInfo, error) { panic("runtime: being written") }

// Pull fetches and unpacks an image; a broken transfer is taken up where it ended. It returns the full reference.
func (c *Client) Pull(ctx context.Context, ref, platform string) (string, error) {
	panic("runtime: being written")
}

// Load imports and unpacks a docker-save or OCI archive, checks its digests, and returns the names of the images. name,
// if not empty, is given to an archive that names none.
func (c *Client) Load(ctx context.Context, archive io.Reader, name string) ([]string, error) {
	panic("runtime: being written")
}

// Save writes images as one archive that docker load and hostrun load read.
func (c *Client) Save(ctx context.Context, refs []string, w io.Writer) error {
	panic("runtime: being written")
}

// RemoveImage deletes an image that no container uses; force deletes it all the same.
func (c *Client) RemoveImage(ctx context.Context, ref string, force bool) error {
	panic("runtime: being written")
}
