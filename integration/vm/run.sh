#!/bin/bash
# Boots Debian with systemd as its first process in virtual machines, with each layout of cgroups, and runs guest.sh there: what a
# machine under test cannot show of itself. Nothing is installed in it but what the distribution has: no containerd.
#
#   integration/vm/run.sh [unified] [hybrid] [legacy]     all of them
#   HOSTRUN_VM_ONLY=service integration/vm/run.sh         only the tests whose names begin so
#   HOSTRUN_VM_SILENCE=180 HOSTRUN_VM_TIMEOUT=600         seconds until a machine that shows nothing is booted again, once, and until any is given up
#
# Needs root and qemu. The processors are emulated, which works everywhere; HOSTRUN_VM_ACCEL=kvm is quicker where /dev/kvm is
# more than a file (in a virtual machine it may be there and not work). Kept below $HOSTRUN_TEST_CACHE/vm.
set -euo pipefail

cd "$(dirname "$0")/../.."
cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/vm
architecture=$(dpkg --print-architecture)
layouts=("$@")
[ $# -gt 0 ] || layouts=(unified hybrid legacy)

say() { printf 'vm: %s\n' "$*" >&2; }
die() { say "error: $1"; [ $# -lt 2 ] || say "hint: $2"; exit 1; }

[ "$(id -u)" = 0 ] || die "the root of a machine has files of several owners" "run as root"
case $architecture in
amd64) qemu=qemu-system-x86_64 package=qemu-system-x86 console=ttyS0 machine=q35 kvm_cpu=host,arch-capabilities=off ;; # one virtual machine in another may not set it
arm64) qemu=qemu-system-aarch64 package=qemu-system-arm console=ttyAMA0 machine=virt kvm_cpu=host ;;
*) die "no virtual machine is described for $architecture" ;;
esac
missing=()
command -v "$qemu" >/dev/null || missing+=("$package")
command -v cpio >/dev/null || missing+=(cpio)
command -v zstd >/dev/null || missing+=(zstd)
if [ ${#missing[@]} -gt 0 ]; then
	say "installing ${missing[*]}"
	apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
fi
[ -x bin/hostrun ] || die "hostrun is not built" "make build"

mkdir -p "$cache"
work=$(mktemp -d "$cache/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT

# kernel fetches the distribution's kernel for virtual machines, with its modules, without installing it.
kernel() {
	[ ! -s "$cache/kernel/done" ] || return 0
	say "fetching a kernel for virtual machines"
	(cd "$work" && for name in "linux-image-cloud-$architecture" linux-image-virtual; do
		apt-cache show "$name" >/dev/null 2>&1 || continue
		mapfile -t parts < <(apt-cache depends "$name" | awk '$1 == "Depends:" && $2 ~ /^linux-(image|modules)-/ { print $2 }')
		for part in "${parts[@]}"; do # Ubuntu's modules are a package that the image depends on
			mapfile -t -O ${#parts[@]} parts < <(apt-cache depends "$part" | awk '$1 == "Depends:" && $2 ~ /^linux-modules-/ { print $2 }')
		done
		apt-get -qq download "${parts[@]}" && break
	done) 2>/dev/null
	for deb in "$work"/linux-*.deb; do dpkg-deb -x "$deb" "$work/kernel"; done
	rm -rf "$cache/kernel" && mv "$work/kernel" "$cache/kernel" && echo ok >"$cache/kernel/done"
}

# base packs the system: as an archive that the kernel unpacks into memory.
base() {
	local tar
	tar=$(integration/image/debian.sh systemd-sysv libpam-systemd dbus kmod iproute2 procps crun runc udev containernetworking-plugins iptables)
	base=$cache/base-$(basename "$tar" .tar)-$(ls "$cache/kernel/lib/modules").cpio
	[ ! -s "$base" ] || return 0
	say "packing the system"
	mkdir "$work/root"
	tar -C "$work/root" -xf "$tar"
	mkdir -p "$work/root/lib/modules"
	cp -a "$cache/kernel/lib/modules/." "$work/root/lib/modules/"
	chroot "$work/root" depmod "$(ls "$cache/kernel/lib/modules")"
	(cd "$work/root" && find . -print0 | cpio --null --quiet -H newc -o >"$work/base") && mv "$work/base" "$base"
	rm -rf "$work/root"
}

# ours packs hostrun, the tests and what starts them.
ours() {
	local root=$work/ours
	mkdir -p "$root/opt" "$root/etc/systemd/system/multi-user.target.wants" "$root/new"
	make -s install DESTDIR="$root" >/dev/null
	install -m 755 integration/vm/guest.sh "$root/opt/guest.sh"
	install -m 755 integration/vm/init.sh "$root/init"
	cat >"$root/etc/systemd/system/guest.service" <<-'EOF'
		[Unit]
		Description=what a machine under test cannot show of itself
		[Service]
		Type=oneshot
		ExecStart=/opt/guest.sh
		ExecStopPost=/bin/systemctl --force --force poweroff
	EOF
	ln -s ../guest.service "$root/etc/systemd/system/multi-user.target.wants/guest.service"
	for unit in getty@tty1 serial-getty@ttyS0 serial-getty@ttyAMA0 systemd-networkd apt-daily.timer apt-daily-upgrade.timer; do
		ln -s /dev/null "$root/etc/systemd/system/${unit%.timer}$([[ $unit = *.timer ]] && echo .timer || echo .service)"
	done
	(cd "$root" && find . -print0 | cpio --null --quiet -H newc -o) >"$work/ours.cpio"
}

silence=${HOSTRUN_VM_SILENCE:-180}

# await waits for the end of the machine with this process, and kills it after $HOSTRUN_VM_TIMEOUT (124), or when the files have not grown for a while (75).
await() {
	local process=$1 begun=$SECONDS heard=$SECONDS size=0 now
	shift
	while kill -0 "$process" 2>/dev/null; do
		now=$(cat "$@" 2>/dev/null | wc -c)
		[ "$now" = "$size" ] || { size=$now heard=$SECONDS; }
		if ((SECONDS - begun > ${HOSTRUN_VM_TIMEOUT:-600})); then
			kill -9 "$process"; wait "$process" 2>/dev/null || true
			return 124
		elif ((SECONDS - heard > silence)); then
			kill -9 "$process"; wait "$process" 2>/dev/null || true
			return 75
		fi
		sleep 1
	done
	wait "$process"
}

# boot runs one machine, and passes its report on. The words are those of the Test Anything Protocol.
boot() {
	local layout=$1 words accel=${HOSTRUN_VM_ACCEL:-tcg} cpu=max report=$work/report-$1
	case $layout in
	unified) words=systemd.unified_cgroup_hierarchy=1 ;;
	hybrid) words=systemd.unified_cgroup_hierarchy=0 ;;
	legacy) words="systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1" ;;
	*) die "$layout is no layout of cgroups" "unified, hybrid or legacy" ;;
	esac
	[ "$accel" != kvm ] || cpu=$kvm_cpu
	say "booting with $layout cgroups"
	cat "$base" "$work/ours.cpio" >"$work/initrd"
	local try status
	for try in 1 2; do
		: >"$report"
		"$qemu" -machine "$machine" -accel "$accel" -cpu "$cpu" -smp 2 -m 3072 -nodefaults -no-reboot -display none \
			-kernel "$cache"/kernel/boot/vmlinuz-* -initrd "$work/initrd" -append "console=$console quiet panic=-1 rdinit=/init layout=$layout ${HOSTRUN_VM_ONLY:+only=$HOSTRUN_VM_ONLY} $words" \
			-serial "file:$work/console-$layout" \
			-device virtio-serial-pci -chardev "file,id=report,path=$report" -device virtserialport,chardev=report,name=hostrun-report &
		status=0
		await $! "$report" "$work/console-$layout" || status=$?
		# An emulated machine locks up now and then, both processors busy and nothing on its console: that says nothing about hostrun, the second time in a row it does.
		[ $status = 75 ] && [ $try = 1 ] || break
		say "the machine with $layout cgroups has locked up after $(grep -c '^ok' "$report" || true) tests: no sign of life for $silence s; booting it once more"
	done
	[ $status = 0 ] ||
		{ sed "s/^/$layout: /" "$report"; tail -n 30 "$work/console-$layout" >&2; die "the machine with $layout cgroups did not end by itself"; }
	sed "s/^/$layout: /" "$report"
	if ! grep -q '^1\.\.' "$report" || grep -q '^not ok' "$report" || [ "$(grep -c '^ok' "$report")" != "$(sed -n 's/^1\.\.//p' "$report")" ]; then
		cp "$work/console-$layout" "$cache/console-$layout"
		say "$layout: FAILED; the machine's console is in $cache/console-$layout"
		return 1
	fi
}

kernel
base
ours
failed=0
for layout in "${layouts[@]}"; do boot "$layout" || failed=1; done
exit $failed
