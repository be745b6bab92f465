package profiles

import (
	"path"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// tmpfsOption are those of mount(8) and tmpfs(5) that docker takes besides.
var tmpfsOption = pattern.New(`^(exec|noexec|suid|nosuid|dev|nodev|sync|async|dirsync|atime|noatime|diratime|nodiratime|relatime|norelatime|strictatime|(uid|gid)=[0-9]+|(nr_inodes|nr_blocks)=[0-9]+[kmg]?)$`)

func readTmpfs(d *decoder, _ *Profile, n *node, key string) {
	d.texts(n, key, true, func(item *node, s string) {
		target, options, _ := strings.Cut(s, ":")
		target, ok := d.cleanTarget(item, key, target)
		if !ok {
			return
		}
		v := Volume{Type: "tmpfs", Target: path.Clean(target)}
		if options != "" && !d.tmpfsOptions(item, key, &v, options) {
			return
		}
		d.addVolume(v, item, key)
	})
}

func (d *decoder) tmpfsOptions(n *node, key string, v *Volume, options string) bool {
	for _, option := range strings.Split(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		sub := &node{kind: scalar, tag: "str", text: value, pos: n.pos}
		ok := true
		switch name {
		case "size":
			v.TmpfsSize, ok = d.bytes(sub, key)
		case "mode":
			v.TmpfsMode, ok = d.mode(sub, key)
		case "ro":
			v.ReadOnly = true
		case "rw":
		default:
			if ok = tmpfsOption.MatchString(option); ok {
				v.TmpfsOptions = append(v.TmpfsOptions, option)
				break
			}
			d.bad(n, key, "known: size=, mode=, uid=, gid=, nr_inodes=, ro, rw, [no]exec, [no]suid, [no]dev, [no]atime, [no]diratime, [no]relatime, sync", "unknown option %q", abridged(option))
		}
		if !ok {
			return false
		}
	}
	return true
}
