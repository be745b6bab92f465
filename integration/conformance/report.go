package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
)

// writeReport writes docs/conformance.md.
func (m *machine) writeReport(path string, results []outcome) error {
	var b strings.Builder
	fmt.Fprintf(&b, reportHead, m.compose, m.docker, kernel(), len(results), compared(results))
	b.WriteString("\n## Differences that are meant\n\nOf every service, or of those of the cases named. \"-\" is nothing at all; * stands for anything.\n\n| what | docker compose | hostrun | why | cases |\n|---|---|---|---|---|\n")
	for _, line := range differenceLines(results) {
		b.WriteString(line)
	}
	b.WriteString("\n## Cases\n\nThe number is that of the values that were compared; what is in brackets of them differs as the table above says.\n")
	group := ""
	for _, o := range results {
		if o.group != group {
			group = o.group
			fmt.Fprintf(&b, "\n### %s\n\n| case | what | service | values |\n|---|---|---|---|\n", strings.ToUpper(group[:1])+group[1:])
		}
		values := fmt.Sprint(compared([]outcome{o}))
		if len(o.found) > 0 {
			values += fmt.Sprintf(" (%d)", len(o.found))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", o.name, cell(o.about), cell("`"+strings.Join(strings.Fields(strings.ReplaceAll(o.service, "\n", " ")), " ")+"`"), values)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// differenceLines are the differences that were met, each once with the cases that have shown it; a general one is every service's.
func differenceLines(results []outcome) []string {
	type entry struct {
		difference
		cases []string
	}
	var all []*entry
	index := map[string]*entry{}
	for i := range general {
		e := &entry{difference: general[i], cases: []string{"every one"}}
		all, index[key(general[i])] = append(all, e), e
	}
	for _, o := range results {
		for i := range o.differ {
			d := o.differ[i]
			e := index[key(d)]
			if e == nil {
				e = &entry{difference: d}
				all, index[key(d)] = append(all, e), e
			}
			if !contains(e.cases, o.name) {
				e.cases = append(e.cases, o.name)
			}
		}
	}
	var lines []string
	for _, e := range all {
		value := func(s string) string {
			if s == "" {
				return "*"
			}
			return s
		}
		sort.Strings(e.cases)
		lines = append(lines, fmt.Sprintf("| `%s` | `%s` | `%s` | %s | %s |\n", cell(e.field), cell(value(e.docker)), cell(value(e.ours)), cell(e.reason), strings.Join(e.cases, ", ")))
	}
	return lines
}

func key(d difference) string { return d.field + "\x00" + d.docker + "\x00" + d.ours }

func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

const reportHead = `# Conformance

` + "`make conformance`" + ` runs the same services by docker compose %s on Debian's docker %s and by hostrun, side by side on one machine (Linux %s), and compares
what a process in them sees and what is seen of it from outside, name by name. This page is written by it. %d cases, %d values: everything is equal
but for what the first table says, and the program fails where that is not so, or where the table says too much.

The same text is the service of a compose file and the profile. Where compose describes a network at the top level, the profile does it
where it names the network. The machine is one of its own: namespaces of processes, mounts and network, with a peer outside that tries its ports. In each container
runs a small static program (integration/conformance/probe) that writes down arguments, environment, user, rights, limits, streams, mounts, devices, files of names,
network, kernel settings, and which system calls it is refused; the other cases do something with a service and note how that ended.
`
