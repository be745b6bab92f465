package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/pattern"
)

// interpreterWord matches the last element of a word that names a Python.
var interpreterWord = pattern.New(`^(?:python|pypy)([0-9]*)(?:\.([0-9]+))?[dmtu]*$`)

// words splits a command for the search of an interpreter: what a shell gets as -c SCRIPT is split too. It is no shell:
// it knows quotes and separators, and expands nothing.
func words(args []string) []string {
	var all []string
	for i, a := range args {
		if i > 0 && isShellFlag(args[i-1]) && slices.ContainsFunc(args[:i], isShell) {
			all = append(all, splitScript(a)...)
			continue
		}
		all = append(all, a)
	}
	return all
}

func isShell(word string) bool {
	switch path.Base(word) {
	case "sh", "bash", "dash", "ash", "zsh", "ksh":
		return true
	}
	return false
}

// isShellFlag: -c, -lc, -exc ...
func isShellFlag(word string) bool {
	return len(word) > 1 && word[0] == '-' && word[1] != '-' && strings.HasSuffix(word, "c")
}

func splitScript(script string) []string {
	var all []string
	var word strings.Builder
	quote := rune(0)
	for _, r := range script {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case quote == 0 && strings.ContainsRune(" \t\n;&|()", r):
			if word.Len() > 0 {
				all = append(all, word.String())
				word.Reset()
			}
		default:
			word.WriteRune(r)
		}
	}
	if word.Len() > 0 {
		all = append(all, word.String())
	}
	return all
}

// pythonWords returns the words of a command that name a Python.
func pythonWords(args []string) []string {
	var found []string
	for _, w := range words(args) {
		if interpreterWord.MatchString(path.Base(w)) {
			found = append(found, w)
		}
	}
	return found
}

// choosePython settles which of the image's Pythons the command runs: the one that it names, wrappers (env, bash -c,
// numactl ...) passed over, else the first on PATH. A nil result comes with a finding.
func (b *builder) choosePython() *abi.Python {
	pythons := b.f.Image.Pythons
	if len(pythons) == 0 {
		b.noPython()
		return nil
	}
	if named := pythonWords(b.args); len(named) > 0 {
		if p := b.findPython(named[0]); p != nil {
			return p
		}
		b.pythonNotFound(named[0])
		return nil
	}
	onPath := b.onPath()
	if len(onPath) > 0 {
		b.warnOfOthers(onPath)
		return onPath[0]
	}
	for i := range pythons[1:] {
		if !samePython(pythons[0], pythons[i+1]) {
			b.ambiguous(finding.Error, "none of them is on its PATH, and the command names none")
			return nil
		}
	}
	return &pythons[0]
}

// onPath returns the image's Pythons in the order in which PATH has them.
func (b *builder) onPath() []*abi.Python {
	var all []*abi.Python
	for _, dir := range b.searchPath() {
		for i := range b.f.Image.Pythons {
			p := &b.f.Image.Pythons[i]
			if b.real(path.Dir(p.Executable)) == b.real(dir) && dir != "" && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// findPython looks up a word of the command as execvp(3) would.
func (b *builder) findPython(word string) *abi.Python {
	if strings.Contains(word, "/") {
		return b.pythonAt(path.Join(b.spec.Process.Cwd, word), path.Join("/", word))
	}
	for _, p := range b.onPath() {
		if answersTo(p, word) {
			return p
		}
	}
	return nil
}

// pythonAt finds the Python of a file: by its own name first, as the name decides about the virtual environment, and
// two names of one file are listed once.
func (b *builder) pythonAt(names ...string) *abi.Python {
	for _, name := range names {
		for i := range b.f.Image.Pythons {
			if p := &b.f.Image.Pythons[i]; path.Clean(p.Executable) == name {
				return p
			}
		}
	}
	for _, name := range names {
		real := b.real(name)
		for i := range b.f.Image.Pythons {
			p := &b.f.Image.Pythons[i]
			if p.Venv != nil && path.Dir(p.Executable) == path.Dir(name) || p.Venv == nil && (p.Real == real || b.real(p.Executable) == real) {
				return p
			}
		}
	}
	return nil
}

// answersTo says whether a directory with interpreter p also has it under the name word.
func answersTo(p *abi.Python, word string) bool {
	if path.Base(p.Executable) == word {
		return true
	}
	m := interpreterWord.FindStringSubmatch(word)
	if m == nil || strings.HasPrefix(word, "pypy") != (p.Implementation == "pypy") && !strings.HasPrefix(word, "python") {
		return false
	}
	return (m[1] == "" || m[1] == itoa(p.Version.Major)) && (m[2] == "" || m[2] == itoa(p.Version.Minor))
}

func samePython(a, c abi.Python) bool {
	return a.Implementation == c.Implementation && a.Version == c.Version && a.SOABI == c.SOABI && a.Prefix == c.Prefix
}

func describe(p *abi.Python) string {
	return p.Executable + " (" + p.Version.String() + ")"
}

func (b *builder) pythonList() string {
	var all []string
	for i := range b.f.Image.Pythons {
		all = append(all, describe(&b.f.Image.Pythons[i]))
	}
	return strings.Join(all, ", ")
}

func (b *builder) noPython() {
	if b.has(finding.PythonMissingImage, finding.PythonBrokenVenv) {
		return
	}
	b.report("image", finding.Finding{
		ID: finding.PythonMissingImage, Severity: finding.Error, Subject: b.f.Image.Reference,
		Got: "no interpreter on PATH " + strings.Join(b.searchPath(), ":") + " or in the usual places", Want: "a Python that can import the host's packages",
		Message: "the image has no Python, and the profile borrows the host's Python packages",
		Remedy:  "use an image with Python, name the interpreter's path in command:, or set python: none",
	})
}

func (b *builder) pythonNotFound(word string) {
	f := finding.Finding{
		ID: finding.PythonMissingImage, Severity: finding.Error, Subject: word,
		Got:     "the image has " + b.pythonList(),
		Message: "the command runs " + word + ", and the image has no such interpreter",
		Remedy:  "name one that the image has: " + b.f.Image.Pythons[0].Executable,
	}
	if m, ok := b.coveredBy(path.Join("/", word)); ok && strings.HasPrefix(word, "/") {
		f.Message = fmt.Sprintf("the command runs %s, which comes from the mount at %s: no proof can be given for it", word, m.Destination)
	}
	b.report("command", f)
}

// warnOfOthers tells that the choice was made by PATH alone.
func (b *builder) warnOfOthers(onPath []*abi.Python) {
	for _, p := range onPath[1:] {
		if !samePython(*onPath[0], *p) {
			b.ambiguous(finding.Warning, "the command names none, and "+describe(onPath[0])+" is first on PATH")
			return
		}
	}
}

func (b *builder) ambiguous(severity finding.Severity, why string) {
	b.report("command", finding.Finding{
		ID: finding.PythonAmbiguous, Severity: severity, Subject: b.f.Image.Reference,
		Got: b.pythonList(), Want: "one Python, or a command that names one",
		Message: "the image has several Pythons: " + why,
		Remedy:  "name the interpreter by its path in command: or entrypoint:",
	})
}

// ignoresSite returns the flag of the command's Python that keeps site-packages away: -S (Python/initconfig.c,
// "import_site"), or "". With -I and -E site runs all the same.
func (b *builder) ignoresSite() string {
	all := words(b.args)
	at := slices.IndexFunc(all, func(w string) bool { return interpreterWord.MatchString(path.Base(w)) })
	if at < 0 {
		return ""
	}
	for i := at + 1; i < len(all); i++ {
		w := all[i]
		if len(w) < 2 || w[0] != '-' || w[1] == '-' {
			if w == "--check-hash-based-pycs" {
				i++
				continue
			}
			return ""
		}
		for j, c := range w[1:] {
			switch c {
			case 'S':
				return "-S"
			case 'c', 'm':
				return ""
			case 'W', 'X':
				if j == len(w)-2 {
					i++ // its value is the next word
				}
			}
			if c == 'W' || c == 'X' {
				break
			}
		}
	}
	return ""
}

// checkFlags tells of a flag that keeps the host's packages out, where the proof says that the command ends for want of one.
// Else it does no harm: a script need not import what the profile borrows, or may run site itself.
func (b *builder) checkFlags() {
	flag := b.ignoresSite()
	if flag == "" || b.f.Proof == nil {
		return
	}
	for _, f := range b.f.Proof.Findings {
		top, _, _ := strings.Cut(f.Subject, ".")
		if f.ID != finding.ModuleMissing || f.Severity != finding.Error || !b.hostHas(top) {
			continue
		}
		b.report("command", finding.Finding{
			ID: finding.PythonFlagIgnores, Severity: finding.Error, Subject: "command",
			Got: strings.Join(b.args, " "), Want: "a command without " + flag,
			Message: "python " + flag + " does not look into site directories, and the command imports " + top + ", which the host has there",
			Remedy:  "drop the flag " + flag,
		})
		return
	}
}

// hostHas says that a package of the host brings a top-level module.
func (b *builder) hostHas(top string) bool {
	return b.f.Host.Python != nil && slices.ContainsFunc(b.f.Host.Python.Packages, func(p host.Package) bool { return slices.Contains(p.TopLevel, top) })
}
