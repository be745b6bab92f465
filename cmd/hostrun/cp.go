package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

type cpOptions struct{ archive, follow bool }

func cpCommand(s *session) *cli.Command {
	var o cpOptions
	return &cli.Command{
		Name: "cp", Category: "containers", Usage: "copy files between containers and the machine", ArgsUsage: "NAME:PATH DEST|- | SOURCE|- NAME:PATH",
		Description: page{
			about: "Copies a file or a directory into a container or out of it, whether it runs or not; - is a tar archive on stdin or stdout. PATH begins at the container's root. The rules are docker's: " +
				"a directory is copied with its name into a DEST that is there, and as DEST otherwise; of one whose name ends in /. the content is copied. Links of the container lead nowhere outside of it.\n\n" +
				"Modes and times stay. What is copied in is root's there, and what is copied out is the caller's, unless -a is given.",
			examples: []string{"hostrun cp dinov2:/tmp/features.npy .", "hostrun cp ./config/. dinov2:/workspace/config", "hostrun cp dinov2:/workspace - | tar t"},
			statuses: append([]int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusNoPath}, containerdStatuses[3:]...),
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "archive", Aliases: []string{"a"}, Usage: "keep user and group of each file", Destination: &o.archive},
			&cli.BoolFlag{Name: "follow-link", Aliases: []string{"L"}, Usage: "copy what a link SOURCE leads to", Destination: &o.follow},
		},
		Action: action(func(ctx context.Context) error { return runCp(ctx, s, o) }),
	}
}

// ofContainer splits NAME:PATH as docker does: what is absolute or begins with a dot is of the machine.
func ofContainer(word string) (name, path string, ok bool) {
	if filepath.IsAbs(word) {
		return "", "", false
	}
	name, path, ok = strings.Cut(word, ":")
	if !ok || name == "" || strings.HasPrefix(name, ".") || strings.Contains(name, "/") {
		return "", "", false
	}
	return containerName(name), path, true
}

func runCp(ctx context.Context, s *session, o cpOptions) error {
	words, err := s.names(wants{what: "path", min: 2, max: 2}, false)
	if err != nil {
		return err
	}
	from, to := words[0], words[1]
	source, sourcePath, out := ofContainer(from)
	target, targetPath, in := ofContainer(to)
	switch {
	case in && out:
		return finding.Errorf(finding.StatusUsage, "hostrun cp "+from+" - | hostrun cp - "+to, "hostrun cp: copying between containers is not supported")
	case !in && !out:
		return finding.Errorf(finding.StatusUsage, "hostrun cp NAME:PATH DEST, or hostrun cp SOURCE NAME:PATH", "hostrun cp: neither %s nor %s is of a container", from, to)
	case out:
		return s.copyOut(ctx, o, source, sourcePath, to)
	}
	return s.copyIn(ctx, o, from, target, targetPath)
}

func (s *session) copyOut(ctx context.Context, o cpOptions, name, path, to string) error {
	c := runtime.Copying{Container: name, Inside: path, Outside: s.absLike(to), Archive: o.archive, FollowLink: o.follow}
	if to == "-" {
		if isTerminal(s.stdout) {
			return finding.Errorf(finding.StatusUsage, "hostrun cp "+name+":"+path+" - >FILE.tar", "hostrun cp: stdout is a terminal, and an archive would garble it")
		}
		c.Stream = onlyWriter{s.stdout}
	}
	client, err := s.home(ctx, name)
	if err != nil {
		return err
	}
	n, err := client.CopyOut(ctx, c)
	if err == nil && to != "-" {
		s.note("copied %s to %s", units.HumanSize(float64(n)), to)
	}
	return err
}

func (s *session) copyIn(ctx context.Context, o cpOptions, from, name, path string) error {
	c := runtime.Copying{Container: name, Inside: path, Outside: s.absLike(from), Archive: o.archive, FollowLink: o.follow}
	if from == "-" {
		if isTerminal(s.stdin) {
			return finding.Errorf(finding.StatusUsage, "tar c DIR | hostrun cp - "+name+":"+path, "hostrun cp: stdin is a terminal, not an archive")
		}
		c.Stream = onlyReader{s.stdin}
	}
	client, err := s.home(ctx, name)
	if err != nil {
		return err
	}
	n, err := client.CopyIn(ctx, c)
	if err == nil && from != "-" {
		s.note("copied %s to %s:%s", units.HumanSize(float64(n)), name, path)
	}
	return err
}

// absLike is abs with the end that docker's rules look at: a slash, or "/.".
func (s *session) absLike(path string) string { return runtime.LikeDocker(s.abs(path), path) }

// onlyWriter and onlyReader are one half of what a copy may read from or write to.
type onlyWriter struct{ io.Writer }

func (onlyWriter) Read([]byte) (int, error) { return 0, io.EOF }

type onlyReader struct{ io.Reader }

func (onlyReader) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
