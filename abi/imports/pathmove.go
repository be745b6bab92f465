package imports

import (
	"path"
	"slices"
)

// maxPathLine bounds the lines that are looked at, in tokens.
const maxPathLine = 10_000

// cuts says of a logical line that it may take entries from sys.path: by its methods, del, or an assignment.
func cuts(line []token) bool {
	for i := 2; i < len(line) && i < maxPathLine; i++ {
		if line[i].text != "path" || line[i-1].text != "." || line[i-2].text != "sys" || i+1 == len(line) {
			continue
		}
		before := ";"
		if i > 2 {
			before = line[i-3].text
		}
		switch next := line[i+1].text; {
		case next == "." && i+2 < len(line) && slices.Contains([]string{"remove", "pop", "clear"}, line[i+2].text),
			next == "=" && before == ";",
			next == "[" && before == "del",
			next == "[" && before == ";" && slices.ContainsFunc(line[i:], func(t token) bool { return t.text == "=" }):
			return true
		}
	}
	return false
}

// movesPath says of a logical line that it may add entries to sys.path: by its methods, by an assignment, under another
// name, or in a function that gets the list. Lines that only read it do not count.
func movesPath(line []token) bool {
	if len(line) > maxPathLine {
		return true
	}
	for i, t := range line {
		switch {
		case t.text == "addsitedir":
			return true
		case t.text != "path" || i < 1 || t.kind != tokName:
		case line[0].text == "from" && len(line) > 2 && line[1].text == "sys" && slices.ContainsFunc(line[2:i], func(t token) bool { return t.text == "import" }):
			return true
		case i >= 2 && line[i-1].text == "." && line[i-2].text == "sys" && usedToWrite(line[:i-2], line[i+1:]):
			return true
		}
	}
	return false
}

// readers are functions that get sys.path and leave it alone.
var readers = []string{"len", "list", "tuple", "set", "iter", "enumerate", "reversed", "sorted", "repr", "str", "print", "map", "filter", "any", "all"}

// usedToWrite looks at what stands around sys.path.
func usedToWrite(before, after []token) bool {
	last := func(n int) string {
		if len(before) < n {
			return ""
		}
		return before[len(before)-n].text
	}
	next := ""
	if len(after) > 0 {
		next = after[0].text
	}
	switch next {
	case ".":
		return len(after) > 1 && slices.Contains([]string{"append", "insert", "extend", "__setitem__", "__iadd__", "__setslice__"}, after[1].text)
	case "=", "+":
		return next == "=" || len(after) > 1 && after[1].text == "="
	case "[":
		return slices.ContainsFunc(after, func(t token) bool { return t.text == "=" })
	case "", ",", ")":
		switch {
		case last(1) == "in", last(1) == "return" && next == "":
			return false
		case last(1) == "=" || last(1) == ":=":
			return true
		}
		return last(1) == "(" && !slices.Contains(readers, last(2)) || last(1) == ","
	}
	return false
}

// notePath remembers a module whose code may add entries to sys.path, or take some away. The standard library's does so at the
// start alone, which is followed.
func (p *process) notePath(u *unit, s *spec) {
	if s.entry == p.site.py.Stdlib || within(path.Dir(s.file), p.site.py.Stdlib) {
		return
	}
	if u.movesPath && p.mover == "" {
		p.mover = s.name
	}
	if u.cutsPath {
		p.skip("hook", s.name, At{Module: s.name, File: s.file}, "it may take entries from sys.path: what is found there may not be found behind it", p.top)
	}
}
