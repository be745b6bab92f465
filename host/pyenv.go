package host

import (
	"path"
	"sort"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

// isShim says whether p is one of pyenv's shims: a script in a directory "shims" that calls pyenv exec
// (pyenv's libexec/pyenv-rehash writes it).
func (m machine) isShim(p string) bool {
	if path.Base(path.Dir(p)) != "shims" || !m.isExecutable(p) {
		return false
	}
	text := m.text(p)
	return strings.HasPrefix(text, "#!") && strings.Contains(text, "pyenv\" exec ")
}

var shimRoot = pattern.New(`(?m)^\s*export PYENV_ROOT="([^"]+)"`)

// pyenvWhich answers `pyenv which`: the versions that are selected, in order, and the first that has the command.
func (m machine) pyenvWhich(shim, command string) (choice, []finding.Finding) {
	root := m.opt.Env["PYENV_ROOT"]
	if found := shimRoot.FindStringSubmatch(m.text(shim)); found != nil {
		root = found[1] // the shim sets it before it calls pyenv
	} else if root == "" {
		root = path.Dir(path.Dir(shim))
	}
	wanted, origin := m.pyenvSelected(root)
	var absent []string
	for _, version := range append(wanted, "system") {
		if version == "system" {
			if p := m.lookupWithout(command, path.Join(root, "shims")); p != "" {
				return choice{Executable: p, Why: []string{"PATH", shim, origin, "system"}}, nil
			}
			continue
		}
		dir := m.pyenvVersionDir(root, version)
		if dir == "" {
			absent = append(absent, version)
			continue
		}
		if p := path.Join(dir, "bin", command); m.isExecutable(p) {
			c := choice{Executable: p, Pyenv: root, Why: []string{"PATH", shim, origin}}
			return c, pyenvAbsent(absent, origin, finding.Warning)
		}
	}
	if len(absent) > 0 {
		return choice{}, pyenvAbsent(absent, origin, finding.Error)
	}
	return choice{}, []finding.Finding{noInterpreter(shim, strings.Join(wanted, ":")+", set by "+origin,
		"pyenv: "+command+": command not found in the selected versions")}
}

// pyenvAbsent quotes pyenv-version-name.
func pyenvAbsent(absent []string, origin string, severity finding.Severity) []finding.Finding {
	var said []finding.Finding
	for _, version := range absent {
		f := noInterpreter(version, version+", set by "+origin,
			"pyenv: version `"+version+"' is not installed (set by "+origin+")")
		f.Severity = severity
		f.Remedy = "pyenv install " + version + ", or select another version: pyenv local VERSION"
		said = append(said, f)
	}
	return said
}

// pyenvSelected returns the selected versions and what selected them: PYENV_VERSION, the nearest .python-version from
// the caller's directory upwards, or the global file (pyenv-version-file).
func (m machine) pyenvSelected(root string) ([]string, string) {
	if v := m.opt.Env["PYENV_VERSION"]; v != "" {
		return strings.FieldsFunc(v, func(r rune) bool { return r == ':' }), "PYENV_VERSION"
	}
	for dir := m.absolute(m.opt.Dir); ; dir = path.Dir(dir) {
		file := path.Join(dir, ".python-version")
		if fi, err := m.view.Stat(file); err == nil && fi.Mode().IsRegular() {
			return parsePyenvVersions(m.text(file)), file
		}
		if dir == "/" {
			break
		}
	}
	file := path.Join(root, "version")
	return parsePyenvVersions(m.text(file)), file
}

// parsePyenvVersions is pyenv-version-file-read: the first word of each line, comments and paths left out.
func parsePyenvVersions(text string) []string {
	var all []string
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") || words[0] == ".." || strings.HasPrefix(words[0], "/") ||
			strings.Contains(words[0], "../") {
			continue
		}
		for _, version := range strings.Split(words[0], ":") {
			if version != "" {
				all = append(all, version)
			}
		}
	}
	return all
}

// pyenvVersionDir resolves a version as pyenv-version-name does: as it is, without "python-", and as a prefix of the
// latest installed one (pyenv-latest).
func (m machine) pyenvVersionDir(root, version string) string {
	names := []string{version, strings.TrimPrefix(version, "python-")}
	for _, name := range names {
		if dir := path.Join(root, "versions", name); m.view.IsDir(dir) {
			return dir
		}
	}
	for _, name := range names {
		if latest := m.pyenvLatest(root, name); latest != "" {
			return path.Join(root, "versions", latest)
		}
	}
	return ""
}

var preRelease = pattern.New(`(?i)(a|b|rc|dev|-src|-latest|-stackless)[0-9]*$`)

// pyenvLatest returns the newest installed version that begins with prefix and a dot.
func (m machine) pyenvLatest(root, prefix string) string {
	entries, _ := m.view.ReadDir(path.Join(root, "versions"))
	var match []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix+".") && !preRelease.MatchString(e.Name()) {
			match = append(match, e.Name())
		}
	}
	if len(match) == 0 {
		return ""
	}
	sort.Slice(match, func(i, j int) bool { return versionLess(match[i], match[j]) })
	return match[len(match)-1]
}

// versionLess compares dotted numbers; what is no number compares as text.
func versionLess(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(as) && i < len(bs); i++ {
		if as[i] == bs[i] {
			continue
		}
		x, errx := strconv.Atoi(as[i])
		y, erry := strconv.Atoi(bs[i])
		if errx == nil && erry == nil {
			return x < y
		}
		return as[i] < bs[i]
	}
	return len(as) < len(bs)
}

// lookupWithout looks command up on the PATH without one directory.
func (m machine) lookupWithout(command, skip string) string {
	for _, dir := range strings.Split(m.opt.Env["PATH"], ":") {
		dir = m.absolute(dir)
		if p := path.Join(dir, command); dir != skip && m.isExecutable(p) {
			return p
		}
	}
	return ""
}
