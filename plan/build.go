package plan

import (
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// Needs says which facts of its image the profile asks for.
func Needs(p *profiles.Profile) ImageNeeds {
	panic("plan: being written")
}

// BindSources returns the host paths whose Facts.Sources the plan needs, sorted.
func BindSources(p *profiles.Profile) []string {
	panic("plan: being written")
}

// Build proves that host, image and profile fit and makes the spec. The plan always carries its findings; when one of
// them stops the start, the error is a *Refused and the plan is as complete as it can be.
func Build(f Facts) (Plan, error) {
	panic("plan: being written")
}

// Refused is the error of a plan that must not start.
type Refused struct {
	Profile  string
	Findings []finding.Finding // of severity error
}

func (r *Refused) Error() string {
	return r.Profile + ": " + r.Findings[0].Message
}
