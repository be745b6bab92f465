package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/profiles/composefile"
)

var update = flag.Bool("update", false, "ask docker compose again")

// recorded is what docker compose said of the files in testdata; /here stands for their directory.
func recorded(t *testing.T) tools {
	t.Helper()
	return tools{config: func(files []string) ([]byte, error) {
		dir := filepath.Dir(files[0])
		record := filepath.Join(dir, "config.json")
		if *update {
			cache := os.Getenv("HOSTRUN_TEST_CACHE")
			if cache == "" {
				cache = "/var/cache/hostrun-test"
			}
			program, err := newTools(filepath.Join(cache, "compose-v2/docker-compose"), "../../../bin/hostrun-compose")
			if err != nil {
				return nil, err
			}
			text, err := program.config(files)
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(record, bytes.ReplaceAll(text, []byte(dir), []byte("/here")), 0o644); err != nil {
				return nil, err
			}
		}
		text, err := os.ReadFile(record)
		return bytes.ReplaceAll(text, []byte("/here"), []byte(dir)), err
	}}
}

// of compares the file of one directory of testdata.
func of(t *testing.T, dir string) *comparison {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", dir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := &comparison{files: []string{path}}
	c.run(recorded(t))
	if c.refused != nil || c.ours != nil {
		t.Fatal(c.refused, c.ours)
	}
	return c
}

// TestDirectory: a run over a directory.
func TestDirectory(t *testing.T) {
	var out strings.Builder
	unsaid, err := recorded(t).compareAll(&out, []string{"testdata"}, false)
	if err != nil || unsaid != 0 {
		t.Error(unsaid, err)
	}
	for _, want := range []string{"said     logs logging.driver: docker compose \"fluentd\"", "said     habana", "report   logs logging", "4 files: 0 refused by docker compose", "3 equal, 1 different as the report says, 0 different and nobody said"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %s:\n%s", want, out.String())
		}
	}
	out.Reset()
	if _, err := recorded(t).compareAll(&out, []string{"testdata"}, true); err != nil || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("quiet, and nothing to say: %v\n%s", err, out.String())
	}
	if _, err := recorded(t).compareAll(&out, []string{"testdata/web/conf"}, true); err == nil {
		t.Error("a directory without compose files passed")
	}
}

// TestTable: each difference of the table is seen without it, and none beside them.
func TestTable(t *testing.T) {
	saved := meant
	defer func() { meant = saved }()
	for _, dir := range []string{"meant", "empty"} {
		if c := of(t, dir); len(c.found) > 0 {
			t.Errorf("%s: %+v", dir, c.found)
		}
	}
	meant = nil
	var seen []string
	for _, dir := range []string{"meant", "empty"} {
		for _, d := range of(t, dir).unsaid() {
			seen = append(seen, d.field)
		}
	}
	for _, m := range saved {
		if m.reason == "" || !slices.Contains(seen, m.field) {
			t.Errorf("%s: no reason, or nothing shows it", m.field)
		}
	}
	if len(seen) != len(saved) {
		t.Errorf("%d differences for %d lines: %q", len(seen), len(saved), seen)
	}
}

// TestDiffers: what is other in the stack than in the compose file is found, and nothing else is.
func TestDiffers(t *testing.T) {
	path, err := filepath.Abs("testdata/web/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opt := profiles.Options{Cwd: filepath.Dir(path), Env: environment(path)}
	stack, _, err := composefile.Convert(composefile.File{Path: path, Shown: "compose.yaml", Text: text}, opt)
	if err != nil {
		t.Fatal(err)
	}
	config, err := recorded(t).config([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, field string }{
		{"", "", ""},
		{"nginx:1.27", "nginx:1.28", "image"},
		{`[serve, --port, "8080"]`, "[]", "command"},
		{"command: [serve, --port, \"8080\"]\n    ", "", "command"},
		{"/bin/start.sh -v", "/bin/start.sh", "entrypoint"},
		{"5$$", "5", "environment"},
		{"team: a", "team: b", "labels"},
		{"note: b", "note: c", "annotations"},
		{"host-a", "host-b", "hostname"},
		{"example.org\n", "example.com\n", "domainname"},
		{"1000:1000", "1000:1001", "user"},
		{`"44"`, `"45"`, "group_add"},
		{"/srv", "/srv2", "working_dir"},
		{"linux/amd64", "linux/arm64", "platform"},
		{"daily", "weekly", "pull_policy"},
		{"[debug]", "[debugging]", "profiles"},
		{"init: true", "init: false", "init"},
		{"tty: true", "tty: false", "tty"},
		{"stdin_open: true", "stdin_open: false", "stdin_open"},
		{"SIGINT", "SIGHUP", "stop_signal"},
		{"stop_grace_period: 3s", "stop_grace_period: 4s", "stop_grace_period"},
		{"pid: host\n    ", "", "pid"},
		{"shareable", "private", "ipc"},
		{"    uts: host\n", "", "uts"},
		{"userns_mode: host\n    ", "", "userns_mode"},
		{"cgroup: host", "cgroup: private", "cgroup"},
		{"privileged: true", "privileged: false", "privileged"},
		{"read_only: true", "read_only: false", "read_only"},
		{"[NET_ADMIN]", "[SYS_ADMIN]", "cap_add"},
		{"[ALL]", "[CHOWN]", "cap_drop"},
		{"no-new-privileges:false", "no-new-privileges:true", "security_opt.no-new-privileges"},
		{", 'seccomp:unconfined'", "", "security_opt.seccomp"},
		{"512m", "513m", "mem_limit"},
		{"100m", "101m", "mem_reservation"},
		{"1g", "2g", "memswap_limit"},
		{"mem_swappiness: 10", "mem_swappiness: 20", "mem_swappiness"},
		{"shm_size: 64m", "shm_size: 65m", "shm_size"},
		{`cpuset: "0"`, `cpuset: "1"`, "cpuset"},
		{"cpu_shares: 512", "cpu_shares: 256", "cpu_shares"},
		{"cpus: 1.5", "cpus: 1.6", "cpus"},
		{"pids_limit: 100", "pids_limit: 101", "pids_limit"},
		{"count: 2", "count: all", "gpus"},
		{"hard: 2048", "hard: 4096", "ulimits"},
		{"oom_score_adj: 100", "oom_score_adj: 99", "oom_score_adj"},
		{"on-failure:3", "on-failure", "restart"},
		{`somaxconn: "1024"`, `somaxconn: "1"`, "sysctls"},
		{"/dev/fuse:rwm", "/dev/fuse:r", "devices"},
		{"/etc/web:ro", "/etc/web", "volumes"},
		{"./conf:/etc", "./:/etc", "volumes"},
		{"name: web_data", "name: data", "volumes"},
		{"tmpfs: {size: 1m}", "tmpfs: {size: 2m}", "volumes"},
		{"0440", "0400", "secrets"},
		{"target: key", "target: other", "secrets"},
		{"<b>", "<i>", "configs"},
		{"10.9.0.5", "10.9.0.6", "networks"},
		{"aliases: [front, www]", "aliases: [front]", "networks"},
		{"[front, www]", "[www]", "networks"},
		{"gateway: 10.9.0.1}", "gateway: 10.9.0.2}", "networks networks"},
		{"internal: true", "internal: false", "networks networks"},
		{"127.0.0.1:8000", "8000", "ports"},
		{"53:53/udp", "53:53", "ports"},
		{`"9000"`, `"9001"`, "expose"},
		{"db.local=10.0.0.9", "db.local=10.0.0.8", "extra_hosts"},
		{"10.0.0.53", "10.0.0.54", "dns"},
		{"corp.example", "corp2.example", "dns_search"},
		{"ndots:2", "ndots:3", "dns_opt"},
		{"service_healthy", "service_started", "depends_on.db"},
		{"restart: true", "restart: false", "depends_on.db"},
		{"db:database", "db:data", "links"},
		{"/ready", "/done", "post_start"},
		{"max-size: 10m", "max-size: 10k", "logging.max-size"},
		{`max-file: "3"`, `max-file: "4"`, "logging.max-file"},
		{"driver: json-file", "driver: local", "logging.driver logging.max-size"},
		{"context: ./conf", "context: .", "build.context build.dockerfile"},
		{"Web.Dockerfile", "Other.Dockerfile", "build.dockerfile"},
		{"target: last", "target: first", "build.target"},
		{`VERSION: "3"`, `VERSION: "4"`, "build.args"},
		{"built: here", "built: there", "build.labels"},
		{"example.org/web:2", "example.org/web:3", "build.tags"},
		{"network: host", "network: none", "build.network"},
		{"shm_size: 32m", "shm_size: 33m", "build.shm_size"},
		{"replicas: 2", "replicas: 3", "scale"},
		{"condition: any", "condition: none", "restart"},
		{`cpus: "0.5"`, `cpus: "0.6"`, "cpus"},
		{"memory: 1g", "memory: 2g", "mem_limit"},
		{"pids: 50", "pids: 51", "pids_limit"},
		{"pg_isready", "true", "healthcheck.test"},
		{"interval: 7s", "interval: 8s", "healthcheck.interval"},
		{"timeout: 2s", "timeout: 3s", "healthcheck.timeout"},
		{"start_period: 1m", "start_period: 2m", "healthcheck.start_period"},
		{"retries: 4", "retries: 5", "healthcheck.retries"},
		{"test: [CMD, pg_isready]", "test: [NONE]", "healthcheck.disable healthcheck.interval healthcheck.retries healthcheck.start_period healthcheck.test healthcheck.timeout"},
		{"image: postgres:17", "imago: postgres:17", "service"},
		{"  db:\n    image", "  base:\n    image", "services"},
	} {
		if strings.Count(string(stack), c.old) == 0 {
			t.Errorf("%q is not in the stack:\n%s", c.old, stack)
			continue
		}
		project, err := readConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		var one comparison
		one.compare(project, []byte(strings.Replace(string(stack), c.old, c.new, 1)), opt)
		var got []string
		for _, d := range one.unsaid() {
			got = append(got, d.field)
		}
		if strings.Join(got, " ") != c.field {
			t.Errorf("%q for %q: %+v, want %q", c.new, c.old, one.found, c.field)
		}
	}
}

// TestUnread: what docker compose has printed and nobody can read is no agreement.
func TestUnread(t *testing.T) {
	path, err := filepath.Abs("testdata/said/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := &comparison{files: []string{path}}
	c.run(tools{config: func([]string) ([]byte, error) { return []byte("{"), nil }})
	if len(c.unsaid()) != 1 {
		t.Errorf("%+v", c)
	}
	c = &comparison{files: []string{path}}
	c.run(tools{config: func([]string) ([]byte, error) { return nil, os.ErrInvalid }})
	if c.refused == nil || c.ours == nil {
		t.Errorf("docker compose refuses it, and hostrun says what is open: %+v", c)
	}
}

// TestSaid: a report excuses what it is about, and nothing else.
func TestSaid(t *testing.T) {
	c := comparison{report: []composefile.Field{
		{Service: "a", Key: "deploy.resources", Outcome: composefile.Dropped},
		{Key: "networks.front", Outcome: composefile.Dropped},
		{Key: ".env", Outcome: composefile.Open},
	}}
	for _, d := range []struct {
		service, field string
		want           bool
	}{
		{"a", "mem_limit", true}, {"b", "mem_limit", false}, {"a", "image", false}, {"b", "networks", true}, {"b", "volumes", false}, {"b", refusedField, true},
	} {
		if c.said(d.service, d.field) != d.want {
			t.Errorf("%s %s: want %v", d.service, d.field, d.want)
		}
	}
}

// TestFind: which files are taken, and with what.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/compose.yaml", "a/compose.override.yml", "a/compose.gpu.yaml", "b/docker-compose-dev.yml", "b/compose_tgi.yaml", "b/gpu.compose.yml", "b/stack.yaml", "b/composer.yaml", "b/compose.json"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cases, err := find([]string{dir, filepath.Join(dir, "a")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range cases {
		got = append(got, strings.ReplaceAll(strings.Join(c.files, " "), dir+"/", ""))
	}
	want := []string{"a/compose.gpu.yaml", "a/compose.yaml a/compose.override.yml", "b/compose_tgi.yaml", "b/docker-compose-dev.yml", "b/gpu.compose.yml"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
