package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/rootfs"
)

// fits compare what a container would use of accelerators of one kind with what was chosen for it; source has described them, and view
// has the image's files, or is nil.
var fits = map[string]func(source devices.Source, facts *plan.Facts, g devices.Grant, view *rootfs.View) []finding.Finding{
	devices.KindGPU: fitGPUs,
	devices.KindNPU: fitNPUs,
}

func fitGPUs(_ devices.Source, facts *plan.Facts, g devices.Grant, view *rootfs.View) []finding.Finding {
	w := nvidia.Wants{Env: environment(facts), File: g.Ask.File, Line: g.Ask.Line}
	if t := plan.Frameworks(*facts, "").Torch; t != nil {
		w.Torch, w.TorchFile, w.TorchCUDA, w.Archs, w.PTX = t.Version, t.Dir+"/version.py", t.CUDA, t.SASS, t.PTX
	}
	if c := facts.Host.CUDA; c != nil {
		w.ToolkitVersion, w.ToolkitFile = c.Version, c.Real
	}
	if view != nil {
		w.Compat = nvidia.ImageCompat(view, w.Env)
	}
	w.Absent = withoutCUDA(facts, view, w.Env)
	w.NoCompat = g.Ask.Options["compat"] == "off"
	for _, m := range g.Edits.Mounts {
		w.Bound = append(w.Bound, m.ContainerPath)
	}
	return nvidia.Fit(inventoryOf(facts.Inventories, g.Ask.Kind), g.Chosen, w)
}

// withoutCUDA are the directories of LD_LIBRARY_PATH in which the container will have no libcuda: they are not there, or are the stubs of
// the machine's toolkit, which are masked. They are not known where the container's files are not.
func withoutCUDA(facts *plan.Facts, view *rootfs.View, env []string) []string {
	if view == nil {
		return nil
	}
	all := withBinds(view, &facts.Profile)
	var absent []string
	for dir := range strings.SplitSeq(envMap(env)["LD_LIBRARY_PATH"], ":") {
		dir = path.Clean(dir)
		r, err := all.Resolve(dir)
		masked := facts.Host.CUDA != nil && facts.Profile.Rootfs == profiles.HostRoot && slices.Contains(facts.Host.CUDA.Stubs, r.Path)
		if err != nil || masked || !all.Exists(path.Join(dir, "libcuda.so")) && !all.Exists(path.Join(dir, "libcuda.so.1")) {
			absent = append(absent, dir)
		}
	}
	return absent
}

// informed adds to an ask what is known of torch and the profile does not say: for GPUs the CUDA version that it was built with, which decides
// whether the machine's forward-compatibility package is given; for NPUs its ABI of the C++ library, which decides on the libraries of ATB.
func informed(a devices.Ask, facts *plan.Facts) devices.Ask {
	t := plan.Frameworks(*facts, "").Torch
	if t == nil {
		return a
	}
	name, value := "cuda", t.CUDA
	switch {
	case a.Kind == devices.KindNPU:
		name, value = ascend.OptionABI, t.CXX11ABI
	case a.Kind != devices.KindGPU:
		return a
	}
	if a.Options[name] != "" || value == "" {
		return a
	}
	a.Options = maps.Clone(a.Options)
	if a.Options == nil {
		a.Options = map[string]string{}
	}
	a.Options[name] = value
	return a
}

func fitNPUs(source devices.Source, facts *plan.Facts, g devices.Grant, view *rootfs.View) []finding.Finding {
	var machine ascend.Facts
	inv := inventoryOf(facts.Inventories, g.Ask.Kind)
	if len(inv.Facts) > 0 && json.Unmarshal(inv.Facts, &machine) != nil {
		return nil // of a CDI file, or a recording by hand
	}
	w := ascend.Wants{NPUs: len(g.Chosen), All: len(inv.Devices), Chips: chipsOf(g.Chosen), Driver: machine.Driver, Image: facts.Image.Reference,
		Env: slices.Concat(environment(facts), g.Edits.Env), Entrypoint: facts.Profile.Entrypoint != nil,
		NetworkMode: facts.Profile.NetworkMode, SharedBytes: facts.Profile.ShmSize, Optional: g.Ask.Optional, File: g.Ask.File, Line: g.Ask.Line}
	if g.Ask.Key == "" { // of a profile that asks for none
		at := facts.Profile.Lines["environment.ASCEND_RT_VISIBLE_DEVICES"]
		w.File, w.Line = at.File, at.Line
	}
	for _, v := range facts.Profile.Volumes {
		if v.Type == "bind" {
			w.HostMounts = append(w.HostMounts, v.Target)
		}
	}
	if view != nil {
		w.ImageCANN = firstToolkit(view, w.Env)
		w.Toolkit = firstToolkit(withBinds(view, &facts.Profile), w.Env)
	}
	if own, ok := source.(*ascend.Source); ok { // a CDI file does not say where its driver is from
		var lent *ascend.Toolkit
		if w.Driver, lent = own.Borrowed(g.Ask, view); lent != nil {
			w.Toolkit = lent
		}
	}
	describePackages(&w, facts)
	return append(renamedNPUs(&facts.Profile), ascend.Fit(w)...)
}

// renamedNPUs are nodes that the profile wants under another name, which changes nothing of what they are.
func renamedNPUs(p *profiles.Profile) []finding.Finding {
	var all []finding.Finding
	for _, d := range p.Devices {
		if f, wrong := ascend.CheckRename(d.Source, d.Target); wrong {
			at := p.Lines[d.Key]
			f.File, f.Line = at.File, at.Line
			all = append(all, f)
		}
	}
	return all
}

func chipsOf(chosen []devices.Device) []string {
	var chips []string
	for _, d := range chosen {
		var facts ascend.DeviceFacts
		if json.Unmarshal(d.Facts, &facts) == nil && facts.Chip != "" && !slices.Contains(chips, facts.Chip) {
			chips = append(chips, facts.Chip)
		}
	}
	return chips
}

// firstToolkit is the CANN that programs of the environment find; nil for none.
func firstToolkit(view *rootfs.View, env []string) *ascend.Toolkit {
	all := ascend.FindToolkits(view, env)
	if len(all) == 0 {
		return nil
	}
	return &all[0]
}

// withBinds is what the container will see of its image below the profile's own binds. One that can't be mounted is told elsewhere.
func withBinds(view *rootfs.View, p *profiles.Profile) *rootfs.View {
	for _, v := range p.Volumes {
		if v.Type != "bind" {
			continue
		}
		if mounted, err := rootfs.Mounted(view, rootfs.Mount{Source: v.Source, Destination: v.Target}); err == nil {
			view = mounted
		}
	}
	return view
}

// describePackages fills in what the container's Python would import, as far as files tell.
func describePackages(w *ascend.Wants, facts *plan.Facts) {
	found := plan.Frameworks(*facts, "")
	if t := found.Torch; t != nil {
		w.Torch, w.TorchCUDA, w.CXX11ABI = t.Version, t.CUDA, t.CXX11ABI
	}
	if n := found.TorchNPU; n != nil {
		w.TorchNPU, w.Autoload = n.Version, n.Autoload != ""
	}
	if len(facts.Image.Pythons) > 0 {
		v := facts.Image.Pythons[0].Version
		w.Python = fmt.Sprintf("%d.%d", v.Major, v.Minor)
	}
	installed := map[string]string{}
	packages := facts.Image.Packages
	if facts.Host.Python != nil {
		packages = slices.Concat(facts.Host.Python.Packages, packages)
	}
	for _, p := range packages {
		installed[host.Normalise(p.Name)] = p.Version
	}
	w.VLLMAscend = installed["vllm-ascend"]
	if len(installed) == 0 {
		return // not known
	}
	for _, name := range ascend.TBEModules {
		if _, ok := installed[name]; !ok {
			w.Absent = append(w.Absent, name)
		}
	}
}
