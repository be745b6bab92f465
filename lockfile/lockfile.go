// Package lockfile reads and writes hostrun.lock: what profiles are made of besides their own text, so that a start elsewhere or
// later can insist on the same. It is pure; commands find the file and say what is done about a difference.
package lockfile

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// Name of the file, which lies beside the profiles that it is about.
const Name = "hostrun.lock"

// Version of the form that Render writes, and the only one that Parse takes.
const Version = 1

// A File is a whole lock.
type File struct {
	Path    string           // for messages
	Entries map[string]Entry // by Key
	lines   map[string]int   // of what is at a path of keys, "profiles/dinov2/python/packages/torch"
}

// An Entry is what one profile is made of. What the profile does not use is absent.
type Entry struct {
	Image    *Image            `yaml:"image,omitempty"`
	PreStart map[string]string `yaml:"pre_start,omitempty"` // images of its own that hooks run in: full reference -> digest
	System   string            `yaml:"system,omitempty"`    // of the host, with rootfs: host: "debian 12"
	Drivers  map[string]string `yaml:"drivers,omitempty"`   // kind of devices -> version of the host's driver
	CANN     string            `yaml:"cann,omitempty"`      // the host's, where it is lent
	CUDA     string            `yaml:"cuda,omitempty"`      // likewise
	Python   *Python           `yaml:"python,omitempty"`    // the host's, where its packages are lent
}

// An Image is what a name stood for.
type Image struct {
	Name     string `yaml:"name"`             // full: docker.io/library/dinov2:latest
	Digest   string `yaml:"digest,omitempty"` // of the manifest or index; "" of one that is built on each machine
	Platform string `yaml:"platform"`
}

// A Python is the host's interpreter and what is installed for it.
type Python struct {
	Version string `yaml:"version"`
	SOABI   string `yaml:"soabi"`
	// Fingerprint is of all of this. It decides where Packages have been taken out of the file.
	Fingerprint string `yaml:"fingerprint"`
	// Packages are normalised name -> version, with a digest of what the wheel has installed where its RECORD tells:
	// "2.5.1 sha256:0123456789ab". A name that is in several site directories has all, in the order of the path.
	Packages map[string]string `yaml:"packages,omitempty"`
}

// A Host is what of this machine the facts of a plan do not hold.
type Host struct {
	Contents map[string]string // what wheels have installed, by host.ContentKey
	CANN     string            // version of the toolkit that is lent; "" for none
	Drivers  map[string]string // of kinds whose driver lies in a place that the profile names, instead of the machine's
	PreStart map[string]string // as in Entry
}

// Key is the name of a profile's entry: the profile's, behind its file where that holds several: "stack.yaml:web".
func Key(p *profiles.Profile) string {
	if p.Stack == nil {
		return p.Name
	}
	return filepath.Base(p.File) + ":" + p.Name
}

// Of is the entry for what the facts say now.
func Of(f plan.Facts, h Host) Entry {
	e := Entry{PreStart: h.PreStart, CANN: h.CANN}
	if f.Profile.Rootfs == profiles.HostRoot {
		e.System = strings.TrimSpace(f.Host.OS.ID + " " + f.Host.OS.VersionID)
	} else {
		e.Image = &Image{Name: f.Image.Reference, Digest: f.Image.Digest, Platform: strings.TrimSuffix(f.Image.OS+"/"+f.Image.Arch+"/"+f.Image.Variant, "/")}
		if f.Profile.Build != nil { // two builds of one Dockerfile have two digests
			e.Image.Digest = ""
		}
	}
	for _, inv := range f.Inventories {
		if driver := cmp.Or(h.Drivers[inv.Kind], inv.Driver); driver != "" {
			e.setDriver(inv.Kind, driver)
		}
	}
	if c := f.Host.CUDA; c != nil {
		e.CUDA = c.Version
	}
	if p := f.Host.Python; p != nil {
		e.Python = pythonOf(p, h.Contents)
	}
	return e
}

func (e *Entry) setDriver(kind, version string) {
	if e.Drivers == nil {
		e.Drivers = map[string]string{}
	}
	e.Drivers[kind] = version
}

func pythonOf(p *host.Python, contents map[string]string) *Python {
	python := &Python{Version: p.Version.String(), SOABI: p.SOABI, Packages: map[string]string{}}
	if p.Implementation != "" && p.Implementation != "cpython" {
		python.Version = p.Implementation + " " + python.Version
	}
	for _, d := range p.Packages {
		name, what := host.Normalise(d.Name), d.Version
		if what == "" {
			what = "unknown"
		}
		if digest := contents[host.ContentKey(d)]; digest != "" {
			what += " sha256:" + digest
		}
		if have, twice := python.Packages[name]; twice && have != what {
			what = have + " and " + what
		}
		python.Packages[name] = what
	}
	python.Fingerprint = python.fingerprint()
	return python
}

// KeepForm leaves out the packages where the entry of before has none: a person has taken them out.
func (e *Entry) KeepForm(was Entry) {
	if e.Python != nil && was.Python != nil && was.Python.Packages == nil && was.Python.Fingerprint != "" {
		e.Python.Packages = nil
	}
}

func (p *Python) fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", p.Version, p.SOABI)
	for _, name := range slices.Sorted(maps.Keys(p.Packages)) {
		fmt.Fprintf(h, "%s %s\n", name, p.Packages[name])
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}
