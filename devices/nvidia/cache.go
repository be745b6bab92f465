package nvidia

import (
	"encoding/json"
	"slices"
	"time"

	"hostrun.dev/hostrun/cachefile"
	"hostrun.dev/hostrun/devices/nvidia/nvml"
)

// retry is how long an answer is kept in which the library or a GPU did not answer, or a GPU was bad: a hung GPU costs its deadline
// once in this time, and one that was reset is noticed after it.
const retry = time.Minute

const cacheKind = cachefile.Kind(schema)

// maxCache bounds a cache file, in bytes.
const maxCache = 8 << 20

// A record is what is kept between commands: what NVML said, what the bus has, and the driver's libraries: each takes many reads.
type record struct {
	Key       string      `json:"key"`
	Asked     bool        `json:"asked"`
	Time      time.Time   `json:"time"` // of the answer
	Answer    nvml.Answer `json:"answer"`
	Bus       []pciDevice `json:"bus"`
	Libraries []Library   `json:"libraries"`
	Compat    *Compat     `json:"compat,omitempty"`
}

// usable says whether the answer of a record may stand for a new one.
func (r record) usable(now time.Time) bool {
	age := now.Sub(r.Time)
	return r.Asked && (r.Answer.Whole() && !slices.ContainsFunc(r.Answer.GPUs, faulty) || age >= 0 && age < retry)
}

// load returns false for anything but a whole record of this key. Whatever is wrong costs a question.
func load(file, key string) (record, bool) {
	body, ok := cacheKind.Read(file, maxCache)
	var r record
	if !ok || json.Unmarshal(body, &r) != nil || r.Key != key {
		return record{}, false
	}
	return r, true
}

// store writes the record. A cache that can't be written is none.
func store(file string, r record) {
	if body, err := json.Marshal(r); err == nil {
		_ = cacheKind.Write(file, body)
	}
}
