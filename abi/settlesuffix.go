package abi

import (
	"fmt"
	"strings"
)

// settleSuffixes decides which files the importer takes for native modules.
func (d *detector) settleSuffixes() {
	if d.Implementation == "pypy" {
		d.settlePyPy()
		return
	}
	switch {
	case d.vars["EXT_SUFFIX"] != "":
		d.takeSysconfig()
	case len(d.detail.suffixes()) > 0:
		d.takeSuffix(d.detail.suffixes()[0], "suffixes in "+d.detail.file)
	case d.tableSuffix() != "":
		d.takeSuffix(d.tableSuffix(), d.fromTable())
	default:
		return
	}
	d.listSuffixes()
	d.checkSOABI()
}

// takeSysconfig takes what sysconfig itself would say.
func (d *detector) takeSysconfig() {
	file := d.Evidence["sysconfig"]
	d.ExtSuffix, d.SOABI, d.Multiarch = d.vars["EXT_SUFFIX"], d.vars["SOABI"], d.vars["MULTIARCH"]
	d.prove("ext_suffix", "EXT_SUFFIX in "+file)
	d.prove("soabi", "SOABI in "+file)
	d.prove("multiarch", "MULTIARCH in "+file)
}

// takeSuffix derives the names from the first suffix that the importer tries.
func (d *detector) takeSuffix(suffix, source string) {
	d.ExtSuffix, d.SOABI = suffix, soabiOf(suffix)
	d.prove("ext_suffix", source)
	d.prove("soabi", source)
	if m := soabiText.FindStringSubmatch(d.SOABI); m != nil && m[4] != "" {
		d.Multiarch = m[4]
		d.prove("multiarch", source)
	}
}

func soabiOf(suffix string) string { return strings.TrimSuffix(strings.TrimPrefix(suffix, "."), ".so") }

// listSuffixes makes the importer's list. Up to 3.12 it follows from the sysconfig data; later ones carry suffixes
// that only the build details and the table in the binary tell.
func (d *detector) listSuffixes() {
	if list := d.detail.suffixes(); len(list) > 1 {
		d.Suffixes = list
		d.prove("suffixes", "suffixes in "+d.detail.file)
		return
	}
	if !d.Version.before(3, 13) || d.vars == nil {
		if table := d.table(); len(table) > 0 {
			d.Suffixes = table
			d.prove("suffixes", d.fromTable())
			return
		}
	}
	d.Suffixes = []string{d.ExtSuffix}
	if alt := strings.Trim(d.vars["ALT_SOABI"], "\"'"); strings.HasPrefix(alt, "cpython-") {
		d.Suffixes = append(d.Suffixes, "."+alt+".so")
	}
	d.Suffixes = append(append(d.Suffixes, d.stableSuffixes()...), ".so")
	d.prove("suffixes", "EXT_SUFFIX and ALT_SOABI in "+d.Evidence["sysconfig"])
}

// stableSuffixes are those of the stable binary interface; since 3.15 there is one for free-threaded builds (PEP 803).
func (d *detector) stableSuffixes() []string {
	switch {
	case d.Version.before(3, 15):
		return []string{".abi3.so"}
	case d.FreeThreaded:
		return []string{".abi3t.so"}
	}
	return []string{".abi3.so", ".abi3t.so"}
}

// checkSOABI compares the names with what version and flags of the binary ask for. Where they differ, the table in the
// binary is what runs.
func (d *detector) checkSOABI() {
	want := fmt.Sprintf("cpython-%d%d%s", d.Version.Major, d.Version.Minor, d.binaryFlags())
	table := d.Suffixes
	if d.Evidence["suffixes"] != d.fromTable() {
		if d.SOABI == want || strings.HasPrefix(d.SOABI, want+"-") {
			return
		}
		table = d.table()
	}
	if len(table) > 0 && table[0] == d.ExtSuffix {
		return // a build with a name of its own
	}
	said := []string{want + ", by version and symbols of " + d.code.path, d.SOABI + ", by " + d.Evidence["soabi"]}
	if len(table) > 0 {
		said = append(said, soabiOf(table[0])+", by "+d.fromTable())
		d.Suffixes = table
		d.prove("suffixes", d.fromTable())
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

// settlePyPy computes what PyPy's sysconfig computes at import (lib-python's _sysconfigdata.py): the one suffix stands in
// its library, and in the names of its own modules; SOABI is its first two words.
func (d *detector) settlePyPy() {
	suffix, source := d.moduleSuffix(), "module names in "+d.Stdlib
	if suffix == "" {
		suffix, source = d.tableSuffix(), "constants of "+d.code.path
	}
	if suffix == "" {
		return
	}
	d.ExtSuffix, d.Suffixes = suffix, []string{suffix}
	parts := strings.SplitN(soabiOf(suffix), "-", 3)
	d.SOABI = strings.Join(parts[:min(2, len(parts))], "-")
	if len(parts) == 3 {
		d.Multiarch = parts[2]
	}
	for _, field := range []string{"suffixes", "ext_suffix", "soabi", "multiarch"} {
		d.prove(field, source)
	}
}

// moduleSuffix takes the suffix from a native module of PyPy's own standard library.
func (d *detector) moduleSuffix() string {
	entries, err := d.view.ReadDir(d.Stdlib)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if _, rest, ok := strings.Cut(e.Name(), "."); ok && taggedSuffix.MatchString("."+rest) {
			return "." + rest
		}
	}
	return ""
}
