// Package nvml asks NVIDIA's management library what only it knows of a machine's GPUs. The library is loaded by a child process,
// hostrun-nvml: it opens device files, may wait for a dead GPU for ever, and may crash. The parent keeps a deadline and goes on
// without whatever did not answer.
package nvml

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A Message is one line of the child's standard output. Exactly one field is set. The child writes System first, then Begin
// and GPU for each address that it was given, and Done last: what the parent has read when the child is lost is what it knows.
type Message struct {
	System *System `json:"system,omitempty"`
	Begin  string  `json:"begin,omitempty"` // PCI address of the GPU that is asked next
	GPU    *GPU    `json:"gpu,omitempty"`
	Done   bool    `json:"done,omitempty"`
}

// A System is what the library says without touching a GPU.
type System struct {
	Driver  string `json:"driver,omitempty"`  // nvmlSystemGetDriverVersion: of the kernel's module
	Library string `json:"library,omitempty"` // nvmlSystemGetNVMLVersion, "12.550.54.15"
	CUDA    string `json:"cuda,omitempty"`    // nvmlSystemGetCudaDriverVersion, "12.4": the newest CUDA that libcuda offers
	Error   string `json:"error,omitempty"`   // why the library can't be used; nothing else is said then
}

// A GPU is one GPU's answer. What the library does not say of this GPU, or does not know yet, is absent.
type GPU struct {
	PCI   string `json:"pci"`             // as in /sys/bus/pci/devices: 0000:c1:00.0
	Error string `json:"error,omitempty"` // "ERROR_GPU_IS_LOST", or how the child ended; the rest may be absent then
	Hung  bool   `json:"hung,omitempty"`  // no answer before the deadline

	Index        *int   `json:"index,omitempty"` // as nvidia-smi counts
	Minor        *int   `json:"minor,omitempty"` // N of /dev/nvidiaN
	UUID         string `json:"uuid,omitempty"`
	Name         string `json:"name,omitempty"`
	Brand        string `json:"brand,omitempty"` // in the words of NVIDIA_REQUIRE_CUDA: "tesla", "geforcertx"
	Architecture string `json:"architecture,omitempty"`
	Capability   string `json:"compute_capability,omitempty"` // "9.0"

	Memory       uint64 `json:"memory,omitempty"`      // bytes
	MemoryUsed   uint64 `json:"memory_used,omitempty"` // bytes
	Utilization  *int   `json:"utilization,omitempty"` // per cent of the last sample period
	Power        uint32 `json:"power,omitempty"`       // mW
	PowerLimit   uint32 `json:"power_limit,omitempty"` // mW
	Energy       uint64 `json:"energy,omitempty"`      // mJ since the driver was loaded
	Persistence  *bool  `json:"persistence,omitempty"`
	ComputeMode  string `json:"compute_mode,omitempty"` // "default", "exclusive-process", "prohibited"
	ECC          *bool  `json:"ecc,omitempty"`
	ECCErrors    uint64 `json:"ecc_errors,omitempty"` // uncorrected since the driver was loaded
	Rows         *Rows  `json:"remapped_rows,omitempty"`
	PagesPending *bool  `json:"retired_pages_pending,omitempty"`
	Recovery     string `json:"recovery_action,omitempty"` // "none", "reset", "reboot", ...
	Fabric       string `json:"fabric,omitempty"`          // "completed", "in progress", "not started"; absent where not supported
	FabricStatus string `json:"fabric_status,omitempty"`   // NVML's error of a completed registration; absent for success

	Links     []Link     `json:"links,omitempty"`
	MIG       *bool      `json:"mig,omitempty"` // mode as it is now
	Instances []Instance `json:"instances,omitempty"`
	Processes []Process  `json:"processes,omitempty"`
}

// Rows are remapped rows of HBM (nvmlDeviceGetRemappedRows).
type Rows struct {
	Correctable   int  `json:"correctable"`
	Uncorrectable int  `json:"uncorrectable"`
	Pending       bool `json:"pending"` // needs a reset
	Failure       bool `json:"failure"` // no row was left
}

// A Link is the active NVLinks to one other end.
type Link struct {
	Remote string `json:"remote,omitempty"` // PCI address of the other end; "" for switches
	Switch bool   `json:"switch,omitempty"` // the other ends are NVSwitches: all GPUs on switches reach each other
	Count  int    `json:"count"`
}

// An Instance is one MIG device: a compute instance of a GPU instance.
type Instance struct {
	Index   int    `json:"index"` // nvmlDeviceGetMigDeviceHandleByIndex
	GI      int    `json:"gi"`
	CI      int    `json:"ci"`
	UUID    string `json:"uuid,omitempty"`
	Profile string `json:"profile,omitempty"` // "1g.10gb"
	Memory  uint64 `json:"memory,omitempty"`  // bytes
}

// A Process holds a context on the GPU. PIDs are those of the namespace that the child runs in.
type Process struct {
	PID    int    `json:"pid"`
	Memory uint64 `json:"memory,omitempty"` // bytes
	GI     *int   `json:"gi,omitempty"`     // of the GPU instance that it runs on
}

// An Answer is what was learnt of a machine.
type Answer struct {
	System System `json:"system"`
	GPUs   []GPU  `json:"gpus,omitempty"` // in the order of the question
}

// Whole says that the library and every GPU have answered.
func (a Answer) Whole() bool {
	for _, g := range a.GPUs {
		if g.Error != "" {
			return false
		}
	}
	return a.System.Error == ""
}

// Decode reads one line of the child.
func Decode(line []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(line, &m); err != nil {
		return Message{}, fmt.Errorf("read what hostrun-nvml wrote: %w", err)
	}
	set := 0
	for _, is := range []bool{m.System != nil, m.Begin != "", m.GPU != nil, m.Done} {
		if is {
			set++
		}
	}
	if set != 1 {
		return Message{}, fmt.Errorf("read what hostrun-nvml wrote: a line with %d messages", set)
	}
	return m, nil
}

// Address brings a PCI address into sysfs's form. NVML writes eight digits of the domain, and in capitals: 00000000:C1:00.0.
func Address(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if domain, rest, ok := strings.Cut(s, ":"); ok && len(domain) == 8 && strings.HasPrefix(domain, "0000") {
		return domain[4:] + ":" + rest
	}
	return s
}
