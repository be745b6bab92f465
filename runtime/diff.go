package runtime

import (
	"encoding/json"
	"fmt"
	"sort"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/plan"
)

// diff names the fields in which the spec that runs differs from the plan's: "process.args: [...] -> [...]".
func diff(old *specs.Spec, labels map[string]string, pl plan.Plan) []string {
	var changed []string
	compare("", tree(old), tree(pl.Spec), &changed)
	if was, is := labels["hostrun.dev/image-digest"], pl.Digest; was != is {
		changed = append(changed, fmt.Sprintf("image: %s -> %s", was, is))
	}
	if len(changed) == 0 && labels[labelHash] != pl.Hash {
		changed = append(changed, "generated files")
	}
	return changed
}

func tree(v any) any {
	b, _ := json.Marshal(v)
	var t any
	_ = json.Unmarshal(b, &t)
	return t
}

func compare(at string, old, now any, changed *[]string) {
	a, ok1 := old.(map[string]any)
	b, ok2 := now.(map[string]any)
	if !ok1 || !ok2 {
		if x, y := text(old), text(now); x != y {
			*changed = append(*changed, at+": "+x+" -> "+y)
		}
		return
	}
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	sorted := make([]string, 0, len(keys))
	for k := range keys {
		sorted = append(sorted, k)
	}
	sort.Strings(sorted)
	for _, k := range sorted {
		below := k
		if at != "" {
			below = at + "." + k
		}
		compare(below, a[k], b[k], changed)
	}
}

func text(v any) string {
	if v == nil {
		return "none"
	}
	b, _ := json.Marshal(v)
	return string(b)
}
