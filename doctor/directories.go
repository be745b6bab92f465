package doctor

import (
	"path/filepath"
	"slices"
	"strings"
)

// Room on the disk, in bytes: below scarce nothing can be unpacked, below modest an image of a framework can't.
const (
	scarce = 256 << 20
	modest = 5 << 30
)

func (e *examiner) directories() {
	e.group = "hostrun"
	e.programs()
	for _, d := range []struct{ name, path, keeps string }{
		{"data", e.DataDir, "volumes, logs, images of the private engine"}, {"state", e.StateDir, "sockets and locks"}, {"cache", e.CacheDir, "facts of images and environments"},
	} {
		e.directory(d.name, d.path, d.keeps)
	}
}

// Programs are those that hostrun starts and expects in its directory: the writer of logs, the first process, the ports' holder, what
// cleans up behind a command, the probe of devices, the reader of compose files. (hostrun-engine and hostrun-nvml need not be there.)
var Programs = []string{"hostrun-log", "hostrun-init", "hostrun-ports", "hostrun-reap", "hostrun-probe", "hostrun-compose"}

// programs are those that are started beside hostrun.
func (e *examiner) programs() {
	var missing []string
	for _, name := range Programs {
		if e.executable(name, e.LibexecDir) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		e.add(Broken, "programs", "make install", "%s: not in %s", strings.Join(missing, ", "), e.LibexecDir)
		return
	}
	e.ok("programs", "%s in %s", strings.Join(Programs, ", "), e.LibexecDir)
}

func (e *examiner) directory(name, path, keeps string) {
	if path == "" {
		return
	}
	fi, err := e.view.Stat(path)
	if err == nil && !fi.IsDir() {
		e.add(Broken, name, "mv "+path+" "+path+".old", "%s is no directory; it is for %s", path, keeps)
		return
	}
	text := path
	if err != nil {
		text += " (made when it is needed)"
	}
	free, known := e.room(path)
	switch {
	case known && free < scarce:
		e.add(Broken, name, "see what fills it: du -xh -d 2 "+path+" | sort -h\nhostrun images; hostrun rmi IMAGE", "%s: %d MiB free, for %s", text, free>>20, keeps)
	case known && free < modest && name == "data":
		e.add(Note, name, "", "%s: %.1f GiB free; images with frameworks inside take more", text, float64(free)/(1<<30))
	case known:
		e.ok(name, "%s: %.1f GiB free, for %s", text, float64(free)/(1<<30), keeps)
	default:
		e.ok(name, "%s, for %s", text, keeps)
	}
}

// room asks for the nearest directory that exists.
func (e *examiner) room(path string) (uint64, bool) {
	if e.Free == nil {
		return 0, false
	}
	for !e.view.IsDir(path) && path != "/" {
		path = filepath.Dir(path)
	}
	return e.Free(filepath.Join(e.Root, path))
}

// leftovers are what commands that were killed left behind: half-made containers, and directories without a container.
func (e *examiner) leftovers() {
	e.group = "leftovers"
	found, complete := false, true
	known := map[string]bool{}
	for _, g := range e.Engines {
		complete = complete && e.told(g)
		for _, name := range g.Containers {
			known[name] = true
		}
		if len(g.HalfMade) > 0 {
			found = true
			e.add(Note, "half-made", "hostrun down "+strings.Join(g.HalfMade, " "), "%s of the %s containerd, whose maker is gone: %s; the next up or down removes them too",
				counted(len(g.HalfMade), "container"), g.Kind, strings.Join(g.HalfMade, ", "))
		}
		if len(g.GivenUp) > 0 {
			found = true
			e.add(Note, "given up", "hostrun restart "+strings.Join(g.GivenUp, " "), "%s of the %s containerd, which has given it up, goes on without exec, healthchecks and restarts: %s",
				counted(len(g.GivenUp), "container"), g.Kind, strings.Join(g.GivenUp, ", "))
		}
	}
	dir := filepath.Join(e.DataDir, "containers", e.Namespace)
	orphans := slices.DeleteFunc(e.names(dir), func(name string) bool { return known[name] })
	var away []string // of a containerd that is none of those that tell
	for _, name := range orphans {
		if !complete || e.madeElsewhere(filepath.Join(dir, name, "engine")) {
			away = append(away, name)
		}
	}
	orphans = slices.DeleteFunc(orphans, func(name string) bool { return slices.Contains(away, name) })
	if len(orphans) > 0 {
		found = true
		e.add(Note, "directories", "rm -r "+join(dir, orphans), "%s without a container in %s: %s", counted(len(orphans), "directory"), dir, strings.Join(orphans, ", "))
	}
	if len(away) > 0 {
		found = true
		e.add(OK, "directories", "", "%s with files in %s and in a containerd that could not be asked: %s", counted(len(away), "container"), dir, strings.Join(away, ", "))
	}
	if !found {
		e.ok("none", "nothing was left half done")
	}
}

// madeElsewhere says whether a container's file names a containerd that does not tell what it has (runtime keeps it).
func (e *examiner) madeElsewhere(file string) bool {
	address, err := e.view.ReadFile(file, 4096)
	return err == nil && !slices.ContainsFunc(e.Engines, func(g Engine) bool { return g.Standing == Usable && g.Address == string(address) })
}

// systemRecords is where a containerd of the distribution keeps its records.
const systemRecords = "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"

// told says whether a containerd has told of all its containers: one that is down may have some.
func (e *examiner) told(g Engine) bool {
	switch {
	case g.Standing == Absent && g.Kind == "system":
		return !e.view.Exists(systemRecords)
	case g.Standing == Absent:
		return !g.EverRan
	}
	return g.Standing == Usable
}

func join(dir string, names []string) string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = filepath.Join(dir, name)
	}
	return strings.Join(paths, " ")
}
