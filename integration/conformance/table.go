package main

// What the services' files hold (machine.files).
const (
	oneEnv = "ONE=1\nBOTH=one\nQUOTED=\"with spaces\"\nSINGLE='$NOT'\nUSES=${FROM_CALLER}\nDEFAULT=${NOT_THERE:-default}\n# a comment\nTRAILING=value # comment\nHASH=a#b\nEMPTY=\n\nexport EXPORTED=yes\n"
	twoEnv = "TWO=2\nBOTH=two\n"
	rawEnv = "RAW=\"quoted\" $NOT\n"
)

// scenes are all cases, in the order of the report.
func scenes() []scene {
	var all []scene
	for _, part := range [][]scene{
		baseScenes(), environmentScenes(), processScenes(), userScenes(), fileScenes(), limitScenes(), rightScenes(), nameScenes(),
		runScenes(), execScenes(), stopScenes(), restartScenes(), healthScenes(), dependScenes(), logScenes(), portScenes(), networkScenes(), buildScenes(), refusedScenes(), statusScenes(), wholeScenes(),
	} {
		all = append(all, part...)
	}
	return all
}

// alone is a case that looks at a service without network.
func alone(group, name, about, service string, differ ...difference) scene {
	return observed(group, name, about, service+"\nnetwork_mode: none\n", differ...)
}

func baseScenes() []scene {
	return []scene{
		alone("nothing said", "plain-none", "no network", ""),
		observed("nothing said", "plain-host", "the host's network", "network_mode: host\n"),
		observed("nothing said", "plain-bridge", "a network", "networks: [plain]\n").top("networks: plain: {}\n"),
		alone("nothing said", "dressed", "all that an image may say", "").of(dressed),
	}
}
