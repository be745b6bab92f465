package nvidia

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hostrun.dev/hostrun/devices/nvidia/nvml"
)

// retry is how long an answer is kept in which the library or a GPU did not answer, or a GPU was bad: a hung GPU costs its deadline
// once in this time, and one that was reset is noticed after it.
const retry = time.Minute

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

// load returns false for anything but a whole record that this user or root wrote. Whatever is wrong costs a question.
func load(file, key string) (record, bool) {
	fi, err := os.Lstat(file)
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxCache || !ours(fi) {
		return record{}, false
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return record{}, false
	}
	head, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(head) != seal(body) {
		return record{}, false
	}
	var r record
	if json.Unmarshal(body, &r) != nil || r.Key != key {
		return record{}, false
	}
	return r, true
}

func seal(body []byte) string {
	sum := sha256.Sum256(body)
	return schema + " " + hex.EncodeToString(sum[:])
}

// store writes the record by rename. A cache that can't be written is none.
func store(file string, r record) {
	body, err := json.Marshal(r)
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".nvidia-*")
	if err != nil {
		return
	}
	_, err = f.Write(append([]byte(seal(body)+"\n"), body...))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}
