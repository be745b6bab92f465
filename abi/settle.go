package abi

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// settle decides each field from the sources that tell it, the most trusted first, and records contradictions.
func (d *detector) settle() {
	d.settleVersion()
	d.settleFlags()
	d.settleSuffixes()
	d.settleBuiltins()
	d.checkArch()
}

// settleVersion completes the version. The binary wins over what lies beside it.
func (d *detector) settleVersion() {
	d.Version, d.Evidence["version"] = d.exactVersion()
	said := []string{d.Version.String() + ", by " + d.Evidence["version"]}
	differ := false
	add := func(v Version, source string) {
		if !sameRelease(v, d.Version) {
			differ = true
		}
		said = append(said, v.String()+", by "+source)
	}
	for _, v := range d.code.versions {
		add(v, "symbols of "+d.code.path)
	}
	if v, from := d.versionByLibrary(); v.Major != 0 && d.Implementation == "cpython" {
		add(v, from)
	}
	if d.detail != nil {
		if v, ok := hexVersion(uint32(d.detail.Implementation.HexVersion)); ok && d.Implementation == "cpython" {
			add(v, d.detail.file)
		}
	}
	if v, ok := parseVersion(d.vars["VERSION"]); ok {
		add(v, "VERSION in "+d.Evidence["sysconfig"])
	}
	if differ {
		d.conflict("version", said...)
	}
}

// exactVersion looks for the micro version where no symbol told it: constants of the binary, build details, headers.
func (d *detector) exactVersion() (Version, string) {
	if d.Version.Micro >= 0 && d.Version.Level != "" {
		return d.Version, d.Evidence["version"]
	}
	if v, ok := versionString(d.object, d.Version); ok {
		return v, "constant " + v.String() + " in " + d.code.path
	}
	if d.detail != nil {
		if v, ok := hexVersion(uint32(d.detail.Implementation.HexVersion)); ok {
			return v, d.detail.file
		}
	}
	if v, file, ok := d.headerVersion(); ok {
		return v, file
	}
	return d.Version, d.Evidence["version"]
}

// headerVersion reads PY_VERSION of Include/patchlevel.h.
func (d *detector) headerVersion() (Version, string, bool) {
	name := path.Base(d.Stdlib)
	for _, dir := range []string{name, name + "m", name + "d", name + "dm"} {
		file := path.Join(d.BasePrefix, "include", dir, "patchlevel.h")
		b, err := d.view.ReadFile(file, maxScript)
		if err != nil {
			continue
		}
		_, rest, ok := strings.Cut(string(b), "#define PY_VERSION")
		if !ok {
			continue
		}
		_, rest, _ = strings.Cut(rest, "\"")
		if v, ok := parseVersion(rest); ok {
			return v, file, true
		}
	}
	return Version{}, "", false
}

// settleFlags decides the build's kind: symbols first, then the sysconfig data and the build details.
func (d *detector) settleFlags() {
	d.Debug = d.flag("debug", "Py_DEBUG", "d", d.code.debug, d.code.symbols && !d.code.pypy)
	free := d.code.freeThreaded
	d.FreeThreaded = d.flag("free_threaded", "Py_GIL_DISABLED", "t", free != nil && *free || d.threaded(), free != nil)
	// Since 3.13 a build with trace-refs has the same binary interface and the same file names as one without.
	d.TraceRefs = d.flag("trace_refs", "Py_TRACE_REFS", "", d.code.traceRefs, false)
	if d.code.traceRefs {
		d.TraceRefs = true
	}
	d.ABIFlags = d.flags()
}

// flag decides one flag by what the binary says, if it says anything for sure, and compares the rest.
func (d *detector) flag(field, variable, letter string, binary, sure bool) bool {
	value := binary
	var said []string
	if sure {
		said = append(said, fmt.Sprintf("%t, by symbols of %s", binary, d.code.path))
		d.prove(field, "symbols of "+d.code.path)
	}
	differ := false
	add := func(v bool, source string) {
		if len(said) == 0 {
			value = v
			d.prove(field, source)
		}
		differ = differ || v != value
		said = append(said, fmt.Sprintf("%t, by %s", v, source))
	}
	if v, ok := d.vars[variable]; ok {
		add(v == "1", variable+" in "+d.Evidence["sysconfig"])
	}
	if d.detail != nil && letter != "" {
		add(slices.Contains(d.detail.ABI.Flags, letter), "abi.flags in "+d.detail.file)
	}
	if differ {
		d.conflict(field, said...)
	}
	return value
}

// flags gives sys.abiflags: what the sysconfig data says, if it says it; else composed in configure's order.
func (d *detector) flags() string {
	if d.Implementation == "pypy" {
		d.prove("abiflags", "implementation")
		return ""
	}
	if v, ok := d.vars["ABIFLAGS"]; ok {
		d.prove("abiflags", "ABIFLAGS in "+d.Evidence["sysconfig"])
		return v
	}
	if m := soabiText.FindStringSubmatch(strings.TrimSuffix(strings.TrimPrefix(d.tableSuffix(), "."), ".so")); m != nil {
		d.prove("abiflags", "suffix table of "+d.code.path)
		return m[3]
	}
	d.prove("abiflags", "symbols of "+d.code.path)
	s := ""
	if d.FreeThreaded {
		s = "t"
	}
	if d.Debug {
		s += "d"
	}
	if d.Version.before(3, 8) {
		s += "m"
	}
	return s
}

// table is suffixTable, read once.
func (d *detector) table() []string {
	if !d.tableRead {
		d.suffixTable, d.tableRead = suffixTable(d.object), true
	}
	return d.suffixTable
}

func (d *detector) tableSuffix() string {
	if table := d.table(); len(table) > 0 {
		return table[0]
	}
	return ""
}

func (d *detector) fromTable() string { return "suffix table of " + d.code.path }

func (d *detector) settleBuiltins() {
	d.Builtins = d.code.builtins
	if len(d.Builtins) > 0 {
		d.prove("builtins", d.code.builtinsFrom)
	}
}

// checkArch compares the machine of the binary with the one that the SOABI names.
func (d *detector) checkArch() {
	triplet := d.Multiarch
	if triplet == "" || multiarchMachine(triplet) == d.Arch {
		return
	}
	d.conflict("arch", d.Arch+", by "+d.Evidence["arch"], triplet+", by "+d.Evidence["multiarch"])
}
