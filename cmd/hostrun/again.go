package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
	"hostrun.dev/hostrun/supervise"
)

// This file starts a container again for hostrun supervise: in a process of its own, for a proof takes memory that would stay, and
// finds its Python by an environment that is not the supervisor's.

// A recorded is what a container's plan was made of. The profile is as up took it, with the command line's changes: a file
// that is edited since is for the next up.
type recorded struct {
	Schema  int               `json:"schema"` // 1
	Profile profiles.Profile  `json:"profile"`
	ID      string            `json:"id,omitempty"` // of the container, where that is not the profile's name
	Replica int               `json:"replica,omitempty"`
	Strict  bool              `json:"strict,omitempty"`
	Locked  bool              `json:"locked,omitempty"`    // a restart is held to the lock, too
	Lock    string            `json:"lock_file,omitempty"` // that the command line names
	Dir     string            `json:"dir"`                 // of the caller
	Env     map[string]string `json:"env"`                 // of it, what leads to an interpreter
}

// sourceOf returns what is kept with the container.
func (s *session) sourceOf(facts plan.Facts, locked bool) []byte {
	r := recorded{Schema: 1, Profile: facts.Profile, ID: facts.ID, Replica: facts.Replica, Strict: facts.Strict, Locked: locked, Dir: s.dir, Env: map[string]string{}}
	if s.global.lockFile != "" {
		r.Lock = s.abs(s.global.lockFile)
	}
	for name, value := range s.env {
		if leadsToPython(name) {
			r.Env[name] = value
		}
	}
	b, err := json.Marshal(r)
	if err != nil { // the profile prints as JSON in facts, too
		s.log.Warn("keep the profile with the container", "error", err)
		return nil
	}
	return b
}

// leadsToPython says whether package host reads the variable.
func leadsToPython(name string) bool {
	for _, prefix := range []string{"PYTHON", "_PYTHON", "PYENV_", "CONDA_", "XDG_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "PATH" || name == "HOME" || name == "VIRTUAL_ENV" || name == "LD_LIBRARY_PATH"
}

type againOptions struct{ created string }

func againCommand(s *session) *cli.Command {
	var o againOptions
	return &cli.Command{
		Name: againVerb, Hidden: true, ArgsUsage: "NAME",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "created", Destination: &o.created}},
		Action: action(func(ctx context.Context) error { return runAgain(ctx, s, o) }),
	}
}

const againVerb = "__again"

func runAgain(ctx context.Context, s *session, o againOptions) error {
	names, err := s.names(wants{what: "container", min: 1, max: 1}, false)
	if err != nil {
		return err
	}
	lessLikelyKilled("0")
	client, err := s.containerd(ctx)
	if err != nil {
		return err
	}
	source, created, err := client.Source(ctx, names[0])
	if errors.Is(err, runtime.ErrNoContainer) || err == nil && created.Format(time.RFC3339Nano) != o.created {
		return nil // somebody has removed it
	}
	if err != nil {
		return err
	}
	var r recorded
	if err := json.Unmarshal(source, &r); err != nil || r.Profile.Name == "" {
		return finding.Errorf(finding.StatusProfile, "hostrun up "+names[0]+" makes it anew", "restart container %s: what it was made of can't be read: %w", names[0], err)
	}
	s.env, s.dir, s.global.lockFile = r.Env, r.Dir, r.Lock
	if _, timed := profiles.PullAge(r.Profile.PullPolicy); timed || r.Profile.PullPolicy == "always" { // at a start by a person; a crash is no reason
		r.Profile.PullPolicy = "missing"
	}
	facts, pl, err := s.assemble(ctx, order{name: r.Profile.Name, id: r.ID, replica: r.Replica, loaded: &r.Profile, strict: r.Strict, locked: r.Locked, starts: true, again: true})
	defer s.unreserve(facts)
	var refused *plan.Refused
	if errors.As(err, &refused) && !ofLock(refused.Findings) && client.OtherImage(ctx, pl) {
		err = nil // it is about an image that the container is not made of
	}
	if err != nil {
		return err
	}
	pl.MadeOf = madeOf(facts, pl)
	_, err = client.Again(ctx, pl, created)
	return err
}

// again starts the container in a process of its own, which outlives this one.
func (o *overseer) again(ctx context.Context, c supervise.Container) error {
	cmd, err := o.s.background(o.client.Address(), againVerb, "--created="+c.Created.Format(time.RFC3339Nano), c.ID)
	if err != nil {
		return err
	}
	var words bytes.Buffer
	cmd.Stderr = &words
	if err := cmd.Start(); err != nil {
		return err
	}
	err = cmd.Wait()
	if err == nil {
		return nil
	}
	status := finding.StatusTryAgain // of one that was killed
	if code := cmd.ProcessState.ExitCode(); code > 0 {
		status = code
	}
	return &finding.Err{Status: status, Err: errors.New(lastError(words.String(), err))}
}

// lastError is what the command says it failed for.
func lastError(words string, err error) string {
	var lines []string
	for line := range strings.Lines(words) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "hostrun: error: "); ok {
			lines = append(lines, text)
		} else if strings.HasPrefix(line, "error") { // a finding
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) == 0 {
		return strings.TrimSpace(words + err.Error())
	}
	return strings.Join(lines, "; ")
}

// wake brings the private engine up, in which containers wait to be started again: it has died, or the machine has booted.
func (o *overseer) wake(ctx context.Context) error {
	_, err := engine.Ensure(ctx, o.s.layout(), nil)
	return err
}
