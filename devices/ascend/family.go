package ascend

import (
	"slices"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// A family is a generation of chips that needs one set of nodes and files. The sets are those of the vendor's runtime
// (mind-cluster, component/ascend-docker-runtime: runtime/process/process.go and build/scripts/*.list).
type family struct {
	chip     string   // "910B"
	title    string   // for people
	tag      string   // in names of CANN images: "910b"
	kernels  []string // directories of kernels built for it, in opp/built-in/op_impl/ai_core/tbe/kernel
	rootinfo string   // version that hccl_rootinfo.json has for it
	dies     int      // that make a card and are taken together; 1 for none
	required []string // nodes in /dev besides its own
	optional []string // nodes in /dev, those without which something is slower or missing
	trees    []string // directories in /dev, every node of which belongs to it
	// dockerManager says that containers get davinci_manager_docker, where it exists, as davinci_manager. Servers have the node, too, and
	// their containers get davinci_manager itself.
	dockerManager bool
	files         []string // of the host, bound read-only where they are
	// experimental families are known from the vendor's lists alone: nobody has told of a run.
	experimental bool
}

var (
	serverNodes = []string{"davinci_manager", "devmm_svm", "hisi_hdc"}
	serverFiles = []string{"/usr/local/dcmi", "/etc/ascend_install.info", "/etc/hccn.conf", "/var/queue_schedule"}
	edgeFiles   = append(slices.Clone(serverFiles), "/etc/sys_version.conf", "/etc/hdcBasic.cfg", "/var/slogd", "/var/dmp_daemon",
		"/usr/lib64/libaicpu_processer.so", "/usr/lib64/libaicpu_prof.so", "/usr/lib64/libaicpu_sharder.so", "/usr/lib64/libadump.so",
		"/usr/lib64/libtsd_eventclient.so", "/usr/lib64/libaicpu_scheduler.so", "/usr/lib64/libdcmi.so", "/usr/lib64/libmpi_dvpp_adapter.so",
		"/usr/lib64/libstackcore.so", "/usr/lib64/aicpu_kernels", "/usr/lib64/libsemanage.so.2", "/usr/lib64/libmmpa.so", "/usr/lib64/libdrvdsmi.so",
		"/etc/ld.so.conf.d/mind_so.conf")
	edgeNodes = []string{"dvpp_cmdlist", "svm0", "ts_aisle", "upgrade", "sys", "vdec", "vpc", "pngd", "venc", "log_drv", "acodec", "ai", "ao", "vo", "hdmi"}
	// unifiedBus is what a host with /sys/class/unified_bus has besides (ub_driver.list); patterns of names.
	unifiedBus = []string{"/usr/lib64/libummu*", "/usr/lib64/liburma*", "/usr/lib64/urma", "/usr/lib64/libnl*", "/usr/bin/urma_admin",
		"/usr/bin/urma_perftest", "/usr/bin/urma_ping"}
)

var (
	ascend310 = &family{chip: "310", title: "Ascend 310 (Atlas 300I, 200)", tag: "310", kernels: []string{"ascend310"}, dies: 1,
		required: serverNodes, optional: []string{"dvpp_cmdlist"}, files: serverFiles}
	ascend310B = &family{chip: "310B", title: "Ascend 310B (Atlas 200I A2, 500 A2)", tag: "310b", kernels: []string{"ascend310b"}, dies: 1,
		required: serverNodes, optional: edgeNodes, files: edgeFiles, dockerManager: true, experimental: true}
	ascend310P = &family{chip: "310P", title: "Ascend 310P (Atlas 300I Pro, 300V, 300I Duo)", tag: "310p", kernels: []string{"ascend310p"}, dies: 1,
		required: serverNodes, optional: []string{"dvpp_cmdlist"}, files: serverFiles}
	ascend200I = &family{chip: "310P", title: "Ascend 310P (Atlas 200I SoC A1)", tag: "310p", kernels: []string{"ascend310p"}, dies: 1,
		required: []string{"davinci_manager", "vpc", "vdec", "sys", "spi_smbus", "user_config", "ts_aisle", "svm0", "log_drv", "memory_bandwidth", "upgrade"},
		optional: []string{"dvpp_cmdlist", "event_sched", "xsmem_dev"}, files: append(slices.Clone(serverFiles), "/etc/sys_version.conf", "/etc/hdcBasic.cfg"),
		experimental: true}
	ascend910 = &family{chip: "910A", title: "Ascend 910 (Atlas 800, 300T)", tag: "910", kernels: []string{"ascend910"}, dies: 1,
		required: serverNodes, optional: []string{"dvpp_cmdlist"}, files: serverFiles}
	ascend910B = &family{chip: "910B", title: "Ascend 910B (Atlas A2)", tag: "910b", kernels: []string{"ascend910b"}, rootinfo: "1.0", dies: 1,
		required: serverNodes, optional: []string{"dvpp_cmdlist"}, files: serverFiles}
	ascend910C = &family{chip: "910_93", title: "Ascend 910_93 (Atlas A3)", tag: "a3", kernels: []string{"ascend910_93"}, rootinfo: "1.2", dies: 2,
		required: serverNodes, optional: []string{"dvpp_cmdlist"}, files: serverFiles}
	ascend950 = &family{chip: "950", title: "Ascend 950 (Atlas A5, 350)", tag: "950", kernels: []string{"ascend950", "ascend910_95"}, rootinfo: "2.0", dies: 1,
		required: []string{"davinci_manager", "hisi_hdc"}, trees: []string{"uburma", "ummu"}, files: serverFiles, experimental: true}
	// unknownChip is given what a server's chips are given.
	unknownChip = &family{chip: "unknown", title: "an Ascend NPU that is not known yet", dies: 1, required: serverNodes,
		optional: []string{"dvpp_cmdlist"}, files: serverFiles, experimental: true}

	families = []*family{ascend310, ascend310B, ascend310P, ascend910, ascend910B, ascend910C, ascend950}
)

// byPCI are the device ids of vendor 19e5 (hicann/driver, src/sdk_driver/comm/pcie/host/devdrv_pci.h and dcmi_common.h).
// d805 is a virtual function.
var byPCI = map[string]*family{
	"0xd100": ascend310, "0xd105": ascend310B, "0xd500": ascend310P, "0xd801": ascend910, "0xd802": ascend910B, "0xd804": ascend910B,
	"0xd803": ascend910C, "0xd806": ascend950, "0xd807": ascend950, "0xd808": ascend950,
}

// byUDA are the driver's names of chips in /proc/uda/udevice that name one family.
var byUDA = map[string]*family{"mini_v1": ascend310, "cloud_v1": ascend910, "mini_v2": ascend310P, "mini_v3": ascend310B}

// The names of chips that npu-smi and DCMI print (mind-cluster, ascend-common/devmanager/common).
var (
	name310P = pattern.New(`^(310P\d?|I2\d?)`)
	name910B = pattern.New(`^(910B\d|A2G\d)`)
	name950  = pattern.New(`^(Ascend)?950`)
	name910C = pattern.New(`^(910_93|910C|A3|Ascend910(_93\d*)?$)`)
)

// familyOfName returns the family of a chip's name, nil for one that says nothing.
func familyOfName(name string) *family {
	short := strings.TrimPrefix(strings.TrimSpace(name), "Ascend")
	short = strings.TrimSpace(short)
	switch {
	case name950.MatchString(name):
		return ascend950
	case name910C.MatchString(name), name910C.MatchString(short):
		return ascend910C
	case name910B.MatchString(short):
		return ascend910B
	case name310P.MatchString(short):
		return ascend310P
	case strings.HasPrefix(short, "310B"):
		return ascend310B
	case strings.HasPrefix(short, "910"):
		return ascend910
	case strings.HasPrefix(short, "310"):
		return ascend310
	}
	return nil
}

// familyOfChip returns the family that Facts.Chip names.
func familyOfChip(chip string) *family {
	for _, f := range families {
		if f.chip == chip {
			return f
		}
	}
	return unknownChip
}

// familyOfTag returns the family that the name of an image says, as in cann:8.5.1-910b-ubuntu22.04-py3.11; nil for none.
func familyOfTag(image string) *family {
	last := image[strings.LastIndex(image, "/")+1:]
	_, tag, ok := strings.Cut(last, ":")
	if !ok {
		tag = last
	}
	for _, word := range strings.FieldsFunc(strings.ToLower(tag), func(r rune) bool { return strings.ContainsRune("-_.@+", r) }) {
		for _, f := range families {
			if f.tag == word {
				return f
			}
		}
	}
	return nil
}
