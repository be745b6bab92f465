package profiles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/pattern"
)

// Parse returns the root mapping of a file's text. The error is an *InvalidError.
func Parse(file string, text []byte) (*yaml.Node, error) {
	r := &report{}
	root := parse(file, text, r)
	return root, r.err()
}

// parse returns the root mapping of a profile's text, or nil with the problem reported.
func parse(file string, text []byte, r *report) *yaml.Node {
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // editors on Windows write it
	if p := unreadable(file, text); p != nil {
		r.add(*p)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		r.add(malformed(file, text, err))
		return nil
	}
	if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
		r.add(Problem{Position: Position{file, 1, 1}, Message: "the file is empty", Remedy: "write at least: image: NAME"})
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		r.add(Problem{Position: Position{file, second.Line, second.Column}, Message: "a second document begins here (---)",
			Remedy: "one profile is one file: put it into a file of its own"})
	} else if !errors.Is(err, io.EOF) {
		r.add(malformed(file, text, err))
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		r.add(Problem{Position: Position{file, root.Line, root.Column}, Message: "the file is no mapping of keys to values",
			Remedy: "write at least: image: NAME"})
		return nil
	}
	return root
}

// unreadable finds what no YAML parser should see.
func unreadable(file string, text []byte) *Problem {
	if len(text) > maxFile {
		return &Problem{Position: Position{file, 1, 1}, Message: fmt.Sprintf("the file is larger than %d KiB", maxFile>>10), Remedy: "a profile is a short text file: check the path"}
	}
	line := 1
	for rest := text; len(rest) > 0; {
		c, size := utf8.DecodeRune(rest)
		switch {
		case c == utf8.RuneError && size == 1:
			return &Problem{Position: Position{file, line, 1}, Message: "the file is not UTF-8 text", Remedy: "save it as UTF-8"}
		case c < ' ' && c != '\n' && c != '\r' && c != '\t', c == 0x7f:
			return &Problem{Position: Position{file, line, 1}, Message: fmt.Sprintf("the file holds the control character %#02x", c), Remedy: "remove it; in double quotes YAML knows \\x.."}
		case c == '\n':
			line++
		}
		rest = rest[size:]
	}
	return nil
}

var (
	yamlLine      = pattern.New(`^line (\d+): (.*)$`)
	unknownAnchor = pattern.New(`^unknown anchor '(.*)' referenced$`)
)

// malformed puts the parser's message into ours. Its line is the one where it gave up.
func malformed(file string, text []byte, err error) Problem {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = m[2]
		if strings.HasPrefix(message, "did not find expected") {
			line++ // the parser counts lines from 0, its scanner from 1
		}
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if anchor := unknownAnchor.FindStringSubmatch(message); anchor != nil { // it names no line
		for i := len(lines) - 1; i >= 0; i-- {
			if strings.Contains(lines[i], "*"+anchor[1]) {
				line = i + 1
			}
		}
	}
	line = min(line, len(lines))
	p := Problem{Position: Position{file, line, 1}, Message: "this is no YAML: " + message, Remedy: yamlRemedy(message)}
	// A tab stops the parser with a message about tokens, in its line or the one after.
	for i := max(0, line-2); i < min(len(lines), line+1); i++ {
		indent := lines[i][:len(lines[i])-len(strings.TrimLeft(lines[i], " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
			p.Position = Position{file, i + 1, tab + 1}
			p.Message, p.Remedy = "this is no YAML: the line is indented with a tab", "indent with spaces"
			break
		}
	}
	return p
}

var yamlRemedies = []struct{ cause, remedy string }{
	{"mapping values are not allowed", "put the value in quotes, or look at the indentation of this line and the one before"},
	{"did not find expected key", "look at the indentation of this line and the one before, and for an open quote"},
	{"could not find expected ':'", "write key: value, with a space after the colon"},
	{"unknown anchor", "define it above its use: &name"},
	{"did not find expected ',' or", "close the bracket or brace"},
	{"unexpected end of stream", "close the quote"},
	{"cannot start any token", "put the value in quotes"},
}

func yamlRemedy(message string) string {
	for _, r := range yamlRemedies {
		if strings.Contains(message, r.cause) {
			return r.remedy
		}
	}
	return "look at the indentation and the quotes of this line and the one before"
}
