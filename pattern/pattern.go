// Package pattern holds regular expressions that are compiled when they are first used: most commands use few of them,
// and compiling all at each start of the program would cost more than some commands do.
package pattern

import (
	"regexp"
	"sync"
)

// A Pattern is a regular expression, safe for concurrent use. An invalid one panics at its first use.
type Pattern struct {
	compiled func() *regexp.Regexp
}

// New returns the pattern of package regexp's syntax.
func New(expression string) Pattern {
	return Pattern{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })}
}

// MatchString is that of regexp.Regexp, as are the others.
func (p Pattern) MatchString(s string) bool { return p.compiled().MatchString(s) }

func (p Pattern) FindStringSubmatch(s string) []string { return p.compiled().FindStringSubmatch(s) }

func (p Pattern) FindAllStringSubmatch(s string, n int) [][]string {
	return p.compiled().FindAllStringSubmatch(s, n)
}

func (p Pattern) ReplaceAllString(s, with string) string {
	return p.compiled().ReplaceAllString(s, with)
}

func (p Pattern) ReplaceAllStringFunc(s string, with func(string) string) string {
	return p.compiled().ReplaceAllStringFunc(s, with)
}

// String returns the expression.
func (p Pattern) String() string { return p.compiled().String() }
