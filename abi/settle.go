package abi

import (
	"fmt"
	"path"
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
		add(contains(d.detail.ABI.Flags, letter), "abi.flags in "+d.detail.file)
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

func (d *detector) tableSuffix() string {
	if table := d.table(); len(table) > 0 {
		return table[0]
	}
	return ""
}

// table is suffixTable, read once.
func (d *detector) table() []string {
	if d.Suffixes == nil {
		d.Suffixes = suffixTable(d.object)
	}
	return d.Suffixes
}

func (d *detector) settleSuffixes() {
	switch {
	case d.Implementation == "pypy":
		d.settlePyPy()
		return
	case d.vars["EXT_SUFFIX"] != "":
		d.takeSysconfig()
	case d.detail != nil && d.detail.ABI.ExtensionSuffix != "":
		d.takeDetails()
	default:
		d.takeTable()
	}
	if d.Multiarch == "" {
		if m := soabiText.FindStringSubmatch(d.SOABI); m != nil {
			d.Multiarch = m[4]
			d.prove("multiarch", "soabi")
		}
	}
}

func (d *detector) takeSysconfig() {
	file := d.Evidence["sysconfig"]
	d.ExtSuffix, d.SOABI, d.Multiarch = d.vars["EXT_SUFFIX"], d.vars["SOABI"], d.vars["MULTIARCH"]
	d.prove("ext_suffix", "EXT_SUFFIX in "+file)
	d.prove("soabi", "SOABI in "+file)
	d.prove("multiarch", "MULTIARCH in "+file)
	suffixes := []string{d.ExtSuffix}
	if alt := strings.Trim(d.vars["ALT_SOABI"], "\"'"); strings.HasPrefix(alt, "cpython-") {
		suffixes = append(suffixes, "."+alt+".so")
	}
	d.prove("suffixes", "EXT_SUFFIX and ALT_SOABI in "+file)
	d.Suffixes = append(suffixes, d.stableSuffix(), ".so")
	want := fmt.Sprintf("cpython-%d%d%s", d.Version.Major, d.Version.Minor, d.binaryFlags())
	if d.SOABI == want || strings.HasPrefix(d.SOABI, want+"-") {
		return
	}
	said := []string{want + ", by version and symbols of " + d.code.path, d.SOABI + ", by " + d.Evidence["soabi"]}
	if table := suffixTable(d.object); len(table) > 0 {
		said = append(said, strings.TrimSuffix(strings.TrimPrefix(table[0], "."), ".so")+", by suffix table of "+d.code.path)
		if table[0] == d.ExtSuffix {
			return // a build with a SOABI of its own
		}
		d.Suffixes = table
		d.prove("suffixes", "suffix table of "+d.code.path)
	}
	d.conflict("soabi", said...)
}

// binaryFlags are the flags that the SOABI must carry if the sysconfig data fits the binary.
func (d *detector) binaryFlags() string {
	s := ""
	if d.FreeThreaded {
		s = "t"
	}
	if d.Debug {
		s += "d"
	}
	if d.Version.before(3, 8) && strings.Contains(d.ABIFlags, "m") {
		s += "m"
	}
	return s
}

// stableSuffix is the suffix of the stable binary interface; 3.15's free-threaded builds have one of their own (PEP 803).
func (d *detector) stableSuffix() string {
	if d.FreeThreaded && !d.Version.before(3, 15) {
		return ".abi3t.so"
	}
	return ".abi3.so"
}

func (d *detector) takeDetails() {
	file := d.detail.file
	d.ExtSuffix, d.Multiarch = d.detail.ABI.ExtensionSuffix, d.detail.Implementation.Multiarch
	d.SOABI = strings.TrimSuffix(strings.TrimPrefix(d.ExtSuffix, "."), ".so")
	d.prove("ext_suffix", "abi.extension_suffix in "+file)
	d.prove("soabi", "abi.extension_suffix in "+file)
	d.prove("multiarch", "implementation._multiarch in "+file)
	if table := suffixTable(d.object); len(table) > 0 {
		d.Suffixes = table
		d.prove("suffixes", "suffix table of "+d.code.path)
		return
	}
	d.Suffixes = []string{d.ExtSuffix, d.stableSuffix(), ".so"}
	d.prove("suffixes", "abi in "+file)
}

func (d *detector) takeTable() {
	table := d.table()
	if len(table) == 0 {
		return
	}
	d.ExtSuffix = table[0]
	d.SOABI = strings.TrimSuffix(strings.TrimPrefix(d.ExtSuffix, "."), ".so")
	for _, field := range []string{"suffixes", "ext_suffix", "soabi"} {
		d.prove(field, "suffix table of "+d.code.path)
	}
}

// settlePyPy computes what PyPy's sysconfig computes at import (lib_pypy/_sysconfigdata.py) from the table of suffixes
// in its library, or the names of its own modules.
func (d *detector) settlePyPy() {
	table, from := suffixTable(d.object), "constants of "+d.code.path
	if len(table) == 0 {
		table, from = d.moduleSuffixes(), "module names in "+d.Stdlib
	}
	if len(table) == 0 {
		return
	}
	d.ExtSuffix, d.Suffixes = table[0], table
	parts := strings.SplitN(strings.TrimSuffix(strings.TrimPrefix(d.ExtSuffix, "."), ".so"), "-", 3)
	d.SOABI = strings.Join(parts[:min(2, len(parts))], "-")
	if len(parts) == 3 {
		d.Multiarch = parts[2]
	}
	for _, field := range []string{"suffixes", "ext_suffix", "soabi", "multiarch"} {
		d.prove(field, from)
	}
}

// moduleSuffixes takes the suffix from a native module of PyPy's own standard library.
func (d *detector) moduleSuffixes() []string {
	entries, err := d.view.ReadDir(d.Stdlib)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if _, rest, ok := strings.Cut(e.Name(), "."); ok && taggedSuffix.MatchString("."+rest) {
			return []string{"." + rest, ".so"}
		}
	}
	return nil
}

func (d *detector) settleBuiltins() {
	d.Builtins = d.code.builtins
	if len(d.Builtins) > 0 {
		d.prove("builtins", "PyInit symbols of "+d.code.path)
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
