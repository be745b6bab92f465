package runtime

import (
	"fmt"

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
	if len(changed) == 0 && labels[labelHash] != pl.Hash {
		changed = append(changed, "generated files")
	}
	return changed
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
