package devices

import (
	"slices"
	"strconv"
	"strings"
)

// A Lease is a device that a container of ours holds: it says so in its record.
type Lease struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Share     int    `json:"share,omitempty"` // as in Ask: 0 and 1 alone, -1 with any number of others
	Container string `json:"container,omitempty"`
}

// FormatLeases writes leases as the record's label has them: qualified names joined by commas, "*2" behind one that two
// containers may hold, "*" behind one that any number may. Neither mark can be part of a name.
func FormatLeases(all []Lease) string {
	words := make([]string, len(all))
	for i, l := range all {
		words[i] = l.Kind + "=" + l.Name
		switch {
		case l.Share < 0:
			words[i] += "*"
		case l.Share > 1:
			words[i] += "*" + strconv.Itoa(l.Share)
		}
	}
	return strings.Join(words, ",")
}

// ParseLeases reads what FormatLeases wrote. A word that it would not have written is passed over.
func ParseLeases(label, container string) []Lease {
	var all []Lease
	for word := range strings.SplitSeq(label, ",") {
		name, share, shared := strings.Cut(word, "*")
		l := Lease{Container: container}
		var ok bool
		if l.Kind, l.Name, ok = ParseQualified(name); !ok {
			continue
		}
		if shared {
			l.Share = -1
		}
		if n, err := strconv.Atoi(share); share != "" {
			if err != nil || n < 2 || strconv.Itoa(n) != share {
				continue
			}
			l.Share = n
		}
		all = append(all, l)
	}
	return all
}

// Leases are those of what was granted.
func Leases(grants []Grant, container string) []Lease {
	var all []Lease
	for _, g := range grants {
		for _, d := range g.Chosen {
			l := Lease{Kind: d.Kind, Name: d.Name, Share: g.Ask.Share, Container: container}
			if l.Share == 1 {
				l.Share = 0
			}
			all = append(all, l)
		}
	}
	return all
}

// Conflict returns a container that holds the device of l, where l can't be held beside it.
func Conflict(l Lease, held []Lease) (container string, conflict bool) {
	var same []Lease
	for _, h := range held {
		if h.Kind == l.Kind && h.Name == l.Name {
			same = append(same, h)
		}
	}
	if len(same) == 0 || admits(same, l.Share) {
		return "", false
	}
	return same[0].Container, true
}

// Claims are the names of devices that asks may be met with: those that they name, else all of the sort.
func Claims(inv Inventory, asks []Ask) []string {
	var names []string
	c := &chooser{inv: inv}
	for _, a := range asks {
		if a.Kind != inv.Kind {
			continue
		}
		c.ask = a
		some := c.sort()
		if len(a.IDs) > 0 {
			some = nil
			for _, id := range a.IDs {
				some = append(some, Find(inv, id)...)
			}
		}
		for _, d := range some {
			names = append(names, c.relatives(d)...)
		}
	}
	return names
}

// admits reports whether one more container may hold a device with those who hold it already: each of them sets a limit.
func admits(held []Lease, share int) bool {
	all := append(slices.Clone(held), Lease{Share: share})
	for _, l := range all {
		if limit := max(l.Share, 1); l.Share >= 0 && len(all) > limit {
			return false
		}
	}
	return true
}
