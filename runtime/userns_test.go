package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/plan"
)

var someIDs = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}

// TestStagedSpec: containerd's spec binds from the stage, and whoever reads the record sees what was planned.
func TestStagedSpec(t *testing.T) {
	mode := os.FileMode(0o660)
	spec := &specs.Spec{Annotations: map[string]string{"a": "b"}, Process: &specs.Process{}, Mounts: []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/data", Type: "bind", Source: "/srv/data", Options: []string{"rbind", "rprivate", "rro", "nosuid", "nodev", "ridmap"}, UIDMappings: someIDs, GIDMappings: someIDs},
		{Destination: "/sys", Type: "bind", Source: "/sys", Options: []string{"rbind", "ro"}},
	}, Linux: &specs.Linux{UIDMappings: someIDs, GIDMappings: someIDs,
		Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: "/run/netns/x"}, {Type: specs.UserNamespace}},
		Devices:    []specs.LinuxDevice{{Path: "/dev/davinci0", Type: "c", Major: 236, FileMode: &mode}}}}
	got := staged(plan.Plan{Spec: spec, Stage: "/run/s"})
	want := []specs.Mount{spec.Mounts[0], {Destination: "/data", Type: "bind", Source: "/run/s/m1", Options: []string{"rbind", "rprivate"}}, spec.Mounts[2],
		{Destination: "/dev/davinci0", Type: "bind", Source: "/run/s/d0", Options: []string{"bind", "rprivate"}}}
	if diff := cmp.Diff(want, got.Mounts); diff != "" {
		t.Error(diff)
	}
	if len(got.Linux.Devices) > 0 {
		t.Errorf("devices %v", got.Linux.Devices)
	}
	if diff := cmp.Diff([]specs.LinuxNamespace{{Type: specs.NetworkNamespace}, {Type: specs.UserNamespace}}, got.Linux.Namespaces); diff != "" {
		t.Errorf("its network namespace has to be made with its user namespace: %s", diff)
	}
	if diff := cmp.Diff(spec, unstaged(got)); diff != "" {
		t.Errorf("read from the record: %s", diff)
	}
	if plain := (&specs.Spec{}); staged(plan.Plan{Spec: plain}) != plain || unstaged(plain) != plain {
		t.Error("a container with the machine's ids has another spec")
	}
}

// TestIDRanges: of which ids a container gets some.
func TestIDRanges(t *testing.T) {
	for _, c := range []struct {
		name, text string
		n          int
		first      uint32
	}{
		{"none", "", 4094, 0x70000000},
		{"others in the default", "alice:1879048192:65537\n", 4092, 0x70020000},
		{"own", "alice:100000:65536\nhostrun:200000:131072\nhostrun:500000:65535\n", 2, 200000},
		{"too few", "hostrun:200000:65535\n", 0, 0},
		{"not those of accounts", "hostrun:0:131072\n", 1, 65536},
		{"the last ids", "hostrun:4294836224:131072\n", 1, 4294836224},
		{"nonsense", "hostrun\nhostrun:a:b\n:::\nhostrun:1:2:3\n", 4094, 0x70000000},
	} {
		got := starts([]byte(c.text))
		if len(got) != c.n || c.n > 0 && got[0] != c.first {
			t.Errorf("%s: %d ranges: %v", c.name, len(got), got[:min(len(got), 3)])
		}
	}
}

// TestIDsAreOnesOwn: a container keeps its range, two have none together, one that is gone gives it back, and one whose maker died
// before it was made has none.
func TestIDsAreOnesOwn(t *testing.T) {
	c := &Client{opt: Options{DataDir: t.TempDir(), StateDir: t.TempDir(), Namespace: "ns"}}
	of := func(id string, hold bool) plan.IDRange {
		t.Helper()
		r, err := c.IDs(id, hold)
		if err != nil || r.Error != "" {
			t.Fatal(err, r.Error)
		}
		return r
	}
	if of("a", false) != of("b", false) {
		t.Error("a look takes ids")
	}
	a := of("a", true)
	if b := of("b", true); b.UID == a.UID || b.GID == a.GID || of("a", true) != a || of("a", false) != a {
		t.Errorf("a has %v, b %v", a, b)
	}
	spec := &specs.Spec{Linux: &specs.Linux{UIDMappings: []specs.LinuxIDMapping{{HostID: a.UID, Size: a.Size}}, GIDMappings: []specs.LinuxIDMapping{{HostID: a.GID, Size: a.Size}}}}
	if err := c.claimIDs("c", spec); err == nil || !strings.Contains(err.Error(), "ns/a") {
		t.Errorf("c takes a's ids: %v", err)
	}
	if err := c.releaseIDs("a"); err != nil {
		t.Fatal(err)
	}
	if err := c.claimIDs("c", spec); err != nil || of("c", false) != a {
		t.Errorf("after a: %v", err)
	}
	file := filepath.Join(c.idsDir(), rangeName(a))
	if err := os.WriteFile(file, []byte("ns/c\n1:1:another-boot"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := of("d", true); d != a {
		t.Errorf("of a maker that died d gets %v, not %v", d, a)
	}
	for _, taken := range []string{"200000-300000"} {
		r := freeIDs([]uint32{200000 - 65535, 200000}, []uint32{300000, 400000}, map[string]string{taken: "x"}, "y")
		if r.Error == "" {
			t.Errorf("ids that overlap are given: %v", r)
		}
	}
}

// TestMountThatKeepsItsIDs: a file system that can't be mounted with other ids is named.
func TestMountThatKeepsItsIDs(t *testing.T) {
	needRoot(t)
	ids, err := usernsOf(&specs.Spec{Linux: &specs.Linux{UIDMappings: someIDs, GIDMappings: someIDs}})
	if err != nil {
		t.Fatal(err)
	}
	defer ids.Close()
	s := idStage{dir: t.TempDir(), ids: ids}
	_, _, err = s.clone("/proc/sys", true, true)
	if text := stageError("job", err).Error(); err == nil || !strings.Contains(text, "/proc/sys lies on proc") {
		t.Errorf("%v", text)
	}
}
