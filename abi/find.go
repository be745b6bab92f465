package abi

import (
	"errors"
	"io/fs"
	"path"
	"sort"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

// usualPlaces are directories with interpreters that images often leave off their PATH.
var usualPlaces = []string{
	"/usr/local/bin", "/usr/bin", "/opt/conda/bin", "/opt/venv/bin", "/venv/bin", "/.venv/bin", "/app/.venv/bin",
	"/opt/python/bin", "/opt/pypy/bin", "/usr/lib/pypy3/bin", "/usr/lib/pypy3.9/bin", "/usr/lib/pypy3.10/bin", "/usr/lib/pypy3.11/bin",
}

// interpreterName matches the names under which interpreters are installed; python3-config is none.
var interpreterName = pattern.New(`^(python(3(\.\d+)?[dmtu]*)?|pypy(3(\.\d+)?)?)$`)

// FindPythons returns every interpreter of the view: on env.Path first, in its order, then in the usual places. Two
// names of one file give one entry, the first. Findings tell of interpreters that could not be read.
func FindPythons(view *rootfs.View, env Environment) ([]Python, []finding.Finding) {
	type identity struct{ real, venv string }
	seen := map[identity]bool{}
	var pythons []Python
	var findings []finding.Finding
	for _, file := range candidates(view, env) {
		if r, err := view.Resolve(file); err == nil && seen[identity{r.Path, venvAt(view, file)}] {
			continue
		}
		p, err := DetectPython(view, file, env)
		if err != nil {
			findings = append(findings, unreadable(file, err)...)
			continue
		}
		id := identity{p.Real, ""}
		if p.Venv != nil {
			id.venv = p.Venv.Dir
		}
		if !seen[id] {
			seen[id] = true
			pythons = append(pythons, p)
		}
	}
	if len(pythons) > 0 { // another interpreter is there: the start may go on
		for i := range findings {
			findings[i].Severity = finding.Warning
		}
	}
	return pythons, findings
}

// candidates lists the files with an interpreter's name, in the order of the directories; python3 first in each.
func candidates(view *rootfs.View, env Environment) []string {
	var files []string
	seen := map[string]bool{}
	for _, dir := range append(append([]string{}, searchPath(env)...), usualPlaces...) {
		r, err := view.Resolve(path.Join("/", dir))
		if err != nil || dir == "" || seen[r.Path] {
			continue
		}
		seen[r.Path] = true
		entries, err := view.ReadDir(r.Path)
		if err != nil {
			continue
		}
		var names []string
		for _, e := range entries {
			if interpreterName.MatchString(e.Name()) && !e.IsDir() {
				names = append(names, e.Name())
			}
		}
		sort.SliceStable(names, func(i, j int) bool { return nameRank(names[i]) < nameRank(names[j]) })
		for _, name := range names {
			files = append(files, path.Join("/", dir, name))
		}
	}
	return files
}

func nameRank(name string) int {
	switch name {
	case "python3":
		return 0
	case "python":
		return 1
	}
	if name[:2] == "py" && len(name) > 4 && name[:4] == "pypy" {
		return 3
	}
	return 2
}

// venvAt returns the virtual environment that a start of file would be in, "" for none.
func venvAt(view *rootfs.View, file string) string {
	d := detector{view: view}
	d.Evidence = map[string]string{}
	if err := d.readVenv(file); err != nil || d.Venv == nil {
		return ""
	}
	return d.Venv.Dir
}

// unreadable tells why a file with an interpreter's name gave none. Scripts are no finding: wrappers are common.
func unreadable(file string, err error) []finding.Finding {
	f := finding.Finding{ID: finding.PythonMissingImage, Severity: finding.Error, Subject: file, Got: err.Error(),
		Want: "an interpreter of Python 3.6 or later"}
	var not *NotPythonError
	var broken *BrokenVenvError
	switch {
	case errors.As(err, &not) && not.Script != "":
		return nil
	case errors.As(err, &not):
		f.Message = not.Error()
		f.Remedy = "use an image with Python 3.6 or later, or name another interpreter's path in command:"
	case errors.As(err, &broken):
		f.ID, f.Message = finding.PythonBrokenVenv, broken.Error()
		f.Remedy = "make the environment again in the image, with the interpreter that is there now"
	case errors.Is(err, fs.ErrNotExist):
		f.Message = file + " is a link that leads nowhere: " + err.Error()
		f.Remedy = "install the interpreter that it names into the image, or name another one's path in command:"
	default:
		f.Message = file + " can't be read: " + err.Error()
		f.Remedy = "rebuild or pull the image again; the file is damaged or of an unknown form"
	}
	return []finding.Finding{f}
}
