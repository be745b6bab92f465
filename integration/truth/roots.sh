#!/bin/bash
# Builds the image roots of `make truth` into $HOSTRUN_TEST_CACHE/truth/roots: one directory for each line of roots.txt,
# from Debian's packages by name. A root is kept until its line or the recipe below changes. Roots that could not be
# built are named, and the others are compared without them. Where apt's sources have no mirror of Debian (another
# distribution), HOSTRUN_DEBIAN_MIRROR names one.
#
#   integration/truth/roots.sh [NAME...]     only these
#   ROOTS=hosts.txt integration/truth/roots.sh [NAME...]     the machines of another list
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/truth/roots
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
list=$here/${ROOTS:-roots.txt}
recipe=2 # a change builds every root anew

# An image is small; a machine that lends is whole. Bytecode that would be removed again is half of the time of a full root: packages
# ask whether py3compile is there.
cut=(--dpkgopt='path-exclude=/usr/bin/py3compile'
	--customize-hook='find "$1"/usr/lib/python3* -depth -type d \( -name test -o -name tests -o -name __pycache__ \) -exec rm -rf {} +')
[ -z "${ROOTS:-}" ] || cut=(--customize-hook=true)

say() { printf 'roots: %s\n' "$*" >&2; }

[ "$(id -u)" = 0 ] || { say "the files of a root have several owners: run as root"; exit 1; }
command -v mmdebstrap >/dev/null || { say "mmdebstrap is missing: apt-get install mmdebstrap"; exit 1; }
. "$here/../mirror.sh"
mkdir -p "$cache"

# Several at once: a build waits for the network, for one processor and for the disk in turn.
if [ $# != 1 ]; then
	names=${*:-$([ -n "${ROOTS:-}" ] || echo musl) $(sed 's/#.*//; s/[[:space:]].*//' "$list")}
	# shellcheck disable=SC2086 # names are words
	printf '%s\n' $names | xargs -P "$(($(nproc) < 4 ? $(nproc) : 4))" -n 1 "$0"
	exit
fi

name=$1
root=$cache/$name
work=$(mktemp -d "$cache/.work-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

# kept KEY: the root is there, made of the same.
kept() { [ "$(cat "$root.key" 2>/dev/null)" = "$1" ]; }

need_mirror() {
	mirror=$(mirror_of debian || true)
	[ -n "$mirror" ] || { say "no mirror of Debian among apt's sources: HOSTRUN_DEBIAN_MIRROR=http://... names one"; exit 1; }
	[ -s "$keyring" ] || { say "$keyring is missing: apt-get install debian-archive-keyring"; exit 1; }
}

# finish KEY: what was built takes the place of what was there.
finish() {
	rm -rf --one-file-system "$root" "$root.key"
	mv -T "$work/root" "$root"
	echo "$1" >"$root.key"
	say "$name: $(du -sh "$root" | cut -f1) in $SECONDS s"
}

# failed: the last words of the tools.
failed() {
	tail -n 5 "$work/log" >&2
	say "$name could not be built"
	exit 1
}

# build SUITE PACKAGE...: essential packages, then those named; documentation and caches never stay. A mirror that
# stands still for some weeks is as good as another: sid's signature says a date that it is valid until.
build() {
	local suite=$1 key
	shift
	key=$(printf '%s ' "$recipe" "$suite" "$@" ${ROOTS:+whole} | sha256sum | cut -c1-12)
	kept "$key" && return
	need_mirror
	say "building $name ($suite)"
	printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" | TMPDIR=$work mmdebstrap --quiet --mode=root \
		--variant=essential --dpkgopt=force-unsafe-io --aptopt='Acquire::Check-Valid-Until "false"' --include="$(IFS=,; echo "$*")" \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--customize-hook='rm -rf "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/var/log/*' \
		"${cut[@]}" \
		--customize-hook='mkdir -p "$1"/opt/hostrun "$1"/opt/python "$1"/opt/probe' \
		"$suite" "$work/root" - >"$work/log" 2>&1 || failed
	finish "$key"
}

# build_musl makes the root of another C library: its loader, a static shell, and the probe as the only program.
build_musl() {
	local key
	key=$(cat - "$here/musl/dlprobe.c" <<<"$recipe" | sha256sum | cut -c1-12)
	kept "$key" && return
	need_mirror
	say "building $name"
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/dev" "$work/root/usr/bin" "$work/root/opt/hostrun"
	echo "deb [signed-by=$keyring] $mirror bookworm main" >"$work/sources.list"
	local apt=(apt-get -q=2 -o Acquire::Languages=none -o APT::Sandbox::User=root -o Dir::State="$work" -o Dir::State::status=/dev/null
		-o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null)
	{
		"${apt[@]}" update && (cd "$work/debs" && "${apt[@]}" download musl musl-dev busybox-static) &&
			dpkg-deb -x "$work"/debs/musl_*.deb "$work/root" && dpkg-deb -x "$work"/debs/busybox-static_*.deb "$work/root" &&
			dpkg-deb -x "$work"/debs/musl-dev_*.deb "$work/dev" &&
			gcc -O1 -nostdinc -isystem "$work"/dev/usr/include/*-linux-musl -nostdlib -no-pie -o "$work/root/usr/bin/dlprobe" \
				"$work"/dev/usr/lib/*-linux-musl/{crt1.o,crti.o} "$here/musl/dlprobe.c" -L"$work/root/lib/$(uname -m)-linux-musl" -lc \
				"$work"/dev/usr/lib/*-linux-musl/crtn.o -Wl,--dynamic-linker="/lib/ld-musl-$(uname -m).so.1"
	} >"$work/log" 2>&1 || failed
	finish "$key"
}

if [ "$name" = musl ]; then
	build_musl
	exit
fi
read -r suite packages < <(sed -n "s/^$name[[:space:]]\+//p" "$list") || { say "no root $name in $list"; exit 2; }
# shellcheck disable=SC2086 # package names are words
build "$suite" $packages </dev/null
