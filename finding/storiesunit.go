package finding

import "maps"

func init() { maps.Copy(catalog, unitStories) }

// unitStories are of containers that are services of systemd.
var unitStories = map[string]Entry{
	UnitsOwn: {Title: "the container belongs to a unit", ExitStatus: StatusTryAgain, Story: "" +
		"The container was started by hostrun up --supervise, as the main process of a systemd unit. It is in the unit's cgroup, and the unit decides when it is started. Another command that starts or replaces it would do so behind systemd's back: the unit would see it end, and start it once more.\n\n" +
		"systemctl restart hostrun@NAME makes it anew from the profile. hostrun stop and down work, and stop the unit too; logs, exec, ps and the like are not concerned."},
	KeptTwice: {Title: "a container is supervised twice", ExitStatus: StatusTryAgain, Story: "" +
		"Another hostrun up --supervise looks after a container of this name. Two would each take the end of the container for their own.\n\n" +
		"The number of the other process is in the message: systemctl status PID tells its unit."},
	NoReplica: {Title: "the profile has no such replica", ExitStatus: StatusProfile, Story: "" +
		"hostrun systemd install writes a unit for each replica of a profile, as many as replicas: says then. This unit is for one that the profile has no more: its number is smaller by now, " +
		"or the machine has fewer devices than it had. hostrun systemd uninstall NAME, and install, bring units and profile together; no restart does."},
	NotInUnit: {Title: "the container can't be in its unit's cgroup", ExitStatus: StatusMisfit, Story: "" +
		"A container that is a service lies in the cgroup of its unit, so that systemd counts and limits what it uses and ends it with the unit. That needs cgroup v2 and a unit with Delegate=yes, and a containerd that sees the same cgroups. Elsewhere the container gets a cgroup of its own, as with hostrun up: limits of the profile hold, MemoryMax= and the like of the unit do not, and a supervisor that is killed leaves the container running until ExecStopPost= ends it.\n\n" +
		"Boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or use the template that hostrun systemd install brings."},
	NoSystemd: {Title: "systemd does not do what was asked", ExitStatus: StatusTryAgain, Story: "" +
		"hostrun systemd has written or removed the unit's files, and systemctl, which is to make systemd read them, is not there or has failed. In an image or a chroot there is no systemd that runs: the files are read when the machine boots.\n\n" +
		"Without --now and --enable, install needs no systemd; hostrun systemd print writes the files to stdout."},
	TemplateOther: {Title: "the template of the units is somebody else's", ExitStatus: StatusTryAgain, Story: "" +
		"hostrun systemd install keeps the template hostrun@.service in /etc/systemd/system, where no package has brought the same. Its first line tells whether it is as install wrote it. This one is not: a person has written or changed it, as systemctl edit --full does, and it is left as it is. What a newer hostrun needs may be missing in it; a masked one starts nothing.\n\n" +
		"hostrun systemd print shows this hostrun's. Put changes of your own into a drop-in, systemctl edit hostrun@.service, which install never touches; then remove the changed template, or systemctl unmask hostrun@.service, and install again."},
	UsernsUnavailable: {Title: "the container can't have ids of its own here", ExitStatus: StatusMisfit, Story: "" +
		"userns_mode: private gives the container 65536 user and group ids that nobody else on the machine has. The files of its image and of its mounts are mounted with these ids (mount_setattr(2), MOUNT_ATTR_IDMAP), which takes Linux 5.19.\n\n" +
		"The ids come from the lines of the user hostrun in /etc/subuid and /etc/subgid; without such lines from 1879048192 (0x70000000) on, where no account lies. Where all are taken, add lines (name:first:how many): echo hostrun:1000000:4194304 >>/etc/subuid, and the same for /etc/subgid."},
	UsernsMount: {Title: "a mount can't have the container's ids", ExitStatus: StatusMisfit, Story: "" +
		"With userns_mode: private each mount of the machine's files has, in the container, the owners that it has outside. The kernel does that for ext4, XFS, Btrfs, F2FS, tmpfs (6.3), overlayfs' layers and more; not for NFS, 9p, most of FUSE, overlayfs itself, nor for what is mounted with other ids already. The container is not started rather than with files that would be nobody's.\n\n" +
		"Take the files from another file system, or remove userns_mode. A mount below the source counts, too: bind: {recursive: disabled} leaves it out."},
	UsernsExcludes: {Title: "two keys exclude each other, one of which is userns_mode", ExitStatus: StatusProfile, Story: "" +
		"What belongs to the machine can't be had from within a user namespace: all rights (privileged), other processes (pid), the IPC of others (ipc), the network of another container (network_mode: container:), mounts that are passed on (propagation: shared), the domain name, the machine's own files as root (rootfs: host).\n\n" +
		"Remove one of the two."},
	UsernsPowerless: {Title: "a right means nothing in a user namespace", ExitStatus: StatusMisfit, Story: "" +
		"Capabilities hold within the container's user namespace: over its own files, processes and mounts, and over a network of its own (network_mode: bridge or none, networks:). With the host's network CAP_NET_ADMIN and CAP_NET_RAW give nothing, and ports below 1024 are open to root of the machine alone.\n\n" +
		"A warning: the container is started."},
	UsernsIDOutside: {Title: "the container has no such user or group", ExitStatus: StatusProfile, Story: "" +
		"With userns_mode: private the container's ids are 0 to 65535. A user or group of user:, group_add:, or of the image, is greater.\n\n" +
		"Take another number, or remove userns_mode."},
	UsernsNPU: {Title: "NPUs in a user namespace have not been tried", ExitStatus: StatusMisfit, Story: "" +
		"The container's nodes belong to the driver's group by its number in the container; on the machine that is another number. Huawei's driver gives NPUs to one container and looks at who opens them; whether it minds is not known.\n\n" +
		"A warning. Try npu-smi info in the container; without userns_mode nothing is mapped."},
	UnitLess: {Title: "the unit allows less than the profile", ExitStatus: StatusMisfit, Story: "" +
		"A container that is a service lies in the cgroup of its unit, and whatever limits the unit, or the slice that it is in, limits the container: the lesser of the two limits holds. mem_limit: 8gb below a MemoryMax=1G ends at 1 GiB, and the kernel kills the job there.\n\n" +
		"hostrun systemd install NAME writes MemoryMax= and TasksMax= of the unit by the profile: after a change of mem_limit or pids_limit run it again, which holds for the running unit at once. Limits of your own, in a file of the unit or its slice, are yours to raise: systemctl cat hostrun@NAME shows them."},
	UnitReload: {Title: "a change needs a restart of the unit", ExitStatus: StatusMisfit, Story: "" +
		"systemctl reload hostrun@NAME reads the profile again and does what can be done to a container that runs: cpus, mem_limit, pids_limit, cpuset, healthcheck, stop_signal and stop_grace_period. Something else has changed, too, or the profile does not fit any more; the container goes on as it was, and nothing has been applied.\n\n" +
		"systemctl restart hostrun@NAME makes the container anew. The journal names what differs."},
}
