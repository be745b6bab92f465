package profiles

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// visibleNPU is what Ascend's runtime takes in ASCEND_VISIBLE_DEVICES besides numbers, and rangeOfNPUs its range, whose ends may have
// spaces around them (mind-cluster, ascend-docker-runtime, runtime/process/process.go).
var (
	visibleNPU  = pattern.New(`^(?:Ascend(?:910|310B|310P|310)|npu)-([0-9]+)$`)
	rangeOfNPUs = pattern.New(`^([0-9]+)\s*-\s*([0-9]+)$`)
)

// ascendRuntime is what ASCEND_RUNTIME_OPTIONS says.
type ascendRuntime struct {
	virtual bool // the numbers are those of vdavinci nodes
}

// readAscendRuntime reads the other variables of Ascend's runtime that change what a container gets. ASCEND_RUNTIME_MOUNTS and
// ASCEND_ALLOW_LINK are about lists of files that hostrun does not need; DISABLE_UB_MOUNT and the like are its switches.
func (d *decoder) readAscendRuntime() (r ascendRuntime) {
	p := d.profile
	for _, v := range p.Environment {
		key := join("environment", v.Name)
		pos := d.place(key, "environment")
		switch {
		case v.Name == "ASCEND_RUNTIME_OPTIONS" && v.Value != "":
			for word := range strings.SplitSeq(v.Value, ",") {
				switch strings.TrimSpace(word) {
				case "NODRV":
					if p.Ascend.Driver == "" {
						p.Ascend.Driver = "none"
					}
				case "VIRTUAL":
					r.virtual = true
				default:
					d.badAt(pos, key, "write NODRV, VIRTUAL, or both with a comma", "%q is no option of Ascend's runtime", abridged(word))
				}
			}
		case v.Name == "ASCEND_VNPU_SPECS" && v.Value != "":
			d.badAt(pos, key, "make it on the host, npu-smi set -t create-vnpu -i 0 -c 0 -f "+abridged(v.Value)+", and name it: npus: [vdavinci100]", "hostrun makes no virtual NPU: it gives those that are there")
		}
	}
	return r
}

// visibleNPUs makes a request of what Ascend's runtime would read: numbers in any order, each once however often it is said. NPUs that
// the profile has under devices:, too, are those: compose files say both where they serve hosts with the runtime and without.
func (d *decoder) visibleNPUs(v visible, r ascendRuntime) {
	ids, err := visibleIDs(v.value)
	named := map[string]bool{}
	for _, dev := range d.profile.Devices {
		named[dev.Source] = true
	}
	prefix, node := "", "/dev/davinci"
	if r.virtual {
		prefix, node = "vdavinci", "/dev/vdavinci"
	}
	var rest []string
	for _, id := range ids {
		if !named[node+id] {
			rest = append(rest, prefix+id)
		}
	}
	switch {
	case err != nil:
		d.badAt(v.pos, v.key, `write numbers and ranges ("0,2" or "0-3"), or npus: all instead`, "%v", err)
	case len(d.profile.NPUs) > 0:
		d.badAt(v.pos, v.key, "remove one of the two", "npus: says which NPUs the container gets, too")
	case len(rest) > 0:
		d.profile.NPUs = []Accelerator{{IDs: rest, Key: v.key}}
	}
}

// maxVisible is the highest end of a range that Ascend's runtime takes.
const maxVisible = 128

func visibleIDs(value string) ([]string, error) {
	var words []string
	for word := range strings.SplitSeq(value, ",") {
		word = strings.TrimSpace(word)
		if m := visibleNPU.FindStringSubmatch(word); m != nil {
			word = m[1]
		}
		if m := rangeOfNPUs.FindStringSubmatch(word); m != nil {
			if last, err := strconv.Atoi(m[2]); err != nil || last > maxVisible {
				return nil, fmt.Errorf("%q ends beyond %d, the highest that Ascend's runtime takes", abridged(word), maxVisible)
			}
			word = m[1] + "-" + m[2]
		}
		words = append(words, word)
	}
	all, err := expand(strings.Join(words, ","))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, id := range all {
		if !digits(id) {
			return nil, fmt.Errorf("%q is no NPU", abridged(id))
		}
		if id = strings.TrimLeft(id, "0"); id == "" {
			id = "0"
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
