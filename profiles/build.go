package profiles

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"hostrun.dev/hostrun/imagename"
	"hostrun.dev/hostrun/pattern"
)

// A Build says how the image is made, in compose's words. What is empty is the builder's own default.
type Build struct {
	Context          string `json:"context"`                     // an absolute directory, or what a builder fetches: https://..., git@...
	Dockerfile       string `json:"dockerfile,omitempty"`        // an absolute path; of a context that is fetched, a path in it
	DockerfileInline string `json:"dockerfile_inline,omitempty"` // the text of one, instead
	Target           string `json:"target,omitempty"`

	Args   []EnvVar          `json:"args,omitempty"` // those without a value have the caller's, or are left out
	Labels map[string]string `json:"labels,omitempty"`
	Tags   []string          `json:"tags,omitempty"` // further names of the image

	CacheFrom []string `json:"cache_from,omitempty"`
	CacheTo   []string `json:"cache_to,omitempty"`
	NoCache   bool     `json:"no_cache,omitempty"`
	Pull      bool     `json:"pull,omitempty"` // look for newer base images

	Network            string            `json:"network,omitempty"` // of RUN: "host", "none", or the builder's word
	ExtraHosts         []Host            `json:"extra_hosts,omitempty"`
	Platforms          []string          `json:"platforms,omitempty"`
	ShmSize            int64             `json:"shm_size,omitempty"` // bytes
	Ulimits            map[string]Ulimit `json:"ulimits,omitempty"`
	Privileged         bool              `json:"privileged,omitempty"`
	Secrets            []BuildSecret     `json:"secrets,omitempty"`
	SSH                []string          `json:"ssh,omitempty"`                 // "default", or ID=PATH
	AdditionalContexts map[string]string `json:"additional_contexts,omitempty"` // a directory, or what a builder knows: docker-image://...
}

// A BuildSecret is one that RUN --mount=type=secret,id=ID gets. Exactly one of File and Variable is set.
type BuildSecret struct {
	ID       string `json:"id"`
	File     string `json:"file,omitempty"`     // an absolute path
	Variable string `json:"variable,omitempty"` // of the caller's environment

	Source string `json:"-"` // while it is read: which of secrets: of the stack or the profile; "" for the ID
}

// Fetched reports whether the context is one that the builder fetches, rather than a directory.
func (b *Build) Fetched() bool { return fetched(b.Context) }

// buildFields are compose's (build.md of the specification), but for those that no builder without BuildKit's attestations has.
var buildFields = []field[Build]{
	{name: "context", about: "directory that the builder gets; the profile's own by default. Or the address of a repository", schema: textSchema, read: readContext},
	{name: "dockerfile", about: "path of the Dockerfile, from the context; Dockerfile by default", schema: textSchema, read: readWord(func(b *Build) *string { return &b.Dockerfile })},
	{name: "dockerfile_inline", about: "the text of the Dockerfile, instead of a file", schema: textSchema, read: readWord(func(b *Build) *string { return &b.DockerfileInline })},
	{name: "target", about: "the stage to build", schema: textSchema, read: readWord(func(b *Build) *string { return &b.Target })},
	{name: "args", about: "build arguments; a name without a value is taken from the caller's environment", schema: namedSchema, read: readBuildArgs},
	{name: "labels", about: "labels of the image", schema: namedSchema, read: func(d *decoder, b *Build, n *node, key string) {
		d.named(n, key, func(e entry) { put(&b.Labels, e) })
	}},
	{name: "tags", about: "further names of the image", schema: textsSchema, read: readTags},
	{name: "cache_from", about: "where to look for layers that have been built", schema: textsSchema, read: readWords(func(b *Build) *[]string { return &b.CacheFrom })},
	{name: "cache_to", about: "where to keep layers; BuildKit alone", schema: textsSchema, read: readWords(func(b *Build) *[]string { return &b.CacheTo })},
	{name: "no_cache", about: "build every layer anew", schema: boolSchema, read: readSwitch(func(b *Build) *bool { return &b.NoCache })},
	{name: "pull", about: "look for newer base images", schema: boolSchema, read: readSwitch(func(b *Build) *bool { return &b.Pull })},
	{name: "network", about: "the network of RUN: host, none, default", schema: textSchema, read: readWord(func(b *Build) *string { return &b.Network })},
	{name: "extra_hosts", about: "lines for /etc/hosts while it is built: NAME=ADDRESS", schema: object{"oneOf": []object{textsSchema, {"type": "object", "additionalProperties": oneOrMore}}}, read: func(d *decoder, b *Build, n *node, key string) {
		var p Profile
		readExtraHosts(d, &p, n, key)
		b.ExtraHosts = p.ExtraHosts
	}},
	{name: "platforms", about: "os/arch[/variant] to build for", schema: textsSchema, read: readWords(func(b *Build) *[]string { return &b.Platforms })},
	{name: "shm_size", about: "size of /dev/shm while it is built", schema: sizeSchema, read: func(d *decoder, b *Build, n *node, key string) {
		if size, ok := d.limit(n, key); ok {
			b.ShmSize = size
		}
	}},
	{name: "ulimits", about: "resource limits while it is built", schema: object{"type": "object", "propertyNames": object{"enum": ulimitNames}, "additionalProperties": object{"oneOf": []object{intSchema, schemaOf(ulimitFields)}}}, read: func(d *decoder, b *Build, n *node, key string) {
		p := Profile{Ulimits: b.Ulimits}
		readUlimits(d, &p, n, key)
		b.Ulimits = p.Ulimits
	}},
	{name: "privileged", about: "build with all rights; docker's BuildKit alone", schema: boolSchema, read: readSwitch(func(b *Build) *bool { return &b.Privileged })},
	{name: "secrets", about: "secrets for RUN --mount=type=secret: ID=FILE, or {id, file} or {id, environment}", schema: listOf(textSchema, schemaOf(buildSecretFields)), read: readBuildSecrets},
	{name: "ssh", about: "agents or keys for RUN --mount=type=ssh: default, or ID=PATH", schema: object{"oneOf": []object{textSchema, textsSchema, {"type": "object"}}}, read: readSSH},
	{name: "isolation", about: "default; others are for Windows containers", schema: enum("default"), read: func(d *decoder, _ *Build, n *node, key string) { d.oneOf(n, key, "default") }},
	{name: "provenance", about: "only false: an image that is loaded has no attestations", schema: boolSchema, read: readNoAttestation},
	{name: "sbom", about: "only false: an image that is loaded has no attestations", schema: boolSchema, read: readNoAttestation},
	laterField[Build]("entitlements", "", "entitlements of a build"),
	{name: "additional_contexts", about: "further contexts for FROM and COPY --from, by name", schema: namedSchema, read: readContexts},
}

var buildSecretFields = []field[BuildSecret]{
	{name: "id", about: "its name in the Dockerfile", schema: textSchema, read: readWord(func(s *BuildSecret) *string { return &s.ID })},
	{name: "source", about: "a secret that secrets: of the stack describes", schema: textSchema, read: readWord(func(s *BuildSecret) *string { return &s.Source })},
	{name: "target", about: "its name in the Dockerfile, where source: is another", schema: textSchema, read: readWord(func(s *BuildSecret) *string { return &s.ID })},
	{name: "file", about: "the file that holds it", schema: textSchema, read: readWord(func(s *BuildSecret) *string { return &s.File })},
	{name: "environment", about: "the variable of your environment that holds it", schema: textSchema, read: readWord(func(s *BuildSecret) *string { return &s.Variable })},
}

func readSwitch(at func(*Build) *bool) func(*decoder, *Build, *node, string) {
	return func(d *decoder, b *Build, n *node, key string) {
		if v, ok := d.boolean(n, key); ok {
			*at(b) = v
		}
	}
}

// readNoAttestation takes what is so anyway.
func readNoAttestation(d *decoder, _ *Build, n *node, key string) {
	if n.kind == scalar && (n.tag == "bool" || n.text == "true" || n.text == "false") && n.text == "false" {
		return
	}
	d.notYetProblem(n.pos, key, "write false, or remove it", "attestations of a build")
}

func readWords(at func(*Build) *[]string) func(*decoder, *Build, *node, string) {
	return func(d *decoder, b *Build, n *node, key string) {
		*at(b) = nil
		d.texts(n, key, true, func(_ *node, s string) { *at(b) = append(*at(b), s) })
	}
}

// readBuild merges into what a base profile says, key by key.
func readBuild(d *decoder, p *Profile, n *node, key string) {
	var b Build
	if p.Build != nil {
		b = *p.Build
	}
	switch {
	case n.kind == scalar:
		s, ok := d.text(n, key)
		if !ok {
			return
		}
		b = Build{}
		d.context(&b, n, key, s)
	case !readFields(d, &b, n, key, buildFields):
		return
	}
	if b.Context == "" {
		b.Context = n.dir
	}
	p.Build = &b
}

// fetchedForm is how addresses of contexts begin (docker build's: URLs, and git's short form).
var fetchedForm = pattern.New(`^(https?://|git://|ssh://|git@|github\.com/|docker-image://|oci-layout://|target:|service:)`)

func fetched(s string) bool { return fetchedForm.MatchString(s) }

func readContext(d *decoder, b *Build, n *node, key string) {
	if s, ok := d.text(n, key); ok {
		d.context(b, n, key, s)
	}
}

func (d *decoder) context(b *Build, n *node, key, s string) {
	b.Context = s
	if !fetched(s) {
		b.Context = d.hostPath(n, key, s)
	}
}

func readBuildArgs(d *decoder, b *Build, n *node, key string) {
	d.named(n, key, func(e entry) {
		value := e.value
		if e.bare {
			own, ok := d.lookup(e.name)
			if !ok {
				return
			}
			value = own
		}
		for i := range b.Args {
			if b.Args[i].Name == e.name {
				b.Args[i].Value = value
				return
			}
		}
		b.Args = append(slices.Clip(b.Args), EnvVar{e.name, value})
	})
}

func readTags(d *decoder, b *Build, n *node, key string) {
	b.Tags = nil
	d.texts(n, key, false, func(item *node, s string) {
		if _, err := imagename.Parse(s); err != nil {
			d.bad(item, key, "names are lower case: [registry/]repository[:tag]", "%q is no image name: %v", abridged(s), err)
			return
		}
		b.Tags = append(b.Tags, s)
	})
}

func readSSH(d *decoder, b *Build, n *node, key string) {
	b.SSH = nil
	add := func(n *node, id, path string) {
		if path != "" {
			id += "=" + d.hostPath(n, key, path)
		}
		b.SSH = append(b.SSH, id)
	}
	if n.kind == mapping {
		for _, p := range n.pairs {
			path := ""
			if p.value.tag != "null" {
				var ok bool
				if path, ok = d.text(p.value, join(key, p.key)); !ok {
					continue
				}
			}
			add(p.value, p.key, path)
		}
		return
	}
	d.texts(n, key, true, func(item *node, s string) {
		id, path, _ := strings.Cut(s, "=")
		add(item, id, path)
	})
}

func readContexts(d *decoder, b *Build, n *node, key string) {
	b.AdditionalContexts = maps.Clone(b.AdditionalContexts)
	d.named(n, key, func(e entry) {
		if !fetched(e.value) {
			e.value = d.hostPath(n, join(key, e.name), e.value)
		}
		put(&b.AdditionalContexts, e)
	})
}

func readBuildSecrets(d *decoder, b *Build, n *node, key string) {
	if n.kind != list {
		d.bad(n, key, "write a list: - {id: token, environment: HF_TOKEN}", "expected a list, got %s", n.describe())
		return
	}
	b.Secrets = nil
	for i, item := range n.items {
		at := index(key, i)
		var s BuildSecret
		if item.kind == scalar {
			text, ok := d.text(item, at)
			if !ok {
				continue
			}
			s.ID, s.File, _ = strings.Cut(text, "=")
		} else if !readFields(d, &s, item, at, buildSecretFields) {
			continue
		}
		if s.ID == "" {
			s.ID = s.Source
		}
		switch {
		case s.ID == "":
			d.bad(item, at, "add id:, the name that the Dockerfile has for it", "the secret has no id")
			continue
		case s.File == "" && s.Variable == "" && (item.kind == scalar || s.Source != ""): // finishBuildSecrets knows where it is
			d.mark(at, item.pos)
		case (s.File == "") == (s.Variable == ""):
			d.bad(item, at, fmt.Sprintf("write {id: %s, file: PATH} or {id: %s, environment: NAME}", s.ID, s.ID), "the secret %q comes from one place: a file, or a variable of your environment", s.ID)
			continue
		case s.File != "":
			s.File = d.hostPath(item, at, s.File)
		}
		if s.File != "" || s.Variable != "" {
			s.Source = ""
		}
		b.Secrets = append(b.Secrets, s)
	}
}

// finishBuildSecrets settles where those are of which build: has the name alone (compose-spec, build.md, "secrets"): what secrets: of
// the stack, or of the profile, says of them.
func (d *decoder) finishBuildSecrets() {
	b := d.profile.Build
	if b == nil {
		return
	}
	for i := range b.Secrets {
		s := &b.Secrets[i]
		if s.File != "" || s.Variable != "" {
			continue
		}
		name := s.Source
		if name == "" {
			name = s.ID
		}
		from, ok := d.shared[secretsKey][name]
		if own := d.data[secretsKey]; own != nil && !ok {
			from = own.defined[name]
			for _, v := range own.granted {
				if v.Name == name && v.sourced() {
					from = v
				}
			}
		}
		s.File, s.Variable, s.Source = from.File, from.Variable, ""
		if s.File == "" && s.Variable == "" {
			d.badAt(d.profile.Lines["build.secrets"], "build.secrets", fmt.Sprintf("write {id: %s, file: PATH} or {id: %s, environment: NAME}, or describe it under secrets:", s.ID, s.ID),
				"nothing says where the secret %q is: a file, or a variable of your environment", name)
		}
	}
}

// finishBuild settles what depends on several keys.
func (d *decoder) finishBuild() {
	p := d.profile
	b := p.Build
	if b == nil {
		if p.PullPolicy == "build" {
			d.badAt(p.Lines["pull_policy"], "pull_policy", "add build:, or write missing", "\"build\" needs a build:")
		}
		return
	}
	if p.Image == "" && p.Rootfs == "" {
		p.Image = strings.ToLower(d.imageName()) + ":latest"
	}
	switch {
	case b.Dockerfile != "" && b.DockerfileInline != "":
		d.badAt(p.Lines["build.dockerfile_inline"], "build", "remove one of the two", "dockerfile and dockerfile_inline exclude each other")
	case b.DockerfileInline != "" || b.Fetched():
	case b.Dockerfile == "":
		b.Dockerfile = filepath.Join(b.Context, "Dockerfile")
	case !filepath.IsAbs(b.Dockerfile):
		b.Dockerfile = filepath.Join(b.Context, b.Dockerfile)
	}
}

// imageName is the profile's name as a repository may be called.
func (d *decoder) imageName() string { return strings.Trim(d.profile.Name, "._-") }
