package runtime

import (
	"encoding/json"
	"os"

	"github.com/containerd/containerd/v2/core/containers"

	"hostrun.dev/hostrun/plan"
)

// another says whether the plan makes another container than the one of the record. The hash of a plan heeds the order in which a profile
// writes variables and volumes, which makes none: where it differs, it is looked whether there is more to it.
func (c *Client) another(r containers.Container, pl plan.Plan) bool {
	return r.Labels[labelHash] != pl.Hash && !c.onlyReordered(r, pl)
}

func (c *Client) onlyReordered(r containers.Container, pl plan.Plan) bool {
	if pl.MadeOf == nil {
		return false
	}
	var was, is plan.Made
	kept, err := os.ReadFile(c.madeOf(pl.ID))
	if err != nil || json.Unmarshal(kept, &was) != nil || json.Unmarshal(pl.MadeOf(), &is) != nil || !is.OnlyReordered(was) {
		return false
	}
	old, err := specOf(r)
	if err != nil || len(c.fixedChanges(r, old, pl)) > 0 || len(labelChanges(r, pl)) > 0 {
		return false
	}
	return len(plan.Diff(old, pl.Spec)) == 0 // limits are none of the fixed changes
}
