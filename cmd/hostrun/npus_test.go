package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// onNPUs runs a command line on a machine with NPUs, without containerd. npu-smi is a script that prints a recorded table.
func onNPUs(t *testing.T, m ascendtest.Machine, table string, words ...string) (stdout, stderr string) {
	t.Helper()
	root, dir := t.TempDir(), t.TempDir()
	ascendtest.Build(t, root, m)
	smi := filepath.Join(root, "usr/local/bin/npu-smi")
	if err := os.Remove(smi); err != nil {
		t.Fatal(err)
	}
	if table != "" {
		recorded, err := filepath.Abs("../../devices/ascend/testdata/" + table)
		if err != nil {
			t.Fatal(err)
		}
		if err := exectest.WriteFile(smi, []byte("#!/bin/sh\ncat "+recorded+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	words = append([]string{"--state-dir", filepath.Join(dir, "state"), "--data-dir", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache"),
		"--system-address", filepath.Join(dir, "none.sock")}, words...)
	var out, errs bytes.Buffer
	if status := run(t.Context(), words, strings.NewReader(""), &out, &errs, deps{env: map[string]string{}, dir: dir, root: root}); status != 0 {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	return out.String(), errs.String()
}

// TestDevicesOfNPUs is what hostrun devices prints on a machine of each product.
func TestDevicesOfNPUs(t *testing.T) {
	mixed := ascendtest.A2()
	mixed.Version = ascendtest.VersionInfo("24.1.rc3", "C19", "C13", "C15", "C17", "C18", "C19")
	virtual := ascendtest.Duo()
	virtual.Virtual = []int{100, 116}
	var b strings.Builder
	for _, c := range []struct {
		name    string
		machine ascendtest.Machine
		table   string
	}{
		{"A2, eight 910B4", ascendtest.A2(), "info-a2.txt"}, {"A3, sixteen dies", ascendtest.A3(), "info-a3.txt"}, {"two 300I Duo with parts", virtual, "info-duo.txt"},
		{"310B without npu-smi", ascendtest.Edge(), ""}, {"the driver in a place of its own", ascendtest.CustomPlace(), "info-a2.txt"},
		{"the driver is not loaded", ascendtest.NotLoaded(), ""}, {"an older driver", mixed, "info-a2.txt"},
	} {
		out, errs := onNPUs(t, c.machine, c.table, "devices")
		b.WriteString("-- " + c.name + " --\n" + out + errs)
	}
	golden := filepath.Join("testdata", "npus.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("differs (-update rewrites it):\n%s", diff)
	}
}

// TestRenamedNPU: /dev/davinci4:/dev/davinci0 is refused with the line of the profile, and the reason.
func TestRenamedNPU(t *testing.T) {
	facts := plan.Facts{Profile: profiles.Profile{
		Devices: []profiles.Device{{Source: "/dev/davinci4", Target: "/dev/davinci0", Key: "devices[0]"}, {Source: "/dev/davinci5", Target: "/dev/davinci5", Key: "devices[1]"}},
		Lines:   map[string]profiles.Position{"devices[0]": {File: "p.yaml", Line: 3}}}}
	found := fitNPUs(nil, &facts, devices.Grant{}, nil)
	if len(found) != 1 || found[0].ID != finding.AscendRename || found[0].File != "p.yaml" || found[0].Line != 3 {
		t.Errorf("%+v", found)
	}
}

// TestImagesVisibleDevices: what an image says of visible devices does not reach the container, and is no reason to refuse it.
func TestImagesVisibleDevices(t *testing.T) {
	facts := plan.Facts{Image: plan.Image{Env: []string{"A=1", "ASCEND_RT_VISIBLE_DEVICES=0,1,2,3"}}}
	if got := environment(&facts); len(got) != 1 || got[0] != "A=1" {
		t.Errorf("%q", got)
	}
	facts.Profile.Environment = []profiles.EnvVar{{Name: "ASCEND_RT_VISIBLE_DEVICES", Value: "1"}}
	if got := environment(&facts); len(got) != 2 || got[1] != "ASCEND_RT_VISIBLE_DEVICES=1" {
		t.Errorf("%q", got)
	}
}

// TestTorchTellsATBsABI: which of ATB's libraries a container gets with the host's CANN is told by torch's own files.
func TestTorchTellsATBsABI(t *testing.T) {
	facts := plan.Facts{Image: plan.Image{Frameworks: map[string]frameworks.Facts{"/usr/bin/python3": {Torch: &frameworks.Torch{Version: "2.5.1", CXX11ABI: "0"}}}}}
	options := map[string]string{"toolkit": "host"}
	got := informed(devices.Ask{Kind: devices.KindNPU, Options: options}, &facts)
	if got.Options[ascend.OptionABI] != "0" || got.Options["toolkit"] != "host" || len(options) != 1 {
		t.Errorf("%v, from %v", got.Options, options)
	}
	facts.Image.Frameworks = nil
	if got := informed(devices.Ask{Kind: devices.KindNPU, Options: options}, &facts); len(got.Options) != 1 {
		t.Errorf("without torch: %v", got.Options)
	}
}

// TestFormsOfARequest: each way to write a request gives the nodes that it means, and the lines that the vendor and others document for docker
// mean the same in a profile.
func TestFormsOfARequest(t *testing.T) {
	site := newSites(t)
	a2 := func(t *testing.T, root string) {
		npus(ascendtest.A2())(t, root)
		ascendtest.Write(t, root, "/usr/local/bin/npu-smi", "")
		must(t, os.MkdirAll(filepath.Join(root, "root/.cache"), 0o755))
	}
	virtual := npus(parts())
	const documented = "\nvolumes: ['/usr/local/dcmi:/usr/local/dcmi', '/usr/local/bin/npu-smi:/usr/local/bin/npu-smi', '/usr/local/Ascend/driver/lib64/:/usr/local/Ascend/driver/lib64/', " +
		"'/usr/local/Ascend/driver/version.info:/usr/local/Ascend/driver/version.info', '/etc/ascend_install.info:/etc/ascend_install.info', '/root/.cache:/root/.cache']\nshm_size: 1g\nnetwork_mode: host"
	for _, c := range []struct {
		write func(*testing.T, string)
		asks  string
		want  string // numbers of nodes
	}{
		{a2, "npus: all", "0 1 2 3 4 5 6 7"}, {a2, "npus: '0-2,5'", "0 1 2 5"}, {a2, "npus: [davinci3, /dev/davinci4, npu-5, '0000:C1:00.0', '6-7']", "0 3 4 5 6 7"},
		{a2, "npus: [{device_ids: ['2']}, {count: 1}]", "0 2"}, {a2, "devices: [ascend.com/npu=2]", "2"},
		{a2, "deploy: {resources: {reservations: {devices: [{driver: ascend, device_ids: ['1', '3'], capabilities: [npu]}]}}}", "1 3"},
		{a2, "devices: ['/dev/davinci0', '/dev/davinci_manager', '/dev/devmm_svm', '/dev/hisi_hdc']" + documented, "0"},
		{a2, "devices: ['/dev/davinci1:/dev/davinci1:rwm', {source: /dev/davinci2, target: /dev/davinci2, permissions: rw}, '/dev/davinci_manager:/dev/davinci_manager']", "1 2"},
		{a2, "environment: {ASCEND_VISIBLE_DEVICES: '5,6,0 - 1,6'}\nruntime: ascend", "0 1 5 6"}, {a2, "environment: ['ASCEND_VISIBLE_DEVICES=Ascend910-0,Ascend910-3']", "0 3"},
		{a2, "environment: {ASCEND_VISIBLE_DEVICES: '0,4'}\ndevices: [/dev/davinci0, /dev/davinci_manager]", "0 4"}, {a2, "environment: {ASCEND_VISIBLE_DEVICES: void}", ""},
		{virtual, "environment: {ASCEND_VISIBLE_DEVICES: '116', ASCEND_RUNTIME_OPTIONS: VIRTUAL}", "116"},
		{virtual, "devices: ['/dev/vdavinci100:/dev/davinci100', /dev/davinci_manager]", "100"}, {virtual, "npus: [vdavinci100, 2]", "100 2"},
	} {
		s := site(t, c.write)
		s.job(c.asks)
		status, found := s.check()
		var got []string
		for _, node := range s.nodes() {
			if id, ok := strings.CutPrefix(node, "/dev/davinci"); ok && id[0] <= '9' {
				got = append(got, id)
			}
		}
		slices.Sort(got)
		if status != 0 || strings.Join(got, " ") != c.want || len(finding.Errors(found)) > 0 {
			t.Errorf("%s: %d, NPUs %q, want %q\n%+v", c.asks, status, got, c.want, found)
		}
	}
	// What an image says gives nothing, and is told.
	s := site(t, a2)
	s.write("profiles/job.yaml", "image: library\ncommand: [sleep, '1']\n")
	_, found := s.check()
	if len(found) != 1 || found[0].ID != finding.AscendUnasked || found[0].Severity != finding.Info || len(s.nodes()) > 0 {
		t.Errorf("%+v, %q", found, s.nodes())
	}
}

// cdiFile is what an exported file says.
type cdiFile struct {
	CDIVersion, Kind string
	Devices          []struct {
		Name           string
		ContainerEdits struct {
			DeviceNodes []struct{ Path, HostPath string }
		}
	}
	ContainerEdits struct {
		Env         []string
		DeviceNodes []struct {
			Path     string
			FileMode uint32
			UID, GID uint32
		}
		Mounts []struct {
			HostPath, ContainerPath string
			Options                 []string
		}
		AdditionalGIDs []uint32
		Hooks          []any
	}
}

// TestExportCDIOfNPUs: what other tools read is the vendor's kind and names, the driver read-only all through, and LD_LIBRARY_PATH for the
// image of a profile, as CDI can only replace it.
func TestExportCDIOfNPUs(t *testing.T) {
	m := ascendtest.CustomPlace()
	m.IDs, m.Functions = m.IDs[:3], m.Functions[:3]
	m.Virtual = []int{100}
	m.Files = map[string]string{"/opt/cann-8.5.0/lib64/libascendcl.so": "", "/opt/cann-8.5.0/set_env.sh": "", "/opt/old/driver/lib64/driver/libascend_hal.so": "", "/opt/old/driver/version.info": "Version=24.1.0\n"}
	s := newSites(t)(t, npus(m))
	export := func(words ...string) (file cdiFile) {
		t.Helper()
		status, out, errs := s.hostrun(append([]string{"export", "cdi"}, words...)...)
		if err := json.Unmarshal([]byte(out), &file); err != nil || status != 0 {
			t.Fatalf("%q: status %d, %v\n%s%s", words, status, err, out, errs)
		}
		return file
	}
	file := export()
	var names []string
	for _, d := range file.Devices {
		nodes := ""
		for _, n := range d.ContainerEdits.DeviceNodes {
			nodes += " " + n.Path
		}
		names = append(names, d.Name+nodes)
	}
	// 0 is divided, and not given as a whole.
	if want := []string{"vdavinci100 /dev/davinci100", "1 /dev/davinci1", "2 /dev/davinci2", "all /dev/davinci100 /dev/davinci1 /dev/davinci2"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	shared := file.ContainerEdits
	if file.Kind != "ascend.com/npu" || file.CDIVersion != "0.7.0" || !slices.Equal(shared.AdditionalGIDs, []uint32{ascendtest.Group}) || len(shared.Hooks) > 0 || !slices.Equal(shared.Env, []string{"ASCEND_VISIBLE_DEVICES=void"}) {
		t.Errorf("%+v", file)
	}
	if n := shared.DeviceNodes[0]; len(shared.DeviceNodes) != 4 || n.Path != "/dev/davinci_manager" || n.FileMode != 0o660 || n.UID != ascendtest.User || n.GID != ascendtest.Group {
		t.Errorf("%+v", shared.DeviceNodes)
	}
	for _, mount := range shared.Mounts {
		if !slices.Contains(mount.Options, "ro") || !slices.Contains(mount.Options, "rbind") || slices.Contains(mount.Options, "noexec") {
			t.Errorf("%+v", mount)
		}
	}
	if file := export("--no-gids"); len(file.ContainerEdits.AdditionalGIDs) > 0 || file.CDIVersion == "0.7.0" {
		t.Errorf("without groups: %+v", file)
	}
	const common, driver, lib64 = "/lib64/common", "/lib64/driver", "/lib64"
	for asks, want := range map[string]string{
		"npus: 1": "/opt/hw/Ascend/driver" + common + ":/opt/hw/Ascend/driver" + driver + ":/opt/hw/Ascend/driver" + lib64,
		"npus: 1\nascend: {driver: /opt/old/driver, toolkit: /opt/cann-8.5.0}": "/opt/cann-8.5.0/lib64:/opt/old/driver" + driver + ":/opt/old/driver" + lib64,
	} {
		s.job(asks)
		if file := export("job"); !slices.Contains(file.ContainerEdits.Env, "LD_LIBRARY_PATH="+want) {
			t.Errorf("%s: %q", asks, file.ContainerEdits.Env)
		}
	}
	s.write("profiles/library.yaml", "image: library\ncommand: [sleep, '1']\nnpus: 1\n") // whose LD_LIBRARY_PATH names the driver's directories already
	if file := export("library"); !slices.Contains(file.ContainerEdits.Env, "LD_LIBRARY_PATH=/opt/hw/Ascend/driver/lib64/driver:/opt/hw/Ascend/driver/lib64:/opt/own:/opt/hw/Ascend/driver/lib64/common/") {
		t.Errorf("%q", file.ContainerEdits.Env)
	}
	// The file stands for the machine where hostrun itself finds none of it.
	_, text, _ := s.hostrun("export", "cdi")
	must(t, os.RemoveAll(filepath.Join(s.root, "sys")))
	ascendtest.Write(t, s.root, "/etc/cdi/npus.json", text)
	s.job("devices: [ascend.com/npu=2]")
	if status, found := s.check(); status != 0 || len(finding.Errors(found)) > 0 || !slices.Contains(s.nodes(), "/dev/davinci2") || slices.Contains(s.nodes(), "/dev/davinci1") {
		t.Errorf("%d, %+v, %q", status, found, s.nodes())
	}
}
