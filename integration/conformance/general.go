package main

// general are the differences that any service may show.
var general = []difference{
	{"call.io_uring_setup", "EFAULT", "EPERM", "a newer default filter of system calls than Docker 20.10's: Docker took io_uring out in 25"},
	{"call.mbind", "EPERM", "EINVAL", "the newer filter lets NUMA's calls through, as they act on the caller alone"},
	{"call.name_to_handle_at", "EPERM", "EFAULT", "the newer filter lets it through: it opens nothing by itself"},
	{"call.process_vm_readv", "EPERM", "done", "the newer filter lets it through on kernels from 4.8, where the rules of ptrace hold"},
	{"env.ASCEND_VISIBLE_DEVICES", "-", "void", "a vendor's OCI runtime that is the machine's default must not inject devices a second time"},
	{"env.NVIDIA_VISIBLE_DEVICES", "-", "void", "likewise"},
	{"file./etc/hostname.writable", "yes", "read-only file system", "hostrun's file, which says what the record says"},
	{"file./etc/hosts.writable", "yes", "read-only file system", "the machine's own file, or one that hostrun brings up to date when containers come and go: what a container wrote would be lost"},
	{"file./etc/resolv.conf.writable", "yes", "read-only file system", "the machine's own file, which follows its changes"},
	{"mount./etc/hostname.options", "relatime,r*", "*ro", "likewise"},
	{"mount./etc/hosts.options", "relatime,r*", "*ro", "likewise"},
	{"mount./etc/resolv.conf.options", "relatime,r*", "*ro", "likewise"},
	{"masked./proc/interrupts", "false", "true", "the list of Docker 28: counts of interrupts tell about other containers"},
	{"mount./proc/interrupts.*", "-", "", "likewise"},
	{"mount.*.propagation", "master", "private", "Docker mounts roots and volumes on the machine as slaves, hostrun in the container alone; nothing is propagated into either"},
	{"mount./dev/shm.own", "rw,size=65536k", "rw", "half of the memory, as the machine's own: 64 MiB end data loaders of PyTorch by a bus error"},
	{"path./dev/shm.bytes", "67108864", "", "likewise"},
	{"label.*", "", "-", "an image's labels are the image's (hostrun inspect --image shows them), and containerd keeps no label without a value"},
	{"oom_score_adj", "0", "1", "that of containerd's shim, which adds 1 to containerd's; a daemon's protection (-999) is not handed down"},
	{"status.NoNewPrivs", "0", "1", "programs gain no rights by set-user-ID files unless security_opt says so"},
	{"file./etc/hosts *", "-", "127.0.1.1", "without a network a container can look up its own name all the same: gloo fails without"},
	{"file./etc/resolv.conf", "-", "no such file or directory", "without a network there is no name server to ask"},
	{"file./etc/resolv.conf nameserver", "10.*", "-", "likewise"},
	{"file./etc/resolv.conf.*", "", "-", "likewise"},
	{"mount./etc/resolv.conf.*", "", "-", "likewise"},
	{"file./etc/resolv.conf nameserver", "127.0.0.11", "", "Docker's own resolver answers for names of containers; hostrun writes them into /etc/hosts, and questions go to the servers themselves"},
	{"file./etc/resolv.conf options", "ndots:0", "-", "likewise"},
	{"interface.lo", "*0 of IPv6*", "*1 of IPv6*", "Docker switches IPv6 off, even at the loopback interface, where the network has none; hostrun leaves the kernel's setting"},
	{"sysctl.net.ipv6.conf.all.disable_ipv6", "1", "0", "likewise"},
}

// Differences of several cases.
var (
	initDifferences = []difference{
		{"pid.1", "docker-init", ".hostrun-init", "each has its own"},
		{"mount./.hostrun-init.*", "-", "", "likewise: Docker's lies below /sbin, where not every user of every image can look"},
		{"mount./sbin/docker-init.*", "", "-", "likewise"},
	}
	unknownUser  = difference{"env.USER", absent, "4242", "a user without a line in passwd: getpass.getuser, and torch by it, fail without it"}
	deepReadOnly = []difference{
		{"path./outer/inner.writable", "yes", "read-only file system", "ro holds for what is mounted below, too (Docker 25 and later do the same)"},
		{"mount./outer/inner.options", "relatime,rw", "relatime,ro", "likewise"},
	}
	deviceRights = []difference{
		{"capabilities.*", "00000000a80425fb", "00000000a00425fb", "a container that is given devices makes no nodes of others (CAP_MKNOD); cap_add brings it back"},
		{"*devices.list", "*rwm*", "*rw*", "likewise: rw unless m is written"},
	}
	noMknod    = deviceRights[:1]
	ownName    = difference{"file./etc/hosts ID", "-", "ADDRESS", "a container finds itself by the name of its profile, too"}
	hostNames  = difference{"file./etc/hosts *", "", "", "further names are added to the machine's own; Docker leaves those out as soon as there are others"}
	sharedShm  = difference{"mount./dev/shm.options", "relatime,rw", "nodev,noexec,nosuid,relatime,rw", "nobody executes anything there"}
	swapBeside = difference{"outside.memory.memsw.limit_in_bytes", "", "", "no swap beside the memory: a job that swaps is slow for no reason that anybody sees; Docker lets as much again be swapped out"}
	noWayOut   = difference{"route.default", "true", "false", "as Docker 27: an internal network has no default route"}
	runStatus  = difference{"run.status", "1", "12*", "docker run's statuses, and a shell's; compose says 1 for each"}
	execStatus = difference{"exec.status", "126", "127", "a shell's status, and Docker's from 25 on"}
	execWords  = difference{"exec.output", "OCI runtime exec failed*", "", "errors go to the standard error alone"}
	waitWords  = difference{"wait.output", "container * exited with status code 6", "6", "a number, as docker wait prints it"}
	followEnds = difference{"follow.output", "one*two*exited with code 0", "one*two", "the output is the container's alone"}
	ownInput   = []difference{
		{"mount./.hostrun-init.*", "-", "", "containerd gives a detached process without a terminal no standard input, so it reads a named pipe, which a small program of hostrun's opens for it"},
		{"mount./.hostrun-stdin.*", "-", "", "likewise"},
	}
	notCreated = difference{"state", "created", "none", "a container whose dependency has failed is not created"}

	emptyVariable = difference{"up fails", "false", "true", "a variable that is not set is an error, not an empty text: rm -rf $DIR/"}
	missingSource = difference{"up fails", "false", "true", "a missing source is an error, and no directory of root's: the job would run without its data"}
	shellWords    = difference{"up fails", "false", "true", "no shell acts on &&: the rest of the command would be lost"}
	shmBesideHost = difference{"up fails", "false", "true", "the size can't be kept: ipc: host shares the machine's /dev/shm"}
)
