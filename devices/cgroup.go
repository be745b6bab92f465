package devices

import (
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// The names that container engines give to cgroups: docker-<id>.scope, /docker/<id>, cri-containerd-<id>.scope,
// /kubepods/.../<id>, libpod-<id>.scope, and /<namespace>/<id> of containerd's own clients.
var (
	cgroupHex  = pattern.New(`(?:^|/|-)([0-9a-f]{64})(?:\.scope)?(?:/|$)`)
	cgroupTool = pattern.New(`(kubepods|docker|libpod|cri-containerd|crio|isulad)`)
	cgroupName = pattern.New(`^/([\w.-]+)/([\w.-]+)$`)
)

// cgroupTools are the tools by what is in the names of their cgroups.
var cgroupTools = map[string]string{"kubepods": "Kubernetes", "cri-containerd": "Kubernetes", "crio": "Kubernetes", "libpod": "podman", "docker": "docker", "isulad": "isulad"}

// ContainerOf returns the container that a process's /proc/PID/cgroup (cgroups(7)) names, as a message has it: "docker container
// 3f2a0d1c9b8e"; "" for none that is known.
func ContainerOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if m := cgroupHex.FindStringSubmatch(parts[2]); m != nil {
			tool := ""
			if t := cgroupTool.FindStringSubmatch(parts[2]); t != nil {
				tool = cgroupTools[t[1]]
			}
			return strings.TrimSpace(tool + " container " + m[1][:12])
		}
		if m := cgroupName.FindStringSubmatch(parts[2]); m != nil && !strings.HasSuffix(m[1], ".slice") && !strings.HasSuffix(m[2], ".service") {
			return "container " + m[2] + " of namespace " + m[1]
		}
	}
	return ""
}
