package host

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// A choice is the interpreter that the profile means.
type choice struct {
	Executable string   // absolute, not resolved
	Pyenv      string   // root of the pyenv that chose it, "" otherwise
	Why        []string // files and variables that decided, in order, for messages
}

// absolute takes p from the caller's directory.
func (m machine) absolute(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join("/", m.opt.Dir, p)
}

// isExecutable says whether a shell would start p: a regular file with an x bit, links followed. Which x bit is the
// kernel's affair; the caller's rights are those of the user that runs hostrun.
func (m machine) isExecutable(p string) bool {
	fi, err := m.view.Stat(p)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}

// choose finds the interpreter. A finding of severity error means that there is none.
func (m machine) choose(need string) (choice, []finding.Finding) {
	if need == "auto" {
		return m.chooseFromPath()
	}
	p := m.absolute(need)
	if m.view.IsDir(p) {
		return m.chooseInDir(p)
	}
	if m.isShim(p) {
		return m.pyenvWhich(p, path.Base(p))
	}
	if _, err := m.view.Lstat(p); err != nil {
		return choice{}, []finding.Finding{noInterpreter(p, err.Error(), "no Python interpreter at "+p)}
	}
	return choice{Executable: p, Why: []string{"python: " + need}}, nil
}

// chooseInDir takes a path to an environment's directory.
func (m machine) chooseInDir(dir string) (choice, []finding.Finding) {
	for _, name := range []string{"python3", "python"} {
		p := path.Join(dir, "bin", name)
		if _, err := m.view.Lstat(p); err == nil {
			return choice{Executable: p, Why: []string{"python: " + dir}}, nil
		}
	}
	if m.view.Exists(dir + "/pyvenv.cfg") {
		return choice{}, []finding.Finding{brokenVenv(dir, "no bin/python3 in "+dir)}
	}
	return choice{}, []finding.Finding{noInterpreter(dir, "no bin/python3 in it", dir+" is no Python environment")}
}

// chooseFromPath looks python3 up as a shell does: the first executable regular file of that name on PATH; an empty
// element is the current directory (POSIX, XBD 8.3). A dangling link is skipped by a shell; in a virtual environment
// it is an error, because the shell would go on to another Python without a word.
func (m machine) chooseFromPath() (choice, []finding.Finding) {
	for _, dir := range strings.Split(m.opt.Env["PATH"], ":") {
		p := path.Join(m.absolute(dir), "python3")
		if m.isShim(p) {
			return m.pyenvWhich(p, "python3")
		}
		if m.isExecutable(p) {
			return choice{Executable: p, Why: []string{"PATH"}}, m.disagreements(p)
		}
		if said := m.danglingInVenv(p); said != nil {
			return choice{}, said
		}
	}
	got := "PATH=" + m.opt.Env["PATH"]
	return choice{}, []finding.Finding{noInterpreter("python: auto", got, "no python3 on the PATH")}
}

func (m machine) danglingInVenv(p string) []finding.Finding {
	_, err := m.view.Resolve(p)
	if !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, lerr := m.view.Lstat(p); lerr != nil {
		return nil
	}
	venv := path.Dir(path.Dir(p))
	if !m.view.Exists(venv+"/pyvenv.cfg") && venv != m.opt.Env["VIRTUAL_ENV"] {
		return nil
	}
	return []finding.Finding{brokenVenv(venv, err.Error())}
}

// disagreements tells of an environment that is active by its variable and not on the PATH: pip and the prompt say
// one thing, python3 another.
func (m machine) disagreements(executable string) []finding.Finding {
	var said []finding.Finding
	for _, name := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		prefix := m.opt.Env[name]
		if prefix == "" || m.sameDir(path.Dir(executable), path.Join(prefix, "bin")) {
			continue
		}
		if name == "CONDA_PREFIX" && m.opt.Env["VIRTUAL_ENV"] != "" {
			continue // a venv made by a conda Python is on top of it, by intent
		}
		said = append(said, finding.Finding{ID: finding.PythonInactive, Severity: finding.Info, Subject: name,
			Got: executable + " is first on the PATH", Want: prefix + "/bin/python3, by " + name,
			Message: name + " names another environment than the PATH; the PATH counts",
			Remedy:  "activate the environment again, or name it: python: " + prefix})
	}
	return said
}

func (m machine) sameDir(a, b string) bool {
	ra, erra := m.view.Resolve(a)
	rb, errb := m.view.Resolve(b)
	return erra == nil && errb == nil && ra.Path == rb.Path
}

func noInterpreter(subject, got, message string) finding.Finding {
	return finding.Finding{ID: finding.PythonMissingHost, Severity: finding.Error, Subject: subject, Got: got,
		Want: "a Python interpreter", Message: message,
		Remedy: "activate the environment first, or name it in the profile: python: /path/to/venv/bin/python3"}
}

func brokenVenv(venv, got string) finding.Finding {
	return finding.Finding{ID: finding.PythonBrokenVenv, Severity: finding.Error, Subject: venv, Got: got,
		Want:    "the interpreter that the environment was made from",
		Message: "the virtual environment " + venv + " has lost its interpreter",
		Remedy:  "make it again: python3 -m venv --clear " + venv + ", and install the packages into it"}
}
