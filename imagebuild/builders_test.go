package imagebuild

import (
	"strings"
	"testing"

	"hostrun.dev/hostrun/profiles"
)

// full is an order with everything in it.
func full() *Order {
	return &Order{Name: "docker.io/library/app:1", names: []string{"docker.io/library/app:1", "docker.io/library/app:two"}, Build: profiles.Build{
		Context: "/ctx", Dockerfile: "/ctx/docker/Dockerfile", Target: "run", Args: []profiles.EnvVar{{Name: "A", Value: "1 2"}}, Labels: map[string]string{"x": "y", "a": "b"},
		CacheFrom: []string{"reg/app:c", "type=local,src=/c"}, CacheTo: []string{"type=inline"}, NoCache: true, Pull: true, Network: "host", ExtraHosts: []profiles.Host{{Name: "h", IP: "10.0.0.1"}},
		Platforms: []string{"linux/amd64", "linux/arm64"}, ShmSize: 64, Ulimits: map[string]profiles.Ulimit{"nofile": {Soft: 1, Hard: 2}}, Privileged: true,
		Secrets: []profiles.BuildSecret{{ID: "f", File: "/s"}, {ID: "v", Variable: "V"}}, SSH: []string{"default"}, AdditionalContexts: map[string]string{"d": "/d", "i": "docker-image://i"},
	}}
}

func TestBuildctlArgs(t *testing.T) {
	b := &Builder{address: "unix:///run/buildkit/buildkitd.sock"}
	want := `--addr|unix:///run/buildkit/buildkitd.sock|build|--progress|plain|--frontend|dockerfile.v0|--output|type=oci,"name=docker.io/library/app:1,docker.io/library/app:two",dest=-|` +
		`--local|context=/ctx|--local|dockerfile=/ctx/docker|--opt|filename=Dockerfile|--opt|target=run|--opt|build-arg:A=1 2|--opt|label:a=b|--opt|label:x=y|--opt|platform=linux/amd64,linux/arm64|` +
		`--opt|force-network-mode=host|--allow|network.host|--allow|security.insecure|--opt|add-hosts=h=10.0.0.1|--opt|shm-size=64|--opt|ulimit=nofile=1:2|--no-cache|--opt|image-resolve-mode=pull|` +
		`--local|d=/d|--opt|context:d=local:d|--opt|context:i=docker-image://i|--secret|id=f,src=/s|--secret|id=v,env=V|--ssh|default|--import-cache|type=registry,ref=reg/app:c|--import-cache|type=local,src=/c|--export-cache|type=inline`
	if got := strings.Join(b.buildctlArgs(full()), "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	o := full()
	o.Build = profiles.Build{Context: "https://example.org/a.git", Dockerfile: "d/Dockerfile"}
	if got := strings.Join(b.buildctlArgs(o), "|"); !strings.HasSuffix(got, `dest=-|--opt|context=https://example.org/a.git|--opt|filename=d/Dockerfile`) {
		t.Errorf("got %s", got)
	}
}

func TestCommonArgs(t *testing.T) {
	want := `--tag|docker.io/library/app:1|--tag|docker.io/library/app:two|--file|/ctx/docker/Dockerfile|--target|run|--build-arg|A=1 2|--label|a=b|--label|x=y|--cache-from|reg/app:c|--cache-from|type=local,src=/c|--no-cache|` +
		`--network|host|--add-host|h:10.0.0.1|--platform|linux/amd64,linux/arm64|--shm-size|64|--ulimit|nofile=1:2|--secret|id=f,src=/s|--secret|id=v,env=V|--ssh|default|--build-context|d=/d|--build-context|i=docker-image://i`
	if got := strings.Join(common(full()), "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTail(t *testing.T) {
	var last tail
	for range 10000 {
		_, _ = last.Write([]byte("0123456789\n"))
	}
	_, _ = last.Write([]byte("the end\n"))
	if got := last.String(); len(last.b) > 3*tailBytes || strings.Count(got, "\n") != 9 || !strings.HasSuffix(got, "\nthe end") {
		t.Errorf("%d bytes kept, %q", len(last.b), got)
	}
}
