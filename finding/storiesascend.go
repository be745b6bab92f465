package finding

import "maps"

func init() { maps.Copy(catalog, ascendStories) }

// ascendStories are those of Ascend's NPUs.
var ascendStories = map[string]Entry{
	AscendNotLoaded: {Title: "the NPUs' driver is not loaded", ExitStatus: StatusNoDevice, Story: "" +
		"The PCI bus has Ascend NPUs, and /dev has no davinci node for them. The nodes are made by the driver's modules, so these are not loaded, or could not bring up the card. After an update of the kernel they have to be built again.\n\n" +
		"lsmod | grep -E 'drv_|asdrv_' shows whether they are loaded, dmesg why not. dkms autoinstall, or the driver's installer, builds them again."},
	AscendManager: {Title: "a node that all NPUs share is missing", ExitStatus: StatusNoDevice, Story: "" +
		"Besides its own node each NPU needs davinci_manager, and most need devmm_svm and hisi_hdc: memory and control go through them. Without one, everything ends in \"dcmi module initialize failed. ret is -8005\". dvpp_cmdlist is for decoding only, so its absence is told and stops nothing.\n\n" +
		"Load the driver's modules again: systemctl restart ascend-driver, or run its installer. npu-smi info has to work on the host."},
	AscendDriver: {Title: "the NPUs' driver has no libraries", ExitStatus: StatusNoPath, Story: "" +
		"The kernel's half of the driver makes the nodes, its libraries are files below /usr/local/Ascend/driver, or below Driver_Install_Path_Param of /etc/ascend_install.info. They are bound into the container. Without libascend_hal.so no program finds an NPU.\n\n" +
		"Install the driver's package on the host, or name the directory: ascend: {driver: /opt/Ascend/driver}."},
	AscendWritable: {Title: "everybody may change the driver's files", ExitStatus: StatusMisfit, Story: "" +
		"A directory or library of the driver may be written by every user of the host. What is in it runs in containers, as root in many of them. The vendor's own runtime refuses such files: \"Please check the write permission!\".\n\n" +
		"chmod o-w on the path that the finding names."},
	AscendVersionInfo: {Title: "the driver's version can't be told", ExitStatus: StatusMisfit, Story: "" +
		"version.info in the driver's directory says which CANN and which firmware it fits. It can't be read or is of another form, or /etc/ascend_install.info says that the installation did not end well. The driver may work all the same, and no comparison of versions can be made.\n\n" +
		"Install the driver again."},
	AscendMachine: {Title: "the driver is for another architecture than the image", ExitStatus: StatusMisfit, Story: "" +
		"The loader passes over libraries of another machine without a word, and then says that there is no such file: \"libascend_hal.so: cannot open shared object file\". This happens with images of the other architecture under emulation.\n\n" +
		"Use the image for this machine's architecture."},
	AscendUser: {Title: "the container's user can't open the NPUs", ExitStatus: StatusPermission, Story: "" +
		"The installer gives the nodes to the group HwHiAiUser, mode 0660, and hostrun adds this group to the container's process by its number. Here the nodes belong to root's group, or give their group no right, and to add root's group would give away more than an NPU.\n\n" +
		"chgrp HwHiAiUser and chmod 0660 the nodes on the host, or run as root."},
	AscendRename: {Title: "an NPU under another name", ExitStatus: StatusProfile, Story: "" +
		"A node is its number, not its name: /dev/davinci4 under the name /dev/davinci0 is NPU 4 still. The driver numbers the NPUs that a container has from 0 in any case, and on the newest chips programs go by the name and fail.\n\n" +
		"Write npus: [4], and use 0 in the container. hostrun inspect shows which number is which NPU."},
	AscendVisible: {Title: "ASCEND_RT_VISIBLE_DEVICES names NPUs that the container does not have", ExitStatus: StatusProfile, Story: "" +
		"The variable counts what the process can see. In a container with /dev/davinci4 and 5 these are 0 and 1, in this order. The runtime stops reading at the first number that does not exist, and if none is left every call ends with 507033 or 107001.\n\n" +
		"Remove it: the container sees only what npus: gives. Or use the numbers that the finding lists."},
	AscendTwoToolkits: {Title: "two installations of CANN in one container", ExitStatus: StatusMisfit, Story: "" +
		"The image has CANN, and the host's is mounted too. LD_LIBRARY_PATH then leads to libraries of both, and a process takes some of each: undefined symbols, EZ9999, or wrong results.\n\n" +
		"Remove the mount, or ascend.toolkit. Of the host the image needs nothing but the driver, which comes with npus:."},
	AscendToolkit: {Title: "CANN is missing", ExitStatus: StatusMisfit, Story: "" +
		"torch_npu loads libhccl.so, libascendcl.so and others from CANN, and finds it by ASCEND_HOME_PATH and LD_LIBRARY_PATH. There is none in image and mounts, or the variable names a directory that is not there: \"ImportError: libhccl.so: cannot open shared object file\".\n\n" +
		"Use an image with CANN (ascendai/cann), or borrow the host's toolkit: ascend: {toolkit: host}."},
	AscendRankTable: {Title: "the rank table does not fit", ExitStatus: StatusMisfit, Story: "" +
		"/etc/hccl_rootinfo.json describes the machine's NPUs to HCCL. Its version is 1.0 on Atlas A2, 1.2 on A3 and 2.0 on A5. One that was left by an earlier driver or another machine ends in EI0014. This is why it is mounted only on request.\n\n" +
		"Remove rank_table: true, or have the driver's tools write the file anew."},
	AscendDriverCANN: {Title: "driver and CANN do not list each other", ExitStatus: StatusMisfit, Story: "" +
		"The driver's version.info and CANN's ascend_toolkit_install.info each list the other's internal versions that they work with. Neither lists the other here, nor does the vendor's table. Many such pairs work until a feature is used that one of them lacks, so this is a warning.\n\n" +
		"Upgrade the driver, which works with older CANN, or use an image with a CANN that the driver lists."},
	AscendFirmware: {Title: "the firmware is out of the driver's range", ExitStatus: StatusMisfit, Story: "" +
		"The driver's version.info names the versions of firmware that it was tested with. After an upgrade of one of the two without the other, or without a reboot, initialization may fail with -8005.\n\n" +
		"Install the firmware of the driver's release, and reboot."},
	AscendTorchBase: {Title: "torch_npu is built for another torch", ExitStatus: StatusMisfit, Story: "" +
		"torch_npu 2.7.1.post4 is built against torch 2.7.1, and uses C++ symbols that the next release does not have: \"libtorch_npu.so: undefined symbol\". What stands behind .post is torch_npu's own count.\n\n" +
		"Install the torch whose version stands before .post."},
	AscendTorchCANN: {Title: "torch_npu and CANN are no pair of the vendor's table", ExitStatus: StatusMisfit, Story: "" +
		"Each torch_npu is released with one CANN. Others may lack operators that it calls: undefined symbols of libopapi.so, or EZ9999. The table lags behind, and pairs beside it are in use, LLaMA-Factory's own among them, so this is a warning.\n\n" +
		"Nothing, where the pair is known to work. Otherwise take one of those that the finding lists."},
	AscendTorchPython: {Title: "torch_npu is not released for this Python", ExitStatus: StatusMisfit, Story: "" +
		"torch_npu's extension is built for single versions of Python. For others pip finds no wheel, and one that was copied has no module that this Python looks at: \"No module named 'torch_npu._C'\".\n\n" +
		"Use a Python of the range that the finding names."},
	AscendChip: {Title: "CANN is built for another chip", ExitStatus: StatusMisfit, Story: "" +
		"An image of CANN holds kernels for one generation of chips: its tag says 910b, a3, 310p. On another one the first operator ends in EZ3002, or in 561103, and some programs hang.\n\n" +
		"Use the image of the same release for this chip."},
	AscendCXX11ABI: {Title: "ATB is taken for the other C++ ABI", ExitStatus: StatusMisfit, Story: "" +
		"CANN's nnal installs its libraries twice, for programs that were built with _GLIBCXX_USE_CXX11_ABI=0 and =1. Names of functions differ, so that the wrong ones end in \"undefined symbol\". PyTorch changed from 0 to 1 with 2.6 or 2.7, depending on where it comes from.\n\n" +
		"Set ATB_HOME_PATH to the directory that the finding names."},
	AscendTwoAccelerators: {Title: "torch with CUDA beside torch_npu", ExitStatus: StatusMisfit, Story: "" +
		"torch_npu refuses to be imported by a torch that was built with CUDA: \"Two accelerators cannot be used at the same time in PyTorch: npu and gpu\". A plain pip install torch gives this build on x86.\n\n" +
		"Install the CPU build of the same version."},
	AscendTBE: {Title: "CANN's compiler of operators lacks Python packages", ExitStatus: StatusMisfit, Story: "" +
		"CANN compiles operators by Python code of its own, tbe, in processes that it starts. They import numpy, decorator, attrs, psutil, scipy, sympy and others from the same Python. Where one is missing, the first operator that has to be compiled ends in EH9999, minutes after the start.\n\n" +
		"Install the packages that the finding lists."},
	AscendAutoload: {Title: "import torch loads torch_npu, and there is no NPU", ExitStatus: StatusMisfit, Story: "" +
		"From 2.5 on torch imports packages with an entry point of the group torch.backends by itself. torch_npu has one, and needs libraries of CANN and of the driver: on a CPU or a GPU even import torch ends in \"Failed to load the backend extension: torch_npu\".\n\n" +
		"environment: {TORCH_DEVICE_BACKEND_AUTOLOAD: 0}, or an environment of host packages without torch_npu."},
	AscendEntrypoint: {Title: "the profile replaces the ENTRYPOINT that sets CANN's environment", ExitStatus: StatusMisfit, Story: "" +
		"CANN's images source set_env.sh in their ENTRYPOINT. A profile's entrypoint: takes its place, and libascendcl.so is not found where the image does not set LD_LIBRARY_PATH in ENV as well.\n\n" +
		"Use command:, which leaves the ENTRYPOINT alone."},
	AscendNetwork: {Title: "several NPUs behind a bridge", ExitStatus: StatusMisfit, Story: "" +
		"HCCL takes the address of a process for its server. Two containers with a network of their own are two servers to it, even on one machine: it looks for the NPUs of the other over the network cards of the NPUs, and waits in vain.\n\n" +
		"network_mode: host, for jobs over the NPUs of several containers. NPUs of one container are not concerned."},
	AscendSharedMemory: {Title: "/dev/shm is too small", ExitStatus: StatusMisfit, Story: "" +
		"Data loaders of PyTorch and HCCL's local transport put their buffers into /dev/shm. Where it is full a process dies with \"Bus error\" or \"No space left on device\", often hours later.\n\n" +
		"Remove shm_size:, which leaves half of the machine's memory, or write 16gb."},
	AscendVLLM: {Title: "vllm_ascend with other versions than it is released with", ExitStatus: StatusMisfit, Story: "" +
		"The plugin of vLLM calls functions of one release of torch_npu and operators of one release of CANN. Its documentation has a table of them, and this combination is not in it.\n\n" +
		"Use its own image, or install the versions that the finding lists."},
	AscendExperimental: {Title: "a chip that is known from lists alone", ExitStatus: StatusMisfit, Story: "" +
		"Which nodes and files containers need is taken for this chip from the lists of the vendor's container runtime. They are short of explanations, and nobody has told of a run with hostrun.\n\n" +
		"Compare hostrun spec NAME with the vendor's docker run line if something is missing."},
	AscendHealth: {Title: "the NPUs' health is unknown", ExitStatus: StatusMisfit, Story: "" +
		"Health, memory and processes of an NPU are told by npu-smi alone. It failed, did not answer in time, or printed a table of a form that is not known. All else is read from files, and the NPUs can be used.\n\n" +
		"Run npu-smi info by hand."},
	AscendAllNodes: {Title: "a mount of /dev shows all NPUs", ExitStatus: StatusMisfit, Story: "" +
		"The driver's library opens every davinci node that it sees, and the first that can't be opened ends its initialisation: of NPUs that others have, or that the container was not given. A mount of the host's /dev shows all of them.\n\n" +
		"Remove the mount: npus: brings the nodes that are needed."},
	AscendATB: {Title: "the host's ATB is not for torch's C++ ABI", ExitStatus: StatusMisfit, Story: "" +
		"ascend: {toolkit: host} brings CANN's nnal too, where it is installed beside the toolkit. It has the libraries of ATB for _GLIBCXX_USE_CXX11_ABI=0 and =1, in cxx_abi_0 and cxx_abi_1, and here those for the torch in use are missing. The job runs without, until an operator of torch_npu asks for libatb.so.\n\n" +
		"Install the nnal package of the toolkit's release in whole."},
	AscendUnasked: {Title: "the image asks for NPUs, and the profile does not", ExitStatus: StatusMisfit, Story: "" +
		"The image sets ASCEND_VISIBLE_DEVICES, by which Ascend's own container runtime gives NPUs to whoever runs the image. hostrun gives what the profile asks for, and leases it: no runtime or image decides for it.\n\n" +
		"npus: in the profile, with the same numbers or others."},
	AscendNotAsked: {Title: "a whole /dev brings no NPU", ExitStatus: StatusMisfit, Story: "" +
		"privileged: true and devices: [/dev] bring every node of the machine, but those of single NPUs: the driver gives an NPU to the first container that opens it and refuses all others, so hostrun gives what is leased and nothing else.\n\n" +
		"npus: all, or those that the job needs."},
	AscendOption: {Title: "a value below ascend: is not known", ExitStatus: StatusProfile, Story: "" +
		"ascend: has the keys driver, the directory of the host's driver; toolkit, host or the directory of a CANN toolkit on the host; and rank_table, true or false.\n\n" +
		"Correct the value."},
}
