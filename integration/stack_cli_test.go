package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/runtime"
)

// stacked is a stage with a stack of this text in its directory.
func stacked(t *testing.T, text string) *stage {
	s := supervised(t)
	s.write("stack.yaml", text)
	return s
}

const tinyStack = `x-job: &job
  image: job:latest
  pull_policy: never
  stop_signal: SIGKILL
  command: [sh, -c, "echo I am $$HOSTNAME; sleep 1000"]
volumes: {data: , kept: {external: true}}
profiles:
  app: {<<: *job, depends_on: [db], volumes: ["data:/data"]}
  db: {<<: *job, volumes: ["data:/data"]}
  side: {<<: *job}
`

// names are the containers that there are.
func (s *stage) names() string {
	s.t.Helper()
	return strings.Join(strings.Fields(s.must("ps", "-aq")), " ")
}

// TestStackOfOneFile: up and down of a file with several profiles, one of them by its name, orphans, and another stack's names.
func TestStackOfOneFile(t *testing.T) {
	t.Parallel()
	s := stacked(t, tinyStack)
	if out := s.must("up", "--dry-run"); out != "DRY-RUN MODE - db would be created\nDRY-RUN MODE - app would be created\nDRY-RUN MODE - side would be created\n" || s.names() != "" {
		t.Errorf("a dry run: %q", out)
	}
	s.must("up", "app") // found in the stack of this directory
	if got := s.names(); got != "app db" {
		t.Errorf("after up app: %s", got)
	}
	s.must("up", "./stack.yaml")
	before := s.all()
	if out := s.must("up"); out != "app unchanged\n" && strings.Count(out, " unchanged\n") != 3 {
		t.Errorf("up without a name: %q", out)
	}
	if c := before["app"]; c.StackFile != s.path("stack.yaml") || c.Stack != filepath.Base(s.dir) || len(before) != 3 {
		t.Errorf("%+v", before)
	}
	if table := s.must("ps", "./stack.yaml"); !strings.Contains(table, "STACK") || strings.Count(table, "\n") != 4 {
		t.Errorf("ps: %s", table)
	}
	if out := s.must("logs"); !strings.Contains(out, "side  | I am") || !strings.Contains(out, "app   | I am") {
		t.Errorf("logs: %q", out)
	}

	s.write("stack.yaml", strings.Replace(tinyStack, "  side: {<<: *job}\n", "", 1))
	for _, args := range [][]string{{"ps"}, {"up", "./stack.yaml"}, {"down", "./stack.yaml", "--dry-run"}} {
		if r := s.hostrun(args...); r.status != 0 || !strings.Contains(r.stderr, "side: ") || !strings.Contains(r.stderr, "--remove-orphans") {
			t.Errorf("the orphan is not named: %v", r)
		}
	}
	if out := s.must("up", "./stack.yaml", "--remove-orphans"); !strings.Contains(out, "side removed\n") || s.names() != "app db" {
		t.Errorf("%s, and there are %s", out, s.names())
	}

	s.write("other/stack.yaml", "profiles: {db: {image: job:latest, pull_policy: never}}\n")
	if r := s.hostrun("up", "other/stack.yaml"); r.status != 65 || !strings.Contains(r.stderr, "HR287: container db: the name is taken by a container of the stack") {
		t.Errorf("another stack's name: %v", r)
	}
	if r := s.hostrun("stop", "--dry-run", "./stack.yaml"); r.stdout != "DRY-RUN MODE - app would be stopped\nDRY-RUN MODE - db would be stopped\n" {
		t.Errorf("stop --dry-run: %v", r)
	}
	if r := s.hostrun("restart", "--dry-run", "db"); r.stdout != "DRY-RUN MODE - db would be stopped and started\n" {
		t.Errorf("restart --dry-run: %v", r)
	}
	r := s.hostrun("down", "./stack.yaml")
	first, then := strings.Index(r.stderr, "Container app  Removed"), strings.Index(r.stderr, "Container db  Stopping")
	if r.status != 0 || first < 0 || then < first || s.names() != "" {
		t.Errorf("down: %v", r)
	}
	s.must("up", "./stack.yaml")
	must(t, os.Rename(s.path("stack.yaml"), s.path("moved.yaml")))
	if r := s.hostrun("ps"); !strings.Contains(r.stderr, "is gone") {
		t.Errorf("ps without the stack's file: %v", r)
	}
	s.must("down", "./stack.yaml")
	if got := s.names(); got != "" {
		t.Errorf("after down of a file that is gone: %s", got)
	}
}

// TestStackFails: nothing is started where one profile is wrong, and each error is told once, with its line.
func TestStackFails(t *testing.T) {
	t.Parallel()
	s := stacked(t, tinyStack+"  bad: {image: x, depends_on: [nobody]}\n  circle: {image: x, depends_on: [round]}\n  round: {image: x, depends_on: [circle]}\nwrong: 1\n")
	r := s.hostrun("up", "./stack.yaml")
	if r.status != 65 || !strings.Contains(r.stderr, "./stack.yaml:14") || strings.Count(r.stderr, "this key is no stack's") != 1 || s.names() != "" {
		t.Errorf("%v", r)
	}
	s.write("stack.yaml", strings.ReplaceAll(tinyStack, "[db]", "[side]")+"  bad: {image: x, depends_on: [nobody]}\n  circle: {image: x, depends_on: [round]}\n  round: {image: x, depends_on: [circle]}\n")
	r = s.hostrun("up", "./stack.yaml")
	for _, want := range []string{"stack.yaml:11\n", "there is no profile nobody", "circle -> round -> circle"} {
		if r.status != 65 || strings.Count(r.stderr, want) != 1 || s.names() != "" {
			t.Errorf("not one %q: %v", want, r)
		}
	}
	if r := s.hostrun("run", "./stack.yaml"); r.status != 125 || !strings.Contains(r.stderr, "the file holds several: app, db") {
		t.Errorf("run: %v", r)
	}
	s.write("stack.yaml", strings.ReplaceAll(tinyStack, "data:/data", "kept:/data"))
	if r := s.hostrun("up", "db"); r.status != 66 || !strings.Contains(r.stderr, "HR289: the external volume kept is not there") || s.names() != "" {
		t.Errorf("an external volume: %v", r)
	}
}

// TestReplicasOfAProfile: more, fewer and again one container of one profile, on the command line and in the file.
func TestReplicasOfAProfile(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("web", "echo replica $$HOSTRUN_REPLICA; sleep 1000", "replicas: 2", "restart: always")
	s.life("front", "sleep 1000", "depends_on: [web]")
	s.must("up", "front")
	if got := s.names(); got != "front web-1 web-2" {
		t.Fatalf("%s", got)
	}
	before := s.all()
	if out := s.must("up", "web"); out != "web-1 unchanged\nweb-2 unchanged\n" && out != "web-2 unchanged\nweb-1 unchanged\n" {
		t.Errorf("up again: %q", out)
	}
	if out := s.must("exec", "web", "--index", "2", "--", "sh", "-c", "echo $HOSTRUN_REPLICA"); out != "2\n" {
		t.Errorf("exec --index: %q", out)
	}
	if r := s.hostrun("exec", "web", "--index", "7", "--", "true"); r.status != 125 || !strings.Contains(r.stderr, "there is no replica 7") {
		t.Errorf("exec of none: %v", r)
	}
	s.comes("both have written", func() error {
		if out := s.must("logs", "web"); !strings.Contains(out, "web-1  | replica 1\n") || !strings.Contains(out, "web-2  | replica 2\n") {
			return os.ErrNotExist
		}
		return nil
	})
	s.looksAfter()
	s.crash("web-2")
	s.is("web-2", "was started again, as what it is", func(c runtime.Container) bool { return running(c) && c.Restarts == 1 && c.Profile == "web" })
	if out := s.must("exec", "web-2", "--", "sh", "-c", "echo $HOSTRUN_REPLICA"); out != "2\n" {
		t.Errorf("after the restart it is %q", out)
	}
	s.must("up", "--scale", "web=3", "web")
	if got := s.names(); got != "front web-1 web-2 web-3" || s.all()["web-1"].PID != before["web-1"].PID {
		t.Errorf("%s", got)
	}
	if out := s.must("up", "--dry-run", "web"); !strings.HasPrefix(out, "DRY-RUN MODE - web-3 would be removed\n") || s.names() != "front web-1 web-2 web-3" {
		t.Errorf("a dry run: %q", out)
	}
	if out := s.must("up", "web"); !strings.Contains(out, "web-3 removed\n") || s.names() != "front web-1 web-2" {
		t.Errorf("%q, %s", out, s.names())
	}
	s.must("stop", "web")
	if all := s.all(); all["web-1"].Status != "exited" || all["web-2"].Status != "exited" || !running(all["front"]) {
		t.Errorf("after stop web: %+v", all)
	}
	s.life("web-1", "sleep 1000")
	if r := s.hostrun("up", "web-1"); r.status != 65 || !strings.Contains(r.stderr, "HR287: container web-1: the name is taken by a container of the profile web") {
		t.Errorf("a profile of the name of a replica: %v", r)
	}
	if r := s.hostrun("up", "web-1", "web"); r.status != 65 || !strings.Contains(r.stderr, "container 1 of the profile web is called web-1, as that of the profile web-1 is") {
		t.Errorf("both at once: %v", r)
	}
	s.life("web", "sleep 1000") // one again
	if s.must("up", "web"); s.names() != "front web" {
		t.Errorf("without replicas: %s", s.names())
	}
	s.must("up", "--scale", "web=0", "web")
	if got := s.names(); got != "front" {
		t.Errorf("scale to none: %s", got)
	}
	s.must("up", "--scale", "web=2", "web")
	s.must("down", "web", "front")
	if got := s.names(); got != "" {
		t.Errorf("after down: %s", got)
	}
	for line, status := range map[string]int{"--scale web=x web": 2, "--scale nobody=2 web": 2, "--remove-orphans web": 2} {
		if r := s.hostrun(append([]string{"up"}, strings.Fields(line)...)...); r.status != status {
			t.Errorf("%v", r)
		}
	}
}

// TestReplicaPerDevice: one container for each GPU of the machine, each with another one, which it keeps.
func TestReplicaPerDevice(t *testing.T) {
	s := newStage(t)
	s.accelerators(3)
	s.describe("nvidia.com/gpu", 3, 241)
	s.job("all", "gpus: all\nreplicas: per-device\n")
	s.job("some", "gpus: [2, 0]\nreplicas: per-device\n")
	s.job("taker", "gpus: [1]\n")
	s.must("up", "all")
	devices := map[string]string{}
	for name, c := range s.all() {
		devices[name] = strings.Join(c.Devices, " ")
	}
	held := map[string]bool{}
	for _, d := range devices {
		held[d] = true
	}
	if len(devices) != 3 || len(held) != 3 || devices["all-3"] == "" {
		t.Fatalf("%v", devices)
	}
	s.must("stop", "all")
	s.must("up", "all")
	for name, c := range s.all() {
		if got := strings.Join(c.Devices, " "); got != devices[name] {
			t.Errorf("%s had %s, and has %s", name, devices[name], got)
		}
	}
	s.must("down", "all")
	s.must("up", "taker")
	r := s.hostrun("up", "all") // all but one
	if r.status != 75 || len(s.all()) != 3 {
		t.Errorf("with a device that another has: %v, and %v", r, s.all())
	}
	s.must("down", "all")
	s.must("up", "some")
	if all := s.all(); strings.Join(all["some-1"].Devices, "") != "nvidia.com/gpu=2" || strings.Join(all["some-2"].Devices, "") != "nvidia.com/gpu=0" {
		t.Errorf("%+v", all)
	}
	if r := s.hostrun("up", "--scale", "some=3", "some"); r.status != 69 || !strings.Contains(r.stderr, "each container has one device, and there are 2") {
		t.Errorf("more than there are: %v", r)
	}
	s.must("down", "some", "taker")
}

// TestDownRemovesVolumes: named volumes go with -v, if nobody else has them.
func TestDownRemovesVolumes(t *testing.T) {
	t.Parallel()
	s := stacked(t, strings.Replace(tinyStack, `db: {<<: *job, volumes: ["data:/data"]}`, `db: {<<: *job, volumes: ["data:/data", "kept:/kept"]}`, 1))
	must(t, os.MkdirAll(s.path("data/volumes/kept"), 0o755))
	volumes := func() string {
		t.Helper()
		entries, err := os.ReadDir(s.path("data/volumes"))
		must(t, err)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	s.must("up", "./stack.yaml")
	s.must("exec", "db", "--", "sh", "-c", "echo precious >/data/file")
	r := s.hostrun("down", "-v", "app")
	if r.status != 75 || !strings.Contains(r.stderr, "HR288: volume data: it is in use by the container db; nothing was done") || s.names() != "app db side" {
		t.Errorf("a volume in use: %v", r)
	}
	s.must("down", "./stack.yaml")
	if got := volumes(); got != "data kept" {
		t.Fatalf("after down: %s", got)
	}
	s.must("up", "db")
	if out := s.must("exec", "db", "--", "cat", "/data/file"); out != "precious\n" {
		t.Errorf("the volume holds %q", out)
	}
	if out := s.must("down", "-v", "--dry-run", "db"); out != "DRY-RUN MODE - db would be stopped and removed\nDRY-RUN MODE - the volume data would be removed\n" {
		t.Errorf("a dry run: %q", out)
	}
	if out := s.must("down", "-v", "./stack.yaml"); out != "volume data removed\n" || volumes() != "kept" || s.names() != "" {
		t.Errorf("%q; %s; %s", out, volumes(), s.names())
	}
	s.must("up", "db")
	s.must("down", "./stack.yaml")
	if out := s.must("down", "-v", "./stack.yaml"); out != "volume data removed\n" || volumes() != "kept" { // what the stack declares
		t.Errorf("without a container: %q; %s", out, volumes())
	}
}

// TestDownRemovesImages: --rmi as docker compose's: local are images that are built and bear the name that nobody gave them. What another
// container has stays.
func TestDownRemovesImages(t *testing.T) {
	t.Parallel()
	s := stacked(t, "name: shop\nprofiles:\n  app: {image: job:latest, pull_policy: never, stop_signal: SIGKILL, command: [sleep, '1000']}\n  made: {build: ., image: shop-made, pull_policy: never, stop_signal: SIGKILL, command: [sleep, '1000']}\n")
	s.load(tiny(t, "shop-made:latest"))
	s.profile("other", "image: job:latest\npull_policy: never\nstop_signal: SIGKILL\ncommand: [sleep, '1000']\n")
	s.must("up", "./stack.yaml", "other")
	if out := s.must("down", "--rmi", "local", "--dry-run"); !strings.HasSuffix(out, "the image shop-made:latest would be removed\n") || strings.Contains(out, "image job") {
		t.Errorf("a dry run: %q", out)
	}
	if out := s.must("down", "--rmi", "local"); out != "image shop-made:latest removed\n" {
		t.Errorf("local: %q", out)
	}
	s.must("up", "app")
	if r := s.hostrun("down", "--rmi", "all"); r.status != 0 || r.stdout != "" || !strings.Contains(r.stderr, "container other uses it") {
		t.Errorf("one that another container has: %v", r)
	}
	s.must("down", "other")
	if out := s.must("down", "--rmi", "all"); out != "image job:latest removed\n" || s.must("images", "-q") != "" {
		t.Errorf("all: %q", out)
	}
	s.refused(2, "there is no \"some\"", "write local", "down", "--rmi", "some")
}

// TestVerbsOfTheStackHere: what docker compose does to the whole project where no service is named.
func TestVerbsOfTheStackHere(t *testing.T) {
	t.Parallel()
	s := stacked(t, tinyStack)
	s.must("up")
	s.must("kill", "side")
	s.is("side", "ends", func(c runtime.Container) bool { return c.Status == "exited" })
	s.must("rm", "-f") // what runs stays
	if s.names() != "app db" {
		t.Errorf("after rm -f: %s", s.names())
	}
	s.must("pause")
	if out := s.must("ps", "--format", "{{.status}}"); out != "paused\npaused\n" {
		t.Errorf("pause: %q", out)
	}
	s.must("unpause")
	s.must("kill")
	s.must("rm", "-s", "-f", "-v")
	if s.names() != "" {
		t.Errorf("after rm -s: %s", s.names())
	}
	if r := s.hostrun("pull"); r.status == 0 || !strings.Contains(r.stderr, "job:latest") {
		t.Errorf("pull asks no registry for the stack's image: %v", r)
	}
	s.must("pull", "--policy", "missing")
	s.write("compose.yaml", "services: {a: {image: b}}\n")
	must(t, os.Remove(s.path("stack.yaml")))
	s.refused(2, "needs the name", "hostrun import compose makes a stack of compose.yaml", "up")
}
