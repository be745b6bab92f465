// Package proof says from files alone whether what a container's command imports will load: it follows the command's
// imports, asks the rules of the dynamic loader about each native module among them, and about all others that the host
// lends. Nothing is loaded or executed. What files can't tell is never claimed: it is listed, and stops nothing.
package proof

import (
	"context"
	"slices"
	"time"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/dists"
	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// A Request is what is to be proved. It holds no files: together with those that Report.Watch names and the image it
// decides the report.
type Request struct {
	Python     abi.Python        `json:"python"`      // that runs the command
	Command    []string          `json:"command"`     // as the container's process gets it
	WorkingDir string            `json:"working_dir"` //
	Env        map[string]string `json:"env"`         // of the process
	Packages   []string          `json:"packages"`    // python.packages of the profile
	HostDirs   []string          `json:"host_dirs"`   // directories of the view that are the host's
	SiteDirs   []string          `json:"site_dirs"`   // those of them whose native modules are counted
	Libraries  []string          `json:"libraries"`   // directories of the view where libraries of toolkits lie, which programs load by themselves
	GPU        bool              `json:"gpu"`         // the profile asks for an accelerator of NVIDIA's
	ISALevel   int               `json:"isa_level"`   // of the processor, see ld.Options; 0: not known
	Lend       Lending           `json:"lend"`
}

// A Verdict says whether a native module loads.
type Verdict string

// Verdicts beyond those of abi/ld, which keep their words here.
const (
	OK            Verdict = Verdict(ld.OK)
	Missing       Verdict = Verdict(ld.Missing)
	Version       Verdict = Verdict(ld.Version)
	Undefined     Verdict = Verdict(ld.Undefined)
	Arch          Verdict = Verdict(ld.Arch)
	Corrupt       Verdict = Verdict(ld.Corrupt)
	Gate          Verdict = Verdict(ld.Gate)
	IgnoredSuffix Verdict = "ignored-suffix" // made for another Python: its file name is none that the interpreter looks for
	Conditional   Verdict = "conditional"    // loads once something else has loaded a library that lies where the loader does not look
)

// Fails says that an import of the module raises an exception.
func (v Verdict) Fails() bool { return v != OK && v != Conditional }

// A Module is one native module.
type Module struct {
	Name     string        `json:"module"`
	Path     string        `json:"path"` // in the container
	Verdict  Verdict       `json:"verdict"`
	Message  string        `json:"message,omitempty"`   // what the loader or Python prints
	Killed   bool          `json:"killed,omitempty"`    // the process dies instead
	Library  string        `json:"library,omitempty"`   // that is missing, or too old, or damaged
	NeededBy string        `json:"needed_by,omitempty"` // the file that asks for it
	Provider string        `json:"provider,omitempty"`  // conditional: the file that must be loaded before
	Reach    imports.Reach `json:"reach,omitempty"`     // "": the command does not import it, as far as files show
	By       imports.At    `json:"by,omitzero"`         // the statement that imports it first
	Remedy   string        `json:"remedy,omitempty"`
	Doubt    string        `json:"doubt,omitempty"` // why the verdict is not certain; such a one stops nothing
	Owner    dists.Owner   `json:"owner,omitzero"`  // the distribution that brought it, where it was asked for (Own)
	Side     string        `json:"side,omitempty"`  // likewise: "host" or "image"
}

// Counts are of native modules.
type Counts struct {
	Modules     int             `json:"modules"` // below the site directories, and what the command reaches elsewhere
	Reached     int             `json:"reached"`
	OK          int             `json:"ok"`
	Conditional int             `json:"conditional"`
	Fail        int             `json:"fail"`
	FailReached int             `json:"fail_reached"`
	Verdicts    map[Verdict]int `json:"verdicts,omitempty"`
	Imports     int             `json:"imports"` // modules of all kinds that the command imports
}

// A Library is one that is missing.
type Library struct {
	Name     string   `json:"name"`
	NeededBy []string `json:"needed_by"` // modules that fail for it; at most listed
	Count    int      `json:"count"`     // of such modules
}

// A Report is the proof. Its JSON form is recorded with the facts of a plan.
type Report struct {
	Schema     int                  `json:"schema"`             // 1
	Libc       string               `json:"libc"`               // "glibc 2.36" or "musl"
	Floor      string               `json:"floor,omitempty"`    // highest version of glibc's symbols that a file of the host asks for: "GLIBC_2.34"
	FloorBy    string               `json:"floor_by,omitempty"` // that file, in the container
	Modules    []Module             `json:"modules,omitempty"`  // those that are not ok; All has the others too
	Missing    []Library            `json:"missing,omitempty"`
	Imported   []string             `json:"imported,omitempty"`    // top-level modules that the command imports, or tries to, sorted
	NotChecked []imports.NotChecked `json:"not_checked,omitempty"` // at most told, see Told
	Unchecked  int                  `json:"unchecked,omitempty"`   // how many there are
	Findings   []finding.Finding    `json:"findings,omitempty"`
	Counts     Counts               `json:"counts"`
	Lent       *Lent                `json:"lent,omitempty"`       // what the host lends, beyond the mounts of the request, to make it so; nil for nothing
	ElapsedMS  float64              `json:"elapsed_ms,omitempty"` // that it took when it was made
	Cached     bool                 `json:"-"`

	All       []Module          `json:"-"`
	Watch     []string          `json:"-"` // paths of the view that were read or looked for, sorted
	HostWatch []string          `json:"-"` // the same, of files of this machine by their path on it
	real      map[string]string // see imports.Report.Real
}

// listed bounds lists of a report that only inform.
const listed = 200

// told bounds what a report lists of what is not checked: it is read at each start.
const told = 40

// Prove makes the proof over the files of a container: the image with the planned mounts. The error is ctx's alone: what
// can't be read is in the report.
func Prove(ctx context.Context, view *rootfs.View, r Request) (Report, error) {
	return within(ctx, func() (Report, error) { return proveLending(ctx, view, r, maxSources, &imports.Known{}) })
}

// stuck is how long work goes on after the end of its context, before it is left alone: a read from a file system that
// does not answer can't be ended.
const stuck = 200 * time.Millisecond

func within[T any](ctx context.Context, work func() (T, error)) (result T, err error) {
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := work()
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.result, o.err
	case <-time.After(stuck):
		return result, ctx.Err()
	}
}

// maxSources bounds how often the imports are followed anew because a source could be lent.
const maxSources = 3

func proveLending(ctx context.Context, base *rootfs.View, r Request, again int, known *imports.Known) (Report, error) {
	view := base
	p := &prover{ctx: ctx, view: view, r: r, judged: map[string]*Module{}, broken: map[string]string{}, known: known, started: make(chan struct{})}
	p.lendPlaces()
	view = p.view
	go func() { p.start(); close(p.started) }()
	early := make(chan struct{})
	go func() { // beside the scan, which seldom has work for all processors
		defer close(early)
		p.tree = walk(ctx, view, r)
		<-p.started
		p.alone()
	}()
	scan, err := p.scan()
	<-early
	if p.system != nil {
		defer p.system.Close()
	}
	if p.host != nil {
		defer p.host.Close()
	}
	if more := p.sources(scan); err == nil && len(more) > 0 && again > 0 {
		r.Lend.Leads = append(slices.Clone(r.Lend.Leads), more...)
		return proveLending(ctx, base, r, again-1, known)
	}
	if err == nil && p.process != nil {
		scan, err = p.follow(scan)
	}
	if err == nil {
		p.others()
		scan, err = p.siblings(scan)
	}
	return p.report(scan), err
}
