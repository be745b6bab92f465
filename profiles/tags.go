package profiles

import (
	"slices"

	"hostrun.dev/hostrun/pattern"
)

// tagWord is compose's of a name under profiles: (compose-spec, 15-profiles.md).
var tagWord = pattern.New(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

var tagFields = []field[Profile]{
	{name: "tags", about: "words for up --tag; up of a whole stack leaves profiles with tags out, unless one of theirs is given. compose calls them profiles", schema: oneOrMore, read: readTagged},
}

func readTagged(d *decoder, p *Profile, n *node, key string) {
	items := n.items
	if n.kind != list {
		items = []*node{n}
	}
	for i, item := range items {
		at := key
		if n.kind == list {
			at = index(key, i)
		}
		s, ok := d.text(item, at)
		switch {
		case !ok:
		case !tagWord.MatchString(s):
			d.bad(item, at, "use letters, digits, - _ and ., at least two", "%q is no tag", abridged(s))
		case !slices.Contains(p.Tags, s):
			p.Tags = append(p.Tags, s)
		}
	}
}

// AnyTag is the word that stands for every tag.
const AnyTag = "*"

// Tagged reports whether the profile is among those that are started where nobody has named it: it has no tags, or one of these.
func (p *Profile) Tagged(tags []string) bool {
	return len(p.Tags) == 0 || slices.Contains(tags, AnyTag) || slices.ContainsFunc(p.Tags, func(tag string) bool { return slices.Contains(tags, tag) })
}
