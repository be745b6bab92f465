package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
)

// healthy is a machine that lacks nothing; each test takes something away. Files are those of a root, by path.
func healthy() (Machine, map[string]string) {
	m := Machine{
		Path: "/usr/local/bin:/usr/bin", Namespace: "hostrun", StateDir: "/run/hostrun", DataDir: "/var/lib/hostrun", CacheDir: "/var/cache/hostrun",
		LibexecDir: "/usr/lib/hostrun",
		Facts:      host.Facts{Arch: "amd64", Kernel: "6.1.0-13-amd64", OS: host.OS{Pretty: "Debian GNU/Linux 12 (bookworm)"}, CPUs: 2, MemoryBytes: 8 << 30, CgroupVersion: 2},
		Engines: []Engine{
			{Kind: "system", Address: "/run/containerd/containerd.sock", Standing: Usable, Version: "1.7.1", Snapshotter: "overlayfs", OCIRuntime: "runc 1.1.5"},
			{Kind: "private", Address: "/run/hostrun/engine/engine.sock", Standing: Absent},
		},
		Version: func(string) string { return "(version 1)" },
		Free:    func(string) (uint64, bool) { return 100 << 30, true },
	}
	return m, map[string]string{
		"/proc/self/status":                      "Name:\thostrun\nCapEff:\t000001ffffffffff\n",
		"/proc/self/limits":                      "Max open files            1024                 524288               files     \n",
		"/proc/self/mountinfo":                   "26 24 0:23 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw\n",
		"/proc/sys/kernel/seccomp/actions_avail": "kill_process errno allow\n",
		"/proc/filesystems":                      "nodev\tsysfs\n\text4\nnodev\toverlay\n",
		"/sys/fs/cgroup/cgroup.controllers":      "cpuset cpu io memory hugetlb pids rdma misc\n",
		"/usr/bin/runc":                          "#!",
		"/usr/lib/hostrun/hostrun-log":           "#!",
		"/usr/lib/hostrun/hostrun-init":          "#!",
		"/usr/lib/hostrun/hostrun-ports":         "#!",
		"/usr/lib/hostrun/hostrun-reap":          "#!",
		"/usr/lib/hostrun/hostrun-probe":         "#!",
		"/usr/lib/hostrun/hostrun-compose":       "#!",
	}
}

// examined writes the files and examines the machine.
func examined(t *testing.T, m Machine, files map[string]string) []Check {
	t.Helper()
	m.Root = t.TempDir()
	for path, content := range files {
		file := filepath.Join(m.Root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return Examine(m)
}

// verdicts are the checks that are not fine, as "verdict group/name", in order.
func verdicts(checks []Check) []string {
	var all []string
	for _, c := range checks {
		if c.Verdict != OK {
			all = append(all, string(c.Verdict)+" "+c.Group+"/"+c.Name)
		}
	}
	return all
}

func TestExamine(t *testing.T) {
	legacy := func(m *Machine, files map[string]string) {
		m.Facts.CgroupVersion = 1
		delete(files, "/sys/fs/cgroup/cgroup.controllers")
		for _, dir := range []string{"cpu,cpuacct", "cpuset", "memory", "pids", "devices"} {
			files["/sys/fs/cgroup/"+dir+"/tasks"] = ""
		}
		files["/proc/self/mountinfo"] = "30 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	}
	system := func(m *Machine, standing Standing) *Engine {
		m.Engines[0] = Engine{Kind: "system", Address: "/run/containerd/containerd.sock", Standing: standing, Error: "no answer within 2s", Hints: []string{"systemctl restart containerd"}}
		return &m.Engines[0]
	}
	for _, c := range []struct {
		name   string
		change func(m *Machine, files map[string]string)
		want   []string // verdicts
		said   string   // somewhere in evidence or repair
	}{
		{"healthy", func(*Machine, map[string]string) {}, nil, "system (/run/containerd/containerd.sock)"},
		{"without overlayfs", func(m *Machine, f map[string]string) {
			f["/proc/filesystems"] = "\text4\n"
			m.Engines[0].Snapshotter = "native"
		}, []string{"note snapshotter/overlayfs", "note snapshotter/used by system"}, "CONFIG_OVERLAY_FS"},
		{"overlayfs as a module", func(m *Machine, f map[string]string) {
			f["/proc/filesystems"] = "\text4\n"
			f["/lib/modules/6.1.0-13-amd64/modules.dep"] = "kernel/fs/overlayfs/overlay.ko.xz:\n"
		}, []string{"note snapshotter/overlayfs"}, "modprobe overlay"},
		{"cgroup v1", legacy, nil, "cgroup v1 at"},
		{"cgroup hybrid", func(m *Machine, f map[string]string) {
			legacy(m, f)
			f["/sys/fs/cgroup/unified/cgroup.controllers"] = ""
		}, []string{"note cgroups/version"}, "(hybrid)"},
		{"cgroup v1 without devices", func(m *Machine, f map[string]string) {
			legacy(m, f)
			delete(f, "/sys/fs/cgroup/devices/tasks")
		}, []string{"broken cgroups/devices"}, "mount -t cgroup -o devices"},
		{"no cgroups", func(m *Machine, f map[string]string) { m.Facts.CgroupVersion = 0 }, []string{"broken cgroups/version"}, "mount -t cgroup2"},
		{"cgroup v2 without memory", func(_ *Machine, f map[string]string) { f["/sys/fs/cgroup/cgroup.controllers"] = "cpu cpuset pids\n" },
			[]string{"note cgroups/controllers"}, "no memory in"},
		{"cgroups read-only", func(_ *Machine, f map[string]string) {
			f["/proc/self/mountinfo"] = "26 24 0:23 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"
		}, []string{"broken cgroups/writable"}, "mount -o remount,rw /sys/fs/cgroup"},
		{"no CAP_SYS_RESOURCE", func(_ *Machine, f map[string]string) { f["/proc/self/status"] = "CapEff:\t000001fffeffffff\n" },
			[]string{"note system/limits"}, "open files: 524288"},
		{"no CAP_SYS_ADMIN", func(_ *Machine, f map[string]string) { f["/proc/self/status"] = "CapEff:\t00000000a80425fb\n" },
			[]string{"broken system/privileges", "note system/limits"}, "--privileged"},
		{"no seccomp", func(_ *Machine, f map[string]string) { delete(f, "/proc/sys/kernel/seccomp/actions_avail") }, []string{"broken system/seccomp"}, "CONFIG_SECCOMP_FILTER"},
		{"an old kernel", func(m *Machine, _ map[string]string) { m.Facts.Kernel = "5.4.0-150-generic" }, []string{"note system/kernel"}, "older than 5.10"},
		{"kernel 5.11", func(m *Machine, _ map[string]string) { m.Facts.Kernel = "5.11.22" }, []string{"note system/kernel"}, "older than 5.12"},
		{"stale socket", func(m *Machine, f map[string]string) {
			system(m, Absent)
			f["/run/containerd/containerd.sock"] = ""
		}, []string{"note containerd/system"}, "left its socket"},
		{"hanging", func(m *Machine, _ map[string]string) { system(m, Hanging) }, []string{"broken containerd/system"}, "systemctl restart containerd"},
		{"private in its place", func(m *Machine, _ map[string]string) { system(m, Absent) }, nil, "private (/run/hostrun/engine/engine.sock), started when it is needed"},
		{"no containerd at all", func(m *Machine, _ map[string]string) {
			system(m, Absent)
			m.Engines[1].Missing = "hostrun-engine: it is not there"
		}, []string{"note containerd/private", "broken containerd/chosen"}, "apt-get install containerd"},
		{"a user without rights", func(m *Machine, _ map[string]string) {
			m.UID = 1000
			system(m, Denied)
		}, []string{"note system/privileges", "note containerd/system", "note containerd/chosen"}, "only root starts the private one"},
		{"a user of the group", func(m *Machine, _ map[string]string) {
			m.UID = 1000
			system(m, Denied)
			m.Engines[1].Standing, m.Engines[1].Snapshotter, m.Engines[1].OCIRuntime = Usable, "overlayfs", "crun 1.8.1"
		}, []string{"note system/privileges", "note containerd/system"}, "private (/run/hostrun/engine/engine.sock)"},
		{"an engine of before the upgrade", func(m *Machine, _ map[string]string) {
			system(m, Absent)
			m.Engines[1] = Engine{Kind: "private", Standing: Usable, Snapshotter: "overlayfs", OCIRuntime: "runc 1.1.5", PID: 7, Outdated: true}
		}, []string{"note containerd/private"}, "replaced once no container needs it"},
		{"no OCI runtime", func(m *Machine, f map[string]string) {
			delete(f, "/usr/bin/runc")
			m.Engines[0].OCIRuntime = ""
		}, []string{"broken OCI runtime/runc or crun"}, "make runc"},
		{"built runc", func(_ *Machine, f map[string]string) {
			delete(f, "/usr/bin/runc")
			f["/usr/lib/hostrun/oci/runc"] = "#!"
		}, nil, "/usr/lib/hostrun/oci/runc (version 1)"},
		{"the daemon finds no runtime", func(m *Machine, _ map[string]string) { m.Engines[0].OCIRuntime = "" }, []string{"broken OCI runtime/used by system"}, "on its PATH"},
		{"one of the programs missing", func(_ *Machine, f map[string]string) { delete(f, "/usr/lib/hostrun/hostrun-ports") }, []string{"broken hostrun/programs"}, "make install"},
		{"programs missing", func(_ *Machine, f map[string]string) { delete(f, "/usr/lib/hostrun/hostrun-init") }, []string{"broken hostrun/programs"}, "make install"},
		{"a full disk", func(m *Machine, _ map[string]string) { m.Free = func(string) (uint64, bool) { return 1 << 20, true } },
			[]string{"broken hostrun/data", "broken hostrun/state", "broken hostrun/cache"}, "du -xh"},
		{"little room", func(m *Machine, _ map[string]string) { m.Free = func(string) (uint64, bool) { return 1 << 30, true } }, []string{"note hostrun/data"}, "1.0 GiB free"},
		{"a file in the place of a directory", func(_ *Machine, f map[string]string) { f["/var/cache/hostrun"] = "" }, []string{"broken hostrun/cache"}, "is no directory"},
		{"a broken venv", func(m *Machine, _ map[string]string) {
			m.Facts.Findings = []finding.Finding{{ID: finding.PythonBrokenVenv, Severity: finding.Error, Message: "the venv is broken", Remedy: "make it again"}}
		}, []string{"broken Python/HR011"}, "make it again"},
		{"no Python", func(m *Machine, _ map[string]string) {
			m.Facts.Findings = []finding.Finding{{ID: finding.PythonMissingHost, Severity: finding.Error, Message: "there is none"}}
		}, []string{"note Python/HR010"}, "there is none"},
		{"a broken toolkit", func(m *Machine, _ map[string]string) {
			m.Facts.Findings = []finding.Finding{{ID: finding.CUDABroken, Severity: finding.Error, Message: "the link leads nowhere"}}
		}, []string{"broken CUDA/HR061"}, "the link leads nowhere"},
		{"a card without driver", func(_ *Machine, f map[string]string) {
			f["/sys/bus/pci/devices/0000:01:00.0/class"], f["/sys/bus/pci/devices/0000:01:00.0/vendor"] = "0x030200\n", "0x10de\n"
		}, []string{"note devices/NVIDIA"}, "1 card on the PCI bus"},
		{"a driver without nodes", func(_ *Machine, f map[string]string) { f["/proc/driver/nvidia/version"] = "NVRM version: 550.54\n" },
			[]string{"broken devices/NVIDIA"}, "nvidia-modprobe"},
		{"half-made containers", func(m *Machine, _ map[string]string) {
			m.Engines[0].Containers, m.Engines[0].HalfMade = []string{"a", "b"}, []string{"b"}
		}, []string{"note leftovers/half-made"}, "hostrun down b"},
		{"a container that containerd has given up", func(m *Machine, _ map[string]string) {
			m.Engines[0].Containers, m.Engines[0].GivenUp = []string{"a", "b"}, []string{"b"}
		}, []string{"note leftovers/given up"}, "hostrun restart b"},
		{"directories without a container", func(m *Machine, f map[string]string) {
			m.Engines[0].Containers = []string{"a"}
			f["/var/lib/hostrun/containers/hostrun/a/log"], f["/var/lib/hostrun/containers/hostrun/gone/log"] = "", ""
		}, []string{"note leftovers/directories"}, "rm -r /var/lib/hostrun/containers/hostrun/gone"},
		{"directories of a containerd that is down", func(m *Machine, f map[string]string) {
			m.Engines[1].EverRan = true
			f["/var/lib/hostrun/containers/hostrun/a/log"] = ""
		}, nil, "could not be asked: a"},
		{"a directory of a containerd that is not among these", func(m *Machine, f map[string]string) {
			f["/var/lib/hostrun/containers/hostrun/a/engine"] = "/run/another.sock"
		}, nil, "could not be asked: a"},
		{"directories of a system that is down", func(m *Machine, f map[string]string) {
			system(m, Absent)
			f["/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"], f["/var/lib/hostrun/containers/hostrun/a/log"] = "", ""
		}, nil, "could not be asked: a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, files := healthy()
			m.Facts.Python = &host.Python{Kind: "venv"}
			if strings.Contains(strings.Join(c.want, " "), "Python") {
				m.Facts.Python = nil
			}
			c.change(&m, files)
			checks := examined(t, m, files)
			if got := verdicts(checks); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if !slices.ContainsFunc(checks, func(k Check) bool { return strings.Contains(k.Evidence+"\n"+k.Repair, c.said) }) {
				t.Errorf("nobody says %q: %+v", c.said, checks)
			}
			for _, k := range checks {
				if k.Schema != 1 || k.Evidence == "" || k.Verdict == Broken && k.Repair == "" && k.Group != "Python" && k.Group != "CUDA" {
					t.Errorf("a check without schema, evidence or repair: %+v", k)
				}
			}
		})
	}
}
