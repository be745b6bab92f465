package finding

import "maps"

func init() { maps.Copy(catalog, keyStories) }

// keyStories are of compose's keys that lean on something outside of the profile.
var keyStories = map[string]Entry{
	DataMissing: {Title: "a secret or config is missing", ExitStatus: StatusNoPath, Story: "" +
		"The content of a secret or config comes from a file, from a variable of the environment of the command that starts the container, or from systemd's credentials: $CREDENTIALS_DIRECTORY, /run/credstore, /etc/credstore. It is not there. Without it the program would start and be refused by whom it logs in to, hours later.\n\n" +
		"A secret is kept in memory from its first start to hostrun down, so that the container can be restarted; not over a reboot. What has to outlive one comes from a file or a credential."},
	HookFailed: {Title: "a command of pre_start, post_start or pre_stop has failed", ExitStatus: StatusTryAgain, Story: "" +
		"pre_start runs in a container of its own before the container, post_start in the container once it runs, pre_stop in it before the stop signal. One that ends with another status than 0 ends the start: nothing is started after pre_start, and after post_start the container is stopped. After pre_stop the container goes on, as in compose.\n\n" +
		"The message has the command's last lines. hostrun kill NAME and hostrun rm --force NAME end a container without its pre_stop."},
	LogUnreachable: {Title: "the journal can't be reached", ExitStatus: StatusNoPath, Story: "" +
		"logging: {driver: journald} sends each line to systemd's journal, at /run/systemd/journal/socket. That is not there: the machine is not run by systemd, or this is a container.\n\n" +
		"Take logging: away or write driver: local, which keeps rotated files; hostrun logs reads them."},
	HealthUntested: {Title: "nothing says what healthy means", ExitStatus: StatusProfile, Story: "" +
		"healthcheck: without test:, http:, tcp:, log: or gpu: changes intervals of the image's own HEALTHCHECK, and the image has none.\n\n" +
		"Add one of them, or remove healthcheck:."},
	PortsUnpublished: {Title: "ports that are not published", ExitStatus: StatusProfile, Story: "" +
		"An internal network has no way out and none in: docker publishes nothing from it and does not say so. The container starts, other containers of the network reach it at its own ports, and from the machine it can be reached at its address. Put it on a further network to publish ports, or remove them.\n\n" +
		"The same goes for a container whose way out (the network with the highest priority:) is of driver macvlan or ipvlan: it has an address of its own among the machines of that network, and they reach its own ports there."},
	LabelUnset: {Title: "a container is to have a label of SELinux's", ExitStatus: StatusMisfit, Story: "" +
		"security_opt: [label:type:NAME] and the like ask for the container's processes to run under that label. hostrun gives containers none; where SELinux does not enforce there is nothing to give, and the option is passed over, as docker does. This machine enforces.\n\n" +
		"label:disable says that no label is wanted, which is what hostrun does."},
	VolumeUnmounted: {Title: "the file system of a volume can't be mounted", ExitStatus: StatusTryAgain, Story: "" +
		"volumes: {data: {driver_opts: {type: nfs, o: \"addr=10.0.0.5,rw\", device: \":/exports/data\"}}} has the file system mounted at the volume's directory, at the first start of a container that has the volume. mount(2) has refused it: the server does not answer, has no such export, or the kernel knows no such file system.\n\n" +
		"hostrun down unmounts it with the last container that has the volume."},
	RelabelNeeded: {Title: "a mount wants to be labelled for SELinux", ExitStatus: StatusMisfit, Story: "" +
		"z and Z ask for the files of a mount to be labelled, so that a container may use them where SELinux enforces. hostrun starts containers without labels of SELinux's, which need none; but this machine enforces, and a policy may keep the container from files of other types.\n\n" +
		"Label them once by hand: chcon -Rt container_file_t PATH, and remove the option."},
}
