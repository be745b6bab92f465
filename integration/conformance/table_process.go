package main

func environmentScenes() []scene {
	const g = "environment"
	return []scene{
		alone(g, "env-map", "a mapping: text, number, quoted boolean, nothing", `environment: {A: text, NUMBER: 7, NEGATIVE: -1, FLAG: "true", EMPTY: ""}`),
		alone(g, "env-list", "a list", `environment: [A=1, "B=x=y", "SPACE= leading", "QUOTE=\"kept\""]`),
		alone(g, "env-caller", "a name without a value is the caller's", "environment:\n  FROM_CALLER:\n  NOT_THERE:\n  EMPTY_CALLER:\n"),
		alone(g, "env-caller-list", "the same in a list", "environment: [FROM_CALLER, NOT_THERE]"),
		alone(g, "env-dotenv", "variables of .env, under those of the caller", `environment: {A: "${FROM_DOTENV}", B: "$OVER_DOTENV", C: "${WITH_QUOTES}"}`),
		alone(g, "env-defaults", "each form of a variable", `environment: {A: "${NOT_THERE:-d}", B: "${EMPTY_CALLER:-d}", C: "${EMPTY_CALLER-d}", D: "${FROM_CALLER:+r}", E: "${NOT_THERE+r}x", F: "$$HOME", G: "${NOT_THERE:-${FROM_CALLER}}", H: "${FROM_CALLER:?must}", I: "a${FROM_CALLER}b"}`),
		alone(g, "env-file", "one env_file: quotes, comments, variables, export", "env_file: one.env"),
		alone(g, "env-file-list", "the later env_file wins", "env_file: [one.env, two.env]"),
		alone(g, "env-file-under", "environment goes before env_file", "env_file: two.env\nenvironment: {BOTH: own}"),
		alone(g, "env-file-optional", "the long form, a file that need not be there", "env_file: [{path: missing.env, required: false}, {path: two.env}]"),
		alone(g, "env-file-raw", "format: raw", "env_file: [{path: raw.env, format: raw}]"),
		alone(g, "env-over-image", "over the image's", "environment: {FROM_IMAGE: mine, PATH: /bin}").of(dressed),
		alone(g, "env-basics", "HOME, HOSTNAME and TERM of one's own", "environment: {HOME: /elsewhere, HOSTNAME: other, TERM: dumb}"),
		alone(g, "env-merge", "anchors and merge keys", "x-a: &a {A: 1, B: 1}\nenvironment: {<<: *a, B: \"2\"}"),
		alone(g, "env-lines", "a value of several lines", "environment:\n  A: |\n    one\n    two\n"),
		alone(g, "env-unicode", "other scripts, and what a shell would act on", "environment: {A: \"äß 漢字\", B: \"`x` $$(y) ; & |\"}"),
	}
}

func processScenes() []scene {
	const g = "process"
	return []scene{
		alone(g, "command-list", "a list", `command: [/probe, report, "a b", "", "$$X"]`),
		alone(g, "command-text", "text, split by a shell's quoting", `command: /probe report "a b" 'c d' e\ f`),
		alone(g, "command-folded", "text over lines", "command: >\n  /probe report\n  one\n  two\n"),
		alone(g, "command-variable", "a variable in it", `command: [/probe, report, "${FROM_CALLER}", "${NOT_THERE:-d}"]`),
		alone(g, "command-over-image", "the image's ENTRYPOINT stays", "command: [report, /tmp]").of(dressed),
		alone(g, "entrypoint-list", "drops the image's CMD", "entrypoint: [/probe, report]").of(dressed),
		alone(g, "entrypoint-text", "text", "entrypoint: /probe report 'a b'"),
		alone(g, "entrypoint-command", "both", "entrypoint: [/probe]\ncommand: [report, one]").of(dressed),
		alone(g, "entrypoint-empty", "an empty one drops the image's", "entrypoint: []\ncommand: [/probe, report]").of(dressed),
		alone(g, "entrypoint-blank", "so does an empty text", "entrypoint: \"\"\ncommand: [/probe, report]").of(dressed),
		alone(g, "working-dir", "that is there", "working_dir: /tmp"),
		alone(g, "working-dir-missing", "that is made", "working_dir: /not/there\ncommand: [/probe, report, /not, /not/there]"),
		alone(g, "working-dir-user", "that is made, for another user", "working_dir: /not/there\nuser: app\ncommand: [/probe, report, /not/there]"),
		alone(g, "init", "a small first process", "init: true", initDifferences...),
		alone(g, "init-user", "the same for a user", "init: true\nuser: app", initDifferences...),
		alone(g, "tty", "a terminal", "tty: true"),
		alone(g, "stdin-open", "an open standard input", "stdin_open: true", ownInput...),
		alone(g, "tty-stdin", "both", "tty: true\nstdin_open: true"),
		alone(g, "stop-signal", "by name", "stop_signal: SIGUSR1"),
		alone(g, "stop-signal-short", "without SIG", "stop_signal: INT"),
		alone(g, "stop-signal-number", "by number", "stop_signal: \"10\""),
		alone(g, "stop-signal-realtime", "a real-time one", "stop_signal: SIGRTMIN+3"),
		alone(g, "labels-map", "labels", "labels: {a.b: one, number: 1, empty: \"\"}"),
		alone(g, "labels-list", "labels in a list", "labels: [a.b=one, c]"),
		alone(g, "labels-over-image", "labels beside the image's", "labels: {both: own}").of(dressed),
		alone(g, "platform", "the machine's own platform", "platform: linux/amd64"),
		alone(g, "extensions", "keys that begin with x-", "x-anything: {at: all}"),
	}
}

func userScenes() []scene {
	const g = "user"
	return []scene{
		alone(g, "user-name", "a name of the image", "user: app"),
		alone(g, "user-number", "a number that has a name", "user: \"1000\""),
		alone(g, "user-group", "two numbers", "user: \"1000:44\""),
		alone(g, "user-unknown", "numbers that have no name", "user: \"4242:4243\"", unknownUser),
		alone(g, "user-names", "a user and a group", "user: app:video"),
		alone(g, "user-other", "one whose home directory is not there", "user: other"),
		alone(g, "user-root", "root, over the image's", "user: root").of(dressed),
		alone(g, "user-zero", "0:0, over the image's", "user: \"0:0\"").of(dressed),
		alone(g, "group-add", "groups by name and number", "group_add: [video, 4000]"),
		alone(g, "group-add-user", "for a user who has some", "user: app\ngroup_add: [\"4000\", extra]"),
		alone(g, "group-add-number", "as a number of YAML's", "user: \"1000:1000\"\ngroup_add: [44, 4001]"),
	}
}
