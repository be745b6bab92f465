package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"hostrun.dev/hostrun/abi/ld"
)

// A comparison is one module in one image: what was predicted, and what happened.
type comparison struct {
	set, image, path string
	predicted        ld.Result
	real             outcome
}

func (c comparison) falseAlarm() bool { return c.predicted.Verdict != ld.OK && c.real.state == "ok" }

// miss: the loader refused. What a library's own code does afterwards nobody predicts.
func (c comparison) miss() bool {
	return c.predicted.Verdict == ld.OK && c.real.state != "ok" && c.real.state != "init"
}

// sameWords: the very message was predicted, or, where the process dies, that it does.
func (c comparison) sameWords() bool {
	switch c.real.state {
	case "signal", "exit":
		return c.predicted.Killed
	case "init":
		return true
	}
	return c.predicted.Message == c.real.message
}

// A row counts the comparisons of one set in one image.
type row struct {
	set, image                                           string
	modules, refused, right, falseAlarm, miss, sameWords int
}

func (r *row) add(c comparison) {
	r.modules++
	if c.real.state != "ok" {
		r.refused++
	}
	switch {
	case c.falseAlarm():
		r.falseAlarm++
	case c.miss():
		r.miss++
	default:
		r.right++
		if c.sameWords() {
			r.sameWords++
		}
	}
}

// rows counts by set and image, in their order, and all together in the last row.
func rows(all []comparison) []row {
	var table []row
	total := row{set: "all"}
	for _, c := range all {
		if len(table) == 0 || table[len(table)-1].set != c.set || table[len(table)-1].image != c.image {
			table = append(table, row{set: c.set, image: c.image})
		}
		table[len(table)-1].add(c)
		total.add(c)
	}
	return append(table, total)
}

func printRows(w io.Writer, table []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "packages\timage\tmodules\trefused\tright\tfalse alarms\tmisses\tsame words\t")
	for _, r := range table {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.set, r.image, r.modules, r.refused, r.right, r.falseAlarm, r.miss, r.sameWords)
	}
	_ = t.Flush()
}

// printDisagreements lists what was wrong, and what was right in other words.
func printDisagreements(w io.Writer, all []comparison) {
	for _, c := range all {
		kind := ""
		switch {
		case c.falseAlarm():
			kind = "FALSE ALARM"
		case c.miss():
			kind = "MISS"
		case !c.sameWords():
			kind = "other words"
		default:
			continue
		}
		fmt.Fprintf(w, "%s: %s in %s\n  file:      %s\n  predicted: %s\n  real:      %s\n", kind, c.set, c.image, c.path, said(c.predicted), c.real)
	}
}

func said(r ld.Result) string {
	killed := ""
	if r.Killed {
		killed = ", killed"
	}
	return strings.TrimSpace(fmt.Sprintf("%s%s %s", r.Verdict, killed, r.Message))
}
