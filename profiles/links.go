package profiles

import (
	"slices"
	"strings"
)

// A Link is another name for another container.
type Link struct {
	Name  string `json:"name"`  // of the container
	Alias string `json:"alias"` // as this container calls it
	Key   string `json:"key"`
}

// A volumesFrom is an entry of volumes_from.
type volumesFrom struct {
	name      string
	readOnly  bool
	container bool // that is there anyway: nothing is started for it
	key       string
	pos       Position
}

var linkKeys = []field[Profile]{
	{name: "links", about: "other profiles' containers, which are started first, by a name of your own: NAME[:ALIAS]", schema: textsSchema, read: readLinks(true)},
	{name: "external_links", about: "containers that are there, by a name of your own: NAME[:ALIAS]", schema: textsSchema, read: readLinks(false)},
	{name: "volumes_from", about: "the volumes of other profiles, which are started first: NAME[:ro], container:NAME[:ro]", schema: textsSchema, read: readVolumesFrom},
	{name: "label_file", about: "files of NAME=VALUE lines; labels go before them", schema: oneOrMore, read: readLabelFile},
}

// readLinks reads compose's links. Those of services are dependencies as well, as in compose.
func readLinks(depends bool) func(*decoder, *Profile, *node, string) {
	return func(d *decoder, p *Profile, n *node, key string) {
		d.texts(n, key, false, func(item *node, s string) {
			name, alias, given := strings.Cut(s, ":")
			if !given {
				alias = name
			}
			if !NameForm.MatchString(name) || !networkForm.MatchString(alias) || name == d.profile.Name {
				d.bad(item, key, "write NAME, or NAME:ALIAS", "%q names no other container", abridged(s))
				return
			}
			one := Link{Name: name, Alias: alias}
			for _, have := range p.Links {
				if one.Key = have.Key; have == one {
					return
				}
			}
			one.Key = index(key, d.counts[key])
			d.counts[key]++
			d.mark(one.Key, item.pos)
			p.Links = append(p.Links, one)
			if depends {
				d.implied = append(d.implied, Dependency{Name: name, Condition: DependStarted, Restart: true, Key: one.Key})
			}
		})
	}
}

func readVolumesFrom(d *decoder, _ *Profile, n *node, key string) {
	d.texts(n, key, false, func(item *node, s string) {
		v := volumesFrom{pos: item.pos}
		rest, isContainer := strings.CutPrefix(s, "container:")
		v.container = isContainer
		name, mode, given := strings.Cut(rest, ":")
		v.name, v.readOnly = name, mode == "ro"
		if !NameForm.MatchString(name) || name == d.profile.Name || given && mode != "ro" && mode != "rw" {
			d.bad(item, key, "write NAME, NAME:ro, or container:NAME:ro", "%q names no other profile", abridged(s))
			return
		}
		v.key = index(key, len(d.volumesFrom))
		d.mark(v.key, item.pos)
		d.volumesFrom = append(d.volumesFrom, v)
		if !isContainer {
			d.implied = append(d.implied, Dependency{Name: name, Condition: DependStarted, Key: v.key})
		}
	})
}

// finishImplied adds the dependencies that other keys bring (compose-go, normalize): what depends_on says of the same profile counts.
func (d *decoder) finishImplied() {
	p := d.profile
	for _, key := range []struct{ name, value string }{{"pid", p.PID}, {"ipc", p.IPC}} {
		if other, shares := strings.CutPrefix(key.value, "container:"); shares && d.services[key.name] {
			d.implied = append(d.implied, Dependency{Name: other, Condition: DependStarted, Restart: true, Key: key.name})
		}
	}
	if p.NetworkMode == "none" && len(p.Links) > 0 {
		key := p.Links[0].Key
		d.badAt(p.Lines[key], key, "remove it, or the network_mode", "with network_mode: none no other container can be reached")
	}
	slices.SortStableFunc(d.implied, func(a, b Dependency) int { // of volumes_from and links of one profile, links count
		switch {
		case a.Restart == b.Restart:
			return 0
		case a.Restart:
			return -1
		}
		return 1
	})
	for _, one := range d.implied {
		known := false
		for _, have := range p.DependsOn {
			known = known || have.Name == one.Name
		}
		if !known {
			p.DependsOn = append(p.DependsOn, one)
		}
	}
}

// readLabelFile reads files in the form of env_file. A later one goes before an earlier one, and labels before all.
func readLabelFile(d *decoder, _ *Profile, n *node, key string) {
	d.texts(n, key, true, func(item *node, s string) {
		f := envFile{Path: d.hostPath(item, key, s), shown: shownBeside(item.pos.File, s), node: item}
		if f.Path != "" {
			d.labelFiles = append(d.labelFiles, f)
		}
	})
}

// finishLabels adds the labels of files to those of labels.
func (d *decoder) finishLabels() {
	labels := map[string]string{}
	for i, f := range d.labelFiles {
		text, err := readBounded(f.Path, maxFile)
		if err != nil {
			d.missingFile(f.node, index("label_file", i), f.shown, err, "make the file, or correct the path")
			continue
		}
		parser := dotenvParser{file: f.shown, find: d.lookup, report: d.report}
		for _, e := range parser.parse(string(text)) {
			_, said := d.profile.Labels[e.name]
			switch {
			case strings.HasPrefix(e.name, "hostrun.dev/"):
				d.badAt(e.pos, "label_file", "choose another prefix", "labels that begin with hostrun.dev/ are hostrun's own: %q", e.name)
			case !said:
				labels[e.name] = e.value
				d.profile.Lines[join("labels", e.name)] = e.pos
			}
		}
	}
	for name, value := range labels {
		put(&d.profile.Labels, entry{name: name, value: value})
	}
}

// takeVolumes adds the volumes of the profiles that volumes_from names; the profile's own go before.
func (l *loader) takeVolumes(src source, d *decoder) {
	for _, v := range d.volumesFrom {
		other, err := l.baseName(src, v.name)
		if err != nil {
			d.badAt(v.pos, v.key, "name a profile that is there, or repeat its volumes", "%v", err)
			continue
		}
		at := other.path + ":" + other.name
		if l.taking[at] {
			d.badAt(v.pos, v.key, "remove one of these volumes_from", "the profiles take each other's volumes: %s", v.name)
			continue
		}
		if l.taking == nil {
			l.taking = map[string]bool{}
		}
		l.taking[at] = true
		p := l.decode(other, l.chain(other, nil))
		delete(l.taking, at)
		for _, theirs := range p.Volumes {
			if theirs.Anonymous && theirs.Of == "" {
				if p.Replicas != nil {
					d.badAt(v.pos, v.key, "give the volume a name", "the volume at %s of %s has no name, and each of its replicas has one of its own", theirs.Target, v.name)
					continue
				}
				theirs.Of = p.Name
			}
			d.takeVolume(v, theirs)
		}
	}
}

func (d *decoder) takeVolume(from volumesFrom, v Volume) {
	if v.Type == "tmpfs" { // each container has its own
		return
	}
	for _, have := range d.profile.Volumes {
		if have.Target == v.Target {
			return
		}
	}
	v.Key = from.key
	v.ReadOnly = v.ReadOnly || from.readOnly
	d.profile.Volumes = append(d.profile.Volumes, v)
}
