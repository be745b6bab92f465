package finding

import "sort"

// An Entry is the story behind a finding's id, as `hostrun explain` tells it.
type Entry struct {
	ID         string `json:"id"`
	Title      string `json:"title"`
	ExitStatus int    `json:"exit_status"` // of a start that an error with this id stops
	Story      string `json:"story"`       // what happens without the check, why, and the ways out; paragraphs, wrapped by the printer
}

// The ids. Never reuse a number; a retired one keeps its entry.
const (
	ProfileInvalid = "HR001" // unknown key, wrong type, duplicate key, missing variable, conflict between keys
	ProfileNotYet  = "HR002" // a compose key that hostrun knows and does not implement yet
	PrivilegedUsed = "HR003" // privileged: true

	PythonMissingHost   = "HR010" // no interpreter on the host, or the named one is gone
	PythonBrokenVenv    = "HR011" // pyvenv.cfg's home or the interpreter's link leads nowhere
	PythonVersion       = "HR012" // major.minor differ
	PythonFlags         = "HR013" // free-threaded, debug or trace-refs builds do not match
	PythonLibc          = "HR014" // glibc against musl
	PythonArch          = "HR015" // machine or word size differ
	PythonImpl          = "HR016" // CPython against PyPy
	PythonPrerelease    = "HR017" // a pre-release on one side
	PythonMissingImage  = "HR018" // the image has no interpreter, or its link is dangling
	PythonAmbiguous     = "HR019" // several interpreters in the image, and the command does not say which
	PythonContradiction = "HR020" // two sources of one Python say different things
	PythonSOABI         = "HR021" // the rest fits and the extension suffixes still differ
	PythonFlagIgnores   = "HR022" // -S in the command keeps a package of the host out that it imports
	LibcFloor           = "HR023" // host packages need a newer glibc or libstdc++ than the image has
	PythonPatch         = "HR024" // patch levels differ (information)
	PythonInactive      = "HR025" // VIRTUAL_ENV or CONDA_PREFIX names another environment than the PATH (information)

	SiteUnreadable  = "HR030" // a site directory can't be read
	SiteIncomplete  = "HR031" // files of a distribution are gone
	SitePathIgnored = "HR032" // a .pth entry, editable install or link leads out of what is mounted
	PackageMissing  = "HR033" // python.packages names a package that no site directory has
	ShadowedPackage = "HR034" // image and host both have a distribution
	TargetNotOnPath = "HR035" // python.target is no directory that the image's interpreter looks into

	ImagePlatform    = "HR040" // image of another architecture or operating system
	ImageUser        = "HR041" // user or group unknown in the image
	ImageHasPackages = "HR042" // python.target covers a directory of the image that is not empty
	ImageCommand     = "HR043" // neither profile nor image says what to run

	PathMissing      = "HR050" // source of a bind mount is missing
	PathWrongType    = "HR051" // a directory is asked for and a file is there, or the reverse
	PathNotTraversed = "HR052" // the container's user can't reach a mount's destination
	MountConflict    = "HR053" // two mounts with one destination

	CUDAMissing = "HR060" // no CUDA toolkit where the profile says
	CUDABroken  = "HR061" // the toolkit's links lead nowhere, or it has no version
	CUDARuntime = "HR062" // the toolkit has libraries and no compiler (information)

	DeviceMissing = "HR070" // a device node is absent
	DeviceNotNode = "HR071" // the path is no device node

	DeviceAbsent   = "HR072" // the machine has no accelerator of the kind
	DeviceUnknown  = "HR073" // no accelerator has that name, or there are fewer than asked for
	DeviceLeased   = "HR074" // another container of hostrun holds it
	DeviceBusy     = "HR075" // a process or another tool's container uses it
	DeviceUnfit    = "HR076" // it does not work, or is not what is asked for
	DeviceGrouping = "HR077" // twice, half of a card, or a name of several
	CDIInvalid     = "HR078" // a CDI file has errors
	CDIHook        = "HR079" // a CDI file wants a hook to run, and none is run

	LimitUnsupported = "HR080" // a limit that this kernel, cgroup version or OCI runtime can't hold
	RuntimeTooOld    = "HR081" // the OCI runtime does not know recursive read-only mounts
	RootNoPlace      = "HR082" // rootfs: host, and a mount's target would have to be made in a read-only directory of the host
	RootWholeHome    = "HR083" // rootfs: host, and the interpreter lies in a home directory itself
	RootOtherPython  = "HR084" // rootfs: host, and the command runs another interpreter than python: names
	RuntimeUnusable  = "HR086" // the OCI runtime that the profile asks for, or any, is missing or does not work here

	ModuleMissing    = "HR090" // the command imports a module that is not found
	StandardMissing  = "HR091" // a module of the standard library that the command imports is not in the image
	ModuleShadowed   = "HR092" // a module hides another one of its name
	EditableOutside  = "HR093" // the source of an editable install or of a .pth line is not in the container
	LinkOutside      = "HR094" // a module is a link that leads nowhere in the container
	Autoloaded       = "HR095" // a package loads an entry point by itself (information)
	DuplicateDist    = "HR096" // a distribution has two directories of metadata in one place
	TorchCPUOnly     = "HR097" // a GPU is asked for, and torch is built without CUDA
	ImportsUnchecked = "HR098" // what files do not tell of the command's imports (information)
	PthBlocks        = "HR364" // a .pth file is a pipe, which Python waits for at its start
	PreloadBlocks    = "HR365" // /etc/ld.so.preload is a pipe, which the loader waits for

	DeviceMount    = "HR130" // a mount of the profile lies over what an accelerator's driver needs
	DeviceOptional = "HR131" // an optional accelerator is not there (information)
	DeviceAffinity = "HR132" // affinity: strict, and the machine does not tell which processors are close
	CDIStale       = "HR133" // a CDI file describes another machine than this one is now

	NativeMissing     = "HR100" // a native module that the command imports needs a library that is not there
	NativeSuffix      = "HR101" // a native module that the command imports was built for another Python
	NativeVersion     = "HR102" // a native module needs a newer library than the image's
	NativeUndefined   = "HR103" // a native module refers to a symbol that nothing defines
	NativeArch        = "HR104" // a native module was built for another machine
	NativeCorrupt     = "HR105" // a native module, or a library that it needs, is damaged
	NativeGate        = "HR106" // the loader refuses a whole file: executable stack, static TLS, processor level
	NativeInterpreter = "HR107" // the container's Python does not start
	NativeOthers      = "HR108" // native modules that the command is not seen to import would not load
	NativeConditional = "HR109" // a native module loads once another library is loaded (information)

	LibrariesLent    = "HR110" // the host lends libraries that the image lacks (information)
	PlaceNotLent     = "HR111" // a place that links or lines of the packages lead to is not bound by itself
	BytecodeApart    = "HR112" // the host's .pyc files are of no use: the container keeps its own (information)
	StdlibLent       = "HR113" // the host's standard library completes the image's (information)
	InterpreterLent  = "HR114" // the host's interpreter runs instead of the image's (information)
	InterpreterFixed = "HR115" // python.interpreter_from: host, and the host's interpreter can't be moved
	CacheCovered     = "HR116" // libraries of the host can't be lent: a mount covers /etc/ld.so.cache

	PinBroken         = "HR120" // a framework requires another version of another one than is installed
	NPUOtherTorch     = "HR121" // torch_npu is built for another release of torch
	TwoAccelerators   = "HR122" // torch_npu beside a torch that is built for another accelerator
	TorchNoNPU        = "HR123" // an NPU is asked for, and torch_npu is not there
	LibraryOverridden = "HR124" // LD_LIBRARY_PATH leads to another library than the one that the host's packages bring
	CUDAWheelAbsent   = "HR125" // torch asks for libraries of CUDA that are nowhere, and their wheels are not installed
	CUDAMixed         = "HR126" // frameworks for several major versions of CUDA

	HealthcheckLong  = "HR220" // the healthcheck does not fit into the container's record
	DependUnknown    = "HR221" // depends_on names a profile that is not there
	DependCycle      = "HR222" // profiles depend on each other in a circle
	DependUnprobed   = "HR223" // depends_on waits for the health of a profile without a healthcheck
	RestartRefused   = "HR225" // a restart found what no restart mends
	SuperviseRunning = "HR226" // hostrun supervise runs already

	UnitsOwn   = "HR260" // a container belongs to a unit, which starts it by itself
	KeptTwice  = "HR261" // a container has a hostrun up --supervise already
	NotInUnit  = "HR262" // the container can't be in its unit's cgroup
	NoReplica  = "HR350" // a unit is for a replica that the profile does not have any more
	NoSystemd  = "HR263" // systemctl is not there, or has failed
	UnitReload = "HR264" // a change of the profile needs a restart of the unit

	TemplateOther = "HR380" // somebody has changed the template of the units, or masked it
	UnitLess      = "HR381" // a limit of the profile is more than the unit allows

	UsernsUnavailable = "HR385" // this machine has no ids of its own for a container
	UsernsMount       = "HR386" // a mount can't have the container's ids
	UsernsExcludes    = "HR387" // two keys, one of which is userns_mode
	UsernsPowerless   = "HR388" // a right that means nothing in a user namespace
	UsernsIDOutside   = "HR389" // a user or group that the range lacks
	UsernsNPU         = "HR390" // an NPU in a user namespace

	ReplicaName  = "HR285" // container_name beside replicas
	ReplicaPorts = "HR286" // ports or addresses that several containers can't share
	NameOther    = "HR287" // the container's name is another profile's or another stack's
	VolumeInUse  = "HR288" // down -v, and another container has the volume
	VolumeAbsent = "HR289" // an external volume is not there

	GPUNoDriver    = "HR140" // NVIDIA's GPUs are on the bus, and their driver is not loaded
	GPUNodeMissing = "HR141" // a device node of NVIDIA's driver is absent, or none
	GPUUVM         = "HR142" // nvidia-uvm is not loaded, or its node is stale
	GPUMismatch    = "HR143" // the kernel's driver and its libraries are of two versions
	GPULibraries   = "HR144" // the driver's libraries or programs are not on the machine
	GPUImageLibc   = "HR145" // the driver's libraries can't load in the image
	CUDADriverOld  = "HR146" // something is built for a newer major version of CUDA than the driver's
	CUDAMinor      = "HR147" // something is built for a newer minor version of CUDA than the driver's
	CUDANoKernel   = "HR148" // torch has no code for a GPU
	CUDARequire    = "HR149" // NVIDIA_REQUIRE_CUDA of the image does not hold
	CUDAStub       = "HR150" // a search path leads to a stub of libcuda
	GPUFabric      = "HR151" // the NVLink fabric is not ready
	GPUPersistence = "HR152" // persistence mode is off
	GPUUnhealthy   = "HR153" // a GPU can't be used
	GPUElsewhere   = "HR154" // WSL or Jetson: a CDI file describes the GPU
	GPUPartition   = "HR155" // MIG: a whole GPU in MIG mode, or a partition without its nodes
	GPUOption      = "HR156" // no such capability or option of NVIDIA's
	GPUUnasked     = "HR157" // NVML was not asked, or can't be
	CUDACompat     = "HR158" // the forward-compatibility package is used, or is not (information)
	GPUParts       = "HR360" // several MIG devices for one container, of which a process uses one

	AscendNotLoaded       = "HR160" // the PCI bus has NPUs, and /dev has no nodes for them
	AscendManager         = "HR161" // a node that all NPUs share is missing
	AscendDriver          = "HR162" // the directory of the NPUs' driver is empty or not there
	AscendWritable        = "HR163" // everybody on the host may change the driver's files
	AscendVersionInfo     = "HR164" // the driver's version.info can't be understood, or its installation is not complete
	AscendMachine         = "HR165" // the driver's libraries are for another machine than the container's programs
	AscendUser            = "HR166" // the container's user can't open the nodes, in no group
	AscendRename          = "HR168" // an NPU's node under another name
	AscendVisible         = "HR169" // ASCEND_RT_VISIBLE_DEVICES names what the container does not have
	AscendTwoToolkits     = "HR170" // CANN of host and image in one container
	AscendToolkit         = "HR171" // no CANN, or not where the environment says
	AscendRankTable       = "HR172" // hccl_rootinfo.json is missing, damaged or for another chip
	AscendDriverCANN      = "HR173" // the driver does not list this CANN, nor CANN the driver
	AscendFirmware        = "HR174" // firmware outside of the driver's ranges
	AscendTorchBase       = "HR175" // torch_npu is built for another torch
	AscendTorchCANN       = "HR176" // torch_npu and CANN are no pair of the vendor's table
	AscendTorchPython     = "HR177" // torch_npu is not released for this Python
	AscendChip            = "HR178" // CANN is built for another chip
	AscendCXX11ABI        = "HR179" // ATB_HOME_PATH names the other C++ ABI than torch's
	AscendTwoAccelerators = "HR180" // torch with CUDA beside torch_npu
	AscendTBE             = "HR181" // CANN's compiler of operators lacks Python packages
	AscendAutoload        = "HR182" // import torch loads torch_npu, and there is no NPU
	AscendEntrypoint      = "HR183" // the profile replaces the ENTRYPOINT that sets CANN's environment
	AscendNetwork         = "HR184" // several NPUs behind a bridge
	AscendSharedMemory    = "HR185" // /dev/shm is too small
	AscendVLLM            = "HR186" // vllm_ascend with other versions than it is released with
	AscendExperimental    = "HR187" // a chip that is known from lists alone (information)
	AscendHealth          = "HR188" // npu-smi does not tell the NPUs' health
	AscendOption          = "HR189" // a value below ascend: that is not known

	AscendAllNodes   = "HR205" // a mount of /dev shows the container NPUs that it may not open
	AscendATB        = "HR320" // the host's ATB has no libraries for torch's ABI
	AscendUnasked    = "HR321" // the image asks Ascend's runtime for NPUs, and the profile for none (information)
	AscendNotAsked   = "HR322" // privileged: or a directory of devices, which bring no NPU
	DataMissing      = "HR270" // where a secret or config comes from is missing
	HookFailed       = "HR271" // a command of pre_start, post_start or pre_stop has failed
	LogUnreachable   = "HR272" // the journal is not there for logging: {driver: journald}
	HealthUntested   = "HR273" // healthcheck says nothing of how to test, and the image has no HEALTHCHECK
	LabelUnset       = "HR405" // a label of SELinux's is asked for, and SELinux enforces
	VolumeUnmounted  = "HR406" // the file system of a volume can't be mounted
	RelabelNeeded    = "HR274" // a mount asks for SELinux labels, and SELinux enforces
	PortTaken        = "HR240" // a port of the host is in use
	NetworkTools     = "HR241" // CNI's plugins or iptables are missing
	SubnetTaken      = "HR242" // a network's subnet overlaps with one that is there
	PortsDiffer      = "HR243" // ports that differ on both sides, with the host's network
	NameServerLocal  = "HR244" // the host's name server can't be reached from a bridge
	AddressTaken     = "HR245" // an address is another container's, or none of the network's
	NetworkDiffers   = "HR246" // two profiles describe one network in different ways
	PortsUnpublished = "HR395" // ports:, and the profile's networks are internal, or of a driver that publishes nothing
	PortFamily       = "HR247" // a port at an address that is none of this machine
	NetworkParent    = "HR377" // the interface that a macvlan or ipvlan network is to share is not there
	HostUnreached    = "HR378" // host-gateway, and no network on which the host is reached
	BuildNone        = "HR295" // build:, and no builder answers
	BuildFailed      = "HR296" // the builder ended with an error
	BuildPath        = "HR297" // the context, the Dockerfile or the file of a secret is not there
	DeviceClosed     = "HR190" // a node that the container was given can't be used in it
	DeviceSilent     = "HR191" // a device does not answer: an open of it hangs
	DriverUnloadable = "HR192" // the container's loader can't load the driver's library
	CommandOnHost    = "HR250" // the command is a console script of the host's environment, which the container does not have
	CommandMissing   = "HR251" // the command is in no directory of the container's PATH
	CopyReadOnly     = "HR265" // cp would write into what the container has read-only
	DockerAway       = "HR266" // the local Docker can't be asked
	DockerNoImage    = "HR267" // the local Docker has no such image
	LockDiffers      = "HR370" // --locked, and something is not what the lock says
	LockMissing      = "HR371" // --locked, and the lock has no entry of the profile
	LockInvalid      = "HR372" // the lock can't be read
)

// Explain returns the entry of id; an unknown id gives an Entry with the id alone and exit status 1.
func Explain(id string) Entry {
	if e, ok := catalog[id]; ok {
		e.ID = id
		return e
	}
	return Entry{ID: id, ExitStatus: StatusFailed}
}

// Known returns every entry, sorted by id.
func Known() []Entry {
	all := make([]Entry, 0, len(catalog))
	for id := range catalog {
		all = append(all, Explain(id))
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all
}
