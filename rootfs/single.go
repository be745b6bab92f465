package rootfs

// Single says where on this machine the directory lies that p, which has been resolved, leads to, if everything that the
// view shows below p lies below that one: no union of layers, and no mount inside. Whiteouts are devices there.
func (v *View) Single(r Resolved) (real string, ok bool) {
	if r.Real == "" || v.leadsToMount(r.Path) {
		return "", false
	}
	if _, covered := v.inMount(r.Path); covered {
		return r.Real, true
	}
	if _, all := v.shows(r.Path); !all {
		return "", false
	}
	if len(v.layers) == 1 {
		return r.Real, true
	}
	dirs, err := v.merge(r.Path)
	return r.Real, err == nil && len(dirs) == 1 && dirs[0] == r.Real
}
