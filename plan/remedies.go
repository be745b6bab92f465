package plan

import (
	"path"
	"slices"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

// proposedMount finds the mount that a remedy of HR032 proposes: "/p:/p:ro" under volumes.
var proposedMount = pattern.New(`"(/[^":]*):(/[^":]*):ro"`)

// settled reports whether the plan has an answer to what an earlier stage found.
func (b *builder) settled(f finding.Finding) bool {
	if b.plan.FromHost && (f.ID == finding.PythonMissingImage || f.ID == finding.PythonBrokenVenv && slices.Contains(b.f.Image.Findings, f)) {
		return true // the image's interpreter does not run
	}
	if better := saidBetter[f.ID]; better != "" && b.has(better) {
		return true
	}
	return f.ID == finding.PackageMissing && b.imageHas(f.Subject) || b.mounted(f) || b.lentLibstdcxx(f)
}

// saidBetter are findings about packages alone that a finding about the chosen devices repeats with more.
var saidBetter = map[string]string{
	finding.NPUOtherTorch:   finding.AscendTorchBase,
	finding.TwoAccelerators: finding.AscendTwoAccelerators,
}

// mounted reports whether the plan already mounts what the finding says is not mounted: the profile took the remedy, or
// hostrun did it by itself.
func (b *builder) mounted(f finding.Finding) bool {
	if f.ID != finding.SitePathIgnored || f.Severity == finding.Error {
		return false
	}
	if b.lentTo(path.Base(f.Subject)) {
		return true
	}
	m := proposedMount.FindStringSubmatch(f.Remedy)
	if m == nil || m[1] != m[2] {
		return false
	}
	if usesHostRoot(b.p) && b.ofHostRoot(m[1]) {
		return true
	}
	for _, have := range b.mounts {
		if have.Type == "bind" && have.Source == have.Destination && (within(m[1], have.Destination) || within(have.Destination, m[1])) {
			return true // the whole, or the part of it that is imported from: src of a project
		}
	}
	return false
}
