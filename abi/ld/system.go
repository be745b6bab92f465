package ld

// habits are the constants that a loader was built with.
type habits struct{}

type store struct{}

func (s *System) readHabits(interpreter string) error { return nil }

// Interpreter returns the PT_INTERP of the program at path p inside the view, ErrNotDynamic when it has none.

// Libc returns "glibc" or "musl".
func (s *System) Libc() string { return "glibc" }

// GlibcVersion returns the release number of the loader, "2.36"; "" for musl.
func (s *System) GlibcVersion() string { return "" }

// DefaultDirectories returns where the loader looks last.
func (s *System) DefaultDirectories() []string { return nil }
