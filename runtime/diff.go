package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/plan"
)

// diff names the fields in which what runs differs from the plan: "process.args: [...] -> [...]".
func diff(old *specs.Spec, labels map[string]string, pl plan.Plan) []string {
	changed := plan.Diff(old, pl.Spec)
	if was, is := labels["hostrun.dev/image-digest"], pl.Digest; was != is {
		changed = append(changed, fmt.Sprintf("image: %s -> %s", was, is))
	}
	if was, is := labels[plan.LabelRuntime], pl.Labels[plan.LabelRuntime]; was != is {
		changed = append(changed, fmt.Sprintf("runtime: %s -> %s", orNone(was), orNone(is)))
	}
	if was, is := labels[plan.LabelDevices], pl.Labels[plan.LabelDevices]; was != is {
		changed = append(changed, fmt.Sprintf("devices: %s -> %s", orNone(was), orNone(is)))
	}
	changed = append(changed, ownLabels(labels, pl.Labels)...)
	if len(changed) == 0 && labels[labelHash] != pl.Hash {
		changed = append(changed, "generated files")
	}
	return changed
}

// ownLabels compares the profile's own labels; those of hostrun stand for keys of the profile, and are none of the container's.
func ownLabels(was, is map[string]string) []string {
	both := map[string]bool{}
	for _, labels := range []map[string]string{was, is} {
		for name := range labels {
			both[name] = true
		}
	}
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(both)) {
		old, had := was[name]
		now, has := is[name]
		if strings.HasPrefix(name, plan.LabelPrefix) || strings.HasPrefix(name, "containerd.io/") || had == has && old == now {
			continue
		}
		if !had {
			old = "(none)"
		} else if !has {
			now = "(none)"
		}
		changed = append(changed, fmt.Sprintf("labels[%s]: %s -> %s", name, old, now))
	}
	return changed
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// A Comparison is a container beside the plan that would be started now.
type Comparison struct {
	Action  string   // what Up would do: "created", "replaced", "started", "unchanged"
	Changed []string // the fields of its specification, as in UpResult, and its secrets and configs
	MadeOf  []byte   // plan.Made as JSON; nil where nobody has kept it
}

// Compare says in what a container differs from the plan. It changes nothing.
func (c *Client) Compare(ctx context.Context, pl plan.Plan) (Comparison, error) {
	ctx = c.in(ctx)
	r, err := c.own(ctx, pl.ID)
	if errors.Is(err, ErrNoContainer) {
		return Comparison{Action: "created"}, nil
	}
	if err != nil {
		return Comparison{}, err
	}
	if err := taken(r, pl); err != nil {
		return Comparison{}, err
	}
	task, err := c.getTask(ctx, pl.ID)
	if err != nil {
		return Comparison{}, err
	}
	found := Comparison{Action: "unchanged"}
	switch {
	case c.another(r, pl):
		found.Action, found.Changed = "replaced", changes(r, pl)
	case !runs(task):
		found.Action, found.Changed = "started", dataChanges(pl)
	default:
		if found.Changed = dataChanges(pl); len(found.Changed) > 0 {
			found.Action = "replaced"
		}
	}
	found.MadeOf, err = os.ReadFile(c.madeOf(pl.ID))
	if errors.Is(err, fs.ErrNotExist) { // of an earlier version
		err = nil
	}
	return found, err
}
