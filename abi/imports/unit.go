package imports

import (
	"unsafe"
)

// parseBytes is parse of a text that the caller changes afterwards.
func parseBytes(src []byte, f facts, self string) *unit {
	u := parse(unsafe.String(unsafe.SliceData(src), len(src)), f, self)
	var o owner
	o.each(u, func(text *string) { o.size += len(*text) })
	o.text = make([]byte, 0, o.size)
	o.each(u, o.own)
	return u
}

// An owner gives a unit texts of its own, all in one piece: they are few, and the text that they come from is large.
type owner struct {
	size int
	text []byte
}

func (o *owner) own(text *string) {
	if *text == "" {
		return
	}
	start := len(o.text)
	o.text = append(o.text, *text...)
	*text = unsafe.String(&o.text[start], len(*text))
}

func (o *owner) each(u *unit, do func(*string)) {
	eachName(u.body, do)
	for _, list := range [][]string{u.all, u.bound, u.literals} {
		for i := range list {
			do(&list[i])
		}
	}
}

func eachName(body []statement, do func(*string)) {
	for i := range body {
		s := &body[i]
		do(&s.name)
		for k := range s.names {
			do(&s.names[k])
		}
		for k := range s.arms {
			eachName(s.arms[k].body, do)
		}
	}
}
