package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"

	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/finding"
)

// a2 is the machine with eight 910B4, changed.
func a2(change func(t *testing.T, root string)) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		ascendtest.Build(t, root, ascendtest.A2())
		if change != nil {
			change(t, root)
		}
	}
}

// a3 is the machine with eight cards of two dies, changed.
func a3(change func(t *testing.T, root string)) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		npus(ascendtest.A3())(t, root)
		change(t, root)
	}
}

// removed are files that a machine has lost.
func removed(pattern string) func(t *testing.T, root string) {
	return func(t *testing.T, root string) {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, p := range all {
			must(t, os.RemoveAll(p))
		}
	}
}

func written(name, content string) func(t *testing.T, root string) {
	return func(t *testing.T, root string) { ascendtest.Write(t, root, name, content) }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const brokenCDI = "cdiVersion: 0.3.0\nkind: [\n"

// A badCase is one way to ask for what can't be had. The ask is the profile's third line.
type badCase struct {
	name    string
	write   func(*testing.T, string)
	asks    string
	status  int
	id      string
	message string // part of the message
	cause   string // part of what was found
	remedy  string
}

var badGPUs = []badCase{
	{"gpus: 9 of 8", h100(nil), "gpus: 9", finding.StatusNoDevice, finding.DeviceUnknown, "9 GPUs are asked for, and this machine has 8", "", "ask for fewer"},
	{"an unknown UUID", h100(nil), "gpus: [GPU-11111111-2222-3333-4444-000000000009]", finding.StatusNoDevice, finding.DeviceUnknown,
		"there is no GPU GPU-11111111-2222-3333-4444-000000000009: this machine has 0 (0000:1b:00.0)", "8 GPUs", "did you mean GPU-11111111-2222-3333-4444-00000000000"},
	{"a leased GPU", h100(nil), "gpus: [0]", finding.StatusTryAgain, finding.DeviceLeased, "container train holds it", "container train", "hostrun down train"},
	{"all, of which one is leased", h100(nil), "gpus: all", finding.StatusTryAgain, finding.DeviceLeased, "container train holds it", "container train", "hostrun down train"},
	{"MIG of a GPU without", h100(nil), "gpus: {count: 1, mig: 1g.10gb}", finding.StatusNoDevice, finding.DeviceUnfit, "1 GPU partition 1g.10gb is asked for, and no GPU of this machine is divided", "", "nvidia-smi mig -cgi"},
	{"no driver", gpus(nvidiatest.Machine{Bare: []string{"0000:1b:00.0"}, BareOf: "nouveau"}), "gpus: 1", finding.StatusNoDevice, finding.GPUNoDriver,
		"this machine has 1 GPU of NVIDIA, and NVIDIA's driver is not loaded", "lspci -nn shows 0000:1b:00.0 3D controller [0302]: NVIDIA Corporation Device [10de:2330], bound to nouveau", "install it"},
	{"no GPU", gpus(nvidiatest.Machine{}), "gpus: 1", finding.StatusNoDevice, finding.DeviceAbsent, "this machine has no GPU", "neither hardware nor driver", "optional: true"},
	{"the driver updated without a reboot", h100(func(m *nvidiatest.Machine) { m.User = "570.86.10" }), "gpus: 1", finding.StatusMisfit, finding.GPUMismatch,
		"Driver/library version mismatch: the kernel runs driver 550.54.15 and the libraries are of 570.86.10", "/usr/lib/x86_64-linux-gnu/libcuda.so.570.86.10", "reboot"},
	{"the libraries, and no nodes", func(t *testing.T, root string) { nvidiatest.H100().Write(t, root); removed("dev/nvidia*")(t, root) }, "gpus: 1", finding.StatusNoDevice, finding.GPUNodeMissing,
		"/dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm can't be given", "not there", "nvidia-modprobe"},
	{"WSL", gpus(nvidiatest.Machine{Nodes: map[string]nvidiatest.Numbers{"dev/dxg": {Major: 10, Minor: 125}}}), "gpus: 1", finding.StatusNoDevice, finding.GPUElsewhere, "WSL 2", "/dev/dxg", "nvidia-ctk cdi generate"},
	{"no device of a CDI file with errors", h100(func(m *nvidiatest.Machine) { m.Files = map[string]string{"etc/cdi/bad.yaml": brokenCDI} }), "devices: [vendor.com/acc=0]", finding.StatusNoDevice, finding.DeviceAbsent,
		"this machine has no vendor.com/acc", "no CDI file of kind vendor.com/acc", "hostrun devices"},
}

var badNPUs = []badCase{
	{"npus: [9] of 8", a2(nil), "npus: [9]", finding.StatusNoDevice, finding.DeviceUnknown, "there is no NPU 9: this machine has 0, 1, 2, 3, 4, 5, 6, 7", "8 NPUs", "hostrun devices"},
	{"an id twice", a2(nil), "npus: ['2-4', 3]", finding.StatusProfile, finding.DeviceGrouping, "NPU 3 is asked for twice", "", "remove one"},
	{"an odd die of an A3", npus(ascendtest.A3()), "npus: [3]", finding.StatusProfile, finding.DeviceGrouping, "NPU 3 can't be given without 2: they are one card", "", "ask for both: 3, 2"},
	{"an odd number of an A3's dies", npus(ascendtest.A3()), "npus: 3", finding.StatusProfile, finding.DeviceGrouping, "2 a card", "cards of 2", "ask for 4"},
	{"no manager node", a2(removed("dev/davinci_manager")), "npus: 1", finding.StatusNoDevice, finding.AscendManager, "/dev/davinci_manager does not exist", "no such node", "load the driver's modules"},
	{"the driver is not loaded", npus(ascendtest.NotLoaded()), "npus: 1", finding.StatusNoDevice, finding.AscendNotLoaded, "the PCI bus has 0000:01:00.0 (910B)", "no node", "lsmod"},
	{"the driver's directory is empty", a2(removed("usr/local/Ascend/driver/*")), "npus: 1", finding.StatusNoPath, finding.AscendDriver, "libascend_hal.so: cannot open shared object file", "an empty directory", "ascend: {driver:"},
	{"everybody may write to the driver", a2(func(t *testing.T, root string) {
		must(t, os.Chmod(filepath.Join(root, "usr/local/Ascend/driver"), 0o777))
	}), "npus: 1", 0, finding.AscendWritable,
		"can be changed by every user", "mode 0777", "chmod o-w"},
	{"version.info of another form", a2(written("usr/local/Ascend/driver/version.info", "\x00\x01 none\n")), "npus: 1", 0, finding.AscendVersionInfo, "does not tell the driver's version", "no line Version=", "install the driver again"},
	{"version.info can't be read", a2(func(t *testing.T, root string) {
		removed("usr/local/Ascend/driver/version.info")(t, root)
		must(t, os.Mkdir(filepath.Join(root, "usr/local/Ascend/driver/version.info"), 0o755))
	}), "npus: 1", 0, finding.AscendVersionInfo, "does not tell the driver's version", "not a regular file", "install the driver again"},
	{"a rank table of another version", a2(written("etc/hccl_rootinfo.json", `{"version":"1.2","status":"completed"}`)), "npus: 1\nascend: {rank_table: true}", finding.StatusMisfit, finding.AscendRankTable,
		"/etc/hccl_rootinfo.json has version 1.2", "version 1.2", "remove rank_table"},
	{"CANN of host and image", a2(written("usr/local/Ascend/ascend-toolkit/latest/x86_64-linux/ascend_toolkit_install.info", ascendtest.ToolkitInfo("8.2.RC1", "C22", "C21", "C22"))),
		"npus: 1\nascend: {toolkit: host}\nimage: cann", finding.StatusMisfit, finding.AscendTwoToolkits, "two installations of CANN", "in the image, and the host's", "remove ascend.toolkit"},
	{"an NPU that the driver has given to another container", a2(usedByDocker), "npus: [4]", finding.StatusTryAgain, finding.DeviceBusy,
		"NPU 4 can't be given now: process 81234 (vllm in docker container 0123456789ab) uses it", "process 81234", "end that"},
	{"all of /dev", a2(nil), "npus: [4]\nvolumes: ['/dev:/dev']", finding.StatusMisfit, finding.AscendAllNodes, "opens every NPU that it sees at /dev", "8 NPUs", "remove the volume"},
	{"several NPUs behind a bridge", a2(nil), "npus: [4, 5]\nnetwork_mode: bridge", 0, finding.AscendNetwork, "HCCL takes each network namespace for a server: with 2 NPUs", "bridge", "network_mode: host"},
	{"several NPUs on a network of the profile", a2(nil), "npus: [4, 5]\nnetworks: [train]", 0, finding.AscendNetwork, "HCCL takes each network namespace", "bridge", "network_mode: host"},
	{"a chip that npu-smi calls critical", critical, "npus: [4, 5]", finding.StatusNoDevice, finding.DeviceUnfit, "NPU 5 can't be given: it does not work (npu-smi: Critical)", "it does not work", "name another one"},
	{"half of an A3's card", a3(removed("dev/davinci5")), "npus: [4]", finding.StatusNoDevice, finding.DeviceUnfit, "NPU 4 can't be given: it does not work (the other die of its card, NPU 5, has no device node)", "it does not work", "name another one"},
	{"a choice among no NPUs", a2(nil), "environment: [ASCEND_RT_VISIBLE_DEVICES=0]", finding.StatusProfile, finding.AscendVisible, "ASCEND_RT_VISIBLE_DEVICES=0: there is no NPU 0 in the container", "0", "ask for NPUs with npus:"},
	{"a choice that can't be", a2(nil), "npus: [4, 5]\nenvironment: {ASCEND_RT_VISIBLE_DEVICES: '4,5'}", finding.StatusProfile, finding.AscendVisible, "container 0 = /dev/davinci4 (0000:81:00.0), container 1 = /dev/davinci5", "4,5", "remove ASCEND_RT_VISIBLE_DEVICES"},
	{"all devices, and no NPU asked for", a2(nil), "devices: [/dev]", 0, finding.AscendNotAsked, "gets none of this machine's NPUs", "/dev/davinci0, /dev/davinci1", "npus: all"},
	{"a range beyond the machine", a2(nil), "npus: ['6-100']", finding.StatusNoDevice, finding.DeviceUnknown, "there is no NPU 8, 9, 10, 11, 12 and 88 more: this machine has 0, 1, 2, 3, 4, 5, 6, 7", "8 NPUs", "hostrun devices"},
	{"a user outside of the group", a2(func(t *testing.T, root string) {
		for _, n := range []string{"davinci0", "davinci_manager", "devmm_svm", "hisi_hdc"} {
			must(t, os.Chown(filepath.Join(root, "dev", n), 0, 0))
		}
	}), "npus: [0]\nuser: '1000'", finding.StatusPermission, finding.AscendUser, "user 1000 can't open /dev/davinci0: Permission denied", "owner 0, group 0, mode 0660", "chgrp HwHiAiUser"},
}

// usedByDocker is the driver's own account of an NPU that a container of docker has.
func usedByDocker(t *testing.T, root string) {
	for name, content := range map[string]string{
		"uda/udevice":        "udevid 4 type(davinci entity near real) status 'ready, sia' added_udevid 4 chip_type cloud_v2\n        has os device\n        has used by container, ns id 3\n",
		"uda/namespace_node": "ns_id 3 identify 1f3c root_tgid 81234 dev_num 1 namespace 00000000abcd1234, udev list:\nlogic_devid udevid\n       0        4\n",
		"81234/comm":         "vllm\n", "81234/cgroup": "0::/system.slice/docker-" + strings.Repeat("0123456789abcdef", 4) + ".scope\n",
	} {
		ascendtest.Write(t, root, "/proc/"+name, content)
	}
}

// TestBadAccelerators: what can't be had is one finding, on the profile's line, with cause and remedy.
func TestBadAccelerators(t *testing.T) {
	site := newSites(t)
	for _, c := range append(badGPUs, badNPUs...) {
		t.Run(c.name, func(t *testing.T) {
			s := site(t, c.write)
			s.job(c.asks)
			if c.id == finding.DeviceLeased {
				s.leased("train", "nvidia.com/gpu=0000:1b:00.0")
			}
			status, found := s.check()
			if status != c.status || len(found) == 0 || len(finding.Errors(found)) > 1 {
				t.Fatalf("status %d, want %d:\n%+v", status, c.status, found)
			}
			f := found[0] // the worst
			if f.ID != c.id || (status != 0) != (f.Severity == finding.Error) || !strings.Contains(f.Message, c.message) || !strings.Contains(f.Subject+f.Got, c.cause) || !strings.Contains(f.Remedy, c.remedy) {
				t.Errorf("%+v", f)
			}
			if f.File != filepath.Join(s.dir, "profiles/job.yaml") || f.Line != 3 {
				t.Errorf("it stands at %s:%d", f.File, f.Line)
			}
		})
	}
}

// TestRenamedNPUInAProfile: /dev/davinci4:/dev/davinci0.
func TestRenamedNPUInAProfile(t *testing.T) {
	s := newSites(t)(t, a2(nil))
	s.job("devices: ['/dev/davinci4:/dev/davinci0', /dev/davinci_manager]")
	status, _, errs := s.hostrun("check", "job")
	if status != finding.StatusProfile || strings.Count(errs, "error[") != 1 || !strings.Contains(errs, "can't be renamed") || !strings.Contains(errs, "job.yaml:3") || !strings.Contains(errs, "write /dev/davinci4 alone") {
		t.Errorf("%d\n%s", status, errs)
	}
}

// TestReadOnlyRun: devices can't be held where nothing can be written, and what to do is said.
func TestReadOnlyRun(t *testing.T) {
	s := newSites(t)(t, h100(nil))
	s.job("gpus: 1")
	state := filepath.Join(s.dir, "state")
	must(t, os.Mkdir(state, 0o755))
	must(t, unix.Mount("none", state, "tmpfs", unix.MS_RDONLY, ""))
	defer func() { must(t, unix.Unmount(state, unix.MNT_DETACH)) }() // what a command has begun may end after it, as it does with the process
	status, _, errs := s.hostrun("up", "job")
	if status != finding.StatusPermission || strings.Count(errs, "hostrun: error:") != 1 || !strings.Contains(errs, "read-only file system") || !strings.Contains(errs, "mount it writable") {
		t.Errorf("%d\n%s", status, errs)
	}
	if status, found := s.check(); status != 0 { // which holds nothing
		t.Errorf("check: %d, %+v", status, found)
	}
}

// TestRunsWithoutOptional: a machine that lacks what is optional runs the job without it, whatever is missing.
func TestRunsWithoutOptional(t *testing.T) {
	site := newSites(t)
	for name, c := range map[string]struct {
		write func(*testing.T, string)
		asks  string
	}{
		"no GPU":               {gpus(nvidiatest.Machine{}), "gpus: {count: 1, optional: true}"},
		"no driver":            {gpus(nvidiatest.Machine{Bare: []string{"0000:1b:00.0"}}), "gpus: {count: 1, optional: true}"},
		"WSL":                  {gpus(nvidiatest.Machine{Nodes: map[string]nvidiatest.Numbers{"dev/dxg": {Major: 10, Minor: 125}}}), "gpus: {count: 1, optional: true}"},
		"NPUs without driver":  {npus(ascendtest.NotLoaded()), "npus: {count: 1, optional: true}"},
		"too few":              {h100(nil), "gpus: {count: 9, optional: true}"},
		"named, and not there": {a2(nil), "npus: {device_ids: ['9'], optional: true}"},
	} {
		t.Run(name, func(t *testing.T) {
			s := site(t, c.write)
			s.job(c.asks)
			status, found := s.check()
			told := 0
			for _, f := range found {
				if f.ID == finding.DeviceOptional && f.Line == 3 && strings.Contains(f.Message, "the container runs without") {
					told++
				}
			}
			if status != 0 || told != 1 {
				t.Errorf("status %d: %+v", status, found)
			}
			if nodes := s.nodes(); len(nodes) > 0 {
				t.Errorf("nodes: %q", nodes)
			}
		})
	}
}

// TestCDIFileWhereHostrunFindsNoGPU: on WSL and a Jetson gpus: means what the CDI file describes, and nothing is wrong with the machine then. A
// file with errors beside it is named and stops nothing.
func TestCDIFileWhereHostrunFindsNoGPU(t *testing.T) {
	m := nvidiatest.Machine{Nodes: map[string]nvidiatest.Numbers{"dev/dxg": {Major: 10, Minor: 125}}, Files: map[string]string{"etc/cdi/bad.yaml": brokenCDI,
		"etc/cdi/nvidia.yaml": "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: all\n  containerEdits:\n    deviceNodes:\n    - path: /dev/dxg\n"}}
	s := newSites(t)(t, gpus(m))
	for _, asks := range []string{"gpus: 1", "gpus: all", "gpus: [all]", "devices: [nvidia.com/gpu=all]"} {
		s.job(asks)
		if status, found := s.check(); status != 0 || len(finding.Errors(found)) > 0 || fmt.Sprint(s.nodes()) != "[/dev/dxg]" {
			t.Errorf("%s: %d, %+v, %q", asks, status, found, s.nodes())
		}
	}
	if status, out, errs := s.hostrun("devices"); status != 0 || !strings.Contains(out, "GPU 0") || strings.Contains(errs, "HR154") || !strings.Contains(errs, "bad.yaml has errors") {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
}

// TestImageWithABrokenPython: the image's Python is looked into for frameworks alone, and need not be there or work.
func TestImageWithABrokenPython(t *testing.T) {
	site := newSites(t)
	for _, asks := range []string{"gpus: 1\nimage: broken", "gpus: 1"} {
		s := site(t, h100(nil))
		s.job(asks)
		if status, found := s.check(); status != 0 || len(found) > 0 {
			t.Errorf("%q: %d, %+v", asks, status, found)
		}
	}
}

// leased makes a record like that of a container which is being made by this process.
func (s *site) leased(container, devices string) {
	s.t.Helper()
	client, err := containerd.New(s.address)
	must(s.t, err)
	ctx := namespaces.WithNamespace(context.Background(), "other")
	stat, err := os.ReadFile("/proc/self/stat")
	must(s.t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	must(s.t, err)
	_, err = client.ContainerService().Create(ctx, containers.Container{ID: container, Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"},
		Spec: &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", Value: []byte("{}")}, Labels: map[string]string{"hostrun.dev/devices": devices,
			"hostrun.dev/state": "creating", "hostrun.dev/creator": fmt.Sprintf("%d:%s:%s", os.Getpid(), fields[19], strings.TrimSpace(string(boot)))}})
	must(s.t, err)
	s.t.Cleanup(func() {
		must(s.t, client.ContainerService().Delete(ctx, container))
		must(s.t, client.Close())
	})
}

// job writes the profile job, whose third line asks.
func (s *site) job(asks string) {
	s.t.Helper()
	image := "loader"
	if before, after, ok := strings.Cut(asks, "\nimage: "); ok {
		asks, image = before, after
	}
	s.write("profiles/job.yaml", "image: "+image+"\ncommand: [sleep, '1000']\n"+asks+"\n")
}

// check checks the job and returns what is told of accelerators: not of limits, which are those of whoever runs the test.
func (s *site) check() (status int, found []finding.Finding) {
	s.t.Helper()
	status, out, errs := s.hostrun("check", "--format", "json", "job")
	var r struct{ Findings []finding.Finding }
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		s.t.Fatalf("%d, %v\n%s%s", status, err, out, errs)
	}
	for _, f := range r.Findings {
		if f.ID != finding.LimitUnsupported && f.ID != finding.GPUUnasked {
			f.File = strings.Replace(f.File, "DIR", s.dir, 1)
			found = append(found, f)
		}
	}
	return status, found
}

// nodes are those that the specification of the job gives.
func (s *site) nodes() []string {
	s.t.Helper()
	status, out, errs := s.hostrun("spec", "job")
	var spec struct {
		Linux struct{ Devices []struct{ Path string } }
	}
	if err := json.Unmarshal([]byte(out), &spec); err != nil {
		s.t.Fatalf("%d, %v\n%s%s", status, err, out, errs)
	}
	var paths []string
	for _, d := range spec.Linux.Devices {
		paths = append(paths, d.Path)
	}
	return paths
}

// TestDriverElsewhereOnTheHostsOwnRoot: the files of a driver in /run/nvidia/driver have no place in a read-only /usr. They get a directory to
// themselves, and the loader its name; a file of such a name that lies in /usr is covered.
func TestDriverElsewhereOnTheHostsOwnRoot(t *testing.T) {
	m := nvidiatest.H100()
	m.LibDir = "run/nvidia/driver/usr/lib/x86_64-linux-gnu"
	m.Files = map[string]string{"lib64/ld-linux-x86-64.so.2": "", "usr/lib/x86_64-linux-gnu/libc.so.6": ""}
	loader, err := os.ReadFile("/lib64/ld-linux-x86-64.so.2")
	must(t, err)
	m.Files["lib64/ld-linux-x86-64.so.2"] = string(loader)
	s := newSites(t)(t, gpus(m))
	s.write("profiles/job.yaml", "rootfs: host\ncommand: [sleep, '1000']\ngpus: 1\nread_only: true\n")
	status, out, errs := s.hostrun("spec", "job")
	if status != 0 || !strings.Contains(out, `"LD_LIBRARY_PATH=/run/hostrun/nvidia"`) || !strings.Contains(out, `"destination": "/run/hostrun/nvidia/libcuda.so.1"`) {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
	if status, found := s.check(); status != 0 {
		t.Errorf("%d, %+v", status, found)
	}
	s.write("profiles/job.yaml", "rootfs: host\ncommand: [sleep, '1000']\ngpus: 1\nread_only: false\n")
	if status, found := s.check(); status != 0 {
		t.Errorf("%d, %+v", status, found)
	}
	ascendtest.Write(t, s.root, "usr/lib/x86_64-linux-gnu/libcuda.so.1", "") // over which it can be mounted
	s.write("profiles/job.yaml", "rootfs: host\ncommand: [sleep, '1000']\ngpus: 1\nread_only: true\n")
	if status, out, errs = s.hostrun("spec", "job"); status != 0 || !strings.Contains(out, `"destination": "/usr/lib/x86_64-linux-gnu/libcuda.so.1"`) {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
}
