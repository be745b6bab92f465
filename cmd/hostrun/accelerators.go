package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/devices/cdi"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/rootfs"
	"hostrun.dev/hostrun/runtime"
)

// discoveries are hostrun's own sources of accelerators, a line a kind.
var discoveries = []func(s *session) devices.Source{
	func(s *session) devices.Source { return nvidia.New(s.root, s.nvidiaOptions()...) },
	func(s *session) devices.Source { return ascend.New(s.root, s.ascendOptions()...) },
}

// nvidiaOptions let NVML, which speaks of the running machine alone, be asked about no other root.
func (s *session) nvidiaOptions() []nvidia.Option {
	options := []nvidia.Option{nvidia.WithCache(s.global.cacheDir)}
	if s.root == "/" {
		options = append(options, nvidia.WithChild(filepath.Join(s.libexecDir(), "hostrun-nvml")))
	}
	return options
}

func (s *session) ascendOptions() []ascend.Option {
	options := []ascend.Option{ascend.NPUSMI(s.npuSMI)}
	if s.global.cacheDir != "" {
		options = append(options, ascend.Remember(s.abs(s.global.cacheDir), s.askNPUsLater))
	}
	return options
}

// npuSMI runs the vendor's tool where its installer leaves it.
func (s *session) npuSMI(ctx context.Context, args ...string) ([]byte, error) {
	for _, dir := range []string{"/usr/local/bin", "/usr/local/sbin"} {
		program := filepath.Join(s.root, dir, "npu-smi")
		if _, err := os.Stat(program); err == nil {
			cmd := exec.CommandContext(ctx, program, args...)
			cmd.WaitDelay = time.Second // a child of it that holds its output
			return cmd.Output()
		}
	}
	return nil, fmt.Errorf("npu-smi: %w", fs.ErrNotExist)
}

// equipment is what this machine has of accelerators, as far as one command has asked.
type equipment struct {
	s       *session
	own     map[string]devices.Source // by kind
	openCDI func() *cdi.Registry

	asks  []devices.Ask // of one profile
	ahead []devices.Inventory
	ready bool // ahead is what was found, and nobody has taken it
	seen  chan struct{}
	early *earlyReservation // nil for none
	image *loan             // for sources that look at the image's files; nil for none

	mu     sync.Mutex
	absent map[string]bool // kinds that hostrun's own discovery has not found
}

// equipment looks at nothing yet; asks are those of the profile that it is for, if it is for one.
func (s *session) equipment(asks []devices.Ask) *equipment {
	e := &equipment{s: s, asks: asks, own: map[string]devices.Source{}, absent: map[string]bool{}, seen: make(chan struct{})}
	for _, discover := range discoveries {
		source := discover(s)
		e.own[source.Kind()] = source
	}
	e.openCDI = sync.OnceValue(func() *cdi.Registry { return cdi.Open(s.root, strings.Split(s.global.cdiDirs, ",")) })
	return e
}

// kinds are all that the machine may have: those that hostrun finds itself, and those of CDI files.
func (e *equipment) kinds() []string {
	kinds := e.openCDI().Kinds()
	for kind := range e.own {
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// look lists the devices of one kind: hostrun's own discovery, else what CDI files describe. Where the profile has qualified
// names, an administrator's file goes before, and its devices are told by the names of both.
func (e *equipment) look(ctx context.Context, kind string, qualified bool, needs devices.Needs) (devices.Inventory, error) {
	inv, err := devices.Inventory{}, devices.ErrAbsent
	if own := e.own[kind]; own != nil {
		if inv, err = own.Inventory(ctx, needs); err != nil && !errors.Is(err, devices.ErrAbsent) {
			return inv, err
		}
		e.mu.Lock()
		e.absent[kind] = err != nil
		e.mu.Unlock()
	}
	none := len(inv.Devices) == 0 // absent, or reached in a way that only a file describes: WSL, Jetson
	if !none && !qualified || !e.openCDI().Has(kind) {
		return inv, err
	}
	described, absent := e.openCDI().Source(kind).Inventory(ctx, needs)
	switch {
	case absent != nil:
		return inv, err
	case none:
		e.mu.Lock()
		e.absent[kind] = true
		e.mu.Unlock()
		return described, nil
	}
	return cdi.Align(described, inv), nil
}

// sourceFor is who makes the edits for what was chosen for an ask, after its kind has been looked at.
func (e *equipment) sourceFor(a devices.Ask, chosen []devices.Device) devices.Source {
	e.mu.Lock()
	defer e.mu.Unlock()
	own, file := e.own[a.Kind], e.openCDI().Source(a.Kind)
	switch {
	case own == nil, e.absent[a.Kind]:
		return file
	case a.Qualified && file.Describes(chosen):
		return file
	}
	return own
}

// inventories lists the kinds that asks name. A kind that the machine lacks is absent from the result.
func (e *equipment) inventories(ctx context.Context, asks []devices.Ask, needs devices.Needs) ([]devices.Inventory, error) {
	var kinds []string
	qualified := map[string]bool{}
	for _, a := range asks {
		if !slices.Contains(kinds, a.Kind) {
			kinds = append(kinds, a.Kind)
		}
		qualified[a.Kind] = qualified[a.Kind] || a.Qualified
	}
	found := make([]*devices.Inventory, len(kinds))
	group, ctx := errgroup.WithContext(ctx)
	for i, kind := range kinds {
		group.Go(guard(func() error {
			inv, err := e.look(ctx, kind, qualified[kind], needs)
			if errors.Is(err, devices.ErrAbsent) {
				return nil
			}
			found[i] = &inv
			return err
		}))
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []devices.Inventory
	for _, inv := range found {
		if inv != nil {
			all = append(all, *inv)
		}
	}
	return all, nil
}

// lookAhead lists the kinds that are asked for, while other facts are gathered.
func (e *equipment) lookAhead(ctx context.Context) (err error) {
	defer close(e.seen)
	e.ahead, err = e.inventories(ctx, e.asks, e.needs())
	e.ready = err == nil
	return err
}

// borrow has the image's files lent where something that was found will look at them.
func (e *equipment) borrow(ctx context.Context, client *runtime.Client, ref, platform string) {
	<-e.seen
	for _, inv := range e.ahead {
		if own := e.own[inv.Kind]; own != nil && !e.absent[inv.Kind] && devices.ReadsImage(own) {
			e.image = e.s.lend(ctx, client, ref, platform)
			return
		}
	}
}

// lookAgain is what lookAhead has found, the first time, and then what there is at each moment.
func (e *equipment) lookAgain(ctx context.Context) ([]devices.Inventory, error) {
	if e.ready {
		e.ready = false
		return e.ahead, nil
	}
	return e.inventories(ctx, e.asks, e.needs())
}

// needs are who uses what, and, where the profile asks for memory, what the vendor's tool tells of it.
func (e *equipment) needs() devices.Needs {
	return devices.Needs{Users: true, Health: slices.ContainsFunc(e.asks, func(a devices.Ask) bool { return a.MinMemory > 0 })}
}

// grant chooses the accelerators that the profile asks for and holds them, and describes what the container needs for them. What
// can't be had is a finding of the facts.
func (e *equipment) grant(ctx context.Context, o order, facts *plan.Facts) error {
	if !slices.ContainsFunc(e.asks, func(a devices.Ask) bool { return a.Kind == devices.KindNPU }) {
		facts.Findings = append(facts.Findings, fitNPUs(nil, facts, devices.Grant{}, nil)...) // what brings torch_npu is loaded all the same
	}
	if len(e.asks) == 0 {
		return nil
	}
	client, err := e.s.containerdFor(ctx, containerID(facts))
	if err != nil {
		return err
	}
	want := e.want(o, facts)
	want.Ahead = e.early.take()
	r, err := client.Reserve(ctx, want)
	if err != nil {
		return err
	}
	facts.Inventories = r.Inventories
	facts.Findings = append(facts.Findings, r.Findings...)
	facts.Findings = append(facts.Findings, e.lacking(r.Inventories)...)
	facts.Findings = append(facts.Findings, e.fileFindings(r.Inventories)...)
	defer tellMachine(facts)
	if len(finding.Errors(r.Findings)) > 0 {
		return nil
	}
	return e.describe(ctx, facts, r.Chosen)
}

// want is what the container of the facts needs.
func (e *equipment) want(o order, facts *plan.Facts) runtime.Want {
	return runtime.Want{Container: containerID(facts), Asks: e.asks, Wait: o.wait, Dry: !o.starts, Look: e.lookAgain, Numbers: e.s.deviceNumbers}
}

// tellMachine adds what is wrong with the machine's accelerators, whoever uses them, and has not been told: of its errors those who ask
// are told in their refusal.
func tellMachine(facts *plan.Facts) {
	for _, inv := range facts.Inventories {
		for _, f := range inv.Findings {
			refused := slices.ContainsFunc(finding.Errors(facts.Findings), func(o finding.Finding) bool { return o.ID == f.ID && o.Subject == f.Subject })
			if f.Severity != finding.Error && !refused {
				facts.Findings = append(facts.Findings, f)
			}
		}
	}
}

func containerID(facts *plan.Facts) string {
	if facts.ID != "" {
		return facts.ID
	}
	return facts.Profile.Name
}

// lacking tells of asks whose kind the machine lacks.
func (e *equipment) lacking(have []devices.Inventory) []finding.Finding {
	var all []finding.Finding
	for _, a := range e.asks {
		if slices.ContainsFunc(have, func(inv devices.Inventory) bool { return inv.Kind == a.Kind }) {
			continue
		}
		f := finding.Finding{ID: finding.DeviceAbsent, Severity: finding.Error, Subject: a.Key, Got: "neither hardware nor driver, and no CDI file of kind " + a.Kind,
			Message: "this machine has no " + devices.Noun(a.Kind), Remedy: "run it elsewhere, or without: optional: true; hostrun devices lists what there is", File: a.File, Line: a.Line}
		if a.Optional {
			f.ID, f.Severity, f.Remedy = finding.DeviceOptional, finding.Info, ""
			f.Message += "; the container runs without, as optional: says"
		}
		all = append(all, f)
	}
	return all
}

// fileFindings are errors of CDI files, where a kind was looked for in them.
func (e *equipment) fileFindings(have []devices.Inventory) []finding.Finding {
	for _, a := range e.asks {
		known := slices.ContainsFunc(have, func(inv devices.Inventory) bool { return inv.Kind == a.Kind })
		if a.Qualified || !known || e.own[a.Kind] == nil {
			return e.openCDI().Findings()
		}
	}
	return nil
}

// describe adds the grants: each source says what the container needs for what was chosen.
func (e *equipment) describe(ctx context.Context, facts *plan.Facts, chosen [][]devices.Device) error {
	var sources []devices.Source
	reads := false
	for i, a := range e.asks {
		sources = append(sources, e.sourceFor(a, chosen[i]))
		reads = reads || len(chosen[i]) > 0 && devices.ReadsImage(sources[i])
	}
	describe := func(view *rootfs.View) error {
		c := devices.Container{View: view, Env: environment(facts), User: plan.UserID(*facts), Host: facts.Profile.Rootfs == profiles.HostRoot}
		for i, a := range e.asks {
			g := devices.Grant{Ask: a, Chosen: chosen[i]}
			if len(chosen[i]) > 0 {
				var found []finding.Finding
				g.Edits, found = sources[i].Edits(inventoryOf(facts.Inventories, a.Kind), chosen[i], informed(a, facts), c)
				facts.Findings = append(facts.Findings, found...)
			}
			if facts.Profile.Rootfs == profiles.HostRoot {
				for _, m := range g.Edits.Mounts {
					runtime.Targets(view, &facts.Image, m.ContainerPath)
				}
			}
			if fit := fits[a.Kind]; fit != nil {
				facts.Findings = append(facts.Findings, fit(sources[i], facts, g, view)...)
			}
			facts.Grants = append(facts.Grants, g)
		}
		return nil
	}
	switch {
	case facts.Profile.Rootfs == profiles.HostRoot:
		return describe(runtime.HostView(e.s.root, facts.Image.Root))
	case !reads:
		return describe(nil)
	}
	if e.image == nil {
		client, err := e.s.containerdFor(ctx, containerID(facts))
		if err != nil {
			return err
		}
		e.image = e.s.lend(ctx, client, facts.Image.Reference, facts.Profile.Platform)
	}
	if <-e.image.ready; e.image.err != nil {
		return e.image.err
	}
	defer e.image.back()
	return describe(e.image.view)
}

func inventoryOf(all []devices.Inventory, kind string) devices.Inventory {
	for _, inv := range all {
		if inv.Kind == kind {
			return inv
		}
	}
	return devices.Inventory{Kind: kind}
}

// environment is that of image and profile, as a source may look at it.
func environment(facts *plan.Facts) []string {
	env := slices.DeleteFunc(slices.Clone(facts.Image.Env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return plan.DropsFromImage(name)
	})
	for _, v := range facts.Profile.Environment {
		env = append(env, v.Name+"="+v.Value)
	}
	return env
}

// deviceNumbers are the numbers of the devices' own nodes at this moment.
func (s *session) deviceNumbers(all []devices.Inventory) map[runtime.DeviceNumber][]runtime.DeviceName {
	numbers := map[runtime.DeviceNumber][]runtime.DeviceName{}
	for _, inv := range all {
		for _, d := range inv.Devices {
			for _, node := range d.Nodes {
				nodes, _ := devices.Nodes(s.root, []devices.Request{{Source: node}}) // one that is gone is nobody's
				for _, n := range nodes {
					key := runtime.DeviceNumber{Major: n.Major, Minor: n.Minor}
					numbers[key] = append(numbers[key], runtime.DeviceName{Kind: d.Kind, Name: d.Name})
				}
			}
		}
	}
	return numbers
}

// peers are the other containerds of this machine in which containers of hostrun may hold devices, whatever the flags say: devices
// are the machine's. The private engine is started where it died with containers alive.
func (s *session) peers(ctx context.Context, of runtime.Options) []*runtime.Client {
	var clients []*runtime.Client
	for _, kind := range []engineKind{systemEngine, privateEngine} {
		if sameSocket(s.runtimeOptions(kind).Address, of.Address) {
			continue
		}
		o := s.reach(ctx, kind)
		if o.client == nil && kind == privateEngine && s.everRan() && s.hasTraces() {
			o.client, _ = s.startPrivate(ctx) // one that can't be started has nothing that runs
		}
		if o.client != nil {
			clients = append(clients, o.client)
		}
	}
	return clients
}

// sameSocket says whether two names are those of one socket: /var/run is a link to /run.
func sameSocket(a, b string) bool {
	one, err1 := os.Stat(a)
	other, err2 := os.Stat(b)
	return a == b || err1 == nil && err2 == nil && os.SameFile(one, other)
}

// allContainerds are the one that was named and the peers of it.
func (s *session) allContainerds(ctx context.Context) []*runtime.Client {
	named := s.runtimeOptions(s.kinds()[0])
	clients := s.peers(ctx, named)
	if o := s.reach(ctx, s.kinds()[0]); o.client != nil {
		clients = append(clients, o.client)
	}
	return clients
}

// hasTraces says whether a container has a directory here that none of the containerds that answer knows.
func (s *session) hasTraces() bool {
	short, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	known, err := listAll(short, s.present(short).there)
	return err == nil && s.unknownTrace(known)
}

// unreserve lets go of devices that a container did not come to have.
func (s *session) unreserve(facts plan.Facts) {
	if len(facts.Inventories) == 0 {
		return
	}
	if client, err := s.containerdFor(context.Background(), containerID(&facts)); err == nil {
		client.Unreserve(containerID(&facts))
	}
}
