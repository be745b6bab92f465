package abi

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

// Environment is what of a process's environment changes which interpreter runs and where it looks.
type Environment struct {
	Path          []string `json:"path,omitempty"`           // PATH, split
	LibraryPath   []string `json:"library_path,omitempty"`   // LD_LIBRARY_PATH, split
	SysconfigData string   `json:"sysconfig_data,omitempty"` // _PYTHON_SYSCONFIGDATA_NAME
	PyenvVersion  string   `json:"pyenv_version,omitempty"`  // PYENV_VERSION
	Dir           string   `json:"dir,omitempty"`            // working directory, where pyenv's .python-version is looked for; "" to leave that out
}

// DetectPython reads the interpreter at path executable of the view: an absolute path, or a name to look up in
// env.Path. The error is a *NotPythonError, a *BrokenVenvError, fs.ErrNotExist (a dangling link is named), or an error
// of reading.
func DetectPython(view *rootfs.View, executable string, env Environment) (Python, error) {
	argv0 := lookup(view, executable, env)
	if argv0 == "" {
		return Python{}, fmt.Errorf("look for %s on PATH %s: %w", executable, strings.Join(searchPath(env), ":"), fs.ErrNotExist)
	}
	d := detector{view: view, env: env}
	d.Executable = argv0
	if err := d.detect(argv0, 0); err != nil {
		return Python{}, err
	}
	return d.Python, nil
}

// A detector fills one Python, source by source in the order of their trust (docs/abi.md).
type detector struct {
	Python
	view   *rootfs.View
	env    Environment
	exe    *object
	object *object // with the interpreter's code: exe's, or that of libpython
	code   code
	vars   map[string]string // of the sysconfig data, nil without
	detail *buildDetails     // nil without
	home   string            // directory from which the prefix is looked for

	suffixTable []string // of the code object, once tableRead
	tableRead   bool
}

// maxShims bounds how many pyenv shims may lead to one another.
const maxShims = 4

func (d *detector) detect(argv0 string, shims int) error {
	r, err := d.view.Resolve(argv0)
	if err != nil {
		return err
	}
	exe, closeExe, err := openObject(d.view, r.Path)
	if errors.Is(err, errNotELF) || errors.Is(err, rootfs.ErrNotRegular) {
		return d.script(argv0, r, err, shims)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", argv0, err)
	}
	defer closeExe()
	d.Real, d.exe, d.object, d.home = r.Path, exe, exe, path.Dir(r.Path)
	d.Evidence = map[string]string{}
	d.readMachine()
	if err := d.readVenv(argv0); err != nil {
		return err
	}
	closeLibrary, err := d.readCode()
	if err != nil {
		return err
	}
	defer closeLibrary()
	return d.describe()
}

// describe gathers what follows from the interpreter's code and its directories.
func (d *detector) describe() error {
	if err := d.findVersion(); err != nil {
		return err
	}
	if err := d.findPrefix(); err != nil {
		return err
	}
	if err := d.readDescriptions(); err != nil {
		return err
	}
	d.settle()
	d.findSites()
	d.findLibc()
	return nil
}

// script tells of a file that is no program, or follows it when it is a pyenv shim.
func (d *detector) script(argv0 string, r rootfs.Resolved, cause error, shims int) error {
	b, err := d.view.ReadFile(r.Path, maxScript)
	line := shebang(b)
	if err != nil || line == "" {
		return &NotPythonError{Path: argv0, Reason: "is no program: " + cause.Error()}
	}
	root := shimRoot(string(b))
	if root == "" {
		return &NotPythonError{Path: argv0, Reason: "is a script (#!" + line + "), no interpreter", Script: line}
	}
	exe, source := followShim(d.view, root, path.Base(argv0), d.env)
	if exe == "" || shims == maxShims {
		return &NotPythonError{Path: argv0, Script: line, Reason: "is a pyenv shim, and " + source +
			" names no version that is installed in " + path.Join(root, "versions")}
	}
	if err := d.detect(exe, shims+1); err != nil {
		return err
	}
	d.Evidence["executable"] = "pyenv shim, version chosen by " + source
	return nil
}

func (d *detector) readMachine() {
	d.Arch, d.Bits, d.Libc = machineName(d.exe), 32, libcOf(d.exe.interp)
	if d.exe.wide {
		d.Bits = 64
	}
	d.prove("arch", "ELF header of "+d.Real)
	d.prove("bits", "ELF header of "+d.Real)
	if d.exe.interp != "" {
		d.prove("libc", "program interpreter "+d.exe.interp+" of "+d.Real)
	} else {
		d.Static = true
		d.prove("static", "no program interpreter in "+d.Real)
	}
}

var libpythonName = pattern.New(`^lib(python|pypy)(\d)\.?(\d*)([a-z]*)(-c)?\.so`)

// readCode reads the symbols of libpython if the executable needs one, else its own.
func (d *detector) readCode() (func(), error) {
	nothing := func() {}
	for _, name := range d.exe.needed {
		m := libpythonName.FindStringSubmatch(path.Base(name))
		if m == nil {
			continue
		}
		p := findLibrary(d.view, d.exe, d.Real, name, d.env)
		if p == "" {
			return nothing, &NotPythonError{Path: d.Executable, Reason: "can't start: error while loading shared libraries: " +
				originPath(name, d.Real) + ": cannot open shared object file: No such file or directory"}
		}
		o, done, err := openObject(d.view, p)
		if err != nil {
			return nothing, fmt.Errorf("read %s, which %s needs: %w", p, d.Real, err)
		}
		d.Libpython, d.object = p, o
		d.prove("libpython", "DT_NEEDED "+name+" of "+d.Real)
		if d.code, err = readCode(o, p); err != nil {
			done()
			return nothing, fmt.Errorf("read %s: %w", p, err)
		}
		return done, nil
	}
	var err error
	if d.code, err = readCode(d.exe, d.Real); err != nil {
		return nothing, fmt.Errorf("read %s: %w", d.Real, err)
	}
	return nothing, nil
}

// prove records the source of a field, by its JSON name.
func (d *detector) prove(field, source string) { d.Evidence[field] = source }

// conflict records that sources disagree about a field.
func (d *detector) conflict(field string, said ...string) {
	d.Conflicts = append(d.Conflicts, Conflict{Field: field, Said: said})
}
