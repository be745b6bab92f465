package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func healthScenes() []scene {
	const g = "health"
	probe := func(name, about, check string, do func(p *player), differ ...difference) scene {
		return played(g, name, about, "healthcheck: "+check+"\n"+idle, func(p *player) {
			p.start()
			do(p)
		}, differ...)
	}
	becomes := func(want string) func(p *player) {
		return func(p *player) {
			p.wait("it is "+want, func() bool { return p.state(p.name).Health == want })
			p.note("health", p.state(p.name).Health)
			p.note("state", p.state(p.name).Status)
		}
	}
	const quick = "interval: 500ms, timeout: 5s, retries: 2"
	return []scene{
		probe("health-shell", "CMD-SHELL", "{test: [CMD-SHELL, \"test -e /bin && exit 0\"], "+quick+"}", becomes("healthy")),
		probe("health-text", "text", "{test: \"true && true\", "+quick+"}", becomes("healthy")),
		probe("health-command", "CMD", "{test: [CMD, \"true\"], "+quick+"}", becomes("healthy")),
		probe("health-bad", "retries that are used up", "{test: [CMD, \"false\"], "+quick+"}", becomes("unhealthy")),
		probe("health-missing", "a command that is not there", "{test: [CMD, /nowhere], "+quick+"}", becomes("unhealthy")),
		probe("health-hangs", "a probe that hangs", "{test: [CMD, sleep, \"100\"], interval: 500ms, timeout: 500ms, retries: 2}", becomes("unhealthy")),
		probe("health-status-two", "any other status is a failure", "{test: [CMD-SHELL, \"exit 2\"], "+quick+"}", becomes("unhealthy")),
		probe("health-disabled", "disable", "{disable: true}", func(p *player) {
			time.Sleep(time.Second)
			p.note("health", p.state(p.name).Health)
		}),
		probe("health-none", "NONE", "{test: [NONE]}", func(p *player) {
			time.Sleep(time.Second)
			p.note("health", p.state(p.name).Health)
		}),
		probe("health-recovers", "from unhealthy to healthy", "{test: [CMD, test, -e, /good], "+quick+"}", func(p *player) {
			becomes("unhealthy")(p)
			p.do("", "exec", nil, p.name, "touch", "/good")
			becomes("healthy")(p)
		}),
		probe("health-start-period", "failures of the beginning do not count", "{test: [CMD, test, -e, /good], interval: 500ms, retries: 1, start_period: 30s}", func(p *player) {
			time.Sleep(3 * time.Second)
			p.note("health", p.state(p.name).Health)
			p.do("", "exec", nil, p.name, "touch", "/good")
			becomes("healthy")(p)
		}),
		probe("health-environment", "the probe sees the service's environment", "{test: [CMD-SHELL, \"test $$A = b\"], "+quick+"}\nenvironment: {A: b}", becomes("healthy")),
		played(g, "health-wait", "up --wait", "healthcheck: {test: [CMD, \"true\"], "+quick+"}\n"+idle, func(p *player) {
			p.noteStatus("up", p.up([]string{"--wait"}, p.name))
			p.note("health", p.state(p.name).Health)
		}),
		played(g, "health-wait-fails", "up --wait of one that becomes unhealthy", "healthcheck: {test: [CMD, \"false\"], "+quick+"}\n"+idle, func(p *player) {
			p.noteStatus("up", p.up([]string{"--wait"}, p.name))
		}),
		played(g, "health-wait-ends", "up --wait of one that ends", "command: [\"false\"]\nnetwork_mode: none\n", func(p *player) {
			p.noteStatus("up", p.up([]string{"--wait"}, p.name))
		}),
	}
}

func dependScenes() []scene {
	const g = "depends_on"
	depend := func(name, about, on, other string, do func(p *player), differ ...difference) scene {
		return played(g, name, about, "depends_on: "+on+"\n"+idle, func(p *player) {
			r := p.up(nil, p.name)
			p.noteStatus("up", r)
			p.note("state", p.state(p.name).Status)
			p.note("other", p.state(p.name+"-other").Status)
			if do != nil {
				do(p)
			}
		}, differ...).with("@-other", other)
	}
	const none = "network_mode: none\n"
	return []scene{
		depend("depends-list", "a list", "[@-other]", idle, nil),
		depend("depends-started", "condition service_started", "{@-other: {condition: service_started}}", idle, nil),
		depend("depends-healthy", "condition service_healthy", "{@-other: {condition: service_healthy}}", "healthcheck: {test: [CMD, \"true\"], interval: 500ms}\n"+idle, func(p *player) {
			p.note("other's health", p.state(p.name+"-other").Health)
		}),
		depend("depends-unhealthy", "one that does not become healthy", "{@-other: {condition: service_healthy}}", "healthcheck: {test: [CMD, \"false\"], interval: 300ms, retries: 2}\n"+idle, nil, notCreated),
		depend("depends-completed", "condition service_completed_successfully", "{@-other: {condition: service_completed_successfully}}", "command: [sh, -c, \"sleep 1\"]\n"+none, nil),
		depend("depends-failed", "one that does not complete successfully", "{@-other: {condition: service_completed_successfully}}", "command: [sh, -c, \"sleep 0.5; exit 4\"]\n"+none, nil, notCreated),
		depend("depends-dies", "one that dies before it is healthy", "{@-other: {condition: service_healthy}}", "healthcheck: {test: [CMD, \"false\"], interval: 30s}\ncommand: [sh, -c, \"sleep 0.5; exit 4\"]\n"+none, nil, notCreated),
		depend("depends-optional", "required: false, of one that fails", "{@-other: {condition: service_completed_successfully, required: false}}", "command: [sh, -c, \"exit 4\"]\n"+none, nil),
		depend("depends-long", "restart: true", "{@-other: {condition: service_started, restart: true}}", idle, func(p *player) {
			p.says(p.name, "READY")
			before := p.state(p.name).PID
			p.noteStatus("restart", p.do("", "restart", nil, p.name+"-other"))
			p.note("restarted too", p.state(p.name).PID != before)
		}),
		played(g, "depends-order", "down ends first what depends", "depends_on: [@-other]\nvolumes: [\"./order:/o\"]\nnetwork_mode: none\ncommand: [/bin/sh, -c, \"trap 'sleep 0.5; echo first >>/o/@; exit 0' TERM; echo READY; while :; do sleep 0.05; done\"]\n", func(p *player) {
			p.start()
			p.says(p.name, "READY")
			p.says(p.name+"-other", "READY")
			if d, ok := p.side.(*dockerSide); ok {
				p.note("down", d.compose("", "down").status)
			} else {
				p.note("down", p.do("", "down", []string{"-y"}, p.name+"-other", p.name).status)
			}
			p.note("order", p.m.run("sh", "-c", "cat order/"+p.name+"; rm order/"+p.name).out)
		}).with("@-other", "volumes: [\"./order:/o\"]\nnetwork_mode: none\ncommand: [/bin/sh, -c, \"trap 'echo second >>/o/@; exit 0' TERM; echo READY; while :; do sleep 0.05; done\"]\n"),
	}
}

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z $`)

func logScenes() []scene {
	const g = "logs"
	logs := func(name, about, service string, flags []string, differ ...difference) scene {
		return played(g, name, about, service+"\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.ended(p.name)
			r := p.do("", "logs", flags, p.name)
			p.note("status", r.status)
			p.note("out", fmt.Sprintf("%q", r.out))
			p.note("err", fmt.Sprintf("%q", r.err))
		}, differ...)
	}
	const ten = "command: [seq, \"10\"]"
	return []scene{
		logs("logs", "all of it", ten, nil),
		logs("logs-tail", "the last lines", ten, []string{"--tail", "3"}),
		logs("logs-tail-short", "-n", ten, []string{"-n", "1"}),
		logs("logs-tail-all", "--tail all", ten, []string{"--tail", "all"}),
		logs("logs-tail-none", "--tail 0", ten, []string{"--tail", "0"}),
		logs("logs-since-future", "--since, later than everything", ten, []string{"--since", "2099-01-01T00:00:00Z"}),
		logs("logs-since", "--since, a time back", ten, []string{"--since", "10m"}),
		logs("logs-until", "--until, earlier than everything", ten, []string{"--until", "2001-01-01T00:00:00Z"}),
		played(g, "logs-unfinished", "a last line without its end", "command: [printf, \"one\\ntwo\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.ended(p.name)
			p.note("out", fmt.Sprintf("%q", p.log(p.name).out)) // compose logs loses it at times
		}),
		logs("logs-empty-lines", "empty lines", "command: [printf, \"\\n\\nx\\n\\n\"]", nil),
		logs("logs-carriage", "carriage returns and tabs", "command: [printf, \"10%%\\r20%%\\r\\n\\ta\\n\"]", nil),
		logs("logs-colours", "escapes and other scripts", "command: [printf, \"\\\\033[31mäß漢\\\\033[0m\\n\"]", nil),
		logs("logs-long-line", "a line of 100,000 bytes", "command: [sh, -c, \"head -c 100000 /dev/zero | tr '\\\\0' x; echo; echo next\"]", nil),
		logs("logs-tty", "of a terminal", "tty: true\n"+ten, nil),
		logs("logs-nothing", "of one that says nothing", "command: [\"true\"]", nil),
		played(g, "logs-streams", "standard output and standard error stay apart", "command: [sh, -c, \"echo out; echo err >&2\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.ended(p.name)
			r := p.log(p.name)
			p.note("out", r.out)
			p.note("err", r.err)
		}),
		played(g, "logs-timestamps", "--timestamps", "command: [echo, word]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.ended(p.name)
			line := p.do("", "logs", []string{"-t"}, p.name).out
			at, found := strings.CutSuffix(line, "word\n")
			p.note("form", found && rfc3339.MatchString(at))
			p.seen["~line"] = line
		}),
		played(g, "logs-many", "a million lines, all of them", "command: [seq, \"200000\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.ended(p.name)
			r := p.do("", "logs", nil, p.name)
			p.note("lines", strings.Count(r.out, "\n"))
			p.note("last", strings.HasSuffix(r.out, "\n200000\n"))
		}),
		played(g, "logs-follow", "-f ends with the container", "command: [sh, -c, \"echo one; sleep 1; echo two\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.noteResult("follow", p.do("", "logs", []string{"-f"}, p.name))
		}, followEnds),
	}
}

// reach tries a port of the machine from itself and from outside until one of the answers is there.
func (p *player) reach(name, protocol, host string, port int) {
	probe := p.m.dir + "/probe"
	address := fmt.Sprintf("%s:%d", host, port)
	var out string
	for range 20 {
		args := []string{probe, "dial", protocol, address}
		if host == ownAddress {
			args = append([]string{"ip", "netns", "exec", "outside"}, args...)
		}
		if out = strings.TrimSpace(p.m.run(args...).out); out != "" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.note(name, out)
}

// closed notes that nothing answers at a port.
func (p *player) closed(name, protocol, host string, port int) {
	args := []string{p.m.dir + "/probe", "dial", protocol, fmt.Sprintf("%s:%d", host, port)}
	if host == ownAddress {
		args = append([]string{"ip", "netns", "exec", "outside"}, args...)
	}
	p.note(name+" is closed", strings.TrimSpace(p.m.run(args...).out) == "")
}

func portScenes() []scene {
	const g = "ports"
	serve := func(name, about, ports, listen string, do func(p *player), differ ...difference) scene {
		return played(g, name, about, "networks: [@]\nhostname: server\nports: "+ports+"\ncommand: [/probe, listen, "+listen+"]\n", func(p *player) {
			if p.start() && p.says(p.name, "READY") {
				do(p)
			}
		}, differ...).top("networks: @: {}\n")
	}
	return []scene{
		serve("port-tcp", "from outside and from the machine", "[\"18001:80\"]", "tcp, \"80\"", func(p *player) {
			p.reach("outside", "tcp", ownAddress, 18001)
			p.reach("own address", "tcp", "127.0.0.1", 18001)
			p.noteResult("port", p.do("", "port", nil, p.name, "80"))
		}),
		serve("port-local", "at 127.0.0.1 alone", "[\"127.0.0.1:18002:80\"]", "tcp, \"80\"", func(p *player) {
			p.reach("own address", "tcp", "127.0.0.1", 18002)
			p.closed("outside", "tcp", ownAddress, 18002)
			p.noteResult("port", p.do("", "port", nil, p.name, "80"))
		}),
		serve("port-address", "at one address of the machine", "[\"192.0.2.1:18003:80\"]", "tcp, \"80\"", func(p *player) {
			p.reach("outside", "tcp", ownAddress, 18003)
			p.closed("own address", "tcp", "127.0.0.1", 18003)
		}),
		serve("port-udp", "udp", "[\"18004:53/udp\"]", "udp, \"53\"", func(p *player) { p.reach("outside", "udp", ownAddress, 18004) }),
		serve("port-range", "a range", "[\"18010-18012:8000-8002\"]", "tcp, \"8000\", \"8001\", \"8002\"", func(p *player) {
			for i := range 3 {
				p.reach(fmt.Sprint(i), "tcp", ownAddress, 18010+i)
			}
		}),
		serve("port-long", "the long form", "[{target: 80, published: \"18013\", host_ip: 127.0.0.1, protocol: tcp, mode: host}]", "tcp, \"80\"", func(p *player) { p.reach("own address", "tcp", "127.0.0.1", 18013) }),
		serve("port-number", "published as a number of YAML's", "[{target: 80, published: 18014}]", "tcp, \"80\"", func(p *player) { p.reach("outside", "tcp", ownAddress, 18014) }),
		serve("port-variable", "from a variable", "[\"${PORT_DOTENV}:80\"]", "tcp, \"80\"", func(p *player) { p.reach("outside", "tcp", ownAddress, 8123) }),
		serve("port-any", "any free port", "[\"80\"]", "tcp, \"80\"", func(p *player) {
			r := p.do("", "port", nil, p.name, "80")
			_, text, _ := strings.Cut(strings.TrimSpace(strings.SplitN(r.out, "\n", 2)[0]), ":")
			port := 0
			_, err := fmt.Sscan(text, &port)
			p.note("port is a number", err == nil)
			p.reach("outside", "tcp", ownAddress, port)
		}),
		serve("port-both", "one port of both protocols", "[\"18015:80\", \"18015:80/udp\"]", "tcp, \"80\"", func(p *player) { p.reach("outside", "tcp", ownAddress, 18015) }),
		serve("port-user", "a user's program listens at port 80", "[\"18016:80\"]\nuser: app", "tcp, \"80\"", func(p *player) { p.reach("outside", "tcp", ownAddress, 18016) }),
		serve("port-gone", "closed when the container has ended", "[\"18017:80\"]", "tcp, \"80\"", func(p *player) {
			p.reach("before", "tcp", ownAddress, 18017)
			p.do("", "stop", nil, p.name)
			p.closed("after", "tcp", ownAddress, 18017)
		}),
		serve("port-restart", "open again after a restart", "[\"18018:80\"]", "tcp, \"80\"", func(p *player) {
			p.reach("before", "tcp", ownAddress, 18018)
			p.noteStatus("restart", p.do("", "restart", nil, p.name))
			p.reach("after", "tcp", ownAddress, 18018)
		}),
		serve("port-taken", "a port that another container has", "[\"18019:80\"]", "tcp, \"80\"", func(p *player) {
			r := p.up(nil, p.name+"-other")
			p.note("second fails", r.status != 0)
		}).with("@-other", "networks: [@]\nports: [\"18019:81\"]\n"),
		serve("port-unpublished", "one that is not published", "[\"18020:80\"]", "tcp, \"80\", \"81\"", func(p *player) {
			p.reach("published", "tcp", ownAddress, 18020)
			p.noteStatus("port", p.do("", "port", nil, p.name, "81"))
		}),
	}
}

func networkScenes() []scene {
	const g = "networks"
	peers := func(name, about, service, other, top string, do func(p *player), differ ...difference) scene {
		return played(g, name, about, service+"\nhostname: server\ncommand: [/probe, listen, tcp, \"80\"]\n", func(p *player) {
			r := p.up(nil, p.name, p.name+"-other")
			p.noteStatus("up", r)
			if r.status == 0 && p.says(p.name, "READY") {
				do(p)
			}
		}, differ...).with("@-other", other+"\ncommand: [sleep, \"1000\"]\nstop_grace_period: 0s\n").top(top)
	}
	// ask tries until there is an answer, from the other container.
	ask := func(p *player, name string, args ...string) {
		var r result
		for range 20 {
			if r = p.do("", "exec", nil, p.name+"-other", args...); r.status == 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		p.note(name, strings.TrimSpace(r.out))
	}
	refuses := func(p *player, name string, args ...string) {
		p.note(name+" fails", p.do("", "exec", nil, p.name+"-other", args...).status != 0)
	}
	one := "networks: @: {}\n"
	return []scene{
		peers("network-name", "another by its name", "networks: [@]", "networks: [@]", one, func(p *player) { ask(p, "answer", "/probe", "dial", "tcp", p.name+":80") }),
		peers("network-alias", "another by an alias", "networks: {@: {aliases: [db, data.base]}}", "networks: [@]", one, func(p *player) {
			ask(p, "answer", "/probe", "dial", "tcp", "db:80")
			ask(p, "second", "/probe", "dial", "tcp", "data.base:80")
		}),
		peers("network-every-port", "each port, published or not", "networks: [@]\nexpose: [\"80\"]", "networks: [@]", one, func(p *player) { ask(p, "answer", "/probe", "dial", "tcp", p.name+":80") }),
		peers("network-apart", "not one of another network", "networks: [@]", "networks: [@-two]", one+"networks: @-two: {}\n", func(p *player) { refuses(p, "name", "/probe", "dial", "tcp", p.name+":80") }),
		peers("network-two", "one on two networks", "networks: [@, @-two]", "networks: [@-two]", one+"networks: @-two: {}\n", func(p *player) { ask(p, "answer", "/probe", "dial", "tcp", p.name+":80") }),
		peers("network-unknown-name", "a name that nobody has", "networks: [@]", "networks: [@]", one, func(p *player) { refuses(p, "name", "/probe", "lookup", "nobody-at-all") }),
		peers("network-shared", "network_mode: service:", "networks: [@]", "network_mode: \"service:@\"", one, func(p *player) { ask(p, "answer", "/probe", "dial", "tcp", "127.0.0.1:80") }),
		peers("network-machine", "the machine by host-gateway", "network_mode: host", "networks: [@]\nextra_hosts: [\"machine:host-gateway\"]", one, func(p *player) { ask(p, "answer", "/probe", "dial", "tcp", "machine:80") }),
		peers("network-stopped", "a name goes with its container", "networks: [@]", "networks: [@]", one, func(p *player) {
			ask(p, "before", "/probe", "dial", "tcp", p.name+":80")
			p.do("", "stop", []string{"-t", "0"}, p.name)
			refuses(p, "after", "/probe", "dial", "tcp", p.name+":80")
		}),
		observed(g, "network-fixed", "a fixed address", "docker| networks: {@: {ipv4_address: 10.99.1.9}}\nhostrun| networks: {@: {ipv4_address: 10.99.1.9, ipam: {config: [{subnet: 10.99.1.0/24}]}}}\n").top("networks: @: {ipam: {config: [{subnet: 10.99.1.0/24}]}}\n"),
		observed(g, "network-internal", "a network without a way out", "docker| networks: [@]\nhostrun| networks: {@: {internal: true}}\n").top("networks: @: {internal: true}\n").but(noWayOut),
		observed(g, "network-mtu", "another MTU", "docker| networks: [@]\nhostrun| networks: {@: {driver_opts: {com.docker.network.driver.mtu: 1400}}}\n").top("networks: @: {driver_opts: {com.docker.network.driver.mtu: 1400}}\n"),
		observed(g, "network-several", "two networks", "networks: [@, @-two]\n").top(one + "networks: @-two: {}\n"),
		observed(g, "network-mac", "a fixed link address", "networks: [@]\nmac_address: 02:42:ac:11:65:43\n").top(one),
	}
}

func refusedScenes() []scene {
	const g = "mistakes"
	refused := func(name, about, service string, differ ...difference) scene {
		return played(g, name, about, service+"\nnetwork_mode: none\n", func(p *player) {
			_ = os.RemoveAll(filepath.Join(p.m.dir, "services", "nowhere-short"))
			r := p.up(nil, p.name)
			p.note("up fails", r.status != 0)
			p.seen["~up.stderr"] = r.err
		}, differ...)
	}
	return []scene{
		refused("bad-key", "an unknown key", "comand: [\"true\"]"),
		refused("bad-type", "a mapping where text belongs", "working_dir: {a: b}"),
		refused("bad-env-file", "a missing env_file", "env_file: missing.env"),
		refused("bad-required", "a variable that must be there", "environment: {A: \"${NOT_THERE:?is needed}\"}"),
		refused("bad-signal", "no signal", "stop_signal: SIGNOTHING"),
		refused("bad-capability", "no capability", "cap_add: [NOTHING]"),
		refused("bad-user", "a user that the image has not", "user: nobody-at-all"),
		refused("bad-group", "a group that the image has not", "group_add: [nothing-at-all]"),
		refused("bad-size", "no size", "mem_limit: lots"),
		refused("bad-grace", "no duration", "stop_grace_period: 10 parsecs"),
		refused("bad-command", "a command that is not there", "command: [nowhere]"),
		refused("bad-device", "a device that is not there", "devices: [/dev/nowhere]"),
		refused("bad-bind", "a missing source, in the long form", "volumes: [{type: bind, source: ./nowhere, target: /x}]"),
		refused("bad-mount", "a relative target", "volumes: [\"./data:data\"]"),
		refused("bad-cpus", "more processors than there are", "cpus: 1000"),
		refused("bad-sysctl", "a sysctl that is not the container's", "sysctls: {vm.swappiness: 1}"),
		refused("bad-restart", "no policy", "restart: sometimes"),
		refused("bad-variable", "a variable that is not there", "environment: {A: \"${NOT_THERE}\"}", emptyVariable),
		refused("bad-bind-short", "a missing source, in the short form", "volumes: [\"./nowhere-short:/x\"]", missingSource),
		refused("bad-anonymous", "a volume without a name at a relative path", "volumes: [{type: volume, target: anonymous}]"),
		refused("bad-shell", "a shell's operator in a text", "command: echo a && echo b", shellWords),
		refused("bad-shm", "shm_size beside ipc: host", "ipc: host\nshm_size: 64m", shmBesideHost),
	}
}
