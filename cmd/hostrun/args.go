package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
)

// A commandLine is the caller's words, sorted. urfave/cli drops a flag that follows the first name in silence, because
// Go's flag package stops there; this is the one place where that is cured.
type commandLine struct {
	path    []*cli.Command // the verb, and its subcommand if it has one
	global  []string       // flags of hostrun, as --name=value
	local   []string       // flags of the verb, as --name=value
	names   []string       // before "--"
	rest    []string       // after "--": the container's
	dashes  bool           // "--" was there
	help    bool           // --help or -h before "--"
	version bool           // --version before a verb
}

// words returns the line as urfave/cli parses it without loss: flags first, then "--", and what follows untouched.
func (l commandLine) words(program string) []string {
	words := append([]string{program}, l.global...)
	for _, command := range l.path {
		words = append(words, command.Name)
	}
	words = append(words, l.local...)
	words = append(words, "--")
	words = append(words, l.names...)
	if l.dashes {
		words = append(append(words, "--"), l.rest...)
	}
	return words
}

func (l commandLine) verb() *cli.Command {
	if len(l.path) == 0 {
		return nil
	}
	return l.path[len(l.path)-1]
}

// arrange sorts the words of a command line. Its errors are of usage.
func arrange(app *cli.App, args []string) (commandLine, error) {
	var l commandLine
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		var err error
		switch {
		case word == "--":
			l.rest, l.dashes = args, true
			args = nil
		case strings.HasPrefix(word, "--"):
			args, err = l.longFlag(app, word, args)
		case len(word) > 1 && word[0] == '-':
			args, err = l.shortFlags(app, word, args)
		default:
			err = l.name(app, word)
		}
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *commandLine) longFlag(app *cli.App, word string, args []string) ([]string, error) {
	name, value, attached := strings.Cut(word[2:], "=")
	if name == "help" {
		l.help = true
		return args, nil
	}
	if name == "version" && len(l.path) == 0 {
		l.version = true
		return args, nil
	}
	flag, global := l.find(app, name)
	if flag == nil || len(name) == 1 {
		return args, l.unknownFlag(app, "--"+name)
	}
	if !attached && takesValue(flag) {
		if len(args) == 0 {
			return args, needsValue(flag, word)
		}
		value, args = args[0], args[1:]
		attached = true
	}
	l.put(flag, global, value, attached)
	return args, nil
}

// shortFlags reads -f, -it (two flags), -n5 and -n 5.
func (l *commandLine) shortFlags(app *cli.App, word string, args []string) ([]string, error) {
	for i := 1; i < len(word); i++ {
		name := word[i : i+1]
		if name == "h" {
			l.help = true
			continue
		}
		flag, global := l.find(app, name)
		if flag == nil {
			if i > 1 { // of several, the one
				word = "-" + name
			}
			return args, l.unknownFlag(app, word)
		}
		if !takesValue(flag) {
			l.put(flag, global, "", false)
			continue
		}
		value := strings.TrimPrefix(word[i+1:], "=")
		if i+1 == len(word) {
			if len(args) == 0 {
				return args, needsValue(flag, "-"+name)
			}
			value, args = args[0], args[1:]
		}
		l.put(flag, global, value, true)
		return args, nil
	}
	return args, nil
}

func (l *commandLine) name(app *cli.App, word string) error {
	if len(l.path) == 0 {
		command := findCommand(app.Commands, word)
		if command == nil {
			return unknownVerb(app, word)
		}
		l.path = append(l.path, command)
		return nil
	}
	if sub := findCommand(l.verb().Subcommands, word); sub != nil && len(l.names) == 0 {
		l.path = append(l.path, sub)
		return l.keepFlags(sub)
	}
	l.names = append(l.names, word)
	return nil
}

// keepFlags refuses flags that stood before the name of a subcommand which does not have them.
func (l *commandLine) keepFlags(sub *cli.Command) error {
	for _, word := range l.local {
		name, _, _ := strings.Cut(word[2:], "=")
		if findFlag(sub.Flags, name) == nil {
			return finding.Errorf(finding.StatusUsage, "", "%s has no flag --%s", l.title(), name)
		}
	}
	return nil
}

// put notes a flag by its first name: urfave/cli refuses two names of one flag in one line.
func (l *commandLine) put(flag cli.Flag, global bool, value string, attached bool) {
	word := "--" + flag.Names()[0]
	if attached {
		word += "=" + value
	}
	if global {
		l.global = append(l.global, word)
	} else {
		l.local = append(l.local, word)
	}
}

// find looks a flag up in the verb, then in hostrun itself: a verb's own -q wins over the global one.
func (l *commandLine) find(app *cli.App, name string) (flag cli.Flag, global bool) {
	if verb := l.verb(); verb != nil {
		if flag := findFlag(verb.Flags, name); flag != nil {
			return flag, false
		}
	}
	return findFlag(app.Flags, name), true
}

// title is the command as a person types it: "hostrun profiles init".
func (l *commandLine) title() string {
	words := []string{"hostrun"}
	for _, command := range l.path {
		words = append(words, command.Name)
	}
	return strings.Join(words, " ")
}

func (l *commandLine) unknownFlag(app *cli.App, word string) error {
	flags := slices.Clone(app.Flags)
	if verb := l.verb(); verb != nil {
		flags = append(flags, verb.Flags...)
	}
	var known []string
	for _, flag := range flags {
		for _, name := range flag.Names() {
			if len(name) > 1 {
				known = append(known, name)
			}
		}
	}
	hint := fmt.Sprintf("%s --help lists its flags; what belongs to the container comes after --", l.title())
	verb := ""
	if v := l.verb(); v != nil {
		verb = v.Name
	}
	if instead := composeWord(verb, word); instead != "" {
		hint = instead
	} else if near := finding.Nearest(strings.TrimLeft(word, "-"), known, 3); len(near) > 0 {
		hint = "did you mean --" + strings.Join(near, " or --") + "?"
	}
	return finding.Errorf(finding.StatusUsage, hint, "%s has no flag %s", l.title(), word)
}

func unknownVerb(app *cli.App, word string) error {
	if slices.Contains(laterVerbs, word) {
		return finding.Errorf(finding.StatusUsage, "hostrun help lists the verbs of this version", "hostrun %s is not in this version yet", word)
	}
	var known []string
	for _, command := range app.Commands {
		if !command.Hidden {
			known = append(known, command.Names()...)
		}
	}
	hint := "hostrun help lists the verbs"
	if instead := composeVerbs[word]; instead != "" {
		hint = instead
	} else if near := finding.Nearest(word, known, 3); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return finding.Errorf(finding.StatusUsage, hint, "hostrun has no verb %q", word)
}

func needsValue(flag cli.Flag, word string) error {
	return finding.Errorf(finding.StatusUsage, "", "flag %s needs a value: %s %s", word, word, placeholder(flag))
}

func takesValue(flag cli.Flag) bool {
	f, ok := flag.(cli.DocGenerationFlag)
	return ok && f.TakesValue()
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, flag := range flags {
		if slices.Contains(flag.Names(), name) {
			return flag
		}
	}
	return nil
}

func findCommand(commands []*cli.Command, name string) *cli.Command {
	for _, command := range commands {
		if command.HasName(name) {
			return command
		}
	}
	return nil
}
