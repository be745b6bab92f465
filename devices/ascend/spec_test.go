package ascend_test

import (
	"encoding/json"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// spec is the whole specification of a container of user 1000 with these edits, on a machine of the NPUs' usual processor.
func spec(t *testing.T, chosen []devices.Device, edits devices.Edits, env []string) string {
	t.Helper()
	command := profiles.Command{"python3", "train.py"}
	f := plan.Facts{
		Schema: 1, ID: "npu",
		Profile: profiles.Profile{Name: "npu", Image: "cann", User: "1000", Command: &command},
		Host:    host.Facts{Schema: 1, Hostname: "atlas", Arch: "arm64", Kernel: "5.15.0", CPUs: 192, MemoryBytes: 1 << 40, CgroupVersion: 2},
		Engine:  plan.Engine{Namespace: "hostrun", RuntimeName: "io.containerd.runc.v2", OCIRuntime: "runc 1.1.5", MountOptions: []string{"rro"}, DataDir: "/var/lib/hostrun"},
		Image: plan.Image{Reference: "docker.io/library/cann:latest", Digest: "sha256:" + strings.Repeat("a", 64), ChainID: "sha256:" + strings.Repeat("b", 64), OS: "linux", Arch: "arm64",
			Entrypoint: []string{"/bin/bash", "-c", "source set_env.sh && exec \"$@\"", "--"}, Env: env,
			Users: []plan.User{{Name: "root", Home: "/root"}, {Name: "app", UID: 1000, GID: 1000, Home: "/home/app"}}, Groups: []plan.Group{{Name: "root"}, {Name: "app", GID: 1000}},
			Paths: map[string]plan.Path{"/": {Real: "/", Dir: true, Mode: 0o755, Entries: 20}}},
		Grants: []devices.Grant{{Ask: devices.Ask{Kind: ascend.Kind, Key: "npus"}, Chosen: chosen, Edits: edits}},
	}
	pl, err := plan.Build(f)
	if err != nil {
		t.Fatalf("%v: %+v", err, pl.Findings)
	}
	text, err := json.MarshalIndent(pl.Spec, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}
