package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// An order is what is to be planned: a profile, as the command line changes it.
type order struct {
	name string // of the profile
	text string // of a profile without a file, instead of name
	id   string // of the container; "" for the profile's name

	replica int // of the profile's; 0 for none

	loaded *profiles.Profile // instead of the one that name leads to: it has been read, or is that of a container that is started again

	over overrides
	pull string // "" for the profile's own pull_policy, "never" for verbs that start nothing

	foreground bool // its streams are the caller's
	strict     bool // warnings of the proof stop the start
	locked     bool // it has to be what the lock says
	hook       bool // of the profile's pre_start, in an image of its own
	modules    bool // the proof shall hold all modules

	again  bool          // of a container that was started before: what came from the environment then is kept with it
	reads  bool          // the contents of secrets and configs, to compare them; whoever starts reads them anyway
	starts bool          // devices that are chosen are held until the container has them
	wait   time.Duration // for devices that others have; forever, or 0 for not at all

	unit *plan.Unit // whose service the container is; nil for none

	layer *headStart   // of a verb that makes the container; may be nil
	ahead *proof.Ahead // a look at the proof of last time, begun before the plan was known
}

// assemble is the way from a name to a plan that up, run, check and spec share; they differ in what they do with it.
// A plan that must not start comes with its facts and a *plan.Refused.
func (s *session) assemble(ctx context.Context, o order) (facts plan.Facts, p plan.Plan, err error) {
	if !o.modules && s.global.cacheDir != "" {
		o.ahead = s.looks.Ahead(s.global.cacheDir, o.name) // each run has an id of its own, and the same proof
	}
	if facts, err = s.gather(ctx, o); err != nil {
		return facts, plan.Plan{}, err
	}
	p, err = plan.Build(facts)
	if err != nil && !plan.AwaitsProof(err) {
		return facts, p, err
	}
	defer func() {
		if err == nil && (o.starts || o.reads) {
			p.Values, err = s.dataValues(facts)
		}
	}()
	// The proof needs the mounts, which the plan has settled; it is one more fact for the plan.
	var failed error
	if facts.Proof, failed = s.prove(ctx, facts, p, o); failed != nil || facts.Proof == nil {
		return facts, p, cmp.Or(failed, err)
	}
	p, err = plan.Build(facts)
	return facts, p, err
}

// gather reads the profile, and then machine and image side by side.
func (s *session) gather(ctx context.Context, o order) (plan.Facts, error) {
	p, err := s.profile(o)
	if err != nil {
		return plan.Facts{}, err
	}
	if err := o.over.apply(s, p); err != nil {
		return plan.Facts{}, err
	}
	held, err := s.heldTo(p, o)
	if err != nil {
		return plan.Facts{Profile: *p}, err
	}
	s.foresee(ctx, p, o)
	facts := plan.Facts{Schema: 1, ID: o.id, Replica: o.replica, Profile: *p, Strict: o.strict, Unit: o.unit, Foreground: o.foreground}
	var found, foundBlocks []finding.Finding
	outer := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.Go(guard(func() (err error) { facts.Host, err = s.probeHost(ctx, hostNeeds(p)); return err }))
	group.Go(guard(func() error { facts.Nodes, found = devices.Nodes(s.root, deviceRequests(p)); return nil }))
	group.Go(guard(func() error { facts.Blocks, foundBlocks = devices.Nodes(s.root, plan.BlkIODevices(p)); return nil }))
	group.Go(guard(func() error { facts.Data = s.lookForData(p, o); return nil }))
	group.Go(guard(func() error { facts.Sources = s.look(plan.BindSources(p)); return nil }))
	e := s.equipment(plan.Asks(p))
	client := sync.OnceValues(func() (*runtime.Client, error) { return s.containerdFor(outer, cmp.Or(o.id, p.Name)) })
	group.Go(guard(func() error {
		return s.askContainerd(ctx, p, o, held, client, &facts, func(client *runtime.Client) { e.borrow(outer, client, facts.Image.Reference, p.Platform) })
	}))
	group.Go(guard(func() error { return e.lookAhead(ctx) }))
	if len(e.asks) > 0 {
		e.reserveAhead(outer, o, plan.Facts{ID: o.id, Profile: *p}, client)
		defer e.early.drop()
	}
	if err := group.Wait(); err != nil {
		return facts, err
	}
	facts.Findings = append(append(facts.Findings, found...), foundBlocks...)
	err = e.grant(outer, o, &facts)
	if held != nil && err == nil {
		facts.Findings = append(facts.Findings, held.differs(s, facts)...)
	}
	return facts, err
}

// profile reads the order's.
func (s *session) profile(o order) (*profiles.Profile, error) {
	if o.loaded != nil {
		p := *o.loaded
		return &p, nil
	}
	if o.text == "" {
		return profiles.Load(s.profileOptions(), o.name)
	}
	dir, err := os.MkdirTemp("", "hostrun-profile-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "host.yaml")
	if err := os.WriteFile(file, []byte(o.text), 0o600); err != nil {
		return nil, err
	}
	p, err := profiles.Load(s.profileOptions(), file)
	if err != nil {
		return nil, err
	}
	for key := range p.Lines { // the file is gone
		p.Lines[key] = profiles.Position{File: "--host"}
	}
	return p, nil
}

// askContainerd fills in image and engine. inspected is called as soon as the image is known.
func (s *session) askContainerd(ctx context.Context, p *profiles.Profile, o order, held *held, reach func() (*runtime.Client, error), facts *plan.Facts, inspected func(*runtime.Client)) error {
	id, policy := cmp.Or(o.id, p.Name), o.pull
	client, err := reach()
	if err != nil {
		return err
	}
	if policy == "" {
		policy = p.PullPolicy
	}
	if p.Build != nil && o.over.image == "" && policy != "always" {
		policy = "never" // what starts has it built before
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(guard(func() (err error) { facts.Engine, err = s.engineFor(ctx, client, p.Runtime); return err }))
	group.Go(guard(func() (err error) { facts.Network, err = client.LookAtNetwork(ctx, p, id); return err }))
	if p.Userns == plan.UsernsPrivate {
		group.Go(guard(func() error {
			ids, err := client.IDs(id, o.starts)
			facts.IDs = &ids
			return err
		}))
	}
	if p.Rootfs == profiles.HostRoot {
		group.Go(guard(func() error { facts.Image = runtime.HostRoot(s.root, plan.Needs(p)); return nil }))
		return group.Wait()
	}
	group.Go(guard(func() error {
		image, err := held.findImage(ctx, client, p, policy)
		if err != nil && p.Build != nil && o.over.image == "" {
			return finding.Errorf(finding.StatusFailed, "hostrun build "+p.Name+" builds it, and so does hostrun up", "image %s: it is not here, and is to be built", p.Image)
		}
		if err != nil {
			return s.imageElsewhere(ctx, client, p.Image, p.Platform, err)
		}
		if facts.Image, err = client.InspectFound(ctx, image, p.Platform, plan.Needs(p)); err == nil {
			o.layer.begin(client, id, facts.Image, p.Platform)
			inspected(client)
		}
		return err
	}))
	return group.Wait()
}

// probeHost reads the machine, once for the members of a stack that start side by side.
func (s *session) probeHost(ctx context.Context, needs host.Needs) (host.Facts, error) {
	return s.hosts.Ask(ctx, fmt.Sprintf("%q", needs), func(ctx context.Context) (facts host.Facts, err error) {
		err = guard(func() (err error) { facts, err = host.Probe(ctx, s.hostOptions(), needs); return err })()
		return facts, err
	})
}

// engineFor is what that containerd can do, asked once for the members of a stack that start side by side.
func (s *session) engineFor(ctx context.Context, client *runtime.Client, asked string) (plan.Engine, error) {
	return s.abilities.Ask(ctx, fmt.Sprintf("%p %s", client, asked), func(ctx context.Context) (e plan.Engine, err error) {
		err = guard(func() (err error) { e, err = client.EngineFor(ctx, asked); return err })()
		return e, err
	})
}

func (s *session) hostOptions() host.Options {
	return host.Options{Root: s.root, Env: s.env, Dir: s.dir, CacheDir: s.global.cacheDir}
}

func hostNeeds(p *profiles.Profile) host.Needs {
	needs := host.Needs{Packages: p.Python.Packages}
	if p.Python.Interpreter != "none" {
		needs.Python = p.Python.Interpreter
	}
	if p.CUDA != "none" {
		needs.CUDA = p.CUDA
	}
	return needs
}

// deviceRequests are the profile's devices; a privileged container gets all nodes of the host, as in docker.
func deviceRequests(p *profiles.Profile) []devices.Request {
	var requests []devices.Request
	if p.Privileged {
		at := p.Lines["privileged"]
		requests = append(requests, devices.Request{Source: "/dev", Destination: "/dev", Access: "rwm", File: at.File, Line: at.Line})
	}
	for _, d := range plan.RawDevices(p) {
		at := p.Lines[d.Key]
		requests = append(requests, devices.Request{
			Source: d.Source, Destination: d.Target, Access: d.Permissions, File: at.File, Line: at.Line,
		})
	}
	return requests
}

// look says what is at each host path.
func (s *session) look(paths []string) map[string]plan.Source {
	sources := make(map[string]plan.Source, len(paths))
	for _, path := range paths {
		info, err := os.Stat(filepath.Join(s.root, path))
		switch {
		case err == nil:
			sources[path] = plan.Source{Exists: true, Dir: info.IsDir()}
		case errors.Is(err, fs.ErrNotExist):
			sources[path] = plan.Source{}
		default:
			sources[path] = plan.Source{Error: err.Error()}
		}
	}
	return sources
}

// containerName is the container of a profile that may be named by its path.
func containerName(name string) string {
	base := filepath.Base(name)
	if file, member, ok := strings.Cut(base, ":"); ok && (strings.HasSuffix(file, ".yaml") || strings.HasSuffix(file, ".yml")) {
		return member // of a stack
	}
	if ext := filepath.Ext(base); ext == ".yaml" || ext == ".yml" {
		return base[:len(base)-len(ext)]
	}
	return base
}
