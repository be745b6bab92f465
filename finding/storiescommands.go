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
}
