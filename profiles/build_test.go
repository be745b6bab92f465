package profiles

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// loadBuild reads a profile called job from text.
func loadBuild(t *testing.T, text string) (*Profile, string, error) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "job.yaml"), []byte(text), 0o644))
	p, err := Load(Options{Cwd: "/", Env: map[string]string{"HOME": "/home/me", "FROM_CALLER": "caller"}}, filepath.Join(dir, "job.yaml"))
	return p, dir, err
}

func TestBuildForms(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       func(dir string) Build
	}{
		{"short", "build: ./app\n", func(dir string) Build {
			return Build{Context: dir + "/app", Dockerfile: dir + "/app/Dockerfile"}
		}},
		{"here", "build: .\n", func(dir string) Build { return Build{Context: dir, Dockerfile: dir + "/Dockerfile"} }},
		{"no context", "build: {target: x}\n", func(dir string) Build { return Build{Context: dir, Dockerfile: dir + "/Dockerfile", Target: "x"} }},
		{"repository", "build: https://example.org/app.git#v1:sub\n", func(string) Build { return Build{Context: "https://example.org/app.git#v1:sub"} }},
		{"short git", "build: {context: git@example.org:app.git, dockerfile: d/Dockerfile}\n", func(string) Build {
			return Build{Context: "git@example.org:app.git", Dockerfile: "d/Dockerfile"}
		}},
		{"inline", "build:\n  context: /a\n  dockerfile_inline: |\n    FROM b\n", func(string) Build { return Build{Context: "/a", DockerfileInline: "FROM b\n"} }},
		{"above the context", "build: {context: ./a, dockerfile: ../b/Dockerfile}\n", func(dir string) Build {
			return Build{Context: dir + "/a", Dockerfile: dir + "/b/Dockerfile"}
		}},
		{"arguments", "build: {context: /a, args: {A: 1, B: true, FROM_CALLER: , NOT_THERE: }}\n", func(string) Build {
			return Build{Context: "/a", Dockerfile: "/a/Dockerfile", Args: []EnvVar{{"A", "1"}, {"B", "true"}, {"FROM_CALLER", "caller"}}}
		}},
		{"argument list", "build: {context: /a, args: [A=1, FROM_CALLER]}\n", func(string) Build {
			return Build{Context: "/a", Dockerfile: "/a/Dockerfile", Args: []EnvVar{{"A", "1"}, {"FROM_CALLER", "caller"}}}
		}},
		{"all", `build:
  context: /a
  dockerfile: D
  target: t
  labels: [x=y]
  tags: [one, "two:2"]
  cache_from: ["reg/app:cache", "type=local,src=/c"]
  cache_to: [type=inline]
  no_cache: true
  pull: true
  network: host
  extra_hosts: ["h=10.0.0.1"]
  platforms: [linux/amd64]
  shm_size: 1g
  ulimits: {nofile: 100}
  privileged: true
  secrets: ["a=./s", {id: b, environment: B}, {source: c, file: ~/c}]
  ssh: [default, "k=./key"]
  additional_contexts: {d: ./d, e: docker-image://f}
`, func(dir string) Build {
			return Build{Context: "/a", Dockerfile: "/a/D", Target: "t", Labels: map[string]string{"x": "y"}, Tags: []string{"one", "two:2"},
				CacheFrom: []string{"reg/app:cache", "type=local,src=/c"}, CacheTo: []string{"type=inline"}, NoCache: true, Pull: true, Network: "host",
				ExtraHosts: []Host{{"h", "10.0.0.1"}}, Platforms: []string{"linux/amd64"}, ShmSize: 1 << 30, Ulimits: map[string]Ulimit{"nofile": {100, 100}}, Privileged: true,
				Secrets: []BuildSecret{{ID: "a", File: dir + "/s"}, {ID: "b", Variable: "B"}, {ID: "c", File: "/home/me/c"}},
				SSH:     []string{"default", "k=" + dir + "/key"}, AdditionalContexts: map[string]string{"d": dir + "/d", "e": "docker-image://f"}}
		}},
		{"ssh as a mapping", "build: {context: /a, ssh: {default: , k: /key}}\n", func(string) Build {
			return Build{Context: "/a", Dockerfile: "/a/Dockerfile", SSH: []string{"default", "k=/key"}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, dir, err := loadBuild(t, c.text)
			must(t, err)
			if diff := cmp.Diff(c.want(dir), *p.Build); diff != "" {
				t.Error(diff)
			}
			if p.Image != "job:latest" {
				t.Errorf("image %q", p.Image)
			}
		})
	}
}

func TestBuildExtends(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "base.yaml"), []byte("image: app:1\nbuild: {context: ./a, args: {A: one, B: one}, target: t}\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "job.yaml"), []byte("extends: base\nbuild: {args: {B: two}}\n"), 0o644))
	p, err := Load(Options{Cwd: "/"}, filepath.Join(dir, "job.yaml"))
	must(t, err)
	want := Build{Context: dir + "/a", Dockerfile: dir + "/a/Dockerfile", Target: "t", Args: []EnvVar{{"A", "one"}, {"B", "two"}}}
	if diff := cmp.Diff(want, *p.Build); diff != "" || p.Image != "app:1" {
		t.Error(p.Image, diff)
	}
}

func TestBadBuild(t *testing.T) {
	for text, want := range map[string]string{
		"build: {context: /a, dockerfile: D, dockerfile_inline: FROM x}\n": "exclude each other",
		"image: a\npull_policy: build\n":                                   "needs a build:",
		"build: {contxt: /a}\n":                                            "did you mean context?",
		"build: [a]\n":                                                     "expected a mapping",
		"build: {context: /a, secrets: [token]}\n":                         "nothing says where the secret \"token\" is",
		"build: {context: /a, secrets: [{file: x}]}\n":                     "has no id",
		"build: {context: /a, tags: [UPPER]}\n":                            "is no image name",
		"build: {context: /a, shm_size: lots}\n":                           "expected a size",
		"rootfs: host\nbuild: .\n":                                         "no meaning with rootfs: host",
	} {
		t.Run(strings.TrimSpace(text), func(t *testing.T) {
			_, _, err := loadBuild(t, text)
			if err == nil || !strings.Contains(problemsOf(err), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		})
	}
}

func problemsOf(err error) string {
	invalid, ok := err.(*InvalidError)
	if !ok {
		return err.Error()
	}
	var all []string
	for _, p := range invalid.Problems {
		all = append(all, p.Message, p.Remedy)
	}
	return strings.Join(all, "\n")
}

// TestBuildSecretOfTheStack: build: names what secrets: describes, in both forms (compose-spec, build.md, "secrets").
func TestBuildSecretOfTheStack(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"s.yaml": `
secrets: {token: {environment: TOKEN}, cert: {file: ./cert}}
profiles:
  web:
    image: web
    build: {context: ., secrets: [token, {source: cert, target: server.crt}]}
`, "own.yaml": "image: web\nbuild: {context: ., secrets: [cert]}\nsecrets: {cert: {file: ./cert}}\n"})
	p, err := Load(Options{Cwd: dir}, "./s.yaml:web")
	must(t, err)
	want := []BuildSecret{{ID: "token", Variable: "TOKEN"}, {ID: "server.crt", File: dir + "/cert"}}
	if diff := cmp.Diff(want, p.Build.Secrets); diff != "" || len(p.Secrets) > 0 {
		t.Errorf("%s, and the container got %v", diff, p.Secrets)
	}
	p, err = Load(Options{Cwd: dir}, "./own.yaml")
	must(t, err)
	if diff := cmp.Diff([]BuildSecret{{ID: "cert", File: dir + "/cert"}}, p.Build.Secrets); diff != "" {
		t.Error(diff)
	}
}
