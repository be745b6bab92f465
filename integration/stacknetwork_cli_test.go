package integration

import (
	"slices"
	"strings"
	"testing"
)

// TestReplicasOnABridge: each of a stack's replicas gets one port of the range, and the profile's name leads to all of them.
func TestReplicasOnABridge(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	s.load(tiny(t, "job"))
	s.write("stack.yaml", `x-job: &job {image: job:latest, pull_policy: never, stop_signal: SIGKILL, command: [sleep, "1000"]}
networks: {front: {name: shop, ipam: {config: [{subnet: 10.77.0.0/24}]}}}
profiles:
  web: {<<: *job, networks: [front], replicas: 3, ports: ["8000-8002:80", "81"]}
  client: {<<: *job, networks: [front], depends_on: [web]}
`)
	s.must("up")
	var ports []string
	for line := range strings.Lines(s.must("port", "web", "80")) {
		ports = append(ports, strings.TrimSpace(line))
	}
	slices.Sort(ports)
	if want := []string{"0.0.0.0:8000", "0.0.0.0:8001", "0.0.0.0:8002"}; !slices.Equal(ports, want) {
		t.Errorf("ports: %q", ports)
	}
	found := map[string]bool{}
	for line := range strings.Lines(s.must("exec", "client", "--", "cat", "/etc/hosts")) {
		if words := strings.Fields(line); slices.Contains(words, "web") && strings.HasPrefix(line, "10.77.0.") {
			found[words[0]] = true
		}
	}
	if len(found) != 3 {
		t.Errorf("web is %v", found)
	}
	if r := s.hostrun("up", "--scale", "web=4"); r.status != 65 || !strings.Contains(r.stderr, "HR286") || !strings.Contains(r.stderr, "ports[0]: 4 containers want a port of the host each for 80, and it names 3") {
		t.Errorf("more than ports: %v", r)
	}
	s.must("down")
}
