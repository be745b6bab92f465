package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/lockfile"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

type lockOptions struct {
	check, all   bool
	pull, format string
}

func lockCommand(s *session) *cli.Command {
	var o lockOptions
	return &cli.Command{
		Name: "lock", Category: "prove", Usage: "write down what profiles are made of, for --locked", ArgsUsage: "[NAME...] | --all",
		Description: page{
			about: "Writes to " + lockfile.Name + ", beside the profile's file, what the profile is made of besides its own text: the image's digest, and of the host what the profile uses: the versions of driver, CUDA, CANN and Python, and each installed package. " +
				"With --locked, or HOSTRUN_LOCKED=1, up, run, check and spec refuse what is made of something else, and say what.\n\n" +
				"Profiles that it depends on are locked with it; entries of others stay. Nothing is started and, without --pull, nothing pulled. What does not fit is not locked.\n\n" +
				"NAME is a profile or the file of a stack; without NAME all of ./profiles and of the stack of this directory.",
			examples: []string{"hostrun lock dinov2", "hostrun lock --pull always   # the newest images", "hostrun lock --check && hostrun up --locked dinov2"},
			own:      "3 with --check if something differs, or is not locked.",
			statuses: startStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "write nothing, and tell what differs", Destination: &o.check},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "every profile of ./profiles and of the stack of this directory, or of what --profile-dir names; so it is without NAME, too", Destination: &o.all},
			&cli.StringFlag{Name: "pull", Usage: "fetch images before: `always|missing|never`", Value: "never", Destination: &o.pull},
			formatFlag(&o.format),
		},
		Action: action(func(ctx context.Context) error { return runLock(ctx, s, o) }),
	}
}

// A lockResult is one object of lock --format json.
type lockResult struct {
	Schema  int           `json:"schema"` // 1
	Profile string        `json:"profile"`
	File    string        `json:"file"`   // the lock
	Action  string        `json:"action"` // "locked", "relocked", "unchanged"; with --check "same", "differs", "missing"
	Changes []plan.Change `json:"changes"`

	entry lockfile.Entry
	key   string
}

func runLock(ctx context.Context, s *session, o lockOptions) error {
	st, err := s.toLock(ctx, o)
	if err != nil {
		return err
	}
	var results []*lockResult
	seen := map[string]bool{}
	err = st.inOrder(func(m *member) error {
		if seen[m.profile.Name] { // another replica
			return nil
		}
		seen[m.profile.Name] = true
		one, err := s.lockOf(ctx, o, m)
		if err == nil {
			results = append(results, one)
		}
		return err
	})
	if err != nil {
		return err
	}
	byFile := map[string][]*lockResult{}
	for _, r := range results {
		byFile[r.File] = append(byFile[r.File], r)
	}
	for path, of := range byFile {
		if err := updateLock(path, of, o.check); err != nil {
			return err
		}
	}
	return s.tellLocked(o, results)
}

// toLock are the profiles that the line means, whatever their tags.
func (s *session) toLock(ctx context.Context, o lockOptions) (*stack, error) {
	if err := checkPull(o.pull); err != nil {
		return nil, err
	}
	names, err := s.names(wants{what: "profile"}, false)
	switch {
	case err != nil:
		return nil, err
	case o.all && len(names) > 0:
		return nil, finding.Errorf(finding.StatusUsage, "", "hostrun lock: give names or --all, not both")
	case len(names) == 0:
		if names, err = s.projectProfiles(); err != nil {
			return nil, err
		}
	}
	return s.stackOf(ctx, names, stackOptions{tags: []string{"*"}, whole: len(s.line.names) == 0})
}

// lockOf is what the member is made of now.
func (s *session) lockOf(ctx context.Context, o lockOptions, m *member) (*lockResult, error) {
	r := &lockResult{Schema: 1, Profile: m.profile.Name, key: lockfile.Key(m.profile), Changes: []plan.Change{}}
	var err error
	if r.File, err = s.lockPath(m.profile); err != nil {
		return nil, err
	}
	facts, _, err := s.assemble(ctx, m.order(order{pull: o.pull}))
	if err = unfit(err); err != nil {
		return nil, err
	}
	h := s.ofHost(facts)
	if h.PreStart, err = s.hookImages(ctx, o, facts.Profile); err != nil {
		return nil, err
	}
	r.entry = lockfile.Of(facts, h)
	return r, nil
}

// unfit is a refusal without what may be otherwise in a moment: a device that somebody has, a path that is not there yet.
func unfit(err error) error {
	var refused *plan.Refused
	if !errors.As(err, &refused) {
		return err
	}
	left := &plan.Refused{Profile: refused.Profile}
	for _, f := range refused.Findings {
		if status := finding.Explain(f.ID).ExitStatus; status != finding.StatusTryAgain && status != finding.StatusNoPath {
			left.Findings = append(left.Findings, f)
		}
	}
	if len(left.Findings) == 0 {
		return nil
	}
	return left
}

// hookImages are the digests of images that pre_start names.
func (s *session) hookImages(ctx context.Context, o lockOptions, p profiles.Profile) (map[string]string, error) {
	var digests map[string]string
	for _, h := range p.PreStart {
		if h.Image == "" {
			continue
		}
		client, err := s.containerdFor(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		found, err := client.FindImage(ctx, h.Image, "", o.pull)
		if err != nil {
			return nil, err
		}
		image, err := client.InspectFound(ctx, found, "", plan.ImageNeeds{})
		if err != nil {
			return nil, err
		}
		if digests == nil {
			digests = map[string]string{}
		}
		digests[image.Reference] = image.Digest
	}
	return digests, nil
}

// updateLock compares the results with the lock at path, and writes them there.
func updateLock(path string, results []*lockResult, check bool) error {
	if !check {
		release, err := alone(filepath.Dir(path))
		if err != nil {
			return fileError("write", path, err)
		}
		defer release()
	}
	file, err := readLock(path)
	var invalid *lockfile.Invalid
	switch {
	case errors.As(err, &invalid):
		return finding.Errorf(finding.StatusProfile, invalid.Finding().Remedy, "%s: %w", finding.LockInvalid, err)
	case err != nil:
		return err
	case file == nil:
		file = &lockfile.File{Path: path, Entries: map[string]lockfile.Entry{}}
	}
	before, err := file.Render()
	if err != nil {
		return err
	}
	for _, r := range results {
		was, known := file.Entries[r.key]
		r.entry.KeepForm(was)
		r.Changes = append(r.Changes, file.Since(r.key, r.entry)...)
		r.Action = lockAction(known, len(r.Changes) == 0, check)
	}
	if check {
		return nil
	}
	for _, r := range results {
		file.Entries[r.key] = r.entry
	}
	text, err := file.Render()
	if err != nil || bytes.Equal(before, text) {
		return err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil { // a link stays one
		path = real
	}
	return writeWhole(path, func(w io.Writer) error { _, err := w.Write(text); return err })
}

// alone waits until nobody else writes a lock in the directory.
func alone(dir string) (release func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		_ = d.Close()
		return nil, err
	}
	return func() { _ = d.Close() }, nil
}

func lockAction(known, same, check bool) string {
	switch {
	case check && !known:
		return "missing"
	case check && same:
		return "same"
	case check:
		return "differs"
	case !known:
		return "locked"
	case same:
		return "unchanged"
	}
	return "relocked"
}

var lockWords = map[string]string{"locked": "locked in %s", "relocked": "locked anew in %s", "unchanged": "as %s says", "same": "as %s says", "differs": "not what %s says", "missing": "not in %s"}

func (s *session) tellLocked(o lockOptions, results []*lockResult) error {
	if o.format != "table" {
		if err := show(s.stdout, o.format, results, table[*lockResult]{}); err != nil {
			return err
		}
	}
	differs := false
	s.progress.pause()
	for _, r := range results {
		differs = differs || r.Action == "differs" || r.Action == "missing"
		if o.format != "table" || s.global.quiet {
			continue
		}
		fmt.Fprintf(s.stdout, "%s: "+lockWords[r.Action]+"\n", r.Profile, s.shortPath(r.File))
		for _, c := range r.Changes {
			fmt.Fprintf(s.stdout, "  %s%s\n", c.Text, s.lockLine(c, o.check))
		}
	}
	if differs {
		return asEnded(statusDiffers)
	}
	return nil
}

// lockLine is the line of the lock that a change is about, where that is still in it.
func (s *session) lockLine(c plan.Change, check bool) string {
	if !check {
		return ""
	}
	return " (" + s.shortPath(c.Where) + ")"
}
