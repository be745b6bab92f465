package plan

import (
	"fmt"
	"slices"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
)

// installers come with every environment, and no job imports them.
var installers = []string{"pip", "setuptools", "wheel"}

// checkShadowed tells of distributions that both sides have in different versions: one of the two is never imported.
func (b *builder) checkShadowed(image *abi.Python) {
	if b.p.Python.Target != "" {
		return // what the mount hides is told of as a whole (HR042)
	}
	lentVersions := map[string]host.Package{}
	for _, p := range b.f.Host.Python.Packages {
		if key := host.Normalise(p.Name); lentVersions[key].Name == "" {
			lentVersions[key] = p
		}
	}
	for _, own := range b.f.Image.Packages {
		key := host.Normalise(own.Name)
		lent, both := lentVersions[key]
		if !both || own.Version == lent.Version || slices.Contains(installers, key) || !slices.Contains(image.SiteDirs, own.Site) {
			continue
		}
		first, second := own, lent
		if b.p.Python.Precedence == "host" {
			first, second = lent, own
		}
		b.report("python", finding.Finding{
			ID: finding.ShadowedPackage, Severity: finding.Warning, Subject: lent.Name,
			Got:     fmt.Sprintf("%s in the image, %s on the host", own.Version, lent.Version),
			Want:    "one version, or the same on both sides",
			Message: fmt.Sprintf("%s %s (%s) is imported, not %s (%s)", lent.Name, first.Version, first.Site, second.Version, second.Site),
			Remedy:  "remove it from one side, or choose with python.precedence",
		})
	}
}

// imageHas says whether the image's interpreter finds a package that python.packages names, by the name of a
// distribution or of a module.
func (b *builder) imageHas(name string) bool {
	if b.python == nil {
		return false
	}
	for _, p := range b.f.Image.Packages {
		if host.Normalise(p.Name) == host.Normalise(name) && slices.Contains(b.python.SiteDirs, p.Site) {
			return true
		}
	}
	for _, s := range b.f.Image.Sites {
		if slices.Contains(s.Modules, name) && slices.Contains(b.python.SiteDirs, s.Path) {
			return true
		}
	}
	return false
}
