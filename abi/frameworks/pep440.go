package frameworks

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// A version is one of PEP 440, with what decides its order.
type version struct {
	epoch   int
	release []int
	pre     int64 // beforePre for a mere .dev, afterPre for none, else the rank of a, b, rc above its number
	post    int   // -1 for none
	dev     int   // noDev for none
	local   string
}

var versionPattern = pattern.New(`^v?(?:(\d{1,9})!)?(\d{1,9}(?:\.\d{1,9})*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d{0,9}))?` +
	`((?:-(\d{1,9}))|(?:[-_.]?(?:post|rev|r)[-_.]?(\d{0,9})))?([-_.]?dev[-_.]?(\d{0,9}))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

const (
	noDev     = 1 << 30
	beforePre = -1
	afterPre  = 3 << 32
)

// parseVersion reads a version (PEP 440, appendix B).
func parseVersion(text string) (version, bool) {
	m := versionPattern.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return version{}, false
	}
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	v := version{epoch: number(m[1]), pre: afterPre, post: -1, dev: noDev, local: m[10]}
	for _, part := range strings.Split(m[2], ".") {
		v.release = append(v.release, number(part))
	}
	for len(v.release) > 1 && v.release[len(v.release)-1] == 0 {
		v.release = v.release[:len(v.release)-1]
	}
	if m[3] != "" {
		v.pre = int64(strings.Index("abrpc", m[3][:1]))<<32 + int64(number(m[4]))
		if strings.ContainsAny(m[3][:1], "rpc") { // rc, c, pre, preview are one
			v.pre = 2<<32 + int64(number(m[4]))
		}
	}
	if m[5] != "" {
		v.post = number(m[6] + m[7])
	}
	if m[8] != "" {
		v.dev = number(m[9])
	}
	if v.pre == afterPre && v.post == -1 && v.dev != noDev {
		v.pre = beforePre
	}
	return v, true
}

// compare orders versions, their local parts left out: those are of no matter to a requirement without one.
func (v version) compare(w version) int {
	return cmp.Or(cmp.Compare(v.epoch, w.epoch), slices.Compare(v.release, w.release), cmp.Compare(v.pre, w.pre),
		cmp.Compare(v.post, w.post), cmp.Compare(v.dev, w.dev))
}

// hasPrefix is the rule of "==2.6.*" for the parts of a release.
func (v version) hasPrefix(parts []int) bool {
	padded := slices.Clone(v.release)
	for len(padded) < len(parts) {
		padded = append(padded, 0)
	}
	return slices.Equal(padded[:len(parts)], parts)
}

// allows says whether a version meets a list of clauses, "<2.7,>=2.6" (PEP 440, "Version specifiers"). known is false for
// clauses that can't be read.
func allows(specifiers, text string) (allowed, known bool) {
	v, ok := parseVersion(text)
	if !ok {
		return false, false
	}
	for clause := range strings.SplitSeq(specifiers, ",") {
		if clause = strings.TrimSpace(clause); clause == "" {
			continue
		}
		allowed, known := v.meets(clause)
		if !allowed || !known {
			return allowed, known
		}
	}
	return true, true
}

func (v version) meets(clause string) (allowed, known bool) {
	end := strings.IndexFunc(clause, func(r rune) bool { return !strings.ContainsRune("=<>!~", r) })
	if end <= 0 {
		return false, false
	}
	operator, operand := clause[:end], strings.TrimSpace(clause[end:])
	bare, wildcard := strings.CutSuffix(operand, ".*")
	w, ok := parseVersion(bare)
	if !ok {
		return false, false
	}
	equal := v.compare(w) == 0 && (w.local == "" || w.local == v.local)
	if wildcard {
		equal = v.epoch == w.epoch && v.hasPrefix(parts(bare))
	}
	switch operator {
	case "==", "===":
		return equal, true
	case "!=":
		return !equal, true
	case ">=":
		return v.compare(w) >= 0, true
	case "<=":
		return v.compare(w) <= 0, true
	case ">":
		return v.compare(w) > 0 && !(v.post >= 0 && w.post < 0 && slices.Equal(v.release, w.release)), true
	case "<":
		return v.compare(w) < 0 && !(v.isPre() && !w.isPre() && slices.Equal(v.release, w.release)), true
	case "~=":
		prefix := parts(bare)
		return len(prefix) > 1 && v.compare(w) >= 0 && v.hasPrefix(prefix[:len(prefix)-1]), true
	}
	return false, false
}

func (v version) isPre() bool { return v.pre != afterPre || v.dev != noDev }

// parts are the numbers of a release as they are written.
func parts(text string) []int {
	if _, rest, ok := strings.Cut(text, "!"); ok {
		text = rest
	}
	var all []int
	for part := range strings.SplitSeq(Base(strings.TrimPrefix(text, "v")), ".") {
		n, _ := strconv.Atoi(part)
		all = append(all, n)
	}
	return all
}
