package frameworks

import (
	"slices"
	"strings"
)

// pins collects the requirements between the distributions that were read which do not hold: what pip check would say of
// them, where the metadata tells. Of those that are absent only NVIDIA's are listed: what else torch needs is no matter
// of accelerators.
func (r *reader) pins() {
	names := make([]string, 0, len(r.dists))
	for name := range r.dists {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		r.pinsOf(r.dists[name], nil, 0)
	}
}

// maxExtras bounds how deep extras of one distribution ask for those of another: torch asks for cuda-toolkit[cudart].
const maxExtras = 2

func (r *reader) pinsOf(d *dist, extras []string, depth int) {
	by := strings.TrimSpace(d.name + " " + d.version)
	for _, q := range d.requires {
		if !r.asked(q, extras) {
			continue
		}
		got := r.dists[q.name]
		pin := Pin{By: by, Requires: q.text}
		switch {
		case got == nil && !isWheelOfCUDA(q.name):
			continue
		case got != nil:
			allowed, known := allows(q.specifiers, r.versionOf(got))
			if len(q.extras) > 0 && depth < maxExtras {
				r.pinsOf(got, q.extras, depth+1)
			}
			if allowed || !known {
				continue
			}
			pin.Got = got.version
		}
		if !slices.Contains(r.facts.Conflict, pin) && len(r.facts.Conflict) < maxFiles {
			r.facts.Conflict = append(r.facts.Conflict, pin)
		}
	}
}

// asked says whether a requirement holds here: without an extra, or with one of those given.
func (r *reader) asked(q requirement, extras []string) bool {
	vars := map[string]string{"python_version": r.minor(), "python_full_version": r.p.Python, "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
		"platform_machine": r.p.Arch, "implementation_name": "cpython", "platform_python_implementation": "CPython", "extra": ""}
	if len(extras) == 0 {
		return q.applies(vars)
	}
	return slices.ContainsFunc(extras, func(extra string) bool {
		vars["extra"] = extra
		return strings.Contains(q.marker, "extra") && q.applies(vars)
	})
}

// minor is "3.11" of "3.11.2".
func (r *reader) minor() string {
	parts := strings.SplitN(r.p.Python, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// versionOf is what a requirement is held against: torch's own word, as a build of one's own may lack metadata.
func (r *reader) versionOf(d *dist) string {
	if d.name == "torch" && r.facts.Torch != nil {
		return or(d.version, r.facts.Torch.Version)
	}
	return d.version
}

func isWheelOfCUDA(name string) bool {
	return strings.HasPrefix(name, "nvidia-") || name == "cuda-toolkit"
}
