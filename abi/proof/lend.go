package proof

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/abi/stage"
	"hostrun.dev/hostrun/finding"
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

// lendPlace binds one place, if the container has nothing there and it is fit to be shown. True when it is bound now.
func (p *prover) lendPlace(lead Lead) bool {
	host := rootfs.Dir(p.r.Lend.HostRoot)
	at, err := host.Resolve(lead.Source)
	if err != nil {
		return false // on the host it leads nowhere either
	}
	if p.view.Exists(lead.Destination) {
		if same, err := p.view.Resolve(lead.Destination); err != nil || same.Real != at.Real && !equalFiles(same.Real, at.Real) {
			p.leave(lead, "the container has something else there")
		}
		return false
	}
	why := unfit(at.Path, lead.Destination)
	switch {
	case why != "":
	case p.view.Covered(lead.Destination):
		why = "a mount covers the place, and a directory would have to be made in it"
	case len(p.binds) >= maxBinds:
		why = fmt.Sprintf("%d places are bound already", maxBinds)
	}
	if why != "" {
		p.leave(lead, why)
		return false
	}
	view, err := rootfs.Mounted(p.view, rootfs.Mount{Source: at.Real, Destination: lead.Destination})
	if err != nil {
		p.leave(lead, err.Error())
		return false
	}
	p.view = view
	bind := Bind{Source: at.Path, Destination: lead.Destination, Dir: host.IsDir(at.Path), Kind: lead.Kind, For: lead.For}
	if fi, err := host.Stat(at.Path); err == nil && !bind.Dir {
		bind.Bytes = fi.Size()
	}
	p.binds = append(p.binds, bind)
	p.r.HostDirs = append(slices.Clone(p.r.HostDirs), lead.Destination)
	return true
}

// maxEqual bounds the files that are compared byte by byte.
const maxEqual = 16 << 20

// equalFiles says whether two files of this machine have the same content.
func equalFiles(a, b string) bool {
	fa, errA := os.Stat(a)
	fb, errB := os.Stat(b)
	if errA != nil || errB != nil || !fa.Mode().IsRegular() || !fb.Mode().IsRegular() || fa.Size() != fb.Size() || fa.Size() > maxEqual {
		return false
	}
	textA, errA := os.ReadFile(a)
	textB, errB := os.ReadFile(b)
	return errA == nil && errB == nil && bytes.Equal(textA, textB)
}

// sources are places that the command's imports look for and the container lacks: sources of editable installs, lines of
// .pth files, targets of links. Only what a file of the host names is the host's to lend.
func (p *prover) sources(scan imports.Report) []Lead {
	var leads []Lead
	for _, lost := range scan.Lost {
		named := slices.ContainsFunc(p.r.HostDirs, func(dir string) bool { return below(lost.File, dir) })
		lead := Lead{Source: lost.Target, Destination: lost.Target, For: topOf(lost.Name), Kind: BindSource}
		if lost.Kind == "link" {
			lead.Kind = BindLink
		}
		tried := slices.ContainsFunc(p.r.Lend.Leads, func(l Lead) bool { return l.Destination == lead.Destination })
		if named && !tried && path.IsAbs(lost.Target) && rootfs.Dir(p.r.Lend.HostRoot).Exists(lost.Target) {
			leads = append(leads, lead)
		}
	}
	return leads
}

// maxBinds bounds the mounts that are added for links and sources.
const maxBinds = 64

func (p *prover) leave(lead Lead, why string) {
	left := Left{lead, why}
	if !slices.Contains(p.left, left) {
		p.left = append(p.left, left)
	}
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
			return true
		}
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
	if p.lender == nil || !errors.As(err, &start) || !slices.ContainsFunc(p.r.HostDirs, func(dir string) bool { return below(p.r.Python.Real, dir) }) {
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

// siblings lends to the native modules of packages of which the command imports one: native code imports what stands beside
// it, and no file says so.
func (p *prover) siblings(scan imports.Report) (imports.Report, error) {
	if p.lender == nil || p.process == nil {
		return scan, p.ctx.Err()
	}
	reached := map[string]bool{}
	for _, m := range p.judged {
		reached[topOf(m.Name)] = true
	}
	for i := range p.tree.modules {
		m := &p.tree.modules[i]
		if !reached[topOf(m.Name)] || m.Verdict != Missing && m.Verdict != Version || p.ctx.Err() != nil {
			continue
		}
		for p.lend(m.Name, m.Path, p.process.Open(m.Path)) {
		}
		m.Library, m.NeededBy = "", ""
		p.judgeAlone(m)
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
	bytes, users := map[string]int64{}, map[string]string{}
	for _, lib := range all {
		bytes[lib.Source] = lib.Bytes
		users[lib.Source] = topOf(lib.For)
	}
	var binds []Bind
	for _, file := range p.lender.Files() {
		at := slices.IndexFunc(binds, func(b Bind) bool { return below(file, b.Source) })
		if at < 0 {
			place, dir := file, false
			if stage.LibraryDir(path.Dir(file)) {
				place, dir = path.Dir(file), true
			}
			binds = slices.DeleteFunc(binds, func(b Bind) bool { return below(b.Source, place) })
			at = len(binds)
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

// forWhom names the packages for which libraries are lent, those of the most first.
func forWhom(all []stage.Library) string {
	count := map[string]int{}
	var names []string
	for _, lib := range all {
		top := topOf(lib.For)
		if count[top] == 0 {
			names = append(names, top)
		}
		count[top]++
	}
	slices.SortFunc(names, func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

func topOf(module string) string {
	top, _, _ := strings.Cut(module, ".")
	return top
}

// Summary is "253 libraries, 483 MB, from the host, for torch"; "" when none are lent.
func (l *Lent) Summary() string {
	if l == nil || len(l.Libraries) == 0 {
		return ""
	}
	var bytes int64
	seen := map[string]bool{}
	for _, lib := range l.Libraries {
		if !seen[lib.Source] {
			seen[lib.Source] = true
			bytes += lib.Bytes
		}
	}
	noun := "libraries"
	if len(l.Libraries) == 1 {
		noun = "library"
	}
	return fmt.Sprintf("%d %s, %s, from the host, for %s", len(l.Libraries), noun, megabytes(bytes), forWhom(l.Libraries))
}

func megabytes(n int64) string {
	if n < 1e6 {
		return fmt.Sprintf("%d kB", (n+999)/1000)
	}
	return fmt.Sprintf("%d MB", (n+5e5)/1e6)
}

func (p *prover) lendingFindings(r Report) []finding.Finding {
	if r.Lent == nil {
		return nil
	}
	var all []finding.Finding
	if text := r.Lent.Summary(); text != "" {
		all = append(all, finding.Finding{ID: finding.LibrariesLent, Severity: finding.Info, Subject: "libraries", Got: listed3(r.Lent.Libraries),
			Message: text + ": the container lacks them, and finds them by a longer ld.so.cache",
			Remedy:  "nothing is to be done; packages of PyPI bring their libraries along, and python.borrow_libraries: off lends none"})
	}
	for _, left := range r.Lent.Left {
		all = append(all, finding.Finding{ID: finding.PlaceNotLent, Severity: finding.Warning, Subject: left.For, Got: left.Source, Want: left.Destination,
			Message: fmt.Sprintf("%s of the host, which %s looks for at %s, is not bound there: %s", left.Source, left.For, left.Destination, left.Why),
			Remedy:  "if it is needed, add it under volumes:, or install the package with copies instead of links"})
	}
	return all
}

func listed3(all []stage.Library) string {
	var words []string
	for _, lib := range all[:min(len(all), 3)] {
		words = append(words, lib.Name+" => "+lib.Source)
	}
	if len(all) > 3 {
		words = append(words, "...")
	}
	return strings.Join(words, ", ")
}

// whyNotLent begins a remedy with the reason for which the host's library is not lent.
func (p *prover) whyNotLent(m Module) string {
	name := path.Base(m.Library)
	switch {
	case p.r.Lend.Off:
		return "remove python.borrow_libraries: off, which keeps the host's libraries away; or "
	case p.noLoan != nil:
		return "the host's libraries can't be lent (" + p.noLoan.Error() + "): "
	case p.lender == nil:
		return ""
	}
	for _, r := range p.lender.Refused() {
		if r.Name == name {
			return "the host's " + name + " is not lent: " + r.Why + ". Else "
		}
	}
	return ""
}

// hostWatch are files of this machine that decide about what is lent.
func (p *prover) hostWatch() []string {
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
	for _, l := range p.left {
		files = append(files, l.Source)
	}
	for i := range files {
		files[i] = filepath.Join(root, files[i])
	}
	return slices.Compact(files)
}
