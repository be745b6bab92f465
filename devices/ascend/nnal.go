package ascend

import (
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

// OptionABI is the option of an ask that says for which ABI of the C++ library torch is built, "0" or "1": _GLIBCXX_USE_CXX11_ABI. Profiles
// do not write it; it is read from torch's own files.
const OptionABI = "cxx_abi"

// atbVariable names the acceleration library's directory; its last part says the ABI.
const atbVariable = "ATB_HOME_PATH"

// An nnal is CANN's package of acceleration libraries (ATB), which is installed beside a toolkit in both ABIs of the C++ library, and
// which torch_npu loads for some operators.
type nnal struct {
	directory string   // all of it, with the directories that latest leads to: /usr/local/Ascend/nnal
	home      string   // in which the ABIs lie: /usr/local/Ascend/nnal/atb/latest/atb
	script    string   // set_env.sh, "" for none
	abis      []string // "0", "1"
	version   string
}

// findNNAL returns the package that lies beside a toolkit: beside cann-8.5.0, or beside ascend-toolkit.
func findNNAL(view *rootfs.View, t Toolkit) (nnal, bool) {
	for _, dir := range []string{t.Directory, t.Real} {
		for range 2 {
			if dir = path.Dir(dir); dir == "/" {
				break
			}
			if n, ok := readNNAL(view, dir+"/nnal"); ok {
				return n, true
			}
		}
	}
	return nnal{}, false
}

func readNNAL(view *rootfs.View, dir string) (nnal, bool) {
	releases := []string{"latest"}
	for _, name := range slices.Backward(names(view, dir+"/atb")) {
		if name[0] >= '0' && name[0] <= '9' {
			releases = append(releases, name)
		}
	}
	for _, release := range releases {
		n := nnal{directory: dir, home: path.Join(dir, "atb", release, "atb")}
		for _, abi := range []string{"0", "1"} {
			if view.IsDir(n.home + "/cxx_abi_" + abi + "/lib") {
				n.abis = append(n.abis, abi)
			}
		}
		if len(n.abis) == 0 {
			continue
		}
		for _, script := range []string{dir + "/atb/set_env.sh", n.home + "/set_env.sh"} {
			if n.script == "" && view.Exists(script) {
				n.script = script
			}
		}
		n.version = atbRelease(text(view, path.Join(dir, "atb", release, "version.info")))
		return n, true
	}
	return nnal{}, false
}

// atbRelease reads "Ascend-cann-atb : 8.2.RC1".
func atbRelease(info string) string {
	for line := range strings.Lines(info) {
		if name, version, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "Ascend-cann-atb") {
			return release(version)
		}
	}
	return ""
}

// addNNAL binds the package and sets what its set_env.sh sets, by its rules and without running it (cann/ascend-transformer-boost,
// scripts/set_env.sh): the libraries of torch's ABI, those of the newer one without torch. A profile that sets ATB_HOME_PATH chooses itself.
func (e *editor) addNNAL(t Toolkit) {
	n, ok := findNNAL(e.source.view, t)
	if !ok {
		return
	}
	home, ok := e.chooseATB(n)
	if !ok {
		return
	}
	e.bindNNAL(n)
	e.edits.Env = append(e.edits.Env, atbVariable+"="+home)
	e.edits.Env = append(e.edits.Env, literals(text(e.source.view, n.script))...)
	for name, dirs := range map[string][]string{"LD_LIBRARY_PATH": {"lib", "examples", "tests/atbopstest"}, "PATH": {"bin"}} {
		var there []string
		for _, dir := range dirs {
			if e.source.view.IsDir(home + "/" + dir) {
				there = append(there, home+"/"+dir)
			}
		}
		if len(there) > 0 {
			e.edits.PrependEnv = mergeFront(e.edits.PrependEnv, name, there)
		}
	}
}

// chooseATB returns the directory of one ABI; false where the package is not to be borrowed.
func (e *editor) chooseATB(n nnal) (home string, ok bool) {
	if own, set := valueOf(e.container.Env, atbVariable); set {
		own = path.Clean("/" + own)
		return own, strings.HasPrefix(own, n.directory+"/") && e.source.view.IsDir(own)
	}
	abi := e.ask.Options[OptionABI]
	switch {
	case slices.Contains(n.abis, abi):
	case abi != "":
		e.report(finding.Finding{
			ID: finding.AscendATB, Severity: finding.Warning, Subject: n.directory, Got: "cxx_abi_" + strings.Join(n.abis, ", cxx_abi_"), Want: n.home + "/cxx_abi_" + abi,
			Message: "the host's ATB has no libraries for torch, which is built with _GLIBCXX_USE_CXX11_ABI=" + abi + ": operators of torch_npu that need libatb.so fail",
			Remedy:  "install the nnal package of the toolkit's release in whole, or a torch of the other ABI; nothing, where the job uses none of these operators",
		})
		return "", false
	default:
		abi = n.abis[len(n.abis)-1]
	}
	return n.home + "/cxx_abi_" + abi, true
}

// bindNNAL binds the whole package, for latest is a link inside of it, and what lies outside of it if latest leads there.
func (e *editor) bindNNAL(n nnal) {
	origin := strings.TrimSpace("ATB " + n.version)
	e.bind(n.directory, n.directory, origin)
	for _, p := range []string{path.Dir(n.home), n.home} {
		target, err := e.source.view.Readlink(p)
		if err != nil {
			continue
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Join(path.Dir(p), target)
		}
		if target = path.Clean(target); !strings.HasPrefix(target, n.directory+"/") && strings.Count(target, "/") > 1 {
			e.bind(p, target, origin)
		}
	}
}

// literal is a variable that a script sets to a value which stands there: export ATB_WORKSPACE_MEM_ALLOC_GLOBAL=1 # ...
var literal = pattern.New(`(?m)^\s*export\s+((?:ATB|ASDOPS|LCCL)_[A-Z0-9_]+)=("[^"$\x60\\]*"|[A-Za-z0-9_.,:/+-]*)\s*(?:#.*)?$`)

// literals are the tuning variables of a set_env.sh; releases set others, to other values. What is made of other variables is left out.
func literals(script string) []string {
	var all []string
	for _, m := range literal.FindAllStringSubmatch(script, 128) {
		if m[1] != atbVariable {
			all = append(all, m[1]+"="+strings.Trim(m[2], `"`))
		}
	}
	return all
}
