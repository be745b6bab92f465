package lockfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// Since says what is otherwise now than the file's entry of that key has it; each change tells the line. Without such an entry nothing
// is known, and the answer is nil.
func (f *File) Since(key string, now Entry) []plan.Change {
	was, ok := f.Entries[key]
	if !ok {
		return nil
	}
	c := &comparison{file: f, key: key}
	wasImage, isImage := deref(was.Image), deref(now.Image)
	c.add("image", "name", wasImage.Name, isImage.Name, "the image", "image", "name")
	if wasImage.Name == isImage.Name {
		c.add("image", "digest", wasImage.Digest, isImage.Digest, "the image's digest", "image", "digest")
		c.add("image", "platform", wasImage.Platform, isImage.Platform, "the image's platform", "image", "platform")
	}
	c.addEach("image", was.PreStart, now.PreStart, func(name string) string { return "the digest of pre_start's image " + name }, "pre_start")
	c.add("system", "system", was.System, now.System, "the host's system", "system")
	c.addEach("driver", was.Drivers, now.Drivers, func(kind string) string { return "the driver of " + devices.Nouns(kind) }, "drivers")
	c.add("cann", "cann", was.CANN, now.CANN, "the host's CANN", "cann")
	c.add("cuda", "cuda", was.CUDA, now.CUDA, "the host's CUDA", "cuda")
	c.python(deref(was.Python), deref(now.Python))
	return c.all
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// A comparison collects changes.
type comparison struct {
	file *File
	key  string
	all  []plan.Change
}

func (c *comparison) add(what, field, was, is, words string, keys ...string) {
	if was == is {
		return
	}
	was, is = orNone(was), orNone(is)
	where := fmt.Sprintf("%s:%d", c.file.Path, c.file.line(append([]string{c.key}, keys...)...))
	c.all = append(c.all, plan.Change{What: what, Field: field, Was: was, Is: is, Where: where, Text: fmt.Sprintf("%s: %s -> %s", words, was, is)})
}

func (c *comparison) addEach(what string, was, is map[string]string, words func(string) string, keys ...string) {
	all := maps.Clone(is)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, was)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c.add(what, name, was[name], is[name], words(name), append(slices.Clip(keys), name)...)
	}
}

func (c *comparison) python(was, is Python) {
	c.add("python", "version", was.Version, is.Version, "the host's Python", "python", "version")
	if was.Version == "" || is.Version == "" { // none at all
		return
	}
	c.add("python", "soabi", was.SOABI, is.SOABI, "the tag of the host's Python", "python", "soabi")
	if was.Packages == nil && was.Fingerprint != "" { // they were taken out of the file
		c.add("package", "fingerprint", was.Fingerprint, is.Fingerprint, "the host's packages", "python", "fingerprint")
		return
	}
	before := len(c.all)
	c.addEach("package", was.Packages, is.Packages, func(name string) string { return "the host's package " + name }, "python", "packages")
	for i := range c.all[before:] {
		p := &c.all[before+i]
		wasVersion, wasContent, _ := strings.Cut(p.Was, " ")
		isVersion, isContent, _ := strings.Cut(p.Is, " ")
		switch {
		case strings.Contains(p.Was+p.Is, " and "): // in several site directories: as it stands
		case wasVersion != isVersion:
			p.Text = fmt.Sprintf("the host's package %s: %s -> %s", p.Field, wasVersion, isVersion)
		default:
			p.Text = fmt.Sprintf("the host's package %s %s: other files than before: %s -> %s", p.Field, isVersion, orNone(wasContent), orNone(isContent))
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// maxNamed is how many packages a finding names.
const maxNamed = 8

// Findings are the changes as what stops a start: one for each sort of thing. name is what a person types for the profile.
func (f *File) Findings(changes []plan.Change, name string) []finding.Finding {
	var all []finding.Finding
	for len(changes) > 0 {
		what := changes[0].What
		n := slices.IndexFunc(changes, func(c plan.Change) bool { return c.What != what })
		if n < 0 {
			n = len(changes)
		}
		all = append(all, f.finding(changes[:n], name))
		changes = changes[n:]
	}
	return all
}

func (f *File) finding(of []plan.Change, name string) finding.Finding {
	var words []string
	for _, c := range of[:min(len(of), maxNamed)] {
		words = append(words, c.Text)
	}
	if more := len(of) - maxNamed; more > 0 {
		words = append(words, fmt.Sprintf("and %d more: hostrun lock --check %s lists them", more, name))
	}
	one := finding.Finding{ID: finding.LockDiffers, Severity: finding.Error, Subject: name, File: f.Path,
		Message: "not what " + Name + " says: " + strings.Join(words, "; "),
		Remedy:  "hostrun lock " + name + " takes it as it is now; or bring back what was locked"}
	if _, err := fmt.Sscanf(strings.TrimPrefix(of[0].Where, f.Path), ":%d", &one.Line); err != nil {
		one.Line = 0
	}
	if of[0].What == "image" && of[0].Field == "digest" {
		one.Remedy = "hostrun pull --locked " + name + " brings the locked one back under its name; hostrun lock " + name + " takes this one"
	}
	return one
}

// Missing is the finding for a profile without an entry; file is nil where there is no lock at path.
func Missing(file *File, path, key, name, profile string) finding.Finding {
	one := finding.Finding{ID: finding.LockMissing, Severity: finding.Error, Subject: key, File: profile, Got: "there is no " + path,
		Message: key + " is not locked", Remedy: "hostrun lock " + name}
	if file != nil {
		one.File, one.Line, one.Got = path, max(file.line(), 1), "no entry of "+key
	}
	return one
}
