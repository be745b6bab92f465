package main

import (
	"context"
	"fmt"
	goruntime "runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
)

// version is set by the build (-ldflags -X main.version=...).
var version = "0.1.0-dev"

type versionOptions struct{ format string }

// A versionInfo is what hostrun says of itself.
type versionInfo struct {
	Schema   int    `json:"schema"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, "+" at its end if the tree was changed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionCommand(s *session) *cli.Command {
	var o versionOptions
	return &cli.Command{
		Name: "version", Category: "about hostrun", Usage: "print the version",
		Description: page{
			about:    "Prints hostrun's version, the revision of its source, and what it was built with.",
			examples: []string{"hostrun version", "hostrun version --format json"},
			statuses: []int{0, finding.StatusUsage},
		}.on(s),
		Flags:  []cli.Flag{formatFlag(&o.format)},
		Action: action(func(context.Context) error { return runVersion(s, o) }),
	}
}

func runVersion(s *session, o versionOptions) error {
	if err := s.none(); err != nil {
		return err
	}
	v := thisVersion()
	if o.format != "table" {
		return show(s.stdout, o.format, []versionInfo{v}, table[versionInfo]{})
	}
	text := "hostrun " + v.Version
	if v.Revision != "" {
		text += " (" + v.Revision + ")"
	}
	fmt.Fprintf(s.stdout, "%s %s %s\n", text, v.Go, v.Platform)
	return nil
}

func thisVersion() versionInfo {
	v := versionInfo{Schema: 1, Version: version, Go: goruntime.Version(), Platform: goruntime.GOOS + "/" + goruntime.GOARCH}
	changed := ""
	for _, setting := range buildInfo().Settings {
		switch {
		case setting.Key == "vcs.revision":
			v.Revision = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			changed = "+"
		}
	}
	if v.Revision != "" {
		v.Revision += changed
	}
	return v
}

// buildInfo is what the Go tool noted about this binary.
func buildInfo() *debug.BuildInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return &debug.BuildInfo{}
	}
	return info
}
