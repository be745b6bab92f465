#!/bin/bash
# Runs in the virtual machine, as a unit of its systemd. It reports in the words of the Test Anything Protocol.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
layout=$(sed -n 's/.*layout=\([a-z]*\).*/\1/p' /proc/cmdline)
only=$(sed -n 's/.*only=\([^ ]*\).*/\1/p' /proc/cmdline)
report=/dev/virtio-ports/hostrun-report
modprobe virtio_console
for _ in $(seq 100); do [ -e $report ] && break; sleep 0.1; done
exec >$report 2>&1 </dev/null
count=0
profiles=/root/profiles
mkdir -p $profiles
echo 'ann:x:4242:4242::/home/ann:/bin/sh' >>/etc/passwd
echo 'ann:*:20000::::::' >>/etc/shadow
printf 'ann:x:4242:\nhostrun:x:4243:ann\n' >>/etc/group # the engine looks for the group when it starts

# try runs a test: a function that says on stdout what went wrong.
try() {
	local said status
	[[ -z $only || "$*" =~ ^$only ]] || return 0
	count=$((count + 1))
	said=$("$@" 2>&1)
	status=$?
	if [ $status = 0 ]; then
		echo "ok $count - $*"
	else
		echo "not ok $count - $* (status $status)"
		sed 's/^/#   /' <<<"$said"
	fi
}

# want compares.
want() { [ "$1" = "$2" ] || { echo "got: $1"; echo "want: $2"; return 1; }; }

# until waits up to 30 s for a command to succeed.
until_it() {
	local i
	for i in $(seq 300); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
	echo "never: $*"
	return 1
}

hr() { hostrun --profile-dir $profiles --progress quiet "$@"; }

first_process() { want "$(cat /proc/1/comm)" systemd; }

cgroup_layout() {
	local type
	type=$(stat -fc %T /sys/fs/cgroup)
	case $layout in
	unified) want "$type" cgroup2fs ;;
	hybrid) want "$type" tmpfs && want "$(stat -fc %T /sys/fs/cgroup/unified)" cgroup2fs ;;
	legacy) want "$type" tmpfs && ! [ -d /sys/fs/cgroup/unified ] ;;
	esac
}

hello() {
	local said
	said=$(hr run -T hello) || return 1
	grep -q 'Hello from a container' <<<"$said" && grep -q 'root     read-only' <<<"$said" || { echo "$said"; return 1; }
}

doctor() { hr doctor; }

# The engine is a unit of its own: it outlives what started it.
engine_unit() { systemctl list-units --plain --no-legend --state=active 'hostrun-engine*' | grep -q '^hostrun-engine'; }

engine_pid() { sed 's/.*"pid": *\([0-9]*\).*/\1/' /run/hostrun/engine/engine.json | head -1; }

cat >$profiles/service.yaml <<'EOF'
rootfs: host
command: [sh, -c, "trap 'exit 0' TERM; echo begun; while :; do sleep 0.1; done"]
mem_limit: 64mb
pids_limit: 40
cpus: 0.5
EOF
limits() {
	hr up service || return 1
	case $layout in
	unified)
		local at=/sys/fs/cgroup/hostrun/service
		want "$(cat $at/memory.max)" 67108864 && want "$(cat $at/pids.max)" 40 && want "$(cat $at/cpu.max)" "50000 100000"
		;;
	*)
		want "$(cat /sys/fs/cgroup/memory/hostrun/service/memory.limit_in_bytes)" 67108864 &&
			want "$(cat /sys/fs/cgroup/pids/hostrun/service/pids.max)" 40 &&
			want "$(cat /sys/fs/cgroup/cpu/hostrun/service/cpu.cfs_quota_us)" 50000
		;;
	esac
}

exec_and_logs() { want "$(hr exec service -- echo inside)" inside && want "$(hr logs service)" begun; }

engine_killed() {
	local before
	before=$(hr ps --format '{{.pid}}')
	kill -9 "$(engine_pid)" || return 1
	want "$(hr ps --format '{{.pid}}')" "$before" && [ -d "/proc/$before" ] && hr exec service -- true && engine_unit
}

down() { hr down -y service && want "$(hr ps -aq)" ""; }

# A container and the engine outlive the unit from which they were started, however it ends.
outlives_its_unit() {
	hr --engine private ps >/dev/null
	systemd-run --quiet --wait --collect -p KillMode=control-group -- "$(command -v hostrun)" --profile-dir $profiles up service || return 1
	want "$(hr ps -q)" service && engine_unit && hr down -y service
}

cat >$profiles/device.yaml <<'EOF'
rootfs: host
devices: ["/dev/urandom:/dev/given", "/dev/fuse"]
command: [sh, -c, "while :; do head -c1 /dev/given >/dev/null || echo lost; : <>/dev/fuse || echo lost; sleep 0.02; done"]
EOF
# systemd writes the rules of devices anew for what it knows of; a container's are its own.
daemon_reload() {
	modprobe fuse
	hr up device || return 1
	sleep 0.5
	systemctl daemon-reload && sleep 0.5 && systemctl daemon-reexec && sleep 1 && systemctl daemon-reload && sleep 0.5
	want "$(hr logs device)" "" && hr exec device -- sh -c ': <>/dev/fuse' || return 1
	mknod_denied
}

# What was not given stays closed.
mknod_denied() {
	local said
	hr down -y device
	sed -i 's/, "\/dev\/fuse"//; s/: <>\/dev\/fuse || echo lost; //' $profiles/device.yaml
	hr up device || return 1
	said=$(hr exec --user 0 device -- sh -c 'mknod /tmp/x c 10 229 && : <>/tmp/x' 2>&1) && { echo "opened: $said"; return 1; }
	hr down -y device
}

# Both OCI runtimes of the distribution work where they say so; crun is preferred then.
each_runtime() {
	local name
	for name in runc crun; do
		sed "1iruntime: $name" $profiles/service.yaml >$profiles/by-$name.yaml
		hr check by-$name >/dev/null 2>/tmp/why || { [ $name$layout = crunhybrid ] && continue; cat /tmp/why; return 1; }
		hr run -T by-$name -- true || return 1
	done
}

chosen_runtime() {
	local chosen
	chosen=$(hr doctor 2>&1)
	echo "$chosen"
	grep -q 'crun' <<<"$chosen"
}

cat >$profiles/unit.yaml <<'EOF'
rootfs: host
command: [sh, -c, "trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.1; done"]
mem_limit: 64mb
pids_limit: 40
devices: [/dev/fuse]
healthcheck: {test: "true", start_interval: 200ms}
restart: always
EOF
field() { systemctl show --property="$1" --value hostrun@unit; }
is() { [ "$(field "$1")" = "$2" ]; }
unit_pid() { hr ps --format '{{.container}} {{.pid}}' | sed -n 's/^unit //p'; }

# A profile as a service: up when healthy, in the unit's cgroup where there is one, with its limits there.
service() {
	hr systemd install --now unit >/dev/null || return 1
	want "$(field ActiveState) $(field StatusText)" "active healthy" && [ ! -e /etc/systemd/system/hostrun@.service ] || return 1
	case $layout in
	unified)
		local at=/sys/fs/cgroup/hostrun.slice/hostrun@unit.service
		want "$(sed -n 's/^0:://p' "/proc/$(unit_pid)/cgroup")" /hostrun.slice/hostrun@unit.service/container &&
			want "$(cat $at/container/memory.max $at/container/pids.max $at/memory.max)" "$(printf '67108864\n40\n603979776')" &&
			want "$(cat $at/cgroup.procs)" ""
		;;
	*)
		want "$(cat /sys/fs/cgroup/memory/hostrun/unit/memory.limit_in_bytes)" 67108864 && journalctl -u hostrun@unit | grep -q HR262
		;;
	esac
}

service_reload() {
	local before file=/sys/fs/cgroup/memory/hostrun/unit/memory.limit_in_bytes
	before=$(unit_pid)
	sed -i 's/64mb/96mb/; s/pids_limit: 40/pids_limit: 50/' $profiles/unit.yaml
	systemctl reload hostrun@unit || return 1
	[ $layout != unified ] || file=/sys/fs/cgroup/hostrun.slice/hostrun@unit.service/container/memory.max
	until_it grep -qx 100663296 $file && want "$(unit_pid)" "$before" && until_it is ActiveState active
}

# What an administrator allows the unit holds for the container, whatever its profile says; with cgroup v1 it is another cgroup's.
service_allowed() {
	local at=/sys/fs/cgroup/hostrun.slice/hostrun@unit.service file=/etc/systemd/system/hostrun@unit.service.d/50-test.conf before
	printf '[Service]\nMemoryMax=80M\nCPUQuota=20%%\nAllowedCPUs=1\n' >$file
	before=$(field NRestarts)
	systemctl daemon-reload && systemctl restart hostrun@unit || return 1
	if [ $layout = unified ]; then
		want "$(cat $at/memory.max $at/cpu.max $at/container/cpuset.cpus.effective)" "$(printf '83886080\n20000 100000\n1')" || return 1
		journalctl -u hostrun@unit | grep -q 'HR381.*mem_limit is 96MiB, and the unit allows 80MiB' || { journalctl -u hostrun@unit -n 5; return 1; }
		hr exec unit -- sh -c 'head -c 90000000 /dev/zero | tail -c 90000000 >/dev/null' && { echo "more memory than the unit has"; return 1; }
		grep -q '^oom_kill [1-9]' $at/memory.events && want "$(field ActiveState) $(field NRestarts)" "active $before" || return 1
	fi
	rm $file && systemctl daemon-reload && systemctl restart hostrun@unit && until_it is ActiveState active
}

service_daemon_reload() { systemctl daemon-reload && systemctl daemon-reexec && sleep 1 && hr exec unit -- sh -c ': <>/dev/fuse'; }

another() { local now; now=$(unit_pid); [ "$now" ] && [ "$now" != "$1" ] && is ActiveState active; }
service_supervisor_killed() {
	local before
	before=$(unit_pid)
	kill -9 "$(field MainPID)" && until_it another "$before" && ! [ -d "/proc/$before" ] && want "$(field NRestarts)" 1 && engine_unit
}

service_stopped() {
	local before
	before=$(unit_pid)
	hr stop unit && until_it is ActiveState inactive && sleep 6 && want "$(field ActiveState) $(field Result)" "inactive success" && ! [ -d "/proc/$before" ] &&
		journalctl -u hostrun@unit | grep -q bye
}

service_gone() { hr systemd uninstall -y unit && want "$(hr ps -aq; find /etc/systemd /sys/fs/cgroup -name 'hostrun@*')" ""; }

ann() { setpriv --reuid=4242 --regid=4242 --init-groups env -i "PATH=$PATH" HOME=/home/ann XDG_RUNTIME_DIR=/run/user/4242 HOSTRUN_PROGRESS=quiet "$@"; }
mine() { ann systemctl --user show --property="$1" --value hostrun@mine; }
mine_is() { [ "$(mine "$1")" = "$2" ]; }

# A user's own service, with nobody logged in: the limits of the profile and of the user's unit hold where the user's systemd was given them.
user_service() {
	local home=/home/ann at=/sys/fs/cgroup/user.slice/user-4242.slice/user@4242.service/app.slice/app-hostrun.slice/hostrun@mine.service
	install -d $home $home/.config/hostrun/profiles $home/.config/systemd/user/hostrun@mine.service.d
	sed '/^devices:/d; s/96mb/64mb/; s/pids_limit: 50/pids_limit: 40/' $profiles/unit.yaml >$home/.config/hostrun/profiles/mine.yaml
	printf '[Service]\nMemoryMax=80M\nTasksMax=60\n' >$home/.config/systemd/user/hostrun@mine.service.d/50-test.conf
	chown -R 4242:4242 $home
	engine_unit || hr run -T hello >/dev/null
	loginctl enable-linger ann && until_it test -S /run/user/4242/systemd/private && ann hostrun systemd install --user --now mine >/dev/null ||
		{ journalctl --no-pager -n 20 -u systemd-logind -u user-runtime-dir@4242 -u user@4242; return 1; }
	want "$(mine ActiveState) $(mine StatusText)" "active healthy" || return 1
	[ $layout != unified ] ||
		want "$(cat $at/container/memory.max $at/container/pids.max $at/memory.max $at/pids.max)" "$(printf '67108864\n40\n83886080\n60')"
}

# Who lingers has his services after a boot: systemd-logind starts his systemd when it starts itself, and hostrun.service the engine.
user_linger() {
	systemctl stop user@4242.service && systemctl stop 'hostrun-engine*' && ! [ -e /run/user/4242 ] && ! engine_unit || return 1
	systemctl restart systemd-logind && systemctl start hostrun.service &&
		until_it mine_is ActiveState active && until_it mine_is StatusText healthy && want "$(ann hostrun ps -q)" mine
}

user_gone() { ann hostrun systemd uninstall --user -y mine && want "$(ann hostrun ps -aq)" "" && loginctl disable-linger ann; }

cat >$profiles/lan.yaml <<'EOF'
rootfs: host
command: [sleep, "1000"]
stop_grace_period: 0s
networks: {lan: {driver: ipvlan, driver_opts: {parent: wire0, ipvlan_mode: l2}, ipam: {config: [{subnet: 198.51.100.0/24, gateway: 198.51.100.2}]}}}
EOF
# reached: a port that nobody listens at answers, which tells that the way is there and leads to that machine.
reached() {
	local said
	said=$("$@" 2>&1)
	grep -q 'Connection refused' <<<"$said" || { echo "$*: $said"; return 1; }
}

# A kernel that tests run in may have no ipvlan and no VLANs; the distribution's has.
network_ipvlan() {
	local mode address
	modprobe ipvlan && ip netns add far && ip link add wire0 type veth peer name wire1 netns far && ip link set wire0 up &&
		ip -n far addr add 198.51.100.2/24 dev wire1 && ip -n far link set wire1 up || return 1
	for mode in l2 l3 l3s; do
		sed -i "s/ipvlan_mode: [a-z0-9]*/ipvlan_mode: $mode/" $profiles/lan.yaml
		sed 's/^networks:.*/networks: [lan]/' $profiles/lan.yaml >$profiles/peer.yaml
		hr up lan && hr up peer || return 1
		reached hr exec lan -- bash -c 'exec 3<>/dev/tcp/peer/9' || return 1
		if [ $mode = l2 ]; then # the others have no addresses of a link, and the machines around need a route
			address=$(hr exec lan -- ip -4 -o addr show eth0 | sed 's/.* inet \([0-9.]*\).*/\1/')
			reached ip netns exec far bash -c "exec 3<>/dev/tcp/$address/9" && reached hr exec lan -- bash -c 'exec 3<>/dev/tcp/198.51.100.2/9' || return 1
		fi
		hr down -y lan peer || return 1
	done
}

# The remedy of HR377 for the interface of a VLAN, as it is said.
network_vlan() {
	local address said
	sed -i 's/driver: ipvlan/driver: macvlan/; s/parent: wire0, .*l3s/parent: wire0.50/' $profiles/lan.yaml
	said=$(hr up lan 2>&1)
	grep -q 'HR377' <<<"$said" || { echo "$said"; return 1; }
	eval "$(sed -n 's/.*made by hand: //p' <<<"${said//eth0/wire0}" | head -n 1)" || { echo "$said"; return 1; }
	ip -n far addr flush dev wire1 && ip -n far link add link wire1 name wire1.50 type vlan id 50 && ip -n far addr add 198.51.100.2/24 dev wire1.50 && ip -n far link set wire1.50 up || return 1
	hr up lan || return 1
	address=$(hr exec lan -- ip -4 -o addr show eth0 | sed 's/.* inet \([0-9.]*\).*/\1/')
	reached ip netns exec far bash -c "exec 3<>/dev/tcp/$address/9" && hr down -y lan && ip link del wire0 && ip netns del far
}

idle() { [ -z "$(find /sys/fs/cgroup -path '*/hostrun/*' -type d)" ] || { find /sys/fs/cgroup -path '*/hostrun/*' -type d; return 1; }; }

for t in first_process cgroup_layout hello doctor engine_unit limits exec_and_logs engine_killed down outlives_its_unit daemon_reload each_runtime chosen_runtime \
	service service_reload service_allowed service_daemon_reload service_supervisor_killed service_stopped service_gone \
	user_service user_linger user_gone network_ipvlan network_vlan; do try $t; done
try until_it idle
echo "1..$count"
