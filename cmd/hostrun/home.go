package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// This file finds containers where they are. A container stays in the containerd that it was made in, also when another
// one would be chosen by now: a package was installed, a service was stopped, --engine was given once.

// A resident is the name of a container and the containerd that it lives in.
type resident struct {
	name   string
	client *runtime.Client // nil: it has yet to be found
}

// presence is what there is of containerds without starting one.
type presence struct {
	there    []opening
	sleeping bool  // the private engine does not run, and has run: it may hold containers
	trouble  error // what kept a containerd from being asked
}

func (s *session) present(ctx context.Context) presence {
	var p presence
	var refused error
	kinds := s.kinds()
	for _, kind := range kinds {
		o := s.reach(ctx, kind)
		switch {
		case o.standing == usable:
			p.there = append(p.there, o)
		case o.standing == unusable && p.trouble == nil:
			p.trouble = s.unusableError(o)
		case o.standing == denied && refused == nil:
			refused = s.deniedError(o.err)
		case o.standing == absent && kind == privateEngine:
			p.sleeping = s.everRan()
		case o.standing == absent && len(kinds) == 1:
			p.trouble = o.err
		}
	}
	if len(p.there) > 0 || p.trouble != nil {
		return p
	}
	if p.trouble = refused; refused == nil {
		if err := engine.Installed(s.layout()); err != nil {
			p.trouble = s.noEngine(err)
		}
	}
	return p
}

// everRan says whether the private engine has something of its own on the disk.
func (s *session) everRan() bool {
	_, err := os.Stat(s.layout().RootDir)
	return err == nil
}

// home returns the containerd that container name lives in. A name without a container gets the one that can say so, or
// that error.
func (s *session) home(ctx context.Context, name string) (*runtime.Client, error) {
	client, err := s.find(ctx, name)
	if err != nil || client != nil && client.MayHave(name) {
		return client, err
	}
	if client != nil {
		if has, err := holds(ctx, client, name); has || err != nil { // its socket has another name by now
			return client, err
		}
	}
	if s.traceOf(name) {
		if err := s.runsUnseen(ctx, name); err != nil {
			return nil, err
		}
	}
	if client == nil {
		return nil, runtime.NoContainer(name)
	}
	return client, nil // it says that there is none
}

// find is home with nil for a name without a container. The private engine is started only for a name that has left
// traces in hostrun's directory and lives in no other.
func (s *session) find(ctx context.Context, name string) (*runtime.Client, error) {
	s.choosing.Lock()
	defer s.choosing.Unlock()
	if client, known := s.homes[name]; known {
		return client, nil
	}
	client, err := s.search(ctx, name)
	if err != nil {
		return nil, err
	}
	if s.homes == nil {
		s.homes = map[string]*runtime.Client{}
	}
	s.homes[name] = client
	return client, nil
}

func (s *session) search(ctx context.Context, name string) (*runtime.Client, error) {
	p := s.present(ctx)
	dormant := p.sleeping && s.traceOf(name)
	if len(p.there) == 1 && p.trouble == nil && !dormant && p.there[0].client.MayHave(name) {
		return p.there[0].client, nil // nobody else to ask
	}
	client, err := s.holder(ctx, p.there, name)
	switch {
	case client != nil || err != nil:
		return client, err
	case dormant:
		woken, err := s.startPrivate(ctx)
		if err != nil {
			return nil, err
		}
		if has, err := holds(ctx, woken, name); has || err != nil {
			return woken, err
		}
		p.there = append(p.there, opening{kind: privateEngine, client: woken})
	case p.trouble != nil:
		return nil, p.trouble
	}
	if len(p.there) > 0 {
		return p.there[0].client, nil // it says that there is none, or whose the name is
	}
	return nil, nil
}

// holder asks which of the containerds has a container of that name.
func (s *session) holder(ctx context.Context, there []opening, name string) (*runtime.Client, error) {
	has := make([]bool, len(there))
	group, gctx := errgroup.WithContext(ctx)
	for i, o := range there {
		group.Go(guard(func() (err error) { has[i], err = holds(gctx, o.client, name); return err }))
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if i := slices.Index(has, true); i >= 0 {
		s.log.Debug("container found", "container", name, "engine", there[i].kind)
		return there[i].client, nil
	}
	return nil, nil
}

// holds says whether the containerd has a container of that name that is hostrun's.
func holds(ctx context.Context, client *runtime.Client, name string) (bool, error) {
	_, err := client.InspectContainer(ctx, name)
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case finding.StatusOf(err) == finding.StatusTryAgain:
		return false, err
	}
	return false, nil // none, or another program's
}

// traceOf says whether a container of that name has a directory, which each one has from its start to its removal.
func (s *session) traceOf(name string) bool {
	_, err := os.Lstat(filepath.Join(s.containersDir(), name))
	return err == nil || errors.Is(err, os.ErrPermission)
}

func (s *session) containersDir() string {
	return filepath.Join(s.abs(s.global.dataDir), "containers", s.global.namespace)
}

// containerdFor returns the containerd in which container name is to run: where it lives already, else the chosen one. A name
// is taken once on a machine, as its directory and its cgroup bear it.
func (s *session) containerdFor(ctx context.Context, name string) (*runtime.Client, error) {
	if !s.traceOf(name) {
		return s.containerd(ctx)
	}
	client, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if client != nil {
		if has, err := holds(ctx, client, name); has || err != nil {
			return client, err
		}
	}
	if err := s.nameFree(ctx, name); err != nil {
		return nil, err
	}
	return s.containerd(ctx)
}

// nameFree refuses a name that a container bears in a containerd that the flags rule out, or in one that is down while the
// container goes on.
func (s *session) nameFree(ctx context.Context, name string) error {
	chosen := s.runtimeOptions(s.kinds()[0]).Address
	for _, kind := range []engineKind{systemEngine, privateEngine} {
		address := s.runtimeOptions(kind).Address
		if slices.Contains(s.kinds(), kind) || address == chosen {
			continue
		}
		client := s.reach(ctx, kind).client
		if kind == privateEngine && client == nil && s.everRan() {
			client, _ = s.startPrivate(ctx) // one that can't be started has no container that runs
		}
		if client == nil {
			continue
		}
		if taken, err := holds(ctx, client, name); err == nil && taken {
			return finding.Errorf(finding.StatusFailed, "use it there, or end it first: hostrun --engine "+string(kind)+" down "+name,
				"container %s: the name is taken in the %s containerd (%s)", name, kind, address)
		}
	}
	return s.runsUnseen(ctx, name)
}

// runsUnseen is the error about a container whose process goes on while its containerd is not there to be asked.
func (s *session) runsUnseen(ctx context.Context, name string) error {
	if address := s.shimOf(ctx, name); address != "" && !s.answers(ctx, address) {
		return finding.Errorf(finding.StatusTryAgain, "use it there: hostrun --address "+address+" ...\nif that containerd is down, start it again: systemctl start containerd",
			"container %s: it runs already, in another containerd (%s)", name, address)
	}
	return nil
}

// answers reports whether the containerd at that address is one of those that this command talks to: then it has been asked
// for the container, and a shim is what is left of one that is being removed.
func (s *session) answers(ctx context.Context, address string) bool {
	return slices.ContainsFunc(s.kinds(), func(kind engineKind) bool {
		return s.runtimeOptions(kind).Address == address && s.reach(ctx, kind).client != nil
	})
}

// A listed container is a line of ps, with the containerd that it lives in.
type listed struct {
	runtime.Container
	Engine engineKind `json:"engine"`

	client *runtime.Client
}

// list returns the containers of all containerds, and what kept one from being asked. The private engine is started
// only if a container has a directory and lives in no other: the engine may have died with containers alive.
func (s *session) list(ctx context.Context) ([]listed, error) {
	p := s.present(ctx)
	all, err := listAll(ctx, p.there)
	troubles := []error{p.trouble, err}
	if p.sleeping && s.unknownTrace(all) {
		client, err := s.startPrivate(ctx)
		if err == nil {
			var more []listed
			more, err = listAll(ctx, []opening{{kind: privateEngine, client: client}})
			all = append(all, more...)
		}
		troubles = append(troubles, err)
	}
	slices.SortStableFunc(all, func(a, b listed) int { return strings.Compare(a.Container.Container, b.Container.Container) })
	return all, severally(troubles)
}

func listAll(ctx context.Context, there []opening) ([]listed, error) {
	found := make([][]listed, len(there))
	var group errgroup.Group
	for i, o := range there {
		group.Go(guard(func() error {
			some, err := o.client.List(ctx, true)
			for _, c := range some {
				found[i] = append(found[i], listed{c, o.kind, o.client})
			}
			return err
		}))
	}
	err := group.Wait()
	return slices.Concat(found...), err
}

// unknownTrace says whether a container has a directory and is not among those known.
func (s *session) unknownTrace(known []listed) bool {
	names, err := s.unknownTraces(known)
	return err != nil || len(names) > 0
}

func (s *session) unknownTraces(known []listed) (names []string, err error) {
	entries, err := os.ReadDir(s.containersDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if !slices.ContainsFunc(known, func(c listed) bool { return c.Container.Container == e.Name() }) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// An unseen container runs in a containerd that does not answer.
type unseen struct{ name, address string }

func (s *session) unseen(ctx context.Context, known []listed) []unseen {
	var all []unseen
	traces, _ := s.unknownTraces(known)
	for _, name := range traces {
		if address := s.shimOf(ctx, name); address != "" && !s.answers(ctx, address) {
			all = append(all, unseen{name, address})
		}
	}
	return all
}

// lives says whether a container has a process.
func (l listed) lives() bool { return l.Status == "running" || l.Status == "paused" }

// forImages returns the chosen containerd for a look at its images; nil where that would be a private engine that has never run
// and so has none.
func (s *session) forImages(ctx context.Context) (*runtime.Client, error) {
	if p := s.present(ctx); len(p.there) == 0 && p.trouble == nil && !p.sleeping {
		return nil, nil
	}
	return s.containerd(ctx)
}

// imageElsewhere adds to the error about a missing image that another containerd has it: after the machine's containerd
// came or went, images are still where they were loaded.
func (s *session) imageElsewhere(ctx context.Context, asked *runtime.Client, name, platform string, cause error) error {
	p := s.present(ctx)
	if p.sleeping {
		if client, err := s.startPrivate(ctx); err == nil {
			p.there = append(p.there, opening{kind: privateEngine, client: client})
		}
	}
	for _, o := range p.there {
		if o.client == asked {
			continue
		}
		if _, err := o.client.EnsureImage(ctx, name, platform, "never"); err == nil {
			within := ""
			if s.line.gave("namespace") {
				within = " --namespace " + s.global.namespace
			}
			hint := fmt.Sprintf("it is in the %s containerd: hostrun%s --engine %s save %s | hostrun%s load", o.kind, within, o.kind, name, within)
			return finding.Errorf(finding.StatusOf(cause), strings.Join(append([]string{hint}, finding.HintOf(cause)...), "\n"), "%w", cause)
		}
	}
	return cause
}

// shimOf is the address of the containerd whose shim keeps a container of that name; "" where none does. The machine's processes are
// looked at once for the members of a stack that start side by side.
func (s *session) shimOf(ctx context.Context, name string) string {
	all, _ := s.shims.Ask(ctx, s.global.namespace, func(context.Context) (map[string]string, error) { return runtime.Shims(s.global.namespace), nil })
	return all[name]
}
