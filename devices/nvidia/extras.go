package nvidia

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// maxChannels is the number of IMEX channels that the driver makes at most (NVreg_ImexChannelCount; nvidia-container-toolkit has
// the same bound).
const maxChannels = 1 << 20

// extras adds what options ask for. Each is asked for by name, so its absence is an error.
func (e *editor) extras() {
	if option(e.ask, "gds") != "" {
		e.some("gds", "/dev", "nvidia-fs", "load the module nvidia-fs (package nvidia-gds)")
		e.mount("/etc/cufile.json", "/etc/cufile.json", "configuration of GPUDirect Storage", readOnly)
		e.mount("/run/udev", "/run/udev", "device database, for GPUDirect Storage", readOnly)
	}
	if option(e.ask, "rdma") != "" {
		e.some("rdma", "/dev/infiniband", "uverbs", "load the drivers of the network card (rdma-core, or NVIDIA's DOCA-OFED)")
		e.optional("/dev/infiniband/rdma_cm", "connection manager of RDMA")
	}
	if option(e.ask, "gdrcopy") != "" {
		e.some("gdrcopy", "/dev", "gdrdrv", "load the module gdrdrv (package gdrdrv-dkms)")
	}
	if option(e.ask, "mps") != "" && !e.mount("/tmp/nvidia-mps", "/tmp/nvidia-mps", "pipes of CUDA's multi-process service", shared) {
		e.find(missingNode("/tmp/nvidia-mps", "the multi-process service does not run here", "start it: nvidia-cuda-mps-control -d"))
	}
	e.channels(option(e.ask, "imex"))
}

// some adds the nodes of a directory whose names begin with a prefix.
func (e *editor) some(option, dir, prefix, remedy string) {
	found := false
	for _, name := range e.m.names(dir) {
		if strings.HasPrefix(name, prefix) {
			found = e.optional(path.Join(dir, name), options[option]) || found
		}
	}
	if !found {
		e.find(missingNode(path.Join(dir, prefix)+"*", "the option "+option+" asks for it, and there is none", remedy))
	}
}

// channels adds IMEX channels: their numbers, or true for the first.
func (e *editor) channels(value string) {
	switch value {
	case "":
		return
	case "true", "on", "yes":
		value = "0"
	}
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 0 || n >= maxChannels {
			e.find(finding.Finding{ID: finding.GPUOption, Severity: finding.Error, Subject: "imex", Got: strconv.Quote(word), Want: "a channel's number",
				Message: strconv.Quote(word) + " is no IMEX channel", Remedy: "write numbers: imex: \"0,1\""})
			continue
		}
		node := "/dev/nvidia-caps-imex-channels/channel" + strconv.Itoa(n)
		if !e.optional(node, "IMEX channel "+word) {
			e.find(missingNode(node, "the option imex asks for it, and it is not there", "as root: nvidia-modprobe -i "+word+"; and start nvidia-imex"))
		}
	}
}

// dataCenter are the brands on which forward compatibility works (CUDA Compatibility, "Forward Compatibility": data-center GPUs
// and some of RTX's line). NVML calls current data-center boards "nvidia".
var dataCenter = []string{"", "tesla", "nvidia", "grid", "quadrortx", "nvidiartx"}

// allDataCenter is true where nobody says otherwise.
func allDataCenter(gpus []GPU) bool {
	return !slices.ContainsFunc(gpus, func(g GPU) bool { return !slices.Contains(dataCenter, g.Brand) })
}
