package proof

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/abi/stage"
	"hostrun.dev/hostrun/rootfs"
)

// A Lending says what the host may lend to make the command run.
type Lending struct {
	HostRoot  string `json:"host_root"` // this machine's files
	Libraries string `json:"libraries"` // directory of the container below which libraries of the host go, by their path there; "": none are lent
	Off       bool   `json:"off"`       // the profile does not want it
	Leads     []Lead `json:"leads"`     // places that links of the packages lead to
}

// A Lead is a file or directory of the host that the container needs at another path.
type Lead struct {
	Source      string `json:"source"`      // on this machine, below HostRoot
	Destination string `json:"destination"` // where links, or lines of Python's, look for it
	For         string `json:"for"`         // the package
	Kind        string `json:"kind"`        // as Bind has it
}

// Lent is what the host lends. plan.Build adds it to the mounts, and the proof was made with it.
type Lent struct {
	Libraries []stage.Library `json:"libraries,omitempty"` // by name
	Refused   []stage.Refusal `json:"refused,omitempty"`
	Cache     []byte          `json:"cache,omitempty"` // /etc/ld.so.cache of the container; nil keeps its own
	Binds     []Bind          `json:"binds,omitempty"`
	Left      []Left          `json:"left,omitempty"`
}

// Kinds of a Bind.
const (
	BindLibraries = "libraries" // a directory, or one file, that libraries are lent from
	BindLink      = "link"      // what links of the packages lead to
	BindSource    = "source"    // the source of an editable install, or a line of a .pth file
)

// A Bind is one mount, read-only.
type Bind struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Dir         bool   `json:"dir,omitempty"`
	Bytes       int64  `json:"bytes,omitempty"` // of what is used of it
	Kind        string `json:"kind"`
	For         string `json:"for"`
}

// A Left place is one that was not bound, and why.
type Left struct {
	Lead
	Why string `json:"why"`
}

// lending is the part of a prover that lends.
type lending struct {
	lender  *stage.Lender
	noLoan  error // why there is none
	host    *ld.System
	binds   []Bind
	left    []Left
	renewed bool // a library takes the place of one that may be loaded already: what was judged must be judged anew
	begun   int
}

// maxRenewals bounds how often all is judged anew.
const maxRenewals = 8

// lendPlaces shows the places that links lead to, and the host's directories of libraries: which of them are bound in the end
// is decided by what was opened.
func (p *prover) lendPlaces() {
	if p.r.Lend.HostRoot == "" {
		return
	}
	for _, lead := range p.r.Lend.Leads {
		p.lendPlace(lead)
	}
	if p.r.Lend.Libraries != "" {
		p.showLibraries()
	}
}

// showLibraries shows the host's directories of libraries where they would be bound.
func (p *prover) showLibraries() {
	host := rootfs.Dir(p.r.Lend.HostRoot)
	var mounts []rootfs.Mount
	for _, tree := range stage.Trees(host) {
		if at, err := host.Resolve(tree); err == nil {
			mounts = append(mounts, rootfs.Mount{Source: at.Real, Destination: path.Join(p.r.Lend.Libraries, tree)})
		}
	}
	view, err := rootfs.Mounted(p.view, mounts...)
	if err != nil {
		p.noLoan = err
		return
	}
	p.view = view
}

// openLender readies the lending of libraries.
func (p *prover) openLender(interpreter string) {
	if p.r.Lend.Libraries == "" || p.noLoan != nil {
		return
	}
	host, err := ld.NewSystem(rootfs.Dir(p.r.Lend.HostRoot), interpreter, ld.Options{ISALevel: p.r.ISALevel})
	if err != nil {
		p.noLoan = fmt.Errorf("the host has no loader of the container's kind: %w", err)
		return
	}
	p.host = host
	p.lender, p.noLoan = stage.New(p.system, host, rootfs.Dir(p.r.Lend.HostRoot), p.r.Lend.Libraries)
}

// lend mends what the loader refused, if the host can: true when another try may end otherwise.
func (p *prover) lend(module, file string, r ld.Result) bool {
	if p.lender == nil {
		return false
	}
	for _, o := range r.Loaded {
		if p.lender.Note(o) {
			p.stale = true
			return true
		}
	}
	if r.Verdict == ld.Missing || r.Verdict == ld.Version {
		p.stale = true
	}
	switch {
	case r.Verdict == ld.Missing && r.Needed != file:
		return p.lender.Missing(r.Needed, module)
	case r.Verdict == ld.Version && !stage.Never(r.Object):
		if p.lender.Newer(p.nameOf(r), r.Object, r.Version, module) && p.begun < maxRenewals {
			p.renewed = true
			p.begun++
		}
	}
	return false
}

// lendToProgram mends what keeps the interpreter from its start, where that is the host's. One of the image has what it
// needs in the image, or the image is broken.
func (p *prover) lendToProgram(err error) bool {
	var start *ld.StartError
	if p.lender == nil || !errors.As(err, &start) || !p.hostsOwn() {
		return false
	}
	switch r := start.Result; {
	case r.Verdict == ld.Missing && r.Needed != p.r.Python.Executable && r.Needed != p.r.Python.Real:
		return p.lender.Missing(r.Needed, "python")
	case r.Verdict == ld.Version && !stage.Never(r.Object):
		return p.lender.Newer(path.Base(r.Object), r.Object, r.Version, "python")
	}
	return false
}

// hostsOwn says that the interpreter is the host's.
func (p *prover) hostsOwn() bool {
	return slices.ContainsFunc(p.r.HostDirs, func(dir string) bool { return below(p.r.Python.Real, dir) })
}

// nameOf is the name by which the library of a result is asked for.
func (p *prover) nameOf(r ld.Result) string {
	for _, o := range append(p.loaded.Objects(), r.Loaded...) {
		if o.Path == r.Object && o.Soname != "" {
			return o.Soname
		}
	}
	return path.Base(r.Object)
}

// beginAnew forgets what was judged.
func (p *prover) beginAnew() {
	p.renewed, p.loaded = false, p.process
	p.judged, p.order = map[string]*Module{}, nil
	clear(p.broken)
}

// siblings lends to the native modules of packages that the command imports, also where no file says that those are: native
// code imports what stands beside it, and a package may find its own module by a computed name (cv2/__init__.py, bootstrap).
func (p *prover) siblings(scan imports.Report) (imports.Report, error) {
	if p.lender == nil || p.process == nil {
		return scan, p.ctx.Err()
	}
	reached := map[string]bool{}
	for _, m := range scan.Modules {
		if m.Reach != imports.Deferred || p.judged[m.File] != nil {
			reached[topOf(m.Name)] = true
		}
	}
	for i := range p.tree.modules {
		m := &p.tree.modules[i]
		if !reached[topOf(m.Name)] || m.Verdict != Missing && m.Verdict != Version || p.ctx.Err() != nil {
			continue
		}
		for p.lend(m.Name, m.Path, p.process.Open(m.Path)) {
		}
		m.Library, m.NeededBy = "", ""
		p.takeAlone(m, p.process.Open(m.Path))
	}
	if !p.renewed {
		return scan, p.ctx.Err()
	}
	p.beginAnew()
	for i := range p.tree.modules {
		if m := &p.tree.modules[i]; m.Verdict != IgnoredSuffix {
			*m = Module{Name: m.Name, Path: m.Path}
		}
	}
	scan, err := p.follow(scan)
	p.others()
	return scan, err
}

// lent sums up what is lent; nil for nothing.
func (p *prover) lent() *Lent {
	l := &Lent{Binds: p.binds, Left: p.left}
	if p.lender != nil {
		l.Libraries, l.Refused = p.lender.Libraries(), p.lender.Refused()
	}
	if len(l.Libraries) > 0 {
		own, err := ld.ReadCache(p.view)
		if err != nil {
			own = &ld.Cache{} // the loader takes a damaged one for none
		}
		l.Cache = p.lender.Cache(own)
		l.Binds = append(slices.Clone(l.Binds), p.libraryBinds(l.Libraries)...)
	}
	if len(l.Libraries)+len(l.Refused)+len(l.Binds)+len(l.Left) == 0 {
		return nil
	}
	return l
}

// libraryBinds are the directories of the host that hold what is lent, none below another one. A library in a directory
// that is no place for libraries is bound alone.
func (p *prover) libraryBinds(all []stage.Library) []Bind {
	bytes := map[string]int64{}
	for _, lib := range all {
		bytes[lib.Source] = lib.Bytes
	}
	var binds []Bind
	for _, file := range p.lender.Files() {
		if !slices.ContainsFunc(binds, func(b Bind) bool { return below(file, b.Source) }) {
			place, dir := file, false
			if stage.LibraryDir(path.Dir(file)) {
				place, dir = path.Dir(file), true
			}
			binds = slices.DeleteFunc(binds, func(b Bind) bool { return below(b.Source, place) })
			binds = append(binds, Bind{Source: place, Destination: path.Join(p.lender.Root(), place), Dir: dir, Kind: BindLibraries})
		}
	}
	for i := range binds {
		for file, n := range bytes {
			if below(file, binds[i].Source) {
				binds[i].Bytes += n
			}
		}
		binds[i].For = forWhom(all)
	}
	return binds
}

// hostWatch are files of this machine that decide about what is lent, and those of watched, paths of the view, that lie in
// what is lent: no mount of the plan shows them.
func (p *prover) hostWatch(lost []Lead, watched []string) []string {
	root := p.r.Lend.HostRoot
	if root == "" {
		return nil
	}
	var files []string
	if p.lender != nil {
		files = append(files, ld.CachePath)
		files = append(files, p.lender.Files()...)
	}
	for _, b := range p.binds {
		files = append(files, b.Source)
	}
	for _, lead := range slices.Concat(p.r.Lend.Leads, lost) { // one that leads nowhere may lead somewhere later
		files = append(files, lead.Source)
	}
	for i := range files {
		files[i] = filepath.Join(root, files[i])
	}
	files = append(files, p.inBinds(watched)...)
	slices.Sort(files)
	return slices.Compact(files)
}

// inBinds are the files of this machine behind paths of the view that lie in what is bound, or would.
func (p *prover) inBinds(paths []string) []string {
	if len(p.binds) == 0 {
		return nil
	}
	var files []string
	dirs := map[string]string{}
	for _, at := range paths {
		dir, name := path.Split(at)
		real, known := dirs[dir]
		if !known {
			if r, err := p.view.Resolve(dir); err == nil {
				real = r.Real
			}
			dirs[dir] = real
		}
		for _, file := range []string{filepath.Join(real, name), p.realOf(at)} {
			bound := func(b Bind) bool { return below(file, filepath.Join(p.r.Lend.HostRoot, b.Source)) }
			if file != "" && slices.ContainsFunc(p.binds, bound) {
				files = append(files, file)
			}
		}
	}
	return files
}

// realOf is the file of this machine at a path of the view, links followed; "" for none.
func (p *prover) realOf(at string) string {
	r, err := p.view.Resolve(at)
	if err != nil {
		return ""
	}
	return r.Real
}
