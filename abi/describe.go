package abi

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
)

// maxBuildDetails bounds build-details.json, in bytes.
const maxBuildDetails = 1 << 20

// buildDetails is the part of build-details.json (PEP 739) that is used.
type buildDetails struct {
	file     string
	Platform string `json:"platform"`
	Language struct {
		Version string `json:"version"`
	} `json:"language"`
	Implementation struct {
		Name       string `json:"name"`
		HexVersion int64  `json:"hexversion"`
		Multiarch  string `json:"_multiarch"`
	} `json:"implementation"`
	ABI struct {
		Flags           []string `json:"flags"`
		ExtensionSuffix string   `json:"extension_suffix"` // of PEP 739; CPython writes suffixes.extensions
	} `json:"abi"`
	Suffixes struct {
		Extensions []string `json:"extensions"` // in the importer's order
	} `json:"suffixes"`
}

// suffixes are the extension suffixes that the file tells, the interpreter's own first.
func (b *buildDetails) suffixes() []string {
	if b == nil {
		return nil
	}
	if len(b.Suffixes.Extensions) == 0 && b.ABI.ExtensionSuffix != "" {
		return []string{b.ABI.ExtensionSuffix}
	}
	return b.Suffixes.Extensions
}

func parseBuildDetails(b []byte) (*buildDetails, error) {
	var d buildDetails
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// readDescriptions reads what the build wrote down beside the standard library: build-details*.json and the sysconfig
// data. One that is absent is fine; one that can't be understood is a conflict.
func (d *detector) readDescriptions() error {
	entries, err := d.view.ReadDir(d.Stdlib)
	if err != nil {
		return nil // the standard library is a zip file
	}
	var data []string
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, "build-details") && strings.HasSuffix(name, ".json"):
			d.readBuildDetails(path.Join(d.Stdlib, name))
		case strings.HasPrefix(name, "_sysconfigdata") && strings.HasSuffix(name, ".py"):
			data = append(data, name)
		}
	}
	if name := d.chooseSysconfig(data); name != "" {
		d.readSysconfig(path.Join(d.Stdlib, name))
	}
	return nil
}

// readBuildDetails takes a file whose flags fit the binary: Debian keeps those of several builds in one directory.
func (d *detector) readBuildDetails(file string) {
	b, err := d.view.ReadFile(file, maxBuildDetails)
	if err != nil {
		return
	}
	details, err := parseBuildDetails(b)
	if err != nil {
		d.conflict("soabi", "unreadable, by "+file+" ("+err.Error()+")")
		return
	}
	details.file = file
	debug := strings.Contains(strings.Join(details.ABI.Flags, ""), "d")
	if d.detail == nil || debug == d.code.debug {
		d.detail = details
	}
}

// chooseSysconfig picks the module that sysconfig would import: the one that _PYTHON_SYSCONFIGDATA_NAME names, else
// _sysconfigdata_{abiflags}_{platform}_{multiarch} (Lib/sysconfig, _get_sysconfigdata_name), or Debian's name without
// the platform, which is the only one in its minimal packages. conda keeps several for cross compilation; theirs has
// a machine where the flags belong.
func (d *detector) chooseSysconfig(names []string) string {
	if want := d.env.SysconfigData; want != "" && slices.Contains(names, want+".py") {
		return want + ".py"
	}
	best, score := "", 0
	sort.Strings(names)
	for _, name := range names {
		if n := d.rateSysconfig(name); n > score {
			best, score = name, n
		}
	}
	return best
}

func (d *detector) rateSysconfig(name string) int {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(name, ".py"), "_sysconfigdata_")
	if !ok {
		return 1 // PyPy's
	}
	flags, rest, _ := strings.Cut(rest, "_")
	if strings.Trim(flags, "dmtu") != "" {
		return 1
	}
	platform, triplet, upstream := strings.Cut(rest, "_")
	if !upstream || platform != "linux" {
		triplet = rest
	}
	n := 2
	if strings.Contains(flags, "d") == d.code.debug && strings.Contains(flags, "t") == d.threaded() {
		n += 8
	}
	if multiarchMachine(triplet) == d.Arch || strings.HasPrefix(triplet, d.Arch) {
		n += 4
	}
	if platform == "linux" {
		n++
	}
	return n
}

func (d *detector) readSysconfig(file string) {
	b, err := d.view.ReadFile(file, maxSysconfig)
	if err != nil {
		return
	}
	vars, err := parseSysconfig(string(b))
	if err != nil {
		if d.Implementation == "cpython" {
			d.conflict("soabi", fmt.Sprintf("unreadable, by %s (%v)", file, err))
		}
		return
	}
	d.vars = vars
	d.prove("sysconfig", file)
}
