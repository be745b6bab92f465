package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// setAffinity binds the container to the processors that are close to its accelerators: strict to their memory, too. What the
// profile says under cpuset goes before. With prefer, the default, nothing is bound where closeness is not known, where
// it would be all processors anyway, or where cgroups can't.
func (b *builder) setAffinity() {
	near, nodes, strict := map[int]bool{}, map[int]bool{}, false
	for _, g := range b.f.Grants {
		if g.Ask.Affinity == "off" {
			return
		}
		strict = strict || g.Ask.Affinity == "strict" && len(g.Chosen) > 0
	}
	for _, g := range b.f.Grants {
		for _, d := range g.Chosen {
			cpus := cpuList(d.CPUs)
			if len(cpus) == 0 || d.NUMA < 0 && strict {
				b.unknownAffinity(g, d, strict)
				return
			}
			for _, n := range cpus {
				near[n] = true
			}
			nodes[d.NUMA] = true
		}
	}
	cpus := b.bindable(near)
	if len(near) == 0 || !strict && (len(cpus) == 0 || len(cpus) == len(cpuList(b.f.Engine.CPUs))) {
		return
	}
	if len(cpus) == 0 {
		b.report("", finding.Finding{ID: finding.DeviceAffinity, Severity: finding.Error, Subject: "affinity", Got: "processors " + b.f.Engine.CPUs,
			Message: "affinity: strict, and the processors that are close to the devices can't be used here", Remedy: "say affinity: prefer, or off"})
		return
	}
	b.bind(cpus, nodes, strict)
}

func (b *builder) bind(cpus []int, nodes map[int]bool, strict bool) {
	r := b.spec.Linux.Resources
	if r.CPU == nil {
		r.CPU = &specs.LinuxCPU{}
	}
	if r.CPU.Cpus == "" {
		r.CPU.Cpus = formatList(cpus)
		b.plan.Origins["/linux/resources/cpu/cpus"] = "close to the devices (affinity)"
	}
	if strict {
		var all []int
		for n := range nodes {
			all = append(all, n)
		}
		slices.Sort(all)
		r.CPU.Mems = formatList(all)
		b.plan.Origins["/linux/resources/cpu/mems"] = "close to the devices (affinity: strict)"
	}
}

func (b *builder) unknownAffinity(g devices.Grant, d devices.Device, strict bool) {
	if !strict {
		return
	}
	b.report(g.Ask.Key, finding.Finding{ID: finding.DeviceAffinity, Severity: finding.Error, Subject: d.Name,
		Got:     fmt.Sprintf("NUMA node %d, processors %q", d.NUMA, d.CPUs),
		Message: fmt.Sprintf("affinity: strict, and this machine does not tell which processors are close to %s %s", devices.Noun(d.Kind), d.Name),
		Remedy:  "say affinity: prefer, or off"})
}

// bindable are those of near that containerd may give, sorted.
func (b *builder) bindable(near map[int]bool) []int {
	var cpus []int
	for _, n := range cpuList(b.f.Engine.CPUs) {
		if near[n] {
			cpus = append(cpus, n)
		}
	}
	return cpus
}

// maxCPU bounds what a list may name (NR_CPUS is at most 8192).
const maxCPU = 8192

// cpuList reads cpuset(7)'s list form, "0-3,8"; what is none is empty.
func cpuList(list string) []int {
	var all []int
	for word := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, ranged := strings.Cut(word, "-")
		low, err := strconv.Atoi(first)
		high := low
		if ranged && err == nil {
			high, err = strconv.Atoi(last)
		}
		if err != nil || low < 0 || high < low || high >= maxCPU {
			return nil
		}
		for n := low; n <= high; n++ {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// formatList writes sorted numbers in that form.
func formatList(all []int) string {
	var words []string
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		word := strconv.Itoa(all[i])
		if j > i {
			word += "-" + strconv.Itoa(all[j])
		}
		words = append(words, word)
		i = j + 1
	}
	return strings.Join(words, ",")
}
