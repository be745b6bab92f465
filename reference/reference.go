// Package reference stands in for the library of its path in hostrun's programs (replace in go.mod). containerd's client
// imports that for the names in archives, and it compiles its regular expressions whenever a program starts, also one that reads no
// archive: 1.3 of 8 ms. What reads names is package imagename, which is compared with the library in integration/oracle.
package reference

import (
	"github.com/opencontainers/go-digest"

	"hostrun.dev/hostrun/imagename"
)

// A Named is a complete name of an image.
type Named interface {
	String() string
	Name() string
}

// A Canonical is a name with a digest.
type Canonical interface {
	Named
	Digest() digest.Digest
}

type named struct{ image imagename.Name }

func (n named) String() string { return n.image.Exact() }
func (n named) Name() string   { return n.image.Repository() }

type canonical struct{ named }

func (c canonical) Digest() digest.Digest { return c.image.Digest }

// as gives a name with a digest its type.
func as(image imagename.Name) Named {
	if image.Digest != "" {
		return canonical{named{image}}
	}
	return named{image}
}

// ParseNormalizedNamed completes a name by registry and repository.
func ParseNormalizedNamed(s string) (Named, error) {
	name, err := imagename.Parse(s)
	if err != nil {
		return nil, err
	}
	return as(name), nil
}

// ParseDockerRef completes a name by registry, repository and a tag. A digest takes the tag's place.
func ParseDockerRef(s string) (Named, error) {
	name, err := imagename.Parse(s)
	if err != nil {
		return nil, err
	}
	if name.Digest != "" {
		name.Tag = ""
	}
	return TagNameOnly(as(name)), nil
}

// TagNameOnly gives a name that has neither tag nor digest the tag "latest".
func TagNameOnly(n Named) Named {
	if image := imageOf(n); image.Tag == "" && image.Digest == "" {
		image.Tag = imagename.Latest
		return as(image)
	}
	return n
}

// WithDigest gives a name that digest.
func WithDigest(n Named, d digest.Digest) (Canonical, error) {
	image := imageOf(n)
	image.Digest = d
	return canonical{named{image}}, d.Validate()
}

// FamiliarString is the name as people write it.
func FamiliarString(n Named) string { return imageOf(n).Familiar() }

func imageOf(n Named) imagename.Name {
	if c, ok := n.(canonical); ok {
		return c.image
	}
	return n.(named).image // all names are made here
}
