package runtime

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

// closedDepth is how many levels below a directory that a root without an image shows are looked at for what its owner has
// closed to others. Below /etc it is all of them. Elsewhere the walk must cost a start next to nothing: a conda below /opt
// has 300,000 files, and what is closed is a key or a configuration near the top, not a module of a package.
var closedDepth = map[string]int{"/usr": 1, "/usr/lib": 1, "/usr/share": 1, "/usr/local": 3, "/usr/local/lib": 1, "/usr/local/share": 2}

const (
	closedDepthEtc = 8
	closedDepthOpt = 3
	closedEntries  = 1024 // of one directory; one with more holds data or modules
)

// programDirs hold programs and what they read, by the file system hierarchy and by conda.
var programDirs = []string{"bin", "sbin", "lib", "lib32", "lib64", "libexec", "include", "share", "man", "doc", "src", "pkgs", "envs", "conda-meta"}

// closedBelow returns what lies below the directory p of the machine and is closed to others: directories that they may not read
// and enter, and regular files that they may neither read nor execute. A directory is named without what is in it.
func closedBelow(machine *rootfs.View, p string) []string {
	switch {
	case below(p, "/etc"):
		return closedIn(machine, p, closedDepthEtc, nil)
	case below(p, "/opt"):
		return closedIn(machine, p, closedDepthOpt, programDirs)
	}
	var all []string
	for dir, depth := range closedDepth {
		if below(dir, p) {
			all = append(all, closedIn(machine, dir, depth, programDirs)...)
		}
	}
	return all
}

func closedIn(machine *rootfs.View, dir string, depth int, leaveOut []string) []string {
	r, err := machine.Resolve(dir)
	if err != nil || r.Real == "" {
		return nil
	}
	file, err := os.Open(r.Real)
	if err != nil {
		return nil
	}
	entries, _ := file.ReadDir(closedEntries)
	_ = file.Close()
	var all []string
	for _, e := range entries {
		if !e.IsDir() && !e.Type().IsRegular() {
			continue
		}
		p := path.Join(dir, e.Name())
		fi, err := e.Info()
		switch {
		case err != nil: // it has just gone
		case closed(fi):
			all = append(all, p)
		case fi.IsDir() && depth > 1 && !slices.Contains(leaveOut, e.Name()):
			all = append(all, closedIn(machine, p, depth-1, leaveOut)...)
		}
	}
	return all
}

func closed(fi fs.FileInfo) bool {
	others := fi.Mode().Perm() & 0o007
	if fi.IsDir() {
		return others&0o005 != 0o005
	}
	return others&0o005 == 0
}

// socketNames are the Unix sockets of the machine that have a name (proc_net_unix(5)): a read-only mount keeps nobody from connecting
// to one.
func socketNames(machine *rootfs.View) []string {
	text, err := machine.ReadFile("/proc/self/net/unix", 4<<20)
	if err != nil {
		return nil
	}
	var all []string
	for line := range strings.Lines(string(text)) { // Num RefCount Protocol Flags Type St Inode Path
		if at := strings.Index(line, " /"); at >= 0 {
			all = append(all, path.Clean(strings.TrimSuffix(line[at+1:], "\n")))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// socketAt reports whether a socket of the machine is there, and not only one that a container has bound at
// the same name in a root of its own.
func socketAt(machine *rootfs.View, p string) bool {
	fi, err := machine.Lstat(p)
	return err == nil && fi.Mode()&fs.ModeSocket != 0
}

// hide notes in each directory of a root without an image what a container must not see of it.
func hide(machine *rootfs.View, entries []plan.RootEntry) {
	listening := socketNames(machine)
	for i, e := range entries {
		if !e.Dir || e.Link != "" {
			continue
		}
		found := closedBelow(machine, e.Path)
		for _, s := range listening {
			hidden := func(c string) bool { return below(s, c) }
			if below(s, e.Path) && !slices.ContainsFunc(found, hidden) && socketAt(machine, s) {
				found = append(found, s)
			}
		}
		slices.Sort(found)
		entries[i].Closed = found
	}
}
