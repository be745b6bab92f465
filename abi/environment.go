package abi

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// maxScript bounds a start script, in bytes.
const maxScript = 64 << 10

// lookup finds name as a shell does: with a slash it is a path, without one the first executable file on PATH.
func lookup(view *rootfs.View, name string, env Environment) string {
	if strings.Contains(name, "/") {
		return path.Join("/", name)
	}
	for _, dir := range searchPath(env) {
		p := path.Join("/", dir, name)
		if fi, err := view.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p
		}
		if fi, err := view.Lstat(p); err == nil && fi.Mode().Type() != 0 && !view.Exists(p) {
			return p // a dangling link: the error shall name it
		}
	}
	return ""
}

// DefaultPath is the PATH of a container whose image sets none (runc and containerd, "defaultPathEnv").
var DefaultPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

func searchPath(env Environment) []string {
	if len(env.Path) == 0 {
		return DefaultPath
	}
	return env.Path
}

// shebang returns the interpreter's line of a script, "" when b is none.
func shebang(b []byte) string {
	rest, ok := bytes.CutPrefix(b, []byte("#!"))
	if !ok {
		return ""
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strings.TrimSpace(string(line))
}

// shimRoot returns the PYENV_ROOT that a pyenv shim was written for (libexec/pyenv-rehash), "" for other scripts.
func shimRoot(script string) string {
	if !strings.Contains(script, "pyenv\" exec \"$program\"") {
		return ""
	}
	_, rest, ok := strings.Cut(script, "export PYENV_ROOT=\"")
	if !ok {
		return ""
	}
	root, _, _ := strings.Cut(rest, "\"")
	return root
}

// followShim returns the interpreter that the pyenv shim name would run, and where the choice was read: the order is
// pyenv's (PYENV_VERSION, .python-version upwards from the directory, $PYENV_ROOT/version). "system", which also holds
// when nothing is chosen, is the next of that name on PATH. "" means that there is none.
func followShim(view *rootfs.View, root, name string, env Environment) (executable, source string) {
	chosen, source := shimVersions(view, root, env)
	for _, v := range chosen {
		if v == "system" {
			return systemPython(view, root, name, env), source
		}
		if dir := shimVersion(view, root, v); dir != "" {
			if exe := path.Join(root, "versions", dir, "bin", name); view.Exists(exe) {
				return exe, source
			}
		}
	}
	if len(chosen) == 0 {
		return systemPython(view, root, name, env), source
	}
	return "", source
}

// systemPython looks name up on PATH without pyenv's own directory.
func systemPython(view *rootfs.View, root, name string, env Environment) string {
	env.Path = slices.DeleteFunc(slices.Clone(searchPath(env)), func(dir string) bool {
		return path.Clean(dir) == path.Join(root, "shims")
	})
	if len(env.Path) == 0 {
		return ""
	}
	return lookup(view, name, env)
}

func shimVersions(view *rootfs.View, root string, env Environment) ([]string, string) {
	if env.PyenvVersion != "" {
		return strings.Split(env.PyenvVersion, ":"), "PYENV_VERSION"
	}
	var files []string
	if env.Dir != "" {
		for dir := path.Join("/", env.Dir); ; dir = path.Dir(dir) {
			files = append(files, path.Join(dir, ".python-version"))
			if dir == "/" {
				break
			}
		}
	}
	for _, file := range append(files, path.Join(root, "version")) {
		b, err := view.ReadFile(file, maxScript)
		if err != nil {
			continue
		}
		if words := versionWords(string(b)); len(words) > 0 {
			return words, file
		}
	}
	return nil, path.Join(root, "version")
}

func versionWords(text string) []string {
	var words []string
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words = append(words, strings.Fields(line)...)
	}
	return words
}

// shimVersion returns the directory of versions/ that v names: v itself, without "python-", or the newest v.*.
func shimVersion(view *rootfs.View, root, v string) string {
	for _, name := range []string{v, strings.TrimPrefix(v, "python-")} {
		if name != "" && !strings.Contains(name, "..") && view.IsDir(path.Join(root, "versions", name)) {
			return name
		}
	}
	entries, err := view.ReadDir(path.Join(root, "versions"))
	if err != nil {
		return ""
	}
	best, bestVersion := "", Version{}
	for _, e := range entries {
		parsed, ok := parseVersion(e.Name())
		if ok && strings.HasPrefix(e.Name(), strings.TrimPrefix(v, "python-")+".") && (best == "" || parsed.Micro > bestVersion.Micro) {
			best, bestVersion = e.Name(), parsed
		}
	}
	return best
}
