package host

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/abi"
)

// Kinds of a Site.
const (
	kindSite = "site-packages"
	kindDist = "dist-packages"
	kindUser = "user"
	kindPth  = "pth"
)

// buildSysPath walks through site.main() (Lib/site.py): the virtual environment's directories, the user's, those of
// the installation; each followed by what its .pth files add.
func (m machine) buildSysPath(py abi.Python) *sysPath {
	s := &sysPath{m: m, version: py.Version, known: map[string]bool{py.Stdlib: true}}
	if py.Dynload != "" {
		s.known[py.Dynload] = true
	}
	own, base := m.splitSiteDirs(py)
	for _, dir := range own {
		s.add(dir, siteKind(dir))
	}
	if user := m.userSite(py); user != "" && m.view.IsDir(user) {
		s.add(user, kindUser)
	}
	for _, dir := range base {
		s.add(dir, siteKind(dir))
	}
	for i := range s.sites {
		m.describe(&s.sites[i])
	}
	return s
}

// splitSiteDirs separates a virtual environment's own directories from its base's, between which the user's belong.
func (m machine) splitSiteDirs(py abi.Python) (own, base []string) {
	if py.Venv == nil {
		return nil, py.SiteDirs
	}
	for _, dir := range py.SiteDirs {
		if strings.HasPrefix(dir, py.Prefix+"/") {
			own = append(own, dir)
		} else {
			base = append(base, dir)
		}
	}
	return own, base
}

func siteKind(dir string) string {
	if path.Base(dir) == kindDist {
		return kindDist
	}
	return kindSite
}

// userSite is site.getusersitepackages where check_enableusersite allows it, "" otherwise: not with PYTHONNOUSERSITE,
// not in a virtual environment without the system's packages, not for set-uid programs. 3.13 and later put a
// free-threaded build's packages apart.
func (m machine) userSite(py abi.Python) string {
	env := m.opt.Env
	if env["PYTHONNOUSERSITE"] != "" || py.Venv != nil && !py.Venv.SystemSite ||
		os.Geteuid() != os.Getuid() || os.Getegid() != os.Getgid() {
		return ""
	}
	base := env["PYTHONUSERBASE"]
	if base == "" {
		home := m.home()
		if home == "" {
			return ""
		}
		base = path.Join(home, ".local")
	}
	thread := ""
	if py.FreeThreaded && py.Version.Minor >= 13 {
		thread = "t"
	}
	implementation := "python"
	if py.Implementation == "pypy" {
		implementation = "pypy"
	}
	return m.absolute(fmt.Sprintf("%s/lib/%s%d.%d%s/site-packages", base, implementation, py.Version.Major, py.Version.Minor, thread))
}

// home is os.path.expanduser("~"): HOME, else the password file's.
func (m machine) home() string {
	if home := m.opt.Env["HOME"]; home != "" {
		return home
	}
	for _, line := range strings.Split(m.text("/etc/passwd"), "\n") {
		if f := strings.Split(line, ":"); len(f) >= 6 && f[2] == strconv.Itoa(os.Getuid()) {
			return f[5]
		}
	}
	return ""
}

// describe fills owner, mode and the real path. A directory that can't be looked at keeps zeros; the walk reports it.
func (m machine) describe(s *Site) {
	r, err := m.view.Resolve(s.Path)
	if err != nil {
		return
	}
	s.Real = r.Path
	if st, err := lstat(r.Real); err == nil {
		s.UID, s.Mode = st.Uid, uint32(st.Mode)&0o7777
	}
}
