package imports

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

// A Lacking is the program of a command that is in no directory of PATH: execvp(3) ends with ENOENT, the container with 127.
type Lacking struct {
	Name string   `json:"name"`
	Path []string `json:"path"` // the directories of PATH
	// Dist is the directory of metadata that has a console script of the name, "" for none: its file lies beside the
	// interpreter of the environment, which stays on the host.
	Dist   string   `json:"dist,omitempty"`
	Value  string   `json:"value,omitempty"`  // of that entry point: MODULE:OBJECT
	Python string   `json:"python,omitempty"` // word or path that starts the container's interpreter
	Args   []string `json:"args,omitempty"`   // of the interpreter: what starts the same program
}

// lacking tells of the program that a command lacks, and looks for it among the console scripts that are installed.
func (s *scanner) lacking(a *argv) *Lacking {
	l := &Lacking{Name: a.lacking, Path: a.path}
	for _, dir := range a.path {
		s.loader.read.add(path.Join(absolute(a.cwd, dir), l.Name), "")
	}
	if pythonWord.MatchString(l.Name) {
		if a.lookup("python3") != "" {
			l.Python = "python3"
		}
		return l
	}
	for _, entry := range s.site("").path {
		for _, dist := range s.metadata(entry) {
			b, err := s.view.ReadFile(path.Join(entry, dist, "entry_points.txt"), maxPth)
			if err != nil {
				continue
			}
			for _, e := range entryPoints(string(b), "console_scripts") {
				if e[0] == l.Name {
					l.Dist, l.Value = path.Join(entry, dist), e[1]
					l.Python, l.Args = s.r.Python.Executable, s.instead(e[1])
					if a.lookup("python3") != "" {
						l.Python = "python3"
					}
					return l
				}
			}
		}
	}
	return l
}

// guard is what makes a module a program.
var guard = pattern.New(`(?m)^if __name__ == ['"]__main__['"]`)

// instead says how the interpreter starts the object of an entry point: by -m, if its module is made for that, or by what
// the console script does itself (packaging.python.org, "Entry points specification").
func (s *scanner) instead(value string) []string {
	value, _, _ = strings.Cut(value, "[") // extras
	module, object, _ := strings.Cut(strings.TrimSpace(value), ":")
	module, object = strings.TrimSpace(module), strings.TrimSpace(object)
	if !isModuleName(module) || !isModuleName(object) {
		return nil
	}
	for _, entry := range s.site("").path {
		base := path.Join(entry, strings.ReplaceAll(module, ".", "/"))
		if s.view.Exists(base + "/__main__.py") {
			return []string{"-m", module}
		}
		if b, err := s.view.ReadFile(base+".py", maxSource); err == nil && guard.MatchString(string(b)) {
			return []string{"-m", module}
		}
	}
	first, _, _ := strings.Cut(object, ".")
	return []string{"-c", fmt.Sprintf("import sys; from %s import %s; sys.exit(%s())", module, first, object)}
}

func (l *Lacking) finding() finding.Finding {
	f := finding.Finding{ID: finding.CommandMissing, Severity: finding.Error, Subject: l.Name, Got: "no file " + l.Name + " in " + cmp.Or(strings.Join(l.Path, ":"), "an empty PATH"),
		Want: "a program of that name on the container's PATH", Message: fmt.Sprintf("command %q: not found in the container", l.Name),
		Remedy: "install it into the image, mount it under volumes:, or correct command:"}
	if l.Dist == "" {
		if l.Python != "" {
			f.Remedy = "replace it under command: by " + l.Python
		}
		return f
	}
	f.ID = finding.CommandOnHost
	name, _, _ := strings.Cut(path.Base(l.Dist), "-")
	f.Message += fmt.Sprintf("; it is a console script of %s (%s), which lies beside the host's interpreter and not among its packages", name, l.Value)
	if len(l.Args) > 0 {
		f.Remedy = fmt.Sprintf("replace it under command: by %s, %s", l.Python, l.words())
	}
	return f
}

// words are the arguments as elements of a list in YAML.
func (l *Lacking) words() string {
	words := strings.Join(l.Args, ", ")
	if l.Args[0] == "-c" {
		words = fmt.Sprintf("-c, %q", l.Args[1])
	}
	return words
}
