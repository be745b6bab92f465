#!/bin/bash
# Builds the image roots of `make truth` into $HOSTRUN_TEST_CACHE/truth/roots: one directory for each line of roots.txt,
# from Debian's packages by name. A root is kept until its line or the recipe below changes. Roots that could not be
# built are named, and the others are compared without them.
#
#   integration/truth/roots.sh [NAME...]     only these
#   ROOTS=hosts.txt integration/truth/roots.sh [NAME...]     the machines of another list
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/truth/roots
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
list=$here/${ROOTS:-roots.txt}
recipe=1 # a change builds every root anew

# An image is small; a machine that lends is whole.
cut=(--customize-hook='find "$1"/usr/lib/python3* -depth -type d \( -name test -o -name tests -o -name __pycache__ \) -exec rm -rf {} +')
[ -z "${ROOTS:-}" ] || cut=(--customize-hook=true)

say() { printf 'roots: %s\n' "$*" >&2; }

[ "$(id -u)" = 0 ] || { say "the files of a root have several owners: run as root"; exit 1; }
command -v mmdebstrap >/dev/null || { say "mmdebstrap is missing: apt-get install mmdebstrap"; exit 1; }
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | head -n 1)
[ -n "$mirror" ] || { say "no mirror of Debian among apt's sources"; exit 1; }
mkdir -p "$cache"

# build NAME SUITE PACKAGE...: essential packages, then those named; documentation and caches never stay. A mirror that
# stands still for some weeks is as good as another: sid's signature says a date that it is valid until.
build() {
	local name=$1 suite=$2 root=$cache/$1 key work
	shift 2
	key=$(printf '%s ' "$recipe" "$suite" "$@" ${ROOTS:+whole} | sha256sum | cut -c1-12)
	if [ "$(cat "$root.key" 2>/dev/null)" = "$key" ]; then
		return
	fi
	work=$(mktemp -d "$cache/.work-XXXXXX")
	say "building $name ($suite)"
	if ! printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" | TMPDIR=$work mmdebstrap --quiet --mode=root \
		--variant=essential --aptopt='Acquire::Check-Valid-Until "false"' --include="$(IFS=,; echo "$*")" \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--customize-hook='rm -rf "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/var/log/*' \
		"${cut[@]}" \
		--customize-hook='mkdir -p "$1"/opt/hostrun "$1"/opt/python "$1"/opt/probe' \
		"$suite" "$work/root" - >"$work/log" 2>&1; then
		tail -n 5 "$work/log" >&2
		say "$name could not be built"
		rm -rf --one-file-system "$work"
		return 1
	fi
	rm -rf --one-file-system "$root" "$root.key"
	mv "$work/root" "$root"
	echo "$key" >"$root.key"
	rm -rf --one-file-system "$work"
}

# build_musl makes the root of another C library: its loader, a static shell, and the probe as the only program.
build_musl() {
	local root=$cache/musl key work
	key=$(cat - "$here/musl/dlprobe.c" <<<"$recipe" | sha256sum | cut -c1-12)
	if [ "$(cat "$root.key" 2>/dev/null)" = "$key" ]; then
		return
	fi
	say "building musl"
	work=$(mktemp -d "$cache/.work-XXXXXX")
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/dev" "$work/root/usr/bin" "$work/root/opt/hostrun"
	echo "deb [signed-by=$keyring] $mirror bookworm main" >"$work/sources.list"
	local apt=(apt-get -q=2 -o Acquire::Languages=none -o APT::Sandbox::User=root -o Dir::State="$work" -o Dir::State::status=/dev/null
		-o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null)
	if ! {
		"${apt[@]}" update && (cd "$work/debs" && "${apt[@]}" download musl musl-dev busybox-static) &&
			dpkg-deb -x "$work"/debs/musl_*.deb "$work/root" && dpkg-deb -x "$work"/debs/busybox-static_*.deb "$work/root" &&
			dpkg-deb -x "$work"/debs/musl-dev_*.deb "$work/dev" &&
			gcc -O1 -nostdinc -isystem "$work"/dev/usr/include/*-linux-musl -nostdlib -no-pie -o "$work/root/usr/bin/dlprobe" \
				"$work"/dev/usr/lib/*-linux-musl/{crt1.o,crti.o} "$here/musl/dlprobe.c" -L"$work/root/lib/$(uname -m)-linux-musl" -lc \
				"$work"/dev/usr/lib/*-linux-musl/crtn.o -Wl,--dynamic-linker="/lib/ld-musl-$(uname -m).so.1"
	} >"$work/log" 2>&1; then
		tail -n 5 "$work/log" >&2
		say "musl could not be built"
		rm -rf --one-file-system "$work"
		return 1
	fi
	rm -rf --one-file-system "$root"
	mv "$work/root" "$root"
	echo "$key" >"$root.key"
	rm -rf --one-file-system "$work"
}

failed=0
if [ $# -eq 0 ] && [ -z "${ROOTS:-}" ] || [[ " $* " == *" musl "* ]]; then
	build_musl || failed=1
fi
while read -r name suite packages; do
	case $name in '' | '#'*) continue ;; esac
	if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
		continue
	fi
	# shellcheck disable=SC2086 # package names are words
	build "$name" "$suite" $packages </dev/null || failed=1
done <"$list"
exit $failed
