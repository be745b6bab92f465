package lockfile_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/lockfile"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

var update = flag.Bool("update", false, "rewrite golden files")

// dinov2 are facts with everything that a lock can hold.
func dinov2() (plan.Facts, lockfile.Host) {
	py := &host.Python{Python: abi.Python{Implementation: "cpython", Version: abi.Version{Major: 3, Minor: 11, Micro: 2}, SOABI: "cpython-311-x86_64-linux-gnu"},
		Packages: []host.Package{{Name: "torch", Version: "2.5.1+cu124", Site: "/v"}, {Name: "Typing_Extensions", Version: "4.12", Site: "/v"}, {Name: "yes", Version: "1.0", Site: "/v"}, {Name: "yes", Version: "1.1", Site: "/u"}, {Name: "bare", Site: "/v"}}}
	f := plan.Facts{Profile: profiles.Profile{Name: "dinov2", File: "/p/dinov2.yaml"},
		Host:        host.Facts{Python: py, CUDA: &host.CUDA{Version: "12.4"}, OS: host.OS{ID: "debian", VersionID: "12"}},
		Image:       plan.Image{Reference: "docker.io/library/dinov2:latest", Digest: "sha256:" + strings.Repeat("1", 64), OS: "linux", Arch: "arm64", Variant: "v8"},
		Inventories: []devices.Inventory{{Kind: "nvidia.com/gpu", Driver: "550.54.15"}, {Kind: "ascend.com/npu", Driver: "24.1.rc3"}, {Kind: "acme.com/x"}}}
	return f, lockfile.Host{CANN: "8.2.RC1", PreStart: map[string]string{"docker.io/library/fetch:1": "sha256:" + strings.Repeat("2", 64)},
		Contents: map[string]string{host.ContentKey(py.Packages[0]): "0123456789ab"}}
}

// TestRender: the golden is the contract of the form. What is read of it is written again byte for byte, in whatever order entries come.
func TestRender(t *testing.T) {
	f := lockfile.File{Entries: map[string]lockfile.Entry{}}
	f.Entries["dinov2"] = lockfile.Of(dinov2())
	hosted, h := dinov2()
	hosted.Profile = profiles.Profile{Name: "web", File: "/p/stack.yaml", Stack: &profiles.Stack{}, Rootfs: profiles.HostRoot}
	hosted.Host.Python, hosted.Host.CUDA, hosted.Inventories = nil, nil, nil
	h.CANN, h.PreStart = "", nil
	f.Entries[lockfile.Key(&hosted.Profile)] = lockfile.Of(hosted, h)
	built, h := dinov2()
	built.Profile.Build = &profiles.Build{}
	built.Host.Python.Implementation = "pypy"
	f.Entries["2.0"] = lockfile.Of(built, h)
	text, err := f.Render()
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/hostrun.lock"
	if *update {
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("differs (-update rewrites it):\n%s", diff)
	}
	again, err := lockfile.Parse("hostrun.lock", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.Entries, again.Entries); diff != "" {
		t.Error(diff)
	}
	twice, _ := again.Render()
	if diff := cmp.Diff(string(text), string(twice)); diff != "" {
		t.Error(diff)
	}
	for key, e := range f.Entries {
		if changes := again.Since(key, e); len(changes) > 0 {
			t.Errorf("%s differs from itself: %v", key, changes)
		}
	}
}

// TestSince names each difference, with the line of the lock.
func TestSince(t *testing.T) {
	text, err := os.ReadFile("testdata/hostrun.lock")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := lockfile.Parse("hostrun.lock", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(f *plan.Facts, h *lockfile.Host)
		want   string // with the text of the line that is named
	}{
		{func(f *plan.Facts, _ *lockfile.Host) { f.Image.Digest = "sha256:9" }, "the image's digest: sha256:" + strings.Repeat("1", 64) + " -> sha256:9|digest: sha256:1"},
		{func(f *plan.Facts, _ *lockfile.Host) {
			f.Image.Reference, f.Image.Digest = "docker.io/library/x:1", "sha256:9"
		}, "the image: docker.io/library/dinov2:latest -> docker.io/library/x:1|name: docker.io/library/dinov2:latest"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Image.Arch = "amd64" }, "the image's platform: linux/arm64/v8 -> linux/amd64/v8|platform: linux/arm64/v8"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Inventories[0].Driver = "560.1" }, "the driver of GPUs: 550.54.15 -> 560.1|nvidia.com/gpu: 550.54.15"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Inventories = f.Inventories[1:] }, "the driver of GPUs: 550.54.15 -> (none)|nvidia.com/gpu: 550.54.15"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Inventories[2].Driver = "1" }, "the driver of acme.com/x devices: (none) -> 1|drivers:"},
		{func(_ *plan.Facts, h *lockfile.Host) { h.Drivers = map[string]string{"ascend.com/npu": "25.0"} }, "the driver of NPUs: 24.1.rc3 -> 25.0|ascend.com/npu: 24.1.rc3"},
		{func(_ *plan.Facts, h *lockfile.Host) { h.CANN = "8.3" }, "the host's CANN: 8.2.RC1 -> 8.3|cann: 8.2.RC1"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Host.CUDA.Version = "12.6" }, `the host's CUDA: 12.4 -> 12.6|cuda: "12.4"`},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Host.Python.Version.Micro = 9 }, "the host's Python: 3.11.2 -> 3.11.9|version: 3.11.2"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Host.Python.SOABI = "cpython-311d" }, "the tag of the host's Python: cpython-311-x86_64-linux-gnu -> cpython-311d|soabi: cpython-311-x86_64-linux-gnu"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Host.Python = nil }, "the host's Python: 3.11.2 -> (none)|version: 3.11.2"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Host.Python.Packages[0].Version = "2.6.0" }, "the host's package torch: 2.5.1+cu124 -> 2.6.0|torch: 2.5.1+cu124 sha256:0123456789ab"},
		{func(f *plan.Facts, h *lockfile.Host) { h.Contents[host.ContentKey(f.Host.Python.Packages[0])] = "b" }, "the host's package torch 2.5.1+cu124: other files than before: sha256:0123456789ab -> sha256:b|torch: 2.5.1+cu124 sha256:0123456789ab"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Host.Python.Packages = f.Host.Python.Packages[:4] }, "the host's package bare: unknown -> (none)|bare: unknown"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Host.Python.Packages[3].Version = "1.2" }, "the host's package yes: 1.0 and 1.1 -> 1.0 and 1.2|\"yes\": 1.0 and 1.1"},
		{func(f *plan.Facts, _ *lockfile.Host) {
			f.Host.Python.Packages = append(f.Host.Python.Packages, host.Package{Name: "new", Version: "1"})
		}, "the host's package new: (none) -> 1|packages:"},
		{func(f *plan.Facts, h *lockfile.Host) { h.PreStart = nil }, "the digest of pre_start's image docker.io/library/fetch:1: sha256:" + strings.Repeat("2", 64) + " -> (none)|docker.io/library/fetch:1: sha256:2"},
		{func(f *plan.Facts, _ *lockfile.Host) { f.Host.OS.VersionID = "13" }, ""}, // none of an image's business
	} {
		f, h := dinov2()
		c.change(&f, &h)
		var got []string
		changes := lock.Since("dinov2", lockfile.Of(f, h))
		lines := strings.Split(string(text), "\n")
		for _, one := range changes {
			var line int
			if _, err := fmt.Sscanf(one.Where, "hostrun.lock:%d", &line); err != nil || line == 0 {
				t.Fatalf("no line: %+v", one)
			}
			got = append(got, one.Text+"|"+strings.TrimSpace(lines[line-1]))
		}
		if all := strings.Join(got, "\n"); !strings.HasPrefix(all, c.want) || (all == "") != (c.want == "") || len(changes) > 1 {
			t.Errorf("got  %s\nwant %s", all, c.want)
		}
		for _, one := range lock.Findings(changes, "dinov2") {
			if one.ID != finding.LockDiffers || one.Line == 0 || !strings.Contains(one.Message, changes[0].Text) || !strings.Contains(one.Remedy, "hostrun lock dinov2") {
				t.Errorf("%+v", one)
			}
		}
	}
	if lock.Since("nobody", lockfile.Entry{}) != nil {
		t.Error("changes since nothing")
	}
}

// TestPackagesTakenOut: who does not want a list of packages in the file takes it out, and the fingerprint decides; lock leaves it so.
func TestPackagesTakenOut(t *testing.T) {
	f, h := dinov2()
	short := lockfile.Of(f, h)
	short.Python.Packages = nil
	text, err := (&lockfile.File{Entries: map[string]lockfile.Entry{"dinov2": short}}).Render()
	if err != nil || strings.Contains(string(text), "torch") {
		t.Fatalf("%v\n%s", err, text)
	}
	lock, err := lockfile.Parse("hostrun.lock", text)
	if err != nil {
		t.Fatal(err)
	}
	if changes := lock.Since("dinov2", lockfile.Of(f, h)); len(changes) > 0 {
		t.Errorf("%v", changes)
	}
	f.Host.Python.Packages[0].Version = "2.6.0"
	now := lockfile.Of(f, h)
	changes := lock.Since("dinov2", now)
	if len(changes) != 1 || !strings.HasPrefix(changes[0].Text, "the host's packages: sha256:") {
		t.Errorf("%v", changes)
	}
	if now.KeepForm(short); now.Python.Packages != nil || now.Python.Fingerprint == short.Python.Fingerprint {
		t.Errorf("%+v", now.Python)
	}
}

// TestManyPackagesAreOneFinding names a few, and says where the others are.
func TestManyPackagesAreOneFinding(t *testing.T) {
	f, h := dinov2()
	lock, err := lockfile.Parse("hostrun.lock", []byte("version: 1\nprofiles:\n  dinov2:\n    python: {version: 3.11.2, soabi: cpython-311-x86_64-linux-gnu, fingerprint: x, packages: {}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		f.Host.Python.Packages = append(f.Host.Python.Packages, host.Package{Name: fmt.Sprintf("p%d", i), Version: "1"})
	}
	found := lock.Findings(lock.Since("dinov2", lockfile.Of(f, h)), "dinov2")
	last := found[len(found)-1]
	if !strings.Contains(last.Message, "and 16 more: hostrun lock --check dinov2 lists them") || last.Line != 4 {
		t.Errorf("%+v", last)
	}
}

// TestParseRefuses names the line.
func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		text string
		line int
		want string
	}{
		{"", 1, "empty"},
		{"# nothing\n", 1, "empty"},
		{"version: 2\nprofiles: {}\n", 1, "its version is 2, and this hostrun reads 1"},
		{"profiles: {}\n", 1, "its version is 0"},
		{"version: 1\nprofiles:\n  a:\n    image: {name: x, digset: y}\n", 4, "digset"},
		{"version: 1\nprofiles:\n  a: [1]\n", 3, "cannot unmarshal"},
		{"version: 1\nprofiles:\n  a: {}\n  a: {}\n", 4, "already defined"},
		{"<<<<<<< HEAD\nversion: 1\n=======\n", 1, ""},
		{"version: 1\nprofiles: {}\n---\nversion: 1\n", 1, "more than one document"},
		{"just words\n", 1, "cannot unmarshal"},
	} {
		_, err := lockfile.Parse("hostrun.lock", []byte(c.text))
		invalid, ok := err.(*lockfile.Invalid)
		if !ok {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if f := invalid.Finding(); f.ID != finding.LockInvalid || f.File != "hostrun.lock" || f.Line < 1 || c.want != "" && f.Line != c.line || !strings.Contains(f.Message, c.want) {
			t.Errorf("%q: %+v", c.text, f)
		}
	}
}
