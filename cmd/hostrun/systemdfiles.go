package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"hostrun.dev/hostrun/devices/cdi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/unit"
)

// services are profiles as units of one systemd: the machine's, or a person's.
type services struct {
	s        *session
	user     bool
	root     string // of the machine
	dir      string // of the units that are written here; without root
	vendor   []string
	template string
	program  string
	version  int // of systemd
	found    map[string]*service
}

// A service is one profile.
type service struct {
	name string // of its container
	text string // of its drop-in
}

func (s *session) newServices(ctx context.Context, o systemdOptions) (*services, error) {
	v := &services{s: s, user: o.user, root: s.root, dir: "/etc/systemd/system", found: map[string]*service{},
		vendor: []string{"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}}
	if o.user {
		config := s.env["XDG_CONFIG_HOME"]
		if !filepath.IsAbs(config) {
			if s.env["HOME"] == "" {
				return nil, finding.Errorf(finding.StatusUsage, "set HOME", "hostrun systemd --user: it is not known whose, as HOME is not set")
			}
			config = filepath.Join(s.env["HOME"], ".config")
		}
		v.dir, v.vendor = filepath.Join(config, "systemd", "user"), []string{"/usr/local/lib/systemd/user", "/usr/lib/systemd/user"}
	}
	v.program = o.program
	if v.program == "" {
		v.program = s.executable()
	}
	v.template, v.version = unit.Template(v.program, o.user), systemdVersion(ctx)
	return v, nil
}

// executable is the path of this program, as a unit is to have it.
func (s *session) executable() string {
	if s.program == "" {
		return "/usr/local/bin/hostrun"
	}
	return filepath.Join(s.program, "hostrun")
}

// systemdVersion is 0 where there is none.
func systemdVersion(ctx context.Context) (n int) {
	out, err := exec.CommandContext(ctx, "systemctl", "--version").Output()
	if err == nil {
		_, _ = fmt.Sscanf(string(out), "systemd %d", &n)
	}
	return n
}

// add reads profiles, and those that they depend on, as the services will. It returns those that the name means: one, the replicas of one,
// or all of a stack's file.
func (v *services) add(name string) (asked []*service, err error) {
	if all := v.inStack(name); all != nil {
		var errs []error
		for _, one := range all {
			some, err := v.add(one)
			asked, errs = append(asked, some...), append(errs, err)
		}
		return asked, severally(errs)
	}
	env := v.environment(containerName(name))
	ctx := context.Background()
	st, err := v.withEnvironment(env).stackOf(ctx, []string{name}, stackOptions{})
	if err != nil {
		if _, plain := v.s.stackOf(ctx, []string{name}, stackOptions{}); plain == nil {
			return nil, finding.Errorf(finding.StatusOf(err), "the service has none of your shell's variables: put them into "+v.envFile(containerName(name)), "%w", err)
		}
		return nil, err
	}
	units := map[string][]string{}
	for _, m := range st.members {
		units[m.profile.Name] = append(units[m.profile.Name], unit.Name(m.id))
	}
	for _, m := range st.members {
		if v.found[m.id] == nil {
			o := v.options(m.profile, env)
			o.Units = units
			if o.Replica = m.replica; m.replica > 0 {
				o.EnvironmentFile = v.envFile(m.profile.Name)
			}
			v.found[m.id] = &service{name: m.id, text: unit.DropIn(m.profile, o)}
		}
		if m.asked {
			asked = append(asked, v.found[m.id])
		}
	}
	return asked, nil
}

// inStack are the profiles of a stack whose file is named; nil where one profile is.
func (v *services) inStack(name string) (names []string) {
	if whole := profiles.ReadStack(v.s.profileOptions(), name); whole != nil {
		for _, one := range whole.Profiles {
			names = append(names, whole.Member(one))
		}
	}
	return names
}

// installed are the containers that a name's units are for: its own, those of its replicas, or of a stack's profiles.
func (v *services) installed(name string) (ids []string) {
	if all := v.inStack(name); all != nil {
		for _, one := range all {
			ids = append(ids, v.installed(one)...)
		}
		return ids
	}
	profile := containerName(name)
	files, _ := filepath.Glob(filepath.Join(v.root, v.dropInFile(profile+"-*")))
	for _, file := range files {
		id := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(filepath.Dir(file)), "hostrun@"), ".service.d")
		text, _ := os.ReadFile(file)
		if replicaNumber(id, profile) > 0 && bytes.Contains(text, []byte(" --replica=")) {
			ids = append(ids, id)
		}
	}
	return append(ids, profile)
}

// withEnvironment is the session with another environment, that finds the same profiles.
func (v *services) withEnvironment(env map[string]string) *session {
	one := &session{deps: v.s.deps, global: v.s.global, log: v.s.log, progress: v.s.progress, stderr: v.s.stderr, line: v.s.line, signals: v.s.signals}
	for _, dir := range v.s.profileOptions().Dirs[len(v.s.global.profileDirs.Value()):] {
		_ = one.global.profileDirs.Set(dir) // it refuses nothing
	}
	one.env = env
	return one
}

func (v *services) envFile(name string) string {
	if v.user {
		return filepath.Join(filepath.Dir(filepath.Dir(v.dir)), "hostrun", name+".env")
	}
	return "/etc/hostrun/" + name + ".env"
}

// environment is what a service has: what systemd gives to all, what leads to the Python of whoever installs it, and its own file.
func (v *services) environment(name string) map[string]string {
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}
	for name, value := range v.s.env {
		if recordedName(name) {
			env[name] = value
		}
	}
	text, _ := os.ReadFile(filepath.Join(v.root, v.envFile(name))) // it need not be there
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, value, ok := strings.Cut(line, "="); ok && !strings.ContainsAny(line[:1], "#;") {
			env[strings.TrimSpace(name)] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return env
}

// recordedName says whether a variable of whoever installs a unit goes along.
func recordedName(name string) bool {
	return leadsToPython(name) && !strings.HasPrefix(name, "XDG_")
}

// options say what the drop-in has to tell of whoever installs it.
func (v *services) options(p *profiles.Profile, env map[string]string) unit.Options {
	o := unit.Options{Program: v.program, Version: v.version, User: v.user, Environment: v.s.globalsAsEnvironment()}
	for name := range v.s.env {
		if recordedName(name) && (name == "HOME" || p.Python.Interpreter == "auto") {
			o.Environment = append(o.Environment, name+"="+env[name])
		}
	}
	slices.Sort(o.Environment)
	if p.Stack != nil {
		o.ProfileDirs = []string{p.Stack.File}
	} else if dir := filepath.Dir(p.File); filepath.IsAbs(p.File) && dir != "/etc/hostrun/profiles" {
		o.ProfileDirs = []string{dir}
	}
	return o
}

// globalsAsEnvironment are the global flags of this line that a service has to have, too.
func (s *session) globalsAsEnvironment() []string {
	var env []string
	g := s.global
	if g.address != "" {
		env = append(env, "CONTAINERD_ADDRESS="+s.abs(strings.TrimPrefix(g.address, "unix://")))
	}
	for _, f := range []struct {
		name, value, usual string
		path               bool
	}{
		{"HOSTRUN_ENGINE", g.engine, "auto", false},
		{"HOSTRUN_NAMESPACE", g.namespace, "hostrun", false},
		{"HOSTRUN_STATE_DIR", g.stateDir, "/run/hostrun", true},
		{"HOSTRUN_DATA_DIR", g.dataDir, "/var/lib/hostrun", true},
		{"HOSTRUN_CACHE_DIR", g.cacheDir, "/var/cache/hostrun", true},
		{"HOSTRUN_LIBEXEC_DIR", g.libexecDir, "", true},
		{"HOSTRUN_SYSTEM_ADDRESS", g.systemAddress, "/run/containerd/containerd.sock", true},
		{"HOSTRUN_CDI_SPEC_DIRS", g.cdiDirs, strings.Join(cdi.Dirs, ","), false},
	} {
		if f.value == f.usual {
			continue
		}
		if f.path && f.value != "" {
			f.value = s.abs(f.value)
		}
		env = append(env, f.name+"="+f.value)
	}
	return env
}

// write writes what is not there already, and returns the files.
func (v *services) write() (written []string, err error) {
	files := map[string]string{}
	template, err := v.ownTemplate()
	if err != nil {
		return nil, err
	}
	if template != "" {
		files[v.templateFile()] = template
	}
	for _, one := range v.found {
		files[v.dropInFile(one.name)] = one.text
	}
	for file, text := range files {
		path := filepath.Join(v.root, file)
		if have, err := os.ReadFile(path); err == nil && string(have) == text {
			continue
		}
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			return written, fileError("write", path, err)
		}
		written = append(written, file)
	}
	slices.Sort(written)
	return written, nil
}

// noteRunning tells of services that run as they were before these files were written.
func (v *services) noteRunning(ctx context.Context, written []string) {
	for _, one := range v.found {
		if !slices.Contains(written, v.dropInFile(one.name)) {
			continue
		}
		if state, err := v.ask(ctx, "is-active", unit.Name(one.name)); err == nil && strings.TrimSpace(state) == "active" {
			v.s.note("%s runs as it was started; limits hold at once, the rest after %s", unit.Name(one.name), v.command("restart", unit.Name(one.name)))
		}
	}
}

// command is a line that a person may type.
func (v *services) command(words ...string) string {
	if v.user {
		words = append([]string{"--user"}, words...)
	}
	return "systemctl " + strings.Join(words, " ")
}

// knows says whether a service was installed, or is at work all the same.
func (v *services) knows(ctx context.Context, id string) bool {
	if _, err := os.Lstat(filepath.Join(v.root, v.dropInFile(id))); err == nil {
		return true
	}
	if links, _ := filepath.Glob(filepath.Join(v.root, v.dir, "*.wants", unit.Name(id))); len(links) > 0 {
		return true
	}
	if !v.booted() {
		return false
	}
	state, _ := v.ask(ctx, "is-active", unit.Name(id)) // its status is that of the service
	return !slices.Contains([]string{"inactive", "unknown"}, strings.TrimSpace(state))
}

// remove removes the drop-in of one.
func (v *services) remove(name string) error {
	file := filepath.Join(v.root, v.dropInFile(name))
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError("remove", file, err)
	}
	_ = os.Remove(filepath.Dir(file)) // unless there is more in it
	return nil
}

// booted says whether the systemd that reads these units runs (sd_booted(3)).
func (v *services) booted() bool {
	at := "/run/systemd/system"
	if v.user {
		at = filepath.Join(v.s.env["XDG_RUNTIME_DIR"], "systemd")
	}
	_, err := os.Stat(at)
	return v.root == "/" && err == nil && (!v.user || v.s.env["XDG_RUNTIME_DIR"] != "")
}

// disable ends a service, where systemd knows of it.
func (v *services) disable(ctx context.Context, name string) error {
	if v.booted() {
		state, err := v.ask(ctx, "show", "--property=LoadState", "--value", unit.Name(name))
		if err == nil && strings.TrimSpace(state) == "not-found" {
			return nil
		}
		return v.systemctl(ctx, "disable", "--now", unit.Name(name))
	}
	links, _ := filepath.Glob(filepath.Join(v.root, v.dir, "*.wants", unit.Name(name)))
	for _, link := range links {
		if err := os.Remove(link); err != nil {
			return fileError("remove", link, err)
		}
		_ = os.Remove(filepath.Dir(link)) // unless there is more in it
	}
	return nil
}

func (v *services) systemctl(ctx context.Context, words ...string) error {
	said, err := v.ask(ctx, words...)
	if err == nil {
		return nil
	}
	hint := v.command(words...)
	if words[0] == "enable" {
		hint = "see why: journalctl " + map[bool]string{true: "--user "}[v.user] + "-u " + words[len(words)-1]
	}
	return finding.Errorf(finding.StatusTryAgain, hint, "%s: %s: %w: %s", finding.NoSystemd, v.command(words...), err, strings.TrimSpace(said))
}

// ask runs systemctl and returns what it says.
func (v *services) ask(ctx context.Context, words ...string) (string, error) {
	if v.user {
		words = append([]string{"--user"}, words...)
	}
	if v.root != "/" {
		words = append([]string{"--root=" + v.root}, words...)
	}
	out, err := exec.CommandContext(ctx, "systemctl", words...).CombinedOutput()
	return string(out), err
}
