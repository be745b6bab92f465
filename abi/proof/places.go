package proof

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"

	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/rootfs"
)

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
	case isHome(host, at.Path):
		why = "it is a home directory"
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
	return slices.DeleteFunc(p.lost(scan), func(l Lead) bool {
		tried := slices.ContainsFunc(p.r.Lend.Leads, func(t Lead) bool { return t.Destination == l.Destination })
		return tried || !rootfs.Dir(p.r.Lend.HostRoot).Exists(l.Source)
	})
}

// lost are the places that files of the host name and the container lacks.
func (p *prover) lost(scan imports.Report) []Lead {
	var leads []Lead
	for _, lost := range scan.Lost {
		named := slices.ContainsFunc(p.r.HostDirs, func(dir string) bool { return below(lost.File, dir) })
		lead := Lead{Source: lost.Target, Destination: lost.Target, For: topOf(lost.Name), Kind: BindSource}
		if lost.Kind == "link" {
			lead.Kind = BindLink
		}
		if named && path.IsAbs(lost.Target) {
			if lost.Kind == "editable" {
				lead.Source = p.moduleFile(lost.Target)
				lead.Destination = lead.Source
			}
			leads = append(leads, lead)
		}
	}
	return leads
}

// moduleFile is the host's file of a module that an editable install names without its suffix, else the target itself.
func (p *prover) moduleFile(target string) string {
	if p.r.Lend.HostRoot == "" || rootfs.Dir(p.r.Lend.HostRoot).Exists(target) {
		return target
	}
	host := rootfs.Dir(p.r.Lend.HostRoot)
	for _, end := range append([]string{".py"}, p.r.Python.Suffixes...) {
		if host.Exists(target + end) {
			return target + end
		}
	}
	return target
}

// maxBinds bounds the mounts that are added for links and sources.
const maxBinds = 64

func (p *prover) leave(lead Lead, why string) {
	left := Left{lead, why}
	if !slices.Contains(p.left, left) {
		p.left = append(p.left, left)
	}
}
