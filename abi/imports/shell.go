package imports

import (
	"path"
	"slices"
	"strings"
)

func isShell(name string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "zsh", "ksh"}, name)
}

// shell takes the commands of -c SCRIPT, or of a script, one by one.
func (a *argv) shell(words []string) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-O" || w == "+O" || w == "+o" || strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--") && strings.HasSuffix(w, "o"):
			if i++; strings.ContainsAny(w, "li") { // -leo pipefail
				a.doubts("a login shell reads its profiles first")
			}
			continue
		case !strings.HasPrefix(w, "-"):
			a.scriptFile(absolute(a.cwd, w), words[i+1:])
			return
		case w == "--login" || !strings.HasPrefix(w, "--") && strings.ContainsAny(w, "li"):
			a.doubts("a login shell reads its profiles first")
		}
		if !strings.HasPrefix(w, "--") && strings.HasSuffix(w, "c") && i+1 < len(words) {
			a.script(words[i+1], words[min(i+3, len(words)):])
			return
		}
	}
	a.skip("sh", "an interactive shell runs what it is told")
}

// scriptFile takes the commands of a shell script. args are its own.
func (a *argv) scriptFile(file string, args []string) {
	b, err := a.view.ReadFile(file, maxEntrypoint)
	if err != nil {
		a.skip(file, "the shell script can't be read")
		return
	}
	a.script(string(b), args)
}

// beginnings are words of the shell's own that stand before a command; behind some it is not certain that it runs.
var beginnings = map[string]bool{"exec": true, "time": true, "{": true, "!": false, "then": false, "do": false, "else": false, "if": false, "elif": false,
	"while": false, "until": false, "for": false, "case": false, "function": false, "fi": false, "done": false, "esac": false, "}": true, "(": false}

// harmless are commands that change nothing of what a Python finds.
var harmlessCommands = []string{"echo", "printf", "set", "ulimit", "umask", "mkdir", "sleep", "true", ":", "date", "ls", "pwd", "whoami", "id", "hostname", "uname", "nvidia-smi", "npu-smi",
	"trap", "wait", "env", "printenv", "shopt", "df", "free", "nproc"}

// script takes the commands of a shell's script, up to what its arguments stand for. What they do is known of a few; behind
// any other one nothing is certain.
func (a *argv) script(text string, args []string) {
	outside := a.inShell
	a.inShell = true
	defer func() { a.inShell = outside }()
	switch {
	case strings.Contains(text, "||"):
		a.doubts("the shell decides which of several commands runs")
	case strings.Contains(text, "<<"):
		a.doubts("the shell gives lines of the script to a command")
	}
	for _, words := range split(text, "$`*?[~") {
		if words = a.begin(words); len(words) > 0 {
			a.shellCommand(words, args)
		}
	}
}

// begin takes assignments and the shell's words from the front of a command.
func (a *argv) begin(words []string) []string {
	for len(words) > 0 {
		certain, own := beginnings[words[0]]
		switch {
		case own && !certain:
			a.doubts("the shell decides whether it runs")
		case isAssignment(words[0]):
			a.assigned(words[0])
		case !own:
			return words
		}
		words = words[1:]
	}
	return nil
}

func (a *argv) shellCommand(words, args []string) {
	switch name := path.Base(words[0]); {
	case words[0] == unknownWord+"@" && len(words) == 1:
		a.inShell = false
		a.command(args)
		a.inShell = true
	case name == "cd" && len(words) == 2 && !strings.Contains(words[1], unknownWord) && !strings.HasPrefix(words[1], "-"):
		a.cwd = absolute(a.cwd, words[1])
	case name == "export" || name == "declare" || name == "readonly":
		for _, w := range words[1:] {
			a.assigned(w)
		}
	case name == "test" || strings.Trim(words[0], unknownWord) == "": // [ and [[
		a.doubts("the shell decides whether it runs")
	case words[0] == ">" || name == "tee" || name == "touch":
		a.doubts("a file is written before it")
	case name == "set" && slices.Contains(words, "--"):
		a.doubts("set changes what the script was given")
	case slices.Contains(harmlessCommands, name) && (name != "env" || len(words) == 1):
	default:
		if strings.Contains(words[0], unknownWord) {
			a.doubts("which program the shell runs is not known")
		}
		known := len(a.roots)
		a.command(words)
		if len(a.roots) == known {
			a.doubts(name + " runs before it, and may change what it finds")
		} else {
			a.doubts("another program runs before it")
		}
	}
}

// unknownWord stands in a word for what a shell puts there: the value of a variable, names of files.
const unknownWord = "\x00"

// commands splits a script at the separators of commands, knowing quotes and backslashes. Nothing is expanded.
func commands(script string) [][]string { return split(script, "") }

// split is commands that writes unknownWord for each of the given characters where a shell would expand it.
func split(script, expanded string) [][]string {
	var all [][]string
	var words []string
	var word strings.Builder
	open, wrote, quote := false, false, byte(0)
	flush := func() {
		if open {
			words = append(words, word.String())
		}
		word.Reset()
		open = false
	}
	for i := 0; i < len(script); i++ {
		c := script[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(script):
			i++
			if script[i] != '\n' {
				word.WriteByte(script[i])
				open = true
			}
		case quote != '\'' && strings.IndexByte(expanded, c) >= 0 && (quote == 0 || c == '$' || c == '`'):
			word.WriteString(unknownWord)
			open = true
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, open = c, true
		case c == ' ' || c == '\t':
			flush()
		case c == '#' && !open:
			for i+1 < len(script) && script[i+1] != '\n' {
				i++
			}
		case strings.IndexByte("\n;&|()", c) >= 0:
			flush()
			all, words = append(all, words), nil
			substitutes := i > 0 && script[i-1] == '$' && !strings.HasPrefix(strings.TrimLeft(script[i+1:], " "), "cd")
			if c == '(' && expanded != "" && !substitutes { // what a subshell changes ends with it
				all = append(all, []string{"("})
			}
			if wrote {
				all, wrote = append(all, []string{">"}), false
			}
		case c == '>' || c == '<':
			if strings.Trim(word.String(), "0123456789") == "" { // the number of a file: 2>log
				word.Reset()
				open = false
			}
			flush()
			for i+1 < len(script) && strings.IndexByte(">&< ", script[i+1]) >= 0 {
				i++
			}
			target := i + 1
			for i+1 < len(script) && strings.IndexByte(" \t\n;|()", script[i+1]) < 0 {
				i++
			}
			wrote = expanded != "" && (wrote || c == '>' && writes(script[target:i+1]))
		default:
			word.WriteByte(c)
			open = true
		}
	}
	flush()
	all = append(all, words)
	return slices.DeleteFunc(all, func(words []string) bool { return len(words) == 0 })
}

// writes says of what an output goes to, as a script has it, that a program may find it as a file: 1, of 2>&1, and logs are none.
func writes(target string) bool {
	target = strings.Trim(target, `"'`)
	return strings.Trim(target, "0123456789-") != "" && !strings.HasPrefix(target, "/dev/") && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/") &&
		!slices.Contains([]string{".log", ".txt", ".pid"}, path.Ext(target))
}

// wordsOf is shlex.split, for one command.
func wordsOf(text string) []string {
	if all := commands(text); len(all) > 0 {
		return all[0]
	}
	return nil
}
