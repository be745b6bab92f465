package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	var out bytes.Buffer
	if err := write(&out, []string{filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "over.yaml")}); err != nil {
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
	if err := yaml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, &out)
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
	if err := write(&out, []string{filepath.Join(dir, "none.yaml")}); err == nil || !strings.Contains(err.Error(), "none.yaml") {
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
	var out bytes.Buffer
	if err := write(&out, []string{filepath.Join(dir, "compose.yaml")}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Services map[string]struct {
			Image       string
			Environment map[string]string
		}
	}
	if err := yaml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, &out)
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
