package runtime

import "github.com/opencontainers/runtime-spec/specs-go"

func terminal(s *specs.Spec) bool { return s != nil && s.Process != nil && s.Process.Terminal }

func argv0(s *specs.Spec) string {
	if s == nil || s.Process == nil || len(s.Process.Args) == 0 {
		return ""
	}
	return s.Process.Args[0]
}
