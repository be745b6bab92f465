package imports

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

// A Root is one program that the command runs.
type Root struct {
	Kind   string   `json:"kind"`            // "script", "module", "code", "interactive", "package" (of Request.Packages), "broken": does not start, Args[0] says why
	Target string   `json:"target"`          // path in the view, name of the module, or the code
	Flags  string   `json:"flags,omitempty"` // of the interpreter, one letter each: I, E, S, P, s
	Args   []string `json:"args,omitempty"`  // sys.argv[1:]
	Dir    string   `json:"dir,omitempty"`   // working directory, where a shell changes it before
	Via    string   `json:"via,omitempty"`   // the launcher that starts it: torchrun
	Doubt  string   `json:"doubt,omitempty"` // why it is not certain that it starts so, "" where it is: nothing of it is claimed to fail
}

var pythonWord = pattern.New(`^(python|pypy)[0-9.]*[dmtu]*$`)

// maxScript bounds what is read of a file to see whether it is a script of Python, in bytes.
const maxScript = 4 << 10

// maxEntrypoint bounds a shell script that is looked through for "$@": it ends in the command that follows it.
const maxEntrypoint = 256 << 10

// An argv is a command on its way to its programs.
type argv struct {
	view  *rootfs.View
	cwd   string
	began string   // the working directory before all
	path  []string // PATH
	roots []Root
	not   []NotChecked
	deep  int
	doubt string // of the programs from here on

	inShell bool // words are a shell's, which puts things into them
	loose   bool // behind a wrapper that may do something else than to run them
	lacking string
}

// understand finds the programs of Python in a command: behind wrappers and launchers, in the script of a shell.
func understand(view *rootfs.View, r Request) ([]Root, []NotChecked) {
	a := takeApart(view, r)
	return a.roots, a.not
}

func takeApart(view *rootfs.View, r Request) *argv {
	a := &argv{view: view, cwd: r.WorkingDir, began: r.WorkingDir, path: strings.Split(r.Env["PATH"], ":")}
	if len(r.Command) > 0 {
		a.command(r.Command)
	}
	return a
}

func (a *argv) skip(name, why string) {
	a.not = append(a.not, NotChecked{What: "command", Name: strings.ReplaceAll(name, unknownWord, "$"), Why: why, Reach: Required})
}

// command takes one command apart.
func (a *argv) command(words []string) {
	if a.deep++; a.deep > 20 || len(words) == 0 {
		return
	}
	name := path.Base(words[0])
	switch {
	case pythonWord.MatchString(name):
		if !a.lacksPython(words[0]) {
			a.python(words[1:], "")
		}
	case isShell(name):
		a.shell(words[1:])
	case name == "env":
		a.heed(words[1:])
		a.command(afterEnv(words[1:]))
	case name == "chroot" || name == "sudo":
		a.doubts(name + " changes what the program finds")
		a.command(afterOptions(words[1:], wrappers[name]))
	case wrappers[name] != nil:
		a.loose = a.loose || !wrappers[name].sure
		a.command(afterOptions(words[1:], wrappers[name]))
	default:
		a.program(words)
	}
}

// lacksPython notes an interpreter by a name that is nowhere on PATH: Debian's python3 brings no python.
func (a *argv) lacksPython(word string) bool {
	if strings.Contains(word, "/") || a.inShell || a.loose || a.doubt != "" || strings.Join(a.path, "") == "" || a.lookup(word) != "" {
		return false
	}
	a.skip(word, "it was not found on PATH")
	a.lacking = word
	return true
}

// wrappers run the command behind their options: which of these take a value, and how many words of their own follow.
var wrappers = map[string]*wrapper{
	"exec": {values: []string{"-a"}}, "nohup": {sure: true}, "time": {sure: true}, "command": {}, "setsid": {sure: true}, "catchsegv": {}, "fakeroot": {}, "stdbuf": {sure: true, values: []string{"-i", "-o", "-e"}},
	"nice": {sure: true, values: []string{"-n"}}, "ionice": {sure: true, values: []string{"-c", "-n", "-p"}}, "timeout": {sure: true, values: []string{"-s", "-k"}, own: 1},
	"tini": {sure: true, values: []string{"-p", "-e"}}, "dumb-init": {sure: true, values: []string{"-r"}}, "catatonit": {sure: true}, "chrt": {sure: true, own: 1}, "taskset": {sure: true, own: 1},
	"numactl": {sure: true, values: []string{"-m", "-N", "-C", "-i", "-p"}}, "gosu": {own: 1}, "su-exec": {own: 1}, "xvfb-run": {values: []string{"-s", "-n", "-e", "-f", "-p"}},
	"strace": {values: []string{"-e", "-o", "-s", "-p"}}, "sudo": {values: []string{"-u", "-g"}}, "chroot": {own: 1}, "docker-entrypoint.sh": {},
}

type wrapper struct {
	values []string
	own    int
	sure   bool // it ends with an error where the program is not found on PATH
}

func afterOptions(words []string, w *wrapper) []string {
	for len(words) > 0 && strings.HasPrefix(words[0], "-") && words[0] != "-" {
		switch {
		case words[0] == "--":
			return words[min(1+w.own, len(words)):]
		case slices.Contains(w.values, words[0]):
			words = words[min(2, len(words)):]
		default:
			words = words[1:]
		}
	}
	return words[min(w.own, len(words)):]
}

func afterEnv(words []string) []string {
	for len(words) > 0 {
		switch w := words[0]; {
		case w == "-u" || w == "--unset" || w == "-C":
			words = words[min(2, len(words)):]
		case w == "-S":
			return append(wordsOf(strings.Join(words[1:min(2, len(words))], " ")), words[min(2, len(words)):]...)
		case strings.HasPrefix(w, "-"), isAssignment(w):
			words = words[1:]
		default:
			return words
		}
	}
	return nil
}

func isAssignment(w string) bool {
	name, _, ok := strings.Cut(w, "=")
	return ok && isModuleName(name) && !strings.Contains(name, ".")
}

// python reads an interpreter's own options (Modules/main.c, "usage").
func (a *argv) python(words []string, flags string) {
	for len(words) > 0 {
		w := words[0]
		if len(w) < 2 || w[0] != '-' {
			break
		}
		if strings.HasPrefix(w, "--") {
			words = words[1:]
			if w == "--check-hash-based-pycs" {
				words = words[min(1, len(words)):]
			}
			continue
		}
		letters := w[1:]
		words = words[1:]
		for i := 0; i < len(letters); i++ {
			switch c := letters[i]; c {
			case 'c', 'm', 'W', 'X':
				value := letters[i+1:]
				if value == "" && len(words) > 0 {
					value, words = words[0], words[1:]
				}
				if c == 'c' {
					a.add(Root{Kind: "code", Target: value, Flags: flags, Args: words})
					return
				}
				if c == 'm' {
					a.add(Root{Kind: "module", Target: value, Flags: flags, Args: words})
					a.launched(value, words)
					a.serves(value, words)
					return
				}
				i = len(letters)
			case 'I', 'E', 'S', 'P', 's':
				flags += string(c)
			case 'h', 'V', '?':
				return
			case ' ':
				// Of a script's first line, which the kernel hands over as one word.
				a.add(Root{Kind: "broken", Target: strings.Join(words[:min(1, len(words))], ""), Args: []string{"Unknown option: - "}})
				return
			}
		}
	}
	if len(words) == 0 || words[0] == "-" {
		a.add(Root{Kind: "interactive", Flags: flags})
		a.skip("python", "what is typed or piped into the interpreter is not known")
		return
	}
	a.add(Root{Kind: "script", Target: absolute(a.cwd, words[0]), Flags: flags, Args: words[1:]})
}

func (a *argv) add(r Root) {
	if strings.Contains(r.Target, unknownWord) {
		a.skip("sh", "what the shell puts into the command is not known")
		return
	}
	if r.Doubt = a.doubt; a.doubt != "" {
		a.skip(r.Target, a.doubt+": what fails in it is not claimed")
	}
	a.roots = append(a.roots, a.placed(r))
}

// placed notes where a program runs, if a cd came before.
func (a *argv) placed(r Root) Root {
	if a.cwd != a.began {
		r.Dir = a.cwd
	}
	return r
}

// doubts makes what follows uncertain.
func (a *argv) doubts(why string) {
	if a.doubt == "" {
		a.doubt = why
	}
}

// heed looks at the options and assignments of env.
func (a *argv) heed(words []string) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		unset, long := strings.CutPrefix(w, "--unset=")
		switch {
		case long:
			a.assigned(unset)
		case (w == "-u" || w == "--unset") && i+1 < len(words):
			i++
			a.assigned(words[i])
		case isAssignment(w):
			a.assigned(w)
		case w == "-i" || w == "-" || w == "-C" || strings.HasPrefix(w, "--chdir"):
			a.doubts("env " + w + " changes what the program finds")
		case !strings.HasPrefix(w, "-"):
			return
		}
	}
}

// assigned takes NAME=VALUE.
func (a *argv) assigned(w string) {
	name, _, _ := strings.Cut(w, "=")
	if name == "PATH" || name == "VIRTUAL_ENV" || name == "GLIBC_TUNABLES" || strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "PYTHON") || strings.HasPrefix(name, "CONDA") {
		a.doubts(name + " is set before it")
	}
}

// launchers start a further Python with the script or module that their arguments name.
var launchers = []string{"torchrun", "torch.distributed.run", "torch.distributed.launch", "accelerate", "accelerate.commands.launch", "deepspeed", "deepspeed.launcher.runner",
	"horovodrun", "mpirun", "mpiexec", "srun", "coverage", "ipython", "kernprof", "debugpy", "cProfile", "pdb", "trace", "runpy", "nsys", "ncu", "py-spy", "viztracer", "memray", "lightning"}

// launched finds the program that a launcher starts: the first argument that is a script's name, or what follows -m.
func (a *argv) launched(launcher string, args []string) {
	if !slices.Contains(launchers, launcher) {
		return
	}
	for i, w := range args {
		switch {
		case strings.HasSuffix(w, ".py"):
			a.add(Root{Kind: "script", Target: absolute(a.cwd, w), Args: args[i+1:], Via: launcher})
			return
		case (w == "-m" || w == "--module") && i+1 < len(args):
			a.add(Root{Kind: "module", Target: args[i+1], Args: args[i+2:], Via: launcher})
			return
		case pythonWord.MatchString(path.Base(w)):
			a.python(args[i+1:], "")
			return
		}
	}
	a.skip(launcher, "the program that "+launcher+" starts was not found among its arguments")
}

// servers import the application that one of their arguments names as MODULE:ATTRIBUTE, from the working directory.
var servers = []string{"uvicorn", "gunicorn", "hypercorn", "granian", "daphne", "waitress-serve", "serve", "litserve", "bentoml"}

var application = pattern.New(`^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*(\(.*\))?$`)

// serves finds the application of a server. What fails in it is the server's to tell, in words of its own.
func (a *argv) serves(server string, args []string) {
	if !slices.Contains(servers, server) {
		return
	}
	for _, w := range args {
		if module, _, _ := strings.Cut(w, ":"); application.MatchString(w) && isModuleName(module) {
			r := Root{Kind: "code", Target: "import " + module, Via: server, Doubt: server + " imports it, and catches what fails"}
			if a.doubt != "" {
				r.Doubt = a.doubt
			}
			a.roots = append(a.roots, a.placed(r))
			return
		}
	}
	a.skip(server, "the application that "+server+" serves was not found among its arguments")
}

// program looks at a file that is no Python by its name: a console script, or something else.
func (a *argv) program(words []string) {
	file := a.lookup(words[0])
	if file == "" {
		a.skip(words[0], "it was not found on PATH")
		if !strings.Contains(words[0], "/") && !a.inShell && !a.loose && a.doubt == "" {
			a.lacking = words[0]
		}
		a.launched(path.Base(words[0]), words[1:])
		return
	}
	interpreter := a.shebang(file)
	if len(interpreter) == 0 {
		if slices.Contains(launchers, path.Base(file)) {
			a.launched(path.Base(file), words[1:])
			return
		}
		a.skip(file, "it is no script of Python")
		return
	}
	if at := interpreter[0]; path.IsAbs(at) && !a.view.Exists(at) { // execve(2): ENOENT, and the shell and runc name the script
		a.add(Root{Kind: "broken", Target: file, Args: []string{fmt.Sprintf("exec %s: no such file or directory (its first line asks for %q)", file, at)}})
		return
	}
	if path.Base(interpreter[0]) == "env" {
		words := interpreter[1:]
		if len(words) == 1 && !strings.HasPrefix(words[0], "-") && strings.ContainsAny(words[0], " \t") {
			a.skip(file, "env is asked for a program whose name has blanks")
			return
		}
		interpreter = afterEnv(splitString(words))
	}
	switch {
	case len(interpreter) > 0 && isShell(path.Base(interpreter[0])):
		a.scriptFile(file, words[1:])
		return
	case len(interpreter) == 0 || !pythonWord.MatchString(path.Base(interpreter[0])):
		a.skip(file, "it is no script of Python")
		return
	}
	a.python(append(append(slices.Clone(interpreter[1:]), file), words[1:]...), "")
	a.launched(path.Base(file), words[1:])
	a.serves(path.Base(file), words[1:])
}

// lookup is execvp(3)'s search.
func (a *argv) lookup(word string) string {
	if strings.Contains(word, "/") {
		return a.regular(absolute(a.cwd, word))
	}
	for _, dir := range a.path {
		if file := a.regular(path.Join(absolute(a.cwd, dir), word)); file != "" {
			return file
		}
	}
	return ""
}

func (a *argv) regular(p string) string {
	if fi, err := a.view.Stat(p); err != nil || !fi.Mode().IsRegular() {
		return ""
	}
	return p
}

// shebang returns the words of a script's first line. The form that pip writes for long paths is known too:
// #!/bin/sh and ”'exec' /path/python "$0" "$@".
func (a *argv) shebang(file string) []string {
	f, err := a.view.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, maxScript)
	n, _ := f.Read(b)
	first, rest, _ := strings.Cut(string(b[:n]), "\n")
	line, ok := strings.CutPrefix(first, "#!")
	if !ok {
		return nil
	}
	second, _, _ := strings.Cut(rest, "\n")
	if long, ok := strings.CutPrefix(second, "'''exec' "); ok {
		if words := wordsOf(long); len(words) > 0 {
			return words[:1]
		}
	}
	line = strings.Trim(line, " \t")
	name, option, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	if name == "" {
		return nil
	}
	if option = strings.Trim(option, " "); option != "" {
		return []string{name, option} // the kernel does not divide it (fs/binfmt_script.c)
	}
	return []string{name}
}

// splitString is what env makes of the one argument that the kernel gives it: -S divides it (and -vS).
func splitString(words []string) []string {
	if len(words) != 1 || !strings.HasPrefix(words[0], "-") {
		return words
	}
	if rest, ok := strings.CutPrefix(strings.Replace(words[0], "-vS", "-S", 1), "-S"); ok {
		return []string{"-S", strings.TrimLeft(rest, " ")}
	}
	return words
}
