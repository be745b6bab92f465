package cdi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/cdi"
	"hostrun.dev/hostrun/devices/devicestest"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// nvidiaFile is what NVIDIA's tool writes for a machine of RHEL's layout.
const nvidiaFile = `cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes: [{path: /dev/nvidia0}]
    hooks:
    - {hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, create-symlinks, --link, "../card1::/dev/dri/by-path/pci-0000:1b:00.0-card"]}
containerEdits:
  hooks:
  - {hookName: createContainer, path: /usr/bin/nvidia-ctk, args: [nvidia-ctk, hook, create-symlinks, --link, "libcuda.so.1::/usr/lib64/libcuda.so", "--link=/usr/bin/nvidia-smi.real::/usr/bin/nvidia-smi"]}
  - {hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, enable-cuda-compat, --host-driver-version=550.54.15]}
  - {hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, update-ldcache, --folder, /usr/lib64]}
  - {hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, disable-device-node-modification]}
  - {hookName: createRuntime, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, apply-cuda-memory-limits]}
  mounts:
  - {hostPath: /usr/lib64/libcuda.so.550.54.15, containerPath: /usr/lib64/libcuda.so.550.54.15, options: [ro, nosuid, nodev, rbind, rprivate]}
  - {hostPath: /usr/lib64/libnvidia-gpucomp.so.550.54.15, containerPath: /usr/lib64/libnvidia-gpucomp.so.550.54.15, options: [ro, nosuid, nodev, rbind, rprivate]}
  - {hostPath: /usr/bin/nvidia-smi.real, containerPath: /usr/bin/nvidia-smi.real, options: [ro, nosuid, nodev, rbind, rprivate]}
`

// TestHooksOfNVIDIAsFiles: a file of NVIDIA's tool, taken without its hooks, brought libcuda as libcuda.so.550.54.15 alone, which no program
// looks for. Mounts stand for the links and for the loader's cache, in the directory of the image's own loader.
func TestHooksOfNVIDIAsFiles(t *testing.T) {
	root := t.TempDir()
	devicestest.Mknod(t, root, "/dev/nvidia0", 195, 0, 0o666)
	write(t, root, "etc/cdi/nvidia.yaml", nvidiaFile)
	write(t, root, "usr/lib64/libcuda.so.550.54.15", string(nvidiatest.Library("libcuda.so.1")))
	write(t, root, "usr/lib64/libnvidia-gpucomp.so.550.54.15", string(nvidiatest.Library("libnvidia-gpucomp.so.550.54.15")))
	write(t, root, "usr/bin/nvidia-smi.real", "x")
	s := cdi.Open(root, cdi.Dirs).Source("nvidia.com/gpu")
	if !devices.ReadsImage(s) {
		t.Error("the image's loader is not asked where it looks")
	}
	inv := inventory(t, s)
	cuda := []string{"/usr/lib64/libcuda.so", "/usr/lib64/libcuda.so.1", "/usr/lib64/libcuda.so.550.54.15"}
	multiarch := []string{"/usr/lib/x86_64-linux-gnu/libcuda.so", "/usr/lib/x86_64-linux-gnu/libcuda.so.1"}
	for name, c := range map[string]struct {
		image  *rootfs.View
		env    []string
		cuda   []string
		undone string
	}{
		"not known":           {nil, nil, cuda, "create-symlinks enable-cuda-compat"},
		"Debian":              {debian(t, ""), nil, append(slices.Clone(multiarch), cuda...), "create-symlinks"},
		"with its own compat": {debian(t, "usr/local/cuda/compat/libcuda.so.1"), nil, append(slices.Clone(multiarch), cuda...), "create-symlinks enable-cuda-compat"},
		"with a limit":        {debian(t, ""), []string{"NVIDIA_GPU_MEMORY_LIMIT=1024"}, append(slices.Clone(multiarch), cuda...), "apply-cuda-memory-limits create-symlinks"},
	} {
		edits, found := s.Edits(inv, inv.Devices, devices.Ask{}, devices.Container{View: c.image, Env: c.env})
		var got, undone []string
		smi := ""
		for _, m := range edits.Mounts {
			if strings.HasSuffix(m.HostPath, "libcuda.so.550.54.15") {
				got = append(got, m.ContainerPath)
			}
			if m.ContainerPath == "/usr/bin/nvidia-smi" {
				smi = m.HostPath
			}
			if edits.Origins[m.ContainerPath] == "" {
				t.Errorf("%s: %s has no origin", name, m.ContainerPath)
			}
		}
		for _, h := range edits.Hooks {
			undone = append(undone, h.Args[1])
		}
		slices.Sort(got)
		slices.Sort(undone)
		if len(found) > 0 || fmt.Sprint(got) != fmt.Sprint(c.cuda) || strings.Join(undone, " ") != c.undone || smi != "/usr/bin/nvidia-smi.real" {
			t.Errorf("%s: %q, undone %q, nvidia-smi %q, %+v", name, got, undone, smi, found)
		}
	}
}

// debian is an image of that layout with this machine's loader.
func debian(t *testing.T, file string) *rootfs.View {
	t.Helper()
	root := t.TempDir()
	loader, err := os.ReadFile("/lib64/ld-linux-x86-64.so.2")
	if err != nil {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip("no loader of x86-64 on this machine: ", err)
	}
	write(t, root, "lib64/ld-linux-x86-64.so.2", string(loader))
	must(t, os.MkdirAll(filepath.Join(root, "usr/lib/x86_64-linux-gnu"), 0o755))
	if file != "" {
		write(t, root, file, "")
	}
	return rootfs.Dir(root)
}

// TestCUDAOfAFile: a CDI device was given without a look whether libcuda loads. A file without hooks, which brings it by its version alone, has
// it bound by its soname all the same.
func TestCUDAOfAFile(t *testing.T) {
	root := t.TempDir()
	for i, node := range []string{"/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-caps/nvidia-cap12", "/dev/dxg", "/dev/acc0"} {
		devicestest.Mknod(t, root, node, 241, uint32(i), 0o666)
	}
	const file = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes: [{path: /dev/nvidia0}, {path: /dev/nvidiactl}, {path: /dev/nvidia-uvm}, {path: /dev/nvidia-caps/nvidia-cap12}, {path: /dev/dxg}, {path: /dev/acc0}]\n"
	const mounts = "    mounts:\n    - {hostPath: /opt/drv/libcuda.so.550.54.15, containerPath: /opt/drv/libcuda.so.550.54.15}\n    - {hostPath: /opt/drv/libnvidia-gpucomp.so.550.54.15, containerPath: /opt/drv/libnvidia-gpucomp.so.550.54.15}\n"
	write(t, root, "opt/drv/libcuda.so.550.54.15", string(nvidiatest.Library("libcuda.so.1")))
	write(t, root, "opt/drv/libnvidia-gpucomp.so.550.54.15", string(nvidiatest.Library("libnvidia-gpucomp.so.550.54.15")))
	musl := t.TempDir()
	write(t, musl, "lib/ld-musl-x86_64.so.1", "x")
	open := []string{"/dev/dxg", "/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia-uvm", "/dev/nvidiactl"}
	for name, c := range map[string]struct {
		file, persistence string
		image             *rootfs.View
		load              bool
		id                string
		open              []string
	}{
		"libcuda":        {file + mounts, "", debian(t, ""), true, "", open},
		"kept ready":     {file + mounts, "run/nvidia-persistenced/socket", debian(t, ""), true, "", append(slices.Clone(open[:2]), "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl")},
		"no libcuda":     {file, "", debian(t, ""), false, "", open},
		"musl":           {file + mounts, "", rootfs.Dir(musl), false, finding.GPUImageLibc, open},
		"musl, no files": {file, "", rootfs.Dir(musl), false, "", open},
	} {
		write(t, root, "etc/cdi/nvidia.yaml", c.file)
		must(t, os.RemoveAll(filepath.Join(root, "run")))
		if c.persistence != "" {
			write(t, root, c.persistence, "")
		}
		s := cdi.Open(root, cdi.Dirs).Source("nvidia.com/gpu")
		if reads := strings.Contains(c.file, "libcuda"); devices.ReadsImage(s) != reads {
			t.Errorf("%s: the image is read: %v", name, !reads)
		}
		inv := inventory(t, s)
		e, found := s.Edits(inv, inv.Devices, devices.Ask{File: "p.yaml", Line: 3}, devices.Container{View: c.image})
		if loads := e.Probe.Loader == "/lib64/ld-linux-x86-64.so.2" && slices.Equal(e.Probe.Load, []string{"libcuda.so.1"}); loads != c.load || !slices.Equal(e.Probe.Open, c.open) {
			t.Errorf("%s: %+v", name, e.Probe)
		}
		if c.load {
			for _, at := range []string{"/opt/drv/libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libnvidia-gpucomp.so.550.54.15"} {
				if e.Origins[at] == "" {
					t.Errorf("%s: %s is not bound: %v", name, at, e.Origins)
				}
			}
		}
		if c.id == "" && len(found) > 0 || c.id != "" && (len(found) != 1 || found[0].ID != c.id || found[0].Severity != finding.Error || found[0].Line != 3) {
			t.Errorf("%s: %+v", name, found)
		}
	}
}
