package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/integration/fixture"
)

// A site is a machine like one with accelerators, below a directory, with a containerd that has images: "loader", which has a C
// library's loader as every image of a framework has, and "cann", which has CANN, too, and "broken", whose Python
// does not run.
type site struct {
	t         *testing.T
	root, dir string
	address   string
}

// newSites starts the containerd and returns what makes sites of it.
func newSites(t *testing.T) func(t *testing.T, write func(t *testing.T, root string)) *site {
	t.Helper()
	ctrd := fixture.StartContainerd(t, fixture.Engines(t)[0].Binary)
	loader, err := os.ReadFile("/lib64/ld-linux-x86-64.so.2")
	if err != nil {
		fixture.Skip(t, "no loader of a C library on this machine: "+err.Error())
	}
	image := fixture.BusyboxImage(t, "docker.io/library/loader:latest")
	image.Layers = append(image.Layers, []fixture.Entry{{Name: "lib64", Dir: true, Mode: 0o755}, {Name: "lib64/ld-linux-x86-64.so.2", Mode: 0o755, Body: loader},
		{Name: "usr/lib/x86_64-linux-gnu", Dir: true, Mode: 0o755}})
	cann := image
	cann.Name = "docker.io/library/cann:latest"
	cann.Config.Env = append([]string{"ASCEND_TOOLKIT_HOME=/usr/local/Ascend/ascend-toolkit/latest"}, image.Config.Env...)
	cann.Layers = append(cann.Layers[:len(cann.Layers):len(cann.Layers)], []fixture.Entry{{Name: "usr/local/Ascend/ascend-toolkit/latest/x86_64-linux/ascend_toolkit_install.info", Mode: 0o644,
		Body: []byte(ascendtest.ToolkitInfo("8.2.RC1", "C22", "C18", "C19", "C20", "C21", "C22"))}})
	broken := image
	broken.Name = "docker.io/library/broken:latest"
	broken.Layers = append(broken.Layers[:len(broken.Layers):len(broken.Layers)], []fixture.Entry{{Name: "usr/bin/python3", Link: "python3.11"}, {Name: "usr/bin/python3.11", Mode: 0o755, Body: []byte("\x7fELF, cut off")},
		{Name: "bin/python3", Link: "python3"}, {Name: "bin/python", Mode: 0o755, Body: []byte("#!/bin/sh\n")}})
	library := image
	library.Name = "docker.io/library/library:latest"
	library.Config.Env = append([]string{"LD_LIBRARY_PATH=/opt/own:/opt/hw/Ascend/driver/lib64/common/", "ASCEND_RT_VISIBLE_DEVICES=0,1", "ASCEND_VISIBLE_DEVICES=0-3"}, image.Config.Env...)
	first := &site{t: t, dir: t.TempDir(), root: t.TempDir(), address: ctrd.Address}
	for _, i := range []fixture.Image{image, cann, broken, library} {
		text, err := io.ReadAll(i.Archive())
		if err != nil {
			t.Fatal(err)
		}
		first.write("image.tar", string(text))
		if status, _, errs := first.hostrun("load", filepath.Join(first.dir, "image.tar")); status != 0 {
			t.Fatalf("load: %d\n%s", status, errs)
		}
	}
	return func(t *testing.T, write func(t *testing.T, root string)) *site {
		s := &site{t: t, dir: t.TempDir(), root: t.TempDir(), address: ctrd.Address}
		write(t, s.root)
		ascendtest.Write(t, s.root, "proc/sys/kernel/osrelease", "6.8.0\n")
		return s
	}
}

func (s *site) write(name, content string) {
	s.t.Helper()
	ascendtest.Write(s.t, s.dir, name, content)
}

// hostrun runs a command line on the machine.
func (s *site) hostrun(words ...string) (status int, stdout, stderr string) {
	s.t.Helper()
	words = append([]string{"--address", s.address, "--state-dir", filepath.Join(s.dir, "state"), "--data-dir", filepath.Join(s.dir, "data"),
		"--cache-dir", filepath.Join(s.dir, "cache"), "--system-address", filepath.Join(s.dir, "none.sock"), "--cdi-spec-dirs", "/etc/cdi"}, words...)
	var out, errs bytes.Buffer
	status = run(s.t.Context(), words, strings.NewReader(""), &out, &errs, deps{env: map[string]string{}, dir: s.dir, root: s.root})
	hide := strings.NewReplacer(s.root, "ROOT", s.dir, "DIR")
	return status, hide.Replace(out.String()), hide.Replace(errs.String())
}

func gpus(m nvidiatest.Machine) func(*testing.T, string) {
	return func(t *testing.T, root string) { m.Write(t, root) }
}

func npus(m ascendtest.Machine) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		ascendtest.Build(t, root, m)
		must(t, os.Remove(filepath.Join(root, "usr/local/bin/npu-smi"))) // TestDevicesOfNPUs has its tables
	}
}

func h100(change func(*nvidiatest.Machine)) func(*testing.T, string) {
	m := nvidiatest.H100()
	if change != nil {
		change(&m)
	}
	return gpus(m)
}

// machineKinds are the machines that hostrun is shown on.
var machineKinds = []struct {
	name  string
	write func(t *testing.T, root string)
	asks  string // of the profile
}{
	{"8 x H100", h100(nil), "gpus: 2"},
	{"MIG", h100(func(m *nvidiatest.Machine) {
		m.GPUs[1].MIG = []nvidiatest.Instance{{GI: 9, CI: 0, GIMinor: 210, CIMinor: 211}, {GI: 11, CI: 0, GIMinor: 228, CIMinor: 229}}
	}), "gpus: ['1:1']"},
	{"nvidia-uvm is missing", h100(func(m *nvidiatest.Machine) { m.NoUVM = true }), "gpus: 1"},
	{"the driver was updated", h100(func(m *nvidiatest.Machine) { m.User = "570.86.10" }), "gpus: 1"},
	{"no driver", gpus(nvidiatest.Machine{Bare: []string{"0000:1b:00.0", "0000:43:00.0"}, BareOf: "nouveau"}), "gpus: 1"},
	{"WSL", gpus(nvidiatest.Machine{Nodes: map[string]nvidiatest.Numbers{"dev/dxg": {Major: 10, Minor: 125}}}), "gpus: 1"},
	{"Jetson", gpus(nvidiatest.Machine{Files: map[string]string{"etc/nv_tegra_release": "# R36 (release), REVISION: 3.0\n"}}), "gpus: 1"},
	{"8 x 910B4", npus(ascendtest.A2()), "npus: ['4-5']"},
	{"A3, 16 dies", npus(ascendtest.A3()), "npus: 2"},
	{"300I Duo", npus(ascendtest.Duo()), "npus: ['1:1']"},
	{"310B", npus(ascendtest.Edge()), "npus: all"},
	{"mixed versions", npus(ascendtest.Mixed()), "npus: 2\nimage: cann"},
	{"CANN of the host, newer than the driver", npus(ascendtest.Mixed()), "npus: [7]\nascend: {toolkit: host}"},
	{"910A", npus(ascendtest.Cards(4, "0xd801")), "devices: [/dev/davinci3, /dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc]"},
	{"300I Pro", npus(ascendtest.Cards(3, "0xd500")), "environment: [ASCEND_VISIBLE_DEVICES=1-2]"},
	{"parts of a 300I Duo", npus(parts()), "npus: [vdavinci116]"},
	{"a critical chip", critical, "npus: all"},
	{"A3, half of a card is gone", a3(removed("dev/davinci5")), "npus: all"},
	{"ATB beside CANN of the host", atb, "npus: [0]\nascend: {toolkit: host}"},
	{"no manager of the NPUs", a2(removed("dev/davinci_manager")), "npus: 1"},
	{"the NPUs' driver is not loaded", npus(ascendtest.NotLoaded()), "npus: 1"},
	{"the NPUs' driver in a place of its own", npus(ascendtest.CustomPlace()), "npus: 1"},
}

func parts() ascendtest.Machine {
	m := ascendtest.Duo()
	m.Virtual = []int{100, 116}
	return m
}

// atb is a machine with CANN and its nnal.
func atb(t *testing.T, root string) {
	m := ascendtest.A2()
	m.Version = ascendtest.VersionInfo("25.5.0", "C25", "C21", "C23", "C25")
	const nnal = "/usr/local/Ascend/nnal/atb/"
	m.Files = map[string]string{"/usr/local/Ascend/cann-8.5.0/aarch64-linux/ascend_toolkit_install.info": ascendtest.ToolkitInfo("8.5.0", "C25", "C21", "C23", "C25"),
		"/usr/local/Ascend/cann-8.5.0/lib64/libascendcl.so": "", nnal + "latest/atb/cxx_abi_0/lib/libatb.so": "", nnal + "latest/atb/cxx_abi_1/lib/libatb.so": "",
		nnal + "latest/version.info": "Ascend-cann-atb : 8.5.0\n", nnal + "set_env.sh": "    export ATB_WORKSPACE_MEM_ALLOC_GLOBAL=1 #\n"}
	npus(m)(t, root)
}

// critical is an A3 whose npu-smi calls die 5 critical.
func critical(t *testing.T, root string) {
	npus(ascendtest.A3())(t, root)
	table, err := filepath.Abs("../../devices/ascend/testdata/info-a3.txt")
	must(t, err)
	must(t, exectest.WriteFile(filepath.Join(root, "usr/local/bin/npu-smi"), []byte("#!/bin/sh\ncat "+table+"\n"), 0o755))
}

// TestMachines takes each sort of machine through the commands that look: what there is and what is wrong with it, what the job is told,
// and the nodes, mounts and variables that it would get. The specification that is replayed from recorded facts is the same.
func TestMachines(t *testing.T) {
	site := newSites(t)
	var b strings.Builder
	for _, m := range machineKinds {
		s := site(t, m.write)
		s.job(m.asks)
		fmt.Fprintf(&b, "== %s ==\n", m.name)
		_, out, errs := s.hostrun("devices")
		b.WriteString(out + errs)
		s.checkLines(m.name)
		status, found := s.check()
		fmt.Fprintf(&b, "%s: %d\n", m.asks, status)
		for _, f := range found {
			fmt.Fprintf(&b, "  %s %s at line %d: %s\n", f.Severity, f.ID, f.Line, f.Message)
		}
		if status == 0 {
			b.WriteString(s.replayed())
		}
	}
	golden := filepath.Join("testdata", "machines.txt")
	if *update {
		must(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("differs (-update rewrites it):\n%s", diff)
	}
}

// checkLines: what devices tells on stderr is in its JSON form, too, also where there is no device.
func (s *site) checkLines(machine string) {
	s.t.Helper()
	_, out, errs := s.hostrun("devices", "--format", "json")
	for line := range strings.Lines(out) {
		var d struct {
			Schema   int
			Kind     string
			Findings []finding.Finding
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil || d.Schema != 1 || d.Kind == "" {
			s.t.Fatalf("%s: %v\n%s", machine, err, line)
		}
		for _, f := range d.Findings {
			if f.Severity != finding.Info && !strings.Contains(errs, "["+f.ID+"]: ") {
				s.t.Errorf("%s: %s is not told:\n%s", machine, f.ID, errs)
			}
		}
	}
	for _, id := range findingID.FindAllString(errs, -1) {
		if !strings.Contains(out, id) {
			s.t.Errorf("%s: %s is not in\n%s", machine, id, out)
		}
	}
}

var findingID = regexp.MustCompile(`HR\d+`)

// replayed returns nodes, mounts of the machine's files and variables of the job, after it has compared the specification with that which
// is made anew from recorded facts.
func (s *site) replayed() string {
	s.t.Helper()
	_, first, _ := s.hostrun("spec", "job")
	_, recorded, _ := s.hostrun("facts", "job")
	s.write("facts.json", strings.ReplaceAll(recorded, "DIR", s.dir))
	status, again, errs := s.hostrun("spec", "--facts", filepath.Join(s.dir, "facts.json"))
	if diff := cmp.Diff(first, again); status != 0 || diff != "" {
		s.t.Errorf("replayed: %d\n%s%s", status, errs, diff)
	}
	var spec specs.Spec
	must(s.t, json.Unmarshal([]byte(first), &spec))
	var b strings.Builder
	for _, d := range spec.Linux.Devices {
		fmt.Fprintf(&b, "  %s %s %d:%d %v %d:%d\n", d.Path, d.Type, d.Major, d.Minor, *d.FileMode, *d.UID, *d.GID)
	}
	for _, m := range spec.Mounts {
		if m.Type == "bind" && !strings.HasPrefix(m.Source, "DIR") && m.Source != "/dev/null" {
			fmt.Fprintf(&b, "  %s at %s %s\n", m.Source, m.Destination, strings.Join(m.Options, ","))
		}
	}
	for _, kv := range spec.Process.Env {
		if !strings.HasPrefix(kv, "PATH=") && !strings.HasPrefix(kv, "HOME=") && !strings.HasPrefix(kv, "HOSTNAME=") {
			fmt.Fprintf(&b, "  %s\n", kv)
		}
	}
	return b.String()
}
