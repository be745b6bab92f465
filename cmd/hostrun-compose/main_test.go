package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/template"
	"go.yaml.in/yaml/v3"
)

// TestSeveralFilesAsOne: include:, extends: of another file and a file that overrides, with variables as they are.
func TestSeveralFilesAsOne(t *testing.T) {
	dir := project(t, map[string]string{
		"compose.yaml":  "include: [parts/db.yaml]\nservices:\n  web:\n    image: \"web:${TAG}\"\n    ports: [\"${PORT:-80}:80\"]\n    extends: {file: parts/base.yaml, service: base}\n    profiles: [x]\n",
		"over.yaml":     "services:\n  web:\n    image: other\n    ports: !override [\"81:81\"]\n    volumes: [\"./a:/a\"]\n",
		"parts/db.yaml": "services:\n  db:\n    image: db\n    volumes: [\"./data:/data\"]\n",
		// Its values stay where they are: hostrun reads the file, when it starts something.
		"parts/base.yaml": "services:\n  base:\n    environment: {A: \"$A\"}\n    env_file: ./base.env\n",
	})
	one, err := together([]string{filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "over.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Services map[string]struct {
			Image       string
			Ports       []struct{ Published string }
			Profiles    []string
			Environment map[string]string
			EnvFile     []struct{ Path string } `yaml:"env_file"`
			Volumes     []struct{ Type, Source string }
		}
	}
	if err := yaml.Unmarshal([]byte(one.Text), &got); err != nil {
		t.Fatalf("%v\n%s", err, one.Text)
	}
	web, db := got.Services["web"], got.Services["db"]
	switch {
	case web.Image != "other" || len(web.Ports) != 1 || web.Ports[0].Published != "81" || len(web.Profiles) != 1 || web.Environment["A"] != "$A":
		t.Errorf("web: %+v", web)
	case len(web.EnvFile) != 1 || web.EnvFile[0].Path != "parts/base.env" || len(web.Volumes) != 1 || web.Volumes[0].Source != "./a":
		t.Errorf("web: %+v", web)
	case db.Image != "db" || len(db.Volumes) != 1 || filepath.Clean(db.Volumes[0].Source) != "parts/data":
		t.Errorf("db: %+v", db)
	}
	if _, err := together([]string{filepath.Join(dir, "none.yaml")}); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestIncludedVariables: those of an included file's environment are defaults, below the caller's and the project's own.
func TestIncludedVariables(t *testing.T) {
	t.Setenv("OF_CALLER", "caller")
	dir := project(t, map[string]string{
		"compose.yaml":   "include:\n  - parts/one.yaml\n  - {path: parts/two.yaml, project_directory: ., env_file: [parts/two.env]}\nservices:\n  web: {image: \"web:$OWN\"}\n",
		".env":           "OF_PROJECT=project\n",
		"parts/.env":     "HERE=beside\nOF_CALLER=beside\nOF_PROJECT=beside\nEMPTY=\n",
		"parts/one.yaml": "services:\n  one:\n    image: one:${HERE}\n    environment: {A: \"$OF_CALLER\", B: \"$OF_PROJECT\", C: \"${HERE:-x}\", D: \"${HERE:+y}\", E: \"${EMPTY:-e}\", F: \"${EMPTY-f}\", G: \"$$HERE\", H: \"${HERE:?must}\", I: \"$NOBODY\"}\n",
		"parts/two.env":  "WORD='a $b }'\n",
		"parts/two.yaml": "services:\n  two:\n    image: two\n    environment: {A: \"$WORD\"}\n",
	})
	one, err := together([]string{filepath.Join(dir, "compose.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Services map[string]struct {
			Image       string
			Environment map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(one.Text), &got); err != nil {
		t.Fatalf("%v\n%s", err, one.Text)
	}
	if image := got.Services["one"].Image; image != "one:${HERE-beside}" {
		t.Errorf("image: %s", image)
	}
	for name, want := range map[string]string{"A": "$OF_CALLER", "B": "$OF_PROJECT", "C": "${HERE-beside}", "D": "y", "E": "${EMPTY:-e}", "F": "${EMPTY-}", "G": "$$HERE", "H": "${HERE-beside}", "I": "$NOBODY"} {
		if text := got.Services["one"].Environment[name]; text != want {
			t.Errorf("%s: %s, not %s", name, text, want)
		}
	}
	if text := got.Services["two"].Environment["A"]; text != "a $$b }" {
		t.Errorf("a value that no default can hold: %s", text)
	}
	if web := got.Services["web"].Image; web != "web:$OWN" {
		t.Error(web)
	}
}

// project writes files below a new directory.
func project(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPathsThatBeginWithAVariable: those of a file in another directory mean what they do for compose, by the value that the variable has
// by now and by its default, whatever is set later; what no text can say is told.
func TestPathsThatBeginWithAVariable(t *testing.T) {
	files := map[string]string{
		"top/compose.yaml": "include: [../dep/compose.yaml]\nservices: {web: {image: web, volumes: [\"${VOL:-.}/web:/web\"], extends: {file: ../ext/base.yaml, service: base}}}\n",
		"dep/compose.yaml": `services:
  db:
    image: db
    build: {context: "${SRC:-/srv/src}", additional_contexts: ["a=${SRC:-/srv/src}", "b=${OTHER:-x}", "c=${REMOTE:-docker-image://alpine}"]}
    env_file: ["${ENVS:-.}/db.env", "${ENV_FILE:-/etc/db.env}"]
    volumes:
      - ${VOL:-.}/etcd:/etcd
      - ${VOL:-.}/pg:/pg:Z
      - ${NAME:-vol}:/named
      - ${NESTED:-${VOL:-./n}}/x:/nested
      - ./a/${VOL:-.}/../b:/literal
      - ${HERE}/own:/own
      - ${PRE:-}/srv:/srv
      - ${WHOLE:-./one:/two:ro}
      - ${DOT:-.}d:/dot
      - {type: bind, source: "${VOL:-.}/long", target: /long}
      - {type: volume, source: "${NAME:-vol}", target: /volume}
volumes: {vol: , bound: {driver: local, driver_opts: {type: none, o: bind, device: "${VOL:-.}/dev"}}}
secrets: {s: {file: "${SECRET:-/run/s}"}}
configs: {c: {file: "${CONFIG:-c.ini}"}}
`,
		"dep/.env":      "HERE=./mine\n",
		"ext/base.yaml": "services: {base: {build: \"${SRC:-.}\", label_file: [\"${LABELS:-l}\"]}}\n",
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want map[string][]string // by service
		note string
	}{
		"by their defaults": {nil, map[string][]string{
			"web": {"${VOL:-.}/web:/web", "${SRC:-../ext}", "${LABELS:-../ext/l}"},
			"db": {"${VOL:-../dep}/etcd:/etcd", "${VOL:-../dep}/pg:/pg:Z", "${NAME:-vol}:/named", "${NESTED:-${VOL:-../dep/n}}/x:/nested", "../dep/a/${VOL:-.}/../b:/literal", "${HERE-../dep/mine}/own:/own", "${PRE:-}/srv:/srv",
				"${WHOLE:-../dep/one:/two:ro}", "${DOT:-../dep/.}d:/dot", "${VOL:-../dep}/long", "${SRC:-/srv/src}", "${OTHER:-../dep/x}", "${REMOTE:-docker-image://alpine}", "${ENVS:-../dep}/db.env", "${ENV_FILE:-/etc/db.env}"},
			"": {"${VOL:-../dep}/dev", "${SECRET:-/run/s}", "${CONFIG:-../dep/c.ini}"},
		}, "$VOL: it begins paths of ../dep: an absolute value means what it did"},
		"by relative values": {map[string]string{"VOL": "./v", "SRC": "src", "HERE": "./theirs"}, map[string][]string{
			"web": {"${VOL:-.}/web:/web", "../ext/${SRC:-.}"},
			"db":  {"../dep/${VOL:-.}/etcd:/etcd", "../dep/${VOL:-.}/pg:/pg:Z", "${NESTED:-../dep/${VOL:-./n}}/x:/nested", "${HERE:+../dep/}${HERE}/own:/own", "${SRC:+../dep/}${SRC:-/srv/src}"},
		}, "$VOL: it begins paths of ../dep, and its value is relative"},
		"by absolute values": {map[string]string{"VOL": "/v", "SRC": "~/src", "OTHER": "https://example.com/x.git"}, map[string][]string{
			"web": {"${SRC:-../ext}"},
			"db":  {"${VOL:-../dep}/etcd:/etcd", "${SRC:-/srv/src}", "${OTHER:-../dep/x}"},
		}, "$VOL: it begins paths of ../dep: an absolute value means what it did"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			one, err := together([]string{filepath.Join(project(t, files), "top/compose.yaml")})
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Services map[string]any
				Rest     map[string]any `yaml:",inline"`
			}
			if err := yaml.Unmarshal([]byte(one.Text), &got); err != nil {
				t.Fatalf("%v\n%s", err, one.Text)
			}
			for service, wants := range c.want {
				in := texted(got.Services[service])
				if service == "" {
					in = texted(got.Rest)
				}
				for _, want := range wants {
					if !slices.Contains(in, want) {
						t.Errorf("%s: no %s in %q", service, want, in)
					}
				}
			}
			if !slices.ContainsFunc(one.Notes, func(n Note) bool { return strings.HasPrefix(n.Key+": "+n.Note, c.note) }) {
				t.Errorf("notes: %q", one.Notes)
			}
			if slices.ContainsFunc(one.Notes, func(n Note) bool { return n.Key == "$NAME" }) {
				t.Errorf("a volume's name is no path: %q", one.Notes)
			}
		})
	}
}

// texted are the texts in a part of a model.
func texted(model any) (all []string) {
	switch v := model.(type) {
	case string:
		return []string{v}
	case map[string]any:
		for _, value := range v {
			all = append(all, texted(value)...)
		}
	case []any:
		for _, value := range v {
			all = append(all, texted(value)...)
		}
	}
	return all
}

// TestModesAreOctal: where files are put together, too.
func TestModesAreOctal(t *testing.T) {
	dir := project(t, map[string]string{
		"compose.yaml": `services:
  a:
    image: a
    umask: 0027
    volumes: [{type: tmpfs, target: /v, tmpfs: {mode: 01777}}, {type: tmpfs, target: /w, tmpfs: {mode: 0o770}}, {type: tmpfs, target: /x, tmpfs: {mode: 504, size: 504}}]
    secrets: [{source: s, mode: 0440}, {source: s, target: t, mode: "0440"}]
    configs: [{source: c, mode: 256}]
secrets: {s: {environment: S}}
configs: {c: {environment: C}}
`,
		"over.yaml": "services: {a: {init: true}}\n",
	})
	one, err := together([]string{filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "over.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	var modes []string
	for line := range strings.Lines(one.Text) {
		for _, key := range []string{"mode: ", "umask: ", "size: "} {
			if _, mode, ok := strings.Cut(line, key); ok {
				modes = append(modes, strings.TrimSpace(mode))
			}
		}
	}
	slices.Sort(modes)
	if got := strings.Join(modes, " "); got != `"0440" 01777 027 0400 0440 0770 0770 504` {
		t.Errorf("%s\n%s", got, one.Text)
	}
}

// TestShortFormsWithVariables stay as they are: only with its value it is known whether the source of a volume is a path, and a later
// entry of the same target takes its place all the same.
func TestShortFormsWithVariables(t *testing.T) {
	t.Setenv("OF_CALLER", "secret")
	dir := project(t, map[string]string{
		"compose.yaml": `services:
  a:
    image: a
    volumes: ["${SOCK:-/var/run/docker.sock}:/var/run/docker.sock", "${A:-./a}:${T:-/t}:ro"]
    ports: ["${PORT:-80}:80", "${PORT:-80}:80"]
    devices: ["${DEV:-/dev/null}:/dev/x:rw", "${DEV:-/dev/null}:/dev/y"]
    ulimits: {nofile: "${N:-1024}", nproc: "7", core: {soft: 1, hard: "${N:-1024}"}, locks: "${N:-1024}"}
    environment: [OF_CALLER, "B=${OF_CALLER}"]
secrets: {s: {environment: OF_CALLER}}
configs: {c: {environment: OF_CALLER}}
`,
		"over.yaml": "services: {a: {volumes: [\"vol:/t\"], devices: [\"/dev/zero:/dev/y\"], ulimits: {core: \"${N:-1}\", locks: {soft: 1, hard: 2}}}}\n",
	})
	one, err := together([]string{filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "over.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Services map[string]struct {
			Volumes, Ports, Devices, Environment []any
			Ulimits                              map[string]any
		}
		Secrets, Configs map[string]map[string]any
	}
	if err := yaml.Unmarshal([]byte(one.Text), &got); err != nil {
		t.Fatalf("%v\n%s", err, one.Text)
	}
	a := got.Services["a"]
	switch {
	case len(a.Volumes) != 2 || a.Volumes[0] != "${SOCK:-/var/run/docker.sock}:/var/run/docker.sock" || !slices.Contains(texted(a.Volumes[1]), "vol"),
		len(a.Ports) != 1 || a.Ports[0] != "${PORT:-80}:80",
		len(a.Devices) != 2 || a.Devices[0] != "${DEV:-/dev/null}:/dev/x:rw" || !slices.Contains(texted(a.Devices[1]), "/dev/zero"),
		a.Ulimits["nofile"] != "${N:-1024}" || a.Ulimits["nproc"] != 7 || a.Ulimits["core"] != "${N:-1}" || a.Ulimits["locks"].(map[string]any)["hard"] != 2,
		!slices.Equal(a.Environment, []any{"OF_CALLER", "B=${OF_CALLER}"}):
		t.Errorf("%+v\n%s", a, one.Text)
	case len(got.Secrets["s"]) != 1 || len(got.Configs["c"]) != 1 || strings.Contains(one.Text, "secret\n"):
		t.Errorf("what is looked up at the start is in the text: %s", one.Text)
	}
}

// TestVariablesOfOneInclusion are those of no other.
func TestVariablesOfOneInclusion(t *testing.T) {
	dir := project(t, map[string]string{
		"compose.yaml":   "include: [a/compose.yaml, \"${B_DIR:-b}/compose.yaml\"]\nservices: {web: {image: \"web:${TAG}\"}}\n",
		"a/compose.yaml": "services: {a: {image: \"a:${TAG}\", environment: [TAG]}}\n",
		"a/.env":         "TAG=of-a\n",
		"b/compose.yaml": "services: {b: {image: \"b:${TAG}\", command: [\"${X:-${TAG}}\"]}}\n",
		"b/.env":         "TAG=of-b\n",
	})
	one, err := together([]string{filepath.Join(dir, "compose.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"web:${TAG}", "a:${TAG-of-a}", "b:${TAG-of-b}", "${X:-${TAG-of-b}}"} {
		if !strings.Contains(one.Text, want) {
			t.Errorf("no %s in\n%s", want, one.Text)
		}
	}
}

// FuzzMoved: by the values that its variables have, a text means in the stack's directory what it meant in its own.
func FuzzMoved(f *testing.F) {
	for _, text := range []string{"${VOL:-.}/etcd:/etcd", "$SET/x", "${SET:-/a}/x", "${ABS-./d}/..", "${A:-${B:-./n}}x", "./a/$SET", "${EMPTY:+x}y", "$$x", "${UNSET}data", "${SET:?no}/a", "${EMPTY}${SET}", "$", "${", "a}${B-{}}"} {
		f.Add(text)
	}
	env := map[string]string{"SET": "./set", "ABS": "/abs", "EMPTY": "", "HOME": "/root"}
	f.Fuzz(func(t *testing.T, text string) {
		if !wellFormed(text) {
			return
		}
		for k := aPath; k <= aContext; k++ {
			in := texts{known: env}
			got := in.moved(mark{text, k}, "../dep")
			value, err := template.SubstituteWithOptions(text, in.outside, template.WithoutLogging)
			if err != nil || strings.ContainsRune(value, 0) {
				continue
			}
			now, err := template.SubstituteWithOptions(got, in.outside, template.WithoutLogging)
			if err != nil {
				t.Fatalf("%q became %q: %v", text, got, err)
			}
			if k.form(value) == relative {
				value = "../dep/" + value
				if filepath.Clean(now) != filepath.Clean(value) {
					t.Errorf("%q became %q, which is %q, not %q", text, got, now, value)
				}
			} else if now != value {
				t.Errorf("%q became %q, which is %q, not %q", text, got, now, value)
			}
		}
	})
}

// wellFormed reports whether each $ begins a variable, or is one of two.
func wellFormed(text string) bool {
	before, v, after, ok := cut(text)
	if strings.Contains(strings.ReplaceAll(before, "$$", ""), "$") {
		return false
	}
	return !ok || (v.operator != "" || strings.Trim(v.text, "${}") == v.name) && wellFormed(v.word) && wellFormed(after)
}
