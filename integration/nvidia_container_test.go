package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/finding"
	hostfacts "hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/rootfs"
	"hostrun.dev/hostrun/runtime"
)

// compileFile builds a C file of testdata.
func compileFile(t *testing.T, out, source string, args ...string) {
	t.Helper()
	cmd := exec.Command("gcc", append(append([]string{"-w", "-o", out}, args...), "testdata/nvidia/"+source, "-ldl")...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc %s: %v\n%s", source, err, b)
	}
}

// redhatLoader is this machine's loader with RHEL's and SUSE's directories in place of Debian's (system_dirs, elf/dl-load.c). Their lengths
// are part of its code, so each keeps its own by slashes at its end.
func redhatLoader(t *testing.T, loader []byte) []byte {
	t.Helper()
	for debian, redhat := range map[string]string{"/lib/x86_64-linux-gnu/\x00": "/lib64/", "/usr/lib/x86_64-linux-gnu/\x00": "/usr/lib64/"} {
		if !bytes.Contains(loader, []byte("\x00"+debian)) {
			fixture.Skip(t, "this machine's loader is not Debian's: its default directories can't be replaced")
		}
		padded := redhat + strings.Repeat("/", len(debian)-1-len(redhat)) + "\x00"
		loader = bytes.ReplaceAll(loader, []byte("\x00"+debian), []byte("\x00"+padded))
	}
	return loader
}

// layout is an image with a C library in a distribution's directory, and the program check. It is made as image and as a tree.
func layout(t *testing.T, name string, loader []byte, dir, check string, more ...fixture.Entry) (fixture.Image, *rootfs.View) {
	t.Helper()
	entries := []fixture.Entry{{Name: "lib", Link: "usr/lib"}, {Name: "lib64", Link: "usr/lib64"}, {Name: "usr/lib", Dir: true, Mode: 0o755}, {Name: "usr/lib64", Dir: true, Mode: 0o755},
		{Name: dir, Dir: true, Mode: 0o755}, {Name: "usr/lib64/ld-linux-x86-64.so.2", Mode: 0o755, Body: loader},
		{Name: dir + "/libc.so.6", Mode: 0o755, Body: content(t, "/lib/x86_64-linux-gnu/libc.so.6")}, {Name: "check", Mode: 0o755, Body: content(t, check)},
		{Name: "proc", Dir: true, Mode: 0o755}, {Name: "dev", Dir: true, Mode: 0o755}, {Name: "sys", Dir: true, Mode: 0o755}, {Name: "etc", Dir: true, Mode: 0o755}}
	entries = append(entries, more...)
	root := t.TempDir()
	for _, e := range entries {
		p := filepath.Join(root, e.Name)
		ok(t, os.MkdirAll(filepath.Dir(p), 0o755))
		switch {
		case e.Dir:
			ok(t, os.MkdirAll(p, 0o755))
		case e.Link != "":
			ok(t, os.Symlink(e.Link, p))
		default:
			ok(t, os.WriteFile(p, e.Body, 0o755))
		}
	}
	return fixture.Image{Name: name, Layers: [][]fixture.Entry{entries}}, rootfs.Dir(root)
}

// gpuFacts are those of a container of an image whose files are view; with given it gets the GPU at 0000:61:00.0 of the machine below
// host, whose files lie there.
func gpuFacts(w *world, host, image string, view *rootfs.View, env []string, given bool, args ...string) plan.Facts {
	w.t.Helper()
	ctx := context.Background()
	command, atOnce := profiles.Command(args), time.Duration(0)
	p := profiles.Profile{Name: "gpu", Image: image, Command: &command, StopGracePeriod: &atOnce}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		p.Environment = append(p.Environment, profiles.EnvVar{Name: name, Value: value})
	}
	machine, err := hostfacts.Probe(ctx, hostfacts.Options{Root: "/"}, hostfacts.Needs{})
	ok(w.t, err)
	machine.Hosts, machine.ResolvConf = "", ""
	engine, err := w.c.Engine(ctx)
	ok(w.t, err)
	img, err := w.c.Inspect(ctx, image, "", plan.Needs(&p))
	ok(w.t, err)
	f := plan.Facts{Schema: 1, ID: "gpu", Profile: p, Host: machine, Engine: engine, Image: img}
	if !given {
		return f
	}
	s := nvidia.New(host)
	inv, err := s.Inventory(ctx, devices.Needs{})
	ok(w.t, err)
	ask := devices.Ask{Kind: nvidia.Kind, Key: "gpus"}
	edits, found := s.Edits(inv, inv.Devices[3:4], ask, devices.Container{View: view, Env: env})
	if len(found) > 0 {
		w.t.Fatalf("%+v", found)
	}
	for _, m := range edits.Mounts { // the machine is a directory of this one
		m.HostPath = filepath.Join(host, m.HostPath)
	}
	f.Grants = []devices.Grant{{Ask: ask, Chosen: inv.Devices[3:4], Edits: edits}}
	return f
}

// TestNVIDIAContainer: in a container without ldconfig and without an environment a program finds the host's libcuda by both of its
// names, and the chosen GPU's node by its number of this moment; other GPUs stay closed. The nodes have the numbers of /dev/null and its like.
func TestNVIDIAContainer(t *testing.T) {
	if goruntime.GOARCH != "amd64" {
		fixture.Skip(t, "the layouts are those of x86-64")
	}
	dir := t.TempDir()
	check, stub := filepath.Join(dir, "check"), filepath.Join(dir, "stub.so")
	compileFile(t, check, "check.c")
	compileFile(t, stub, "libcuda.c", "-shared", "-DVERSION=34", "-Wl,-soname,libcuda.so.1")
	machine := nvidiatest.H100()
	machine.Live, machine.Files = true, map[string]string{"run/nvidia-persistenced/socket": ""} // so that the GPU is opened, too
	host := machine.Make(t)
	compileFile(t, filepath.Join(host, "usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15"), "libcuda.c", "-shared", "-DVERSION=55054", "-Wl,-soname,libcuda.so.1")
	ok(t, os.Chmod(host, 0o755))

	loader := content(t, "/lib64/ld-linux-x86-64.so.2")
	const debian, redhat = "usr/lib/x86_64-linux-gnu", "usr/lib64"
	missing := "libcuda.so.1: cannot open shared object file: No such file or directory"
	good := []string{"libcuda.so.1: 55054", "libcuda.so: 55054", "/dev/nvidia3: 1:7 opened", "/dev/nvidia-uvm: 1:5 opened",
		"/dev/nvidiactl: 1:3 opened", "/dev/nvidia0: No such file or directory"}
	leftovers := []fixture.Entry{{Name: debian + "/libcuda.so.1", Link: "libcuda.so.470.57.02"}, {Name: "usr/local/nvidia/lib64/libcuda.so.1", Mode: 0o755},
		{Name: "usr/local/cuda/lib64/stubs/libcuda.so", Mode: 0o755, Body: content(t, stub)}}
	path := "LD_LIBRARY_PATH=/usr/local/nvidia/lib64:/usr/local/cuda/lib64/stubs"
	tests := []struct {
		name, dir string
		loader    []byte
		env       []string
		more      []fixture.Entry
		given     bool
		want      []string
	}{
		{"debian", debian, loader, nil, nil, true, good},
		{"redhat", redhat, redhatLoader(t, loader), nil, nil, true, good},
		// An image that was built with another driver's files mounted, and that puts a toolkit's stubs first.
		{"leftovers", debian, loader, []string{path}, leftovers, true, good},
		{"not-given", debian, loader, nil, nil, false, append([]string{missing}, "libcuda.so: cannot open shared object file: No such file or directory",
			"/dev/nvidia3: No such file or directory", "/dev/nvidia-uvm: No such file or directory", "/dev/nvidiactl: No such file or directory", "/dev/nvidia0: No such file or directory")},
		{"stub-not-covered", debian, loader, []string{path}, leftovers[2:], false, nil},
	}
	w := newWorld(t, fixture.StartContainerd(t, fixture.Engines(t)[0].Binary))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			img, view := layout(t, test.name+":latest", test.loader, test.dir, check, test.more...)
			w.load(img)
			w := &world{t: t, ctrd: w.ctrd, opt: w.opt, c: w.c}
			facts := gpuFacts(w, host, test.name+":latest", view, test.env, test.given, "/check", "libcuda.so.1", "libcuda.so", "/dev/nvidia3", "/dev/nvidia-uvm", "/dev/nvidiactl", "/dev/nvidia0")
			if at := "/" + test.dir + "/libcuda.so.1"; test.given && facts.Grants[0].Edits.Origins[at] == "" {
				t.Errorf("libcuda is not bound at %s: %v", at, facts.Grants[0].Edits.Origins)
			}
			got := strings.Split(strings.TrimSpace(w.run(facts)), "\n")
			if test.want == nil { // what the edits cover is there to be covered
				equal(t, "the stub", got[1], "libcuda.so: 34")
				return
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("tried before the start", func(t *testing.T) {
		img, view := layout(t, "tried:latest", loader, debian, check)
		w.load(img)
		w := &world{t: t, ctrd: w.ctrd, opt: w.opt, c: w.c}
		w.refusedDevices(gpuFacts(w, host, "tried:latest", view, nil, true, "/check", "libcuda.so.1"), dir)
	})
	w.clean()
}

// refusedDevices: a container that could not use what it was given is not started, says why, and leaves nothing behind.
func (w *world) refusedDevices(good plan.Facts, dir string) {
	empty, newer := filepath.Join(dir, "empty"), filepath.Join(dir, "newer.so")
	ok(w.t, os.Mkdir(empty, 0o755))
	ok(w.t, os.WriteFile(filepath.Join(dir, "newer.c"), []byte("int hostrunNewer(void); int f(void) { return hostrunNewer(); }\n"), 0o644))
	ok(w.t, os.WriteFile(filepath.Join(dir, "map"), []byte("HOSTRUN_9 { global: hostrunNewer; };\n"), 0o644))
	ok(w.t, os.WriteFile(filepath.Join(dir, "needed.c"), []byte("int hostrunNewer(void) { return 9; }\n"), 0o644))
	for _, args := range [][]string{{"-shared", "-Wl,--version-script=" + dir + "/map", "-Wl,-soname,libc.so.6", "-o", dir + "/needed.so", dir + "/needed.c"},
		{"-shared", "-nostdlib", "-Wl,-soname,libcuda.so.1", "-o", newer, dir + "/newer.c", dir + "/needed.so"}} {
		out, err := exec.Command("gcc", args...).CombinedOutput()
		if err != nil {
			w.t.Fatalf("gcc: %v\n%s", err, out)
		}
	}
	const libcuda = "/usr/lib/x86_64-linux-gnu/libcuda.so.1"
	bind := func(source, at string) func(*plan.Plan) {
		return func(pl *plan.Plan) {
			pl.Spec.Mounts = slices.DeleteFunc(pl.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == at })
			pl.Spec.Mounts = append(pl.Spec.Mounts, specs.Mount{Destination: at, Type: "bind", Source: source, Options: []string{"rbind", "ro"}})
		}
	}
	node := func(change func(*specs.LinuxDevice)) func(*plan.Plan) {
		return func(pl *plan.Plan) {
			for i, d := range pl.Spec.Linux.Devices {
				if d.Path == "/dev/nvidia3" {
					change(&pl.Spec.Linux.Devices[i])
				}
			}
		}
	}
	number := func(n int64) *int64 { return &n }
	mode, other := os.FileMode(0o600), uint32(1000)
	for name, c := range map[string]struct {
		change func(*plan.Plan)
		status int
		words  string
	}{
		"cgroup": {func(pl *plan.Plan) {
			node(func(d *specs.LinuxDevice) { d.Major, d.Minor = 1, 11 })(pl)
			for _, allow := range []bool{true, false} {
				pl.Spec.Linux.Resources.Devices = append(pl.Spec.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: allow, Type: "c", Major: number(1), Minor: number(11), Access: "rw"})
			}
		}, finding.StatusNoDevice, "it could not use /dev/nvidia3 (1:11): operation not permitted: the device cgroup does not admit it"},
		"no driver": {func(pl *plan.Plan) {
			node(func(d *specs.LinuxDevice) { d.Major, d.Minor = 195, 3 })(pl)
			pl.Spec.Linux.Resources.Devices = append(pl.Spec.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(195), Minor: number(3), Access: "rw"})
		}, finding.StatusNoDevice, "/dev/nvidia3 (195:3): no such device or address: no driver has that number"},
		"user": {func(pl *plan.Plan) {
			node(func(d *specs.LinuxDevice) { d.FileMode = &mode })(pl)
			pl.Spec.Process.User.UID, pl.Spec.Process.User.GID = other, other
			pl.Spec.Process.Capabilities = nil
		}, finding.StatusNoDevice, "permission denied: the node is of user 0 and group 0, mode 0600, and the container's user is 1000"},
		"replaced": {func(pl *plan.Plan) {
			pl.Spec.Mounts = append(pl.Spec.Mounts, specs.Mount{Destination: "/dev/nvidia3", Type: "bind", Source: "/dev/zero", Options: []string{"bind"}})
		}, finding.StatusNoDevice, "another node is there than it was given"},
		"library covered": {bind(filepath.Join(dir, "check"), libcuda), finding.StatusMisfit, "container gpu is not started: "},
		"library hidden":  {bind(empty, "/usr/lib/x86_64-linux-gnu"), finding.StatusMisfit, "cannot open shared object file: No such file or directory"},
		"library too new": {bind(newer, libcuda), finding.StatusMisfit, "version `HOSTRUN_9' not found (required by "},
	} {
		pl, err := plan.Build(good)
		ok(w.t, err)
		c.change(&pl)
		_, err = w.c.Run(context.Background(), pl, runtime.IO{}, nil)
		if finding.StatusOf(err) != c.status || !strings.Contains(fmt.Sprint(err), c.words) || len(finding.HintOf(err)) < 2 {
			w.t.Errorf("run, %s: status %d, want %d and %q: %v", name, finding.StatusOf(err), c.status, c.words, err)
		}
	}
	pl, err := plan.Build(good)
	ok(w.t, err)
	label := pl.Labels[plan.LabelProbe]
	pl.Labels[plan.LabelProbe] = strings.Replace(label, "libcuda.so.1", "libcuda.so.9", 1)
	if _, err := w.c.Up(context.Background(), pl, false); finding.StatusOf(err) != finding.StatusMisfit || !strings.Contains(fmt.Sprint(err), "libcuda.so.9: cannot open shared object file") {
		w.t.Errorf("up: %v", err)
	}
	all, err := w.c.List(context.Background(), true)
	ok(w.t, err)
	if len(all) > 0 {
		w.t.Errorf("left behind: %+v", all)
	}
}
