package integration

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/integration/fixture"
	furnish "hostrun.dev/hostrun/integration/machine"
)

// furnishing makes the machine that was entered one with accelerators, whose files lie below $1: the driver's files join those of the
// machine, and its /sys, /dev and parts of /proc take the place of this machine's. It starts a containerd there.
const furnishing = `
furnish() {
	fake=$1
	mkdir -p "$fake/sys/fs/cgroup" /run/dev
	mount --rbind /sys/fs/cgroup "$fake/sys/fs/cgroup"
	mount --rbind "$fake/sys" /sys
	mount -t tmpfs -o mode=755 dev /run/dev
	cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$fake"/dev/* /run/dev/
	mkdir -p /run/dev/pts /run/dev/shm
	mount --rbind /dev/pts /run/dev/pts
	mount --rbind /run/dev /dev
	mount --bind "$fake/proc/devices" /proc/devices
	files "$fake"
}
files() {
	for dir in usr etc var run; do if [ -d "$1/$dir" ]; then cp -a "$1/$dir/." "/$dir/"; fi; done
	if [ -d "$1/proc/driver" ]; then mount --bind "$1/proc/driver" /proc/driver; fi
}
engine() {
	cat >/run/c.toml <<-END
	version = 2
	root = "/var/lib/hostrun/c"
	state = "/run/c"
	disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
	[grpc]
	  address = "/run/c.sock"
	END
	containerd --config /run/c.toml >/run/c.log 2>&1 &
	for i in $(seq 200); do if [ -S /run/c.sock ]; then break; fi; sleep 0.05; done
	export HOSTRUN_ENGINE=auto CONTAINERD_ADDRESS=/run/c.sock
}
try() { # prints a command line, what it writes and its status
	echo "$ $*"
	local status=0
	"$@" 2>&1 || status=$?
	echo "status $status"
}
hr() { hostrun --profile-dir /shared/profiles "$@"; }
`

// furnished is this machine with the files that fill writes below a directory; more fills a second one, /shared/fake2.
func furnished(t *testing.T, fill, more func(root string)) (furnish.Machine, string) {
	t.Helper()
	s := newStage(t) // builds the programs, and asks for root
	if _, err := os.Stat("/proc/driver"); err != nil {
		skip(t, "this kernel has no /proc/driver")
	}
	state := t.TempDir()
	ok(t, unix.Mount("none", state, "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { ok(t, unix.Unmount(state, unix.MNT_DETACH)) })
	m, err := furnish.New("/", state, theatre.bin)
	ok(t, err)
	fill(filepath.Join(m.Shared(), "fake"))
	if more != nil {
		more(filepath.Join(m.Shared(), "fake2"))
	}
	image := fixture.BusyboxImage(t, "docker.io/library/box:latest")
	image.Layers = append(image.Layers, []fixture.Entry{{Name: "lib64", Dir: true, Mode: 0o755}, {Name: "lib64/ld-linux-x86-64.so.2", Mode: 0o755, Body: content(t, "/lib64/ld-linux-x86-64.so.2")}})
	text, err := io.ReadAll(image.Archive())
	ok(t, err)
	ok(t, os.WriteFile(filepath.Join(m.Shared(), "box.tar"), text, 0o644))
	t.Cleanup(func() { fixture.RemoveTraces(s.namespace) })
	return m, furnishing + "export HOSTRUN_NAMESPACE=" + s.namespace + "\nfurnish /shared/fake\nengine\nhr load box.tar >/dev/null\n"
}

func jobOn(t *testing.T, m furnish.Machine, name, asks string) {
	t.Helper()
	text := "image: box\npull_policy: never\nstop_grace_period: 0s\ncommand: [sleep, '1000']\n" + asks + "\n"
	ok(t, os.WriteFile(filepath.Join(m.Shared(), "profiles", name+".yaml"), []byte(text), 0o644))
}

// steps cuts the output of try into what each command has written, by its line.
func steps(out string) map[string]string {
	all := map[string]string{}
	for _, step := range strings.Split("\n"+out, "\n$ ")[1:] {
		line, rest, _ := strings.Cut(step, "\n")
		for all[line] != "" {
			line += " again"
		}
		all[line] = rest
	}
	return all
}

// expect compares what steps wrote with words that must be in it; one that begins with ! must not.
func expect(t *testing.T, out string, want map[string][]string) {
	t.Helper()
	got := steps(out)
	for line, words := range want {
		for _, word := range words {
			if absent, no := strings.CutPrefix(word, "!"); no && strings.Contains(got[line], absent) || !no && !strings.Contains(got[line], word) {
				t.Errorf("$ %s: want %q in\n%s", line, word, got[line])
			}
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestMachineWithGPUs takes the real program through a day on a machine with eight H100: what there is, a container that sees its GPU and no
// other, who holds what, a driver that is updated, and the end.
func TestMachineWithGPUs(t *testing.T) {
	machine := nvidiatest.H100()
	machine.Live = true
	newer := machine
	newer.Driver = "560.35.03"
	m, script := furnished(t, func(root string) { machine.Write(t, root) }, func(root string) { newer.Write(t, root) })
	jobOn(t, m, "train", "gpus: [3]")
	jobOn(t, m, "rival", "gpus: [3]")
	jobOn(t, m, "maybe", "npus: {count: 1, optional: true}")
	jobOn(t, m, "filed", "devices: [hostrun.example/gpu=bad]")
	ok(t, os.WriteFile(filepath.Join(m.Shared(), "libcuda.so.9"), []byte("no library\n"), 0o644))
	ok(t, os.WriteFile(filepath.Join(m.Shared(), "bad.json"), []byte(`{"cdiVersion":"0.5.0","kind":"hostrun.example/gpu","devices":[{"name":"bad","containerEdits":{"deviceNodes":[{"path":"/dev/nvidia0"}],
		"mounts":[{"hostPath":"/shared/libcuda.so.9","containerPath":"/usr/lib/x86_64-linux-gnu/libcuda.so.1","options":["ro","rbind"]}]}}]}`), 0o644))
	ok(t, os.WriteFile(filepath.Join(m.Shared(), "profiles", "onhost.yaml"), []byte("rootfs: host\ngpus: [3]\ncommand: [sh, -c, 'ls $$LD_LIBRARY_PATH']\n"), 0o644))
	out, err := m.Run(script + `
try hr devices
try hr up train
awk '{ at = sprintf("%.0f", $1 * 1000000); printf "4,1,%s,-;NVRM: Xid (PCI:0000:61:00): 94, pid=4711, name=python3, Contained: CE User Channel\n", at
	printf "4,2,%s,-;NVRM: Xid (PCI:0000:9d:00): 79, GPU has fallen off the bus.\n", at }' /proc/uptime >/dev/kmsg
try hr up train
try hr ps
try hr inspect train
try hr logs train
try hr stats --no-stream train
try hr devices nvidia.com/gpu
try hr exec train -- ls /dev
try hr exec train -- ls -ln /dev/nvidia3 /dev/nvidiactl /dev/nvidia-uvm /lib/x86_64-linux-gnu/libcuda.so.1 /usr/lib/x86_64-linux-gnu/libcuda.so.1
try hr up rival
try hr run maybe -- ls /dev
umount /proc/driver
rm -f /usr/lib/x86_64-linux-gnu/*550.54.15 /usr/lib/x86_64-linux-gnu/vdpau/*550.54.15
files /shared/fake2
try hr up train
try hr down train
try hr up rival
try hr down rival
mkdir -p /etc/cdi
cp /shared/bad.json /etc/cdi/
try hr check filed
try hr up filed
try hr ps -a
try hr run onhost
mkdir -p /opt/nvidia/current/lib64
mv /usr/lib/x86_64-linux-gnu/lib*560.35.03 /opt/nvidia/current/lib64/
try hr check onhost
try hr run onhost
`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect(t, out, map[string][]string{
		"hr check filed":             {"status 0"},
		"hr up filed":                {"container filed is not started: ", "libcuda.so.1: file too short", "hostrun explain HR192", "status 78"},
		"hr ps -a":                   {"!filed"},
		"hr run onhost":              {"!libcuda", "status 0"},
		"hr check onhost":            {"status 0"},
		"hr run onhost again":        {"libcuda.so\n", "libcuda.so.1\n", "libnvidia-ml.so.1\n", "status 0"},
		"hr devices":                 {"GPU 3    NVIDIA H100 80GB HBM3", "status 0"},
		"hr up train":                {"train created", "container 0 = /dev/nvidia3 (0000:61:00.0)", "status 0"},
		"hr up train again":          {"train unchanged", "!container 0", "status 0"},
		"hr ps":                      {"train", "GPU 3 (Xid 94)"},
		"hr stats --no-stream train": {"NAME    CPU %", "train   0.", " GPU 3  ", "status 0"},
		"hr logs train":              {"hostrun: note: GPU 3 (0000:61:00.0): Xid 94, Contained: CE User Channel at 20", "(process 4711, python3)", "!Xid 79", "status 0"},
		"hr inspect train":           {`"number": 0`, `"pci": "0000:61:00.0"`, `"code": "Xid 94"`},
		"hr devices nvidia.com/gpu":  {"0000:61:00.0   0      unknown   train"},
		"hr exec train -- ls /dev":   {"nvidia3\n", "nvidiactl\n", "nvidia-uvm\n", "!nvidia0", "!nvidia2", "status 0"},
		"hr up rival":                {"container train holds it", "rival.yaml:5", "status 75"},
		"hr run maybe -- ls /dev":    {"null", "!davinci", "!nvidia", "status 0"},
		"hr up train again again":    {"train replaced", "560.35.03", "container 0 = /dev/nvidia3", "status 0"},
		"hr down train":              {"status 0"},
		"hr up rival again":          {"rival created", "status 0"},
		"hr down rival":              {"status 0"},
	})
}

// TestMachineWithNPUs does the same with eight 910B4, by one user who is not root. npu-smi calls one critical, which is not given until it says
// otherwise.
func TestMachineWithNPUs(t *testing.T) {
	table := strings.Replace(string(content(t, "../devices/ascend/testdata/info-a2.txt")), "| Warning       |", "| Critical      |", 1) // NPU 3
	m, script := furnished(t, func(root string) {
		ascendtest.Build(t, root, ascendtest.A2())
		ok(t, exectest.WriteFile(filepath.Join(root, "usr/local/bin/npu-smi"), []byte("#!/bin/sh\ncat /shared/table\n"), 0o755))
		ok(t, os.Chmod(filepath.Join(root, "usr/local/bin/npu-smi"), 0o755))
	}, nil)
	ok(t, os.WriteFile(filepath.Join(m.Shared(), "table"), []byte(table), 0o644))
	jobOn(t, m, "infer", "npus: [4, 5]\nuser: '1000'")
	jobOn(t, m, "rival", "npus: ['4-6']")
	jobOn(t, m, "sick", "npus: [3]")
	out, err := m.Run(script + `
try hr up sick
sed -i 's/| Critical /| OK       /' table
kept=/var/cache/hostrun/ascend-health.json
sed -i 's/"time":"[^"]*"/"time":"'$(date -u -d '-2 min' +%Y-%m-%dT%H:%M:%SZ)'"/' $kept # an answer that is not young any more
try hr check sick # goes by it, and has the next one fetched
for i in $(seq 300); do if grep -q Critical $kept; then sleep 0.1; fi; done
try hr run sick -- ls /dev
try hr devices
try hr up infer
try hr up infer
try hr inspect infer
try hr ps
try hr exec infer -- ls -ln /dev
try hr exec infer -- sh -c 'id -G; ls /usr/local/Ascend/driver/lib64/driver; touch /usr/local/Ascend/driver/x; echo $LD_LIBRARY_PATH'
try hr up rival
try hr down infer
try hr up rival
try hr down rival
`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var nodes []string
	for minor := range 8 {
		nodes = append(nodes, map[bool]string{true: "", false: "!"}[minor == 4 || minor == 5]+fmt.Sprintf("/dev/davinci%d", minor))
	}
	for i := range nodes {
		nodes[i] = strings.Replace(nodes[i], "/dev/", "", 1)
	}
	expect(t, out, map[string][]string{
		"hr up sick":                   {"NPU 3 can't be given: it does not work (npu-smi: Critical)", "status 69"},
		"hr check sick":                {"npu-smi: Critical", "status 69"},
		"hr run sick -- ls /dev":       {"davinci3\n", "!davinci2\n", "status 0"},
		"hr devices":                   {"NPU 4    Ascend 910B4   32 GiB", "driver 25.0.rc1.1 in /usr/local/Ascend/driver, firmware 7.7.0.1.231", "!bad", "status 0"},
		"hr up infer":                  {"infer created", "container 0 = /dev/davinci4 (0000:81:00.0)", "container 1 = /dev/davinci5 (0000:41:00.0)", "status 0"},
		"hr up infer again":            {"infer unchanged", "status 0"},
		"hr inspect infer":             {`"node": "/dev/davinci4"`, `"container 0 = /dev/davinci4 (0000:81:00.0)"`, `"container 1 = /dev/davinci5 (0000:41:00.0)"`},
		"hr ps":                        {"NPU 4"},
		"hr exec infer -- ls -ln /dev": append(nodes, "236,   4", "davinci_manager", "1007"),
		"hr up rival":                  {"container infer holds it", "rival.yaml:5", "status 75"},
		"hr down infer":                {"status 0"},
		"hr up rival again":            {"container 0 = /dev/davinci4", "container 2 = /dev/davinci6 (0000:82:00.0)", "status 0"},
		"hr down rival":                {"status 0"},
		"hr exec infer -- sh -c id -G; ls /usr/local/Ascend/driver/lib64/driver; touch /usr/local/Ascend/driver/x; echo $LD_LIBRARY_PATH": {"1007", "libascend_hal.so", "Read-only file system", "/usr/local/Ascend/driver/lib64/common:"},
	})
}
