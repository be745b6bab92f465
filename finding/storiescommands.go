package finding

import "maps"

func init() { maps.Copy(catalog, commandStories) }

// commandStories are of verbs that work on containers and images that are there.
var commandStories = map[string]Entry{
	CopyReadOnly: {Title: "cp would write into what is read-only", ExitStatus: StatusPermission, Story: "" +
		"hostrun cp writes with the container's own mounts: where those are read-only, so is the copy. The host's packages, CUDA and CANN are, since a container that changed them would change the machine for everybody; a volume with :ro is; and with read_only: true so is the container's root.\n\n" +
		"The message names the mount and where it comes from. Change the files there, on the machine; or copy to another place of the container. hostrun inspect NAME lists its mounts."},
	DockerAway: {Title: "the local Docker can't be asked", ExitStatus: StatusTryAgain, Story: "" +
		"hostrun pull docker-daemon:NAME asks Docker's daemon for an image, at DOCKER_HOST if that is set (unix://, tcp:// and http://; with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH as docker has them), else at /var/run/docker.sock or the socket of a rootless Docker in XDG_RUNTIME_DIR. It does not answer there.\n\n" +
		"systemctl start docker starts it. Where it is reached by ssh:// alone: docker save NAME | hostrun load."},
	DockerNoImage: {Title: "the local Docker has no such image", ExitStatus: StatusNoPath, Story: "" +
		"docker images lists what it has. An image that has no name there is taken by its ID, and gets one by --name: hostrun pull --name NAME docker-daemon:ID."},
	LockDiffers: {Title: "something is not what hostrun.lock says", ExitStatus: StatusMisfit, Story: "" +
		"hostrun lock has written down what a profile was made of, besides its own text: the image's digest, the versions of the host's driver, Python, packages, CUDA and CANN. With --locked or HOSTRUN_LOCKED=1 nothing starts that is made of something else.\n\n" +
		"The finding names what differs, and the line of the lock. hostrun lock --check NAME lists everything. If the change is wanted, hostrun lock NAME takes it over, and the difference of the file shows it to who reviews it; an image's tag that was moved is brought back by hostrun pull --locked NAME."},
	LockMissing: {Title: "the profile is not locked", ExitStatus: StatusMisfit, Story: "" +
		"--locked asks for what hostrun.lock beside the profile's file says, and there is no such file, or it has no entry of the profile. What a profile depends on needs one, too.\n\n" +
		"hostrun lock NAME writes it, with those that it depends on. A profile that is built into hostrun has no place of its own: --lock-file FILE names one."},
	LockInvalid: {Title: "hostrun.lock can't be read", ExitStatus: StatusProfile, Story: "" +
		"The file is no YAML, as after a merge with conflicts, or has keys that this hostrun does not know, as from a later version. Nothing of it is used then.\n\n" +
		"Take one of the versions that were merged, and run hostrun lock for the profiles of the other; or remove the file, and write it anew."},
}
