package ascend

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"hostrun.dev/hostrun/finding"
)

// How long npu-smi's answer is kept for starts. npu-smi takes a second or two, a start a tenth of one.
const (
	// young answers stand for new ones.
	young = 30 * time.Second
	// old answers say nothing of now. Between, an answer is used and the next one is fetched behind the start's back.
	old = 15 * time.Minute
	// FirstAnswer is how long a start waits where there is no answer.
	FirstAnswer = 3 * time.Second
)

// Remember keeps npu-smi's answers in a file below dir, so that a start knows which chips are ill without asking. Where the answer
// is no longer young, refresh is called, which has to return at once: it lets another process ask by Inventory with needs.Health. It may be nil.
func Remember(dir string, refresh func()) Option {
	return func(s *Source) { s.memory, s.refresh = filepath.Join(dir, "ascend-health.json"), refresh }
}

// maxMemory bounds the file, in bytes.
const maxMemory = 1 << 20

// A record is an answer of npu-smi, or that there was none. It is a hint about health: nothing else rests on it.
type record struct {
	Key   string           `json:"key"` // of the inventory that it is about: its fingerprint
	Time  time.Time        `json:"time"`
	Error string           `json:"error,omitempty"`
	Chips map[int]keptChip `json:"chips,omitempty"` // by physical id
	// Joined says that each line of its table is one of Chips.
	Joined bool `json:"joined,omitempty"`
}

// A keptChip is what is kept of an smiChip.
type keptChip struct {
	Card   int    `json:"card"`
	Chip   int    `json:"chip"`
	Name   string `json:"name"`
	Health string `json:"health"`
	PCI    string `json:"pci,omitempty"`
	Memory int64  `json:"memory,omitempty"`
}

// load returns the kept answer about the machine as it is now, and its age; false for anything but a whole one.
func (s *Source) load(key string) (r record, age time.Duration, ok bool) {
	fi, err := os.Lstat(s.memory)
	if s.memory == "" || err != nil || !fi.Mode().IsRegular() || fi.Size() > maxMemory {
		return r, 0, false
	}
	b, err := os.ReadFile(s.memory)
	if err != nil || json.Unmarshal(b, &r) != nil || r.Key != key {
		return r, 0, false
	}
	age = s.now().Sub(r.Time)
	return r, age, age >= 0 && age < old
}

// store writes by rename. A memory that can't be written is none.
func (s *Source) store(key string, a asked, failure error) {
	if s.memory == "" || errors.Is(failure, fs.ErrNotExist) {
		return
	}
	r := record{Key: key, Time: s.now(), Chips: map[int]keptChip{}, Joined: a.joined}
	if failure != nil {
		r.Error = failure.Error()
	}
	for id, c := range a.chips {
		r.Chips[id] = keptChip{c.card, c.chip, c.name, c.health, c.pci, c.memory}
	}
	body, err := json.Marshal(r)
	if err != nil || os.MkdirAll(filepath.Dir(s.memory), 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(s.memory), ".ascend-*")
	if err != nil {
		return
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.memory)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

// recallHealth tells a start what npu-smi said last. Where it has said nothing yet, it is asked, and waited for a moment. Processes
// and PCI addresses are not taken from it: the plan of a container must not change with the age of an answer.
func (l *listing) recallHealth(ctx context.Context, key string) []finding.Finding {
	s := l.source
	r, age, ok := s.load(key)
	if !ok {
		return l.askFirst(ctx, key)
	}
	if age >= young && s.refresh != nil {
		s.refresh()
	}
	l.asked.chips, l.asked.joined = map[int]smiChip{}, r.Joined
	for id, k := range r.Chips {
		l.asked.chips[id] = smiChip{card: k.Card, chip: k.Chip, physical: id, logic: -1, name: k.Name, health: k.Health, pci: k.PCI, memory: k.Memory}
	}
	var failed error
	if r.Error != "" {
		failed = errors.New(r.Error)
	}
	return l.tellSilence(failed)
}

// askFirst asks and does not wait long. What comes too late is for the next start.
func (l *listing) askFirst(ctx context.Context, key string) []finding.Finding {
	short, cancel := context.WithTimeout(ctx, l.source.patience)
	defer cancel()
	found := l.ask(short, key)
	l.asked.processes = nil
	if short.Err() == nil || ctx.Err() != nil {
		return found
	}
	l.health = "npu-smi has not answered yet"
	if l.source.refresh != nil {
		l.source.refresh()
	}
	return nil
}
