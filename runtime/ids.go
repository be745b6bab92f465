package runtime

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// Ranges of user and group ids for containers with a user namespace. Each container has one of its own as long as it exists: a file below
// DataDir/ids, which all namespaces and containerds of the machine share, says whose a range is.

const (
	// idsOfOne is how many ids a container gets: all that 16 bits hold, as in podman and systemd-nspawn.
	idsOfOne = 1 << 16
	// defaultFirstID to defaultLastID are ids that neither accounts nor useradd (login.defs(5), SUB_UID_MAX) nor systemd (its UIDS-GIDS.md) use.
	defaultFirstID = 0x70000000
	defaultLastID  = 0x7ffdffff
	// idsUser is whose lines of /etc/subuid and /etc/subgid say which ids are hostrun's, as dockremap is docker's.
	idsUser = "hostrun"
)

// An idSpan are Count ids from First on.
type idSpan struct{ First, Count uint64 }

func (s idSpan) overlaps(t idSpan) bool {
	return s.First < t.First+t.Count && t.First < s.First+s.Count
}

// parseSubIDs reads subuid(5): the spans of hostrun's user, and those of all others. Lines that can't be read are nobody's.
func parseSubIDs(text []byte) (own, others []idSpan) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		f := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(f) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		switch {
		case err1 != nil || err2 != nil || count == 0:
		case f[0] == idsUser:
			own = append(own, idSpan{first, count})
		default:
			others = append(others, idSpan{first, count})
		}
	}
	return own, others
}

// starts are the first ids of the ranges that can be given, of what the file says or, where it says nothing of hostrun, by default.
func starts(text []byte) []uint32 {
	spans, others := parseSubIDs(text)
	if len(spans) == 0 {
		spans = []idSpan{{defaultFirstID, defaultLastID - defaultFirstID + 1}}
	} else {
		others = nil // they are hostrun's by the administrator's word
	}
	var all []uint32
	for _, s := range spans {
		for at := s.First; at+idsOfOne <= s.First+s.Count && at+idsOfOne <= 1<<32-1; at += idsOfOne {
			one := idSpan{at, idsOfOne}
			if at >= idsOfOne && !slices.ContainsFunc(others, one.overlaps) { // the first 65536 are the machine's own users'
				all = append(all, uint32(at))
			}
		}
	}
	return all
}

func (c *Client) idsDir() string { return filepath.Join(c.opt.DataDir, "ids") }

// withIDs calls fn while nobody else gives or takes ranges.
func (c *Client) withIDs(fn func(owners map[string]string) error) error {
	if err := os.MkdirAll(c.idsDir(), 0o755); err != nil {
		return fmt.Errorf("look for free ids: %w", err)
	}
	l, err := os.OpenFile(filepath.Join(c.idsDir(), ".lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("look for free ids: %w", err)
	}
	defer l.Close()
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("look for free ids: %w", err)
	}
	owners, stale, err := c.idOwners()
	if err != nil {
		return err
	}
	for _, name := range stale {
		_ = os.Remove(filepath.Join(c.idsDir(), name))
	}
	return fn(owners)
}

// idOwners are the containers of the ranges that are given, by the names of their files, and the files of those that are nobody's any more.
func (c *Client) idOwners() (owners map[string]string, stale []string, err error) {
	entries, err := os.ReadDir(c.idsDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("look for free ids: %w", err)
	}
	owners = map[string]string{}
	for _, e := range entries {
		if e.Name()[0] == '.' {
			continue
		}
		text, err := os.ReadFile(filepath.Join(c.idsDir(), e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // given back meanwhile
		}
		if err != nil {
			return nil, nil, fmt.Errorf("look for free ids: %w", err)
		}
		owner, by, _ := strings.Cut(string(text), "\n")
		// One whose container was never made goes with who wanted to make it.
		if _, err := os.Stat(filepath.Join(c.opt.DataDir, "containers", owner)); errors.Is(err, os.ErrNotExist) && !alive(by) {
			stale = append(stale, e.Name())
			continue
		}
		owners[e.Name()] = owner
	}
	return owners, stale, nil
}

func rangeName(r plan.IDRange) string { return fmt.Sprintf("%d-%d", r.UID, r.GID) }

func parseRangeName(name string) (r plan.IDRange, ok bool) {
	n, _ := fmt.Sscanf(name, "%d-%d", &r.UID, &r.GID)
	r.Size = idsOfOne
	return r, n == 2
}

// IDs is the range of a container: the one that it has, else one that is free, which is held for it where hold is set.
func (c *Client) IDs(id string, hold bool) (r plan.IDRange, err error) {
	subuid, err1 := readSubIDs("/etc/subuid")
	subgid, err2 := readSubIDs("/etc/subgid")
	if err := errors.Join(err1, err2); err != nil {
		return plan.IDRange{Error: err.Error()}, nil
	}
	look := func(owners map[string]string) error {
		r = freeIDs(starts(subuid), starts(subgid), owners, c.idOwner(id))
		if !hold || r.Error != "" {
			return nil
		}
		return c.noteIDs(id, r)
	}
	if hold {
		return r, c.withIDs(look)
	}
	owners, _, err := c.idOwners()
	if err == nil {
		err = look(owners)
	}
	return r, err
}

func readSubIDs(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return text, err
}

func (c *Client) idOwner(id string) string { return c.opt.Namespace + "/" + id }

// freeIDs chooses of the ranges.
func freeIDs(uids, gids []uint32, owners map[string]string, owner string) plan.IDRange {
	var taken []plan.IDRange
	for name, by := range owners {
		r, ok := parseRangeName(name)
		if ok && by == owner {
			return r
		}
		taken = append(taken, r)
	}
	u, g := slices.IndexFunc(uids, func(at uint32) bool { return free(at, taken, func(r plan.IDRange) uint32 { return r.UID }) }),
		slices.IndexFunc(gids, func(at uint32) bool { return free(at, taken, func(r plan.IDRange) uint32 { return r.GID }) })
	if u < 0 || g < 0 {
		return plan.IDRange{Error: fmt.Sprintf("all %d ranges of user ids and %d of group ids are taken (/etc/subuid, /etc/subgid)", len(uids), len(gids))}
	}
	return plan.IDRange{UID: uids[u], GID: gids[g], Size: idsOfOne}
}

func free(at uint32, taken []plan.IDRange, of func(plan.IDRange) uint32) bool {
	one := idSpan{uint64(at), idsOfOne}
	return !slices.ContainsFunc(taken, func(r plan.IDRange) bool { return one.overlaps(idSpan{uint64(of(r)), idsOfOne}) })
}

func (c *Client) noteIDs(id string, r plan.IDRange) error {
	if err := replaceFile(filepath.Join(c.idsDir(), rangeName(r)), []byte(c.idOwner(id)+"\n"+creator()), 0o644); err != nil {
		return fmt.Errorf("hold ids for container %s: %w", id, err)
	}
	return nil
}

// claimIDs takes the range of the spec for the container, if it has it not.
func (c *Client) claimIDs(id string, spec *specs.Spec) error {
	r := plan.IDRange{UID: spec.Linux.UIDMappings[0].HostID, Size: idsOfOne}
	if len(spec.Linux.GIDMappings) > 0 {
		r.GID = spec.Linux.GIDMappings[0].HostID
	}
	return c.withIDs(func(owners map[string]string) error {
		for name, by := range owners {
			if by == c.idOwner(id) && name == rangeName(r) {
				return nil
			}
			have, _ := parseRangeName(name)
			if by != c.idOwner(id) && (!free(r.UID, []plan.IDRange{have}, func(r plan.IDRange) uint32 { return r.UID }) || !free(r.GID, []plan.IDRange{have}, func(r plan.IDRange) uint32 { return r.GID })) {
				return finding.Errorf(finding.StatusTryAgain, "hostrun up "+id+" takes others", "start container %s: its ids (from %d on) are those of container %s by now", id, r.UID, by)
			}
		}
		return c.noteIDs(id, r)
	})
}

// releaseIDs gives the container's range back; most have none.
func (c *Client) releaseIDs(id string) error {
	if _, err := os.Stat(c.idsDir()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return c.withIDs(func(owners map[string]string) (err error) {
		for name, by := range owners {
			if by == c.idOwner(id) {
				err = errors.Join(err, os.Remove(filepath.Join(c.idsDir(), name)))
			}
		}
		return err
	})
}
