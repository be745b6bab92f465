package finding

import "maps"

func init() { maps.Copy(catalog, stackStories) }

// stackStories are of several profiles in one file, and of several containers of one profile.
var stackStories = map[string]Entry{
	ReplicaName: {Title: "container_name beside replicas", ExitStatus: StatusProfile, Story: "" +
		"replicas: N makes N containers of one profile, called NAME-1 to NAME-N. One name can't be that of several.\n\n" +
		"Remove container_name, or replicas."},
	ReplicaPorts: {Title: "several containers of one profile can't share a port or an address", ExitStatus: StatusProfile, Story: "" +
		"A port of the host leads to one container, and an address is one container's. With replicas the second container could not be started.\n\n" +
		"Publish a range for one port: ports: [\"8000-8007:80\"] gives each container one of them, and ports: [\"80\"] any that is free; hostrun port NAME tells which. Containers of a network reach each other by name: that of a profile with replicas leads to all of them. With the host's network let the program add HOSTRUN_REPLICA, which counts from 1, to the number of its port."},
	NameOther: {Title: "the container's name is taken by another profile or another stack", ExitStatus: StatusProfile, Story: "" +
		"A container is called as its profile, and a name is there once in a namespace. The container that has it was made by a profile of another file with several profiles, or it is a replica of another profile: web-1 is the first of web. hostrun does not replace what was started from somewhere else.\n\n" +
		"End that one first (hostrun down NAME), rename the profile, or start one of the two in another namespace: hostrun --namespace other up ... A stack whose file was moved is another one: hostrun down the old containers by their names."},
	VolumeInUse: {Title: "a volume is in use", ExitStatus: StatusTryAgain, Story: "" +
		"down -v removes the named volumes of the containers that it ends. A container that stays has one of them, so nothing was done: neither were containers ended nor volumes removed. A container that has ended and was not removed counts, too: it could be started again.\n\n" +
		"End the other container as well, or leave -v away."},
	VolumeAbsent: {Title: "an external volume is not there", ExitStatus: StatusNoPath, Story: "" +
		"external: true says that the volume was made before, by another stack or by hand. An empty one in its place would let the job run without its data.\n\n" +
		"Correct the name, or remove external: true."},
}
