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
