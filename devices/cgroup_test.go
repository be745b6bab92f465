package devices_test

import (
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
)

func TestContainerOf(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for cgroup, want := range map[string]string{
		"0::/system.slice/docker-" + id + ".scope":                               "docker container 0123456789ab",
		"12:devices:/docker/" + id + "\n0::/docker/" + id:                        "docker container 0123456789ab",
		"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope": "Kubernetes container 0123456789ab",
		"4:pids:/kubepods/besteffort/pod7/" + id:                                 "Kubernetes container 0123456789ab",
		"0::/machine.slice/libpod-" + id + ".scope/container":                    "podman container 0123456789ab",
		"0::/machine.slice/libpod-" + id + ".scope":                              "podman container 0123456789ab",
		"0::/hostrun/train":                              "container train of namespace hostrun",
		"3:cpu:/default/" + id:                           "container 0123456789ab",
		"0::/user.slice/user-1000.slice/session-3.scope": "",
		"0::/system.slice/sshd.service":                  "",
		"0::/init.scope":                                 "",
		"":                                               "",
		"0::/docker-0123456789abcdef0123456789abcd.scope": "",
	} {
		if got := devices.ContainerOf(cgroup); got != want {
			t.Errorf("%s: %q, want %q", cgroup, got, want)
		}
	}
}

func FuzzContainerOf(f *testing.F) {
	f.Add("0::/system.slice/docker-" + strings.Repeat("ab", 32) + ".scope")
	f.Fuzz(func(t *testing.T, cgroup string) {
		if got := devices.ContainerOf(cgroup); len(got) > len(cgroup)+len("Kubernetes container of namespace ") {
			t.Errorf("%q", got)
		}
	})
}
