package imports

import (
	"strconv"
	"strings"
)

// A reader evaluates an expression of constants and known names; anything else in it is undecided.
type reader struct {
	facts facts
	toks  []token
	at    int
	deep  int
}

func (r *reader) peek(text string) bool {
	return r.at < len(r.toks) && r.toks[r.at].text == text && r.toks[r.at].kind != tokString
}

func (r *reader) take(text string) bool {
	if r.peek(text) {
		r.at++
		return true
	}
	return false
}

// or and and give a truth value or, of a single operand, the operand itself.
func (r *reader) or() any {
	if r.deep++; r.deep > maxNesting {
		r.at = len(r.toks) + 1
		return undecided{}
	}
	defer func() { r.deep-- }()
	v := r.and()
	for r.take("or") {
		left, right := truth(v), truth(r.and())
		v = fromTri(max(left, right))
		if left != yes && right != yes && (left == unknown || right == unknown) {
			v = undecided{}
		}
	}
	return v
}

func (r *reader) and() any {
	v := r.negation()
	for r.take("and") {
		left, right := truth(v), truth(r.negation())
		switch {
		case left == no || right == no:
			v = false
		case left == yes && right == yes:
			v = true
		default:
			v = undecided{}
		}
	}
	return v
}

func fromTri(t tri) any {
	if t == unknown {
		return undecided{}
	}
	return t == yes
}

func (r *reader) negation() any {
	negative := false
	for r.take("not") {
		negative = !negative
	}
	v := r.comparison()
	if negative {
		return fromTri(truth(v).not())
	}
	return v
}

func (r *reader) comparison() any {
	left := r.operand()
	op := r.comparator()
	if op == "" {
		return left
	}
	right := r.operand()
	if r.comparator() != "" {
		r.at = len(r.toks) + 1 // a chain: nobody asks for versions so
		return undecided{}
	}
	return fromTri(compare(left, op, right))
}

func (r *reader) comparator() string {
	if r.at >= len(r.toks) {
		return ""
	}
	switch op := r.toks[r.at].text; op {
	case "==", "!=", "<=", ">=", "<", ">", "in":
		r.at++
		return op
	case "is":
		r.at++
		if r.take("not") {
			return "!="
		}
		return "=="
	case "not":
		if r.at+1 < len(r.toks) && r.toks[r.at+1].text == "in" {
			r.at += 2
			return "not in"
		}
	}
	return ""
}

// operand reads a constant, a tuple, or a known name with what follows it: an index, a slice, .startswith().
func (r *reader) operand() any {
	if r.at >= len(r.toks) {
		return undecided{}
	}
	t := r.toks[r.at]
	switch {
	case t.kind == tokNumber:
		r.at++
		return number(t.text)
	case t.kind == tokString:
		r.at++
		if s, ok := t.value(); ok {
			return s
		}
		return undecided{}
	case t.text == "(" || t.text == "[" || t.text == "{":
		return r.tuple()
	case t.kind == tokName:
		return r.dotted()
	}
	r.at = len(r.toks) + 1
	return undecided{}
}

func number(text string) any {
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 0, 64)
	if err != nil {
		return undecided{}
	}
	return int(n)
}

func (r *reader) tuple() any {
	closing := map[string]string{"(": ")", "[": "]", "{": "}"}[r.toks[r.at].text]
	single := closing == ")"
	r.at++
	items := []any{}
	for !r.take(closing) {
		if r.at >= len(r.toks) {
			return undecided{}
		}
		items = append(items, r.or())
		if r.take(",") {
			single = false
		} else if !r.peek(closing) {
			r.at = len(r.toks) + 1
			return undecided{}
		}
	}
	if single && len(items) == 1 {
		return items[0]
	}
	return items
}

// dotted reads a name, its attributes and a call without arguments, and looks it up as one word.
func (r *reader) dotted() any {
	name := r.toks[r.at].text
	name = strings.TrimPrefix(name, "_")
	if r.toks[r.at].text == "__debug__" || strings.HasPrefix(r.toks[r.at].text, "__") {
		name = r.toks[r.at].text
	}
	full := r.toks[r.at].text
	r.at++
	if name == "__name__" {
		if r.facts.main {
			return "__main__"
		}
		return elsewhere
	}
	for r.peek(".") && r.at+1 < len(r.toks) {
		if r.toks[r.at+1].text == "startswith" {
			break
		}
		name += "." + r.toks[r.at+1].text
		r.at += 2
	}
	if r.peek("(") && r.at+1 < len(r.toks) && r.toks[r.at+1].text == ")" {
		name += "()"
		r.at += 2
	}
	v, known := r.facts.named[name]
	if local := r.facts.local; local != nil && (known || local.some) {
		own, bound := local.get(name)
		if !bound && !strings.Contains(name, ".") {
			own, bound = local.get(full)
		}
		if bound {
			v, known = own, true
		}
	}
	if !known {
		v = undecided{}
	}
	return r.trailers(v)
}

// trailers reads what follows a value.
func (r *reader) trailers(v any) any {
	for r.at < len(r.toks) {
		switch r.toks[r.at].text {
		case "[":
			v = r.index(v)
		case ".":
			v = r.startswith(v)
		case "(":
			r.balanced()
			v = undecided{}
		default:
			return v
		}
	}
	return v
}

func (r *reader) index(v any) any {
	inside := r.balanced()
	all, ok := v.([]any)
	if !ok {
		if s, isText := v.(string); isText && len(inside) == 1 && inside[0].text == "0" && s != "" {
			return s[:1]
		}
		return undecided{}
	}
	low, high, slice := 0, len(all), false
	for i, t := range inside {
		n, isInt := number(t.text).(int)
		switch {
		case t.text == ":" && !slice:
			slice = true
		case !isInt || t.kind != tokNumber || n > len(all):
			return undecided{}
		case slice && i == len(inside)-1:
			high = n
		default:
			low = n
		}
	}
	switch {
	case slice && low <= high:
		return all[low:high]
	case !slice && len(inside) == 1 && low < len(all):
		return all[low]
	}
	return undecided{}
}

// startswith evaluates .startswith("x") of a known text; anything else makes it undecided.
func (r *reader) startswith(v any) any {
	r.at++
	method := ""
	if r.at < len(r.toks) {
		method = r.toks[r.at].text
		r.at++
	}
	if !r.peek("(") {
		return undecided{}
	}
	inside := r.balanced()
	s, ok := v.(string)
	if !ok || method != "startswith" {
		return undecided{}
	}
	arg := reader{facts: r.facts, toks: inside}
	var prefixes []any
	switch p := arg.or().(type) {
	case string:
		prefixes = []any{p}
	case []any:
		prefixes = p
	}
	for _, p := range prefixes {
		text, ok := p.(string)
		if !ok {
			return undecided{}
		}
		if strings.HasPrefix(s, text) {
			return true
		}
	}
	if prefixes == nil || arg.at != len(inside) {
		return undecided{}
	}
	return false
}

// balanced passes a bracket and returns what it encloses.
func (r *reader) balanced() []token {
	start, depth := r.at+1, 0
	for ; r.at < len(r.toks); r.at++ {
		t := r.toks[r.at]
		if t.kind != tokOp || len(t.text) != 1 {
			continue
		}
		if depth += bracket(t.text[0]); depth == 0 {
			r.at++
			return r.toks[start : r.at-1]
		}
	}
	return nil
}
