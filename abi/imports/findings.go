package imports

import (
	"fmt"
	"path"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// Findings says what a person should know before the command starts. gpu says that the profile asks for an accelerator of
// NVIDIA's.
func (r Report) Findings(gpu bool) []finding.Finding {
	var all []finding.Finding
	if r.Lacking != nil {
		all = append(all, r.Lacking.finding())
	}
	for _, file := range r.Blocking {
		if file == preload {
			all = append(all, finding.Finding{ID: finding.PreloadBlocks, Severity: finding.Error, Subject: file, Got: "a named pipe", Want: "a regular file",
				Message: file + " is a named pipe: the loader opens it before each program, and waits for who writes to it, without a word",
				Remedy:  "remove it from the image, or from what is mounted there"})
			continue
		}
		all = append(all, finding.Finding{ID: finding.PthBlocks, Severity: finding.Error, Subject: file, Got: "a named pipe", Want: "a regular file",
			Message: fmt.Sprintf("%s is a named pipe: Python opens it at its start, and waits for who writes to it, without a word", file),
			Remedy:  "remove it from the site directory"})
	}
	all = append(all, r.missings()...)
	all = append(all, r.shadowed()...)
	for _, l := range r.Lost {
		all = append(all, l.finding(r))
	}
	for _, d := range r.Duplicates {
		all = append(all, finding.Finding{ID: finding.DuplicateDist, Severity: finding.Warning, Subject: d.Name,
			Got: strings.Join(d.Dirs, ", "), Want: "one directory of metadata",
			Message: fmt.Sprintf("the distribution %s is there %d times in one directory: what importlib.metadata says of it is chance", d.Name, len(d.Dirs)),
			Remedy:  "remove all of them and install it again: pip uninstall " + d.Name + ", until it is gone"})
	}
	for _, a := range r.Autoloads {
		all = append(all, finding.Finding{ID: finding.Autoloaded, Severity: finding.Info, Subject: a.Name, Got: a.Dist + ": " + a.Name + " = " + a.Value,
			Message: fmt.Sprintf("import torch loads %s by itself (entry point of group %s); what it imports is not checked", a.Value, a.Group),
			Remedy:  "TORCH_DEVICE_BACKEND_AUTOLOAD=0 under environment: keeps it out"})
	}
	if gpu && r.TorchCUDA == "none" {
		all = append(all, finding.Finding{ID: finding.TorchCPUOnly, Severity: finding.Warning, Subject: "torch", Got: "torch/version.py: cuda = None", Want: "a build for CUDA",
			Message: "the profile asks for a GPU, and this torch is built without CUDA: torch.cuda.is_available() is False",
			Remedy:  "install a build of torch with CUDA into the environment"})
	}
	return append(all, r.unchecked()...)
}

// missings tells of each module once, by the first place that ends the command for want of it.
func (r Report) missings() []finding.Finding {
	var all []finding.Finding
	first := map[string]int{} // name -> index of all
	places := map[string]int{}
	for _, m := range r.Missing {
		if !m.fatal() || m.File != "" { // what the loader refuses is told by who asked it
			continue
		}
		if _, told := first[m.Name]; !told {
			first[m.Name] = len(all)
			all = append(all, r.missing(m))
		}
		places[m.Name]++
	}
	for name, n := range places {
		if n > 1 {
			all[first[name]].Got += fmt.Sprintf("; %d more places import it", n-1)
		}
	}
	return all
}

// missing is the finding of an import that ends the command.
func (r Report) missing(m Missing) finding.Finding {
	f := finding.Finding{ID: finding.ModuleMissing, Severity: finding.Error, Subject: m.Name, Message: m.text(), Got: m.chain(),
		Want: "a module " + m.Name + " in a directory of sys.path", Remedy: "install the package that has it into the host's environment or the image"}
	switch lost := r.lostModule(m.Name); {
	case lost != nil:
		f.ID, f.Remedy = lost.id(), "mount it at the same path under volumes: \""+lost.Target+":"+lost.Target+":ro\""
	case m.Stdlib:
		f.ID, f.Want = finding.StandardMissing, "the whole standard library in the image"
		f.Remedy = "install it into the image: Debian has the whole in python3 (not python3-minimal) and in packages as python3-tk, python3-dbm; or use an image of python"
	case m.Error == "":
		f.Remedy = "correct command:"
	}
	if minor, gone := removed[topOf(m.Name)]; gone && !m.Stdlib && f.ID == finding.ModuleMissing {
		f.Got += fmt.Sprintf("; the standard library had it before Python 3.%d", minor)
	}
	return f
}

func topOf(name string) string {
	top, _, _ := strings.Cut(name, ".")
	return top
}

// text is what Python prints.
func (m Missing) text() string {
	switch {
	case m.Raised:
		return m.Error + ": " + m.Message + "; what catches it raises another exception"
	case m.Error != "":
		return m.Error + ": " + m.Message
	}
	return m.Message
}

// chain says how the command comes to an import, at most the first and the last three places.
func (m Missing) chain() string {
	var steps []string
	for i, at := range m.Chain {
		if i > 0 && i < len(m.Chain)-3 {
			if i == 1 {
				steps = append(steps, "...")
			}
			continue
		}
		steps = append(steps, at.String())
	}
	return strings.Join(steps, " -> ")
}

// String gives the place as file:line.
func (a At) String() string {
	if a.File == "" {
		return a.Module
	}
	return fmt.Sprintf("%s:%d", a.File, a.Line)
}

func (r Report) lostModule(name string) *Lost {
	for i := range r.Lost {
		if l := &r.Lost[i]; l.Kind != "pth" && topOf(l.Name) == topOf(name) {
			return l
		}
	}
	return nil
}

func (l Lost) id() string {
	if l.Kind == "link" {
		return finding.LinkOutside
	}
	return finding.EditableOutside
}

// finding of a place that is not there; it stops nothing by itself.
func (l Lost) finding(Report) finding.Finding {
	f := finding.Finding{ID: l.id(), Severity: finding.Warning, Subject: l.Name, Got: l.File + " leads to " + l.Target, Want: "a path of the container",
		Remedy: "mount it at the same path under volumes: \"" + l.Target + ":" + l.Target + ":ro\""}
	switch l.Kind {
	case "editable":
		f.Message = fmt.Sprintf("the editable install of %s takes it from %s, which is not there", l.Name, l.Target)
	case "link":
		f.Message = fmt.Sprintf("%s is a link to %s, which is not there", l.File, l.Target)
	default:
		f.Message = fmt.Sprintf("%s:%d adds %s, which is not there: Python skips it without a word", l.File, l.Line, l.Target)
	}
	return f
}

func (r Report) shadowed() []finding.Finding {
	var all []finding.Finding
	for _, s := range r.Shadowed {
		if s.Name == "distutils" && strings.HasSuffix(path.Dir(s.File), "/setuptools/_distutils") {
			continue // so setuptools wants it (setuptools/_distutils_hack)
		}
		f := finding.Finding{ID: finding.ModuleShadowed, Severity: finding.Info, Subject: s.Name, Got: s.File, Want: strings.Join(s.Hidden, ", "),
			Message: fmt.Sprintf("import %s takes %s, which hides %s", s.Name, s.File, s.Hidden[0]), Remedy: "choose with python.precedence, or remove one of them"}
		if s.Local || s.Stdlib {
			f.Severity = finding.Warning
			f.Remedy = "rename " + s.File + ", or start with -P (Python 3.11) or PYTHONSAFEPATH=1"
		}
		all = append(all, f)
	}
	return all
}

// unchecked sums up in one finding what files do not tell.
func (r Report) unchecked() []finding.Finding {
	counts := map[string]int{}
	var order []string
	for _, n := range r.NotChecked {
		if n.Reach == Deferred {
			continue
		}
		if counts[n.What] == 0 {
			order = append(order, n.What)
		}
		counts[n.What]++
	}
	if len(order) == 0 {
		return nil
	}
	var parts []string
	for _, what := range order {
		parts = append(parts, fmt.Sprintf("%s: %d", what, counts[what]))
	}
	message := fmt.Sprintf("%d modules were followed; what computed names, native code and hooks import is not checked (%s)", r.Counts.Modules, strings.Join(parts, ", "))
	if len(r.Modules) == 0 {
		message = "no import was followed: the command runs no Python that files tell of"
	}
	return []finding.Finding{{ID: finding.ImportsUnchecked, Severity: finding.Info, Subject: "imports", Got: strings.Join(parts, ", "), Message: message}}
}
