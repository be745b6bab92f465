#!/bin/bash
# Boots systemd on a machine that is only a directory, as enter.sh has it, with cgroup v2 alone, and has it run /shared/script once.
# What the script writes goes to /shared/out, its exit status to /shared/status. The machine is powered off at its end.
#
#   boot.sh ROOT STATE
set -euo pipefail

root=$1 state=$2
mkdir -p "$state"/{upper,work,top,shared,lib}
if [ -z "${ENTERED:-}" ]; then
	unified=/sys/fs/cgroup
	[ "$(stat -f -c %T "$unified")" = cgroup2fs ] || unified=$unified/unified
	[ "$(stat -f -c %T "$unified")" = cgroup2fs ] || { echo "there is no unified hierarchy of cgroups" >&2; exit 1; }
	group=$unified/hostrun-boot-$$ # becomes the root of what systemd sees
	mkdir "$group"
	before=$unified$(sed -n 's/^0:://p' /proc/self/cgroup)
	echo $$ >"$group/cgroup.procs"
	ENTERED=1 timeout --kill-after=5 1000 unshare --mount --pid --fork --cgroup --uts --ipc --kill-child --propagation private -- "$0" "$@" || true # a poweroff is a signal
	echo $$ >"$before/cgroup.procs"
	for _ in $(seq 100); do
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
		[ -e "$group" ] || break
		sleep 0.05
	done
	[ -s "$state/shared/status" ] || { echo "systemd did not run the script" >&2; exit 1; }
	exit "$(cat "$state/shared/status")"
fi
mount -t overlay overlay -o "lowerdir=$root,upperdir=$state/upper,workdir=$state/work" "$state/top"
cd "$state/top"
mkdir -p shared run var/lib/hostrun .before
rm -rf etc/systemd/system etc/fstab
mkdir -p etc/systemd/system
cat >etc/systemd/system/hostrun-boot.service <<-'END'
	[Unit]
	DefaultDependencies=no
	[Service]
	Type=oneshot
	StandardOutput=append:/shared/out
	StandardError=inherit
	ExecStart=/bin/bash -c "bash /shared/script; echo $$? >/shared/status"
	ExecStopPost=/bin/systemctl --force --force poweroff
END
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --bind "$state/shared" shared
mount --bind "$state/lib" var/lib/hostrun
pivot_root . .before
umount -l /.before
unset ENTERED
export container=hostrun-test
exec /usr/lib/systemd/systemd --system --unit=hostrun-boot.service --log-target=console --log-level=warning --show-status=no
