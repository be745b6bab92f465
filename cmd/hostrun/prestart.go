package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// preStart runs the profile's pre_start, one after another, each in a container of its own, where up is about to make the container:
// not again for one that is there and was made by the same profile. The first that fails ends the start.
func (s *session) preStart(ctx context.Context, client *runtime.Client, facts plan.Facts, pl plan.Plan, recreate bool) error {
	p := &facts.Profile
	if len(p.PreStart) == 0 {
		return nil
	}
	if creates, err := client.WouldCreate(ctx, pl, recreate); err != nil || !creates {
		return err
	}
	for _, h := range p.PreStart {
		if err := s.preStartOne(ctx, client, *p, h, pl.ID); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) preStartOne(ctx context.Context, client *runtime.Client, p profiles.Profile, h profiles.Hook, id string) error {
	name := h.Key
	if at := p.Lines[h.Key]; at.Line > 0 {
		name = fmt.Sprintf("%s (%s:%d)", h.Key, filepath.Base(at.File), at.Line)
	}
	s.progress.event(runtime.Event{ID: "Container " + id, Status: "Running", Text: name})
	q := preStartProfile(p, h)
	var random [4]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails: it ends the program
	facts, pl, err := s.assemble(ctx, order{name: p.Name, loaded: q, id: p.Name + "-pre-" + hex.EncodeToString(random[:]), starts: true})
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
