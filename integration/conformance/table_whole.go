package main

import (
	"strings"
	"time"
)

// imported takes a whole compose file, in a directory of its own, and what lies beside it. Its first service is the case's.
func imported(name, about, compose string, beside map[string]string, play func(*player), differ ...difference) scene {
	files := map[string]string{"compose.yaml": compose}
	for path, text := range beside {
		files[path] = text
	}
	return scene{group: "whole files", name: name, about: about, service: compose, files: files, play: play, differ: differ}
}

// lookAt starts the whole file, and looks at its first service and at how the others are.
func lookAt(others ...string) func(*player) {
	return func(p *player) {
		up := p.up(nil)
		p.noteStatus("up", up)
		if up.status == 0 {
			p.observe(up)
		}
		for _, name := range others {
			p.note("state of "+name, p.state(p.name+"-"+name).Status)
		}
	}
}

// ends starts the whole file, and notes what its first service has printed, and how it ended.
func ends(p *player) {
	p.noteStatus("up", p.up(nil))
	p.ended(p.name)
	p.note("output", p.logged(p.name))
	p.note("status", p.state(p.name).Exit)
}

// tell is a service that prints the values of variables between brackets, and ends.
func tell(names ...string) string {
	var words []string
	for _, name := range names {
		words = append(words, name+"=[$$"+name+"]")
	}
	return "[sh, -c, 'echo \"" + strings.Join(words, " ") + "\"']"
}

// wholeScenes are files as people write them; hostrun runs what `hostrun import compose` makes of them.
func wholeScenes() []scene {
	return append(composedScenes(), []scene{
		imported("file-serve", "a model's server: folded command, defaults, host's IPC, limits, a healthcheck of variables", `
services:
  @:
    image: conformance:${TAG:-1}
    container_name: @
    ipc: host
    shm_size: 16gb
    environment:
      - HF_TOKEN=${HF_TOKEN}
      - WORKERS_METHOD=spawn
      - OVER_DOTENV
    command: >
      /probe report
      --model ${MODEL:-Qwen/Qwen2.5-7B-Instruct}
      --tensor-parallel-size ${TP:-1}
      --max-model-len 8192
    volumes:
      - ./cache:/root/.cache/huggingface
      - {type: bind, source: ../data, target: /models, read_only: true}
    ulimits: {nofile: {soft: 1000, hard: 2000}, core: 0}
    deploy: {resources: {limits: {cpus: '1.5', memory: 512M, pids: 200}, reservations: {memory: 64M}}}
    healthcheck:
      test: ["CMD-SHELL", "test \"$${WORKERS_METHOD}\" = spawn"]
      interval: 1s
    network_mode: none
    restart: unless-stopped
`, nil, lookAt(), sharedShm, swapBeside),
		imported("file-pipeline", "a scheduler's file: anchors in anchors, an init service, profiles that are not started", `
x-common: &common
  image: conformance:1
  environment: &env
    EXECUTOR: Celery
    KEY: ''
    PAUSED: 'true'
    EXTRA: ${EXTRA:-}
  volumes:
    - ${PROJ_DIR:-.}/dags:/opt/dags
    - ${PROJ_DIR:-.}/logs:/opt/logs
  user: "${UID_OF:-1000}:0"
  network_mode: none
  depends_on: &on
    @-redis: {condition: service_healthy}
services:
  @:
    <<: *common
    command: [/probe, report, /opt/dags, /opt/logs]
    environment: {<<: *env, ROLE: web}
    depends_on:
      <<: *on
      @-init: {condition: service_completed_successfully}
  @-redis:
    image: conformance:1
    network_mode: none
    expose: [6379]
    healthcheck: {test: [CMD, "true"], interval: 1s, timeout: 30s, retries: 50}
    restart: always
  @-init:
    <<: *common
    entrypoint: /bin/sh
    command:
      - -c
      - |
        if [ -z "$$EXECUTOR" ]; then
          exit 3
        fi
        echo "$$(id -u)"
    user: "0:0"
  @-cli: {<<: *common, profiles: [debug], command: [sh, -c, exit 9]}
`, nil, lookAt("redis", "init", "cli")),
		imported("file-numbers", "values that YAML reads as other text", "services:\n  @:\n    image: conformance:1\n    network_mode: none\n    environment: {VERSION: 1.10, HEX: 0x10, OCT: 0755, T: True, EXP: 1e3, FLOAT: 3.0, WORD: yes, BIG: 12345678901234567890, NEG: -0.50}\n    labels: {v: 1.50, t: True}\n", nil, lookAt()),
		imported("file-variables", "variables everywhere, .env, the project's name", "name: ${NAMED:-pro-ject}\nservices:\n  @:\n    image: ${IMAGE}:${TAG-1}\n    network_mode: ${MODE:-none}\n    hostname: h-${FROM_CALLER}\n    working_dir: ${DIR:-/tmp}\n    user: \"${U:-1000}:${G:-44}\"\n    environment: {A: \"${UNSET}\", B: \"${UNSET:-${ALSO:-deep}}\", C: \"$$A $${B}\", D: \"${EMPTY_CALLER-x}${EMPTY_CALLER:-y}\", E: \"${IMAGE:+set}${UNSET:+set}${UNSET+set}\", P: \"${COMPOSE_PROJECT_NAME}\", Q: \"${QUOTED}\", R: \"$REFERS\"}\n    command: [/probe, report, \"${DIR:-/tmp}\"]\n    stop_grace_period: ${GRACE:-3}s\n    read_only: ${RO:-true}\n    cpus: ${CPUS:-0.5}\n    labels: {p: \"${COMPOSE_PROJECT_NAME}\"}\n",
			map[string]string{".env": "IMAGE=conformance\nQUOTED='a $b'\nREFERS=${IMAGE}-x\n# comment\nexport EXPORTED=1\n"}, lookAt()),
		imported("file-project-variable", "COMPOSE_PROJECT_NAME and COMPOSE_PROFILES in .env", "services:\n  @:\n    image: conformance:1\n    network_mode: none\n    environment: {P: \"$COMPOSE_PROJECT_NAME\"}\n  @-extra: {image: conformance:1, network_mode: none, profiles: [more, other]}\n  @-left: {image: conformance:1, network_mode: none, profiles: [left]}\n",
			map[string]string{".env": "COMPOSE_PROJECT_NAME=of-dotenv\nCOMPOSE_PROFILES=more\n"}, lookAt("extra", "left")),
		imported("file-host-network", "docker's network host by name", "services:\n  @:\n    image: conformance:1\n    networks: [machine]\nnetworks:\n  machine: {external: true, name: host}\n", nil, func(p *player) {
			p.note("up fails", p.up(nil).status != 0)
		}, difference{"up fails", "true", "false", "docker refuses the service's name on its network host; network_mode: host is what is meant"}),
		imported("file-secrets", "secrets and configs of files, variables and text", `
services:
  @:
    image: conformance:1
    network_mode: none
    command: [sh, -c, "cat /run/secrets/token /run/secrets/renamed /app.ini /etc/app/of-file; echo; ls -ln /run/secrets/token /app.ini | sed 's/ [A-Z][a-z][a-z] .*//'"]
    secrets: [token, {source: other, target: renamed}]
    configs: [app.ini, {source: filed, target: /etc/app/of-file}]
secrets:
  token: {file: ./token.txt}
  other: {environment: FROM_CALLER}
configs:
  app.ini: {content: "debug=${DEBUG:-0}\nprice=$$5\n"}
  filed: {file: ./token.txt}
`, map[string]string{"token.txt": "s3cret\n"}, ends, difference{"output", "*-rw-r--r--*", "*-r--r--r--*", "nobody may write a secret or a config, root neither"}),
		imported("file-volumes", "volumes of mount(8), of a directory, with labels", `
services:
  @:
    image: conformance:1
    network_mode: none
    volumes: ["memory:/memory", "there:/there", "labelled:/labelled:ro", "./single:/single:ro,z", "./made:/made:cached"]
    command: [/probe, report, /memory, /there, /labelled, /single, /made]
volumes:
  memory: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: "size=1m,uid=1000,mode=0750,noexec"}}
  there: {driver_opts: {type: none, o: bind, device: "${DEVICE:-/etc}"}}
  labelled: {labels: {team: ml}}
`, map[string]string{"single": "x\n", ".env": ""}, lookAt()),
		imported("file-built", "an image that only the build names", "services:\n  @:\n    build: {context: ., dockerfile_inline: \"FROM conformance:1\\nENV BUILT=yes\\n\"}\n    network_mode: none\n  @-second:\n    image: c-@-@\n    pull_policy: never\n    network_mode: none\n    depends_on: [@]\n", nil, lookAt("second")),
		imported("file-options", "logging's and security's words that Docker takes without acting on them here", `
services:
  @:
    image: conformance:1
    network_mode: none
    logging: {driver: json-file, options: {max-size: 200k, max-file: "10", labels: "production,team", env: "A,B", tag: "{{.Name}}/{{.ID}}"}}
    security_opt: ["no-new-privileges:true", "apparmor=docker-default", "label=type:container_t", "label:level:s0:c100"]
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    read_only: true
    tmpfs: ["/run:rw,noexec,nosuid,size=64m", /tmp]
    isolation: default
    attach: false
    annotations: {com.example: bar}
    label_file: ./labels
    pull_policy: if_not_present
`, map[string]string{"labels": "a=b\nc=d\n"}, lookAt()),
		imported("file-stack", "networks, names, aliases, links and a published port of a whole stack", `
services:
  @:
    image: conformance:1
    networks: {back: {aliases: [api.internal]}, front: }
    ports: ["18101:80"]
    hostname: server
    command: [/probe, listen, tcp, "80"]
    depends_on: {@-db: {condition: service_healthy}}
  @-db:
    image: conformance:1
    container_name: @-database
    hostname: database
    networks: [back]
    command: [/probe, listen, tcp, "5432"]
    healthcheck: {test: ["CMD", "/probe", "dial", "tcp", "127.0.0.1:5432"], interval: 500ms}
  @-client:
    image: conformance:1
    networks: [back]
    links: ["@-db:postgres"]
    depends_on: [@]
    stop_grace_period: 0s
    command: [sleep, "1000"]
networks:
  front: {labels: [team=ml]}
  back: {driver: bridge, labels: {team: ml}, internal: false}
`, nil, func(p *player) {
			p.noteStatus("up", p.up(nil))
			p.reach("outside", "tcp", ownAddress, 18101)
			for _, name := range []string{p.name + ":80", "api.internal:80", p.name + "-db:5432", p.name + "-database:5432", "postgres:5432"} {
				var r result
				p.wait("answer of "+name, func() bool {
					r = p.do("", "exec", nil, p.name+"-client", "/probe", "dial", "tcp", name)
					return r.status == 0
				})
				p.note("answer of "+name, strings.TrimSpace(r.out))
			}
		}),
		imported("file-replicas", "replicas of one service, reached by one name", `
services:
  @:
    image: conformance:1
    command: [/probe, lookup, "@-worker"]
    depends_on: [@-worker]
  @-worker:
    image: conformance:1
    deploy: {mode: replicated, replicas: 3, restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 120s}, labels: {a: b}, update_config: {parallelism: 1}}
`, nil, func(p *player) {
			p.noteStatus("up", p.up(nil))
			p.ended(p.name)
			p.note("addresses", len(strings.Fields(p.logged(p.name))))
		}),
		imported("file-hooks", "post_start and pre_stop", `
services:
  @:
    image: conformance:1
    network_mode: none
    user: app
    tmpfs: "/shared:mode=1777"
    command: [/bin/sh, -c, "trap 'cat /shared/*; exit 0' TERM; echo READY; while :; do sleep 0.05; done"]
    post_start: [{command: [sh, -c, "echo after >/shared/1"]}, {command: [sh, -c, "echo $$A $$(id -u) >/shared/2"], user: root, environment: {A: b}}]
    pre_stop: [{command: [sh, -c, "pwd >/shared/3"], working_dir: /etc}]
`, nil, func(p *player) {
			p.noteStatus("up", p.up(nil))
			p.says(p.name, "READY")
			p.noteStatus("stop", p.do("", "stop", nil, p.name))
			p.note("log", p.logged(p.name))
		}),
		imported("file-absent", "keys and texts that come to nothing, and names that a list has twice", "services:\n  @:\n    image: conformance:1\n    network_mode: none\n    user: \"${NO_USER:-}\"\n    runtime: ${NO_RUNTIME:-}\n    hostname: ''\n    restart: ${NO_RESTART:-}\n    cpuset: \"${NO_CPUS:-}\"\n    pid: ''\n    ipc: ${NO_IPC:-}\n    working_dir: ''\n    stop_signal: ''\n    platform: ${NO_PLATFORM:-}\n    deploy:\n    environment: [A=1, B=b, A=2]\n    labels: [x=1, x=2]\n    tmpfs: [\"/scratch:size=1m\"]\n", nil, lookAt()),
		imported("file-empty", "keys without a value, and empty lists", "services:\n  @:\n    image: conformance:1\n    network_mode: none\n    command:\n    entrypoint:\n    volumes: []\n    ports: []\n    depends_on: []\n    labels: {}\n    env_file: []\n    cap_add: []\n    tmpfs: []\n    deploy: {}\n    ulimits: {}\n", nil, lookAt()),
		imported("file-words", "a text that is split, with quotes, over lines", "services:\n  @:\n    image: conformance:1\n    network_mode: none\n    entrypoint: >\n      /bin/sh -c \"\n      echo 'one;' two;\n      echo three || true;\n      exit 5;\n      \"\n", nil, ends),
	}...)
}

// composedScenes are files of several parts.
func composedScenes() []scene {
	base := "services:\n  base:\n    image: conformance:1\n    network_mode: none\n    environment: {A: base, B: base}\n    env_file: ./base.env\n    volumes: [\"./data:/data:ro\"]\n    labels: [x=base]\n    cap_drop: [MKNOD]\n    command: [/probe, report, /data]\n"
	return []scene{
		imported("file-extends", "extends: of the same file and of another one", "services:\n  @-own:\n    extends: {file: parts/base.yaml, service: base}\n    environment: {B: own, C: own}\n    cap_drop: [CHOWN]\n  @:\n    extends: @-own\n    environment: [C=first, \"D=first\"]\n    labels: {y: first}\n",
			map[string]string{"parts/base.yaml": base, "parts/base.env": "FILED=yes\nA=file\n", "parts/data/x": "x\n"}, lookAt("own")),
		imported("file-include", "include:, with an environment of its own", "include:\n  - parts/one.yaml\n  - {path: parts/two.yaml, project_directory: ., env_file: parts/two.env}\nservices:\n  @:\n    image: conformance:1\n    network_mode: none\n    depends_on: [@-one, @-two]\n",
			map[string]string{
				"parts/one.yaml": "services:\n  @-one:\n    image: conformance:1\n    network_mode: none\n    command: " + tell("HERE", "OVER_DOTENV") + "\n    environment: {HERE: \"${HERE:-default}\", OVER_DOTENV: \"$OVER_DOTENV\"}\n", "parts/.env": "HERE=beside\nOVER_DOTENV=beside\n",
				"parts/two.yaml": "services:\n  @-two:\n    image: conformance:${TWO}\n    network_mode: none\n    env_file: two.list\n    command: " + tell("LISTED", "WORD") + "\n    environment: {WORD: \"${WORD}\"}\n", "parts/two.env": "TWO=1\nWORD='with $$ and } in it'\n", "two.list": "LISTED=yes\n",
			}, func(p *player) {
				p.noteStatus("up", p.up(nil))
				for _, name := range []string{"one", "two"} {
					p.ended(p.name + "-" + name)
					p.note("output of "+name, p.logged(p.name+"-"+name))
				}
			}),
		imported("file-reset", "tags that take away what a merge has brought", "x-base: &base\n  image: conformance:1\n  network_mode: none\n  cap_add: [NET_ADMIN]\n  environment: {A: base, B: base}\nservices:\n  @:\n    <<: *base\n    cap_add: !reset []\n    environment: !override {C: own}\n", nil, lookAt()),
	}
}

// foregroundScenes are how commands end that wait for a process.
func foregroundScenes() []scene {
	const g = "statuses"
	const none = "network_mode: none\n"
	// meanwhile runs a command that lasts, and does something to the container as soon as that is ready.
	meanwhile := func(p *player, name string, last func() result, ready, do func()) {
		done := make(chan result, 1)
		go func() { done <- last() }()
		ready()
		do()
		p.noteStatus(name, <-done)
	}
	const ignores, handles = "command: [/probe, ignore]\nstop_grace_period: 1s\n", "command: [/bin/sh, -c, \"trap 'exit 4' USR1; echo READY; while :; do sleep 0.05; done\"]\n"
	endedBy := func(name, about, service, verb string, flags ...string) scene {
		return played(g, name, about, service+none, func(p *player) {
			once := p.name + "-once"
			meanwhile(p, "run", func() result { return p.do("", "run", []string{"--name", once}, p.name) }, func() {
				p.wait("it runs", func() bool { return p.state(once).Status == "running" })
				time.Sleep(time.Second) // its output is the command's, and no log's
			}, func() {
				if d, ok := p.side.(*dockerSide); ok { // compose's commands find no one-off container by its name
					d.m.run(append(append([]string{"docker", verb}, flags...), once)...)
				} else {
					p.do("", verb, flags, once)
				}
			})
		})
	}
	return []scene{
		endedBy("run-stopped", "a stop while run waits for it", ignores, "stop", "-t", "1"),
		endedBy("run-killed-outside", "a kill while run waits for it", ignores, "kill"),
		endedBy("run-signal", "a signal that it handles while run waits for it", handles, "kill", "-s", "SIGUSR1"),
		played(g, "run-memory", "too little memory: 137", "mem_limit: 32m\nmemswap_limit: 32m\n"+none, oneOff(nil, "sh", "-c", "x=a; while :; do x=$x$x; done")),
		played(g, "exec-stopped", "exec in a container that has ended", idle, func(p *player) {
			p.start()
			p.do("", "stop", nil, p.name)
			p.noteStatus("exec", p.do("", "exec", nil, p.name, "true"))
		}, difference{"exec.status", "1", "125", "docker run's status of what failed before the process: 1 may be the command's own"}),
		played(g, "exec-never", "exec where nothing was started", idle, func(p *player) {
			p.noteStatus("exec", p.do("", "exec", nil, p.name, "true"))
		}, difference{"exec.status", "1", "125", "docker run's status of what failed before the process: 1 may be the command's own"}),
		played(g, "exec-container-killed", "the container is killed while exec waits", idle, func(p *player) {
			p.start()
			p.says(p.name, "READY")
			meanwhile(p, "exec", func() result { return p.do("", "exec", nil, p.name, "sh", "-c", "touch /begun; sleep 100") }, func() {
				p.wait("exec has begun", func() bool { return p.do("", "exec", nil, p.name, "test", "-e", "/begun").status == 0 })
			}, func() { p.do("", "kill", nil, p.name) })
		}),
		played(g, "kill-bad-signal", "a signal that is none", idle, func(p *player) {
			p.start()
			p.says(p.name, "READY")
			p.note("fails", p.do("", "kill", []string{"-s", "SIGNOPE"}, p.name).status != 0)
			p.note("state", p.state(p.name).Status)
		}),
		played(g, "attach-status", "attach has the container's status", "command: [/bin/sh, -c, \"echo READY; while ! test -e /die; do sleep 0.05; done; exit 9\"]\n"+none, func(p *player) {
			p.start()
			p.says(p.name, "READY")
			meanwhile(p, "attach", func() result { return p.do("", "attach", nil, p.name) }, func() { time.Sleep(time.Second) },
				func() { p.do("", "exec", nil, p.name, "touch", "/die") })
		}),
		played(g, "up-exit-code-from", "up has a service's status, and ends the others", "command: [/bin/sh, -c, \"sleep 1; exit 5\"]\n"+none, func(p *player) {
			p.noteStatus("up", p.foreground([]string{"--exit-code-from", p.name}, p.name, p.name+"-other"))
			p.ended(p.name + "-other")
			p.stopped(p.name)
		}).with("@-other", idle),
		played(g, "up-exit-code-other", "the status of one that has been ended", "command: [/bin/sh, -c, \"sleep 1; exit 5\"]\n"+none, func(p *player) {
			p.noteStatus("up", p.foreground([]string{"--exit-code-from", p.name + "-other"}, p.name, p.name+"-other"))
			p.stopped(p.name + "-other")
		}).with("@-other", "command: [/bin/sh, -c, \"trap 'exit 7' TERM; echo READY; while :; do sleep 0.05; done\"]\n"+none),
		played(g, "up-abort", "up --abort-on-container-exit", "command: [/bin/sh, -c, \"sleep 1; exit 5\"]\n"+none, func(p *player) {
			p.noteStatus("up", p.foreground([]string{"--abort-on-container-exit"}, p.name, p.name+"-other"))
			p.ended(p.name + "-other")
		}).with("@-other", idle),
		played(g, "up-abort-failure", "up --abort-on-container-failure, where one ends well first", "command: [/bin/sh, -c, \"sleep 2; exit 5\"]\n"+none, func(p *player) {
			p.noteStatus("up", p.foreground([]string{"--abort-on-container-failure"}, p.name, p.name+"-well", p.name+"-other"))
			p.ended(p.name + "-other")
			p.note("well", p.state(p.name+"-well").Exit)
		}).with("@-other", idle).with("@-well", "command: [\"true\"]\n"+none),
		played(g, "up-out-of-memory", "up of a container that is killed for memory", "mem_limit: 32m\ncommand: [/probe, use, \"100000000\"]\n"+none, func(p *player) {
			p.noteStatus("up", p.foreground([]string{"--exit-code-from", p.name}, p.name))
			p.note("exit", p.state(p.name).Exit)
		}),
		played(g, "up-foreground", "up in the foreground until all have ended", "command: [/bin/sh, -c, \"echo one; exit 5\"]\n"+none, func(p *player) {
			p.noteStatus("up", p.foreground(nil, p.name, p.name+"-other"))
			p.note("other", p.state(p.name+"-other").Status)
		}).with("@-other", "command: [/bin/sh, -c, \"sleep 1; exit 6\"]\n"+none),
		played(g, "up-not-found", "up of a command that is not there", "command: [nowhere]\n"+none, func(p *player) {
			p.note("fails", p.up(nil, p.name).status != 0)
		}),
	}
}

// The commands' statuses, of services that are there, that are not, and that have never been started.
func statusScenes() []scene {
	const g = "statuses"
	running := func(name, about, verb string, flags []string, args ...string) scene {
		return played(g, name, about, idle, func(p *player) {
			p.start()
			p.says(p.name, "READY")
			p.noteStatus(verb, p.do("", verb, flags, p.name, args...))
			p.note("state", p.state(p.name).Status)
		})
	}
	// differ is what compose passes over for some verbs.
	differ := func(verbs, field, docker, ours, verb string) []difference {
		if !contains(strings.Fields(verbs), verb) {
			return nil
		}
		return []difference{{field, docker, ours, "a name that is nobody's is an error: a slip would pass unseen"}}
	}
	var all []scene
	for _, verb := range []string{"stop", "start", "restart", "kill", "pause", "unpause", "ps", "logs", "top", "rm"} {
		flags := map[string][]string{"rm": {"-f"}}[verb]
		all = append(all,
			played(g, verb+"-unknown", "a service that is not there", idle, func(p *player) {
				p.start()
				p.note("fails", p.do("", verb, flags, p.name+"-not").status != 0)
			}).but(differ("top", "fails", "false", "true", verb)...),
			played(g, verb+"-never", "a service that was never started", idle, func(p *player) {
				p.noteStatus(verb, p.do("", verb, flags, p.name))
			}),
			played(g, verb+"-ended", "a service that has ended", "command: [\"true\"]\nnetwork_mode: none\n", func(p *player) {
				p.start()
				p.ended(p.name)
				p.noteStatus(verb, p.do("", verb, flags, p.name))
			}))
	}
	return append(append(all, foregroundScenes()...),
		running("start-running", "one that runs", "start", nil),
		running("pause", "pause", "pause", nil),
		running("unpause-running", "one that is not paused", "unpause", nil),
	)
}
