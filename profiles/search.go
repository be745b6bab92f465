package profiles

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"hostrun.dev/hostrun/finding"
)

//go:embed builtin/*.yaml
var builtin embed.FS

const builtinPrefix = "builtin:"

// A source is the file of a profile.
type source struct {
	name    string
	path    string // absolute; below builtin/ for a built-in one
	shown   string // as the caller named it
	builtin bool
	inStack bool // name is that of one profile of the file
}

func (s source) file() string {
	if s.builtin {
		return s.shown
	}
	return s.path
}

// title names it in an error.
func (s source) title() string {
	if s.inStack {
		return s.shown + ":" + s.name
	}
	return s.shown
}

// what says what gives the profile its name.
func (s source) what() string {
	if s.inStack {
		return "the profile"
	}
	return "the file"
}

// dir is where relative paths of the file begin.
func (s source) dir(opt Options) string {
	if s.builtin {
		return opt.Cwd
	}
	return filepath.Dir(s.path)
}

func (s source) read(opt Options) ([]byte, error) {
	if s.builtin {
		return builtin.ReadFile(s.path)
	}
	return opt.read(s.path)
}

func statusOfRead(err error) int {
	if errors.Is(err, fs.ErrPermission) {
		return finding.StatusPermission
	}
	if errors.Is(err, fs.ErrNotExist) {
		return finding.StatusNoPath
	}
	return finding.StatusProfile
}

func remedyOfRead(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "make it readable, or run hostrun as its owner"
	case errors.Is(err, fs.ErrNotExist):
		return "correct the path, or list the profiles by name: hostrun profiles"
	}
	return "a profile is a short text file: check the path"
}

func isPath(name string) bool {
	file, _, _ := cutMember(name)
	return strings.ContainsRune(name, '/') || isFile(file)
}

func stem(file string) string {
	base := filepath.Base(file)
	return strings.TrimSuffix(strings.TrimSuffix(base, ".yaml"), ".yml")
}

// absolute takes a path from the caller's directory.
func absolute(opt Options, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(opt.Cwd, path)
}

// find returns the file of the profile called name.
func find(opt Options, name string) (source, error) {
	if isPath(name) {
		return fromPath(opt, name)
	}
	return findOther(opt, name, source{})
}

// findOther is find for names, passing over the profile except.
func findOther(opt Options, name string, except source) (source, error) {
	for _, dir := range opt.Dirs {
		if isFile(dir) { // a stack
			found := source{name: name, path: absolute(opt, dir), shown: dir, inStack: true}
			if (found.path != except.path || name != except.name) && contains(membersIn(opt, found.path), name) {
				return found, nil
			}
			continue
		}
		for _, suffix := range []string{".yaml", ".yml"} {
			shown := filepath.Join(dir, name+suffix)
			if name == "" || name == "." || name == ".." {
				continue
			}
			fi, err := os.Stat(absolute(opt, shown))
			switch {
			case err == nil && !fi.IsDir() && (absolute(opt, shown) != except.path || except.inStack):
				return source{name: name, path: absolute(opt, shown), shown: shown}, nil
			case err != nil && errors.Is(err, fs.ErrPermission):
				return source{}, finding.Errorf(finding.StatusPermission, "make it readable, or run hostrun as its owner", "find the profile %q in %s: %w", name, dir, cause(err))
			}
		}
	}
	if _, err := fs.Stat(builtin, "builtin/"+name+".yaml"); err == nil && name != "" {
		return source{name: name, path: "builtin/" + name + ".yaml", shown: builtinPrefix + name + ".yaml", builtin: true}, nil
	}
	return source{}, unknown(opt, name)
}

func fromPath(opt Options, name string) (source, error) {
	file, member, inStack := cutMember(name)
	s := source{name: stem(file), path: absolute(opt, file), shown: file, inStack: inStack}
	if inStack {
		s.name = member
	}
	if _, err := os.Stat(s.path); err != nil && opt.Text[s.path] == nil {
		return s, finding.Errorf(statusOfRead(err), remedyOfRead(err), "read the profile %s: %w", name, cause(err))
	}
	return s, nil
}

// unknown is the error about a name that no file has, with up to five that are like it.
func unknown(opt Options, name string) error {
	for _, dir := range opt.Dirs { // a stack that can't be read may have it
		if text, err := readBounded(absolute(opt, dir), maxFile); isFile(dir) && err == nil {
			r := &report{}
			if parse(dir, text, r); r.err() != nil {
				return r.err()
			}
		}
	}
	entries, err := List(opt)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if e.Name != name { // a profile that extends its own name, with nothing behind it
			names = append(names, e.Name)
		}
	}
	hint := "hostrun profiles lists them; a path works too: ./" + name + ".yaml"
	if near := finding.Nearest(name, names, 5); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, ", ") + "?\n" + hint
	}
	where := "the built-in ones"
	if len(opt.Dirs) > 0 {
		where = strings.Join(opt.Dirs, ", ") + " and " + where
	}
	return finding.Errorf(finding.StatusProfile, hint, "find the profile %q: not in %s", name, where)
}

// Exists says whether Load finds a profile of that name, or at that path: one profile, in a file of its own or in a stack. Whether it
// is valid does not matter.
func Exists(opt Options, name string) bool {
	src, err := find(opt, name)
	if err != nil {
		return false
	}
	if src.inStack {
		return contains(membersIn(opt, src.path), src.name)
	}
	return src.builtin || membersIn(opt, src.path) == nil
}

// An Entry is one profile that can be named.
type Entry struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Hidden bool   `json:"hidden,omitempty"` // by one of the same name that comes first
}

// List returns every profile, by name, then in the order of the search.
func List(opt Options) ([]Entry, error) {
	var all []Entry
	for _, dir := range opt.Dirs {
		if isFile(dir) {
			for _, name := range membersIn(opt, absolute(opt, dir)) {
				all = append(all, Entry{Name: name, File: dir})
			}
			continue
		}
		files, err := os.ReadDir(absolute(opt, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, finding.Errorf(statusOfRead(err), "correct its permissions, or leave it out of the search", "list the profiles in %s: %w", dir, cause(err))
		}
		all = append(all, entriesOf(dir, files)...)
	}
	files, err := builtin.ReadDir("builtin")
	if err != nil {
		return nil, fmt.Errorf("list the built-in profiles: %w", err)
	}
	for _, f := range files {
		all = append(all, Entry{Name: stem(f.Name()), File: builtinPrefix + f.Name()})
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	for i := 1; i < len(all); i++ {
		all[i].Hidden = all[i].Name == all[i-1].Name
	}
	return all, nil
}

// entriesOf returns the profiles of one directory, x.yaml before x.yml. What is no profile's name is no profile.
func entriesOf(dir string, files []fs.DirEntry) []Entry {
	var all []Entry
	for _, suffix := range []string{".yaml", ".yml"} {
		for _, f := range files {
			name := strings.TrimSuffix(f.Name(), suffix)
			if f.IsDir() || name == f.Name() || !NameForm.MatchString(name) {
				continue
			}
			all = append(all, Entry{Name: name, File: filepath.Join(dir, f.Name())})
		}
	}
	return all
}
