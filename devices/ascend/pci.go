package ascend

import (
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

const pciDevices = "/sys/bus/pci/devices"

// A function is an NPU on the PCI bus, with or without a driver.
type function struct {
	address   string // 0000:c1:00.0
	device    string // 0xd802
	subsystem string // 0x0110 of a 300I Duo
	numa      int    // -1 when unknown
	cpus      string
	family    *family
	ids       []int // physical ids that the driver gave to it; none without a driver. A 300I Duo has two.
}

// duo is the subsystem_device of an Atlas 300I Duo: two chips behind one function.
const duo = "0x0110"

// product is the name that people know, as far as the function tells it.
func (f function) product() string {
	if f.family == ascend310P && f.subsystem == duo {
		return "Atlas 300I Duo"
	}
	return f.family.title
}

// vendors are Huawei, and those that sell its chips under their own PCI vendor id (devdrv_pci.h, the table of ids).
var vendors = map[string][]string{"0x19e5": nil, "0x20c6": {"0xd500", "0xd802"}, "0x203f": {"0xd500", "0xd802"}, "0x20e9": {"0xd500", "0xd802"}}

// readFunctions lists the NPUs of the PCI bus by address. Virtual functions are left out: vdavinci nodes stand for them.
func readFunctions(view *rootfs.View) []function {
	var all []function
	for _, address := range names(view, pciDevices) {
		if f, ok := readFunction(view, address); ok {
			all = append(all, f)
		}
	}
	assignIDs(view, all)
	return all
}

func readFunction(view *rootfs.View, address string) (function, bool) {
	attr := func(name string) string {
		return strings.ToLower(strings.TrimSpace(text(view, pciDevices+"/"+address+"/"+name)))
	}
	only, ours := vendors[attr("vendor")]
	f := function{address: strings.ToLower(address), device: attr("device"), numa: -1}
	// 0x1200 is "processing accelerator" (PCI code and ID assignment, base class 12h).
	if !ours || only != nil && !slices.Contains(only, f.device) || !strings.HasPrefix(attr("class"), "0x1200") ||
		view.Exists(pciDevices+"/"+address+"/physfn") {
		return f, false
	}
	f.subsystem, f.cpus = attr("subsystem_device"), attr("local_cpulist")
	if n, err := strconv.Atoi(attr("numa_node")); err == nil {
		f.numa = n
	}
	if f.family = byPCI[f.device]; f.family == nil {
		f.family = unknownChip
	}
	return f, true
}

// mapping is a line of devdrv_sysfs_bdf_to_devid: "c1:00.0 ---> 0", in some drivers with the domain in front.
var mapping = pattern.New(`(?m)^\s*(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])\s*(?:[-=]+>)?\s*(\d{1,4})\b`)

// parseMapping reads the driver's table of physical ids. The domain is "" where the table has none.
func parseMapping(table string) []idOfAddress {
	var all []idOfAddress
	for _, m := range mapping.FindAllStringSubmatch(table, maxIDs) {
		id, err := strconv.Atoi(m[3])
		if err == nil && id < maxIDs {
			all = append(all, idOfAddress{strings.ToLower(m[1]), strings.ToLower(m[2]), id})
		}
	}
	return all
}

type idOfAddress struct {
	domain, rest string
	id           int
}

// maxIDs is above every number that a node can have: 64 chips, and virtual ones up to 1123.
const maxIDs = 2048

// assignIDs gives each function its physical ids. Every bound function shows the whole table, so the first suffices; dev_id
// of the function itself decides where two domains have one bus number and the table names no domain.
func assignIDs(view *rootfs.View, all []function) {
	var table []idOfAddress
	for i := range all {
		if table = parseMapping(text(view, pciDevices+"/"+all[i].address+"/devdrv_sysfs_bdf_to_devid")); len(table) > 0 {
			break
		}
	}
	for i := range all {
		domain, rest, _ := strings.Cut(all[i].address, ":")
		for _, line := range table {
			if line.rest == rest && (line.domain == "" && !twice(all, rest) || sameDomain(line.domain, domain)) {
				all[i].ids = append(all[i].ids, line.id)
			}
		}
		if len(all[i].ids) == 0 {
			if id, err := strconv.Atoi(strings.TrimSpace(text(view, pciDevices+"/"+all[i].address+"/dev_id"))); err == nil && id >= 0 && id < maxIDs {
				all[i].ids = []int{id}
			}
		}
		slices.Sort(all[i].ids)
		all[i].ids = slices.Compact(all[i].ids)
	}
}

func twice(all []function, rest string) bool {
	n := 0
	for _, f := range all {
		if strings.HasSuffix(f.address, ":"+rest) {
			n++
		}
	}
	return n > 1
}

// sameDomain compares PCI domains: sysfs writes four digits, others eight.
func sameDomain(a, b string) bool {
	return a != "" && strings.TrimLeft(a, "0") == strings.TrimLeft(b, "0")
}

// canonical is a PCI address in the form of sysfs, "" for what is none: npu-smi prints 0000:C1:00.0.
func canonical(address string) string {
	m := mapping.FindStringSubmatch(address + " 0")
	if m == nil {
		return ""
	}
	domain := strings.TrimLeft(strings.ToLower(m[1]), "0")
	return strings.Repeat("0", max(0, 4-len(domain))) + domain + ":" + strings.ToLower(m[2])
}
