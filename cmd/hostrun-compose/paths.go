package main

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// A path with variables of a file in another directory: what it is, is known when its variables have their values. Where one of them
// begins the path, an absolute value stays as it is and a relative one means the file's directory, and no text says that. So the text is
// made right for the value that it has by now, and for its defaults; of other values a note tells.

// A mover moves the paths of one text to the stack's directory.
type mover struct {
	*texts
	mark
	dir string // the file's, relative to the stack's
}

// moved is a marked text, as it means the same in the stack's directory.
func (t *texts) moved(m mark, dir string) string {
	if dir == "." || m.kind == whole {
		return m.text
	}
	to := mover{t, m, escaped(dir)}
	return to.move(m.text, "")
}

// A form is what a text comes to.
type form int

const (
	nothing form = iota
	relative
	absolute
	named // a volume, or what a builder fetches
)

func (k kind) form(value string) form {
	switch {
	case value == "":
		return nothing
	case value[0] == '/' || value[0] == '~':
		return absolute
	case k == aVolume && value[0] != '.':
		return named
	case k == aContext && fetched(value):
		return named
	}
	return relative
}

// fetched is the library's way to tell a context that is no directory (paths/context.go).
func fetched(context string) bool {
	return strings.Contains(context, "://") || strings.HasPrefix(context, "service:") || strings.HasPrefix(context, "github.com/") || strings.HasPrefix(context, "git@")
}

// move moves a text that is followed by rest.
func (to mover) move(text, rest string) string {
	now := to.kind.form(valueOf(text+rest, to.outside))
	before, v, after, ok := cut(text)
	switch {
	case before != "" || !ok:
		if now == relative {
			return to.join(text, rest)
		}
		return text
	case strings.HasSuffix(v.operator, "+") || strings.HasSuffix(v.operator, "?"):
		to.tell(v, now)
		if now == relative {
			return to.join(text, rest)
		}
		return text
	}
	value, set := to.outside(v.name)
	set = set && (value != "" || !v.strict())
	if set && now == relative {
		to.tell(v, now)
		if to.kind.form(valueOf(v.word+after+rest, to.outside)) != absolute {
			return to.join(text, rest)
		}
		operator := "+"
		if v.strict() {
			operator = ":+"
		}
		return "${" + v.name + operator + to.join("", rest) + "}" + text
	}
	if now != named {
		to.tell(v, absolute)
	}
	word := to.move(v.word, after+rest)
	if word == v.word {
		return text
	}
	return v.with(word) + after
}

// join puts the directory before a relative path, of which rest is not moved.
func (to mover) join(text, rest string) string {
	base := path.Base(text)
	goesOn := rest != "" && rest[0] != '/' && rest[0] != ':'
	joined := path.Join(to.dir, text)
	switch {
	case text == "" || strings.Contains(text, "$") || goesOn && (base == "." || base == ".."):
		joined = to.dir + "/" + strings.TrimPrefix(text, "./")
	case strings.HasSuffix(text, "/"):
		joined += "/"
	}
	if to.kind == aVolume && joined[0] != '.' && joined[0] != '/' {
		return "./" + joined
	}
	return joined
}

// tell keeps that another value of a variable would do something else.
func (to mover) tell(v reference, now form) {
	if to.told == nil {
		to.told = map[string]*held{}
	}
	of := to.told[v.name]
	if of == nil {
		of = new(held)
		to.told[v.name] = of
	}
	dirs := &of.free
	if now == relative {
		dirs = &of.fixed
	}
	if !slices.Contains(*dirs, to.dir) {
		*dirs = append(*dirs, to.dir)
	}
}

// held are directories whose paths begin with a variable.
type held struct {
	free  []string // the variable is the stack's
	fixed []string // the directory is written before it
}

// notesOnPaths tell of each variable what values would do something else than with compose.
func (t *texts) notesOnPaths() []Note {
	var notes []Note
	for _, name := range slices.Sorted(maps.Keys(t.told)) {
		of := t.told[name]
		if len(of.free) > 0 {
			notes = append(notes, Note{"$" + name, "it begins paths of " + strings.Join(of.free, ", ") + ": an absolute value means what it did, a relative one would be of the stack's directory"})
		}
		if len(of.fixed) > 0 {
			notes = append(notes, Note{"$" + name, "it begins paths of " + strings.Join(of.fixed, ", ") + ", and its value is relative: so that is written before it, and an absolute value would be wrong"})
		}
	}
	return notes
}
