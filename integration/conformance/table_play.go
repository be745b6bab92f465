package main

import (
	"fmt"
	"strings"
	"time"
)

// idle is a service that stays, and ends at SIGTERM at once.
const idle = "command: [/bin/sh, -c, \"trap 'exit 0' TERM; echo READY; while :; do sleep 0.05; done\"]\nnetwork_mode: none\n"

// oneOff runs a container of a service and notes how that ended.
func oneOff(flags []string, args ...string) func(*player) {
	return func(p *player) { p.noteResult("run", p.do("", "run", flags, p.name, args...)) }
}

func runScenes() []scene {
	const g = "run"
	none := "network_mode: none\n"
	run := func(name, about string, args ...string) scene {
		return played(g, name, about, none, oneOff(nil, args...))
	}
	return []scene{
		run("run-true", "success", "true"),
		run("run-status", "a status", "sh", "-c", "exit 3"),
		run("run-status-255", "the highest status", "sh", "-c", "exit 255"),
		run("run-killed", "ended by SIGKILL", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"),
		run("run-not-found", "a command that is not there: 127", "nowhere").but(runStatus),
		run("run-path-not-found", "a path that is not there: 127", "/nowhere/at/all").but(runStatus),
		run("run-not-executable", "a file without x: 126", "/etc/notexec").but(runStatus),
		run("run-directory", "a directory: 126", "/etc").but(runStatus),
		run("run-damaged", "no program at all", "/bin/damaged"),
		run("run-script", "a script, with arguments", "script", "a b", "c"),
		run("run-output", "both streams", "sh", "-c", "echo out; echo err >&2; printf end"),
		run("run-words", "words that look like flags", "echo", "--rm", "-e", "A=1", "--", "x"),
		played(g, "run-default", "the service's own command", "command: [echo, own]\n"+none, oneOff(nil)),
		played(g, "run-env", "a variable", "environment: {A: service, B: service}\n"+none, oneOff([]string{"-e", "A=line", "-e", "FROM_CALLER"}, "sh", "-c", "echo $A $B $FROM_CALLER")),
		played(g, "run-user", "another user", none, oneOff([]string{"-u", "1000:44"}, "id")),
		played(g, "run-volume", "a further volume", none, func(p *player) {
			p.noteResult("run", p.do("", "run", []string{"-v", p.m.dir + "/services/data:/more:ro"}, p.name, "cat", "/more/file"))
		}),
		played(g, "run-stdin", "standard input", none, func(p *player) {
			p.noteResult("run", p.do("one\ntwo\n", "run", nil, p.name, "wc", "-l"))
		}),
		played(g, "run-no-stdin", "no standard input", none, oneOff(nil, "cat")),
		played(g, "run-binary", "bytes that are no text", none, func(p *player) {
			r := p.do("", "run", nil, p.name, "printf", "a\\000b\\377\\r\\n")
			p.note("run.status", r.status)
			p.note("run.output", fmt.Sprintf("%q", r.out))
		}),
		played(g, "run-large", "a megabyte of output", none, func(p *player) {
			r := p.do("", "run", nil, p.name, "sh", "-c", "yes 0123456789 | head -n 100000")
			p.note("run.status", r.status)
			p.note("run.bytes", len(r.out))
		}),
		played(g, "run-ports", "publishes no ports by itself", "networks: [@]\nports: [\"18099:80\"]\n", func(p *player) {
			p.noteResult("run", p.do("", "run", nil, p.name, "echo", "done"))
		}).top("networks: @: {}\n"),
		played(g, "run-depends", "starts what the service depends on", "network_mode: none\ndepends_on: [@-other]\n", func(p *player) {
			p.noteResult("run", p.do("", "run", nil, p.name, "echo", "done"))
			p.note("other", p.state(p.name+"-other").Status)
		}).with("@-other", idle),
		played(g, "run-read-only", "a read-only root", "read_only: true\n"+none, oneOff(nil, "sh", "-c", "touch /x 2>/dev/null; echo $?")),
		played(g, "run-removed", "leaves nothing", none, func(p *player) {
			p.noteResult("run", p.do("", "run", []string{"--name", p.name + "-once"}, p.name, "true"))
			p.wait("the container is gone", func() bool { return p.state(p.name+"-once").Status == "none" })
		}),
		played(g, "run-unknown", "a service that is not there", none, func(p *player) {
			p.note("fails", p.do("", "run", nil, p.name+"-not", "true").status != 0)
		}),
	}
}

func execScenes() []scene {
	const g = "exec"
	exec := func(name, about, service string, flags []string, args ...string) scene {
		return played(g, name, about, service+idle, func(p *player) {
			p.start()
			p.says(p.name, "READY")
			p.noteResult("exec", p.do("", "exec", flags, p.name, args...))
		})
	}
	return []scene{
		exec("exec-true", "success", "", nil, "true"),
		exec("exec-status", "a status", "", nil, "sh", "-c", "exit 7"),
		exec("exec-killed", "ended by SIGKILL: 128+9", "", nil, "sh", "-c", "kill -9 $$"),
		exec("exec-terminated", "ended by SIGTERM: 128+15", "", nil, "sh", "-c", "kill -15 $$"),
		exec("exec-not-found", "a command that is not there: 127", "", nil, "nowhere").but(execStatus, execWords),
		exec("exec-not-executable", "a file without x: 126", "", nil, "/etc/notexec").but(execWords),
		exec("exec-output", "both streams", "", nil, "sh", "-c", "echo out; echo err >&2"),
		exec("exec-environment", "the service's environment, and more", "environment: {A: service}\n", []string{"-e", "B=line"}, "sh", "-c", "echo $A $B $HOME $PATH"),
		exec("exec-user", "as another user", "", []string{"-u", "app"}, "sh", "-c", "id; echo $HOME"),
		exec("exec-service-user", "as the service's user", "user: app\ngroup_add: [\"4000\"]\n", nil, "id"),
		exec("exec-directory", "in another directory", "working_dir: /tmp\n", []string{"-w", "/etc"}, "pwd"),
		exec("exec-service-directory", "in the service's directory", "working_dir: /tmp\n", nil, "pwd"),
		exec("exec-rights", "with the service's rights", "cap_drop: [ALL]\ncap_add: [KILL]\nsecurity_opt: [\"no-new-privileges:true\"]\n", nil, "sh", "-c", "grep -E 'Cap|NoNew' /proc/self/status"),
		exec("exec-privileged", "with all rights of a privileged one", "privileged: true\n", nil, "sh", "-c", "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status").all(),
		exec("exec-limits", "with the service's limits", "ulimits: {nofile: {soft: 300, hard: 400}, core: 0}\n", nil, "sh", "-c", "ulimit -H -n; ulimit -c"),
		played(g, "exec-stdin", "standard input", idle, func(p *player) {
			p.start()
			p.noteResult("exec", p.do("a\nb\nc\n", "exec", nil, p.name, "wc", "-l"))
		}),
		played(g, "attach-stdin", "input of a service without a terminal", "stdin_open: true\nnetwork_mode: none\ncommand: [/bin/sh, -c, \"echo READY; read a; echo got $$a; read b; echo got $$b; exit 3\"]\n", func(p *player) {
			p.start()
			p.says(p.name, "READY")
			r := p.do("one\ntwo\n", "attach", nil, p.name)
			p.note("attach.status", r.status)
			p.ended(p.name)
			p.note("log", p.logged(p.name))
			p.note("status", p.state(p.name).Exit)
		}),
		played(g, "exec-ended", "in a container that has ended", idle, func(p *player) {
			p.start()
			p.says(p.name, "READY")
			p.do("", "stop", nil, p.name)
			p.note("fails", p.do("", "exec", nil, p.name, "true").status != 0)
		}),
		played(g, "exec-outlives", "a child that stays behind", idle, func(p *player) {
			p.start()
			p.noteResult("exec", p.do("", "exec", nil, p.name, "sh", "-c", "sleep 100 >/dev/null 2>&1 & echo started"))
		}),
	}
}

// stopped notes how a container has ended.
func (p *player) stopped(name string) {
	s := p.state(name)
	p.note("state", s.Status)
	p.note("status", s.Exit)
}

func stopScenes() []scene {
	const g = "stop"
	stop := func(name, about, service string, do func(p *player), differ ...difference) scene {
		return played(g, name, about, service+"\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.says(p.name, "READY")
			begin := time.Now()
			do(p)
			p.note("within 8 seconds", time.Since(begin) < 8*time.Second)
			p.note("within 1 second", time.Since(begin) < 900*time.Millisecond || p.seen["within 1 second"] == "")
			delete(p.seen, "within 1 second")
			p.stopped(p.name)
		}, differ...)
	}
	const ignores = "command: [/probe, ignore]"
	return []scene{
		stop("stop", "ends at SIGTERM", "command: [/bin/sh, -c, \"trap 'echo term; exit 5' TERM; echo READY; while :; do sleep 0.05; done\"]", func(p *player) {
			p.noteStatus("stop", p.do("", "stop", nil, p.name))
			p.note("log", p.logged(p.name))
		}),
		stop("stop-ignored", "is killed after the grace period", ignores+"\nstop_grace_period: 1s", func(p *player) { p.noteStatus("stop", p.do("", "stop", nil, p.name)) }),
		stop("stop-grace-forms", "a grace period of several units", ignores+"\nstop_grace_period: 0m1s500ms", func(p *player) { p.noteStatus("stop", p.do("", "stop", nil, p.name)) }),
		stop("stop-timeout", "the line's grace goes before the service's", ignores+"\nstop_grace_period: 1m", func(p *player) { p.noteStatus("stop", p.do("", "stop", []string{"-t", "1"}, p.name)) }),
		stop("stop-at-once", "no grace at all", ignores+"\nstop_grace_period: 0s", func(p *player) { p.noteStatus("stop", p.do("", "stop", nil, p.name)) }),
		stop("stop-first", "a first process without a handler gets no SIGTERM", "command: [/bin/sh, -c, \"echo READY; while :; do sleep 0.05; done\"]\nstop_grace_period: 1s", func(p *player) { p.noteStatus("stop", p.do("", "stop", nil, p.name)) }),
		stop("stop-init", "with init it does", "init: true\ncommand: [/bin/sh, -c, \"echo READY; while :; do sleep 0.05; done\"]\nstop_grace_period: 5s", func(p *player) { p.noteStatus("stop", p.do("", "stop", nil, p.name)) }),
		stop("stop-twice", "one that has ended", ignores+"\nstop_grace_period: 0s", func(p *player) {
			p.do("", "stop", nil, p.name)
			p.noteStatus("second", p.do("", "stop", nil, p.name))
		}),
		stop("stop-signal-ignored", "a stop signal that is ignored", "stop_signal: SIGHUP\nstop_grace_period: 1s\n"+ignores, func(p *player) { p.noteStatus("stop", p.do("", "stop", nil, p.name)) }),
		stop("kill", "SIGKILL", ignores, func(p *player) {
			p.noteStatus("kill", p.do("", "kill", nil, p.name))
			p.ended(p.name)
		}),
		stop("kill-signal", "another signal, that is handled", "command: [/bin/sh, -c, \"trap 'echo usr1; exit 4' USR1; echo READY; while :; do sleep 0.05; done\"]", func(p *player) {
			p.noteStatus("kill", p.do("", "kill", []string{"-s", "SIGUSR1"}, p.name))
			p.ended(p.name)
			p.note("log", p.logged(p.name))
		}),
		stop("kill-goes-on", "a signal that ends nothing", "command: [/bin/sh, -c, \"trap 'echo usr1' USR1; trap 'exit 0' TERM; echo READY; while :; do sleep 0.05; done\"]", func(p *player) {
			p.noteStatus("kill", p.do("", "kill", []string{"-s", "USR1"}, p.name))
			p.says(p.name, "usr1")
		}),
		stop("start", "a stopped one starts again, with its files and its log", "command: [/bin/sh, -c, \"trap 'exit 0' TERM; ls /kept 2>/dev/null; touch /kept; echo READY; while :; do sleep 0.05; done\"]", func(p *player) {
			p.do("", "stop", nil, p.name)
			p.noteStatus("start", p.do("", "start", nil, p.name))
			p.says(p.name, "/kept\nREADY")
			p.note("log", p.logged(p.name))
		}),
		stop("restart", "a running one, with its files and its log", "command: [/bin/sh, -c, \"trap 'echo end; exit 0' TERM; ls /kept 2>/dev/null; touch /kept; echo READY; while :; do sleep 0.05; done\"]", func(p *player) {
			p.noteStatus("restart", p.do("", "restart", nil, p.name))
			p.says(p.name, "/kept\nREADY")
			p.note("log", p.logged(p.name))
		}),
		stop("up-again", "up of one that runs changes nothing", "command: [/bin/sh, -c, \"trap 'exit 0' TERM; echo READY; while :; do sleep 0.05; done\"]", func(p *player) {
			before := p.state(p.name).PID
			p.start()
			p.note("same process", p.state(p.name).PID == before)
		}),
		stop("up-after-end", "up of one that has ended starts it, with its files", "command: [/bin/sh, -c, \"ls /kept 2>/dev/null; touch /kept; echo READY\"]", func(p *player) {
			p.ended(p.name)
			p.start()
			p.says(p.name, "/kept\nREADY")
			p.ended(p.name)
			p.note("log", p.logged(p.name))
		}),
		stop("up-recreate", "up --force-recreate gives a new one", "command: [/bin/sh, -c, \"trap 'exit 0' TERM; ls /kept 2>/dev/null; touch /kept; echo READY; while :; do sleep 0.05; done\"]", func(p *player) {
			p.noteStatus("recreate", p.up([]string{"--force-recreate"}, p.name))
			p.says(p.name, "READY")
			p.note("log", p.logged(p.name))
		}),
		played(g, "wait", "wait prints the status", "command: [/bin/sh, -c, \"sleep 1; exit 6\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.noteResult("wait", p.do("", "wait", nil, p.name))
		}, waitWords),
		played(g, "rm", "rm of one that has ended", "command: [\"true\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.ended(p.name)
			flags := []string{"-f"}
			if p.side.title() == "hostrun" {
				flags = nil
			}
			p.noteStatus("rm", p.do("", "rm", flags, p.name))
			p.wait("it is gone", func() bool { return p.state(p.name).Status == "none" })
		}),
	}
}

func restartScenes() []scene {
	const g = "restart"
	dying := func(name, about, policy, script string, times int) scene {
		return played(g, name, about, "restart: "+policy+"\ncommand: [/bin/sh, -c, \""+script+"\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.wait("it has ended for good", func() bool { s := p.state(p.name); return s.Status == "exited" && s.Restarts >= times })
			time.Sleep(1500 * time.Millisecond)
			s := p.state(p.name)
			p.note("restarts", s.Restarts)
			p.stopped(p.name)
			p.note("runs", strings.Count(p.logged(p.name), "RUN"))
		})
	}
	living := func(name, about, policy string, do func(p *player), differ ...difference) scene {
		return played(g, name, about, "restart: "+policy+"\ncommand: [/bin/sh, -c, \"trap 'exit 0' TERM; echo RUN; while ! test -e /die; do sleep 0.05; done; rm /die; exit 9\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.says(p.name, "RUN")
			do(p)
		}, differ...)
	}
	die := func(p *player) { p.do("", "exec", nil, p.name, "touch", "/die") }
	comesBack := func(p *player) {
		p.wait("it runs again", func() bool { return strings.Count(p.logged(p.name), "RUN") >= 2 && p.state(p.name).Status == "running" })
	}
	return []scene{
		dying("restart-no", "no restart", "\"no\"", "echo RUN; exit 3", 0),
		dying("restart-on-failure", "at most two", "on-failure:2", "echo RUN; exit 3", 2),
		dying("restart-on-success", "on-failure does not restart a success", "on-failure", "echo RUN; exit 0", 0),
		living("restart-always", "always, after a death", "always", func(p *player) {
			die(p)
			comesBack(p)
			p.note("restarts", p.state(p.name).Restarts)
		}),
		living("restart-unless-stopped", "unless-stopped, after a death", "unless-stopped", func(p *player) {
			die(p)
			comesBack(p)
			p.note("restarts", p.state(p.name).Restarts)
		}),
		living("restart-stopped", "a stop is not undone", "always", func(p *player) {
			p.noteStatus("stop", p.do("", "stop", nil, p.name))
			time.Sleep(1500 * time.Millisecond)
			p.stopped(p.name)
			p.note("restarts", p.state(p.name).Restarts)
		}),
		living("restart-killed", "nor is a kill", "always", func(p *player) {
			p.noteStatus("kill", p.do("", "kill", nil, p.name))
			p.ended(p.name)
			time.Sleep(1500 * time.Millisecond)
			p.stopped(p.name)
		}),
		living("restart-started", "start after a stop", "unless-stopped", func(p *player) {
			p.do("", "stop", nil, p.name)
			p.noteStatus("start", p.do("", "start", nil, p.name))
			die(p)
			p.wait("it runs again", func() bool { return strings.Count(p.logged(p.name), "RUN") >= 3 })
		}),
	}
}
