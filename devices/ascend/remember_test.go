package ascend

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/finding"
)

// A ward is a machine whose npu-smi answers as it is told, and is remembered.
type ward struct {
	t         *testing.T
	root, dir string
	answer    string // of npu-smi info
	failure   error
	asked     atomic.Int32
	refreshed int
	clock     time.Time
	wait      bool // npu-smi hangs
}

func newWard(t *testing.T, m ascendtest.Machine, table string) *ward {
	w := &ward{t: t, root: t.TempDir(), dir: t.TempDir(), answer: table, clock: time.Unix(1<<30, 0)}
	ascendtest.Build(t, w.root, m)
	return w
}

// start is the inventory that a start gets, and devices that of one who asks for health.
func (w *ward) look(needs devices.Needs) devices.Inventory {
	w.t.Helper()
	answer, failure, wait := w.answer, w.failure, w.wait // nobody waits for one that hangs: it may see what comes after
	s := New(w.root, Remember(w.dir, func() { w.refreshed++ }), NPUSMI(func(ctx context.Context, args ...string) ([]byte, error) {
		if len(args) == 1 {
			w.asked.Add(1)
		}
		if wait {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return []byte(answer), failure
	}))
	s.now, s.patience = func() time.Time { return w.clock }, time.Hour
	if w.wait {
		s.patience = 50 * time.Millisecond
	}
	inv, err := s.Inventory(w.t.Context(), needs)
	if err != nil {
		w.t.Fatal(err)
	}
	return inv
}

func (w *ward) expect(what string, asked, refreshed int) {
	w.t.Helper()
	if n := int(w.asked.Swap(0)); n != asked || w.refreshed != refreshed {
		w.t.Errorf("%s: asked %d times, want %d; refreshed %d times, want %d", what, n, asked, w.refreshed, refreshed)
	}
	w.refreshed = 0
}

// TestCriticalChipIsNotGiven: starts did not ask npu-smi, so that a chip which it calls critical was given out. They know by its last
// answer, and do not wait for a new one.
func TestCriticalChipIsNotGiven(t *testing.T) {
	w := newWard(t, ascendtest.A3(), table(t, "info-a3.txt")) // die 5 is critical
	for name, c := range map[string]struct {
		ask  devices.Ask
		want int
	}{"16": {devices.Ask{Count: 16}, 0}, "14": {devices.Ask{Count: 14}, 14}, "the sick one": {devices.Ask{IDs: []string{"4", "5"}}, 0}, "its neighbours": {devices.Ask{IDs: []string{"6", "7"}}, 2}, "all": {devices.Ask{All: true}, 14}} {
		inv := w.look(devices.Needs{Users: true})
		for i := range inv.Devices {
			inv.Devices[i].Users = nil
		}
		c.ask.Kind, c.ask.Key = Kind, "npus"
		chosen, found := devices.Choose(inv, []devices.Ask{c.ask}, devices.State{})
		if len(chosen[0]) != c.want || (c.want == 0) != (len(finding.Errors(found)) == 1) {
			t.Errorf("%s: %d chosen, want %d: %+v", name, len(chosen[0]), c.want, found)
		}
		for _, d := range chosen[0] {
			if d.Name == "4" || d.Name == "5" {
				t.Errorf("%s: %s is of a card that does not work", name, d.Name)
			}
		}
		if c.want == 0 && !strings.Contains(found[0].Got, "npu-smi: Critical") {
			t.Errorf("%s: %+v", name, found)
		}
	}
	w.expect("five starts", 1, 0)
}

// TestAnswersAge: a young answer stands for a new one, an older one is used while another process asks, and an old one is none.
func TestAnswersAge(t *testing.T) {
	w := newWard(t, ascendtest.A2(), table(t, "info-a2.txt"))
	first := w.look(devices.Needs{})
	w.expect("the first start", 1, 0)
	again := w.look(devices.Needs{})
	w.expect("a start at once", 0, 0)
	if d := again.Devices[3]; d.Health.State != "warn" || d.Memory != 32<<30 || d.Model != "Ascend 910B4" || len(d.Users) > 0 || first.Devices[3].Health.State != "warn" {
		t.Errorf("%+v", d)
	}
	w.clock = w.clock.Add(young)
	w.look(devices.Needs{})
	w.expect("after a while", 0, 1)
	w.clock = w.clock.Add(old)
	w.look(devices.Needs{})
	w.expect("much later", 1, 0)
	w.look(devices.Needs{Health: true})
	w.expect("who asks for health", 1, 0)
	w.clock = w.clock.Add(-time.Hour)
	w.look(devices.Needs{})
	w.expect("an answer of the future", 1, 0)
	ascendtest.Write(t, w.root, "/proc/sys/kernel/random/boot_id", "another\n")
	w.look(devices.Needs{})
	w.expect("after a boot", 1, 0)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(w.dir, "ascend-health.json"), []byte("{"), 0o644))
	w.look(devices.Needs{})
	w.expect("a damaged file", 1, 0)
	must(os.Remove(filepath.Join(w.dir, "ascend-health.json")))
	must(os.Symlink("/dev/zero", filepath.Join(w.dir, "ascend-health.json")))
	w.look(devices.Needs{})
	w.expect("a link in its place", 1, 0)
	must(os.RemoveAll(w.dir))
	must(os.WriteFile(w.dir, nil, 0o644))
	if inv := w.look(devices.Needs{}); inv.Devices[3].Health.State != "warn" {
		t.Errorf("no place to write: %+v", inv.Devices[3])
	}
	w.expect("no place to write", 1, 0)
}

// TestSilentNPUSMI: a start does not wait long for one that hangs, and one that fails is not asked by every start.
func TestSilentNPUSMI(t *testing.T) {
	w := newWard(t, ascendtest.A2(), "")
	w.wait = true
	inv := w.look(devices.Needs{})
	if len(inv.Findings) > 0 || len(inv.Devices) != 8 || inv.Devices[0].Health.State != "unknown" || inv.Devices[0].Health.Reasons[0] != "npu-smi has not answered yet" {
		t.Errorf("%+v", inv)
	}
	w.expect("one that hangs", 1, 1)
	w.wait, w.failure = false, errors.New("exit status 1")
	w.look(devices.Needs{Health: true})
	inv = w.look(devices.Needs{})
	if len(inv.Findings) != 1 || inv.Findings[0].ID != finding.AscendHealth || !strings.Contains(inv.Findings[0].Message, "exit status 1") || inv.Devices[0].Health.State != "unknown" {
		t.Errorf("%+v", inv.Findings)
	}
	w.expect("one that fails", 1, 0)
}

// TestAnswersChangeNoPlan: what a container gets is the same with and without an answer, or an up would replace it for nothing.
func TestAnswersChangeNoPlan(t *testing.T) {
	m := ascendtest.A2()
	m.NoTable = true // only npu-smi could join addresses and chips
	w := newWard(t, m, table(t, "info-a2.txt"))
	w.wait = true
	without := w.look(devices.Needs{})
	w.wait = false
	for _, inv := range []devices.Inventory{w.look(devices.Needs{}), w.look(devices.Needs{})} {
		for i, d := range inv.Devices {
			if o := without.Devices[i]; d.CPUs != o.CPUs || d.NUMA != o.NUMA || d.Name != o.Name || d.Group != o.Group {
				t.Errorf("%+v, without an answer %+v", d, o)
			}
		}
		if inv.Fingerprint != without.Fingerprint {
			t.Error("the fingerprint depends on the answer")
		}
	}
}
