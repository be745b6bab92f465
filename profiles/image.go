package profiles

import (
	"fmt"
	"strings"
	"time"

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
		if d.inStack {
			d.bad(n, path, fmt.Sprintf("remove it, or write %s: for %s: under profiles", s, d.name), "%q is not the profile's name, which is %q", s, d.name)
			return
		}
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
	const remedy = "write always, missing, never, build, daily, weekly, or every_12h"
	age, timed := strings.CutPrefix(s, "every_")
	switch {
	case s == "always", s == "missing", s == "never", s == "refresh", s == "build":
		p.PullPolicy = s
	case s == "if_not_present": // compose's older word
		p.PullPolicy = "missing"
	case s == "daily":
		p.PullPolicy = PullEvery(24 * time.Hour)
	case s == "weekly":
		p.PullPolicy = PullEvery(7 * 24 * time.Hour)
	case timed && pullAge.MatchString(age):
		v, err := parseDuration(age)
		if err != nil {
			d.bad(n, path, remedy, "%q is no duration", abridged(age))
			return
		}
		p.PullPolicy = PullEvery(v)
	case timed:
		d.bad(n, path, "write a number and a unit: every_12h, every_1w2d; units w d h m s", "%q is no duration", abridged(age))
	default:
		d.bad(n, path, remedy, "%q is not known", s)
	}
}

// pullAge is compose's form of the time in every_ (compose-spec.json, "pull_policy").
var pullAge = pattern.New(`^([0-9]+[wdhms])+$`)

// PullEvery is the policy of an image that is pulled again once its last pull is longer ago than that.
func PullEvery(age time.Duration) string { return "every_" + age.String() }

// PullAge is what PullEvery was made of; false for another policy.
func PullAge(policy string) (time.Duration, bool) {
	text, timed := strings.CutPrefix(policy, "every_")
	age, err := time.ParseDuration(text)
	return age, timed && err == nil
}

// readPullRefresh reads after how long pull_policy: refresh pulls again.
func readPullRefresh(d *decoder, p *Profile, n *node, path string) {
	if v, ok := d.duration(n, path); ok {
		d.refreshAfter = v
	}
}

// finishPull settles what refresh means.
func (d *decoder) finishPull() {
	p := d.profile
	_, said := p.Lines["pull_refresh_after"]
	switch {
	case p.PullPolicy == "refresh" && !said:
		p.PullPolicy = PullEvery(24 * time.Hour)
	case p.PullPolicy == "refresh":
		p.PullPolicy = PullEvery(d.refreshAfter)
	case said:
		d.badAt(p.Lines["pull_refresh_after"], "pull_refresh_after", "write pull_policy: refresh, or every_12h instead of both", "it has no meaning without pull_policy: refresh")
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
