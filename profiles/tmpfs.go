package profiles

import (
	"path"
	"strings"
)

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
		case "rw", "nosuid", "nodev":
		default:
			d.bad(n, key, "known: size=, mode=, ro, rw, nosuid, nodev", "unknown option %q", abridged(option))
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}
