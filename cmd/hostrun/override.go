package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// overrides is what the command line changes in a profile. Each change keeps its place: "--env A=1" instead of a line.
type overrides struct {
	env, volumes                 cli.StringSlice
	image, python, user, workdir string
	entrypoint, ports, labels    cli.StringSlice
	capAdd, capDrop              cli.StringSlice
	command                      []string                // nil: the profile's
	terminal                     func(*profiles.Profile) // says whether the container has a terminal; nil: the profile does
}

func (o *overrides) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set `NAME=VALUE` in the container; NAME alone takes the caller's value", KeepSpace: true, Destination: &o.env},
		&cli.StringSliceFlag{Name: "volume", Aliases: []string{"v"}, Usage: "mount a host path or a named volume: `SOURCE:TARGET[:ro]`", KeepSpace: true, Destination: &o.volumes},
		&cli.StringFlag{Name: "image", Usage: "use another image: `REF`", Destination: &o.image},
		&cli.StringFlag{Name: "python", Usage: "borrow from another environment: `auto|none|PATH`", Destination: &o.python},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `USER[:GROUP]`, names of the image or numbers", Destination: &o.user},
		&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "start in directory `DIR` of the container", Destination: &o.workdir},
	}
}

// apply changes the profile.
func (o overrides) apply(s *session, p *profiles.Profile) error {
	p.Lines = maps.Clone(p.Lines)
	if p.Lines == nil {
		p.Lines = map[string]profiles.Position{}
	}
	say := func(key, words string) { p.Lines[key] = profiles.Position{File: words} }
	if o.image != "" {
		p.UseImage(o.image)
		say("image", "--image "+o.image)
	}
	if o.user != "" {
		p.User = o.user
		say("user", "--user "+o.user)
	}
	if o.workdir != "" {
		p.WorkingDir = o.workdir
		say("working_dir", "--workdir "+o.workdir)
	}
	if o.command != nil {
		command := profiles.Command(o.command)
		p.Command = &command
		say("command", "-- "+strings.Join(o.command, " "))
	}
	if o.python != "" {
		p.Python.Interpreter = s.pythonPath(o.python)
		say("python", "--python "+o.python)
		say("python.interpreter", "--python "+o.python)
	}
	if o.terminal != nil {
		o.terminal(p)
	}
	if err := o.applyKeys(s, p); err != nil {
		return err
	}
	if err := o.applyEnv(s, p); err != nil {
		return err
	}
	return o.applyVolumes(s, p)
}

// pythonPath makes a path of what is no word of the profile's.
func (s *session) pythonPath(word string) string {
	if word == "auto" || word == "none" {
		return word
	}
	return s.abs(word)
}

func (o overrides) applyEnv(s *session, p *profiles.Profile) error {
	for _, word := range o.env.Value() {
		name, value, given := cutEnv(word)
		if name == "" {
			return finding.Errorf(finding.StatusUsage, "", "flag --env: %q has no name", word)
		}
		if !given {
			value, given = s.env[name]
		}
		p.Environment = slices.DeleteFunc(slices.Clone(p.Environment), func(v profiles.EnvVar) bool { return v.Name == name })
		if given && value != "void" && (name == "NVIDIA_VISIBLE_DEVICES" || name == "ASCEND_VISIBLE_DEVICES") {
			return finding.Errorf(finding.StatusProfile, "say in the profile which devices the container gets: gpus: 1, npus: [0]", "flag --env: %s is a vendor's OCI runtime's, and none runs here", name)
		}
		if given {
			p.Environment = append(p.Environment, profiles.EnvVar{Name: name, Value: value})
			p.Lines["environment."+name] = profiles.Position{File: "--env " + name}
		}
	}
	return nil
}

func (o overrides) applyVolumes(s *session, p *profiles.Profile) error {
	for i, word := range o.volumes.Value() {
		v, err := s.volume(word)
		if err != nil {
			return err
		}
		v.Key = fmt.Sprintf("--volume[%d]", i)
		p.Volumes = slices.DeleteFunc(slices.Clone(p.Volumes), func(old profiles.Volume) bool { return old.Target == v.Target })
		p.Volumes = append(p.Volumes, v)
		p.Lines[v.Key] = profiles.Position{File: "--volume " + word}
	}
	return nil
}

// volume reads SOURCE:TARGET[:ro|rw].
func (s *session) volume(word string) (profiles.Volume, error) {
	bad := func(why string) (profiles.Volume, error) {
		return profiles.Volume{}, finding.Errorf(finding.StatusUsage, "write --volume SOURCE:TARGET or SOURCE:TARGET:ro", "flag --volume: %q: %s", word, why)
	}
	parts := strings.Split(word, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return bad("it has no source and target")
	}
	v := profiles.Volume{Source: parts[0], Target: parts[1]}
	if !filepath.IsAbs(v.Target) {
		return bad("the target is no absolute path of the container")
	}
	if len(parts) == 3 {
		if parts[2] != "ro" && parts[2] != "rw" {
			return bad("the mode is none of ro, rw")
		}
		v.ReadOnly = parts[2] == "ro"
	}
	switch {
	case v.Source == "":
		return bad("the source is empty")
	case profiles.VolumeNameForm.MatchString(v.Source):
		v.Type = "volume"
	default:
		v.Type, v.Source = "bind", s.hostPath(v.Source)
	}
	return v, nil
}

// hostPath makes a path of the caller absolute; ~ is their home, as in compose's short form.
func (s *session) hostPath(path string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') && s.env["HOME"] != "" {
		return filepath.Join(s.env["HOME"], rest)
	}
	return s.abs(path)
}

// cutEnv splits NAME=VALUE; given is false for a NAME alone.
func cutEnv(word string) (name, value string, given bool) { return strings.Cut(word, "=") }
