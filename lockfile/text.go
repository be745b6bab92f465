package lockfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/finding"
)

// MaxFile bounds the file, in bytes: a line for each of ten thousand packages of a hundred profiles is less.
const MaxFile = 64 << 20

const header = `# Written by hostrun lock: what these profiles are made of, besides their own text. Keep it in version control.
# hostrun lock --check compares; hostrun up --locked starts nothing that is made of something else.
`

// document is the file's form.
type document struct {
	Version  int              `yaml:"version"`
	Profiles map[string]Entry `yaml:"profiles"`
}

// Render is the file's text: the same entries give the same bytes.
func (f *File) Render() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(header)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(document{Version, f.Entries}); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// Parse reads the text of the file at path; the error is an *Invalid.
func Parse(path string, text []byte) (*File, error) {
	f := &File{Path: path, Entries: map[string]Entry{}, lines: map[string]int{}}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, invalid(path, err)
	}
	if len(root.Content) == 0 {
		return nil, &Invalid{File: path, Line: 1, Message: "the file is empty"}
	}
	f.note("", root.Content[0])
	var form struct {
		Version int `yaml:"version"`
	}
	if err := root.Decode(&form); err == nil && form.Version != Version {
		return nil, &Invalid{File: path, Line: max(f.lines["version"], 1), Message: fmt.Sprintf("its version is %d, and this hostrun reads %d", form.Version, Version)}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	var doc document
	if err := d.Decode(&doc); err != nil {
		return nil, invalid(path, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &Invalid{File: path, Line: 1, Message: "it holds more than one document"}
	}
	if doc.Profiles != nil {
		f.Entries = doc.Profiles
	}
	return f, nil
}

// note remembers where keys stand.
func (f *File) note(path string, y *yaml.Node) {
	if y.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := strings.TrimPrefix(path+"\x00"+y.Content[i].Value, "\x00")
		f.lines[key] = y.Content[i].Line
		f.note(key, y.Content[i+1])
	}
}

// line is where keys below an entry stand, or what is nearest above them.
func (f *File) line(keys ...string) int {
	for keys = append([]string{"profiles"}, keys...); len(keys) > 0; keys = keys[:len(keys)-1] {
		if line := f.lines[strings.Join(keys, "\x00")]; line > 0 {
			return line
		}
	}
	return 0
}

// An Invalid is a lock that can't be read. It is one finding.
type Invalid struct {
	File    string
	Line    int
	Message string
}

func (e *Invalid) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message) }

// Finding tells it to a person.
func (e *Invalid) Finding() finding.Finding {
	return finding.Finding{ID: finding.LockInvalid, Severity: finding.Error, Subject: e.File, File: e.File, Line: e.Line,
		Message: "the lock can't be read: " + e.Message, Remedy: "take the version that was committed; or remove it, and write it anew: hostrun lock"}
}

// invalid is an error of yaml's, whose words begin with "yaml: line 3: " or list such lines.
func invalid(path string, err error) *Invalid {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var typed *yaml.TypeError
	if errors.As(err, &typed) && len(typed.Errors) > 0 {
		text = typed.Errors[0]
	}
	line := 1
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
	}
	return &Invalid{File: path, Line: line, Message: strings.ReplaceAll(text, " in type lockfile.", " in ")}
}
