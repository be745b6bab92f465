package profiles

import (
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	"hostrun.dev/hostrun/imagename"
	"hostrun.dev/hostrun/pattern"
)

var extendsFields = []field[extension]{
	{name: "profile", about: "the profile's name", schema: textSchema, read: readWord(func(e *extension) *string { return &e.name })},
	{name: "file", about: "the profile's file, relative to this one", schema: textSchema, read: readWord(func(e *extension) *string { return &e.file })},
	{name: "service", about: "compose's word for the name", schema: textSchema, read: readWord(func(e *extension) *string { return &e.service })},
}

var extendsSchema = object{"oneOf": []object{textSchema, schemaOf(extendsFields)}}

// readWord makes a reader of text.
func readWord[T any](at func(*T) *string) func(*decoder, *T, *node, string) {
	return func(d *decoder, to *T, n *node, path string) {
		if s, ok := d.text(n, path); ok {
			*at(to) = s
		}
	}
}

// readName accepts a name only where it says what the file's name says.
func readName(d *decoder, _ *Profile, n *node, path string) {
	s, ok := d.text(n, path)
	if ok && s != d.name {
		d.bad(n, path, fmt.Sprintf("remove it, or rename the file to %s.yaml", s), "%q is not the profile's name: that is the file's, %q", s, d.name)
	}
}

var imageID = pattern.New(`^(sha256:)?[0-9a-f]{64}$`)

func readImage(d *decoder, p *Profile, n *node, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	if imageID.MatchString(s) {
		d.bad(n, path, "name it: repository:tag, or repository@sha256:...", "%q is an image's ID, not its name", abridged(s))
		return
	}
	if _, err := imagename.Parse(s); err != nil {
		d.bad(n, path, "names are lower case: [registry/]repository[:tag][@digest]", "%q is no image name: %v", abridged(s), err)
		return
	}
	p.Image = s
}

func readPlatform(d *decoder, p *Profile, n *node, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	const remedy = "write os/architecture, for example linux/amd64 or linux/arm64"
	if !strings.Contains(s, "/") {
		d.bad(n, path, remedy, "%q is no platform", s)
		return
	}
	platform, err := platforms.Parse(s)
	switch {
	case err != nil:
		d.bad(n, path, remedy, "%q is no platform: %v", s, err)
	case platform.OS != "linux":
		d.bad(n, path, remedy, "%q: containers of containerd and runc are linux", s)
	default:
		p.Platform = platforms.Format(platforms.Normalize(platform))
	}
}

func readPullPolicy(d *decoder, p *Profile, n *node, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	switch {
	case s == "always", s == "missing", s == "never", s == "build":
		p.PullPolicy = s
	case s == "if_not_present": // compose's older word
		p.PullPolicy = "missing"
	case s == "refresh", s == "daily", s == "weekly", strings.HasPrefix(s, "every_"):
		d.notYetProblem(n.pos, path, "write always, missing, never or build", fmt.Sprintf("%q", s))
	default:
		d.bad(n, path, "write always, missing, never or build", "%q is not known", s)
	}
}

func readLabels(d *decoder, p *Profile, n *node, path string) {
	d.named(n, path, func(e entry) {
		if strings.HasPrefix(e.name, "hostrun.dev/") {
			d.badAt(e.pos, path, "choose another prefix", "labels that begin with hostrun.dev/ are hostrun's own: %q", e.name)
			return
		}
		put(&p.Labels, e)
	})
}

func readAnnotations(d *decoder, p *Profile, n *node, path string) {
	d.named(n, path, func(e entry) { put(&p.Annotations, e) })
}

func put(m *map[string]string, e entry) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[e.name] = e.value
}
