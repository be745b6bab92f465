package plan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// account is the container's user: what the kernel gets, and what its environment says.
type account struct {
	uid, gid uint32
	groups   []uint32 // supplementary, gid among them
	home     string
	known    bool // has a line in the image's passwd
}

// UserID is the number of the user that the container's process will have.
func UserID(f Facts) uint32 {
	b := newBuilder(f)
	b.setUser()
	return b.user.uid
}

// setUser resolves the profile's user, else the image's, by docker's rules: a number is always an ID; a user's own groups
// come along unless a group is named; group_add joins them.
func (b *builder) setUser() {
	key, want := "user", b.p.User
	if want == "" {
		key, want = "image", b.f.Image.User
	}
	name, group, _ := strings.Cut(want, ":")
	b.user = account{home: "/"}
	entry, ok := b.findUser(key, name)
	if ok && entry != nil {
		b.user = account{uid: entry.UID, gid: entry.GID, home: entry.Home, known: true}
	} else if id, err := parseID(name); err == nil {
		b.user.uid = id
	}
	if group != "" {
		b.user.gid, _ = b.findGroup(key, group)
	}
	b.user.groups = []uint32{b.user.gid}
	if group == "" && entry != nil {
		b.addGroups(b.groupsOf(entry.Name)...)
	}
	for i, g := range b.p.GroupAdd {
		if gid, ok := b.findGroup(fmt.Sprintf("group_add[%d]", i), g); ok {
			b.addGroups(gid)
		}
	}
	// The primary group is listed too: without it a file's "group: no access" can be evaded (moby, CVE-2022-36109).
	b.spec.Process.User.UID, b.spec.Process.User.GID = b.user.uid, b.user.gid
	b.spec.Process.User.AdditionalGids = b.user.groups
	b.plan.Origins["/process/user"] = "image"
	if b.p.User != "" {
		b.plan.Origins["/process/user"] = b.fromProfile("user")
	}
	if b.user.home == "" {
		b.user.home = "/"
	}
}

func (b *builder) addGroups(gids ...uint32) {
	for _, g := range gids {
		if !slices.Contains(b.user.groups, g) {
			b.user.groups = append(b.user.groups, g)
		}
	}
}

// findUser returns the passwd line of a name or number, nil for a number without one. ok is false after a finding.
func (b *builder) findUser(key, name string) (*User, bool) {
	if name == "" {
		name = "0"
	}
	id, err := parseID(name)
	for i := range b.f.Image.Users {
		u := &b.f.Image.Users[i]
		if err == nil && u.UID == id || err != nil && u.Name == name {
			return u, true
		}
	}
	if err != nil {
		b.unknownAccount(key, "user", name, "/etc/passwd")
		return nil, false
	}
	return nil, true
}

func (b *builder) findGroup(key, name string) (uint32, bool) {
	if id, err := parseID(name); err == nil {
		return id, true
	}
	for _, g := range b.f.Image.Groups {
		if g.Name == name {
			return g.GID, true
		}
	}
	b.unknownAccount(key, "group", name, "/etc/group")
	return 0, false
}

func (b *builder) groupsOf(name string) []uint32 {
	var gids []uint32
	for _, g := range b.f.Image.Groups {
		if slices.Contains(g.Members, name) {
			gids = append(gids, g.GID)
		}
	}
	return gids
}

func (b *builder) unknownAccount(key, kind, name, file string) {
	if usesHostRoot(b.p) {
		b.report(key, finding.Finding{
			ID: finding.ImageUser, Severity: finding.Error, Subject: name,
			Got: "no such name in " + file + " of this machine", Want: "a " + kind + " of this machine, or a number",
			Message: fmt.Sprintf("this machine's %s does not know the %s %q", file, kind, name),
			Remedy:  "use a number (user: \"1000:1000\"); accounts of a directory service (LDAP, SSSD) have no line in " + file,
		})
		return
	}
	b.report(key, finding.Finding{
		ID: finding.ImageUser, Severity: finding.Error, Subject: name,
		Got: "no such name in " + file + " of " + b.f.Image.Reference, Want: "a " + kind + " of the image, or a number",
		Message: fmt.Sprintf("the image does not know the %s %q", kind, name),
		Remedy:  "use a number (user: \"1000:1000\"), or add the " + kind + " to the image",
	})
}

// parseID reads a user or group ID. Those above 2^31-1 are refused by the kernel's users of signed IDs, as docker does.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n > math.MaxInt32 {
		err = strconv.ErrRange
	}
	return uint32(n), err
}
