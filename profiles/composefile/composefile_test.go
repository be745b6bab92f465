package composefile

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

var update = flag.Bool("update", false, "rewrite golden files")

// convert turns a text into a stack, in a directory of its own called project.
func convert(t testing.TB, text string) (string, []Field, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stack, fields, err := Convert(File{Path: filepath.Join(dir, "compose.yaml"), Shown: "compose.yaml", Text: []byte(text)}, profiles.Options{Cwd: dir, Env: map[string]string{"HOME": dir}})
	return strings.ReplaceAll(string(stack), dir, "/project"), fields, err
}

func TestConvert(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			stack, fields, err := convert(t, string(text))
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			got.WriteString(stack + "---\n")
			for _, f := range fields {
				fmt.Fprintf(&got, "%3d %-7s %-8s %-28s %s\n", f.Line, f.Outcome, f.Service, f.Key, f.Note)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOutcomes: what becomes of one key.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, service, more string
		key                 string
		outcome             Outcome
		stack               string // a part of it
	}{
		{name: "host's network", service: "network_mode: host", key: "network_mode", outcome: Carried, stack: "network_mode: host"},
		{name: "no network", service: "hostname: a", key: "networks", outcome: Changed, stack: "default: {name: project_default}"},
		{name: "network of its own", service: "networks: [a]", more: "networks: {a: {driver: bridge}}", key: "networks", outcome: Carried, stack: "a: {driver: bridge, name: project_a}"},
		{name: "default described", service: "hostname: a", more: "networks: {default: {internal: true}}", key: "networks.default", outcome: Changed, stack: "default: {internal: true, name: project_default}"},
		{name: "name", service: "container_name: web", key: "container_name", outcome: Carried, stack: "container_name: web"},
		{name: "another name", service: "container_name: other", key: "container_name", outcome: Changed, stack: "default: {aliases: [other]}"},
		{name: "path that is there", service: "volumes: [./:/x]", key: "volumes", outcome: Carried, stack: "volumes: ['./:/x']"},
		{name: "path with options", service: "volumes: ['./no:/x:ro,z']", key: "volumes", outcome: Changed, stack: "read_only: true"},
		{name: "path in the long form", service: "volumes: [{type: bind, source: ./no, target: /x}]", key: "volumes", outcome: Carried, stack: "{type: bind, source: ./no, target: /x}"},
		{name: "the default of a variable", service: "volumes: ['${A:-./no}:/x']", key: "volumes", outcome: Changed, stack: "source: '${A:-./no}'"},
		{name: "an unknown variable", service: "volumes: ['${A?}:/x']", key: "volumes", outcome: Carried, stack: "${A?}:/x"},
		{name: "variable", service: "hostname: a$A", key: "$A", outcome: Changed, stack: "hostname: a${A:-}"},
		{name: "dollars", service: "command: echo $$A", key: "command", outcome: Carried, stack: "command: echo $$A"},
		{name: "default of a variable kept", service: "shm_size: ${SHM:-2gb}", key: "shm_size", outcome: Carried, stack: "shm_size: ${SHM:-2gb}"},
		{name: "windows", service: "isolation: hyperv", key: "isolation", outcome: Dropped},
		{name: "one key of several", service: "deploy: {endpoint_mode: vip, replicas: 2}", key: "deploy.endpoint_mode", outcome: Changed, stack: "deploy: {replicas: 2}"},
		{name: "the only key", service: "deploy: {labels: {a: b}}", key: "deploy.labels", outcome: Changed},
		{name: "restarts", service: "deploy: {restart_policy: {condition: on-failure, max_attempts: 3, window: 120s}}", key: "deploy.restart_policy.window", outcome: Changed, stack: "{condition: on-failure, max_attempts: 3}"},
		{name: "shared memory of the host", service: "ipc: host\n    shm_size: 16gb", key: "shm_size", outcome: Changed, stack: "ipc: host"},
		{name: "a wrong key", service: "imagee: b", key: "imagee", outcome: Open, stack: "imagee: b"},
		{name: "a port without a value", service: "ports: ['${PORT}:80']", key: "ports", outcome: Carried, stack: "${PORT:-}:80"},
		{name: "not a service's", service: "hostname: a", more: "models: {a: {model: b}}", key: "models", outcome: Dropped},
	} {
		t.Run(c.name, func(t *testing.T) {
			stack, fields, err := convert(t, "services:\n  web:\n    image: a\n    "+c.service+"\n"+c.more)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range fields {
				if f.Key == c.key {
					found = true
					if f.Outcome != c.outcome {
						t.Errorf("%s is %s (%s), not %s", f.Key, f.Outcome, f.Note, c.outcome)
					}
				} else if f.Outcome == Open || f.Outcome == Dropped {
					t.Errorf("%s is %s: %s", f.Key, f.Outcome, f.Note)
				}
			}
			if !found {
				t.Errorf("%s is not told of: %+v", c.key, fields)
			}
			if !strings.Contains(stack, c.stack) {
				t.Errorf("no %q in the stack:\n%s", c.stack, stack)
			}
			if c.outcome == Dropped && strings.Contains(stack, c.key[strings.LastIndexByte(c.key, '.')+1:]) {
				t.Errorf("it is still there:\n%s", stack)
			}
		})
	}
}

// TestNoComposeFile: one error that says what it is.
func TestNoComposeFile(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "the file is empty",
		"# nothing\n":                  "the file is empty",
		"image: a\n":                   "no services:",
		"web:\n  image: a\n":           "version 1",
		"services:\n":                  "compose.yaml:1: services: expected a mapping",
		"services: [a]\n":              "compose.yaml:1: services: expected a mapping",
		"services: {a: {image: b}\n":   "compose.yaml:1",
		"- a\n":                        "compose.yaml:1",
		"services: &a {b: {image: *a}": "compose.yaml:1",
	} {
		_, _, err := convert(t, text)
		if err == nil || !strings.Contains(err.Error(), want) || finding.StatusOf(err) != finding.StatusProfile {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzConvert: whatever the file is, the answer is an error or a stack that hostrun reads, but for what is open.
func FuzzConvert(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("services: {a: &a {image: b, <<: *a}}")
	f.Add("services:\n  a: {extends: {service: b}}\n  b: {extends: a, networks: [x], container_name: c}\n")
	f.Fuzz(func(t *testing.T, text string) {
		stack, fields, err := convert(t, text)
		if err != nil {
			return
		}
		open := false
		for _, field := range fields {
			open = open || field.Outcome == Open
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "stack.yaml")
		st := profiles.ReadStack(profiles.Options{Cwd: dir, Text: map[string][]byte{path: []byte(stack)}}, path)
		if st == nil && !open {
			t.Fatalf("the stack is none:\n%s", stack)
		}
		var whole *profiles.StackError
		if _, err := profiles.Load(profiles.Options{Cwd: dir, Text: map[string][]byte{path: []byte(stack)}}, path); !open && !errors.As(err, &whole) {
			t.Fatalf("the stack can't be read: %v\n%s", err, stack)
		}
	})
}
