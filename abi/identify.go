package abi

import (
	"path"

	"hostrun.dev/hostrun/pattern"
)

var executableName = pattern.New(`^(python|pypy)(3(?:\.\d+)?)?([a-z]*)$`)

// findVersion decides whether this is a Python at all, which implementation, and its major and minor version. The
// binary's own symbols come first, then the name of libpython, of the executable, and its table of suffixes.
func (d *detector) findVersion() error {
	name := executableName.FindStringSubmatch(path.Base(d.Real))
	if !d.code.python && d.code.version.Major == 0 && d.Libpython == "" && name == nil {
		return &NotPythonError{Path: d.Executable, Reason: "is a program, but no Python interpreter"}
	}
	d.Implementation = "cpython"
	d.prove("implementation", "symbols of "+d.code.path)
	if d.code.pypy || name != nil && name[1] == "pypy" {
		d.Implementation = "pypy"
	}
	for _, source := range []func() (Version, string){d.versionBySymbol, d.versionByLibrary, d.versionByTable, d.versionByName} {
		v, from := source()
		if v.Major != 0 {
			d.Version = v
			d.prove("version", from)
			break
		}
	}
	if d.Version.Major == 0 && d.code.python {
		return &NotPythonError{Path: d.Executable, Reason: "is a Python whose version no symbol, library or name tells"}
	}
	return d.refuseOld()
}

// refuseOld refuses what is older than the oldest Python that hostrun reads.
func (d *detector) refuseOld() error {
	if d.Version.Major == 0 {
		return &NotPythonError{Path: d.Executable, Reason: "is a program, but no Python interpreter"}
	}
	if d.Version.before(3, 6) {
		return &NotPythonError{Path: d.Executable, Version: d.Version,
			Reason: "is Python " + d.Version.String() + "; hostrun needs Python 3.6 or later"}
	}
	return nil
}

func (d *detector) versionBySymbol() (Version, string) { return d.code.version, d.code.versionFrom }

func (d *detector) versionByLibrary() (Version, string) {
	m := libpythonName.FindStringSubmatch(path.Base(d.Libpython))
	if m == nil || m[3] == "" {
		return Version{}, ""
	}
	return Version{Major: number(m[2]), Minor: number(m[3]), Micro: -1}, "name of " + d.Libpython
}

// dotted finds the version in a name such as python3.11.
var dotted = pattern.New(`(\d)\.(\d+)`)

func (d *detector) versionByName() (Version, string) {
	m := dotted.FindStringSubmatch(path.Base(d.Real))
	if m == nil {
		return Version{}, ""
	}
	return Version{Major: number(m[1]), Minor: number(m[2]), Micro: -1}, "file name " + d.Real
}

var taggedVersion = pattern.New(`^\.(?:cpython-|pypy)3(\d+)`)

// versionByTable reads the suffix table, unless the name tells the version: the table takes a few milliseconds.
func (d *detector) versionByTable() (Version, string) {
	if v, _ := d.versionByName(); v.Major != 0 && !d.code.pypy {
		return Version{}, ""
	}
	for _, s := range suffixTable(d.object) {
		if m := taggedVersion.FindStringSubmatch(s); m != nil {
			return Version{Major: 3, Minor: number(m[1]), Micro: -1}, "suffix " + s + " in " + d.code.path
		}
	}
	return Version{}, ""
}
