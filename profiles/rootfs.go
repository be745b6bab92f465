package profiles

// HostRoot is the value of rootfs that makes the root of this machine's own files.
const HostRoot = "host"

func readRootfs(d *decoder, p *Profile, n *node, path string) {
	p.Rootfs, _ = d.oneOf(n, path, HostRoot)
}

// imageKeys mean something only where there is an image, pythonKeys where the container has a Python other than the host's.
var (
	imageKeys  = []string{"platform", "pull_policy", "pull_refresh_after", "build"}
	pythonKeys = []string{"python.target", "python.precedence", "python.borrow_libraries", "python.interpreter_from"}
)

// finishRootfs settles whether image or rootfs counts, when all files are read. They exclude each other in one file; in
// files that extend each other the nearer one counts, with what belongs to it.
func (d *decoder) finishRootfs() {
	p := d.profile
	_, image := p.Lines["image"]
	if _, ok := p.Lines["rootfs"]; !ok {
		return
	}
	switch {
	case image && d.levels["image"] == d.levels["rootfs"]:
		d.badAt(p.Lines["rootfs"], "rootfs", "remove one of the two", "image stands here too, in line %d: a container has one root", p.Lines["image"].Line)
		return
	case image && d.levels["image"] > d.levels["rootfs"]:
		d.forget("rootfs")
		p.Rootfs = ""
		return
	}
	d.forget("image")
	p.Image = ""
	d.finishHostRoot()
}

// finishHostRoot refuses what has no meaning without an image, and forgets it where a base said it for its own image.
func (d *decoder) finishHostRoot() {
	p := d.profile
	for _, key := range append(append([]string{}, imageKeys...), pythonKeys...) {
		if _, ok := p.Lines[key]; ok && d.levels[key] >= d.levels["rootfs"] {
			d.badAt(p.Lines[key], key, "remove it", "it has no meaning with rootfs: host, which has no image")
		}
		d.forget(key)
	}
	p.Platform, p.PullPolicy, p.Build = "", "", nil
	p.Python.Target, p.Python.Precedence = "", ""
	p.Python.BorrowLibraries, p.Python.InterpreterFrom = "", ""
	if _, said := p.Lines["read_only"]; !said {
		p.ReadOnly = true
	}
}

// forget takes back where a key stands: it does not count.
func (d *decoder) forget(key string) {
	delete(d.profile.Lines, key)
	delete(d.levels, key)
}

// UseImage gives the profile an image in place of the host's root, as a command line does.
func (p *Profile) UseImage(name string) {
	p.Image = name
	if p.Rootfs == "" {
		return
	}
	p.Rootfs = ""
	if _, said := p.Lines["read_only"]; !said {
		p.ReadOnly = false
	}
}
