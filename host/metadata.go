package host

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"syscall"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

// maxMetadata bounds one file of a distribution's metadata, in bytes. RECORD of the largest wheels is some MB.
const maxMetadata = 64 << 20

// readRegular reads at most limit bytes of a regular file of this machine; it never waits for a FIFO.
func readRegular(p string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(p, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: p, Err: rootfs.ErrNotRegular}
	}
	b := make([]byte, min(fi.Size(), limit)+1)
	n, err := io.ReadFull(f, b)
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// parseMetadata returns Name and Version of METADATA or PKG-INFO: the first headers of those names (core metadata
// specification; the format is that of mail headers, the body is the description).
func parseMetadata(b []byte) (name, version string) {
	for _, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" || name != "" && version != "" {
			break
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || line[0] == ' ' || line[0] == '\t' {
			continue
		}
		switch {
		case name == "" && strings.EqualFold(key, "Name"):
			name = strings.TrimSpace(value)
		case version == "" && strings.EqualFold(key, "Version"):
			version = strings.TrimSpace(value)
		}
	}
	return name, version
}

var eggPython = pattern.New(`-py\d+(\.\d+)?(-[^-]+)?$`)

// splitDistName reads name and version out of the name of a metadata directory: name-version.dist-info,
// name-version-py3.11.egg-info, name.egg-info.
func splitDistName(entry string) (name, version string) {
	i := strings.LastIndexByte(entry, '.')
	if i < 0 {
		return entry, ""
	}
	stem := eggPython.ReplaceAllString(entry[:i], "")
	name, version, _ = strings.Cut(stem, "-")
	return name, version
}

// parseRecord calls each with the paths of a RECORD file (PEP 376, PEP 627): the first column of its CSV.
func parseRecord(text string, each func(p string)) {
	for len(text) > 0 {
		var field string
		if text[0] == '"' {
			field, text = quotedField(text)
		} else {
			end := strings.IndexAny(text, ",\n")
			if end < 0 {
				end = len(text)
			}
			field, text = text[:end], text[end:]
		}
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			text = text[end+1:]
		} else {
			text = ""
		}
		if field = strings.TrimSuffix(field, "\r"); field != "" {
			each(field)
		}
	}
}

// quotedField takes a field in double quotes off the front of text; a doubled quote is one.
func quotedField(text string) (field, rest string) {
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != '"' {
			out.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			out.WriteByte('"')
			i++
			continue
		}
		return out.String(), text[i+1:]
	}
	return out.String(), ""
}

// editableSource returns the source directory of direct_url.json (PEP 610) where it says editable, "" otherwise.
func editableSource(b []byte) string {
	var direct struct {
		URL     string
		DirInfo struct{ Editable bool } `json:"dir_info"`
	}
	if json.Unmarshal(b, &direct) != nil || !direct.DirInfo.Editable {
		return ""
	}
	u, err := url.Parse(direct.URL)
	if err != nil || u.Scheme != "file" {
		return ""
	}
	return u.Path
}

// pyString matches a Python string as repr writes it: the text is in the first or the second group.
const pyString = `(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")`

// unescape undoes what repr escapes in a printable path.
var unescape = strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\"`, `"`).Replace

var (
	finderMapping = pattern.New(`(?m)^MAPPING[^=\n]*=\s*(\{[^}\n]*\})`)
	finderPair    = pattern.New(pyString + `\s*:\s*` + pyString)
)

// parseFinder returns MAPPING of setuptools' __editable___*_finder.py: module -> its directory or file
// (setuptools/command/editable_wheel.py, _finder_template).
func parseFinder(text string) map[string]string {
	found := finderMapping.FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	mapping := map[string]string{}
	for _, pair := range finderPair.FindAllStringSubmatch(found[1], -1) {
		mapping[unescape(pair[1]+pair[2])] = unescape(pair[3] + pair[4])
	}
	return mapping
}

var runs = pattern.New(`[-_.]+`)

// Normalise returns a distribution's name as it is compared (PEP 503).
func Normalise(name string) string {
	return strings.ToLower(runs.ReplaceAllString(name, "-"))
}

func nameVersion(name, version string) string { return fmt.Sprintf("%s==%s", name, version) }
