package doctor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const bothWays = "make install\nor: apt-get install containerd && systemctl start containerd"

// containerd: one of them must be usable, or startable.
func (e *examiner) containerd() {
	e.group = "containerd"
	for _, engine := range e.Engines {
		e.engine(engine)
	}
	chosen, ok := e.chosen()
	switch {
	case ok && chosen.Standing == Usable:
		e.ok("chosen", "%s (%s)", chosen.Kind, chosen.Address)
	case ok:
		e.ok("chosen", "%s (%s), started when it is needed", chosen.Kind, chosen.Address)
	case e.some(func(g Engine) bool { return g.Standing == Hanging }):
		// said above; it is not passed over, as containers may live in it
	case e.some(func(g Engine) bool { return g.startable() || g.Standing == Denied }):
		e.add(Note, "chosen", "sudo hostrun doctor", "none that user %d may use; only root starts the private one", e.UID)
	default:
		e.add(Broken, "chosen", bothWays, "none: containers have nothing to run in")
	}
}

// chosen is the engine that a new container goes to, as cmd/hostrun chooses it.
func (e *examiner) chosen() (Engine, bool) {
	for _, g := range e.Engines {
		switch {
		case g.Standing == Usable:
			return g, true
		case g.Standing == Hanging:
			return g, false
		case g.startable() && e.UID == 0:
			return g, true
		}
	}
	return Engine{}, false
}

func (e *examiner) some(is func(Engine) bool) bool { return slices.ContainsFunc(e.Engines, is) }

// startable says that it does not run and can be started.
func (g Engine) startable() bool {
	return g.Kind == "private" && g.Missing == "" && g.Standing == Absent
}

func (e *examiner) engine(g Engine) {
	hints := strings.Join(g.Hints, "\n")
	switch g.Standing {
	case Usable:
		e.ok(g.Kind, "containerd %s at %s, %s%s", strings.TrimSuffix(g.Version, "+unknown"), g.Address, counted(len(g.Containers), "container"), g.life())
		if g.Outdated {
			e.add(Note, g.Kind, "", "the engine that runs (pid %d) is of another installation than %s; it is replaced once no container needs it", g.PID, e.LibexecDir)
		}
	case Hanging:
		e.add(Broken, g.Kind, hints, "%s", g.Error)
	case Denied:
		e.add(Note, g.Kind, hints, "%s", g.Error)
	case Absent:
		e.absent(g)
	}
}

// life is who serves the private engine, and since when.
func (g Engine) life() string {
	if g.PID == 0 {
		return ""
	}
	return fmt.Sprintf(", process %d since %s", g.PID, g.Since.Format(time.DateTime))
}

func (e *examiner) absent(g Engine) {
	stale := e.view.Exists(g.Address)
	switch {
	case g.Kind == "private" && g.Missing != "":
		e.add(Note, g.Kind, strings.Join(g.Hints, "\n"), "%s", g.Missing)
	case g.Kind == "private" && g.EverRan:
		e.ok(g.Kind, "installed in %s; not running now, started when it is needed", e.LibexecDir)
	case g.Kind == "private":
		e.ok(g.Kind, "installed in %s; never started so far, started when it is needed", e.LibexecDir)
	case g.Kind == "named":
		e.add(Broken, g.Kind, strings.Join(g.Hints, "\n"), "%s", g.Error)
	case stale:
		e.add(Note, g.Kind, "systemctl start containerd\nor remove what is left of it: rm "+g.Address, "nobody listens at %s: a daemon that is gone left its socket", g.Address)
	default:
		e.ok(g.Kind, "none: %s does not exist", g.Address)
	}
}

// ociRuntime: runc or crun, from the distribution or built by `make runc`.
func (e *examiner) ociRuntime() {
	e.group = "OCI runtime"
	found := false
	for _, name := range []string{"crun", "runc"} {
		path := e.executable(name, append(filepath.SplitList(e.Path), filepath.Join(e.LibexecDir, "oci"))...) // the private engine's order
		if path == "" {
			continue
		}
		found = true
		e.ok(name, "%s", strings.TrimSpace(path+" "+e.version(path)))
	}
	if !found {
		e.add(Broken, "runc or crun", "apt-get install runc\nor build it from source: make runc && make install",
			"neither is on PATH (%s) nor in %s/oci: nothing can start a container's process", e.Path, e.LibexecDir)
		return
	}
	for _, g := range e.Engines {
		switch {
		case g.Standing == Usable && g.OCIRuntime == "":
			e.add(Broken, "used by "+g.Kind, "restart containerd with the directory of runc on its PATH", "the containerd at %s finds none on its own PATH", g.Address)
		case g.Standing == Usable && g.Shim != "":
			e.ok("used by "+g.Kind, "%s, started by %s", g.OCIRuntime, g.Shim)
		case g.Standing == Usable:
			e.ok("used by "+g.Kind, "%s, started by containerd's own shim", g.OCIRuntime)
		}
	}
}

func (e *examiner) version(path string) string {
	if e.Version == nil {
		return ""
	}
	return e.Version(path)
}

// snapshotter: overlayfs where the kernel has it. Without it containerd copies the image for each container.
func (e *examiner) snapshotter() {
	e.group = "snapshotter"
	release := e.Facts.Kernel
	modules := "/lib/modules/" + release + "/"
	switch {
	case e.registered("overlay"):
		e.ok("overlayfs", "the kernel has it (/proc/filesystems)")
	case strings.Contains(e.text(modules+"modules.dep"), "/overlay.ko") || strings.Contains(e.text(modules+"modules.builtin"), "/overlay.ko"):
		e.add(Note, "overlayfs", "modprobe overlay", "the kernel has it as a module that is not loaded")
	default:
		e.add(Note, "overlayfs", "use a kernel with CONFIG_OVERLAY_FS",
			"the kernel has none (/proc/filesystems): each container gets a full copy of its image (snapshotter native), which takes time and room")
	}
	for _, g := range e.Engines {
		switch {
		case g.Standing != Usable:
		case g.Snapshotter != "overlayfs":
			e.add(Note, "used by "+g.Kind, "put containerd's root on ext4 or xfs (df -T)", "%s: each container gets a full copy of its image", g.Snapshotter)
		default:
			e.ok("used by "+g.Kind, "%s", g.Snapshotter)
		}
	}
}

// registered reads /proc/filesystems: "nodev\toverlay".
func (e *examiner) registered(name string) bool {
	for line := range strings.Lines(e.text("/proc/filesystems")) {
		if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] == name {
			return true
		}
	}
	return false
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
