package abi

import "fmt"

// A NotPythonError says why a file is no interpreter that hostrun can read, or none that could start.
type NotPythonError struct {
	Path   string // as asked for
	Reason string // in words: "is a shell script", "is Python 2.7; ..."
	// Script is the interpreter's line of a script ("/usr/bin/env python3"), "" for other files.
	Script string
	// Version is that of a Python that is too old; its Major is 0 otherwise.
	Version Version
}

func (e *NotPythonError) Error() string { return e.Path + " " + e.Reason }

// A BrokenVenvError says that the interpreter a virtual environment was made from is gone.
type BrokenVenvError struct {
	Dir  string // the environment
	Home string // what pyvenv.cfg names
	Err  error  // may be nil
}

func (e *BrokenVenvError) Error() string {
	s := fmt.Sprintf("virtual environment %s: its home %s has no Python (%s/pyvenv.cfg)", e.Dir, e.Home, e.Dir)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *BrokenVenvError) Unwrap() error { return e.Err }
