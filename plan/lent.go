package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/abi/stage"
	"hostrun.dev/hostrun/finding"
)

// KindLibrary is the Kind of a Borrowed that is one library. Its directory is what is mounted.
const KindLibrary = "library"

// addLent adds what the proof found that the host may lend: libraries, targets of links, sources.
func (b *builder) addLent() {
	if !borrowsPython(b.p) || usesHostRoot(b.p) || b.python == nil {
		return
	}
	b.plan.Lending = b.lending()
	if b.f.Proof == nil || b.f.Proof.Lent == nil {
		return
	}
	l := b.f.Proof.Lent
	for _, bind := range l.Binds {
		if bind.Kind == proof.BindLibraries && !b.plan.Lending.On() {
			continue // a recording that is replayed with borrow_libraries: off
		}
		b.addBind(bind)
	}
	if len(l.Cache) == 0 || !b.plan.Lending.On() {
		return
	}
	source := path.Join(b.directory(), "ld.so.cache")
	b.plan.Files = append(b.plan.Files, File{Path: source, Binary: l.Cache, Mode: 0o644})
	b.mounts = append(b.mounts, mount{Mount: bindFile(source, ld.CachePath), origin: "hostrun: the image's, and " + l.Summary(), key: "python"})
	for _, lib := range l.Libraries {
		b.plan.Borrowed = append(b.plan.Borrowed, Borrowed{Source: lib.Source, Destination: lib.Path, Bytes: lib.Bytes, For: packageOf(lib.For), Kind: KindLibrary})
	}
}

// addBind mounts one place of the host.
func (b *builder) addBind(bind proof.Bind) {
	m := mount{Mount: bindFile(bind.Source, bind.Destination), origin: "host " + bind.Kind + " for " + bind.For, key: "python"}
	if bind.Dir {
		m.Mount = b.borrowed(bind.Source, bind.Destination)
	}
	if dir, at, closed := b.closed(bind.Destination); closed {
		b.notTraversed("python", bind.Destination, dir, at, finding.Warning)
	}
	b.mounts = append(b.mounts, m)
	if bind.Kind != proof.BindLibraries { // its libraries are listed one by one
		b.plan.Borrowed = append(b.plan.Borrowed, Borrowed{Source: bind.Source, Destination: bind.Destination, Bytes: bind.Bytes, For: bind.For, Kind: bind.Kind})
	}
}

func packageOf(module string) string {
	top, _, _ := strings.Cut(module, ".")
	return top
}

// A Lending says whether and where libraries of the host may go; the proof decides which.
type Lending struct {
	Root string // directory of the container; "" where there is no place
	Off  bool   // the profile does not want it
}

// On says that libraries may be lent.
func (l Lending) On() bool { return l.Root != "" && !l.Off }

// lending finds the place for libraries. A mount over /etc or its ld.so.cache leaves no way to make the loader find them.
func (b *builder) lending() Lending {
	if b.p.Python.BorrowLibraries == "off" {
		return Lending{Off: true}
	}
	if m, covered := b.coveredBy(ld.CachePath); covered {
		b.report(m.key, finding.Finding{
			ID: finding.CacheCovered, Severity: finding.Info, Subject: ld.CachePath,
			Got:     fmt.Sprintf("%s is mounted at %s", m.Source, m.Destination),
			Message: "libraries that the image lacks are not lent by the host: the mount at " + m.Destination + " covers " + ld.CachePath,
			Remedy:  "mount something smaller than " + m.Destination + ", or set python.borrow_libraries: off",
		})
		return Lending{}
	}
	for _, root := range borrowedRoots {
		if at := path.Join(root, "lib"); b.hasPlace(root) {
			return Lending{Root: at}
		}
	}
	return Lending{}
}

// hasPlace says whether directories can be made below root without a volume or a file of the image in the way.
func (b *builder) hasPlace(root string) bool {
	covered := slices.ContainsFunc(b.mounts, func(m mount) bool { return !m.replaceable && within(root, b.real(m.Destination)) })
	_, _, closed := b.closed(path.Join(root, "lib"))
	return !covered && !closed && !b.isFile(root) && !b.isFile(path.Dir(root))
}

// lentTo says whether the proof lent all that links of the package lead to.
func (b *builder) lentTo(pkg string) bool {
	if b.f.Proof == nil || b.f.Proof.Lent == nil {
		return false
	}
	l := b.f.Proof.Lent
	return slices.ContainsFunc(l.Binds, func(bind proof.Bind) bool { return bind.For == pkg && bind.Kind != proof.BindLibraries }) &&
		!slices.ContainsFunc(l.Left, func(left proof.Left) bool { return left.For == pkg })
}

// tellPython names the interpreter that was chosen.
func (b *builder) tellPython() {
	b.plan.Python = b.python
	b.plan.FromHost = b.python != nil && !usesHostRoot(b.p) && b.python == &b.f.Host.Python.Python
}

// lentLibstdcxx says whether a finding about the image's libstdc++ is answered: the host lends it.
func (b *builder) lentLibstdcxx(f finding.Finding) bool {
	return f.ID == finding.LibcFloor && strings.Contains(f.Message, libstdcxx) && !strings.Contains(f.Message, "GLIBC_") &&
		b.f.Proof != nil && b.f.Proof.Lent != nil && b.plan.Lending.On() &&
		slices.ContainsFunc(b.f.Proof.Lent.Libraries, func(l stage.Library) bool { return l.Name == libstdcxx })
}

const libstdcxx = "libstdc++.so.6"
