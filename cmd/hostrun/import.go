package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/profiles/composefile"
)

type importOptions struct {
	output, format string
	force, drops   bool
}

// composeNames are the files that docker compose reads by itself, each with those that change it (compose-go, cli/options.go).
var composeNames = []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}

// importedStack is what is written: one of profiles.StackFiles, so that up alone finds it.
const importedStack = "stack.yaml"

func importCommand(s *session) *cli.Command {
	var o importOptions
	return &cli.Command{
		Name: "import", Category: "prove", Usage: "make profiles of a compose file", ArgsUsage: "compose [FILE...]",
		Description: page{
			about:    "hostrun import compose makes a stack of a compose file, and says what became of each key.",
			examples: []string{"hostrun import compose docker-compose.yml"},
			statuses: []int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusDifference, finding.StatusProfile},
		}.on(s),
		Action: action(func(context.Context) error {
			return finding.Errorf(finding.StatusUsage, "hostrun import compose docker-compose.yml", "hostrun import takes what is to be read: compose")
		}),
		Subcommands: []*cli.Command{{
			Name: "compose", Usage: "make a stack of a compose file", ArgsUsage: "[FILE...]",
			Description: page{
				about: "Writes stack.yaml beside the compose file (compose.yaml, docker-compose.yml and what overrides it, by default), and prints what became of each key: carried, changed and how, dropped " +
					"and why, or open: hostrun refuses it as it stands. Order, comments, anchors and variables stay. Nothing is started, and the compose file is not changed.\n\n" +
					"Several files, include: and extends: of other files are put together first; the result has no comments then.",
				examples: []string{"hostrun import compose", "hostrun import compose -o - compose.yaml compose.gpu.yaml", "hostrun import compose && hostrun check ./stack.yaml && hostrun up ./stack.yaml"},
				statuses: []int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusDifference, finding.StatusProfile, finding.StatusNoPath, finding.StatusPermission},
			}.on(s),
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE` beside the compose file; - prints it, and the report goes to stderr", Destination: &o.output},
				&cli.BoolFlag{Name: "force", Usage: "overwrite", Destination: &o.force},
				&cli.BoolFlag{Name: "allow-drops", Usage: "end with status 0 also where something was dropped or is open", Destination: &o.drops},
				formatFlag(&o.format),
			},
			Action: action(func(ctx context.Context) error { return runImportCompose(ctx, s, o) }),
		}},
	}
}

func runImportCompose(ctx context.Context, s *session, o importOptions) error {
	names, err := s.names(wants{what: "compose file"}, false)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if names, err = s.composeFiles(); err != nil {
			return err
		}
	}
	to, err := s.importTo(names[0], o)
	if err != nil {
		return err
	}
	file, one, err := s.composeFile(ctx, names)
	if err != nil {
		return err
	}
	stack, fields, err := composefile.Convert(file, s.profileOptions())
	if err != nil {
		return err
	}
	if one != nil {
		fields = one.fields(fields)
	}
	report := s.stdout
	if to == "" {
		if _, err := s.stdout.Write(stack); err != nil {
			return err
		}
		report = s.stderr
	} else if err := writeNew(to, string(stack), o.force, "--force overwrites it; -o NAME.yaml writes another file"); err != nil {
		return err
	}
	if err := showImport(report, o.format, fields); err != nil {
		return err
	}
	if to != "" && o.format == "table" {
		fmt.Fprintf(s.stderr, "%s is written. Next: hostrun check %[1]s\n", shown(s.dir, to))
		s.noteFloating(to)
	}
	return importEnd(fields, o.drops)
}

// shown is a path as a person in dir would type it, with a slash: so it is no profile's name.
func shown(dir, path string) string {
	if below, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(below, "..") {
		return "./" + below
	}
	return path
}

func importEnd(fields []composefile.Field, drops bool) error {
	dropped, open := 0, 0
	for _, f := range fields {
		switch f.Outcome {
		case composefile.Dropped:
			dropped++
		case composefile.Open:
			open++
		}
	}
	if drops || dropped+open == 0 {
		return nil
	}
	return finding.Errorf(finding.StatusDifference, "read what is said of them; --allow-drops takes it as it is", "not all of the compose file was carried over: %d dropped, %d open", dropped, open)
}

// composeFiles are those of this directory that docker compose would read.
func (s *session) composeFiles() ([]string, error) {
	if names := s.composeVariable(); len(names) > 0 {
		return names, nil
	}
	for _, name := range composeNames {
		if !s.there(name) {
			continue
		}
		names := []string{name}
		stem := strings.TrimSuffix(name, filepath.Ext(name))
		for _, over := range []string{stem + ".override.yml", stem + ".override.yaml"} {
			if s.there(over) {
				return append(names, over), nil
			}
		}
		return names, nil
	}
	return nil, finding.Errorf(finding.StatusUsage, "hostrun import compose FILE", "there is no %s in this directory", strings.Join(composeNames, ", "))
}

// composeVariable are the files that COMPOSE_FILE names, of the environment or of .env.
func (s *session) composeVariable() []string {
	opt := s.profileOptions()
	env := profiles.DotEnv(opt, s.dir)
	maps.Copy(env, opt.Env)
	between := env["COMPOSE_PATH_SEPARATOR"]
	if between == "" {
		between = string(os.PathListSeparator)
	}
	return slices.DeleteFunc(strings.Split(env["COMPOSE_FILE"], between), func(name string) bool { return name == "" })
}

func (s *session) there(name string) bool {
	_, err := os.Stat(s.abs(name))
	return err == nil
}

// importTo is the file to be written; "" for stdout. Relative paths of the compose file hold in its own directory alone.
func (s *session) importTo(first string, o importOptions) (string, error) {
	dir := filepath.Dir(s.abs(first))
	switch {
	case o.output == "-":
		return "", nil
	case o.output == "":
		return filepath.Join(dir, importedStack), nil
	}
	to := s.abs(o.output)
	switch {
	case filepath.Dir(to) != dir:
		return "", finding.Errorf(finding.StatusUsage, "-o "+filepath.Join(filepath.Dir(first), filepath.Base(to)), "%s does not lie beside %s, whose relative paths it would have", o.output, first)
	case !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(to)):
		return "", finding.Errorf(finding.StatusUsage, "-o "+o.output+".yaml", "a stack's name ends in .yaml or .yml: %s", o.output)
	}
	return to, nil
}

// composeFile reads a file, or several as one; then one is what was put together.
func (s *session) composeFile(ctx context.Context, names []string) (file composefile.File, one *composedFile, err error) {
	file = composefile.File{Path: s.abs(names[0]), Shown: names[0]}
	for _, name := range names[1:] {
		if _, err := os.Stat(s.abs(name)); err != nil {
			return file, nil, fileError("read", name, err)
		}
	}
	if file.Text, err = os.ReadFile(file.Path); err != nil {
		return file, nil, fileError("read", names[0], err)
	}
	why, err := composefile.Several(file)
	if err != nil || why == "" && len(names) == 1 {
		return file, nil, err
	}
	if one, err = s.composed(ctx, names); err != nil {
		return file, nil, err
	}
	file.Text = []byte(one.Text)
	return file, one, nil
}

// A composedFile is what hostrun-compose prints.
type composedFile struct {
	Text  string `json:"text"`
	Notes []struct {
		Key  string `json:"key"`
		Note string `json:"note"`
	} `json:"notes"`
}

// fields are those of the text and the notes on it. Its lines are in no file that anyone has.
func (one *composedFile) fields(of []composefile.Field) []composefile.Field {
	for i := range of {
		of[i].Line = 0
	}
	for _, n := range one.Notes {
		of = append(of, composefile.Field{Key: n.Key, Outcome: composefile.Changed, Note: n.Note})
	}
	return of
}

// composed puts several files together, by compose's own rules.
func (s *session) composed(ctx context.Context, names []string) (*composedFile, error) {
	program := filepath.Join(s.libexec(), "hostrun-compose")
	cmd := exec.CommandContext(ctx, program)
	for _, name := range names {
		cmd.Args = append(cmd.Args, s.abs(name))
	}
	cmd.Dir = filepath.Dir(s.abs(names[0]))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		one := new(composedFile)
		if err := json.Unmarshal(out.Bytes(), one); err != nil {
			return nil, fmt.Errorf("read what %s makes of %s: %w", program, names[0], err)
		}
		return one, nil
	case errors.As(err, &exit):
		return nil, finding.Errorf(finding.StatusProfile, "correct the file: docker compose config says the same of it", "read %s: %s", strings.Join(names, ", "), strings.TrimSpace(errs.String()))
	case errors.Is(err, fs.ErrNotExist):
		return nil, finding.Errorf(finding.StatusFailed, "make build builds it, make install puts it there", "put the parts of %s together: %s is missing", names[0], program)
	}
	return nil, fmt.Errorf("put the parts of %s together: %w", names[0], err)
}

// An importLine is one object of import compose --format json.
type importLine struct {
	Schema  int                 `json:"schema"`
	Service string              `json:"service"`
	Key     string              `json:"key"`
	Line    int                 `json:"line,omitempty"` // 0 where several files were put together
	Outcome composefile.Outcome `json:"outcome"`
	Note    string              `json:"note,omitempty"`
}

// showImport prints the report: as a table the keys that were carried stand on one line for each service.
func showImport(w io.Writer, format string, fields []composefile.Field) error {
	var lines []importLine
	at := map[string]int{}
	for _, f := range fields {
		if i, ok := at[f.Service]; ok && f.Outcome == composefile.Carried && format == "table" {
			lines[i].Key += ", " + f.Key
			continue
		}
		if f.Outcome == composefile.Carried {
			at[f.Service] = len(lines)
		}
		lines = append(lines, importLine{1, f.Service, f.Key, f.Line, f.Outcome, f.Note})
	}
	if format == "table" {
		slices.SortStableFunc(lines, func(a, b importLine) int { return strings.Compare(a.Service, b.Service) })
	}
	return show(w, format, lines, table[importLine]{
		header: []string{"SERVICE", "", "LINE", "KEY", "NOTE"},
		cells: func(l importLine) []string {
			if l.Outcome == composefile.Carried {
				return []string{dash(l.Service), string(l.Outcome), "", "", l.Key}
			}
			line := "-"
			if l.Line != 0 {
				line = fmt.Sprint(l.Line)
			}
			return []string{dash(l.Service), string(l.Outcome), line, l.Key, l.Note}
		},
	})
}
