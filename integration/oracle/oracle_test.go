package oracle

import (
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/finding"
)

// A difference between NVIDIA's description and ours, and why it is there. Each has to occur: one that no longer does is to be
// taken out.
type difference struct {
	pattern string // of the path, or of the name, that one side has and the other has not (path.Match)
	reason  string
}

// theirsAlone is what their container has and ours has not, with the capabilities compute and utility. Theirs does not ask which
// are wanted: with all of them, there is no difference in files and nodes.
var theirsAlone = []difference{
	{"libnvcuvid.so.*", "video is not asked for"},
	{"libnvidia-encode.so.*", "video is not asked for"},
	{"libnvidia-opticalflow.so.*", "video is not asked for"},
	{"libvdpau_nvidia.so.*", "video is not asked for"},
	{"lib*GL*", "graphics is not asked for"},
	{"libnvidia-*gl*core.so.*", "graphics is not asked for"},
	{"libnvidia-glvkspirv.so.*", "graphics is not asked for"},
	{"libnvidia-rtcore.so.*", "graphics is not asked for"},
	{"libnvidia-tls.so.*", "graphics is not asked for"},
	{"libnvoptix.so.*", "graphics is not asked for"},
	{"libnvidia-ngx.so.*", "ngx is not asked for"},
	{"/usr/share/*/*/*nvidia*.json", "graphics is not asked for"},
	{"/dev/nvidia-modeset", "graphics is not asked for"},
	{"/dev/dri/renderD*", "graphics is not asked for"},
}

// oursAlone is what our container has and theirs has not.
var oursAlone []difference

// compared notes which differences have occurred.
type compared struct {
	t        *testing.T
	excusing bool // differences are allowed where they have a reason
	seen     map[string]bool
}

// same compares two sets of paths.
func (c *compared) same(what string, theirs, ours []string) {
	c.t.Helper()
	for _, p := range theirs {
		if !slices.Contains(ours, p) && !c.excused(theirsAlone, p) {
			c.t.Errorf("%s: theirs has %s, ours has not", what, p)
		}
	}
	for _, p := range ours {
		if !slices.Contains(theirs, p) && !c.excused(oursAlone, p) {
			c.t.Errorf("%s: ours has %s, theirs has not", what, p)
		}
	}
}

func (c *compared) excused(list []difference, p string) bool {
	for _, d := range list {
		whole, _ := path.Match(d.pattern, p)
		name, _ := path.Match(d.pattern, path.Base(p))
		if c.excusing && (whole || name) {
			c.seen[d.pattern] = true
			return true
		}
	}
	return false
}

func TestSameAsNVIDIAsGenerator(t *testing.T) {
	seen := map[string]bool{}
	for name, m := range machines() {
		t.Run(name, func(t *testing.T) {
			c := &compared{t: t, seen: seen}
			root := m.Make(t)
			spec := theirs(t, name, root)
			s := nvidia.New(root)
			inv, err := s.Inventory(context.Background(), devices.Needs{})
			if err != nil {
				t.Fatal(err)
			}
			all := devices.Ask{Capabilities: []string{"all"}}
			c.eachDevice(root, spec, s, inv, all)
			c.driver(m, root, spec, s, inv, all)
			c.excusing = true
			c.eachDevice(root, spec, s, inv, devices.Ask{})
			c.driver(m, root, spec, s, inv, devices.Ask{})
		})
	}
	for _, d := range slices.Concat(theirsAlone, oursAlone) {
		if !seen[d.pattern] {
			t.Errorf("%s is no difference any more (%s): take it out", d.pattern, d.reason)
		}
	}
}

// eachDevice compares the nodes of each GPU and each partition, by the names that both know: "0", "1:0".
func (c *compared) eachDevice(root string, spec *specs.Spec, s *nvidia.Source, inv devices.Inventory, ask devices.Ask) {
	usable := 0
	for _, d := range inv.Devices {
		if partitioned := slices.ContainsFunc(inv.Devices, func(o devices.Device) bool { return o.Parent == d.Name }); partitioned {
			continue // a GPU in MIG mode computes by its partitions alone: theirs leaves it out, ours refuses it
		}
		usable++
		at := slices.IndexFunc(spec.Devices, func(o specs.Device) bool { return slices.Contains(d.Aliases, o.Name) })
		if at < 0 {
			c.t.Errorf("theirs does not have %s %v", d.Name, d.Aliases)
			continue
		}
		edits, _ := s.Edits(inv, []devices.Device{d}, ask, devices.Container{})
		c.numbers(root, slices.Concat(spec.Devices[at].ContainerEdits.DeviceNodes, spec.ContainerEdits.DeviceNodes), edits.DeviceNodes)
		c.same("nodes of "+d.Name, append(nodes(root, spec.Devices[at].ContainerEdits), nodes(root, spec.ContainerEdits)...), nodes("", edits.ContainerEdits))
	}
	if len(spec.Devices) != usable {
		c.t.Errorf("theirs has %d devices, ours %d", len(spec.Devices), usable)
	}
}

// nodes lists device nodes by their path in the container; theirs carries the root in front where it is the host's path.
func nodes(root string, e specs.ContainerEdits) []string {
	var all []string
	for _, n := range e.DeviceNodes {
		all = append(all, under(root, n.Path))
	}
	return all
}

// numbers compares the nodes that both have. Theirs writes what the numbers were when the file was made; ours reads them at each start,
// and this is both at once. Theirs gives the right to make nodes (rwm), ours does not.
func (c *compared) numbers(root string, theirs, ours []*specs.DeviceNode) {
	for _, n := range ours {
		at := slices.IndexFunc(theirs, func(o *specs.DeviceNode) bool { return under(root, o.Path) == n.Path })
		if at < 0 {
			continue // said elsewhere
		}
		if o := theirs[at]; o.Major != 0 && (o.Major != n.Major || o.Minor != n.Minor) || under(root, o.HostPath) != n.HostPath && o.HostPath != "" {
			c.t.Errorf("%s: theirs %+v, ours %+v", n.Path, o, n)
		}
		if n.Permissions != "rw" || n.Type != "c" {
			c.t.Errorf("%s: %+v", n.Path, n)
		}
	}
}

// driver compares files: which of the host are given, and by which names a program finds the libraries.
func (c *compared) driver(m nvidiatest.Machine, root string, spec *specs.Spec, s *nvidia.Source, inv devices.Inventory, ask devices.Ask) {
	edits, found := s.Edits(inv, inv.Devices[:1], ask, devices.Container{})
	// Theirs warns, and describes a container in which CUDA does not start.
	if refused := slices.ContainsFunc(found, func(f finding.Finding) bool { return f.ID == finding.GPUUVM }); refused != m.NoUVM {
		c.t.Errorf("ours finds %+v", found)
	}
	var sources, ours []string
	for _, mount := range spec.ContainerEdits.Mounts {
		sources = append(sources, resolved(c.t, root, mount.HostPath))
	}
	for _, mount := range edits.Mounts {
		ours = append(ours, mount.HostPath)
	}
	c.same("files of the host", sources, ours)
	c.names(root, spec, edits)
	for _, mount := range slices.Concat(spec.ContainerEdits.Mounts, edits.Mounts) {
		if !slices.Contains(mount.Options, "nosuid") || !slices.Contains(mount.Options, "nodev") || !slices.Contains(mount.Options, "rprivate") {
			c.t.Errorf("%s has the options %v", mount.ContainerPath, mount.Options)
		}
	}
	if len(edits.Hooks) > 0 || len(spec.ContainerEdits.Hooks) == 0 {
		c.t.Errorf("hooks: theirs has %d, ours %d", len(spec.ContainerEdits.Hooks), len(edits.Hooks))
	}
	// Of theirs, NVIDIA_CTK_LIBCUDA_DIR is for its hooks, and NVIDIA_VISIBLE_DEVICES=void is set for every container by package plan.
	if !slices.Equal(edits.Env, []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID"}) || len(spec.ContainerEdits.Env) != 2 {
		c.t.Errorf("environment: theirs %v, ours %v", spec.ContainerEdits.Env, edits.Env)
	}
}

// resolved is a file of the machine without links: ours names files so, theirs as it has found them.
func resolved(t *testing.T, root, p string) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		t.Fatal(err)
	}
	return under(root, real)
}

// names compares what a dlopen finds. Theirs binds files under their versioned names and makes the rest by hooks: create-symlinks says
// which links, and update-ldcache runs ldconfig, which makes one for each soname. Ours binds each name.
func (c *compared) names(root string, spec *specs.Spec, edits devices.Edits) {
	var want []string
	for _, h := range spec.ContainerEdits.Hooks {
		for i, arg := range h.Args {
			if _, link, ok := strings.Cut(arg, "::"); ok && i > 0 && h.Args[i-1] == "--link" {
				want = append(want, path.Base(under(root, link)))
			}
		}
	}
	var have []string
	for _, m := range edits.Mounts {
		have = append(have, path.Base(m.ContainerPath))
	}
	for _, name := range want {
		if !slices.Contains(have, name) && strings.Contains(name, ".so") && !c.excusing {
			c.t.Errorf("theirs makes the link %s, ours does not have that name", name)
		}
	}
	if !slices.Contains(want, "libcuda.so") || !slices.Contains(have, "libcuda.so.1") {
		c.t.Errorf("libcuda: theirs makes %v, ours %v", want, have)
	}
}
