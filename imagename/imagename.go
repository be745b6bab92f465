// Package imagename reads names of container images as docker does: dinov2 is docker.io/library/dinov2:latest.
//
// The rules are those of github.com/distribution/reference, which it is compared with in integration/oracle. That library
// compiles its regular expressions when a program starts, for more than a millisecond of each command of hostrun.
package imagename

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Latest is the tag of a name that says none.
const Latest = "latest"

const (
	hub      = "docker.io"
	oldHub   = "index.docker.io"
	official = "library/"

	longestPath = 255 // characters of a repository's path
	longestTag  = 128
)

// A Name is a complete name of an image.
type Name struct {
	Domain string // of the registry, with its port; "" where what should be one is none, and belongs to the path
	Path   string // of the repository
	Tag    string
	Digest digest.Digest
}

var (
	errForm  = errors.New("it is not of the form [registry/]repository[:tag][@digest]")
	errUpper = errors.New("a repository's name is in lower case")
	errID    = errors.New("64 hexadecimal digits are an image's ID, not its name")
	errLong  = fmt.Errorf("a repository's name has at most %d characters", longestPath)
)

// Parse completes a name by registry and repository, not by a tag. The error is a sentence without the name.
func Parse(s string) (Name, error) {
	if len(s) == 64 && every(s, lowerHex) {
		return Name{}, errID
	}
	domain, rest := split(s)
	rest, sum, digested := strings.Cut(rest, "@")
	path, tag, tagged := strings.Cut(rest, ":")
	if strings.ToLower(path) != path {
		return Name{}, errUpper
	}
	n := Name{Domain: domain, Path: path, Tag: tag}
	if !domainValid(domain) {
		n.Domain, n.Path = "", domain+"/"+path
	}
	if !pathValid(n.Path) || tagged && !tagValid(tag) {
		return Name{}, errForm
	}
	if len(n.Path) > longestPath {
		return Name{}, errLong
	}
	if digested {
		if n.Digest = digest.Digest(sum); n.Digest.Validate() != nil {
			return Name{}, fmt.Errorf("%s is no digest", sum)
		}
	}
	return n, nil
}

// Full is the name by which the image is known: with its digest or, without one, its tag, which is "latest" unless said.
func (n Name) Full() string {
	switch {
	case n.Digest != "":
		n.Tag = ""
	case n.Tag == "":
		n.Tag = Latest
	}
	return n.Exact()
}

// Exact is the complete name with what it says of tag and digest.
func (n Name) Exact() string { return n.with(n.Repository()) }

func (n Name) with(name string) string {
	if n.Tag != "" {
		name += ":" + n.Tag
	}
	if n.Digest != "" {
		name += "@" + n.Digest.String()
	}
	return name
}

// Familiar is the name as people write it, without docker's own registry; tag and digest stay as they are.
func (n Name) Familiar() string {
	short := n.Repository()
	if n.Domain == hub {
		short = n.Path
		if name, ok := strings.CutPrefix(n.Path, official); ok && !strings.Contains(name, "/") {
			short = name
		}
	}
	return n.with(short)
}

// WithTag is the same repository's image of that tag; ok is false where that is no tag.
func (n Name) WithTag(tag string) (tagged Name, ok bool) {
	return Name{Domain: n.Domain, Path: n.Path, Tag: tag}, tagValid(tag)
}

// Repository is the name without tag and digest.
func (n Name) Repository() string {
	if n.Domain == "" {
		return n.Path
	}
	return n.Domain + "/" + n.Path
}

// split finds the registry: what comes before the first slash, if it can't be a user of docker's.
func split(s string) (domain, rest string) {
	first, rest, ok := strings.Cut(s, "/")
	switch {
	case !ok:
		return hub, official + s
	case first == oldHub:
		first = hub
	case first == "localhost", strings.ContainsAny(first, ".:"), strings.ToLower(first) != first:
	default:
		return hub, s
	}
	if first == hub && !strings.Contains(rest, "/") {
		rest = official + rest
	}
	return first, rest
}

// domainValid is for host[:port], where the host is a DNS name, an IPv4 address, or an IPv6 address in brackets.
func domainValid(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		address, port, ok := strings.Cut(inner, "]")
		return ok && address != "" && every(address, func(c byte) bool { return hex(c) || c == ':' }) && (port == "" || port[0] == ':' && number(port[1:]))
	}
	host, port, ported := strings.Cut(s, ":")
	if ported && !number(port) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || !every(label, func(c byte) bool { return letter(c) || digit(c) || c == '-' }) {
			return false
		}
	}
	return true
}

// pathValid is for components of lower-case letters and digits, with separators inside: one dot, one or two
// underscores, or any number of dashes.
func pathValid(s string) bool {
	for component := range strings.SplitSeq(s, "/") {
		if !componentValid(component) {
			return false
		}
	}
	return true
}

func componentValid(s string) bool {
	for {
		rest := strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyz0123456789")
		if len(rest) == len(s) { // at its beginning, its end, or after a separator
			return false
		}
		if rest == "" {
			return true
		}
		s = strings.TrimLeft(rest, rest[:1])
		separators := len(rest) - len(s)
		if most := map[byte]int{'.': 1, '_': 2, '-': separators}[rest[0]]; separators > most {
			return false
		}
	}
}

func tagValid(s string) bool {
	return s != "" && len(s) <= longestTag && s[0] != '.' && s[0] != '-' &&
		every(s, func(c byte) bool { return letter(c) || digit(c) || c == '_' || c == '.' || c == '-' })
}

func number(s string) bool { return s != "" && every(s, digit) }

func every(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func digit(c byte) bool    { return '0' <= c && c <= '9' }
func letter(c byte) bool   { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func lowerHex(c byte) bool { return digit(c) || 'a' <= c && c <= 'f' }
func hex(c byte) bool      { return digit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
