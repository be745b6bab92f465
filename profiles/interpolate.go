package profiles

import (
	"errors"
	"fmt"
	"strings"
)

// maxText bounds what one value may grow to by substitution, in bytes.
const maxText = 1 << 20

// maxNesting bounds ${A:-${B:-${C}}}.
const maxNesting = 32

var errTooLong = errors.New("the text grows over 1 MiB")

// A missingError is about a variable without a value where the text gives no default.
type missingError struct {
	name   string
	reason string // of ${X:?reason}
	asked  bool   // by ${X:?...}
}

func (e *missingError) Error() string {
	switch {
	case e.asked && e.reason != "":
		return fmt.Sprintf("variable %s is required: %s", e.name, e.reason)
	case e.asked:
		return fmt.Sprintf("variable %s is required and has no value", e.name)
	}
	return fmt.Sprintf("variable %s is not set", e.name)
}

// A templateError is about a $ that begins no variable.
type templateError struct{ text string }

func (e *templateError) Error() string { return fmt.Sprintf("%q is no variable", e.text) }

type lookup func(name string) (string, bool)

// interpolate substitutes variables by the rules of the compose specification (12-interpolation.md): $X, ${X}, ${X-d},
// ${X:-d}, ${X?e}, ${X:?e}, ${X+r}, ${X:+r}, nested ones in d, e and r, and $$ for a dollar sign. Compose takes a
// missing variable for an empty one; here it is a *missingError.
func interpolate(text string, find lookup) (string, error) { return substitute(text, find, 0) }

// EscapeDollars doubles each dollar sign of text that compose takes for itself: one that is followed by no name, no { and no other
// dollar sign (compose-go, template, DefaultPattern). What a profile refuses then means what compose reads: "$(id)", "$1", "s/x$//".
func EscapeDollars(text string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i == len(text)-1 {
			break
		}
		out.WriteString(text[:i+1])
		switch text = text[i+1:]; {
		case text[0] == '$': // a pair, which is one that is meant
			out.WriteByte('$')
			text = text[1:]
		case text[0] != '{' && leadingName(text) == "":
			out.WriteByte('$')
		}
	}
	out.WriteString(text)
	if strings.HasSuffix(text, "$") {
		out.WriteByte('$')
	}
	return out.String()
}

// Interpolate substitutes variables as in a profile, with those of env.
func Interpolate(text string, env map[string]string) (string, error) {
	return interpolate(text, func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
}

func substitute(text string, find lookup, depth int) (string, error) {
	if depth > maxNesting {
		return "", &templateError{text: abridged(text)}
	}
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			out.WriteString(text)
			break
		}
		out.WriteString(text[:i])
		value, rest, err := variable(text[i:], find, depth)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		if out.Len() > maxText {
			return "", errTooLong
		}
		text = rest
	}
	return out.String(), nil
}

// variable reads what begins with the $ of text and returns its value and the text behind it.
func variable(text string, find lookup, depth int) (value, rest string, err error) {
	if strings.HasPrefix(text, "$$") {
		return "$", text[2:], nil
	}
	if strings.HasPrefix(text, "${") {
		end := closingBrace(text)
		if end < 0 {
			return "", "", &templateError{text: abridged(text)}
		}
		value, err = braced(text[2:end], find, depth)
		return value, text[end+1:], err
	}
	name := leadingName(text[1:])
	if name == "" {
		return "", "", &templateError{text: abridged(text)}
	}
	value, ok := find(name)
	if !ok {
		return "", "", &missingError{name: name}
	}
	return value, text[1+len(name):], nil
}

// braced evaluates the inside of ${...}.
func braced(inside string, find lookup, depth int) (string, error) {
	name := leadingName(inside)
	if name == "" {
		return "", &templateError{text: abridged("${" + inside + "}")}
	}
	operator, word := operatorOf(inside[len(name):])
	value, set := find(name)
	if strings.HasPrefix(operator, ":") {
		set = set && value != ""
	}
	switch strings.TrimPrefix(operator, ":") {
	case "-":
		if !set {
			return substitute(word, find, depth+1)
		}
	case "+":
		if set {
			return substitute(word, find, depth+1)
		}
		return "", nil
	case "?":
		if !set {
			return "", requiredError(name, word, find, depth)
		}
	default:
		if word != "" {
			return "", &templateError{text: abridged("${" + inside + "}")}
		}
		if !set {
			return "", &missingError{name: name}
		}
	}
	return value, nil
}

func requiredError(name, word string, find lookup, depth int) error {
	reason, err := substitute(word, find, depth+1)
	if err != nil {
		reason = word
	}
	return &missingError{name: name, reason: reason, asked: true}
}

// operatorOf splits ":-word". Where no operator begins it, operator is empty and word is everything.
func operatorOf(s string) (operator, word string) {
	for _, op := range []string{":-", ":+", ":?", "-", "+", "?"} {
		if strings.HasPrefix(s, op) {
			return op, s[len(op):]
		}
	}
	return "", s
}

// closingBrace returns the index of the } that ends the ${ at the start of s; -1 if there is none.
func closingBrace(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '{':
			depth++
		case s[i] == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// leadingName returns the variable's name that s begins with: [A-Za-z_][A-Za-z0-9_]*.
func leadingName(s string) string {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return s[:i]
		}
	}
	return s
}

// abridged shortens text of unknown length for a message, on a rune's border.
func abridged(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// remedyOf says what to type about an error of interpolate.
func remedyOf(err error) string {
	var missing *missingError
	var template *templateError
	switch {
	case errors.As(err, &missing) && missing.asked:
		return fmt.Sprintf("set it: %s=... hostrun ...", missing.name)
	case errors.As(err, &missing):
		return fmt.Sprintf("set %[1]s, or give it a default: ${%[1]s:-default}; a dollar sign that is meant is written $$", missing.name)
	case errors.As(err, &template):
		return "write ${NAME}, ${NAME:-default}, or $$ for a dollar sign"
	}
	return ""
}
