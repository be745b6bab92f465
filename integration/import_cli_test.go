package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestImportCompose: what was a compose file of two parts runs as a stack: names on its network, made directories, empty variables, and
// the service of a profile left out until it is asked for.
func TestImportCompose(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	s.load(tiny(t, "job"))
	s.write("shop/parts/db.yaml", `services:
  db: {image: "job:latest", pull_policy: never, stop_signal: SIGKILL, command: [sleep, "1000"], volumes: ["./rows:/rows"]}
`)
	s.write("shop/compose.yaml", `include: [parts/db.yaml]
services:
  web:
    image: job:latest
    pull_policy: never
    stop_signal: SIGKILL
    container_name: shop-web
    environment: {TOKEN: "${NOT_SET}", MODE: "${MODE:-fast}"}
    depends_on: [db]
    volumes: ["./made:/made"]
    command: [sh, -c, "echo token=$$TOKEN mode=$$MODE; cat /etc/hosts; exec sleep 1000"]
  debug: {image: "job:latest", pull_policy: never, stop_signal: SIGKILL, command: [sleep, "1000"], profiles: [debug]}
`)
	s.write("shop/compose.override.yml", "services: {web: {environment: {MODE: slow}}}\n")
	top := s.dir
	s.dir = s.path("shop")
	t.Cleanup(func() { s.dir = top }) // before the stage is struck
	if r := s.hostrun("import", "compose"); r.status != 0 || !strings.Contains(r.stderr, "./stack.yaml is written") || strings.Contains(r.stdout, "dropped") {
		t.Fatalf("import: %v", r)
	}
	s.must("up")
	if got := s.names(); got != "db web" {
		t.Errorf("after up: %s", got)
	}
	for _, dir := range []string{"made", "parts/rows"} {
		if _, err := os.Stat(s.path(dir)); err != nil {
			t.Error(err)
		}
	}
	s.comes("the container has told", func() error {
		if out := s.must("logs", "web"); !strings.Contains(out, "token= mode=slow\n") || !strings.Contains(out, "shop-web") {
			return fmt.Errorf("logs: %s", out)
		}
		return nil
	})
	if hosts := s.must("exec", "web", "--", "cat", "/etc/hosts"); !strings.Contains(hosts, "\tdb") && !strings.Contains(hosts, " db") {
		t.Errorf("db is unknown in web: %s", hosts)
	}
	s.must("up", "--tag", "debug")
	if got := s.names(); got != "db debug web" {
		t.Errorf("with the tag: %s", got)
	}
	s.must("down")
	if got := s.names(); got != "" {
		t.Errorf("after down: %s", got)
	}
}

// TestImportOfAnotherDirectory: a path of an included file that begins with a variable is one of that file's directory, modes keep their
// meaning, and the report names no lines of a text that nobody has.
func TestImportOfAnotherDirectory(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	s.load(tiny(t, "job"))
	s.write("dep/compose.yaml", `services:
  db:
    image: job:latest
    pull_policy: never
    stop_signal: SIGKILL
    volumes:
      - ${VOL:-.}/rows:/rows
      - ${SOCK:-/none/docker.sock}:/var/run/docker.sock
      - {type: tmpfs, target: /v, tmpfs: {mode: 0710}}
    command: [sh, -c, "stat -c mode=%a /v; exec sleep 1000"]
`)
	s.write("shop/compose.yaml", "include: [../dep/compose.yaml]\nservices: {db: {init: true}}\n")
	top := s.dir
	s.dir = s.path("shop")
	t.Cleanup(func() { s.dir = top }) // before the stage is struck
	r := s.hostrun("import", "compose", "--format", "json")
	if r.status != 3 || strings.Contains(r.stdout, `"line"`) || strings.Count(r.stdout, `"open"`) != 1 || !strings.Contains(r.stdout, `"key":"$VOL","outcome":"changed","note":"it begins paths of ../dep`) {
		t.Fatalf("import: %v", r)
	}
	if r := s.hostrun("import", "compose", "--force"); r.status != 3 || !strings.Contains(r.stdout, "changed   -      $VOL") {
		t.Errorf("import: %v", r)
	}
	text, err := os.ReadFile(s.path("stack.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	stack := strings.Replace(string(text), "      - ${SOCK:-/none/docker.sock}:/var/run/docker.sock\n", "", 1)
	if stack == string(text) {
		t.Fatalf("the socket's line: %s", text)
	}
	s.write("stack.yaml", stack)
	s.must("up")
	if _, err := os.Stat(s.path("../dep/rows")); err != nil {
		t.Error(err)
	}
	s.comes("the container has told", func() error {
		if out := s.must("logs", "db"); !strings.Contains(out, "mode=710\n") {
			return fmt.Errorf("logs: %s", out)
		}
		return nil
	})
	s.must("down")
}
