package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// Who comes from docker compose types its words (docker compose VERB --help, v2.40). What hostrun has under another name, or not at all,
// is answered with what to type instead.

// composeVerbs are its verbs, and those of docker that stand beside them in people's hands.
var composeVerbs = map[string]string{
	"commit":  "write what is to be in the image into a Dockerfile, and build: into the profile",
	"compose": "leave the word away: hostrun up, hostrun ps",
	"config":  "hostrun spec NAME prints what would be started, hostrun check NAME what is wrong; hostrun import compose -o - FILE shows the stack of a compose file",
	"convert": "hostrun import compose FILE makes a stack of a compose file; hostrun spec NAME prints what would be started",
	"create":  "hostrun up creates and starts; hostrun pull and hostrun check prepare a start",
	"export":  "hostrun cp NAME:/ - writes the files of a container as a tar archive",
	"image":   "hostrun images, pull, load, save, rmi",
	"info":    "hostrun doctor looks at the machine, hostrun facts prints what is known of it",
	"ls":      "hostrun ps -a lists all containers, with their stacks in the column STACK",
	"network": "networks come and go with the containers that profiles put on them (networks:); hostrun inspect NAME shows its own",
	"prune":   "hostrun gc; --dry-run says what it would remove",
	"publish": "hostrun save IMAGE writes an archive for other programs; the stack is a file",
	"push":    "hostrun save IMAGE | docker load, and docker push; or any other program that takes an image's archive to a registry",
	"scale":   "hostrun up --scale NAME=NUMBER",
	"system":  "hostrun gc removes what is not needed, hostrun doctor looks at the machine",
	"tag":     "hostrun save IMAGE | hostrun load --name NAME",
	"volume":  "volumes are directories below /var/lib/hostrun/volumes; hostrun inspect NAME shows its mounts, hostrun down -v removes those of what it ends",
	"volumes": "volumes are directories below /var/lib/hostrun/volumes; hostrun inspect NAME shows its mounts, hostrun down -v removes those of what it ends",
	"watch":   "bind the sources (volumes: [./src:/src]): what changes there is seen at once; hostrun build NAME && hostrun up NAME after a change of the image",
}

// composeFlags are flags of its verbs, long and short, by verb; "" are those of each.
var composeFlags = map[string]map[string]string{
	"": {
		"all-resources": "a stack has no resources but those that its profiles use", "ansi": "--color auto|always|never, --progress auto|tty|plain|json|quiet",
		"compatibility": "names are those of profiles, with - before the number of a replica", "context": "--address SOCKET names another containerd",
		"dry-run":  "up, down, stop, restart and gc have --dry-run; hostrun check NAME starts nothing",
		"env-file": "variables come from the environment, and from the .env beside the profile's file; env_file: of a profile names those of the container",
		"f":        fileHint, "file": fileHint,
		"host": "--address SOCKET names another containerd", "H": "--address SOCKET names another containerd",
		"index":    "name the replica: NAME-2",
		"no-trunc": "nothing is cut off",
		"p":        projectHint, "project-name": projectHint, "parallel": "as much is done at once as can be",
		"profile": "hostrun up --tag NAME: a profile of hostrun is what compose calls a service", "project-directory": "name the file with its directory: hostrun up DIR/stack.yaml",
		"quiet-build": "-q shows errors only", "verbose": "--log-level info",
	},
	"up": {
		"always-recreate-deps": "name them too: hostrun up --force-recreate NAME DEPENDENCY", "attach-dependencies": "name them too: hostrun up --attach NAME DEPENDENCY",
		"menu": "keys are the container's; hostrun logs, hostrun down in another terminal", "no-attach": "hostrun up, and hostrun logs -f of those that are to be seen",
		"no-log-prefix": "hostrun up, and hostrun logs -f --no-log-prefix NAME", "timestamps": "hostrun up, and hostrun logs -f --timestamps NAME",
		"no-start": "hostrun pull and hostrun check prepare a start", "w": composeVerbs["watch"], "watch": composeVerbs["watch"],
	},
	"run": {
		"d": detachedRun, "detach": detachedRun, "env-from-file": "-e NAME=VALUE, or env_file: of the profile",
		"remove-orphans": "hostrun up ./stack.yaml --remove-orphans", "use-aliases": "networks: {NAME: {aliases: []}} of the profile are the one-off container's, too, where it has the network",
	},
	"exec": {
		"d": detachedExec, "detach": detachedExec, "privileged": "privileged: or cap_add: of the profile",
	},
	"build": {
		"builder": "--with buildkit|docker|buildah", "check": "hostrun check NAME looks at the profile; a Dockerfile is the builder's to check", "m": "a limit of the builder's own", "memory": "a limit of the builder's own",
		"print": "the builder's command is in the log: --log-level info", "provenance": "images are built without attestations", "sbom": "images are built without attestations",
		"push": composeVerbs["push"], "ssh": "build: {ssh: [default]} of the profile", "with-dependencies": "name them too: hostrun build NAME DEPENDENCY",
	},
	"cp":      {"all": "name one: hostrun ps -a lists them"},
	"events":  {"since": keptEvents, "until": keptEvents},
	"export":  {"o": composeVerbs["export"], "output": composeVerbs["export"], "index": composeVerbs["export"]},
	"images":  {"all": "hostrun images lists all of them"},
	"kill":    {"remove-orphans": "hostrun down ./stack.yaml --remove-orphans"},
	"port":    {"protocol": "write it behind the port: hostrun port NAME 53/udp"},
	"ps":      {"orphans": "orphans are always listed, and named"},
	"pull":    {"include-deps": "name them too; without a name it is the whole stack of this directory"},
	"version": {"short": "--format '{{.version}}'"},
	"wait":    {"down-project": "hostrun wait NAME; hostrun down"},
}

const (
	fileHint     = "name the file where a profile is named: hostrun up ./stack.yaml; hostrun import compose FILE makes one of a compose file"
	projectHint  = "--namespace NAME keeps containers apart; a stack's name: is for people"
	detachedRun  = "hostrun up NAME -- ARGS returns when it is started; or hostrun run NAME -- ARGS & of your shell"
	detachedExec = "let a shell start it: hostrun exec NAME -- sh -c 'CMD >/dev/null 2>&1 &'"
	keptEvents   = "events are not kept, they are told from now on; hostrun inspect NAME tells of restarts and ends, hostrun logs --since of the output"
)

// composeWord is what to type instead of a flag of compose's, as it was typed: --watch, -w; "" if it is none.
func composeWord(verb, word string) string {
	name := strings.TrimLeft(word, "-")
	if hint := composeFlags[verb][name]; hint != "" {
		return hint
	}
	return composeFlags[""][name]
}

// taken is a flag of compose's that says what is so anyway.
func taken(name string, aliases ...string) cli.Flag {
	return &cli.BoolFlag{Name: name, Aliases: aliases, Hidden: true}
}
