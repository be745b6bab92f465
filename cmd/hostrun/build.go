package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/imagebuild"
	"hostrun.dev/hostrun/imagename"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

type buildOptions struct {
	args          cli.StringSlice
	noCache, pull bool
	with          string
}

func buildCommand(s *session) *cli.Command {
	var o buildOptions
	return &cli.Command{
		Name: "build", Category: "images", Usage: "build the images of profiles", ArgsUsage: "[NAME...]",
		Description: page{
			about: "Has the image of a profile built, as its build: says, by the first of these that answers: BuildKit (buildkitd at $BUILDKIT_HOST or /run/buildkit/buildkitd.sock, by buildctl), docker, buildah. " +
				"The result is loaded into containerd under the name that image: gives, else under the profile's. The builder's words go to stderr, the names of the images to stdout. hostrun up builds by itself where the image is not there.\n\n" +
				"NAME is a profile, or the file of a stack, of which those count that have build:. Without NAME it is the stack of this directory.",
			examples: []string{"hostrun build llamafactory-npu", "hostrun build --build-arg PIP_INDEX=https://mirror/simple train"},
			statuses: append([]int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusProfile, finding.StatusNoPath}, containerdStatuses[3:]...),
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "build-arg", Usage: "set `NAME=VALUE` for the Dockerfile; NAME alone takes the caller's value", KeepSpace: true, Destination: &o.args},
			&cli.BoolFlag{Name: "no-cache", Usage: "build every layer anew", Destination: &o.noCache},
			&cli.BoolFlag{Name: "pull", Usage: "look for newer base images", Destination: &o.pull},
			&cli.StringFlag{Name: "with", Usage: "have it built by `buildkit|docker|buildah` and nothing else", Destination: &o.with},
		},
		Action: action(func(ctx context.Context) error { return runBuild(ctx, s, o) }),
	}
}

func runBuild(ctx context.Context, s *session, o buildOptions) error {
	s.withStackHere()
	words, err := s.names(wants{what: "profile", min: 1}, true)
	if err != nil {
		return err
	}
	names := s.eachOfStacks(words)
	if o.with != "" && !slices.Contains(imagebuild.Names, o.with) {
		return finding.Errorf(finding.StatusUsage, "one of "+strings.Join(imagebuild.Names, ", "), "flag --with: %s is no builder", o.with)
	}
	for _, name := range names {
		p, err := profiles.Load(s.profileOptions(), name)
		if err != nil {
			return err
		}
		if p.Build == nil && !slices.Contains(words, name) {
			continue // one of a whole stack
		}
		if p.Build == nil {
			return finding.Errorf(finding.StatusProfile, "its image comes by hostrun pull "+p.Image, "profile %s has no build:", p.Name)
		}
		client, err := s.containerd(ctx)
		if err != nil {
			return err
		}
		built, err := s.build(ctx, client, p, o)
		if err != nil {
			return err
		}
		s.progress.pause()
		for _, image := range built {
			fmt.Fprintln(s.stdout, image)
		}
	}
	return nil
}

// buildMissing builds the profile's image where it is not here, or is to be built each time. pull_policy: always asks the registry
// instead, and image is one that the line names instead of the profile's.
func (s *session) buildMissing(ctx context.Context, p *profiles.Profile, image string, always bool) error {
	if p.Build == nil || image != "" || p.PullPolicy == "always" && !always {
		return nil
	}
	client, err := s.containerdFor(ctx, p.Name)
	if err != nil {
		return err
	}
	if !always && p.PullPolicy != "build" {
		if here, err := client.HasImage(ctx, p.Image); here || err != nil {
			return err
		}
	}
	_, err = s.build(ctx, client, p, buildOptions{})
	return err
}

// build has the image of a profile built, and loads it. It returns the images' names.
func (s *session) build(ctx context.Context, client *runtime.Client, p *profiles.Profile, o buildOptions) ([]string, error) {
	b, err := s.buildOf(p, o)
	if err != nil {
		return nil, err
	}
	order := imagebuild.Order{Name: fullImage(p.Image), Build: b, Env: environ(s.env)}
	for i, tag := range b.Tags {
		b.Tags[i] = fullImage(tag)
	}
	builder, err := imagebuild.Find(ctx, s.env, o.with)
	var none *imagebuild.NoneError
	switch {
	case errors.As(err, &none):
		return nil, s.noBuilder(p, &b, none)
	case err != nil:
		return nil, err
	}
	s.log.Info("build", "image", order.Name, "with", builder.Version)
	if !s.global.quiet {
		s.progress.pause()
		order.Log = s.stderr
	}
	var names []string
	err = builder.Build(ctx, order, func(archive io.Reader) error {
		loaded, err := client.Load(ctx, archive, order.Name)
		for _, name := range loaded {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return err
	})
	var failed *imagebuild.FailedError
	if errors.As(err, &failed) {
		f := finding.Finding{ID: finding.BuildFailed, Severity: finding.Error, Subject: p.Image, Got: failed.Last,
			Message: fmt.Sprintf("the image could not be built: %v", failed), Remedy: "correct what the last lines say; hostrun build " + p.Name + " shows all of them"}
		return nil, refusal(p, "build", f)
	}
	return names, err
}

// buildOf are the profile's words with the line's, and what they name is there.
func (s *session) buildOf(p *profiles.Profile, o buildOptions) (profiles.Build, error) {
	b := *p.Build
	b.NoCache, b.Pull = b.NoCache || o.noCache, b.Pull || o.pull
	b.Args, b.Tags = slices.Clone(b.Args), slices.Clone(b.Tags)
	for _, text := range o.args.Value() {
		name, value, given := strings.Cut(text, "=")
		if !given {
			value = s.env[name]
		}
		b.Args = slices.DeleteFunc(b.Args, func(v profiles.EnvVar) bool { return v.Name == name })
		b.Args = append(b.Args, profiles.EnvVar{Name: name, Value: value})
	}
	if len(b.Platforms) == 0 && p.Platform != "" {
		b.Platforms = []string{p.Platform}
	}
	var found []finding.Finding
	missing := func(key, path string, dir bool) {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.IsDir() == dir:
			return
		case err == nil:
			err = errors.New("is a directory, not a file")
			if dir {
				err = errors.New("is a file, not a directory")
			}
		case errors.Is(err, fs.ErrNotExist):
			err = errors.New("is not there")
		}
		found = append(found, positioned(p, key, finding.Finding{ID: finding.BuildPath, Severity: finding.Error, Subject: path,
			Message: fmt.Sprintf("%s: %s %v", key, path, err), Remedy: "correct the path, or go to the directory that the profile is meant for"}))
	}
	if !b.Fetched() {
		missing("build.context", b.Context, true)
		if len(found) == 0 && b.DockerfileInline == "" {
			missing("build.dockerfile", b.Dockerfile, false)
		}
	}
	for _, secret := range b.Secrets {
		if secret.File != "" {
			missing("build.secrets", secret.File, false)
		}
	}
	for name, path := range b.AdditionalContexts {
		if strings.HasPrefix(path, "/") {
			missing("build.additional_contexts."+name, path, true)
		}
	}
	if len(found) > 0 {
		return b, &plan.Refused{Profile: p.Name, Findings: found}
	}
	return b, nil
}

// noBuilder names the ways out: three builders, an archive from elsewhere, and the image that the Dockerfile begins with.
func (s *session) noBuilder(p *profiles.Profile, b *profiles.Build, none *imagebuild.NoneError) error {
	text := b.DockerfileInline
	if text == "" && !b.Fetched() {
		content, err := os.ReadFile(b.Dockerfile)
		if err != nil {
			s.log.Info("read the Dockerfile", "error", err)
		}
		text = string(content)
	}
	remedy := "start buildkitd (and install buildctl), start docker, or install buildah; or build it elsewhere and bring it: docker save " + p.Image + " | hostrun load"
	if base := imagebuild.Base(text, b.Target, b.Args); base != "" && base != "scratch" {
		remedy += "; or write image: " + base + ", which its Dockerfile begins with (FROM), and borrow this machine's packages by python: auto"
	}
	return refusal(p, "build", finding.Finding{ID: finding.BuildNone, Severity: finding.Error, Subject: p.Image, Got: strings.Join(none.Tried, "; "),
		Message: fmt.Sprintf("image %s has to be built, and nothing that builds images answers", p.Image), Remedy: remedy})
}

func refusal(p *profiles.Profile, key string, f finding.Finding) error {
	return &plan.Refused{Profile: p.Name, Findings: []finding.Finding{positioned(p, key, f)}}
}

// positioned adds where the key stands, or the key above it.
func positioned(p *profiles.Profile, key string, f finding.Finding) finding.Finding {
	for {
		if at, ok := p.Lines[key]; ok {
			f.File, f.Line = at.File, at.Line
			return f
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return f
		}
		key = key[:i]
	}
}

// fullImage is a name as containerd keeps it.
func fullImage(name string) string {
	parsed, err := imagename.Parse(name)
	if err != nil { // the profile has been read, which says so
		return name
	}
	return parsed.Full()
}

// environ is the caller's environment, as programs take it.
func environ(env map[string]string) []string {
	all := make([]string, 0, len(env))
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return all
}
