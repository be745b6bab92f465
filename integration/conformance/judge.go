package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
)

// judge compares both views with each other and with the tables.
func (o *outcome) judge() {
	o.used = map[*difference]bool{}
	names := view{}
	for _, v := range []view{o.docker, o.ours} {
		for name := range v {
			if !strings.HasPrefix(name, "~") {
				names[name] = ""
			}
		}
	}
	if len(names) == 0 {
		o.problems = append(o.problems, "nothing was seen")
	}
	for i, v := range []view{o.docker, o.ours} {
		if why, failed := v["start"]; failed && len(names) > 1 {
			o.problems = append(o.problems, fmt.Sprintf("%s has not started it: %s", []string{"docker", "hostrun"}[i], why))
			return
		}
	}
	for _, name := range sortedKeys(names) {
		docker, ours := o.docker.value(name), o.ours.value(name)
		if docker == ours {
			continue
		}
		by := o.meant(name, docker, ours)
		if by == nil {
			o.problems = append(o.problems, fmt.Sprintf("%s: docker %q, hostrun %q", name, docker, ours))
			continue
		}
		o.used[by] = true
		o.found = append(o.found, found{name, docker, ours, by})
	}
	for i := range o.differ {
		if !o.used[&o.differ[i]] && !o.partly {
			o.problems = append(o.problems, fmt.Sprintf("the table says that %s differs, and it does not", o.differ[i].field))
		}
	}
	if len(o.problems) > 0 {
		for side, v := range map[string]view{"docker": o.docker, "hostrun": o.ours} {
			for _, name := range sortedKeys(v) {
				if strings.HasPrefix(name, "~") && v[name] != "" {
					o.problems = append(o.problems, fmt.Sprintf("    %s, %s: %s", side, name[1:], strings.TrimSpace(v[name])))
				}
			}
		}
	}
}

const absent = "-"

func (v view) value(name string) string {
	if value, ok := v[name]; ok {
		return value
	}
	return absent
}

// meant finds what a table says of a difference: the case's own first.
func (o *outcome) meant(name, docker, ours string) *difference {
	for _, list := range [][]difference{o.differ, general} {
		for i := range list {
			d := &list[i]
			if like(d.field, name) && (d.docker == "" || like(d.docker, docker)) && (d.ours == "" || like(d.ours, ours)) {
				return d
			}
		}
	}
	return nil
}

var likes sync.Map

// like reports whether text is what the pattern says; * is anything.
func like(pattern, text string) bool {
	known, ok := likes.Load(pattern)
	if !ok {
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		known, _ = likes.LoadOrStore(pattern, regexp.MustCompile("(?s)^"+strings.Join(parts, ".*")+"$"))
	}
	return known.(*regexp.Regexp).MatchString(text)
}

// unseen are the general differences that no case has shown.
func unseen(results []outcome) []string {
	used := map[*difference]bool{}
	for _, r := range results {
		for d := range r.used {
			used[d] = true
		}
	}
	var all []string
	for i := range general {
		if !used[&general[i]] {
			all = append(all, fmt.Sprintf("the table of general differences says that %s differs, and no case shows it", general[i].field))
		}
	}
	return all
}

func compared(results []outcome) (n int) {
	for _, r := range results {
		names := view{}
		for _, v := range []view{r.docker, r.ours} {
			for name := range v {
				if !strings.HasPrefix(name, "~") {
					names[name] = ""
				}
			}
		}
		n += len(names)
	}
	return n
}

func differing(results []outcome) (n int) {
	for _, r := range results {
		n += len(r.found)
	}
	return n
}

// print writes what both sides have shown.
func (o *outcome) print(w io.Writer) {
	fmt.Fprintf(w, "== %s: %s\n%s", o.name, o.about, indent(o.service))
	for side, v := range map[string]view{"docker": o.docker, "hostrun": o.ours} {
		for _, name := range sortedKeys(v) {
			fmt.Fprintf(w, "  %-8s %s = %q\n", side, strings.TrimPrefix(name, "~"), v[name])
		}
	}
}
