package runtime

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

// defaultPath is what the OCI runtime and docker use for an image without PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// accountLimit bounds /etc/passwd and /etc/group, which may be anything in a foreign image.
const accountLimit = 8 << 20

// readFiles reads what needs asks for out of the image's files. An image that lacks something is no error: plan
// decides.
func readFiles(view *rootfs.View, img plan.Image, needs plan.ImageNeeds) plan.Image {
	files := plan.Image{ChainID: img.ChainID, Paths: map[string]plan.Path{}}
	files.Users = readUsers(view)
	files.Groups = readGroups(view)
	for _, p := range needs.Paths {
		addPath(view, files.Paths, p)
	}
	if needs.Python || needs.Frameworks {
		env := pythonEnvironment(img.Env, needs.Path)
		files.Pythons, files.Findings = abi.FindPythons(view, env)
		files.Pythons = commandFirst(view, files.Pythons, command(img, needs), env)
		for _, p := range files.Pythons {
			sites, packages := host.Installed(view, p.SiteDirs, p.Suffixes)
			files.Sites, files.Packages = append(files.Sites, sites...), append(files.Packages, packages...)
		}
		files.Frameworks = readFrameworks(view, files.Pythons)
	}
	if !needs.Python {
		files.Findings = nil // of interpreters that nothing is lent to
	}
	return files
}

func readFrameworks(view *rootfs.View, pythons []abi.Python) map[string]frameworks.Facts {
	all := map[string]frameworks.Facts{}
	for _, p := range pythons {
		f := frameworks.Read(view, frameworks.Places{Sites: p.SiteDirs, Python: p.Version.String(), Arch: p.Arch})
		if f.Empty() {
			continue
		}
		f.Find(view, []frameworks.Place{{Dir: "/usr/local/cuda/lib64", From: "toolkit"}, {Dir: path.Join(p.BasePrefix, "lib"), From: "system"},
			{Dir: "/usr/lib/" + p.Arch + "-linux-gnu", From: "system"}, {Dir: "/usr/lib64", From: "system"}})
		all[p.Executable] = f
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

func pythonEnvironment(imageEnv []string, pathOfProfile string) abi.Environment {
	vars := map[string]string{"PATH": defaultPath}
	for _, kv := range imageEnv {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	if pathOfProfile != "" {
		vars["PATH"] = pathOfProfile
	}
	return abi.Environment{Path: filepath.SplitList(vars["PATH"]), LibraryPath: filepath.SplitList(vars["LD_LIBRARY_PATH"]),
		SysconfigData: vars["_PYTHON_SYSCONFIGDATA_NAME"]}
}

func command(img plan.Image, needs plan.ImageNeeds) []string {
	if needs.Command != nil {
		return needs.Command
	}
	return append(append([]string{}, img.Entrypoint...), img.Cmd...)
}

// commandFirst puts the interpreter that the command names by path first, if it is one that no search path led to.
func commandFirst(view *rootfs.View, found []abi.Python, args []string, env abi.Environment) []abi.Python {
	if len(args) == 0 || !strings.HasPrefix(args[0], "/") {
		return found
	}
	for _, p := range found {
		if p.Executable == args[0] {
			return found
		}
	}
	p, err := abi.DetectPython(view, args[0], env)
	if err != nil {
		return found
	}
	for _, other := range found {
		if other.Real == p.Real && other.Prefix == p.Prefix {
			return found
		}
	}
	return append(found, p)
}

// addPath notes what is at p and at each directory above it.
func addPath(view *rootfs.View, paths map[string]plan.Path, p string) {
	for p = path.Clean("/" + p); ; p = path.Dir(p) {
		if _, known := paths[p]; !known {
			if found, ok := lookAt(view, p); ok {
				paths[p] = found
			}
		}
		if p == "/" {
			return
		}
	}
}

func lookAt(view *rootfs.View, p string) (plan.Path, bool) {
	r, err := view.Resolve(p)
	if err != nil {
		return plan.Path{}, false
	}
	fi, err := view.Lstat(r.Path)
	if err != nil {
		return plan.Path{}, false
	}
	found := plan.Path{Real: r.Path, Dir: fi.IsDir(), Mode: uint32(fi.Mode().Perm()), Entries: entries(view, r.Path, fi)}
	if fi.Mode()&fs.ModeSticky != 0 {
		found.Mode |= 0o1000
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		found.UID, found.GID = st.Uid, st.Gid
	}
	return found, true
}

func entries(view *rootfs.View, p string, fi fs.FileInfo) int {
	if !fi.IsDir() {
		return 0
	}
	list, err := view.ReadDir(p)
	if err != nil {
		return 0
	}
	return len(list)
}

// readUsers reads /etc/passwd (passwd(5)) of the image; lines that are none are skipped, as libc does.
func readUsers(view *rootfs.View) []plan.User {
	var users []plan.User
	for _, f := range accountLines(view, "/etc/passwd", 7) {
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err := errors.Join(err1, err2); err == nil {
			users = append(users, plan.User{Name: f[0], UID: uint32(uid), GID: uint32(gid), Home: f[5]})
		}
	}
	return users
}

// readGroups reads /etc/group (group(5)) of the image.
func readGroups(view *rootfs.View) []plan.Group {
	var groups []plan.Group
	for _, f := range accountLines(view, "/etc/group", 4) {
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		g := plan.Group{Name: f[0], GID: uint32(gid)}
		if f[3] != "" {
			g.Members = strings.Split(f[3], ",")
		}
		groups = append(groups, g)
	}
	return groups
}

func accountLines(view *rootfs.View, name string, fields int) [][]string {
	b, err := view.ReadFile(name, accountLimit)
	if err != nil {
		return nil
	}
	return parseAccounts(string(b), fields)
}

// parseAccounts splits lines at colons; those with fewer fields, no name, or a comment are skipped.
func parseAccounts(text string, fields int) [][]string {
	var lines [][]string
	for _, line := range strings.Split(text, "\n") {
		f := strings.Split(strings.TrimSuffix(line, "\r"), ":")
		if len(f) < fields || f[0] == "" || strings.HasPrefix(f[0], "#") {
			continue
		}
		lines = append(lines, f)
	}
	return lines
}
