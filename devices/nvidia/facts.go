package nvidia

// Kind is CDI's vendor and class of NVIDIA's GPUs and their partitions.
const Kind = "nvidia.com/gpu"

// A Driver is what this machine has of NVIDIA's driver: Facts of the inventory, as JSON. Paths are of the machine.
type Driver struct {
	Version string `json:"version,omitempty"` // of the kernel's module, /proc/driver/nvidia/version
	Open    bool   `json:"open,omitempty"`    // the module is the open one
	User    string `json:"user,omitempty"`    // of libcuda, by its file's name
	Root    string `json:"root"`              // where the driver's files lie: "/", or that of a driver container
	CUDA    string `json:"cuda,omitempty"`    // the newest CUDA that the driver's libcuda offers, "12.4"
	// CUDAFrom says who says so: "nvml", or "branch" for a table of the driver's branches.
	CUDAFrom  string    `json:"cuda_from,omitempty"`
	Libcuda   string    `json:"libcuda,omitempty"`
	Libraries []Library `json:"libraries,omitempty"`
	Compat    *Compat   `json:"compat,omitempty"` // forward-compatibility package of the machine
	UVM       UVM       `json:"uvm"`
	// Persistenced, FabricManager and MPS tell of sockets and directories that the daemons leave while they run.
	Persistenced  bool `json:"persistenced,omitempty"`
	FabricManager bool `json:"fabric_manager,omitempty"`
	MPS           bool `json:"mps,omitempty"`
	Switches      int  `json:"switches,omitempty"` // NVSwitches that the driver has
	// NVML says how the library answered: "ok", "" where it was not asked, else why not.
	NVML string `json:"nvml,omitempty"`
}

// A Library is one shared library of the driver.
type Library struct {
	Path   string   `json:"path"`
	Soname string   `json:"soname"`          // DT_SONAME, or the file's name where it has none
	Names  []string `json:"names,omitempty"` // further names beside it that lead to it: libcuda.so
	Dir    string   `json:"dir,omitempty"`   // below the library directory: "vdpau"
	Needs  []string `json:"for"`             // capabilities that need it
}

// names are those that the driver's libraries are opened by.
func (d Driver) names() map[string]bool {
	all := map[string]bool{}
	for _, l := range d.Libraries {
		all[l.Soname] = true
		for _, name := range l.Names {
			all[name] = true
		}
	}
	return all
}

// UVM is the state of the unified memory driver, without which CUDA does not start.
type UVM struct {
	Major int    `json:"major,omitempty"` // of /proc/devices; 0 where the module is not loaded
	Fault string `json:"fault,omitempty"` // of /dev/nvidia-uvm
}

// A Compat is a package of newer user-space libraries (cuda-compat): CUDA's "forward compatibility".
type Compat struct {
	Directory string `json:"directory"`
	Libcuda   string `json:"libcuda"`
	Version   string `json:"version"`        // of its libcuda, by its file's name
	CUDA      string `json:"cuda,omitempty"` // of its note
	Drivers   []int  `json:"drivers"`        // branches of the kernel's module that it works with, of its note
}

// A GPU is what is known of one GPU or of one of its partitions: Facts of the device, as JSON. What nobody said is absent.
type GPU struct {
	UUID       string `json:"uuid,omitempty"`
	Minor      int    `json:"minor"` // N of /dev/nvidiaN; -1 when unknown
	Module     string `json:"module,omitempty"`
	Brand      string `json:"brand,omitempty"`
	Capability string `json:"compute_capability,omitempty"` // "9.0"
	CUDA       string `json:"cuda,omitempty"`               // newest CUDA of the driver
	Firmware   string `json:"firmware,omitempty"`

	MIG *bool `json:"mig,omitempty"` // mode of a GPU
	GI  *int  `json:"gi,omitempty"`  // of a partition
	CI  *int  `json:"ci,omitempty"`
	// Caps are the nodes below /dev/nvidia-caps that open a partition.
	Caps []string `json:"caps,omitempty"`
	// DRI are the nodes for graphics.
	DRI []string `json:"dri,omitempty"`

	ECC          *bool  `json:"ecc,omitempty"`
	ECCErrors    uint64 `json:"ecc_errors,omitempty"`
	RowsPending  *bool  `json:"remapped_rows_pending,omitempty"`
	RowsFailure  *bool  `json:"remapped_rows_failure,omitempty"`
	Recovery     string `json:"recovery_action,omitempty"`
	Fabric       string `json:"fabric,omitempty"`
	FabricStatus string `json:"fabric_status,omitempty"`
	Persistence  *bool  `json:"persistence,omitempty"`
	ComputeMode  string `json:"compute_mode,omitempty"`
	PowerLimit   uint32 `json:"power_limit,omitempty"` // mW

	// Of the moment: absent where NVML was not asked just now.
	MemoryUsed  int64  `json:"memory_used,omitempty"` // bytes
	Utilization *int   `json:"utilization,omitempty"` // per cent
	Power       uint32 `json:"power,omitempty"`       // mW
	Energy      uint64 `json:"energy,omitempty"`      // mJ since the driver was loaded
}
