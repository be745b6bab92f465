package main

func fileScenes() []scene {
	const g = "files"
	vol := func(name string) string { return "volumes: " + name + ": {}\n" }
	return []scene{
		alone(g, "bind-short", "a directory", "volumes: [\"./data:/data\"]\ncommand: [/probe, report, /data, /data/file, /data/sub]"),
		alone(g, "bind-ro", "read-only", "volumes: [\"./data:/data:ro\"]\ncommand: [/probe, report, /data, /data/file]"),
		alone(g, "bind-long", "the long form", "volumes: [{type: bind, source: ./data, target: /data, read_only: true}]\ncommand: [/probe, report, /data]"),
		alone(g, "bind-file", "a file", "volumes: [\"./single:/single\"]\ncommand: [/probe, report, /single]"),
		alone(g, "bind-file-ro", "a file, over one of the image's", "volumes: [\"./single:/etc/group:ro\"]\ncommand: [/probe, report, /etc/group]"),
		alone(g, "bind-owned", "another user's directory", "volumes: [\"./owned:/owned\"]\nuser: app\ncommand: [/probe, report, /owned]"),
		alone(g, "bind-foreign", "root's directory, for a user", "volumes: [\"./data:/data\"]\nuser: app\ncommand: [/probe, report, /data]"),
		alone(g, "bind-parent", "a path with ..", "volumes: [\"../services/data:/data:rw\"]\ncommand: [/probe, report, /data]"),
		alone(g, "bind-variable", "a path with a variable", "volumes: [\"./${NOT_THERE:-data}:/data\"]\ncommand: [/probe, report, /data]"),
		alone(g, "bind-create", "a missing directory that is to be made", "volumes: [{type: bind, source: ./made, target: /made, bind: {create_host_path: true}}]\ncommand: [/probe, report, /made]"),
		alone(g, "bind-rshared", "propagation rshared", "volumes: [\"./shared:/shared:rshared\"]\ncommand: [/probe, report, /shared]"),
		alone(g, "bind-rslave", "propagation rslave", "volumes: [{type: bind, source: ./shared, target: /shared, bind: {propagation: rslave}}]\ncommand: [/probe, report, /shared]"),
		alone(g, "bind-private", "propagation private", "volumes: [\"./shared:/shared:private\"]\ncommand: [/probe, report, /shared]"),
		alone(g, "bind-below", "what is mounted below comes along", "volumes: [\"./outer:/outer\"]\ncommand: [/probe, report, /outer, /outer/inner]"),
		alone(g, "bind-below-ro", "read-only, with a mount below", "volumes: [\"./outer:/outer:ro\"]\ncommand: [/probe, report, /outer, /outer/inner]", deepReadOnly...),
		alone(g, "bind-order", "a mount in a mount", "volumes: [\"./data:/a/b\", \"order:/a\"]\ncommand: [/probe, report, /a, /a/b]").top(vol("order")),
		alone(g, "volume", "a named volume", "volumes: [\"named:/named\"]\ncommand: [/probe, report, /named]").top(vol("named")),
		alone(g, "volume-ro", "read-only", "volumes: [\"namedro:/named:ro\"]\ncommand: [/probe, report, /named]").top(vol("namedro")),
		alone(g, "volume-long", "the long form, nocopy", "volumes: [{type: volume, source: namedlong, target: /named, volume: {nocopy: true}}]\ncommand: [/probe, report, /named]").top(vol("namedlong")),
		alone(g, "volume-filled", "over a directory that is not empty in the image", "volumes: [\"namedfilled:/filled\"]\ncommand: [/probe, report, /filled, /filled/of-the-image]").top(vol("namedfilled")),
		alone(g, "volume-filled-nocopy", "the same with nocopy", "volumes: [\"namednocopy:/filled:nocopy\"]\ncommand: [/probe, report, /filled]").top(vol("namednocopy")),
		alone(g, "volume-filled-below", "a part of the image's tree, for a user", "volumes: [\"namedbelow:/etc\"]\nuser: app\ncommand: [/probe, report, /etc/passwd, /etc/group]").top(vol("namedbelow")),
		alone(g, "volume-anonymous", "without a name", "volumes: [/anonymous, {type: volume, target: /other}]\ncommand: [/probe, report, /anonymous, /other]"),
		alone(g, "volume-anonymous-filled", "without a name, over a directory that is not empty in the image", "volumes: [/filled]\ncommand: [/probe, report, /filled]"),
		alone(g, "volume-image", "VOLUME of the image", "").of(volumed),
		alone(g, "volume-image-ro", "the same on a read-only root", "read_only: true").of(volumed),
		alone(g, "volume-image-user", "the same for a user", "user: app").of(volumed),
		alone(g, "volume-image-mounted", "the same, where the service mounts something else", "tmpfs: /filled\nvolumes: [\"./data:/home/app:ro\", \"namedby:/made/by/volume\"]").of(volumed).top(vol("namedby")),
		played(g, "volume-kept", "what is in volumes without names after up --force-recreate, and after down", "volumes: [/anonymous]\nnetwork_mode: none\ncommand: [/bin/sh, -c, \"trap 'exit 0' TERM; ls /anonymous /filled; echo READY; while :; do sleep 0.05; done\"]\n", func(p *player) {
			p.start()
			p.says(p.name, "READY")
			p.do("", "exec", nil, p.name, "touch", "/anonymous/new", "/filled/new")
			p.noteStatus("again", p.up([]string{"--force-recreate"}, p.name))
			p.says(p.name, "READY")
			p.note("kept", p.do("", "exec", nil, p.name, "ls", "/anonymous", "/filled").out)
			p.side.clear([]string{p.name})
			p.noteStatus("anew", p.up(nil, p.name))
			p.says(p.name, "READY")
			p.note("anew", p.do("", "exec", nil, p.name, "ls", "/anonymous", "/filled").out)
		}).of(volumed),
		alone(g, "volume-home", "over a user's directory", "volumes: [\"namedhome:/home/app\"]\nuser: app\ncommand: [/probe, report, /home/app]").top(vol("namedhome")),
		alone(g, "tmpfs-one", "one", "tmpfs: /scratch\ncommand: [/probe, report, /scratch]"),
		alone(g, "tmpfs-options", "size and mode", "tmpfs: \"/scratch:size=2m,mode=0700\"\ncommand: [/probe, report, /scratch]"),
		alone(g, "tmpfs-list", "several", "tmpfs: [/scratch, \"/tmp:size=1m\"]\ncommand: [/probe, report, /scratch, /tmp]"),
		alone(g, "tmpfs-long", "as a volume", "volumes: [{type: tmpfs, target: /scratch, tmpfs: {size: 1m}}]\ncommand: [/probe, report, /scratch]"),
		alone(g, "tmpfs-long-mode", "as a volume with a mode", "volumes: [{type: tmpfs, target: /scratch, tmpfs: {size: 1048576, mode: 0o700}}]\ncommand: [/probe, report, /scratch]"),
		alone(g, "tmpfs-long-ro", "as a volume, read-only", "volumes: [{type: tmpfs, target: /scratch, read_only: true}]\ncommand: [/probe, report, /scratch]"),
		alone(g, "tmpfs-exec", "options of mount(8)", "tmpfs: \"/scratch:exec,uid=1000,gid=44,nr_inodes=100\"\ncommand: [/probe, report, /scratch]"),
		alone(g, "tmpfs-ro", "read-only", "tmpfs: \"/scratch:ro\"\ncommand: [/probe, report, /scratch]"),
		alone(g, "read-only", "a read-only root", "read_only: true\ncommand: [/probe, report, /tmp, /work]"),
		alone(g, "read-only-tmpfs", "with a place to write", "read_only: true\ntmpfs: /tmp\nvolumes: [\"namedrw:/named\"]\ncommand: [/probe, report, /tmp, /named]").top(vol("namedrw")),
		alone(g, "shm-size", "by units", "shm_size: 32mb"),
		alone(g, "shm-size-bytes", "in bytes", "shm_size: 16777216"),
		alone(g, "device", "a device", "devices: [\"/dev/fuse:/dev/fuse\"]", deviceRights...),
		alone(g, "device-renamed", "under another name, read-only", "devices: [\"/dev/zero:/dev/nought:r\"]", noMknod...),
		alone(g, "device-long", "the long form", "devices: [{source: /dev/fuse, target: /dev/other, permissions: rwm}]", noMknod...),
		alone(g, "device-short", "without target", "devices: [/dev/fuse]", deviceRights...),
	}
}

func limitScenes() []scene {
	const g = "limits"
	return []scene{
		alone(g, "cpus", "half a processor", "cpus: 0.5"),
		alone(g, "cpus-text", "as text", "cpus: \"1.5\""),
		alone(g, "cpuset", "one of them", "cpuset: \"0\""),
		alone(g, "mem-limit", "memory", "mem_limit: 64m", swapBeside),
		alone(g, "mem-limit-bytes", "in bytes", "mem_limit: 104857600", swapBeside),
		alone(g, "pids-limit", "processes", "pids_limit: 50"),
		alone(g, "pids-unlimited", "any number of processes", "pids_limit: -1"),
		alone(g, "ulimit-number", "one number", "ulimits: {nofile: 1000, core: 0}"),
		alone(g, "ulimit-pair", "soft and hard", "ulimits: {nofile: {soft: 500, hard: 1500}, nproc: {soft: 100, hard: 200}}"),
		alone(g, "ulimit-unlimited", "without bound", "ulimits: {memlock: -1, stack: {soft: -1, hard: -1}}").all(),
		alone(g, "ulimit-others", "the rarer ones", "ulimits: {rtprio: 5, nice: 10, msgqueue: 100000, sigpending: 100, fsize: 1000000, cpu: 100, rss: 1000000, data: 1000000000, locks: 50}").all(),
		played(g, "memory-exceeded", "more memory than allowed", "mem_limit: 32m\ncommand: [/probe, use, \"100000000\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.ended(p.name)
			p.note("status", p.state(p.name).Exit)
		}),
		played(g, "processes-exceeded", "more processes than allowed", "pids_limit: 20\ncommand: [/bin/sh, -c, \"i=0; while [ $$i -lt 60 ]; do sleep 100 & i=$$((i+1)); done; echo through\"]\nnetwork_mode: none\n", func(p *player) {
			p.start()
			p.ended(p.name)
			p.note("status", p.state(p.name).Exit)
			p.note("output", p.logged(p.name))
		}),
		played(g, "disk-exceeded", "more in a tmpfs than its size", "tmpfs: \"/t:size=1m\"\nnetwork_mode: none\ncommand: [/bin/sh, -c, \"dd if=/dev/zero of=/t/x bs=1024 count=2000 2>/dev/null; echo $$?; wc -c </t/x\"]\n", func(p *player) {
			p.start()
			p.ended(p.name)
			p.note("output", p.logged(p.name))
		}),
	}
}

func rightScenes() []scene {
	const g = "rights"
	return []scene{
		alone(g, "cap-add", "one capability", "cap_add: [SYS_PTRACE]"),
		alone(g, "cap-add-two", "with and without CAP_", "cap_add: [NET_ADMIN, CAP_SYS_TIME]"),
		alone(g, "cap-drop-all", "none", "cap_drop: [ALL]"),
		alone(g, "cap-drop-add", "none but one", "cap_drop: [ALL]\ncap_add: [CHOWN]"),
		alone(g, "cap-drop-one", "all but one of the usual", "cap_drop: [MKNOD]"),
		alone(g, "cap-add-all", "all", "cap_add: [ALL]").all(),
		alone(g, "cap-user", "for a user", "cap_add: [NET_ADMIN]\nuser: app"),
		alone(g, "cap-case", "small letters", "cap_add: [net_admin]"),
		alone(g, "privileged", "everything", "privileged: true").all(),
		alone(g, "privileged-user", "everything, for a user", "privileged: true\nuser: app").all(),
		alone(g, "privileged-ro", "everything, on a read-only root", "privileged: true\nread_only: true").all(),
		alone(g, "no-new-privileges", "no new privileges", "security_opt: [\"no-new-privileges:true\"]"),
		alone(g, "new-privileges", "new privileges may be had", "security_opt: [\"no-new-privileges:false\"]"),
		alone(g, "seccomp-unconfined", "no filter", "security_opt: [\"seccomp:unconfined\"]"),
		alone(g, "seccomp-equals", "the same with =", "security_opt: [\"seccomp=unconfined\"]"),
		alone(g, "seccomp-file", "a filter of one's own", "security_opt: [\"seccomp:./filter.json\"]"),
		alone(g, "ipc-host", "the machine's IPC", "ipc: host", sharedShm),
		alone(g, "ipc-private", "IPC of its own", "ipc: private"),
		alone(g, "ipc-none", "IPC of its own, without /dev/shm", "ipc: none"),
		alone(g, "apparmor-unconfined", "no AppArmor profile, no label of SELinux", "security_opt: [\"apparmor:unconfined\", \"label=disable\"]"),
		alone(g, "systempaths", "nothing of /proc and /sys hidden", "security_opt: [systempaths=unconfined]"),
		played(g, "ipc-container", "IPC of another container", "ipc: container:@-other\nnetwork_mode: none\ndepends_on: [@-other]\ncommand: [/bin/sh, -c, \"cat /dev/shm/word; echo back >/dev/shm/answer\"]\n", sharesIPC).with("@-other", "ipc: shareable\n"+ipcDonor),
		played(g, "ipc-service", "IPC of another service", "ipc: service:@-other\nnetwork_mode: none\ncommand: [/bin/sh, -c, \"cat /dev/shm/word; echo back >/dev/shm/answer\"]\n", sharesIPC).with("@-other", "ipc: shareable\n"+ipcDonor),
		alone(g, "ipc-shareable", "IPC that others may join", "ipc: shareable"),
		alone(g, "sysctl-map", "a mapping", "sysctls: {kernel.shmmax: 1000000, kernel.msgmax: 4096}"),
		alone(g, "sysctl-list", "a list", "sysctls: [net.core.somaxconn=512, net.ipv4.tcp_keepalive_time=600]"),
		alone(g, "sysctl-ports", "which ports are root's", "sysctls: {net.ipv4.ip_unprivileged_port_start: 500}"),
	}
}

const ipcDonor = "network_mode: none\nhealthcheck: {test: [CMD, test, -e, /dev/shm/word], interval: 500ms}\ncommand: [/bin/sh, -c, \"trap 'exit 0' TERM; echo word >/dev/shm/word; while :; do sleep 0.05; done\"]\n"

// sharesIPC starts the one with the file in /dev/shm first, and looks what the other one finds of it.
func sharesIPC(p *player) {
	p.noteStatus("other", p.up([]string{"--wait"}, p.name+"-other"))
	p.noteStatus("up", p.up(nil, p.name))
	p.ended(p.name)
	p.note("there", p.logged(p.name))
	p.note("back", p.do("", "exec", nil, p.name+"-other", "cat", "/dev/shm/answer").out)
}

func nameScenes() []scene {
	const g = "names"
	bridge := func(name, about, service string, differ ...difference) scene {
		return observed(g, name, about, service, differ...).top("networks: @: {}\n")
	}
	return []scene{
		alone(g, "hostname", "a name", "hostname: chosen"),
		alone(g, "hostname-domain", "a name and its domain", "hostname: chosen\ndomainname: example.org"),
		alone(g, "hostname-dots", "a name with dots", "hostname: chosen.example.org"),
		observed(g, "hostname-host", "a name on the host's network", "network_mode: host\nhostname: chosen\n"),
		bridge("hostname-bridge", "a name on a network", "networks: [@]\nhostname: chosen\n", ownName),
		bridge("hostname-bridge-domain", "a name and its domain on a network", "networks: [@]\nhostname: chosen\ndomainname: example.org\n", ownName),
		alone(g, "extra-hosts", "further names", "extra_hosts: [\"one:10.1.1.1\", \"two=10.1.1.2\", \"six:2001:db8::1\"]"),
		observed(g, "extra-hosts-map", "the same as a mapping", "network_mode: host\nextra_hosts: {one: 10.1.1.1, two: 10.1.1.2}\n", hostNames),
		bridge("extra-hosts-gateway", "the machine's name on a network", "networks: [@]\nextra_hosts: [\"host.docker.internal:host-gateway\"]\n"),
		bridge("dns", "servers, domains, options on a network", "networks: [@]\ndns: [192.0.2.53, 192.0.2.54]\ndns_search: [example.org, example.net]\ndns_opt: [\"ndots:3\", rotate]\n"),
		observed(g, "dns-host", "a server on the host's network", "network_mode: host\ndns: 192.0.2.53\n"),
		observed(g, "dns-search-host", "domains on the host's network", "network_mode: host\ndns_search: example.org\n"),
		observed(g, "dns-opt-host", "options on the host's network", "network_mode: host\ndns_opt: [\"timeout:1\"]\n"),
	}
}
