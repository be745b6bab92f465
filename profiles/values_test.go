package profiles

import (
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/google/go-cmp/cmp"
)

// Values that docker compose takes, by what has been refused or read in another way. Each was in somebody's file.

// TestZeroIsNoLimit: docker takes 0 for a limit that is not said, and ${LIMIT:-0} is how people write that.
func TestZeroIsNoLimit(t *testing.T) {
	for _, text := range []string{"mem_limit: 0", `mem_limit: "0"`, "mem_limit: 0m", "cpus: 0", `cpus: "0"`, "cpus: 0.0", "cpus: ${NO_LIMIT:-0}", "pids_limit: 0", `pids_limit: "0"`,
		"shm_size: 0", `shm_size: "0b"`, "mem_reservation: 0", "memswap_limit: 0", `memswap_limit: "0"`, "cpu_quota: 0", "cpu_period: 0", "cpu_shares: 0", "blkio_config: {weight: 0}",
		`deploy: {resources: {limits: {cpus: "0", memory: "0", pids: 0}, reservations: {cpus: "0", memory: "0"}}}`,
		"deploy: {resources: {limits: {cpus: 0, memory: 0m}}}"} {
		p, err := loadText(t, "image: a\n"+text+"\n")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		p.Lines, p.BlkIO = nil, nil
		plain, err := loadText(t, "image: a\n")
		must(t, err)
		plain.Lines, plain.File, plain.Dir = nil, p.File, p.Dir
		if diff := cmp.Diff(plain, p); diff != "" {
			t.Errorf("%s is something: %s", text, diff)
		}
	}
	for text, want := range map[string]string{
		"mem_limit: -1": "expected a size above 0", "cpus: 0.001": "expected a number from 0.01", "pids_limit: -2": "the limit can't be -2", "gpus: 0": "gpus",
		"mem_limit: 512m\ndeploy: {resources: {limits: {memory: \"0\"}}}": "mem_limit says another number",
	} {
		if _, err := loadText(t, "image: a\n"+text+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestZeroGivesWayToDeploy, as compose's 0 does, and takes a base's limit away.
func TestZeroGivesWayToDeploy(t *testing.T) {
	p, err := loadText(t, "image: a\ncpus: 0\nmem_limit: 0\ndeploy: {resources: {limits: {cpus: \"1.5\", memory: 512m}}}\n")
	must(t, err)
	if p.CPUs != 1.5 || p.MemLimit != 512<<20 {
		t.Errorf("cpus %g, memory %d", p.CPUs, p.MemLimit)
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"base.yaml": "image: a\ncpus: 2\nmem_limit: 1g\n", "p.yaml": "extends: base\ncpus: 0\nmem_limit: 0\n"})
	p, err = Load(Options{Cwd: dir}, "./p.yaml")
	must(t, err)
	if p.CPUs != 0 || p.MemLimit != 0 {
		t.Errorf("cpus %g, memory %d", p.CPUs, p.MemLimit)
	}
}

// TestSwapWithoutLimitAndWithoutBound: -1 beside no mem_limit says twice that there is none.
func TestSwapWithoutLimitAndWithoutBound(t *testing.T) {
	if _, err := loadText(t, "image: a\nmem_limit: 0\nmemswap_limit: -1\n"); err != nil {
		t.Error(err)
	}
	if _, err := loadText(t, "image: a\nmem_limit: 0\nmemswap_limit: 1g\n"); err == nil || !strings.Contains(err.Error(), "mem_limit is missing") {
		t.Error(err)
	}
}

// TestNameOfDataThatIsElsewhere: name beside file, environment or content says what docker calls it, not where its content is.
func TestNameOfDataThatIsElsewhere(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"stack.yaml": `secrets:
  s: {file: ./s.txt, name: "stack/s v2"}
  e: {name: other, environment: TOKEN}
  c: {name: credential}
  x: {external: true}
  y: {external: true, name: that}
  z: {external: false, file: ./z.txt}
configs:
  text: {content: hello, name: c2}
profiles:
  web: {image: a, secrets: [s, e, c, x, y, z], configs: [text]}
`})
	p, err := Load(Options{Cwd: dir}, "./stack.yaml:web")
	must(t, err)
	var got []string
	for _, v := range append(p.Secrets, p.Configs...) {
		got = append(got, v.Name+": "+strings.ReplaceAll(v.Describe(), dir, "")+" at "+v.Target)
	}
	want := []string{"s: file /s.txt at /run/secrets/s", "e: environment variable TOKEN at /run/secrets/e", `c: systemd credential "credential" at /run/secrets/c`,
		`x: systemd credential "x" at /run/secrets/x`, `y: systemd credential "that" at /run/secrets/y`, "z: file /z.txt at /run/secrets/z", "text: the profile at /text"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		"{file: ./s, external: true, name: x}": "file and external: the content is in one place",
		"{file: ./s, environment: X, name: x}": "file and environment: the content is in one place",
		"{name: a/b}":                          `"a/b" can't be a name`,
		"{file: ./s, name: [x]}":               "expected text",
	} {
		if _, err := loadText(t, "image: a\nsecrets: {s: "+text+"}\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestPortsWithoutAddress: an address that a variable leaves empty is all of them, and the colons of ::1 are no such.
func TestPortsWithoutAddress(t *testing.T) {
	for text, want := range map[string]string{
		":8081:81": "8081:81", "${BIND:-}:8080:80": "8080:80", "[]:8080:80": "8080:80", "::81": "81", "[]::80": "80", ":8000-8002:9000-9002": "8000-8002:9000-9002", ":80": "80",
		"::1:8080:80": "[::1]:8080:80", "[::1]:8080:80": "[::1]:8080:80", "[::]:8080:80": "[::]:8080:80", "[::1]::80": "[::1]::80", ":8080:80/udp": "8080:80/udp",
	} {
		p, err := loadText(t, "image: a\nports: [\""+text+"\"]\n")
		must(t, err)
		if got := p.Ports[0].Short(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"::8080:80", ":::80", " :8080:80", "x:8080:80"} {
		if _, err := loadText(t, "image: a\nports: [\""+text+"\"]\n"); err == nil || !strings.Contains(err.Error(), "is no IP address") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestTheSameTwiceInASet: compose makes these lists unique, and refuses others.
func TestTheSameTwiceInASet(t *testing.T) {
	p, err := loadText(t, `image: a
network_mode: bridge
dns: [1.1.1.1, 9.9.9.9, 1.1.1.1]
dns_search: [a.example, a.example]
dns_opt: ["ndots:1", "ndots:1"]
cap_add: [SYS_PTRACE, cap_sys_ptrace]
cap_drop: [NET_RAW, NET_RAW]
extra_hosts: ["a=1.1.1.1", "a=1.1.1.1"]
`)
	must(t, err)
	for what, diff := range map[string]string{
		"dns": cmp.Diff([]string{"1.1.1.1", "9.9.9.9"}, p.DNS), "dns_search": cmp.Diff([]string{"a.example"}, p.DNSSearch), "dns_opt": cmp.Diff([]string{"ndots:1"}, p.DNSOpt),
		"cap_add": cmp.Diff([]string{"CAP_SYS_PTRACE"}, p.CapAdd), "cap_drop": cmp.Diff([]string{"CAP_NET_RAW"}, p.CapDrop), "extra_hosts": cmp.Diff([]Host{{Name: "a", IP: "1.1.1.1"}}, p.ExtraHosts),
	} {
		if diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	for _, text := range []string{"group_add: [video, video]", "python: {packages: [torch, torch]}"} {
		if _, err := loadText(t, "image: a\n"+text+"\n"); err == nil || !strings.Contains(err.Error(), "stands twice") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestDollarsOfEnvFiles: one that begins no variable is itself, as for compose; a variable that is not set stays an error.
func TestDollarsOfEnvFiles(t *testing.T) {
	for line, want := range map[string]string{
		"K=$(id -u)": "$(id -u)", "K=a$1b": "a$1b", `K="5$"`: "5$", "K=5$": "5$", "K=$$": "$", "K=$$x": "$x", `K="$$"`: "$", "K=$$$TAG": "$v2", "K=$$$": "$$", `K="$$$"`: "$$",
		"K=$-": "$-", "K=$ x": "$ x", `K="$(id) $TAG ${TAG}"`: "$(id) v2 v2", "K=${NO:-x$1}": "x$1", "K=${NO:-5$}": "5$", "K=${NO:-$(x)}": "$(x)", "K=${TAG:-x$1}": "v2",
		`K="\$TAG"`: "$TAG", `K="\$(id)"`: "$(id)", "K='$(id) $TAG ${'": "$(id) $TAG ${", `K=\$TAG`: `\v2`, "K=$é": "$é", "K=$}": "$}", `K="a$\"b"`: `a$"b`, `K=s/\r$//`: `s/\r$//`,
		"K=${TAG+5$}": "5$", "K=$TAG$": "v2$", "K=$(echo ${TAG})": "$(echo v2)", "K: $(x)": "$(x)",
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"p.yaml": "image: a\nenv_file: f.env\n", "f.env": line + "\n"})
		p, err := Load(Options{Cwd: dir, Env: testEnv}, "./p.yaml")
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff([]EnvVar{{"K", want}}, p.Environment); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
	for line, want := range map[string]string{
		"K=a${1}b": `"${1}" is no variable`, "K=${": `"${" is no variable`, `K="${TAG"`: `"${TAG" is no variable`, "K=${}": "is no variable", "K=${TAG!x}": "is no variable",
		"K=$(echo ${1})": "is no variable", "K=$UNSET": "variable UNSET is not set", "K=x$(echo $UNSET)": "variable UNSET is not set", "K=${UNSET:?for 5$}": "UNSET is required: for 5$",
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{".env": line + "\n", "p.yaml": "image: a\n"})
		if _, err := Load(Options{Cwd: dir, Env: testEnv}, "./p.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

// TestEscapeDollars holds what a profile makes of the escaped text against what compose makes of the plain one.
func TestEscapeDollars(t *testing.T) {
	find := func(name string) (string, bool) { v, ok := testEnv[name]; return v, ok }
	for text, want := range map[string]string{
		"": "", "x": "x", "$(x)": "$$(x)", "$1": "$$1", "x$": "x$$", `s/\r$//`: `s/\r$$//`, "$-": "$$-", "$ x": "$$ x", "$$": "$$", "$$$": "$$$$", "$$$$": "$$$$", "$$(x)": "$$(x)", "$$TAG": "$$TAG",
		"$$$TAG": "$$$TAG", "$TAG": "$TAG", "${TAG}": "${TAG}", "a$1$TAG": "a$$1$TAG", "$${TAG}": "$${TAG}", "${TAG:-x$1}": "${TAG:-x$$1}", "${NO:-x$1}": "${NO:-x$$1}",
		"${NO:-x$(y)}": "${NO:-x$$(y)}", "${NO:-5$}": "${NO:-5$$}", "${NO:-a$$b}": "${NO:-a$$b}", "$[x]": "$$[x]", "$é": "$$é", "$}": "$$}", "$(echo ${TAG})": "$$(echo ${TAG})",
		"$(x)$": "$$(x)$$", "$1 $2 $TAG": "$$1 $$2 $TAG", "$TAG$": "$TAG$$", "$\n": "$$\n", "${1}": "${1}", "${": "${", "$1${": "$$1${", "${}": "${}",
	} {
		got := EscapeDollars(text)
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if again := EscapeDollars(got); again != got {
			t.Errorf("%q: escaped twice it is %q", text, again)
		}
		theirs, wrong := template.Substitute(text, find)
		ours, err := interpolate(got, find)
		if (wrong != nil) != (err != nil) || err == nil && ours != theirs {
			t.Errorf("%q: %q (%v), compose %q (%v)", text, ours, err, theirs, wrong)
		}
	}
}

// TestOptionEnableIPv6: docker's daemon looks at the driver's option where enable_ipv6 is not said.
func TestOptionEnableIPv6(t *testing.T) {
	const option = "driver_opts: {com.docker.network.enable_ipv6: "
	for text, want := range map[string]bool{
		option + `"false"}`: false, option + `"true"}`: true, option + "true}": true, option + `"1"}`: true, option + `"0"}`: false,
		option + `"true"}, enable_ipv6: false`: false, "enable_ipv6: false, " + option + `"true"}`: false, "enable_ipv6: true, " + option + `"false"}`: true,
	} {
		for _, file := range []string{"profiles: {p: {image: a, networks: [n]}}\nnetworks: {n: {" + text + "}}\n", "profiles: {p: {image: a, networks: {n: {" + text + "}}}}\n"} {
			dir := t.TempDir()
			write(t, dir, map[string]string{"s.yaml": file})
			p, err := Load(Options{Cwd: dir}, "./s.yaml:p")
			must(t, err)
			if p.Networks[0].EnableIPv6 != want {
				t.Errorf("%s: %v, want %v", file, p.Networks[0].EnableIPv6, want)
			}
		}
	}
	if _, err := loadText(t, "image: a\nnetworks: {n: {"+option+"maybe}}}\n"); err == nil || !strings.Contains(err.Error(), `expected true or false, got the text "maybe"`) {
		t.Error(err)
	}
}

// TestBothPriorities: the one does not overwrite the other, in whatever order they stand.
func TestBothPriorities(t *testing.T) {
	for _, text := range []string{"{priority: 100, gw_priority: 1}", "{gw_priority: 1, priority: 100}"} {
		p, err := loadText(t, "image: a\nnetworks: {n: "+text+"}\n")
		must(t, err)
		if n := p.Networks[0]; n.Priority != 100 || n.GatewayPriority != 1 {
			t.Errorf("%s: %+v", text, n)
		}
	}
}
