package ascend

import (
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// A Toolkit is an installation of CANN.
type Toolkit struct {
	Directory string `json:"directory"` // as the environment or the usual place names it
	// Real is Directory without links: what set_env.sh finds by readlink -f. It may hold links into directories beside it.
	Real       string   `json:"real"`
	Version    string   `json:"version,omitempty"` // "8.2.RC1"; "" when no file tells
	Inner      string   `json:"inner,omitempty"`   // V100R001C22SPC001B231
	Compatible []string `json:"compatible,omitempty"`
	Listed     bool     `json:"listed"` // compatible_version is there: CANN 9 has none
	Machine    string   `json:"machine,omitempty"`
	// Chips have built kernels: "910b". None where the kernels' package is not installed, or lies elsewhere.
	Chips []string `json:"chips,omitempty"`
	From  string   `json:"from,omitempty"` // the file that tells the version
}

// toolkitVariables name the toolkit in the environment that set_env.sh makes, and in CANN images.
var toolkitVariables = []string{"ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"}

// valueOf returns the last value of a variable in a list of NAME=VALUE, as execve(2)'s readers see it.
func valueOf(env []string, name string) (string, bool) {
	for _, kv := range slices.Backward(env) {
		if n, value, ok := strings.Cut(kv, "="); ok && n == name {
			return value, true
		}
	}
	return "", false
}

// toolkitOf returns the variable of env that names a toolkit, and where; "" for none.
func toolkitOf(env []string) (variable, dir string) {
	for _, name := range toolkitVariables {
		if dir, ok := valueOf(env, name); ok && strings.HasPrefix(dir, "/") {
			return name, path.Clean(dir)
		}
	}
	return "", ""
}

// FindToolkits lists the installations of CANN in a tree, the one that env names first, then the one that is linked as current.
func FindToolkits(view *rootfs.View, env []string) []Toolkit {
	var candidates []string
	if _, dir := toolkitOf(env); dir != "" {
		candidates = append(candidates, dir)
	}
	base := usualPlace
	candidates = append(candidates, base+"/cann", base+"/ascend-toolkit/latest", base+"/latest")
	for _, parent := range []string{base, base + "/ascend-toolkit"} {
		for _, name := range slices.Backward(names(view, parent)) {
			if strings.HasPrefix(name, "cann-") || parent != base && name[0] >= '0' && name[0] <= '9' {
				candidates = append(candidates, parent+"/"+name)
			}
		}
	}
	var all []Toolkit
	for _, dir := range candidates {
		t, ok := readToolkit(view, dir)
		if ok && !slices.ContainsFunc(all, func(o Toolkit) bool { return o.Real == t.Real }) {
			all = append(all, t)
		}
	}
	return all
}

// readToolkit describes the toolkit in dir; false where there is none.
func readToolkit(view *rootfs.View, dir string) (Toolkit, bool) {
	r, err := view.Resolve(dir)
	if err != nil || !view.IsDir(dir) {
		return Toolkit{}, false
	}
	t := Toolkit{Directory: dir, Real: r.Path}
	t.readInfo(view)
	if t.Version == "" {
		t.readConfig(view)
	}
	if t.Version == "" && !view.Exists(dir+"/lib64/libascendcl.so") && !view.Exists(dir+"/set_env.sh") {
		return t, false
	}
	kernels := dir + "/opp/built-in/op_impl/ai_core/tbe/kernel"
	for _, f := range families {
		if slices.ContainsFunc(f.kernels, func(k string) bool { return built(names(view, kernels+"/"+k)) }) {
			t.Chips = append(t.Chips, f.tag)
		}
	}
	return t, true
}

// built tells a package of kernels from the directory ops_oam, which every toolkit brings for chips of all sorts.
func built(entries []string) bool {
	return slices.ContainsFunc(entries, func(name string) bool { return name != "ops_oam" })
}

// readInfo reads <machine>-linux/ascend_toolkit_install.info, which all toolkits have had.
func (t *Toolkit) readInfo(view *rootfs.View) {
	for _, name := range names(view, t.Directory) {
		machine, ok := strings.CutSuffix(name, "-linux")
		if !ok {
			continue
		}
		t.Machine = machine
		file := t.Directory + "/" + name + "/ascend_toolkit_install.info"
		values := parseKeyValues(text(view, file))
		if values["version"] == "" {
			continue
		}
		t.Version, t.Inner, t.From = release(values["version"]), values["innerversion"], file
		list, listed := values["compatible_version"]
		t.Compatible, t.Listed = parseTrains(list), listed
		return
	}
}

// readConfig takes the version from version.cfg: toolkit_running_version=[8.2.0.2.220:8.2.RC2].
func (t *Toolkit) readConfig(view *rootfs.View) {
	file := t.Directory + "/version.cfg"
	values := parseKeyValues(text(view, file))
	for _, key := range []string{"toolkit_running_version", "runtime_running_version", "toolkit_installed_version", "runtime_installed_version"} {
		if _, version, ok := strings.Cut(strings.Trim(values[key], "[]"), ":"); ok && version != "" {
			t.Version, t.From = release(strings.Trim(version, "[] ")), file
			return
		}
	}
}

// release writes a version in one way: the vendor's files have 24.1.rc3 and 24.1.RC3.
func release(version string) string { return strings.ToUpper(strings.TrimSpace(version)) }

// setEnv are the directories that set_env.sh puts in front of list variables, relative to the toolkit and in its order; %s is the
// machine's name.
type setEnv map[string][]string

const tbe = "opp/built-in/op_impl/ai_core/tbe"

var (
	// setEnvNow is that of CANN from 8.5 on (hicann/runtime, scripts/package/runtime/set_env.sh).
	setEnvNow = setEnv{
		"PATH":              {"bin", "tools/ccec_compiler/bin", "tools/profiler/bin", "tools/ascend_system_advisor/asys", "tools/show_kernel_debug_data", "tools/msobjdump"},
		"LD_LIBRARY_PATH":   {"lib64", "lib64/plugin/opskernel", "lib64/plugin/nnengine", tbe + "/op_tiling/lib/linux/%s"},
		"PYTHONPATH":        {"python/site-packages", tbe},
		"CMAKE_PREFIX_PATH": {"toolkit/tools/tikicpulib/lib/cmake", "lib64/cmake"},
	}
	// setEnvLatest is that which the installers of ascend-toolkit write beside latest: as the environment of their images has it.
	setEnvLatest = setEnv{
		"PATH":            {"bin", "compiler/ccec_compiler/bin", "tools/ccec_compiler/bin"},
		"LD_LIBRARY_PATH": {"tools/aml/lib64", "tools/aml/lib64/plugin", "lib64", "lib64/plugin/opskernel", "lib64/plugin/nnengine", tbe + "/op_tiling/lib/linux/%s"},
		"PYTHONPATH":      {"python/site-packages", tbe},
	}
)

// environment is what set_env.sh sets, computed by its own rules without running it: the values of single variables, and the
// directories that go in front of lists. Directories that are not there are left out: to no program they make a difference.
func (t Toolkit) environment(view *rootfs.View) (single []string, lists map[string][]string) {
	home := t.home()
	single = []string{
		"ASCEND_TOOLKIT_HOME=" + home, "ASCEND_HOME_PATH=" + home, "ASCEND_OPP_PATH=" + home + "/opp",
		"ASCEND_AICPU_PATH=" + home, "TOOLCHAIN_HOME=" + home + "/toolkit",
	}
	rules := setEnvNow
	if t.linked() || path.Base(path.Dir(t.Directory)) == "ascend-toolkit" {
		rules = setEnvLatest
	}
	lists = map[string][]string{}
	for name, dirs := range rules {
		for _, dir := range dirs {
			if dir = home + "/" + strings.ReplaceAll(dir, "%s", t.Machine); view.IsDir(dir) {
				lists[name] = append(lists[name], dir)
			}
		}
	}
	return single, lists
}

// linked toolkits are reached by ascend-toolkit/latest, whose entries are links into directories beside it (../8.2.RC2/runtime).
func (t Toolkit) linked() bool { return path.Base(t.Directory) == "latest" }

// home is the directory that the variables name. Before 8.5 they named ascend-toolkit/latest itself.
func (t Toolkit) home() string {
	if t.linked() {
		return t.Directory
	}
	return t.Real
}

// A bound is a directory of the host that a container gets at a place.
type bound struct{ source, destination string }

// mounts are the directories that bring the toolkit: its own, or the one in which latest lies, and those outside of it into which
// its first entries lead.
func (t Toolkit) mounts(view *rootfs.View) []bound {
	whole := bound{t.Real, t.Real}
	switch {
	case t.linked() && path.Dir(t.Directory) == usualPlace: // beside the driver
		whole.destination = t.Directory
	case t.linked():
		whole.destination = path.Dir(t.Directory)
		whole.source = whole.destination
		if r, err := view.Resolve(whole.destination); err == nil {
			whole.source = r.Path
		}
	}
	all := []bound{whole}
	for _, name := range names(view, t.Real) {
		target, err := view.Readlink(t.Real + "/" + name)
		if err != nil {
			continue
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Join(t.Real, target)
		}
		target = path.Clean(target)
		inside := slices.ContainsFunc(all, func(b bound) bool { return target == b.destination || strings.HasPrefix(target, b.destination+"/") })
		if r, err := view.Resolve(target); err == nil && !inside && strings.Count(target, "/") > 1 { // not all of /usr
			all = append(all, bound{r.Path, target})
		}
	}
	return all
}
