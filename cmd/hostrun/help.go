package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
)

// pageWidth is what help is wrapped to.
const pageWidth = 80

// exitMeanings is docs/exit-status.md in short. A verb's page names those that it can return.
var exitMeanings = map[int]string{
	0:                        "done",
	finding.StatusFailed:     "the workload failed, or an error without a class of its own",
	finding.StatusUsage:      "flags or arguments are wrong",
	finding.StatusDifference: "a difference or a regression was found",
	finding.StatusProfile:    "the profile is invalid",
	finding.StatusNoPath:     "a host path is missing",
	finding.StatusNoDevice:   "a device is absent",
	finding.StatusTryAgain:   "try again: containerd or the registry is away, a device is leased",
	finding.StatusPermission: "no permission",
	finding.StatusMisfit:     "what is borrowed does not fit the image",
	finding.StatusNotStarted: "hostrun failed before the process started",
	finding.StatusNotExec:    "the command is not executable in the container",
	finding.StatusNotFound:   "the command was not found in the container",
	130:                      "interrupted by ^C (128+n for signal n)",
}

// A page is the part of a verb's help that its flags do not tell.
type page struct {
	about    string
	examples []string // command lines, each with a comment after two spaces and "#" if it needs one
	own      string   // the first line of the exit statuses, where the status is a process's own
	statuses []int
}

var (
	planStatuses       = []int{finding.StatusProfile, finding.StatusNoPath, finding.StatusNoDevice, finding.StatusTryAgain, finding.StatusPermission, finding.StatusMisfit}
	containerdStatuses = []int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusTryAgain, finding.StatusPermission, 130}
	startStatuses      = append(append([]int{0, finding.StatusFailed, finding.StatusUsage}, planStatuses...), 130)
	checkStatuses      = append(append([]int{}, startStatuses[:len(startStatuses)-1]...), finding.StatusNotFound, 130)
	foregroundStatuses = []int{finding.StatusUsage, finding.StatusNotStarted, finding.StatusNotExec, finding.StatusNotFound, 130}
)

// on is the page for a session that shows pages. Any other command would write thirty of them for nobody, at its start.
func (p page) on(s *session) string {
	if !s.pages {
		return ""
	}
	return p.String()
}

// String is the page as urfave/cli keeps it: a description.
func (p page) String() string {
	var b strings.Builder
	b.WriteString(wrap(p.about, "  ", pageWidth))
	b.WriteString("\nEXAMPLES\n")
	for _, line := range p.examples {
		fmt.Fprintf(&b, "  $ %s\n", line)
	}
	b.WriteString("\nEXIT STATUS\n")
	if p.own != "" {
		b.WriteString(wrap(p.own, "  ", pageWidth))
	}
	for _, status := range p.statuses {
		fmt.Fprintf(&b, "  %3d  %s\n", status, exitMeanings[status])
	}
	return b.String()
}

type helpOptions struct{}

func helpCommand(s *session) *cli.Command {
	return &cli.Command{
		Name: "help", Category: "about hostrun", Usage: "show the page of a verb", ArgsUsage: "[VERB]",
		Description: page{
			about:    "Shows the page of a verb, or the list of verbs. hostrun VERB --help does the same.",
			examples: []string{"hostrun help check"},
			statuses: []int{0, finding.StatusUsage},
		}.on(s),
		Action: action(func(context.Context) error { return runHelp(s, helpOptions{}, s.line.names) }),
	}
}

func runHelp(s *session, _ helpOptions, words []string) error { return showHelp(s, words) }

// showHelp prints the page of the verb that the words lead to, or of hostrun.
func showHelp(s *session, words []string) error {
	s.pages = true
	app := newApp(s) // urfave/cli puts the caller's values in the place of s.app's defaults
	line, err := arrange(app, words)
	if err != nil {
		return err
	}
	return writeHelp(s.stdout, app, line.path)
}

// writeHelp prints the page of a verb, or of hostrun where the path is empty.
func writeHelp(w io.Writer, app *cli.App, path []*cli.Command) error {
	text := programPage(app)
	if len(path) > 0 {
		text = verbPage(path)
	}
	_, err := io.WriteString(w, text)
	return err
}

func programPage(app *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "NAME\n  hostrun - %s\n\nSYNOPSIS\n  hostrun %s\n", app.Usage, app.ArgsUsage)
	b.WriteString("\nDESCRIPTION\n" + wrap(programAbout, "  ", pageWidth))
	for _, category := range categories(app.Commands) {
		fmt.Fprintf(&b, "\n%s\n", strings.ToUpper(category))
		for _, command := range app.Commands {
			if !command.Hidden && command.Category == category {
				fmt.Fprintf(&b, "  %-11s %s\n", command.Name, command.Usage)
			}
		}
	}
	b.WriteString("\nGLOBAL FLAGS\n" + flagList(app.Flags))
	b.WriteString("\nEXAMPLES\n")
	for _, line := range programExamples {
		fmt.Fprintf(&b, "  $ %s\n", line)
	}
	b.WriteString("\nhostrun VERB --help shows the page of a verb, with its exit statuses.\n")
	return b.String()
}

const programAbout = "" +
	"A profile (a YAML file in compose's words) says what to run. The container takes its Python packages and CUDA from this machine, " +
	"read-only, and before anything starts hostrun proves from files alone that they fit the image.\n\n" +
	"Flags may stand before or after names. What follows -- belongs to the container. Results go to stdout, " +
	"progress and diagnostics to stderr."

var programExamples = []string{
	"hostrun check dinov2               # would it fit? starts nothing",
	"hostrun up dinov2                  # check, create, start",
	"hostrun logs -f dinov2",
	"hostrun run dinov2 -- python3 -V   # one-off, in the foreground",
	"hostrun down dinov2",
}

// categories returns the headings of the verbs, in order.
func categories(commands []*cli.Command) []string {
	var names []string
	for _, command := range commands {
		if !command.Hidden && (len(names) == 0 || names[len(names)-1] != command.Category) {
			names = append(names, command.Category)
		}
	}
	return names
}

func verbPage(path []*cli.Command) string {
	line := commandLine{path: path}
	command := line.verb()
	synopsis := line.title()
	if len(visibleFlags(command.Flags)) > 0 {
		synopsis += " [flags]"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "NAME\n  %s - %s\n\nSYNOPSIS\n  %s\n", line.title(), command.Usage, strings.TrimSpace(synopsis+" "+command.ArgsUsage))
	about, tail, _ := strings.Cut(command.Description, "\nEXAMPLES\n")
	b.WriteString("\nDESCRIPTION\n" + about)
	if len(command.Subcommands) > 0 {
		b.WriteString("\nSUBCOMMANDS\n")
		for _, sub := range command.Subcommands {
			fmt.Fprintf(&b, "  %-11s %s\n", sub.Name, sub.Usage)
		}
	}
	if flags := flagList(command.Flags); flags != "" {
		b.WriteString("\nFLAGS\n" + flags)
	}
	if tail != "" {
		b.WriteString("\nEXAMPLES\n" + tail)
	}
	return b.String()
}

func visibleFlags(flags []cli.Flag) []cli.Flag {
	var visible []cli.Flag
	for _, flag := range flags {
		if v, ok := flag.(cli.VisibleFlag); !ok || v.IsVisible() {
			visible = append(visible, flag)
		}
	}
	return visible
}

// flagList is one paragraph a flag: its names, and below them what it does.
func flagList(flags []cli.Flag) string {
	var b strings.Builder
	for _, flag := range visibleFlags(flags) {
		fmt.Fprintf(&b, "  %s\n%s", flagNames(flag), wrap(flagAbout(flag), "      ", pageWidth))
	}
	return b.String()
}

// flagNames is "-e, --env NAME=VALUE".
func flagNames(flag cli.Flag) string {
	var names []string
	for _, name := range flag.Names() {
		if len(name) == 1 {
			names = append([]string{"-" + name}, names...)
		} else {
			names = append(names, "--"+name)
		}
	}
	text := strings.Join(names, ", ")
	if takesValue(flag) {
		text += " " + placeholder(flag)
	}
	return text
}

func flagAbout(flag cli.Flag) string {
	f, ok := flag.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	text := strings.ReplaceAll(withoutPlaceholder(f.GetUsage()), "`", "")
	if value := f.GetValue(); f.TakesValue() && value != "" && value != "0" && value != "0s" {
		text += " (default " + value + ")"
	}
	if vars := f.GetEnvVars(); len(vars) > 0 {
		text += " ($" + strings.Join(vars, ", $") + ")"
	}
	return text
}

// withoutPlaceholder drops ": `SOURCE:TARGET`", which stands beside the flag's name already.
func withoutPlaceholder(usage string) string {
	before, rest, _ := strings.Cut(usage, ": `")
	if _, after, found := strings.Cut(rest, "`"); found {
		return before + after
	}
	return usage
}

// placeholder is the word of the flag's usage between backquotes.
func placeholder(flag cli.Flag) string {
	if f, ok := flag.(cli.DocGenerationFlag); ok {
		if _, rest, found := strings.Cut(f.GetUsage(), "`"); found {
			name, _, _ := strings.Cut(rest, "`")
			return name
		}
	}
	return "VALUE"
}

// wrap breaks paragraphs into lines of at most width characters, each after indent. An empty line ends a paragraph; a
// line that begins with a space is kept as it is.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString("\n")
		}
		if strings.HasPrefix(paragraph, " ") {
			for line := range strings.SplitSeq(paragraph, "\n") {
				b.WriteString(indent + strings.TrimRight(line, " ") + "\n")
			}
			continue
		}
		column := 0
		for _, word := range strings.Fields(paragraph) {
			switch {
			case column == 0:
				b.WriteString(indent + word)
				column = len(indent) + len(word)
			case column+1+len(word) > width:
				b.WriteString("\n" + indent + word)
				column = len(indent) + len(word)
			default:
				b.WriteString(" " + word)
				column += 1 + len(word)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
