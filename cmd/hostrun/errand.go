package main

import (
	"context"
	"os"
	"slices"
	"strings"

	"hostrun.dev/hostrun/engine"
)

// asRoot are the verbs that need hostrun's own directories, which are root's, or the files of an image.
var asRoot = []string{"up", "run", "down", "stop", "start", "restart", "rm", "exec", "shell", "logs", "check", "where", "spec", "facts", "load", "pull", "build",
	"pause", "unpause", "top", "cp", "attach", "gc", "clean"}

// errand has the private engine do the whole command as root, for members of its group, who could not do it themselves:
// where this is not root, the verb needs it, and the private engine is the one that would be used. done says that the
// command is over, with that status.
func (s *session) errand(ctx context.Context) (status int, done bool, err error) {
	if os.Geteuid() == 0 || !slices.Contains(asRoot, s.line.verb().Name) || !s.asMember(ctx) {
		return 0, false, nil // also for an engine without the group: the way of everybody says what is missing
	}
	streams, ok := s.files()
	if !ok {
		return 0, false, nil
	}
	s.signals.leave()
	s.log.Debug("the private engine does it as root", "socket", s.layout().ErrandAddress())
	var end engine.Ending
	if slices.Contains(s.line.local, "--supervise") {
		end, err = s.keptErrand(streams)
	} else {
		end, err = engine.Errand{Args: s.privately(), Env: os.Environ()}.Run(s.layout(), streams, s.dir)
	}
	return end.Status, true, err
}

// privately is the command line for root, who may use the system's containerd, and shall not where the member may not.
func (s *session) privately() []string {
	if s.line.gave("address") { // the private engine's
		return s.args
	}
	args := []string{"--engine=private"}
	for i := 0; i < len(s.args) && s.args[i] != "--"; i++ {
		if s.args[i] == "--engine" {
			i++ // with its value
		} else if !strings.HasPrefix(s.args[i], "--engine=") {
			args = append(args, s.args[i])
		}
	}
	if at := slices.Index(s.args, "--"); at >= 0 {
		args = append(args, s.args[at:]...)
	}
	return args
}

// likely is the containerd that a new container would go to, of those that answer; "" where that is none.
func (s *session) likely(ctx context.Context) engineKind {
	for _, kind := range s.kinds() {
		o := s.reach(ctx, kind)
		switch {
		case o.standing == unusable:
			return ""
		case o.standing != usable:
			continue
		case s.runtimeOptions(kind).Address == s.layout().Address():
			return privateEngine // also by its name
		}
		return kind
	}
	return ""
}

func file(stream any) *os.File {
	f, _ := stream.(*os.File)
	return f
}
