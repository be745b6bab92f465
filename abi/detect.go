package abi

import (
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// Environment is what of a process's environment changes which interpreter runs and where it looks.
type Environment struct {
	Path          []string `json:"path,omitempty"`           // PATH, split
	LibraryPath   []string `json:"library_path,omitempty"`   // LD_LIBRARY_PATH, split
	SysconfigData string   `json:"sysconfig_data,omitempty"` // _PYTHON_SYSCONFIGDATA_NAME
}

// DetectPython reads the interpreter at path executable of the view: an absolute path, or a name to look up in
// env.Path. The error is a *NotPythonError, fs.ErrNotExist (a dangling link is named), or an error of reading.
func DetectPython(view *rootfs.View, executable string, env Environment) (Python, error) {
	panic("abi: being written")
}

// FindPythons returns every interpreter of the view: on env.Path first, in its order, then in the usual places. Two
// names of one file give one entry, the first. Findings tell of interpreters that could not be read.
func FindPythons(view *rootfs.View, env Environment) ([]Python, []finding.Finding) {
	panic("abi: being written")
}

// Compatible says whether native modules installed for host can be imported by image. No findings of severity error
// means yes. The rules are those of docs/abi.md; each finding names the evidence of both sides.
func Compatible(host, image Python) []finding.Finding {
	panic("abi: being written")
}
