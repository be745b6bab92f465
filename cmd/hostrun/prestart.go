package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"sync"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// preStart runs the profile's pre_start, one after another, each in a container of its own, where up is about to make the container:
// not again for one that is there and was made by the same profile. The first that fails ends the start.
func (s *session) preStart(ctx context.Context, m *member, facts plan.Facts, pl plan.Plan, o upOptions) error {
	p, client := &facts.Profile, m.client
	if len(p.PreStart) == 0 {
		return nil
	}
	if creates, err := client.WouldCreate(ctx, pl, o.recreate); err != nil || !creates {
		return err
	}
	for _, h := range p.PreStart {
		run := func() error { return s.preStartOne(ctx, client, *p, h, pl.ID, o.locked) }
		prepared := m.prepared
		if h.PerReplica {
			prepared = nil
		}
		if err := prepared.once(h.Key, run); err != nil {
			return err
		}
	}
	return nil
}

// A preparation is what is done once for all replicas of a profile: each of them waits for it.
type preparation struct {
	mu   sync.Mutex
	done map[string]func() error
}

// once calls fn, unless that was done for the key; nil always does.
func (p *preparation) once(key string, fn func() error) error {
	if p == nil {
		return fn()
	}
	p.mu.Lock()
	if p.done[key] == nil {
		p.done[key] = sync.OnceValue(fn)
	}
	fn = p.done[key]
	p.mu.Unlock()
	return fn()
}

func (s *session) preStartOne(ctx context.Context, client *runtime.Client, p profiles.Profile, h profiles.Hook, id string, locked bool) error {
	name := h.Key
	if at := p.Lines[h.Key]; at.Line > 0 {
		name = fmt.Sprintf("%s (%s:%d)", h.Key, filepath.Base(at.File), at.Line)
	}
	s.progress.event(runtime.Event{ID: "Container " + id, Status: "Running", Text: name})
	q := preStartProfile(p, h)
	var random [4]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails: it ends the program
	facts, pl, err := s.assemble(ctx, order{name: p.Name, loaded: q, id: p.Name + "-pre-" + hex.EncodeToString(random[:]), starts: true, locked: locked && h.Image != "", hook: true})
	defer s.unreserve(facts)
	var words []string
	if h.Command != nil {
		words = *h.Command
	}
	if err != nil {
		return finding.Errorf(finding.StatusOf(err), "", "container %s: %s: %w", id, name, err)
	}
	var out runtime.LastWords
	status, err := client.Run(ctx, pl, runtime.IO{Stdout: &out, Stderr: &out}, nil)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return runtime.HookError(id, name, words, status, err, &out)
}

// preStartProfile is the container's profile with the hook's changes. Its accelerators, ports, aliases and addresses are left to the
// container, and so is what only somebody who stays needs.
func preStartProfile(p profiles.Profile, h profiles.Hook) *profiles.Profile {
	p.GPUs, p.NPUs, p.Devices = nil, nil, plan.RawDevices(&p)
	p.Restart, p.Healthcheck, p.DependsOn = "", nil, nil
	p.PreStart, p.PostStart, p.PreStop = nil, nil, nil
	p.TTY, p.StdinOpen = false, false
	runOptions{}.fitNetwork(&p)
	if h.Image != "" { // nothing of what fits the profile's image fits this one
		p.UseImage(h.Image)
		p.Entrypoint, p.Command, p.User, p.WorkingDir = nil, nil, "", ""
		p.Python, p.CUDA, p.Platform = profiles.Python{}, "", ""
	}
	if h.Command != nil {
		p.Command = h.Command
	}
	if h.User != "" {
		p.User = h.User
	}
	if h.WorkingDir != "" {
		p.WorkingDir = h.WorkingDir
	}
	p.Privileged = p.Privileged || h.Privileged
	p.Environment = append(append([]profiles.EnvVar{}, p.Environment...), h.Environment...)
	return &p
}
