package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/imagename"
	"hostrun.dev/hostrun/lockfile"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/rootfs"
	"hostrun.dev/hostrun/runtime"
)

// This file is --locked: what is planned has to be made of what hostrun.lock says.

func lockedFlag(into *bool) cli.Flag {
	return &cli.BoolFlag{Name: "locked", Usage: "refuse what is made of something else than hostrun.lock says; an image that is not here is pulled by its digest", EnvVars: []string{"HOSTRUN_LOCKED"}, Destination: into}
}

// lockPath is where the profile's lock lies.
func (s *session) lockPath(p *profiles.Profile) (string, error) {
	switch {
	case s.global.lockFile != "":
		return s.abs(s.global.lockFile), nil
	case strings.HasPrefix(p.File, "builtin:"):
		return "", finding.Errorf(finding.StatusUsage, "hostrun lock --lock-file "+lockfile.Name+" "+p.Name, "profile %s is built into hostrun: there is no place beside it for a lock", p.Name)
	}
	return filepath.Join(filepath.Dir(p.File), lockfile.Name), nil
}

// readLock reads the lock at path; nil where there is none.
func readLock(path string) (*lockfile.File, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var text []byte
	switch {
	case err != nil:
	case info.Mode().IsRegular() && info.Size() <= lockfile.MaxFile:
		text, err = os.ReadFile(path)
	default:
		return nil, &lockfile.Invalid{File: path, Line: 1, Message: "it is no file of a sensible size"}
	}
	if err != nil {
		return nil, fileError("read", path, err)
	}
	return lockfile.Parse(path, text)
}

// noteFloating tells of a stack's images whose tag is what their registry makes of it tomorrow.
func (s *session) noteFloating(file string) {
	st := profiles.ReadStack(s.profileOptions(), file)
	if st == nil {
		return
	}
	var names []string
	for _, one := range st.Profiles {
		p, err := profiles.Load(s.profileOptions(), st.Member(one))
		if err != nil || p.Build != nil {
			continue
		}
		named, err := imagename.Parse(p.Image)
		if err == nil && strings.HasSuffix(named.Full(), ":"+imagename.Latest) && !slices.Contains(names, p.Image) {
			names = append(names, p.Image)
		}
	}
	if len(names) > 0 {
		s.note("%s: the tag latest moves; hostrun lock %s writes down what it is today, for up --locked", strings.Join(names, ", "), shown(s.dir, file))
	}
}

// A held is what an order is held to; nil is nothing.
type held struct {
	file      *lockfile.File // nil: there is none
	path, key string
	entry     lockfile.Entry
	known     bool // the file has entry
	order     order
}

// heldTo reads the lock of the order's profile, if it is held to one.
func (s *session) heldTo(p *profiles.Profile, o order) (*held, error) {
	if !o.locked {
		return nil, nil
	}
	if o.text != "" {
		return nil, finding.Errorf(finding.StatusUsage, "leave --locked away, or unset HOSTRUN_LOCKED", "only a profile with a file of its own has a lock")
	}
	path, err := s.lockPath(p)
	if err != nil {
		return nil, err
	}
	h := &held{path: path, key: lockfile.Key(p), order: o}
	h.file, err = readLock(path)
	var invalid *lockfile.Invalid
	switch {
	case errors.As(err, &invalid):
		return nil, &plan.Refused{Profile: p.Name, Findings: []finding.Finding{invalid.Finding()}}
	case err != nil:
		return nil, err
	case h.file != nil:
		h.entry, h.known = h.file.Entries[h.key]
	}
	return h, nil
}

// fullReference is the name by which the image is known; a wrong one stays as it is, for others to refuse.
func fullReference(ref string) string {
	named, err := imagename.Parse(ref)
	if err != nil {
		return ref
	}
	return named.Full()
}

// digest is that of the image which p asks for; "" where the lock does not tell.
func (h *held) digest(p *profiles.Profile) string {
	name := fullReference(p.Image)
	if h.order.hook {
		return h.entry.PreStart[name]
	}
	if h.entry.Image == nil || h.entry.Image.Name != name {
		return ""
	}
	return h.entry.Image.Digest
}

// findImage is FindImage by the lock: nothing is pulled but what it says.
func (h *held) findImage(ctx context.Context, client *runtime.Client, p *profiles.Profile, policy string) (runtime.FoundImage, error) {
	if h == nil {
		return client.FindImage(ctx, p.Image, p.Platform, policy)
	}
	digest := h.digest(p)
	if digest == "" {
		policy = "never"
	}
	found, err := client.FindLocked(ctx, p.Image, p.Platform, policy, digest)
	if err != nil && !h.known {
		return found, &plan.Refused{Profile: p.Name, Findings: []finding.Finding{h.missing(p)}}
	}
	return found, err
}

func (h *held) missing(p *profiles.Profile) finding.Finding {
	return lockfile.Missing(h.file, h.path, h.key, h.order.name, p.File)
}

// differs are the findings about what is not as the lock says.
func (h *held) differs(s *session, facts plan.Facts) []finding.Finding {
	if !h.known {
		return []finding.Finding{h.missing(&facts.Profile)}
	}
	now := h.entry
	if h.order.hook { // the profile itself has been compared
		now.PreStart = map[string]string{}
		for name, digest := range h.entry.PreStart {
			now.PreStart[name] = digest
		}
		now.PreStart[facts.Image.Reference] = facts.Image.Digest
	} else {
		now = lockfile.Of(facts, s.ofHost(facts))
		now.PreStart = h.entry.PreStart // each when it is run
	}
	if h.order.again { // its files are those of the image that it was made of
		now.Image = h.entry.Image
	}
	return h.file.Findings(h.file.Since(h.key, now), h.order.name)
}

// ofHost is what of this machine the lock has and no facts.
func (s *session) ofHost(facts plan.Facts) lockfile.Host {
	var h lockfile.Host
	if p := facts.Host.Python; p != nil {
		h.Contents = host.Contents(rootfs.Dir(s.root), p.Sites)
	}
	for _, ask := range plan.Asks(&facts.Profile) {
		if ask.Kind != devices.KindNPU {
			continue
		}
		driver, toolkit := ascend.New(s.root).Borrowed(ask, nil)
		if toolkit != nil {
			h.CANN = toolkit.Version
		}
		if strings.HasPrefix(ask.Options["driver"], "/") {
			h.Drivers = map[string]string{ask.Kind: driver.Version}
		}
	}
	return h
}

// ofLock says whether findings are about a lock.
func ofLock(all []finding.Finding) bool {
	return slices.ContainsFunc(all, func(f finding.Finding) bool {
		return f.ID == finding.LockDiffers || f.ID == finding.LockMissing || f.ID == finding.LockInvalid
	})
}

// pullLocked fetches the images of profiles by their locks.
func pullLocked(ctx context.Context, s *session, o pullOptions) error {
	if o.name != "" || o.platform != "" {
		return finding.Errorf(finding.StatusUsage, "leave them away", "hostrun pull: the lock says what --locked fetches, and neither --name nor --platform does")
	}
	names, err := s.names(wants{what: "profile", min: 1}, false)
	if err != nil {
		return err
	}
	st, err := s.stackOf(ctx, names, stackOptions{tags: []string{"*"}})
	if err != nil {
		return err
	}
	done := map[string]bool{}
	return st.inOrder(func(m *member) error {
		if done[m.profile.Name] || m.profile.Image == "" || m.profile.Build != nil {
			return nil
		}
		done[m.profile.Name] = true
		return s.pullLockedOne(ctx, m)
	})
}

func (s *session) pullLockedOne(ctx context.Context, m *member) error {
	h, err := s.heldTo(m.profile, m.order(order{locked: true}))
	if err != nil {
		return err
	}
	digests := map[string]string{m.profile.Image: h.digest(m.profile)}
	for name, digest := range h.entry.PreStart {
		digests[name] = digest
	}
	if !h.known || digests[m.profile.Image] == "" {
		return &plan.Refused{Profile: m.profile.Name, Findings: []finding.Finding{h.missing(m.profile)}}
	}
	client, err := s.containerdFor(ctx, m.id)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		ref, err := client.PullLocked(ctx, name, m.profile.Platform, digests[name])
		if err != nil {
			return err
		}
		s.progress.pause()
		fmt.Fprintln(s.stdout, ref)
	}
	return nil
}
