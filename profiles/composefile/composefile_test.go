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
		{name: "no mode of network", service: "network_mode: ${MODE:-}", key: "network_mode", outcome: Changed, stack: "networks: [default]"},
		{name: "nothing for text", service: "user: ${USER_OF:-}\n    runtime: ${RUNTIME:-}", key: "runtime", outcome: Carried, stack: "runtime: ${RUNTIME:-}"},
		{name: "nothing for a device's ids", service: "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 1, device_ids: null, driver: ''}]}}}", key: "deploy", outcome: Carried, stack: "device_ids: null"},
		{name: "no network", service: "hostname: a", key: "networks", outcome: Changed, stack: "default: {name: project_default}"},
		{name: "network of its own", service: "networks: [a]", more: "networks: {a: {driver: bridge}}", key: "networks", outcome: Carried, stack: "a: {driver: bridge, name: project_a}"},
		{name: "network of an interface", service: "networks: {a: {ipv4_address: 192.0.2.9}}", more: "networks: {a: {driver: macvlan, driver_opts: {parent: eth0}, ipam: {config: [{subnet: 192.0.2.0/24, aux_addresses: {b: 192.0.2.5}}]}}}", key: "networks", outcome: Carried, stack: "driver: macvlan, driver_opts: {parent: eth0}"},
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
		{name: "a number", service: "environment: {V: 1.10, W: True}", key: "environment.V", outcome: Changed, stack: `{V: "1.1", W: "true"}`},
		{name: "a label's number", service: "labels: {v: 0x10}", key: "labels.v", outcome: Changed, stack: `{v: "16"}`},
		{name: "built", service: "build: .", key: "image", outcome: Carried, stack: "image: a"},
		{name: "docker's network", service: "networks: [m]", more: "networks: {m: {external: true, name: host}}", key: "networks", outcome: Changed, stack: "network_mode: host"},
		{name: "docker's network, old form", service: "networks: {m: }", more: "networks: {m: {external: {name: none}}}", key: "networks.m", outcome: Changed, stack: "network_mode: none"},
		{name: "docker's network by its own name", service: "networks: [host]", more: "networks: {host: {external: true}}", key: "networks", outcome: Changed, stack: "network_mode: host"},
		{name: "docker's network for all", service: "hostname: a", more: "networks: {default: {external: true, name: host}}", key: "networks", outcome: Changed, stack: "network_mode: host"},
		{name: "nothing in one line", service: "networks: {a: , b: {aliases: [x]}}", more: "networks: {a: , b: }", key: "networks", outcome: Carried, stack: "networks: {a: null, b: {aliases: [x]}}"},
		{name: "the caller's in one line", service: "environment: {A: , B: b}", key: "environment", outcome: Carried, stack: "environment: {A: null, B: b}"},
		{name: "the project's name", service: "hostname: $COMPOSE_PROJECT_NAME", key: "$COMPOSE_PROJECT_NAME", outcome: Changed, stack: "hostname: ${COMPOSE_PROJECT_NAME:-project}"},
		{name: "labels of volumes", service: "volumes: ['v:/v']", more: "volumes: {v: {labels: {a: b}}}", key: "volumes.v", outcome: Changed, stack: "v: {labels: {a: b}, name: project_v}"},
		{name: "a file system", service: "volumes: ['v:/v']", more: "volumes: {v: {driver_opts: {type: nfs, o: addr=10.0.0.5, device: ':/x'}}}", key: "volumes.v", outcome: Changed, stack: "type: nfs"},
		{name: "a variable twice", service: "environment: [A=1, B=b, A=2]", key: "environment.A", outcome: Changed, stack: "environment: [B=b, A=2]"},
		{name: "a driver of logging", service: "logging: {driver: syslog, options: {syslog-address: x}}", key: "logging", outcome: Dropped},
		{name: "an image's files", service: "volumes: [{type: image, source: b, target: /b, image: {subpath: x}}, 'v:/v']", more: "volumes: {v: {name: v}}", key: "volumes[0]", outcome: Dropped, stack: "volumes: ['v:/v']"},
		{name: "docker's options of an endpoint", service: "networks: {n: {driver_opts: {com.docker.network.endpoint.sysctls: x}}}", more: "networks: {n: {name: n}}", key: "networks.n.driver_opts.com.docker.network.endpoint.sysctls", outcome: Dropped},
		{name: "docker's socket", service: "volumes: [./docker.sock:/var/run/docker.sock]", key: "volumes", outcome: Open, stack: "./docker.sock:/var/run/docker.sock"},
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

// TestBuiltImage: what is built has compose's name, so that two stacks with a service of one name have two images.
func TestBuiltImage(t *testing.T) {
	stack, _, err := convert(t, "services:\n  web: {build: .}\n  other: {extends: {service: web}}\n  named: {build: ., image: mine}\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"image: project-web", "image: project-other", "image: mine"} {
		if !strings.Contains(stack, want) {
			t.Errorf("no %q:\n%s", want, stack)
		}
	}
}

// TestSharedNodes: what several places share, by anchors, merge keys or extends, is written anew for each of them. The first one's was the others', too, or
// what an alias leads to had gone.
func TestSharedNodes(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // of the stack
		not  []string
	}{
		"a container's name of two": {text: "x-o: &o {image: a, container_name: ollama}\nservices:\n  cpu: {<<: *o, tags: [cc]}\n  gpu: {<<: *o}\n",
			want: []string{"cpu: {<<: *o, tags: [cc], networks: {default: {aliases: [ollama]}}}", "gpu: {<<: *o, networks: {default: {aliases: [ollama]}}}"}},
		"docker's network of two": {text: "x-o: &o {image: a, networks: [machine]}\nservices: {a: {<<: *o}, b: {<<: *o}}\nnetworks: {machine: {external: true, name: host}}\n",
			want: []string{"a: {<<: *o, network_mode: host}", "b: {<<: *o, network_mode: host}"}},
		"shared memory of one": {text: "x-p: &p {image: a, ipc: host, shm_size: 1g}\nservices: {c: {<<: *p}, d: {<<: *p, ipc: private}}\n",
			want: []string{"d: {<<: *p, ipc: private, shm_size: 1g", "x-p: &p {image: a, ipc: host}"}},
		"names of its own": {text: "services:\n  g: &g {image: a, container_name: gg}\n  h: {<<: *g, container_name: hh}\n",
			want: []string{"h: {<<: *g, networks: {default: {aliases: [hh]}}}", "g: &g {image: a, networks: {default: {aliases: [gg]}}}"}},
		"a name that is the service's": {text: "services:\n  g: &g {image: a, container_name: g}\n  h: {<<: *g, container_name: hh}\n",
			want: []string{"h: {<<: *g, container_name: h, networks: {default: {aliases: [hh]}}}"}},
		"a volume that is made":    {text: "services:\n  a: {image: a, volumes: [&v ./no:/no]}\n  b: {image: a, volumes: [*v]}\n", want: []string{"b: {image: a, volumes: [{type: bind, source: ./no, target: /no, bind: {create_host_path: true}}]"}},
		"an anchor of what goes":   {text: "version: &v \"3.8\"\nservices: {a: {image: a, container_name: &n other, hostname: *n, labels: {v: *v}}}\n", want: []string{"hostname: other, labels: {v: \"3.8\"}"}},
		"one for several volumes":  {text: "services: {a: {image: a, volumes: ['v:/v', 'w:/w']}}\nvolumes: {v: &d {driver: local}, w: *d}\n", want: []string{"v: &d {driver: local, name: project_v}", "w: {driver: local, name: project_w}"}},
		"networks that are merged": {text: "x-n: &n {front: {}}\nservices: {a: {image: a, networks: [front]}}\nnetworks: {<<: *n, back: {}}\n", want: []string{"front: {name: project_front}", "back: {name: project_back}"}},
		"a whole service":          {text: "services:\n  a: &a {build: .}\n  b: *a\n", want: []string{"image: project-a", "image: project-b"}},
		"a container of the file":  {text: "services:\n  vpn: {image: a, container_name: my-vpn}\n  b: {image: a, network_mode: 'container:my-vpn', pid: 'container:my-vpn', volumes_from: ['container:my-vpn:ro'], external_links: ['my-vpn:v']}\n", want: []string{"container:vpn", "'vpn:ro'", "'vpn:v'"}, not: []string{"my-vpn:"}},
		"no networks":              {text: "services: {a: {image: a, networks: []}, b: {image: a, networks: {}}}\n", want: []string{"a: {image: a, networks: [default]}", "b: {image: a, networks: [default]}"}},
		"options of a network":     {text: "services: {a: {image: a, networks: {n: {interface_name: x}}}}\nnetworks: {n: {}}\n", want: []string{"networks: {n: {}}"}},
		"folded lines":             {text: "services:\n  a:\n    image: a\n    command: >\n      serve \\\n        --port 1 \\\n        --tp 2\n", want: []string{"      serve \\\n        --port 1 \\\n        --tp 2\n"}},
		"comments at the end":      {text: "services:\n  a:\n    image: a\n    volumes:\n      - ./no:/no\n      # - ./old:/old\n\n# the end\n", want: []string{"# - ./old:/old", "\n# the end\n"}},
		"one of a name":            {text: "services:\n  a: {image: a, container_name: a, scale: 1}\n  b: {image: a, container_name: bb, deploy: {replicas: '${N:-1}', labels: {x: y}}}\n", want: []string{"a: {image: a, container_name: a, networks", "b: {image: a, networks"}, not: []string{"scale", "replicas"}},
		"dollar signs":             {text: "services:\n  a:\n    image: a\n    environment: {A: '$(date)', B: a$1b, C: '$$C', D: '50$', E: '${E:-$2a$14$x}'}\n    healthcheck: {test: [CMD-SHELL, 'wget $(hostname)']}\n", want: []string{"A: '$$(date)', B: a$$1b, C: '$$C', D: '50$$', E: '${E:-$$2a$$14${x:-}}'", "'wget $$(hostname)'"}},
		"the project's name":       {text: "services: {a: {image: a, hostname: '${COMPOSE_PROJECT_NAME:-other}', user: 'a$${COMPOSE_PROJECT_NAME:-x}'}}\n", want: []string{"${COMPOSE_PROJECT_NAME:-project}", "$${COMPOSE_PROJECT_NAME:-x}"}},
		"an image without a name":  {text: "services: {a: {build: ., image: '${NOPE}'}}\n", want: []string{"image: project-a"}},
		"a name with a space":      {text: "name: My Proj\nservices: {a: {image: a}}\n", want: []string{"name: myproj\n", "myproj_default"}},
	} {
		t.Run(name, func(t *testing.T) {
			stack, fields, err := convert(t, c.text)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(stack, want) {
					t.Errorf("no %q:\n%s", want, stack)
				}
			}
			for _, not := range c.not {
				if strings.Contains(stack, not) {
					t.Errorf("%q is there:\n%s", not, stack)
				}
			}
			for _, f := range fields {
				if f.Outcome == Open {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// TestOpenElsewhere: the report is what check says: of files beside the stack, of a service as a whole, of a variable that is meant to be empty, in words about
// the compose file; and what compose refuses is no success.
func TestOpenElsewhere(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{".env": "A=${NOPE}\nKEY=${KEY}\n", "job.env": "X=1\nB=${NOPE2}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := `services:
  first: {hostname: a}
  second:
    image: "b:${A}"
    env_file: job.env
    user: "${NONE:-}x y"
    environment: {KEY: "${KEY}"}
  third:
    image: a
    container_name: other
    volumes: ["./a:/x", "nothing:/y"]
    tmpfs: [/x]
    depends_on: [gone]
    networks: [gone]
    secrets: [gone]
`
	_, fields, err := Convert(File{Path: filepath.Join(dir, "compose.yaml"), Shown: "compose.yaml", Text: []byte(text)}, profiles.Options{Cwd: dir})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range fields {
		if f.Outcome == Open {
			fmt.Fprintf(&got, "%d %s %s: %s\n", f.Line, f.Service, f.Key, f.Note)
		}
	}
	for _, want := range []string{" .env: .env:1: the value of A: variable NOPE is not set", " .env: .env:2: the value of KEY: variable KEY is not set", " job.env: job.env:2: the value of B", "2 first image: is missing", "6 second user: ", "third tmpfs: two mounts have the target /x: the first in line 11",
		"14 third networks: gone is none", "third depends_on: gone is none of the file's services:", "third networks: gone is none", "third secrets: gone is none", "third volumes: nothing is none"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("no %q:\n%s", want, got.String())
		}
	}
	if strings.Contains(got.String(), stackName) || strings.Contains(got.String(), "networks.gone") {
		t.Errorf("a file that nobody sees:\n%s", got.String())
	}
}

// TestProjectVariables: COMPOSE_PROJECT_NAME goes before name:, and what COMPOSE_PROFILES of .env names is started with the others.
func TestProjectVariables(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte("COMPOSE_PROFILES=debug,x\nCOMPOSE_PROJECT_NAME=Said\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := "name: written\nservices:\n  web: {image: \"a:${COMPOSE_PROJECT_NAME}\", profiles: [debug]}\n  off: {image: a, profiles: [off]}\nvolumes: {v: }\n"
	stack, _, err := Convert(File{Path: filepath.Join(dir, "compose.yaml"), Shown: "compose.yaml", Text: []byte(text)}, profiles.Options{Cwd: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: said_v", `web: {image: "a:${COMPOSE_PROJECT_NAME}"`, "off: {image: a, tags: [off]"} {
		if !strings.Contains(string(stack), want) {
			t.Errorf("no %q:\n%s", want, stack)
		}
	}
	if strings.Contains(string(stack), "tags: [debug]") {
		t.Errorf("web would not be started:\n%s", stack)
	}
}

// TestMergeTags: files with tags that take back what a merge brings are compose's library's to read.
func TestMergeTags(t *testing.T) {
	for text, want := range map[string]string{
		"services: {a: &a {image: b, ports: [1]}, c: {<<: *a, ports: !reset []}}": "!reset",
		"services: {a: {image: b, environment: !override {A: b}}}":                "!override",
		"services: {a: {image: b, environment: {A: \"!reset\"}}}":                 "",
		"include: [x]\nservices: {a: {image: b}}":                                 "include:",
		"include: [x]": "include:",
		"services: {a: {image: b}}\n---\nservices: {c: {image: b}}":              "several documents",
		"---\nservices: {a: {image: b}}\n---\n":                                  "several documents",
		"services: {a: {image: b, container_name: n}, c: {extends: a}}":          "extends: and container_name:",
		"x-b: &b {extends: {file: f.yaml, service: s}}\nservices: {a: {<<: *b}}": "extends: {file: ...}",
		"services: {a: {image: b}, c: {extends: a, container_name: n}}":          "extends: and container_name:",
		"services: {a: {image: b}, c: {extends: a}}":                             "",
	} {
		if got, err := Several(File{Path: "/compose.yaml", Shown: "compose.yaml", Text: []byte(text)}); err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
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
