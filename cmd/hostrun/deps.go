package main

import (
	"os"
	"path/filepath"
	"strings"

	"hostrun.dev/hostrun/profiles"
)

// deps is what a command line depends on besides its words and streams.
type deps struct {
	env     map[string]string // the caller's environment
	dir     string            // the caller's directory
	root    string            // of the machine: "/"
	program string            // where this executable lies; "" when unknown
}

func thisMachine() deps {
	d := deps{env: map[string]string{}, root: "/"}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		d.env[name] = value
	}
	d.dir, _ = os.Getwd() // a directory that is gone shows itself with the first relative path
	if exe, err := os.Executable(); err == nil {
		d.program = filepath.Dir(exe)
	}
	return d
}

// profileDirs returns where profiles are searched, before the built-in ones: the flags', then the project's, the
// person's and the machine's.
func (d deps) profileDirs(first []string) []string {
	dirs := append([]string{}, first...)
	dirs = append(dirs, d.projectDirs()...)
	config := d.env["XDG_CONFIG_HOME"]
	if !filepath.IsAbs(config) { // XDG base directory specification: a relative value is to be ignored
		config = ""
		if d.env["HOME"] != "" {
			config = filepath.Join(d.env["HOME"], ".config")
		}
	}
	if config != "" {
		dirs = append(dirs, filepath.Join(config, "hostrun", "profiles"))
	}
	return append(dirs, "/etc/hostrun/profiles")
}

// projectDirs are where the caller's own directory has profiles: ./profiles, and files with several.
func (d deps) projectDirs() []string {
	dirs := []string{filepath.Join(d.dir, "profiles")}
	for _, name := range profiles.StackFiles {
		if file := filepath.Join(d.dir, name); d.isFile(file) {
			dirs = append(dirs, file)
		}
	}
	return dirs
}

func (d deps) isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}

// libexecDir returns the directory that holds hostrun-log and its like: beside the executable where they were
// built, else where they are installed, first below the prefix of the executable itself.
func (d deps) libexecDir() string {
	dirs := []string{d.program, "", "/usr/local/lib/hostrun", "/usr/lib/hostrun"}
	if d.program != "" {
		dirs[1] = filepath.Join(filepath.Dir(d.program), "lib", "hostrun")
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "hostrun-log")); err == nil {
			return dir
		}
	}
	return d.program
}

// abs makes a path of the command line absolute, from the caller's directory.
func (d deps) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(d.dir, path)
}
