package devices

import (
	"cmp"
	"math"
	"slices"
)

// exhaustive is up to how many units every combination is looked at: C(16, 8) = 12870 of them at most. With more, some units are
// grown to sets by the closest ones.
const exhaustive = 16

// A unit is what is taken together: the devices of one group, else one device.
type unit []Device

func (c *chooser) units(all []Device) []unit {
	var units []unit
	at := map[string]int{}
	for _, d := range all {
		i, known := at[d.Group]
		if d.Group == "" || !known {
			at[d.Group] = len(units)
			units = append(units, unit{d})
			continue
		}
		units[i] = append(units[i], d)
	}
	whole := map[string]int{}
	for _, d := range c.inv.Devices {
		whole[d.Group]++
	}
	return slices.DeleteFunc(units, func(u unit) bool { return u[0].Group != "" && len(u) < whole[u[0].Group] })
}

// best picks ask.Count devices of free, or nil.
func (c *chooser) best(free []Device) []Device {
	units := c.units(free)
	p := &picker{want: c.ask.Count}
	p.measure(c, units)
	if c.ask.SameLink && c.ask.Count > 1 {
		p.parts = c.components(units)
	}
	if len(units) <= exhaustive {
		p.search(0, 0, make([]int, 0, len(units)), score{})
	} else {
		p.grow()
	}
	if p.found == nil {
		return nil
	}
	var chosen []Device
	for _, i := range p.found {
		chosen = append(chosen, units[i]...)
	}
	slices.SortStableFunc(chosen, func(a, b Device) int { return cmp.Compare(c.place(a), c.place(b)) })
	return chosen
}

func (c *chooser) place(d Device) int {
	return slices.IndexFunc(c.inv.Devices, func(o Device) bool { return o.Name == d.Name })
}

// A score compares two choices: field by field, more is better.
type score struct {
	kept   int // devices that the container has had already
	quiet  int // minus those who hold them too, or use them
	sound  int // minus those that only just work
	inner  int // closeness of the pairs chosen
	nodes  int // minus the NUMA nodes that they lie on
	memory int // minus their memory in GiB, where a least is asked for: the bigger ones are for who needs them
	rest   int // closeness of the pairs that are left for others
}

func (a score) compare(b score) int {
	one, other := [...]int{a.kept, a.quiet, a.sound, a.inner, a.nodes, a.memory, a.rest}, [...]int{b.kept, b.quiet, b.sound, b.inner, b.nodes, b.memory, b.rest}
	return slices.Compare(one[:], other[:])
}

type picker struct {
	want   int
	size   []int   // devices of each unit
	left   []int   // devices of each unit and those after it
	own    []score // of each unit alone
	weight [][]int // between units
	total  []int   // of each unit's weights to all others
	node   []int   // NUMA node of each unit
	parts  []int   // connected component of each unit; nil: any units go together

	found []int
	best  score
}

func (p *picker) measure(c *chooser, units []unit) {
	link := map[[2]string]int{}
	for _, l := range c.inv.Links {
		link[[2]string{l.A, l.B}], link[[2]string{l.B, l.A}] = l.Weight, l.Weight
	}
	n := len(units)
	p.size, p.left, p.own, p.weight, p.total, p.node = make([]int, n), make([]int, n), make([]score, n), make([][]int, n), make([]int, n), make([]int, n)
	for i, u := range units {
		p.size[i], p.node[i], p.weight[i] = len(u), u[0].NUMA, make([]int, n)
		for j := range i + 1 {
			p.left[j] += len(u)
		}
		for _, d := range u {
			p.own[i] = c.worth(p.own[i], d)
		}
		for j, o := range units {
			for _, a := range u {
				for _, b := range o {
					if i != j {
						p.weight[i][j] += link[[2]string{a.Name, b.Name}]
					} else if a.Name < b.Name {
						p.own[i].inner += link[[2]string{a.Name, b.Name}]
					}
				}
			}
			p.total[i] += p.weight[i][j]
		}
	}
}

func (c *chooser) worth(s score, d Device) score {
	if slices.Contains(c.st.Keep, d.Name) {
		s.kept++
	}
	for _, l := range c.st.Held {
		if l.Kind == d.Kind && l.Name == d.Name {
			s.quiet--
		}
	}
	if !slices.Contains(c.st.Now, d.Name) {
		s.quiet -= len(d.Users)
	}
	if d.Health.State == "warn" {
		s.sound--
	}
	if c.ask.MinMemory > 0 {
		s.memory -= int(d.Memory >> 30)
	}
	return s
}

// search looks at every combination of units from i on that completes chosen, and keeps the first of the best.
func (p *picker) search(i, have int, chosen []int, s score) {
	if have == p.want {
		p.offer(chosen, s)
		return
	}
	for k := i; k < len(p.size) && have+p.left[k] >= p.want; k++ {
		if have+p.size[k] <= p.want && p.together(chosen, k) {
			p.search(k+1, have+p.size[k], append(chosen, k), p.with(s, chosen, k))
		}
	}
}

func (p *picker) together(chosen []int, k int) bool {
	return p.parts == nil || len(chosen) == 0 || p.parts[chosen[0]] == p.parts[k]
}

// with is the score of chosen and k. What is left for others is, but for a constant: what k's links to the rest were worth,
// less those into the choice, which have been counted out once already.
func (p *picker) with(s score, chosen []int, k int) score {
	own := p.own[k]
	s.kept, s.quiet, s.sound, s.memory = s.kept+own.kept, s.quiet+own.quiet, s.sound+own.sound, s.memory+own.memory
	s.inner, s.rest = s.inner+own.inner, s.rest-p.total[k]
	known := false
	for _, i := range chosen {
		s.inner, s.rest = s.inner+p.weight[i][k], s.rest+p.weight[i][k]
		known = known || p.node[i] == p.node[k]
	}
	if !known {
		s.nodes--
	}
	return s
}

func (p *picker) offer(chosen []int, s score) {
	if p.found == nil || s.compare(p.best) > 0 {
		p.found, p.best = slices.Clone(chosen), s
	}
}

// grow adds to some units in turn, spread over all, the one that gives the best score, until there are enough. Where only linked
// ones go together, each unit is begun with: one may be the only one of a group that is big enough.
func (p *picker) grow() {
	step := 1
	if p.parts == nil {
		step = (len(p.size) + exhaustive - 1) / exhaustive
	}
	for seed := 0; seed < len(p.size); seed += step {
		chosen, have := []int{seed}, p.size[seed]
		s := p.with(score{}, nil, seed)
		for have < p.want {
			next, best := -1, score{kept: math.MinInt}
			for k := range p.size {
				if slices.Contains(chosen, k) || have+p.size[k] > p.want || !p.together(chosen, k) {
					continue
				}
				if t := p.with(s, chosen, k); t.compare(best) > 0 {
					next, best = k, t
				}
			}
			if next < 0 {
				break
			}
			chosen, s, have = append(chosen, next), best, have+p.size[next]
		}
		if have == p.want {
			slices.Sort(chosen)
			p.offer(chosen, s)
		}
	}
}

// slow are the words of nvidia-smi topo -m for ways over the PCI bus and the processors; a link of any other kind is an
// interconnect of the accelerators' own (NVLink, HCCS).
var slow = map[string]bool{"": true, "PIX": true, "PXB": true, "PHB": true, "NODE": true, "SYS": true}

// Fast reports whether the link is an interconnect of the accelerators' own.
func (l Link) Fast() bool { return !slow[l.Kind] }

// components numbers the groups of units that fast links connect.
func (c *chooser) components(units []unit) []int {
	of := map[string]int{}
	parts := make([]int, len(units))
	for i, u := range units {
		parts[i] = i
		for _, d := range u {
			of[d.Name] = i
		}
	}
	for _, l := range c.inv.Links {
		a, okA := of[l.A]
		b, okB := of[l.B]
		if !l.Fast() || !okA || !okB || parts[a] == parts[b] {
			continue
		}
		for i, from := 0, parts[a]; i < len(parts); i++ {
			if parts[i] == from {
				parts[i] = parts[b]
			}
		}
	}
	return parts
}

// linked reports whether fast links connect all of them.
func (c *chooser) linked(all []Device) bool {
	parts := c.components(c.units(all))
	return len(slices.Compact(parts)) <= 1
}
