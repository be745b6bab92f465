package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
)

// A side is one of the two that are compared, with the files of one case or of several.
type side interface {
	title() string
	// do is a verb with its flags about a service; args are a command's words. stdin is "" for none.
	do(stdin, verb string, flags []string, name string, args ...string) result
	up(flags []string, names ...string) result
	foreground(flags []string, names ...string) result // up that stays
	state(name string) state
	log(name string) result
	clear(names []string) result
}

// A state is what each side knows of a container.
type state struct {
	ID       string
	Status   string
	Exit     int
	PID      int
	Health   string
	Restarts int
	Labels   map[string]string
}

// dockerSide is docker compose, with one file.
type dockerSide struct {
	m       *machine
	project string
	file    string
	whole   bool // the file has a directory of its own, whose name is the project's, and names no containers
}

// stageFile writes a whole compose file, which hostrun imports.
func (m *machine) stageFile(s scene) (docker, ours side, err error) {
	dir := filepath.Join(m.dir, "services", "c-"+s.name)
	for path, text := range s.files {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(s.fill(text)), 0o644)); err != nil {
			return nil, nil, err
		}
	}
	file := filepath.Join(dir, "compose.yaml")
	our := &ourSide{m: m, whole: true}
	our.imports(file, filepath.Join(dir, "stack.yaml"))
	return &dockerSide{m: m, project: "c-" + s.name, file: file, whole: true}, our, nil
}

// stage writes the services of some cases, once for each side.
func (m *machine) stage(project string, scenes []scene) (docker, ours side, err error) {
	if len(scenes) == 1 && scenes[0].files != nil {
		return m.stageFile(scenes[0])
	}
	var text strings.Builder
	text.WriteString("services:\n")
	var top strings.Builder
	dir := filepath.Join(m.dir, "services")
	for _, s := range scenes {
		for name, body := range s.services() {
			fmt.Fprintf(&text, "  %s:\n    container_name: %s\n%s", name, name, indent(of("docker", body)))
			if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(of("hostrun", body)), 0o644); err != nil {
				return nil, nil, err
			}
		}
		top.WriteString(s.fill(s.compose))
	}
	text.WriteString(merged(top.String()))
	file := filepath.Join(dir, "compose-"+project+".yml")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		return nil, nil, err
	}
	our := &ourSide{m: m}
	if m.imported {
		our.imports(file, filepath.Join(dir, "stack-"+project+".yaml"))
	}
	return &dockerSide{m: m, project: "c-" + project, file: file}, our, nil
}

// of leaves out the lines of the other side. A line of one side begins with its name and a bar: where compose describes a network at
// the top level, a profile does it where it names the network.
func of(side, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		whose, rest, found := strings.Cut(line, "| ")
		switch {
		case !found || whose != "docker" && whose != "hostrun":
			b.WriteString(line)
		case whose == side:
			b.WriteString(rest)
		}
	}
	return b.String()
}

// merged puts what several cases want at the top level under one key each. Each line there is "key: name: {...}".
func merged(text string) string {
	byKey := map[string][]string{}
	for line := range strings.Lines(text) {
		key, rest, found := strings.Cut(strings.TrimSpace(line), ": ")
		if found {
			byKey[key] = append(byKey[key], rest)
		}
	}
	var b strings.Builder
	for _, key := range sortedKeys(byKey) {
		fmt.Fprintf(&b, "%s:\n", key)
		seen := map[string]bool{}
		for _, one := range byKey[key] {
			if !seen[one] {
				fmt.Fprintf(&b, "  %s\n", one)
			}
			seen[one] = true
		}
	}
	return b.String()
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + line)
	}
	return b.String()
}

func (d *dockerSide) title() string { return "docker" }

func (d *dockerSide) compose(stdin string, args ...string) result {
	words := []string{d.m.program, "-p", d.project, "-f", d.file}
	if d.whole { // the name is the directory's, or what the file says
		words = []string{d.m.program, "-f", d.file}
	}
	return d.m.runWith(stdin, append(words, args...)...)
}

func (d *dockerSide) do(stdin, verb string, flags []string, name string, args ...string) result {
	words := []string{verb}
	switch verb {
	case "run":
		words = append(words, "--rm", "--quiet-pull")
		if !contains(flags, "-t") {
			words = append(words, "-T")
		}
		if stdin != "" && !contains(flags, "-i") {
			words = append(words, "-i")
		}
	case "exec":
		if !contains(flags, "-t") {
			words = append(words, "-T")
		}
	case "logs":
		words = append(words, "--no-log-prefix", "--no-color")
	}
	words = append(words, without(flags, "-t", verb == "run" || verb == "exec")...)
	words = append(append(words, name), args...)
	return d.compose(stdin, words...)
}

func (d *dockerSide) up(flags []string, names ...string) result {
	words := append([]string{"up", "-d", "--quiet-pull"}, flags...)
	return d.compose("", append(words, names...)...)
}

// foreground is up that stays.
func (d *dockerSide) foreground(flags []string, names ...string) result {
	words := append([]string{"up", "--quiet-pull"}, flags...)
	return d.compose("", append(words, names...)...)
}

func (d *dockerSide) state(name string) state {
	var all []struct {
		ID           string
		RestartCount int
		State        struct {
			Status        string
			Pid, ExitCode int
			Health        struct{ Status string }
		}
		Config struct{ Labels map[string]string }
	}
	r := d.m.run("docker", "inspect", "--type", "container", d.container(name))
	if json.Unmarshal([]byte(r.out), &all) != nil || len(all) != 1 {
		return state{Status: "none"}
	}
	one := all[0]
	s := state{ID: one.ID, Status: one.State.Status, Exit: one.State.ExitCode, PID: one.State.Pid, Health: one.State.Health.Status, Restarts: one.RestartCount, Labels: map[string]string{}}
	for k, v := range one.Config.Labels {
		if !strings.HasPrefix(k, "com.docker.compose") {
			s.Labels[k] = v
		}
	}
	return s
}

// container is what a service's first container is called.
func (d *dockerSide) container(name string) string {
	if !d.whole {
		return name
	}
	all := strings.Fields(d.compose("", "ps", "--all", "--quiet", name).out)
	if len(all) == 0 {
		return name
	}
	return all[0]
}

func (d *dockerSide) log(name string) result { return d.m.run("docker", "logs", d.container(name)) }

func (d *dockerSide) clear([]string) result {
	return d.compose("", "down", "--volumes", "--remove-orphans", "--timeout", "0")
}

// ourSide is hostrun, with a profile for each service, or with a stack that `hostrun import compose` has made of docker's own file.
type ourSide struct {
	m      *machine
	stack  string
	whole  bool    // the stack is all there is: up starts all of it
	broken *result // of the import, where it has failed
}

// imports makes a stack of a compose file.
func (o *ourSide) imports(file, stack string) {
	o.stack = stack
	if r := o.hostrun("", "import", "compose", "--force", "--allow-drops", "-o", stack, file); r.status != 0 {
		o.broken = &r
	}
}

// member is what starts a service: its profile's name, or its place in the stack.
func (o *ourSide) member(name string) string {
	if o.stack == "" {
		return name
	}
	return o.stack + ":" + name
}

func (o *ourSide) title() string { return "hostrun" }

func (o *ourSide) hostrun(stdin string, args ...string) result {
	return o.m.runWith(stdin, append([]string{filepath.Join(o.m.bin, "hostrun"), "--profile-dir", filepath.Join(o.m.dir, "services"), "--progress", "quiet"}, args...)...)
}

func (o *ourSide) do(stdin, verb string, flags []string, name string, args ...string) result {
	words := []string{verb}
	if verb == "run" || verb == "build" || verb == "pull" {
		name = o.member(name)
	}
	if verb == "run" || verb == "exec" {
		if !contains(flags, "-t") {
			words = append(words, "-T")
		}
		if stdin != "" && !contains(flags, "-i") {
			words = append(words, "-i")
		}
	}
	words = append(append(words, flags...), name)
	if len(args) > 0 && (verb == "run" || verb == "exec" || verb == "up") {
		words = append(words, "--")
	}
	return o.hostrun(stdin, append(words, args...)...)
}

func (o *ourSide) up(flags []string, names ...string) result {
	if o.broken != nil {
		return *o.broken
	}
	words := append([]string{"up"}, flags...)
	for _, name := range names {
		words = append(words, o.member(name))
	}
	if o.whole && len(names) == 0 {
		words = append(words, o.stack)
	}
	return o.hostrun("", words...)
}

func (o *ourSide) foreground(flags []string, names ...string) result {
	return o.up(append([]string{"--attach"}, flags...), names...)
}

func (o *ourSide) state(name string) state {
	var one struct {
		Status     string            `json:"status"`
		Health     string            `json:"health"`
		PID        int               `json:"pid"`
		Exit       *int              `json:"exit_status"`
		Restarts   int               `json:"restarts"`
		RestartAt  *time.Time        `json:"restart_at"`
		Labels     map[string]string `json:"labels"`
		FinishedAt *time.Time        `json:"finished_at"`
	}
	r := o.hostrun("", "inspect", "--format", "json", name)
	if json.Unmarshal([]byte(r.out), &one) != nil {
		return state{Status: "none"}
	}
	s := state{ID: name, Status: one.Status, PID: one.PID, Health: one.Health, Restarts: one.Restarts, Labels: map[string]string{}}
	if one.Exit != nil {
		s.Exit = *one.Exit
	}
	for k, v := range one.Labels {
		if !strings.HasPrefix(k, "hostrun.dev/") && !strings.HasPrefix(k, "containerd.io/") && !strings.HasPrefix(k, "io.containerd.") {
			s.Labels[k] = v
		}
	}
	return s
}

func (o *ourSide) log(name string) result { return o.hostrun("", "logs", name) }

func (o *ourSide) clear(names []string) result {
	if o.whole {
		return o.hostrun("", "down", "-y", "-v", "-t", "0", o.stack)
	}
	r := o.hostrun("", append([]string{"down", "-y", "-t", "0"}, names...)...)
	volumes, _ := filepath.Glob(filepath.Join(o.m.dir, "data", "volumes", "*"))
	for _, v := range volumes {
		_ = os.RemoveAll(v)
	}
	return r
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// without drops a word from a list, if drop is set.
func without(list []string, word string, drop bool) []string {
	var rest []string
	for _, w := range list {
		if !drop || w != word {
			rest = append(rest, w)
		}
	}
	return rest
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

var (
	bridgeGateway = regexp.MustCompile(`\b(172\.(1[6-9]|2[0-9]|3[01])|10\.21[01]|192\.168)\.\d+\.1\b`)
	bridgeAddress = regexp.MustCompile(`\b(172\.(1[6-9]|2[0-9]|3[01])|10\.21[01]|192\.168)\.\d+\.\d+\b`)
)

// neutral takes out of a text what is another each time: addresses on networks that nobody described, and the container's ID,
// which is random in docker and the profile's name in hostrun.
func neutral(text, id string, ours bool) string {
	if !ours && len(id) >= 12 {
		text = strings.ReplaceAll(text, id, "ID")
		text = strings.ReplaceAll(text, id[:12], "ID")
	}
	if ours && text == id {
		text = "ID"
	}
	text = bridgeGateway.ReplaceAllString(text, "GATEWAY")
	return bridgeAddress.ReplaceAllString(text, "ADDRESS")
}
