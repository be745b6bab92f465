package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/cpu"

	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/rootfs"
	"hostrun.dev/hostrun/runtime"
)

// proofPatience is how long a proof takes before a line tells of it.
const proofPatience = time.Second

// prove makes the proof of a plan that fits so far, or takes it from the cache. Nil, without an error, is for a plan that
// borrows no packages.
func (s *session) prove(ctx context.Context, facts plan.Facts, pl plan.Plan, o order) (*proof.Report, error) {
	request, ok := s.proofRequest(facts, pl)
	if !ok {
		return nil, nil
	}
	shown := s.shown(pl)
	cache := s.proofCache(facts, shown)
	cache.Ahead = o.ahead
	if o.modules { // an entry of its own: a start need not read a list of all modules
		cache.Given = append(cache.Given, "all modules")
	}
	began := time.Now()
	if report, ok := cache.Load(ctx, request); ok {
		if o.modules {
			report.All = report.Modules
		}
		return &report, nil
	}
	tell := time.AfterFunc(proofPatience, func() {
		s.progress.event(runtime.Event{ID: "Proof of " + pl.ID, Status: "Reading", Text: "what the command would load"})
	})
	defer tell.Stop()
	defer frugal()()
	var report proof.Report
	err := s.withView(ctx, facts, pl.ID, shown, func(view *rootfs.View) (err error) {
		if report, err = proof.Prove(ctx, view, request); err == nil {
			report.ElapsedMS = float64(time.Since(began).Microseconds()) / 1000
			kept := report
			if o.modules {
				report.Own(view, s.root, hostDirs(facts, request))
				kept.Modules = report.All
			}
			cache.Store(view, request, kept, began)
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil: // a full disk below /tmp, a mount's source that has just gone: the start need not fail for it
		return unproved(err), nil
	}
	return &report, nil
}

// proofMemory is what a first proof may take before the collector runs, in bytes: it allocates little more than that in all.
const proofMemory = 80 << 20

// frugal sets the collector for a proof, and returns what sets it back.
func frugal() func() {
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(proofMemory)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// unproved is the report of a proof that could not be made.
func unproved(cause error) *proof.Report {
	return &proof.Report{Schema: 1, Findings: []finding.Finding{{ID: finding.ImportsUnchecked, Severity: finding.Warning, Subject: "proof", Got: cause.Error(),
		Message: "no proof could be made of what the command imports: " + cause.Error(), Remedy: "repair that, and check again; the start goes on without"}}}
}

// proofRequest is what is to be proved; false where nothing of Python is borrowed.
func (s *session) proofRequest(facts plan.Facts, pl plan.Plan) (proof.Request, bool) {
	python := imagePython(facts, pl)
	if facts.Host.Python == nil || pl.Spec == nil || pl.Spec.Process == nil || python.Executable == "" {
		return proof.Request{}, false
	}
	r := proof.Request{Python: python, Command: pl.Spec.Process.Args, WorkingDir: pl.Spec.Process.Cwd, Env: envMap(pl.Spec.Process.Env),
		Packages: facts.Profile.Python.Packages, ISALevel: isaLevel()}
	for _, b := range pl.Borrowed {
		r.HostDirs = append(r.HostDirs, b.Destination)
		switch {
		case b.For == "python" && b.Kind == "":
			r.SiteDirs = append(r.SiteDirs, b.Destination)
		case b.For == "cuda" && b.Kind == "":
			r.Libraries = append(r.Libraries, path.Join(b.Destination, "lib64"))
		}
	}
	if facts.Profile.Rootfs == profiles.HostRoot || pl.FromHost {
		r.SiteDirs = nil
		for _, site := range facts.Host.Python.Sites {
			r.SiteDirs = append(r.SiteDirs, site.Path)
		}
	}
	r.Lend = lending(s.root, facts, pl)
	r.GPU = plan.Wants(facts).GPU
	return r, true
}

// hostDirs are the directories of the container that are the host's: all of them, where the host is its root.
func hostDirs(facts plan.Facts, r proof.Request) []string {
	if facts.Profile.Rootfs == profiles.HostRoot {
		return []string{"/"}
	}
	return r.HostDirs
}

// lending is what the proof may lend to the container beyond the plan.
func lending(root string, facts plan.Facts, pl plan.Plan) proof.Lending {
	if facts.Profile.Rootfs == profiles.HostRoot {
		return proof.Lending{}
	}
	l := proof.Lending{HostRoot: root, Off: pl.Lending.Off}
	if pl.Lending.On() {
		l.Libraries = pl.Lending.Root
	}
	for _, o := range facts.Host.Python.Outside {
		l.Leads = append(l.Leads, leads(o, facts.Host.Python.Sites, pl.Borrowed)...)
	}
	return l
}

// leads are the places to which links of a package lead, as the container sees them: a relative link starts where the
// package is mounted.
func leads(o host.Outside, sites []host.Site, borrowed []plan.Borrowed) []proof.Lead {
	dir := o.Dir
	if !path.IsAbs(dir) {
		site, ok := mountedAt(o.Site, sites, borrowed)
		if !ok {
			return nil
		}
		dir = path.Join(site, dir)
	}
	if len(o.Names) == 0 || len(o.Names) > manyLinks {
		return []proof.Lead{{Source: o.Real, Destination: dir, For: o.Top, Kind: proof.BindLink}}
	}
	var all []proof.Lead
	for _, name := range o.Names {
		all = append(all, proof.Lead{Source: path.Join(o.Real, name), Destination: path.Join(dir, name), For: o.Top, Kind: proof.BindLink})
	}
	return all
}

// manyLinks is from where on links into one directory are served by the directory: each mount costs the start.
const manyLinks = 8

// mountedAt says where the container sees a site directory of the host.
func mountedAt(site string, sites []host.Site, borrowed []plan.Borrowed) (string, bool) {
	at := slices.IndexFunc(sites, func(s host.Site) bool { return s.Path == site })
	for _, b := range borrowed {
		for _, p := range []string{site, sites[max(at, 0)].Real} {
			if at >= 0 && p != "" && (p == b.Source || strings.HasPrefix(p, b.Source+"/")) {
				return path.Join(b.Destination, strings.TrimPrefix(p, b.Source)), true
			}
		}
	}
	return "", false
}

func envMap(env []string) map[string]string {
	vars := map[string]string{}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	return vars
}

// isaLevel is this processor's x86-64 micro-architecture level (x86-64 psABI, "Micro-Architecture Levels"), as far as the
// features that are looked at tell; 0 elsewhere.
func isaLevel() int {
	x := cpu.X86
	switch {
	case !x.HasSSE2:
		return 0
	case !x.HasSSE42 || !x.HasPOPCNT || !x.HasCX16:
		return 1
	case !x.HasAVX2 || !x.HasBMI1 || !x.HasBMI2 || !x.HasFMA:
		return 2
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512CD || !x.HasAVX512DQ || !x.HasAVX512VL:
		return 3
	}
	return 4
}

// A shownMount is a mount of the plan as a view shows it.
type shownMount struct {
	rootfs.Mount
	file  *plan.File // generated, and not written yet
	empty bool       // a file system of the kernel, or what is not there yet
}

// shown are the plan's mounts, but for volumes that get at the start what the image has there.
func (s *session) shown(pl plan.Plan) []shownMount {
	var all []shownMount
	for _, m := range pl.Spec.Mounts {
		if slices.ContainsFunc(pl.Directories, func(d plan.Directory) bool {
			return d.Path == m.Source && d.Copy == m.Destination && runtime.Incomplete(filepath.Join(s.root, d.Path))
		}) {
			continue
		}
		all = append(all, s.shownMount(m, pl.Files))
	}
	return all
}

func (s *session) shownMount(m specs.Mount, files []plan.File) shownMount {
	shown := shownMount{Mount: rootfs.Mount{Destination: m.Destination}, empty: true}
	if at := slices.IndexFunc(files, func(f plan.File) bool { return f.Path == m.Source }); at >= 0 {
		shown.file = &files[at]
		return shown
	}
	source := ""
	switch {
	case m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind"):
		source = m.Source
	case m.Type == "overlay":
		source = lowerDir(m.Options)
	}
	if real, err := filepath.EvalSymlinks(filepath.Join(s.root, source)); source != "" && err == nil {
		shown.Source, shown.empty = real, false
	}
	return shown
}

// lowerDir is the one directory of the host that an overlay of rootfs: host lies over.
func lowerDir(options []string) string {
	for _, o := range options {
		if dir, ok := strings.CutPrefix(o, "lowerdir="); ok && !strings.Contains(dir, ":") {
			return dir
		}
	}
	return ""
}

// proofCache is the cache for proofs over these mounts.
func (s *session) proofCache(facts plan.Facts, shown []shownMount) proof.Cache {
	c := proof.Cache{Dir: s.global.cacheDir, Image: facts.Image.ChainID, Given: []string{runtime.Build()}}
	for _, m := range shown {
		switch {
		case m.file != nil:
			c.Given = append(c.Given, m.Destination+"\x00"+string(m.file.Bytes()))
		case m.empty:
			c.Given = append(c.Given, m.Destination)
		default:
			c.Given = append(c.Given, proof.Identity(m.Source))
			c.Mounts = append(c.Mounts, m.Mount)
		}
	}
	return c
}

// withView lends the files that the container of a plan would have.
func (s *session) withView(ctx context.Context, facts plan.Facts, id string, shown []shownMount, use func(*rootfs.View) error) error {
	mounts, work, err := s.prepared(shown)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	over := func(base *rootfs.View) error {
		view, err := rootfs.Mounted(base, mounts...)
		if err != nil {
			return err
		}
		return use(view)
	}
	if facts.Profile.Rootfs == profiles.HostRoot {
		return over(runtime.HostView(s.root, facts.Image.Root))
	}
	client, err := s.containerdFor(ctx, id)
	if err != nil {
		return err
	}
	return client.WithImageView(ctx, facts.Image.Reference, facts.Profile.Platform, over)
}

// prepared makes the files of mounts that are not there yet, in a directory that the caller removes. Where /tmp is full, the
// state directory has room: a plan without its proof lends less, is another one, and would take a container's place.
func (s *session) prepared(shown []shownMount) (mounts []rootfs.Mount, work string, err error) {
	var failed error
	for _, place := range []string{"", s.abs(s.global.stateDir)} {
		if work, err = os.MkdirTemp(place, "hostrun-view-"); err == nil {
			if mounts, err = preparedIn(shown, work); err == nil {
				return mounts, work, nil
			}
			_ = os.RemoveAll(work)
		}
		failed = cmp.Or(failed, err)
	}
	return nil, "", failed
}

// preparedIn are mounts of this machine's files. What is not there yet, and file systems of the kernel, are empty directories;
// generated files are written to work.
func preparedIn(shown []shownMount, work string) ([]rootfs.Mount, error) {
	empty := filepath.Join(work, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		return nil, err
	}
	var mounts []rootfs.Mount
	for i, m := range shown {
		switch {
		case m.file != nil:
			m.Source = filepath.Join(work, fmt.Sprint(i))
			if err := os.WriteFile(m.Source, m.file.Bytes(), 0o600); err != nil {
				return nil, err
			}
		case m.empty:
			m.Source = empty
		}
		mounts = append(mounts, m.Mount)
	}
	return mounts, nil
}
