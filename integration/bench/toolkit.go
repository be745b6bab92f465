package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/devices/nvidia/nvml"
	"hostrun.dev/hostrun/rootfs"
)

const (
	leastToolkit  = 1.4 // how much longer the toolkit's way may take at least: below that, hooks would be no reason
	mostInventory = 3 * time.Millisecond
)

// toolkitTable compares a container whose eight GPUs are described by hostrun, without hooks, with one that NVIDIA's own generator describes
// for the same machine, and whose hooks are NVIDIA's own program: the same runc, the same image, the same spec but for that. The machine is
// a tree of files like a DGX H100's. It also measures how long it takes to know the GPUs when nothing has changed.
func (w *world) toolkitTable(measure measurer) (table, error) {
	t := table{title: "Eight GPUs: by hostrun's edits, and by NVIDIA's CDI spec with its hooks",
		explain: "`runc run` of what hostrun spec prints, with the edits for eight GPUs of a tree of files like a DGX H100's; theirs are of nvidia-container-toolkit's generator, with its hooks, which do here what they do " +
			"for each container: links, ld.so.cache, compat libraries, parameters, memory limits. Both bind some twenty driver libraries."}
	root := filepath.Join(w.dir, "dgx")
	if err := writeMachine(root); err != nil {
		return t, err
	}
	hook, theirs, err := w.generated(root)
	if err != nil {
		return t, err
	}
	plain := func(*specs.Spec, string) error { return nil }
	var subjects []subject
	for _, s := range []struct {
		name, note string
		edit       func(spec *specs.Spec, image string) error
	}{
		{"runc run", "eight GPUs by hostrun's edits", func(spec *specs.Spec, image string) error { return ourEdits(spec, root, image) }},
		{"runc run", "eight GPUs by NVIDIA's generator, with its hooks", func(spec *specs.Spec, _ string) error { return theirEdits(spec, theirs, hook) }},
		{"runc run", "the same without GPUs", plain},
	} {
		bundle := filepath.Join(w.dir, fmt.Sprint("gpubundle", len(subjects)))
		if err := w.gpuBundle(bundle, s.edit); err != nil {
			return t, err
		}
		subjects = append(subjects, subject{name: s.name, note: s.note,
			steps: []command{w.command("runc", "--root", filepath.Join(w.dir, "runc"), "run", "--bundle", bundle, fmt.Sprint("gpus", len(subjects)))}})
	}
	if t.results, err = measure(subjects...); err != nil {
		return t, err
	}
	r := ratio(t.results[1].total, t.results[0].total)
	t.verdict = append(t.verdict, verdict{"toolkit's hooks / hostrun's edits", fmt.Sprintf("%.2f", r), fmt.Sprintf("at least %g", leastToolkit), r >= leastToolkit})
	hot, err := hotInventory(root, filepath.Join(w.dir, "dgxcache"))
	if err != nil {
		return t, err
	}
	t.limit("inventory of eight GPUs from a hot cache", hot.median(), mostInventory)
	return t, nil
}

// A maker lets a tree that is made for tests be made here; what would end a test ends the attempt.
type maker struct{ testing.TB }

func (maker) Helper()                      {}
func (maker) Fatal(args ...any)            { panic(errors.New(fmt.Sprint(args...))) }
func (maker) Fatalf(f string, args ...any) { panic(fmt.Errorf(f, args...)) }
func (maker) Skipf(f string, args ...any)  { panic(fmt.Errorf(f, args...)) }

func writeMachine(root string) (err error) {
	defer func() {
		if failed, ok := recover().(error); ok {
			err = failed
		}
	}()
	nvidiatest.H100().Write(maker{}, root)
	return nil
}

// The programs of NVIDIA's that are measured, in the directory -toolkit.
const (
	toolkitHook      = "nvidia-cdi-hook"
	toolkitGenerator = "generator"
)

// buildToolkit builds NVIDIA's program of hooks and its generator from the module of the oracle into dir. It takes the machine's network the first time.
func buildToolkit(dir string) error {
	say("building NVIDIA's generator and its hooks (once; some minutes)")
	source, err := filepath.Abs("integration/oracle")
	if err != nil {
		return err
	}
	module := filepath.Join(dir, "oracle.mod")
	for _, name := range []string{"mod", "sum"} {
		text, err := os.ReadFile(filepath.Join(source, "go."+name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "oracle."+name), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	// NVML's functions are looked for when they are called, as in NVIDIA's packages.
	lazy := "-ldflags=-s -w -extldflags=-Wl,-z,lazy"
	for _, args := range [][]string{
		{"build", "-o", filepath.Join(dir, toolkitHook), lazy, "github.com/NVIDIA/nvidia-container-toolkit/cmd/nvidia-cdi-hook"},
		{"test", "-c", "-o", filepath.Join(dir, toolkitGenerator), "."},
	} {
		cmd := exec.Command("go", append([]string{args[0], "-modfile=" + module, "-mod=mod"}, args[1:]...)...)
		cmd.Dir, cmd.Env = source, append(os.Environ(), "CGO_ENABLED=1", "CGO_CFLAGS=-O2 -w")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// generated has NVIDIA's generator describe the machine.
func (w *world) generated(root string) (hook string, spec *cdispecs.Spec, err error) {
	hook, generator := filepath.Join(w.toolkit, toolkitHook), filepath.Join(w.toolkit, toolkitGenerator)
	script := `mount --bind "$1/proc/driver" /proc/driver && mount --bind "$1/sys" /sys && exec "$2"`
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", root, generator)
	cmd.Env, cmd.Stderr = append(os.Environ(), "ORACLE_ROOT="+root, "ORACLE_MACHINE=h100"), os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return "", nil, fmt.Errorf("run NVIDIA's generator: %w", err)
	}
	spec = new(cdispecs.Spec)
	return hook, spec, json.Unmarshal(text, spec)
}

// gpuBundle makes a bundle of the profile "bare", edited, with a root of its own.
func (w *world) gpuBundle(bundle string, edit func(spec *specs.Spec, image string) error) error {
	root := filepath.Join(bundle, "rootfs")
	profile := filepath.Join(w.dir, "profiles", "bare.yaml")
	err := errors.Join(os.MkdirAll(root, 0o755), os.WriteFile(profile, []byte("image: "+imageName+"\ncommand: [\"true\"]\n"), 0o644))
	if err != nil {
		return err
	}
	for _, c := range []command{w.hostrun("up", "bare"), w.hostrun("stop", "bare"), w.command("ctr", "--namespace", namespace, "images", "mount", "--rw", fullName, root)} {
		if _, _, err := c.run(); err != nil {
			return err
		}
	}
	_, text, err := w.hostrun("spec", "bare").run()
	if err != nil {
		return err
	}
	var spec specs.Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	spec.Linux.CgroupsPath += filepath.Base(bundle)
	if err := edit(&spec, root); err != nil {
		return err
	}
	if text, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o644)
}

func ourEdits(spec *specs.Spec, root, image string) error {
	s := nvidia.New(root)
	inv, err := s.Inventory(context.Background(), devices.Needs{})
	if err != nil {
		return err
	}
	edits, found := s.Edits(inv, inv.Devices, devices.Ask{Kind: nvidia.Kind}, devices.Container{View: rootfs.Dir(image), Env: spec.Process.Env})
	if len(found) > 0 || len(inv.Devices) != 8 {
		return fmt.Errorf("eight GPUs can't be described: %+v", found)
	}
	for _, m := range edits.Mounts { // the machine is a directory of this one
		m.HostPath = filepath.Join(root, m.HostPath)
	}
	for _, n := range edits.DeviceNodes {
		n.HostPath = filepath.Join(root, n.HostPath)
	}
	return (&cdi.ContainerEdits{ContainerEdits: &edits.ContainerEdits}).Apply(spec)
}

func theirEdits(spec *specs.Spec, theirs *cdispecs.Spec, hook string) error {
	all := []*cdispecs.ContainerEdits{&theirs.ContainerEdits}
	for i := range theirs.Devices {
		if theirs.Devices[i].Name != "all" {
			all = append(all, &theirs.Devices[i].ContainerEdits)
		}
	}
	hooks := 0
	for _, e := range all {
		for _, h := range e.Hooks {
			h.Path = hook
			hooks++
		}
		if err := (&cdi.ContainerEdits{ContainerEdits: e}).Apply(spec); err != nil {
			return err
		}
	}
	if hooks < 4 || len(all) < 9 {
		return fmt.Errorf("NVIDIA's generator describes %d devices and %d hooks: that is not what was to be measured", len(all)-1, hooks)
	}
	return nil
}

// hotInventory measures how long it takes to know the GPUs, their users included, when NVML has been asked before.
func hotInventory(root, cache string) (sample, error) {
	answer := nvml.Answer{System: nvml.System{Driver: nvidiatest.H100().Driver, CUDA: "12.4"}}
	for _, g := range nvidiatest.DGX() {
		answer.GPUs = append(answer.GPUs, nvml.GPU{PCI: g.PCI, UUID: g.UUID, Name: g.Model, Capability: "9.0", Memory: 80 << 30})
	}
	asked := 0
	ask := func(context.Context, string, []string) nvml.Answer { asked++; return answer }
	var s sample
	for range 52 {
		source := nvidia.New(root, nvidia.WithCache(cache), nvidia.WithAsker(ask)) // a new one each time, as each command has
		begin := time.Now()
		inv, err := source.Inventory(context.Background(), devices.Needs{Users: true})
		if err != nil || len(inv.Devices) != 8 || inv.Devices[7].Memory != 80<<30 {
			return s, fmt.Errorf("the inventory has %d GPUs: %w", len(inv.Devices), err)
		}
		s.add(time.Since(begin))
	}
	if asked != 1 {
		return s, fmt.Errorf("NVML was asked %d times: the cache was not hot", asked)
	}
	return s[2:], nil
}
