package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/profiles"
)

func TestWords(t *testing.T) {
	old := &specs.Spec{Hostname: "a", Process: &specs.Process{Args: []string{"a"}, Env: []string{"COLOR=red", "GONE=1"}, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2}}},
		Mounts: []specs.Mount{{Destination: "/same", Source: "/a", Type: "bind"}, {Destination: "/gone", Source: "/x", Type: "bind", Options: []string{"ro"}}},
		Linux:  &specs.Linux{Seccomp: &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ERRNO"}, Devices: []specs.LinuxDevice{{Path: "/dev/mine", Type: "c", Major: 1, Minor: 3}}}}
	now := &specs.Spec{Hostname: "a", Process: &specs.Process{Args: []string{"b"}, Env: []string{"PATH=/bin", "COLOR=blue"}, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 2}}},
		Mounts: []specs.Mount{{Destination: "/same", Source: "/b", Type: "bind"}, {Destination: "/new", Source: "/y", Type: "bind", Options: []string{"ro"}}},
		Linux:  &specs.Linux{Seccomp: &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW"}, Devices: []specs.LinuxDevice{{Path: "/dev/mine", Type: "c", Major: 1, Minor: 5}}}}
	pl := Plan{Spec: now, Origins: map[string]string{"/process/env/1": "profile web.yaml:3", "/mounts/1": "profile web.yaml:7", "/process/args": "image", "/linux/seccomp": "hostrun", "/linux/devices/0": "profile web.yaml:9"}}
	lines := append(Diff(old, now), "image: sha256:1 -> sha256:2", "generated files")
	got := strings.Join(Words(lines, pl), "\n")
	want := `the device node /dev/mine (minor): 3 -> 5 (profile web.yaml:9)
the seccomp filter: another one
the mount at /gone: /x -> (none)
the mount at /new: (none) -> /y (profile web.yaml:7)
the mount at /same (source): /a -> /b
the command: [a] -> [b] (image)
the variable COLOR: red -> blue (profile web.yaml:3)
the variable GONE: 1 -> (none)
the variable PATH: (none) -> /bin
the limit RLIMIT_NOFILE (soft): 1 -> 5
the image's digest: sha256:1 -> sha256:2
what hostrun keeps with it, or files that it makes for it (hosts, resolv.conf, links)`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMadeSince(t *testing.T) {
	facts := func(torch, driver, command string) Facts {
		c := profiles.Command{command}
		return Facts{Profile: profiles.Profile{Name: "web", Command: &c, Environment: []profiles.EnvVar{{Name: "A", Value: command}},
			Lines: map[string]profiles.Position{"command": {File: "web.yaml", Line: 4}, "environment.A": {File: "web.yaml", Line: 6}}},
			Host:        host.Facts{Python: &host.Python{Python: abi.Python{Executable: "/usr/bin/python3"}, Packages: []host.Package{{Name: "torch", Version: torch}, {Name: "same", Version: "1"}}}},
			Inventories: []devices.Inventory{{Kind: devices.KindGPU, Driver: driver}}}
	}
	was := MadeOf(facts("2.5", "550", "a"), Plan{Digest: "sha256:1"})
	now := facts("2.6", "560", "b")
	var got []string
	for _, c := range MadeOf(now, Plan{Digest: "sha256:2"}).Since(was, now.Profile.Lines) {
		got = append(got, c.What+": "+c.Text)
	}
	want := []string{"profile: the profile's command: [a] -> [b] (web.yaml:4)", "profile: the profile's environment[A].value: a -> b (web.yaml:6)", "image: the image's digest: sha256:1 -> sha256:2",
		"package: the host's package torch: 2.5 -> 2.6", "driver: the driver of GPUs: 550 -> 560"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if same := MadeOf(now, Plan{}).Since(MadeOf(now, Plan{}), nil); len(same) > 0 {
		t.Errorf("nothing has changed: %v", same)
	}
}

// TestMadeIsReadable: times are said as profiles say them.
func TestMadeIsReadable(t *testing.T) {
	was, is, mask := 3*time.Second, 90*time.Second, uint32(0o77)
	changes := Made{Profile: profiles.Profile{StopGracePeriod: &is, Healthcheck: &profiles.Healthcheck{Interval: is}, Umask: &mask}}.Since(
		Made{Profile: profiles.Profile{StopGracePeriod: &was, Healthcheck: &profiles.Healthcheck{Interval: was}}}, nil)
	var got []string
	for _, c := range changes {
		got = append(got, c.Text)
	}
	want := []string{"the profile's healthcheck.interval: 3s -> 1m30s", "the profile's stop_grace_period: 3s -> 1m30s", "the profile's umask: (none) -> 0077"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestElementsAreToldByTheirLines: what stands in a list was told with the line of the list, or not at all where it has nothing but a name; a list
// in another order as "files that hostrun makes for it"; ports as hostrun keeps them.
func TestElementsAreToldByTheirLines(t *testing.T) {
	profile := func(networks []profiles.Network, volumes ...profiles.Volume) profiles.Profile {
		return profiles.Profile{Networks: networks, Volumes: volumes, Lines: map[string]profiles.Position{}}
	}
	a, b := profiles.Volume{Type: "bind", Source: "/a", Target: "/a", Key: "volumes[0]"}, profiles.Volume{Type: "bind", Source: "/b", Target: "/b", Key: "volumes[1]"}
	moved := func(v profiles.Volume, key string) profiles.Volume { v.Key = key; return v }
	lines := map[string]profiles.Position{"volumes": {File: "web.yaml", Line: 3}, "volumes[0]": {File: "web.yaml", Line: 4}, "volumes[1]": {File: "web.yaml", Line: 5},
		"networks": {File: "web.yaml", Line: 8}, "networks.front": {File: "web.yaml", Line: 10}, "ports": {File: "web.yaml", Line: 12}}
	net := func(name string) []profiles.Network { return []profiles.Network{{Name: name, Key: "networks." + name}} }
	ports := func(p ...profiles.Port) profiles.Profile { return profiles.Profile{Ports: p} }
	for _, c := range []struct {
		was, is profiles.Profile
		want    []string
	}{
		{profile(nil, a, b), profile(nil, a, b), nil},
		{profile(nil, a), profile(nil, a, b), []string{"the profile's volumes[/b].source: (none) -> /b (web.yaml:5)", "the profile's volumes[/b].type: (none) -> bind (web.yaml:5)"}},
		{profile(nil, a, b), profile(nil, moved(b, "volumes[0]"), moved(a, "volumes[1]")), []string{"the profile's volumes: in another order (web.yaml:3)"}},
		{profile(net("back")), profile(net("front")), []string{"the profile's networks[back]: yes -> (none) (web.yaml:8)", "the profile's networks[front]: (none) -> yes (web.yaml:10)"}},
		{ports(profiles.Port{Target: 80, Protocol: "tcp", Key: "ports[0]"}), ports(profiles.Port{HostIP: "::1", First: 53, Last: 55, Target: 53, End: 55, Protocol: "udp", Key: "ports[0]"}),
			[]string{"the profile's ports: [80] -> [[::1]:53-55:53-55/udp] (web.yaml:12)"}},
		{profiles.Profile{Replicas: &profiles.Replicas{Count: 2, Key: "scale"}}, profiles.Profile{Replicas: &profiles.Replicas{Count: 2, Key: "replicas"}}, nil},
		{profiles.Profile{Labels: map[string]string{"a.key": "1"}}, profiles.Profile{Labels: map[string]string{"a.key": "2"}}, []string{"the profile's labels.a.key: 1 -> 2"}},
	} {
		var got []string
		for _, change := range profileChanges(c.was, c.is, lines) {
			got = append(got, change.Text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

// TestLongListsShowWhatDiffers: of two sets of capabilities only their first 160 bytes were shown, which were the same.
func TestLongListsShowWhatDiffers(t *testing.T) {
	long := []string{"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}
	spec := func(more ...string) *specs.Spec {
		return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: append(more, long...)}}}
	}
	for _, c := range []struct {
		was, is *specs.Spec
		want    string
	}{
		{spec("CAP_MKNOD"), spec(), "process.capabilities.bounding: [... CAP_MKNOD] -> [...]"},
		{spec("CAP_A", "CAP_B"), spec("CAP_B", "CAP_C"), "process.capabilities.bounding: [... CAP_A] -> [... CAP_C]"},
	} {
		if got := Diff(c.was, c.is); len(got) != 1 || got[0] != c.want {
			t.Errorf("got %v, want %s", got, c.want)
		}
	}
}
