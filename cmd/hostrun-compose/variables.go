package main

import (
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
)

// A lookup finds a variable's value.
type lookup func(name string) (value string, set bool)

// A reference is a variable as it stands in a text: $NAME, or ${NAME} with what is behind it.
type reference struct {
	text     string
	name     string
	operator string // :- - :? ? :+ +, or ""
	word     string // behind the operator; it may hold further ones
}

// cut splits a text at its first variable. $$ is none.
func cut(text string) (before string, v reference, after string, ok bool) {
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '$' {
			continue
		}
		if text[i+1] == '$' {
			i++
			continue
		}
		inside, end := text[i+1:], i+1
		braced := inside[0] == '{'
		if braced {
			length := closing(inside)
			if length < 0 {
				continue
			}
			inside, end = inside[1:length], end+length+1
		}
		name := leadingName(inside)
		if name == "" {
			continue
		}
		v = reference{name: name}
		if braced {
			for _, operator := range []string{":-", ":?", ":+", "-", "?", "+"} {
				if word, found := strings.CutPrefix(inside[len(name):], operator); found {
					v.operator, v.word = operator, word
					break
				}
			}
		} else {
			end += len(name)
		}
		v.text = text[i:end]
		return text[:i], v, text[end:], true
	}
	return text, v, "", false
}

// closing is the index of the brace that closes the one at the start of s; -1 without.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func leadingName(s string) string {
	rest := strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")
	name := s[:len(s)-len(rest)]
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		return ""
	}
	return name
}

// with is the reference with another word.
func (v reference) with(word string) string {
	operator := v.operator
	if operator == "" {
		operator = ":-"
	}
	return "${" + v.name + operator + word + "}"
}

// strict reports whether an empty value counts as none.
func (v reference) strict() bool { return v.operator == "" || v.operator[0] == ':' }

// withDefaults gives the variables of a text the values that find knows, as defaults: who starts the stack may still set them.
func withDefaults(text string, find lookup) string {
	before, v, after, ok := cut(text)
	if !ok {
		return text
	}
	return before + v.defaulted(find) + withDefaults(after, find)
}

func (v reference) defaulted(find lookup) string {
	value, known := find(v.name)
	switch alternative := strings.HasSuffix(v.operator, "+"); {
	case !known, value == "" && strings.HasPrefix(v.operator, ":"):
		if word := withDefaults(v.word, find); word != v.word {
			return v.with(word)
		}
		return v.text
	case alternative:
		return withDefaults(v.word, find)
	case strings.ContainsAny(value, "{}$"): // no default can hold it
		return escaped(value)
	}
	return "${" + v.name + "-" + value + "}"
}

func escaped(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// valueOf is what a text comes to with the variables that find knows; "" where one that is required is missing.
func valueOf(text string, find lookup) string {
	value, err := template.SubstituteWithOptions(text, template.Mapping(find), template.WithoutLogging)
	if err != nil {
		return ""
	}
	return value
}
