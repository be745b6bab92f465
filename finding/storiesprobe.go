package finding

import "maps"

func init() { maps.Copy(catalog, probeStories) }

// probeStories are of what is tried between the creation of a container and its start.
var probeStories = map[string]Entry{
	DeviceClosed: {Title: "a device can't be used in the container", ExitStatus: StatusNoDevice, Story: "" +
		"When a container with accelerators has been made, and before its program runs, hostrun looks at each of its device nodes from inside: with the container's root, device cgroup, user and capabilities. A program that finds no device computes on the processor, and nobody is told.\n\n" +
		"\"Operation not permitted\" is the device cgroup: something has changed its rules. \"Permission denied\" is the node's owner and mode. \"No such file or directory\": a volume covers it. \"No such device\" or \"No such device or address\": no driver has that number, as after the driver was loaded anew. \"Input/output error\": the device is dead. The nodes of NPUs, and of GPUs that nobody keeps initialised, are looked at and not opened."},
	DeviceSilent: {Title: "a device does not answer", ExitStatus: StatusNoDevice, Story: "" +
		"An open of a device node hangs inside of the driver: a GPU that has fallen off the bus, a firmware that is stuck. The container is not started. The process that hangs can't be killed and stays behind until the driver lets go of it; the container's cgroup stays as long.\n\n" +
		"dmesg | grep -i -e NVRM -e Xid shows what the driver says; nvidia-smi --gpu-reset or a reboot may bring the device back."},
	DriverUnloadable: {Title: "the driver's library can't be loaded in the container", ExitStatus: StatusMisfit, Story: "" +
		"Before the start hostrun follows the container's own loader over the files that are there, with every mount in its place, and looks for what a program of the accelerator loads first (libcuda.so.1), with all that it needs. It has failed: a volume covers a directory of libraries, LD_LIBRARY_PATH leads to another file, or the driver's files were changed a moment ago. The message is the loader's own.\n\n" +
		"hostrun spec NAME shows what is bound where, and hostrun explain HR144, HR145 and HR150 tell of other causes."},
	CommandOnHost: {Title: "the command is a console script that stays on the host", ExitStatus: StatusNotFound, Story: "" +
		"torchrun, accelerate, vllm and the like are small scripts that pip writes into the environment's bin directory, beside its interpreter. hostrun lends the environment's packages and not that directory: its scripts begin with the path of the host's interpreter. The container would end at once, with status 127.\n\n" +
		"What such a script does is written in the package's entry_points.txt, and the container's interpreter can do it as well: [torchrun, --nproc-per-node, \"2\", train.py] becomes [python3, -m, torch.distributed.run, --nproc-per-node, \"2\", train.py]. The finding says the words."},
	CommandMissing: {Title: "the command is not in the container", ExitStatus: StatusNotFound, Story: "" +
		"The first word of the command is looked for in the directories of the container's PATH, in the image with all mounts in place, as the start itself would. It is in none of them, and the container would end at once, with status 127.\n\n" +
		"PATH is the profile's under environment:, else the image's. A program of the host is not lent: install it into the image, or mount it under volumes:."},
}
