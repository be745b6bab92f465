package ld

import (
	"errors"
	"fmt"

	"hostrun.dev/hostrun/rootfs"
)

// Interpreter returns the program interpreter (PT_INTERP) of a program: the loader that NewSystem reads. A statically
// linked program gives ErrNotDynamic.
func Interpreter(view *rootfs.View, executable string) (string, error) {
	s := &System{view: view}
	defer s.Close()
	f, fault := s.open(executable)
	switch {
	case fault != nil:
		return "", errors.New(fault.message(executable))
	case f.interp == "":
		return "", fmt.Errorf("%s: %w", executable, ErrNotDynamic)
	}
	return f.interp, nil
}
