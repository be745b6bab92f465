package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// applyKeys changes what flags say in the forms of a profile's keys: they are read as a profile is, so that both take the same words.
func (o overrides) applyKeys(s *session, p *profiles.Profile) error {
	keys := map[string]any{}
	add := func(key string, words []string) {
		if len(words) > 0 {
			keys[key] = words
		}
	}
	add("ports", o.ports.Value())
	add("labels", o.labels.Value())
	add("cap_add", o.capAdd.Value())
	add("cap_drop", o.capDrop.Value())
	if words := o.entrypoint.Value(); len(words) > 0 {
		keys["entrypoint"] = words[len(words)-1]
	}
	if len(keys) == 0 {
		return nil
	}
	own, err := s.fragment(keys)
	if err != nil {
		return err
	}
	say := func(key, flag string) { p.Lines[key] = profiles.Position{File: "--" + flag} }
	if own.Entrypoint != nil {
		p.Entrypoint = own.Entrypoint
		say("entrypoint", "entrypoint")
		if o.command == nil { // compose's rule: the profile's command is the old entrypoint's
			p.Command = &profiles.Command{}
			say("command", "entrypoint")
		}
	}
	for _, port := range own.Ports {
		say(port.Key, "publish")
	}
	p.Ports = append(slices.Clone(p.Ports), own.Ports...)
	if len(own.Labels) > 0 {
		p.Labels = maps.Clone(p.Labels)
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		maps.Copy(p.Labels, own.Labels)
	}
	p.CapAdd = append(slices.Clone(p.CapAdd), own.CapAdd...)
	p.CapDrop = slices.DeleteFunc(append(slices.Clone(p.CapDrop), own.CapDrop...), func(name string) bool { return slices.Contains(own.CapAdd, name) })
	return nil
}

// fragment reads keys as those of a profile. Its errors name the flag's words.
func (s *session) fragment(keys map[string]any) (*profiles.Profile, error) {
	text, err := json.Marshal(keys) // JSON is YAML
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, "command-line.yaml") // read from Text, and not from there
	opt := s.profileOptions()
	opt.Text = map[string][]byte{path: []byte(strings.ReplaceAll(string(text[:len(text)-1]), "$", "$$") + `, "image": "none"}`)}
	p, err := profiles.Load(opt, path)
	if err == nil {
		return p, nil
	}
	words := err.Error()
	for _, f := range profileFindings(err) {
		words = f.Message
		break
	}
	return nil, finding.Errorf(finding.StatusUsage, s.line.title()+" --help", "%s", fmt.Sprintf("flags of the command line: %s", words))
}
