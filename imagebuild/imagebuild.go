// Package imagebuild has a program of the machine build an image: BuildKit's buildctl, docker or buildah, whichever answers first. hostrun
// has no builder of its own. What they build comes back as an archive.
package imagebuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"hostrun.dev/hostrun/profiles"
)

// An Order is what is to be built.
type Order struct {
	Name  string // of the image, in full: docker.io/library/app:latest
	Build profiles.Build
	Env   []string  // of the builder, NAME=VALUE
	Log   io.Writer // what the builder says; may be nil

	dir   string   // of ours, removed afterwards
	names []string // Name, and the tags in full
}

// A Builder is a program that answered.
type Builder struct {
	Name    string // "buildkit", "docker", "buildah"
	Version string // as it says it
	program string
	address string // of buildkitd
	buildx  bool   // docker's
	build   func(b *Builder, ctx context.Context, o *Order, load func(io.Reader) error) error
}

// Names are the builders in the order in which they are tried.
var Names = []string{"buildkit", "docker", "buildah"}

// A NoneError says that nothing can build here, and why each did not.
type NoneError struct {
	Tried []string // one sentence each
}

func (e *NoneError) Error() string {
	return "nothing that builds images answers: " + strings.Join(e.Tried, "; ")
}

// A FailedError is the end of a builder that did not succeed.
type FailedError struct {
	Builder string
	Status  int
	Last    string // its last lines
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("%s ended with status %d", e.Builder, e.Status)
}

// answerWait bounds how long a builder may take to say that it is there: a daemon that hangs is none.
const answerWait = 10 * time.Second

// Find returns the first builder that answers; with which not empty, that one or an error. env is the caller's environment.
func Find(ctx context.Context, env map[string]string, which string) (*Builder, error) {
	none := &NoneError{}
	for _, find := range []struct {
		name string
		find func(context.Context, map[string]string) (*Builder, string)
	}{{"buildkit", findBuildKit}, {"docker", findDocker}, {"buildah", findBuildah}} {
		if which != "" && which != find.name {
			continue
		}
		b, why := find.find(ctx, env)
		if b != nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		none.Tried = append(none.Tried, why)
	}
	return nil, none
}

// Build has the image built, and hands its archive to load, more than once where the builder gives one name at a time.
func (b *Builder) Build(ctx context.Context, o Order, load func(io.Reader) error) error {
	dir, err := os.MkdirTemp("", "hostrun-build-")
	if err != nil {
		return fmt.Errorf("build %s: %w", o.Name, err)
	}
	defer os.RemoveAll(dir)
	o.dir, o.names = dir, append([]string{o.Name}, o.Build.Tags...)
	if o.Build.DockerfileInline != "" {
		o.Build.Dockerfile = filepath.Join(dir, "Dockerfile")
		if err := os.WriteFile(o.Build.Dockerfile, []byte(o.Build.DockerfileInline), 0o600); err != nil {
			return fmt.Errorf("build %s: %w", o.Name, err)
		}
	}
	return b.build(b, ctx, &o, load)
}

// ask runs a program for its first answer.
func ask(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	if text, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n"); text != "" {
		err = errors.New(text)
	}
	return "", err
}

// run runs the builder. What it says goes to the log, and its last lines into the error. out, if not nil, takes its standard output.
func (b *Builder) run(ctx context.Context, o *Order, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, b.program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = o.Env
	last := &tail{}
	cmd.Stderr = last
	if o.Log != nil {
		cmd.Stderr = io.MultiWriter(o.Log, last)
	}
	cmd.Stdout = cmd.Stderr
	if out != nil {
		cmd.Stdout = out
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return &FailedError{Builder: b.Name, Status: exit.ExitCode(), Last: last.String()}
	}
	return fmt.Errorf("run %s: %w", b.program, err)
}

// pipe runs the builder and hands its standard output to load.
func (b *Builder) pipe(ctx context.Context, o *Order, load func(io.Reader) error, args ...string) error {
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := b.run(ctx, o, w, args...)
		_ = w.CloseWithError(err) // nil is the end of the archive
		ended <- err
	}()
	err := load(r)
	_ = r.CloseWithError(errors.New("the archive was not taken"))
	if failed := <-ended; failed != nil && (err == nil || isFailure(failed)) {
		return failed
	}
	return err
}

func isFailure(err error) bool {
	var failed *FailedError
	return errors.As(err, &failed)
}

// A tail keeps the last bytes of what is written to it.
type tail struct{ b []byte }

const tailBytes = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 2*tailBytes {
		t.b = append([]byte{}, t.b[len(t.b)-tailBytes:]...)
	}
	return len(p), nil
}

// String are the last ten lines.
func (t *tail) String() string {
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
