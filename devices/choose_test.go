package devices_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// gpus makes n GPUs; link(i, j) is what connects two of them.
func gpus(n int, link func(i, j int) devices.Link) devices.Inventory {
	inv := devices.Inventory{Kind: devices.KindGPU}
	for i := range n {
		inv.Devices = append(inv.Devices, devices.Device{Kind: devices.KindGPU, Name: fmt.Sprintf("GPU-%d", i), Index: i, NUMA: i * 2 / max(n, 1),
			PCI: fmt.Sprintf("0000:%02x:00.0", 16+i), Aliases: []string{fmt.Sprintf("gpu%d", i)}, Memory: 80 << 30, Health: devices.Health{State: "ok"},
			Nodes: []string{fmt.Sprintf("/dev/nvidia%d", i)}})
		for j := range i {
			if link == nil {
				continue
			}
			if l := link(j, i); l.Weight > 0 {
				l.A, l.B = inv.Devices[j].Name, inv.Devices[i].Name
				inv.Links = append(inv.Links, l)
			}
		}
	}
	return inv
}

// pairs are NVLink bridges between 0 and 1, 2 and 3, ...; all else is the PCI bus.
func pairs(i, j int) devices.Link {
	if i/2 == j/2 {
		return devices.Link{Kind: "NV4", Weight: 400}
	}
	if i/4 == j/4 {
		return devices.Link{Kind: "NODE", Weight: 20}
	}
	return devices.Link{Kind: "SYS", Weight: 10}
}

// dies are NPUs of two to a card.
func dies(n int) devices.Inventory {
	inv := gpus(n, nil)
	inv.Kind = devices.KindNPU
	for i := range inv.Devices {
		d := &inv.Devices[i]
		d.Kind, d.Name, d.Group, d.Nodes = inv.Kind, fmt.Sprint(i), fmt.Sprintf("card %d", i/2), []string{fmt.Sprintf("/dev/davinci%d", i)}
	}
	return inv
}

// divided has GPU-0 cut into three partitions.
func divided() devices.Inventory {
	inv := gpus(3, nil)
	parts := []devices.Device{}
	for i, profile := range []string{"1g.10gb", "1g.10gb", "3g.40gb"} {
		parts = append(parts, devices.Device{Kind: devices.KindGPU, Name: fmt.Sprintf("MIG-%d", i), Aliases: []string{fmt.Sprintf("0:%d", i)}, Index: -1, NUMA: -1,
			Parent: "GPU-0", Profile: profile, Memory: 10 << 30, Health: devices.Health{State: "ok"}})
	}
	inv.Devices = slices.Insert(inv.Devices, 1, parts...)
	return inv
}

// allDivided is a machine whose only GPU is divided, and whose driver's library was not asked.
func allDivided() devices.Inventory {
	inv := divided()
	inv.Devices, inv.Unasked = inv.Devices[:4], "NVML was not asked"
	return inv
}

func change(inv devices.Inventory, fn func(all []devices.Device)) devices.Inventory {
	fn(inv.Devices)
	return inv
}

func held(names ...string) []devices.Lease {
	var all []devices.Lease
	for _, name := range names {
		all = append(all, devices.ParseLeases(devices.KindGPU+"="+name, "train")...)
		all = append(all, devices.ParseLeases(devices.KindNPU+"="+name, "train")...)
	}
	return all
}

var ask = devices.Ask{Kind: devices.KindGPU, Key: "gpus", File: "job.yaml", Line: 3}

func count(n int) devices.Ask { a := ask; a.Count = n; return a }

func ids(names ...string) devices.Ask { a := ask; a.IDs = names; return a }

func with(a devices.Ask, fn func(*devices.Ask)) devices.Ask { fn(&a); return a }

// TestChoose has a line a behaviour: what is chosen, "|" between asks, or the finding and words of its message.
func TestChoose(t *testing.T) {
	every := with(ask, func(a *devices.Ask) { a.All = true })
	for name, c := range map[string]struct {
		inv  devices.Inventory
		asks []devices.Ask
		st   devices.State
		want string
	}{
		"one of a broken pair, so that whole pairs stay": {gpus(8, pairs), []devices.Ask{count(1)}, devices.State{Held: held("GPU-5")}, "GPU-4"},
		"the first of equals":                            {gpus(8, pairs), []devices.Ask{count(1)}, devices.State{}, "GPU-0"},
		"two that are linked":                            {gpus(8, pairs), []devices.Ask{count(2)}, devices.State{Held: held("GPU-0", "GPU-3")}, "GPU-4 GPU-5"},
		"four of one node":                               {gpus(8, pairs), []devices.Ask{count(4)}, devices.State{Held: held("GPU-1")}, "GPU-4 GPU-5 GPU-6 GPU-7"},
		"what it had":                                    {gpus(8, pairs), []devices.Ask{count(2)}, devices.State{Keep: []string{"GPU-6", "GPU-3"}}, "GPU-3 GPU-6"},
		"what it had and more":                           {gpus(8, pairs), []devices.Ask{count(2)}, devices.State{Keep: []string{"GPU-6"}}, "GPU-6 GPU-7"},
		"what it had is leased now":                      {gpus(2, nil), []devices.Ask{count(1)}, devices.State{Keep: []string{"GPU-0"}, Held: held("GPU-0")}, "GPU-1"},
		"what it had, though others wait":                {gpus(1, nil), []devices.Ask{count(1)}, devices.State{Keep: []string{"GPU-0"}, Now: []string{"GPU-0"}, Claimed: map[string]string{"GPU-0": "other"}}, "GPU-0"},
		"what it had before it stopped, and others wait": {gpus(1, nil), []devices.Ask{count(1)}, devices.State{Keep: []string{"GPU-0"}, Claimed: map[string]string{"GPU-0": "other"}}, "HR074 container other has waited"},
		"what it had, used by its own processes":         {change(gpus(1, nil), func(d []devices.Device) { d[0].Users = []devices.User{{PID: 7}} }), []devices.Ask{count(1)}, devices.State{Keep: []string{"GPU-0"}, Now: []string{"GPU-0"}}, "GPU-0"},
		"an idle one":                                    {change(gpus(2, nil), func(d []devices.Device) { d[0].Users = []devices.User{{PID: 7}} }), []devices.Ask{count(1)}, devices.State{}, "GPU-1"},
		"a sound one": {change(gpus(2, nil), func(d []devices.Device) {
			d[0].Health = devices.Health{State: "warn", Reasons: []string{"remapped rows"}}
		}), []devices.Ask{count(1)}, devices.State{}, "GPU-1"},
		"never a bad one":                 {change(gpus(1, nil), func(d []devices.Device) { d[0].Health.State = "bad" }), []devices.Ask{count(1)}, devices.State{}, "HR076 1 GPU is asked for, and 0 of 1 will do"},
		"a bad one by name":               {change(gpus(1, nil), func(d []devices.Device) { d[0].Health.State = "bad" }), []devices.Ask{ids("0")}, devices.State{}, "HR076 GPU 0 (GPU-0) can't be given: it does not work"},
		"all but a bad one":               {change(gpus(2, nil), func(d []devices.Device) { d[0].Health.State = "bad" }), []devices.Ask{every}, devices.State{}, "GPU-1 HR076 left out of all"},
		"the smallest that is enough":     {change(gpus(2, nil), func(d []devices.Device) { d[1].Memory = 24 << 30 }), []devices.Ask{with(count(1), func(a *devices.Ask) { a.MinMemory = 20 << 30 })}, devices.State{}, "GPU-1"},
		"too little memory":               {gpus(2, nil), []devices.Ask{with(count(1), func(a *devices.Ask) { a.MinMemory = 100 << 30 })}, devices.State{}, "HR076 0 of 2 will do"},
		"nine of eight":                   {gpus(8, nil), []devices.Ask{count(9)}, devices.State{}, "HR073 9 GPUs are asked for, and this machine has 8"},
		"a range of unknown ones, in one": {gpus(2, nil), []devices.Ask{ids("1", "2", "3", "4", "5", "6", "7", "8")}, devices.State{}, "HR073 there is no GPU 2, 3, 4, 5, 6 and 2 more: this machine has 0 (GPU-0), 1 (GPU-1)"},
		"an unknown index":                {gpus(2, nil), []devices.Ask{ids("7")}, devices.State{}, "HR073 there is no GPU 7: this machine has 0 (GPU-0), 1 (GPU-1)"},
		"by index, alias, address":        {gpus(4, nil), []devices.Ask{ids("1", "gpu2", "0000:13:00.0", "/dev/nvidia0")}, devices.State{}, "GPU-1 GPU-2 GPU-3 GPU-0"},
		"an address of two":               {change(dies(2), func(d []devices.Device) { d[1].PCI = d[0].PCI }), []devices.Ask{ids("0000:10:00.0")}, devices.State{}, `HR077 "0000:10:00.0" names several: 0, 1`},
		"twice":                           {gpus(2, nil), []devices.Ask{ids("1", "gpu1")}, devices.State{}, "HR077 GPU 1 (GPU-1) is asked for twice"},
		"twice over two asks":             {gpus(2, nil), []devices.Ask{ids("1"), ids("gpu1")}, devices.State{}, "GPU-1|HR077 asked for twice"},
		"leased, by whom":                 {gpus(2, nil), []devices.Ask{ids("1")}, devices.State{Held: held("GPU-1")}, "HR074 container train holds it"},
		"used, by whom":                   {change(gpus(1, nil), func(d []devices.Device) { d[0].Users = []devices.User{{PID: 7, Name: "python3"}} }), []devices.Ask{count(1)}, devices.State{}, "HR075 process 7 (python3) uses it"},
		"used, and to be shared":          {change(gpus(1, nil), func(d []devices.Device) { d[0].Users = []devices.User{{PID: 7}} }), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Share = -1 })}, devices.State{}, "GPU-0"},
		"used, to be shared, and idle":    {change(gpus(1, nil), func(d []devices.Device) { d[0].Users = []devices.User{{PID: 7}} }), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Share, a.Idle = -1, true })}, devices.State{}, "HR075 process 7 uses it"},
		"all, and one is leased":          {gpus(3, nil), []devices.Ask{every}, devices.State{Held: held("GPU-1")}, "HR074 GPU 1 (GPU-1) can't be given now"},
		"being given to another":          {gpus(1, nil), []devices.Ask{count(1)}, devices.State{Taken: []string{"GPU-0"}}, "HR074 being given to another container"},
		"others wait":                     {gpus(1, nil), []devices.Ask{count(1)}, devices.State{Claimed: map[string]string{"GPU-0": "big"}}, "HR074 container big has waited for it longer"},
		"leases of another kind":          {gpus(1, nil), []devices.Ask{count(1)}, devices.State{Held: devices.ParseLeases("example.com/acc=GPU-0", "x")}, "GPU-0"},
		"shared by two, a third":          {gpus(1, nil), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Share = 2 })}, devices.State{Held: devices.ParseLeases("nvidia.com/gpu=GPU-0*2,nvidia.com/gpu=GPU-0*2", "a")}, "HR074 container a holds it"},
		"shared by two, the second":       {gpus(1, nil), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Share = 2 })}, devices.State{Held: devices.ParseLeases("nvidia.com/gpu=GPU-0*", "a")}, "GPU-0"},
		"shared by one side only":         {gpus(1, nil), []devices.Ask{count(1)}, devices.State{Held: devices.ParseLeases("nvidia.com/gpu=GPU-0*", "a")}, "HR074 container a holds it"},
		"shared, by what the holder runs": {change(gpus(1, nil), func(d []devices.Device) { d[0].Users = []devices.User{{PID: 7}} }), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Share = 2 })}, devices.State{Held: devices.ParseLeases("nvidia.com/gpu=GPU-0*2", "a")}, "GPU-0"},
		"shared, the emptier one":         {gpus(2, nil), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Share = -1 })}, devices.State{Held: devices.ParseLeases("nvidia.com/gpu=GPU-0*", "a")}, "GPU-1"},
		"whole cards":                     {dies(8), []devices.Ask{count(2)}, devices.State{Held: held("1")}, "2 3"},
		"half a card by number":           {dies(8), []devices.Ask{count(3)}, devices.State{}, "HR077 NPUs of one card are taken together, 2 a card"},
		"half a card by name":             {dies(8), []devices.Ask{ids("1")}, devices.State{}, "HR077 NPU 1 can't be given without 0"},
		"a card by name":                  {dies(8), []devices.Ask{ids("1", "0")}, devices.State{}, "1 0"},
		"a whole one beside partitions":   {divided(), []devices.Ask{count(2)}, devices.State{}, "GPU-1 GPU-2"},
		"no whole one is left":            {divided(), []devices.Ask{count(3)}, devices.State{}, "HR076 2 of 3 will do"},
		"a partition":                     {divided(), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Partition = "3g.40gb" })}, devices.State{}, "MIG-2"},
		"all partitions":                  {divided(), []devices.Ask{with(every, func(a *devices.Ask) { a.Partition = "1G.10GB" })}, devices.State{}, "MIG-0 MIG-1"},
		"a partition of another size":     {divided(), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Partition = "7g.80gb" })}, devices.State{}, "HR076 this machine has 1g.10gb, 1g.10gb, 3g.40gb"},
		"a partition of an undivided":     {gpus(1, nil), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Partition = "7g.80gb" })}, devices.State{}, "HR076 no GPU of this machine is divided"},
		"a parent whose part is leased":   {divided(), []devices.Ask{ids("0")}, devices.State{Held: held("MIG-1")}, "HR074 container train holds a part of it"},
		"a part whose parent is leased":   {divided(), []devices.Ask{ids("0:1")}, devices.State{Held: held("GPU-0")}, "HR074 container train holds the whole of it"},
		"a part and its parent":           {divided(), []devices.Ask{ids("0:1", "0")}, devices.State{}, "HR077 asked for twice"},
		"a divided one by name":           {divided(), []devices.Ask{ids("0")}, devices.State{}, "HR076 GPU 0 (GPU-0) can't be given as a whole: it is divided into partitions"},
		"all, of which one is divided":    {divided(), []devices.Ask{every}, devices.State{}, "GPU-1 GPU-2 HR076 GPU 0 (GPU-0) is left out of all: it is divided"},
		"all, where all are divided":      {allDivided(), []devices.Ask{every}, devices.State{}, "MIG-0 MIG-1 MIG-2"},
		"all partitions, one is leased":   {allDivided(), []devices.Ask{every}, devices.State{Held: held("MIG-1")}, "HR074 container train holds it"},
		"partitions without profiles": {change(allDivided(), func(d []devices.Device) { d[1].Profile, d[2].Profile, d[3].Profile = "", "", "" }),
			[]devices.Ask{with(count(1), func(a *devices.Ask) { a.Partition = "1g.10gb" })}, devices.State{}, "HR076 the profiles of this machine's partitions (3) are not known: NVML was not asked"},
		"a partition's UUID, unasked":     {allDivided(), []devices.Ask{ids("MIG-8f3a")}, devices.State{}, "HR073 names that only the driver's library knows are not known: NVML was not asked"},
		"links, unasked":                  {allDivided(), []devices.Ask{with(count(2), func(a *devices.Ask) { a.SameLink, a.Partition = true, "1g.10gb" })}, devices.State{}, "HR076 as far as is known: NVML was not asked"},
		"an address as nvidia-smi has it": {gpus(4, nil), []devices.Ask{ids("00000000:13:00.0")}, devices.State{}, "GPU-3"},
		"an address without its domain":   {gpus(4, nil), []devices.Ask{ids("13:00.0")}, devices.State{}, "GPU-3"},
		"linked ones only":                {gpus(4, pairs), []devices.Ask{with(count(2), func(a *devices.Ask) { a.SameLink = true })}, devices.State{Held: held("GPU-0")}, "GPU-2 GPU-3"},
		"none are linked":                 {gpus(4, pairs), []devices.Ask{with(count(3), func(a *devices.Ask) { a.SameLink = true })}, devices.State{}, "HR076 no 3 GPUs of this machine are one fast interconnect group"},
		"linked ones are leased":          {gpus(4, pairs), []devices.Ask{with(count(2), func(a *devices.Ask) { a.SameLink = true })}, devices.State{Held: held("GPU-0", "GPU-2")}, "HR074 container train holds it"},
		"optional and absent":             {gpus(0, nil), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Optional = true })}, devices.State{}, " HR131 runs without"},
		"optional and busy":               {gpus(1, nil), []devices.Ask{with(count(1), func(a *devices.Ask) { a.Optional = true })}, devices.State{Held: held("GPU-0")}, "HR074 holds it"},
		"a name goes before a number":     {gpus(2, nil), []devices.Ask{count(1), ids("0")}, devices.State{}, "GPU-1|GPU-0"},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, found := devices.Choose(c.inv, c.asks, c.st)
			if got := told(chosen, found); !fits(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			for _, f := range found {
				if f.File != "job.yaml" || f.Line != 3 {
					t.Errorf("%s has no place in the profile", f.Message)
				}
			}
		})
	}
}

func told(chosen [][]devices.Device, found []finding.Finding) string {
	var words []string
	for _, one := range chosen {
		words = append(words, strings.Join(namesOf(one), " "))
	}
	text := strings.Join(words, "|")
	for _, f := range found {
		text += " " + f.ID + " " + f.Message + " -> " + f.Remedy
	}
	return strings.TrimPrefix(text, " ")
}

// fits: what is chosen is exact, of a finding the words of want in their order.
func fits(got, want string) bool {
	chosen, rest, finds := strings.Cut(want, "HR")
	if !finds {
		return got == want
	}
	gotChosen, gotRest, ok := strings.Cut(got, "HR")
	id, words, _ := strings.Cut(rest, " ")
	return ok && strings.TrimSpace(chosen) == strings.TrimSpace(gotChosen) && strings.HasPrefix(gotRest, id) && strings.Contains(gotRest, words)
}

func namesOf(all []devices.Device) []string {
	var names []string
	for _, d := range all {
		names = append(names, d.Name)
	}
	return names
}

// TestChooseProperties holds random choices against what may never happen, and small ones against every other choice.
func TestChooseProperties(t *testing.T) {
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 7))
		inv, a, st := someMachine(r), someAsk(r), devices.State{}
		for _, d := range inv.Devices {
			if r.IntN(3) == 0 {
				st.Held = append(st.Held, devices.Lease{Kind: inv.Kind, Name: d.Name, Share: []int{0, -1, 2}[r.IntN(3)], Container: "train"})
			}
			if r.IntN(9) == 0 {
				st.Taken = append(st.Taken, d.Name)
			}
		}
		chosen, found := devices.Choose(inv, []devices.Ask{a}, st)
		again, foundAgain := devices.Choose(inv, []devices.Ask{a}, st)
		if diff := cmp.Diff(chosen, again) + cmp.Diff(found, foundAgain); diff != "" {
			t.Fatalf("seed %d: not the same twice: %s", seed, diff)
		}
		possible := anyChoice(inv, a, st)
		switch stop := finding.Errors(found); {
		case len(stop) > 0 && len(chosen[0]) > 0:
			t.Fatalf("seed %d: %v chosen, with %v", seed, namesOf(chosen[0]), stop)
		case len(stop) == 0:
			if why := wrong(inv, a, st, chosen[0]); why != "" {
				t.Fatalf("seed %d: %v of %+v: %s", seed, namesOf(chosen[0]), a, why)
			}
		case possible != nil:
			t.Fatalf("seed %d: refused (%s), and %v would have done for %+v", seed, stop[0].Message, possible, a)
		}
	}
}

func someMachine(r *rand.Rand) devices.Inventory {
	inv := gpus(1+r.IntN(9), func(i, j int) devices.Link {
		return devices.Link{Kind: []string{"NV4", "PIX", "SYS"}[r.IntN(3)], Weight: r.IntN(3) * 100}
	})
	cards := r.IntN(3) == 0
	for i := range inv.Devices {
		d := &inv.Devices[i]
		d.Memory = []int64{0, 24 << 30, 80 << 30}[r.IntN(3)]
		d.Health.State = []string{"ok", "ok", "ok", "warn", "bad"}[r.IntN(5)]
		if cards {
			d.Group = fmt.Sprint("card ", i/2)
		}
		if r.IntN(6) == 0 {
			d.Users = []devices.User{{PID: 1}}
		}
	}
	return inv
}

func someAsk(r *rand.Rand) devices.Ask {
	return with(count(1+r.IntN(4)), func(a *devices.Ask) {
		a.MinMemory = []int64{0, 0, 40 << 30}[r.IntN(3)]
		a.Share = []int{0, 0, -1, 2}[r.IntN(4)]
		a.Idle = r.IntN(4) == 0
	})
}

// wrong says why the devices must not be given for the ask, by rules written down a second time.
func wrong(inv devices.Inventory, a devices.Ask, st devices.State, chosen []devices.Device) string {
	if len(chosen) != a.Count {
		return fmt.Sprintf("%d of %d", len(chosen), a.Count)
	}
	names := namesOf(chosen)
	for _, d := range chosen {
		holders, tightest := 0, max(a.Share, 1)
		if a.Share < 0 {
			tightest = 1 << 20
		}
		for _, l := range st.Held {
			if l.Name == d.Name {
				holders++
				if l.Share >= 0 {
					tightest = min(tightest, max(l.Share, 1))
				}
			}
		}
		switch {
		case d.Health.State == "bad", slices.Contains(st.Taken, d.Name):
			return d.Name + " is bad or taken"
		case holders+1 > tightest:
			return d.Name + " is held"
		case a.Idle && (holders > 0 || len(d.Users) > 0):
			return d.Name + " is not idle"
		case a.Share == 0 && len(d.Users) > 0 && holders == 0:
			return d.Name + " is used"
		case a.MinMemory > 0 && d.Memory < a.MinMemory:
			return d.Name + " is too small"
		}
		for _, o := range inv.Devices {
			if d.Group != "" && o.Group == d.Group && !slices.Contains(names, o.Name) {
				return d.Name + " without " + o.Name
			}
		}
	}
	return ""
}

// anyChoice looks at every set of devices.
func anyChoice(inv devices.Inventory, a devices.Ask, st devices.State) []string {
	for set := range uint(1) << len(inv.Devices) {
		if bits.OnesCount(set) != a.Count {
			continue
		}
		var some []devices.Device
		for i, d := range inv.Devices {
			if set>>i&1 == 1 {
				some = append(some, d)
			}
		}
		if wrong(inv, a, st, some) == "" {
			return namesOf(some)
		}
	}
	return nil
}

// TestChooseIsQuick: the most combinations that are looked at, and more devices than that.
func TestChooseIsQuick(t *testing.T) {
	for _, c := range []struct{ devices, count int }{{16, 8}, {128, 64}} {
		inv := gpus(c.devices, func(i, j int) devices.Link { return devices.Link{Kind: "NV4", Weight: 100 + (i*j)%7} })
		began := time.Now()
		chosen, found := devices.Choose(inv, []devices.Ask{count(c.count)}, devices.State{})
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%d of %d took %v", c.count, c.devices, took)
		}
		if len(chosen[0]) != c.count || len(found) > 0 {
			t.Errorf("%d of %d: %v, %v", c.count, c.devices, namesOf(chosen[0]), found)
		}
	}
}

func BenchmarkChoose8Of16(b *testing.B) {
	inv := gpus(16, pairs)
	for b.Loop() {
		devices.Choose(inv, []devices.Ask{count(8)}, devices.State{})
	}
}

func TestLeasesReadBack(t *testing.T) {
	all := []devices.Lease{{Kind: devices.KindGPU, Name: "GPU-1"}, {Kind: devices.KindNPU, Name: "0:1", Share: -1}, {Kind: devices.KindGPU, Name: "a.b", Share: 3}}
	label := devices.FormatLeases(all)
	if label != "nvidia.com/gpu=GPU-1,ascend.com/npu=0:1*,nvidia.com/gpu=a.b*3" {
		t.Error(label)
	}
	if diff := cmp.Diff(all, devices.ParseLeases(label, "")); diff != "" {
		t.Error(diff)
	}
}

// FuzzParseLeases: what is read of a label writes back to words of that label.
func FuzzParseLeases(f *testing.F) {
	f.Add("nvidia.com/gpu=GPU-1,ascend.com/npu=0*,a.b/c=d*3")
	f.Add(",=*,a/b=c*1,a/b=c*02,a/b=c**")
	f.Fuzz(func(t *testing.T, label string) {
		for _, l := range devices.ParseLeases(label, "c") {
			if word := devices.FormatLeases([]devices.Lease{l}); !slices.Contains(strings.Split(label, ","), word) {
				t.Errorf("%q was read of %q", word, label)
			}
		}
	})
}

// TestHealthOfHeldDevices: a device that fell ill under a container that runs made the next up replace the container by one with other
// devices, or refuse it. It keeps what it has as long as it runs; once it has ended it gets others.
func TestHealthOfHeldDevices(t *testing.T) {
	ill := change(gpus(4, nil), func(all []devices.Device) { all[1].Health = devices.Health{State: "bad", Reasons: []string{"Xid 79"}} })
	for what, ask := range map[string]devices.Ask{
		"number": {Kind: devices.KindGPU, Key: "gpus", Count: 2}, "all": {Kind: devices.KindGPU, Key: "gpus", All: true},
		"named": {Kind: devices.KindGPU, Key: "gpus", IDs: []string{"0", "1"}},
	} {
		has := []string{"GPU-0", "GPU-1"}
		if ask.All {
			has = append(has, "GPU-2", "GPU-3")
		}
		chosen, found := devices.Choose(ill, []devices.Ask{ask}, devices.State{Keep: has, Now: has})
		var got []string
		for _, d := range chosen[0] {
			got = append(got, d.Name)
		}
		if !slices.Equal(got, has) || len(finding.Errors(found)) > 0 {
			t.Errorf("%s, while it runs: %v, %v", what, got, found)
		}
		if len(found) != 1 || found[0].ID != finding.DeviceUnfit || !strings.Contains(found[0].Message, "Xid 79") {
			t.Errorf("%s: nothing is said of it: %v", what, found)
		}
		chosen, _ = devices.Choose(ill, []devices.Ask{ask}, devices.State{Keep: has})
		if slices.ContainsFunc(chosen[0], func(d devices.Device) bool { return d.Name == "GPU-1" }) {
			t.Errorf("%s, after its end: %v", what, chosen)
		}
	}
}

// TestAllLeavesCardsWhole: of a card with a die that does not work, all gave the other die alone.
func TestAllLeavesCardsWhole(t *testing.T) {
	inv := dies(8)
	inv.Devices[5].Health = devices.Health{State: "bad", Reasons: []string{"npu-smi: Critical"}}
	chosen, found := devices.Choose(inv, []devices.Ask{{Kind: inv.Kind, All: true, Key: "npus"}}, devices.State{})
	var names []string
	for _, d := range chosen[0] {
		names = append(names, d.Name)
	}
	if !slices.Equal(names, []string{"0", "1", "2", "3", "6", "7"}) || len(found) != 2 || len(finding.Errors(found)) > 0 || !strings.Contains(found[1].Message, "the rest of its card") {
		t.Errorf("%q, %+v", names, found)
	}
	for i := range inv.Devices {
		inv.Devices[i].Health.State = map[bool]string{true: "bad", false: "ok"}[i%2 == 1]
	}
	if chosen, found := devices.Choose(inv, []devices.Ask{{Kind: inv.Kind, All: true, Key: "npus"}}, devices.State{}); len(chosen[0]) > 0 || len(finding.Errors(found)) != 1 {
		t.Errorf("no card works: %+v, %+v", chosen, found)
	}
}
