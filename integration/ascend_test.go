package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/integration/image/archive"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// An npuHost is a machine with eight NPUs below a directory: real nodes, whose driver does not exist.
type npuHost struct {
	root   string
	source *ascend.Source
	inv    devices.Inventory
}

func newNPUHost(t *testing.T, m ascendtest.Machine) npuHost {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "device nodes and containers need root")
	}
	root := t.TempDir()
	for dir := root; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) { // users of containers look in too
		ok(t, os.Chmod(dir, 0o755))
	}
	ascendtest.Build(t, root, m)
	h := npuHost{root: root, source: ascend.New(root)}
	var err error
	h.inv, err = h.source.Inventory(context.Background(), devices.Needs{})
	ok(t, err)
	return h
}

// facts are those of a container on the machine with the given NPUs.
func (h npuHost) facts(w *world, image string, ids []string, ask devices.Ask, change func(*profiles.Profile), args ...string) plan.Facts {
	w.t.Helper()
	command, atOnce := profiles.Command(args), time.Duration(0)
	p := profiles.Profile{Name: "npu", Image: image, Command: &command, StopGracePeriod: &atOnce}
	if change != nil {
		change(&p)
	}
	ctx := context.Background()
	machine, err := host.Probe(ctx, host.Options{Root: "/"}, host.Needs{})
	ok(w.t, err)
	machine.Hosts, machine.ResolvConf = "", ""
	engine, err := w.c.Engine(ctx)
	ok(w.t, err)
	img, err := w.c.Inspect(ctx, image, "", plan.Needs(&p))
	ok(w.t, err)
	chosen := slices.DeleteFunc(slices.Clone(h.inv.Devices), func(d devices.Device) bool { return !slices.Contains(ids, d.Name) })
	ask.Kind, ask.Key = ascend.Kind, "npus"
	c := devices.Container{Env: img.Env}
	if p.User != "" {
		c.User = 1000
	}
	edits, findings := h.source.Edits(h.inv, chosen, ask, c)
	if len(findings) > 0 {
		w.t.Fatalf("findings: %+v", findings)
	}
	for _, m := range edits.Mounts { // the machine is a directory of this one
		m.HostPath = filepath.Join(h.root, m.HostPath)
	}
	sources := map[string]plan.Source{}
	for _, v := range p.Volumes {
		sources[v.Source] = plan.Source{Exists: true}
	}
	return plan.Facts{Schema: 1, ID: "npu" + p.User, Profile: p, Host: machine, Engine: engine, Image: img, Sources: sources,
		Grants: []devices.Grant{{Ask: ask, Chosen: chosen, Edits: edits}}}
}

// run starts the container and returns what it prints.
func (w *world) run(f plan.Facts) string {
	w.t.Helper()
	pl, err := plan.Build(f)
	if err != nil {
		w.t.Fatalf("%v: %+v", err, pl.Findings)
	}
	var out output
	status, err := w.c.Run(context.Background(), pl, runtime.IO{Stdout: &out, Stderr: &out}, nil)
	ok(w.t, err)
	if status != 0 {
		w.t.Fatalf("status %d: %s", status, out.String())
	}
	return out.String()
}

const npuScript = `
id -G
for n in /dev/davinci* /dev/devmm_svm /dev/hisi_hdc /dev/dvpp_cmdlist; do ls -ln $n; done
echo LD_LIBRARY_PATH=$LD_LIBRARY_PATH
echo ASCEND_VISIBLE_DEVICES=$ASCEND_VISIBLE_DEVICES
cat /usr/local/Ascend/driver/version.info /usr/local/Ascend/driver/lib64/below/file /etc/hccn.conf
for n in /dev/davinci4 /dev/davinci_manager /other; do head -c 1 $n; done
for d in /usr/local/Ascend/driver /usr/local/Ascend/driver/lib64 /usr/local/Ascend/driver/lib64/below /usr/local/dcmi; do
  if touch $d/x 2>/dev/null; then echo written $d; fi
done
for f in /usr/local/Ascend/driver/version.info /usr/local/bin/npu-smi /etc/ascend_install.info /etc/hccn.conf /usr/local/Ascend/driver/lib64/below/file; do
  if echo x 2>/dev/null >>$f; then echo written $f; fi
done
if test -e /usr/local/bin/npu-smi; then echo npu-smi; fi
true
`

// TestAscendContainer: a process in a container sees the nodes that it was given with their numbers, owners and modes, opens them
// as root and as a user by the driver's group, can't open another NPU, reads the driver's directory and writes nowhere in it, not in
// what is mounted below either.
func TestAscendContainer(t *testing.T) {
	w := newWorld(t, fixture.StartContainerd(t, fixture.Engines(t)[0].Binary))
	w.load(fixture.BusyboxImage(t, busybox))
	h := newNPUHost(t, ascendtest.A2())
	below := filepath.Join(h.root, "usr/local/Ascend/driver/lib64/below")
	ok(t, os.MkdirAll(below, 0o755))
	ok(t, unix.Mount("tmpfs", below, "tmpfs", 0, "size=64k,mode=777"))
	t.Cleanup(func() { _ = unix.Unmount(below, unix.MNT_DETACH) })
	ok(t, os.WriteFile(filepath.Join(below, "file"), []byte("below\n"), 0o666))
	for _, user := range []string{"", "app"} {
		t.Run("user "+user, func(t *testing.T) {
			w := &world{t: t, ctrd: w.ctrd, opt: w.opt, c: w.c}
			got := w.run(h.facts(w, busybox, []string{"4", "5"}, devices.Ask{}, func(p *profiles.Profile) {
				p.User = user
				p.Environment = []profiles.EnvVar{{Name: "LD_LIBRARY_PATH", Value: "/opt/own"}}
				p.Volumes = []profiles.Volume{{Type: "bind", Source: filepath.Join(h.root, "dev/davinci7"), Target: "/other", Key: "volumes[0]"}}
			}, "sh", "-c", npuScript))
			checkNPUs(t, got, user)
		})
	}
}

func checkNPUs(t *testing.T, got, user string) {
	t.Helper()
	for _, want := range []string{
		fmt.Sprint(ascendtest.Group), "npu-smi", "Version=25.0.rc1.1", "below", "address_0=29.1.137.205", "ASCEND_VISIBLE_DEVICES=void",
		"LD_LIBRARY_PATH=/usr/local/Ascend/driver/lib64/common:/usr/local/Ascend/driver/lib64/driver:/usr/local/Ascend/driver/lib64:/opt/own\n",
		"head: /dev/davinci4: No such device or address", "head: /dev/davinci_manager: No such device or address", // allowed, and there is no driver
		"head: /other: ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("user %q: %q is not in\n%s", user, want, got)
		}
	}
	if strings.Contains(got, "written") || strings.Contains(got, "head: /other: No such device or address") {
		t.Errorf("user %q may do too much:\n%s", user, got)
	}
	var nodes []string
	for line := range strings.Lines(got) {
		if f := strings.Fields(line); len(f) > 8 && strings.HasPrefix(f[0], "c") {
			nodes = append(nodes, strings.Join([]string{f[0], f[2], f[3], f[4], f[5], f[len(f)-1]}, " "))
		}
	}
	owner := fmt.Sprintf("crw-rw---- %d %d ", ascendtest.User, ascendtest.Group)
	want := []string{owner + "236, 4 /dev/davinci4", owner + "236, 5 /dev/davinci5", owner + "237, 0 /dev/davinci_manager",
		owner + "238, 0 /dev/devmm_svm", owner + "239, 0 /dev/hisi_hdc", owner + "240, 0 /dev/dvpp_cmdlist"}
	if !slices.Equal(nodes, want) {
		t.Errorf("user %q: nodes %q, want %q", user, nodes, want)
	}
}

// compile makes a shared library of C source.
func compile(t *testing.T, source, out string, args ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.c")
	ok(t, os.WriteFile(file, []byte(source), 0o644))
	ok(t, os.MkdirAll(filepath.Dir(out), 0o755))
	if text, err := exec.Command("gcc", append([]string{"-shared", "-fPIC", "-o", out, file}, args...)...).CombinedOutput(); err != nil {
		skip(t, "gcc: %v\n%s", err, text)
	}
}

func content(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	ok(t, err)
	return b
}

// extension is a module of Python that calls the driver and a library of the image's own. It is written without Python's headers: a
// PyModuleDef is five words of head, the name, and seven more (CPython, Include/moduleobject.h).
const extension = `
extern int drvGetDevNum(unsigned *); extern int own(void); extern void *PyModuleDef_Init(void *);
static void *def[13] = {(void *)1, 0, 0, 0, 0, "npuprobe"};
void *PyInit_npuprobe(void) { unsigned n; return drvGetDevNum(&n) + own() == 42 ? PyModuleDef_Init(def) : 0; }
`

// TestAscendLibraries: a real extension of Python finds the driver's library in the container by the merged LD_LIBRARY_PATH, and a
// library of the image by the part that the image sets.
func TestAscendLibraries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fixture.StartContainerd(t, fixture.Engines(t)[0].Binary))
	h := newNPUHost(t, ascendtest.CustomPlace())
	libs := t.TempDir()
	hal := filepath.Join(h.root, "opt/hw/Ascend/driver/lib64/driver/libascend_hal.so")
	compile(t, "int drvGetDevNum(unsigned *n) { *n = 2; return 40; }", hal, "-Wl,-soname,libascend_hal.so")
	own := filepath.Join(libs, "libown.so")
	compile(t, "int own(void) { return 2; }", own, "-Wl,-soname,libown.so")
	module := filepath.Join(libs, "npuprobe.so")
	compile(t, extension, module, own, hal)
	img := slim(t, "docker.io/library/npuslim:latest", archive.File{Path: "/opt/own/libown.so", Mode: 0o755, Content: content(t, own)}, archive.File{Path: "/opt/probe/npuprobe.so", Mode: 0o755, Content: content(t, module)})
	img.Config.Env = append(img.Config.Env, "LD_LIBRARY_PATH=/opt/own", "PYTHONPATH=/opt/probe", "ASCEND_RT_VISIBLE_DEVICES=0")
	file := filepath.Join(libs, "image.tar")
	f, err := os.Create(file)
	ok(t, err)
	ok(t, archive.Write(f, img))
	_, err = f.Seek(0, 0)
	ok(t, err)
	_, err = w.c.Load(context.Background(), f, "")
	ok(t, err)
	ok(t, f.Close())
	script := "import npuprobe, os; print('loaded', os.environ['LD_LIBRARY_PATH'], os.environ.get('ASCEND_RT_VISIBLE_DEVICES'))"
	got := w.run(h.facts(w, img.Ref, []string{"0"}, devices.Ask{}, nil, "python3", "-c", script))
	dir := "/opt/hw/Ascend/driver/lib64"
	if want := "loaded " + dir + "/common:" + dir + "/driver:" + dir + ":/opt/own None\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
