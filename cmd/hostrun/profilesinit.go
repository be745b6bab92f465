package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/profiles"
)

type profilesInitOptions struct {
	image, python string
	stdout, force bool
}

func profilesInitCommand(s *session) *cli.Command {
	var o profilesInitOptions
	return &cli.Command{
		Name: "init", Usage: "write a profile for this machine", ArgsUsage: "[NAME]",
		Description: page{
			about: "Looks at this machine's Python environment and CUDA toolkit and writes ./profiles/NAME.yaml (NAME: the directory's name), with an image of the same " +
				"Python. It overwrites nothing without -f.",
			examples: []string{"hostrun profiles init train", "hostrun profiles init --stdout"},
			statuses: []int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusPermission},
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "image", Usage: "write `REF` as the image", Destination: &o.image},
			&cli.StringFlag{Name: "python", Usage: "the environment to borrow from: `auto|none|PATH`", Value: "auto", Destination: &o.python},
			&cli.BoolFlag{Name: "stdout", Usage: "print the profile instead of writing it", Destination: &o.stdout},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "overwrite", Destination: &o.force},
		},
		Action: action(func(ctx context.Context) error { return runProfilesInit(ctx, s, o) }),
	}
}

func runProfilesInit(ctx context.Context, s *session, o profilesInitOptions) error {
	names, err := s.names(wants{what: "profile", max: 1}, false)
	if err != nil {
		return err
	}
	name := filepath.Base(s.dir)
	if len(names) == 1 {
		name = names[0]
	}
	if !profiles.NameForm.MatchString(name) {
		return finding.Errorf(finding.StatusUsage, "hostrun profiles init train", "%q is no name for a profile: letters, digits, and . _ - between them", name)
	}
	facts, err := host.Probe(ctx, s.hostOptions(), host.Needs{Python: s.needed(o.python), CUDA: "auto"})
	if err != nil {
		return err
	}
	text := draft(name, o, facts)
	if o.stdout {
		_, err := fmt.Fprint(s.stdout, text)
		return err
	}
	return s.writeProfile(filepath.Join(s.dir, "profiles", name+".yaml"), text, o.force)
}

// draft is a profile for the machine, each line with its reason.
func draft(name string, o profilesInitOptions, facts host.Facts) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s.yaml: written by hostrun profiles init on %s\n", name, dash(facts.Hostname))
	fmt.Fprintf(&b, "# hostrun check %s shows whether host and image fit; docs/profile.md lists the keys.\n", name)
	image := o.image
	if image == "" {
		image = "debian:12-slim"
		if facts.Python != nil {
			image = fmt.Sprintf("python:%d.%d-slim", facts.Python.Version.Major, facts.Python.Version.Minor)
		}
	}
	fmt.Fprintf(&b, "image: %q\n", image)
	if facts.Python != nil {
		fmt.Fprintf(&b, "python: %q  # %s %s: its packages are borrowed, read-only\n", o.python, facts.Python.Executable, facts.Python.Version)
		fmt.Fprint(&b, "command: [python3, -c, \"import sys; print(sys.version)\"]\n")
	} else {
		fmt.Fprint(&b, "python: none\ncommand: [sh, -c, \"uname -a\"]\n")
	}
	if facts.CUDA != nil {
		fmt.Fprintf(&b, "cuda: auto  # %s, %s\n", facts.CUDA.Version, facts.CUDA.Real)
	}
	fmt.Fprint(&b, "working_dir: /workspace\nvolumes: [\"..:/workspace\"]  # relative to this file\n")
	return b.String()
}

func (s *session) writeProfile(path, text string, force bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fileError("write", path, err)
	}
	if err := writeNew(path, text, force, "-f overwrites it; another name writes another file"); err != nil {
		return err
	}
	fmt.Fprintln(s.stdout, path)
	return nil
}

// writeNew writes a file, over another one only by force; hint says how.
func writeNew(path, text string, force bool, hint string) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return finding.Errorf(finding.StatusFailed, hint, "write %s: it is there already", path)
	}
	if err != nil {
		return fileError("write", path, err)
	}
	_, err = file.WriteString(text)
	return fileError("write", path, errors.Join(err, file.Close()))
}
