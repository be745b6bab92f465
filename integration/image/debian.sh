#!/bin/bash
# Builds the root of a slim image: the release of Debian or Ubuntu that runs here, from the mirrors that this machine's
# apt uses, with Python and its whole standard library and nothing to install packages with. Prints the path of the
# resulting tar file. Kept in $HOSTRUN_CACHE (/var/cache/hostrun-demo) and used again until this script changes.
#
#   integration/image/debian.sh [PACKAGE...]     further packages to include
set -euo pipefail

cache=${HOSTRUN_CACHE:-/var/cache/hostrun-demo}
. /etc/os-release
codename=${VERSION_CODENAME:-}
architecture=$(dpkg --print-architecture)

say() { printf 'image: %s\n' "$*" >&2; }
die() { say "error: $1"; [ $# -lt 2 ] || say "hint: $2"; exit 1; }

case ${ID:-} in
debian | ubuntu) ;;
*) die "this machine runs ${PRETTY_NAME:-an unknown system}, not Debian or Ubuntu" "build a root on one of those and pass its tar file to: go run ./integration/image -o image.tar -ref NAME root.tar" ;;
esac
[ "$(id -u)" = 0 ] || die "the root of an image has files of several owners" "run as root"

# python3 and not python3-minimal: torch imports ctypes, and transformers most of the rest. libstdc++6 is what nearly
# every native wheel needs and does not bring along.
packages=(python3 libstdc++6 zlib1g "$@")
include=$(IFS=,; echo "${packages[*]}")

# The key changes when anything that decides about the content does.
key=$( (cat "$0"; echo "$ID $codename $architecture $include") | sha256sum | cut -c1-12)
out=$cache/root-$codename-$architecture-$key.tar
if [ -s "$out" ]; then
	echo "$out"
	exit 0
fi

# One line a source: mirror, suite and component as apt has them, whichever syntax they are written in. Backports and
# other vendors' repositories stay out.
sources() {
	local keyring=/usr/share/keyrings/$ID-archive-keyring.gpg signed=
	[ -e "$keyring" ] && signed="[signed-by=$keyring] "
	apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' |
		awk -F '|' -v origin="$ID" -v code="$codename" -v signed="$signed" '
			tolower($1) == origin && ($3 == code || $3 == code "-updates" || $3 == code "-security") && ($4 == "main" || $4 == "universe") {
				print "deb " signed $2 " " $3 " " $4
			}' | sort -u
}

list=$(sources)
if [ -z "$list" ]; then
	apt-get -qq update
	list=$(sources)
fi
[ -n "$list" ] || die "apt on this machine knows no source for $ID $codename" "check /etc/apt/sources.list.d and run: apt-get update"

mkdir -p "$cache"
work=$(mktemp -d "$cache/.root-XXXXXX")
trap 'rm -rf "$work"' EXIT

# Documentation and translations never reach the disk; licences do, as the distribution's terms ask.
drop='path-exclude=/usr/share/man/* path-exclude=/usr/share/info/* path-exclude=/usr/share/locale/* path-exclude=/usr/share/doc/* path-include=/usr/share/doc/*/copyright'

bootstrap_mmdebstrap() {
	local options=() rule
	for rule in $drop; do options+=("--dpkgopt=$rule"); done
	# essential: dpkg and what it needs, no apt. The hooks drop what only an installation needs.
	printf '%s\n' "$list" | TMPDIR=$work mmdebstrap --quiet --mode=root --variant=essential --architectures="$architecture" \
		--include="$include" "${options[@]}" \
		--customize-hook='rm -rf "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/var/log/*' \
		--customize-hook='find "$1"/usr/lib/python3* -type d \( -name test -o -name tests -o -name idlelib \) -prune -exec rm -rf {} +' \
		--customize-hook='echo dinov2 >"$1"/etc/hostname; : >"$1"/etc/resolv.conf' \
		"$codename" "$work/root.tar" -
}

bootstrap_debootstrap() {
	local mirror
	mirror=$(awk -v code="$codename" '$(NF-1) == code { print $(NF-2); exit }' <<<"$list")
	debootstrap --variant=minbase --arch="$architecture" --include="$include" "$codename" "$work/root" "$mirror" >&2
	rm -rf "$work"/root/var/cache/* "$work"/root/var/lib/apt/lists/* "$work"/root/var/log/* \
		"$work"/root/usr/share/{man,info,locale}/*
	find "$work/root/usr/share/doc" -type f ! -name copyright -delete
	tar -C "$work/root" --numeric-owner --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -cf "$work/root.tar" .
}

say "building a slim $PRETTY_NAME root with ${packages[*]} (once; about half a minute)"
if command -v mmdebstrap >/dev/null; then
	bootstrap_mmdebstrap >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; die "mmdebstrap could not build the root" "apt-get update, and look at the lines above"; }
elif command -v debootstrap >/dev/null; then
	bootstrap_debootstrap >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; die "debootstrap could not build the root" "apt-get update, and look at the lines above"; }
else
	die "neither mmdebstrap nor debootstrap is installed" "apt-get install mmdebstrap"
fi
mv "$work/root.tar" "$out"
say "$out: $(($(stat -c %s "$out") / 1000000)) MB"
echo "$out"
