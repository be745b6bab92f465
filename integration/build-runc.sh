#!/bin/sh
# Builds runc from its Go module into DIR/oci, static, with seccomp. The private engine uses it where the distribution has
# neither runc nor crun: DIR/oci is the last entry of its PATH.
#
#   integration/build-runc.sh DIR [VERSION]
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DIR [VERSION]" >&2; exit 2; }
mkdir -p "$1/oci"
out=$(cd "$1/oci" && pwd)
version=${2:-v1.5.2}
tags=seccomp,osusergo,netgo

say() { echo "build-runc: $*" >&2; }

for found in "$(command -v crun || true)" "$(command -v runc || true)"; do
	[ -z "$found" ] || say "$found is there: the private engine uses that, and this one only where it is gone"
done

# runc parses the container's namespaces in C, before Go's threads start, and makes its filters with libseccomp.
missing=
command -v gcc >/dev/null || missing="$missing gcc libc6-dev"
command -v pkg-config >/dev/null || missing="$missing pkg-config"
pkg-config --exists libseccomp 2>/dev/null || missing="$missing libseccomp-dev"
if [ -n "$missing" ]; then
	command -v apt-get >/dev/null || { say "missing:$missing"; say "hint: install these with your own package tool and run it again"; exit 1; }
	[ "$(id -u)" = 0 ] || { say "missing:$missing"; say "hint: run as root, or: sudo apt-get install$missing"; exit 1; }
	say "installing$missing"
	log=$(mktemp)
	# shellcheck disable=SC2086 # words
	if ! { apt-get -qq -o DPkg::Lock::Timeout=300 update &&
		DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
		tail -n 30 "$log" >&2
		exit 1
	fi
	rm -f "$log"
fi

if [ -x "$out/runc" ] && [ "$(cat "$out/version" 2>/dev/null)" = "$version" ]; then
	say "$out/runc is $version already"
	exit 0
fi
say "runc $version, from its Go module"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
go mod init runc.invalid >/dev/null 2>&1
go get "github.com/opencontainers/runc@$version" >get.log 2>&1 || { cat get.log >&2; exit 1; }
CGO_ENABLED=1 go build -trimpath -tags "$tags" -ldflags "-s -w -extldflags -static -X main.version=${version#v}" -o runc github.com/opencontainers/runc
./runc --version >&2
install -m 755 runc "$out/runc"
echo "$version" >"$out/version"
