package plan

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/profiles"
)

// Made is what a container was made of, as far as its specification does not say so: kept beside the container's files, for who asks
// later what has changed.
type Made struct {
	Schema     int               `json:"schema"` // 1
	Profile    profiles.Profile  `json:"profile"`
	Reference  string            `json:"reference,omitempty"` // of the image
	Digest     string            `json:"digest,omitempty"`
	OCIRuntime string            `json:"oci_runtime,omitempty"`
	Python     string            `json:"python,omitempty"`   // of the host: executable and version
	Packages   map[string]string `json:"packages,omitempty"` // of the host, for a profile that borrows them: name -> version
	CUDA       string            `json:"cuda,omitempty"`     // of the host: directory and version
	Drivers    map[string]string `json:"drivers,omitempty"`  // of the kinds of devices that it asks for
	Devices    []string          `json:"devices,omitempty"`  // that it has, by their names
}

// MadeOf is what the plan is made of.
func MadeOf(f Facts, pl Plan) Made {
	m := Made{Schema: 1, Profile: f.Profile, Reference: pl.Image, Digest: pl.Digest, OCIRuntime: f.Engine.OCIRuntime, Drivers: map[string]string{}}
	m.Profile.Lines = nil
	if p := f.Host.Python; p != nil {
		m.Python, m.Packages = p.Executable+" "+p.Version.String(), map[string]string{}
		for _, d := range p.Packages {
			if have, twice := m.Packages[d.Name]; twice && have != d.Version { // in two site directories
				d.Version = have + ", " + d.Version
			}
			m.Packages[d.Name] = d.Version
		}
	}
	if c := f.Host.CUDA; c != nil {
		m.CUDA = c.Real + " " + c.Version
	}
	for _, inv := range f.Inventories {
		m.Drivers[inv.Kind] = inv.Driver
	}
	for _, g := range f.Grants {
		for _, d := range g.Chosen {
			m.Devices = append(m.Devices, d.Kind+"="+d.Name)
		}
	}
	return m
}

// JSON is the form that is kept.
func (m Made) JSON() []byte {
	b, err := json.Marshal(m)
	if err != nil { // a profile prints as JSON in facts, too
		return nil
	}
	return b
}

// A Change is one thing that a container would have otherwise if it were made now.
type Change struct {
	What  string `json:"what"`  // "profile", "image", "driver", "package", "python", "cuda", "device", "runtime", or "container": its specification
	Field string `json:"field"` // "command", "torch", "nvidia.com/gpu", "mounts[/data].source"
	Was   string `json:"was"`
	Is    string `json:"is"`
	Where string `json:"where,omitempty"` // file and line, or who else has brought it: "profile web.yaml:3", "image"
	Text  string `json:"text"`            // in words
}

// Since says what is otherwise now than in was; the profile's lines tell where.
func (m Made) Since(was Made, lines map[string]profiles.Position) []Change {
	var all []Change
	add := func(what, field, before, after, words string) {
		if before != after {
			all = append(all, Change{What: what, Field: field, Was: orNone(before), Is: orNone(after), Text: fmt.Sprintf(words+": %s -> %s", shorten(orNone(before)), shorten(orNone(after)))})
		}
	}
	all = append(all, profileChanges(was.Profile, m.Profile, lines)...)
	add("image", "name", was.Reference, m.Reference, "the image")
	add("image", "digest", was.Digest, m.Digest, "the image's digest")
	add("runtime", "oci_runtime", was.OCIRuntime, m.OCIRuntime, "the OCI runtime")
	add("python", "python", was.Python, m.Python, "the host's Python")
	add("cuda", "cuda", was.CUDA, m.CUDA, "the host's CUDA")
	for _, name := range bothKeys(was.Packages, m.Packages) {
		add("package", name, was.Packages[name], m.Packages[name], "the host's package "+name)
	}
	for _, kind := range bothKeys(was.Drivers, m.Drivers) {
		add("driver", kind, was.Drivers[kind], m.Drivers[kind], "the driver of "+devices.Nouns(kind))
	}
	add("device", "devices", strings.Join(was.Devices, ", "), strings.Join(m.Devices, ", "), "the devices")
	return all
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func bothKeys(a, b map[string]string) []string {
	var all []string
	for k := range a {
		all = append(all, k)
	}
	for k := range b {
		if _, has := a[k]; !has {
			all = append(all, k)
		}
	}
	sort.Strings(all)
	return all
}
