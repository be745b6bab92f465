#!/bin/bash
# Installs what `make test`, `make bench` and `make demo` need and this machine lacks: distribution packages, by name,
# with apt-get. Says what it installs; quick and silent about the rest when everything is there.
#
#   integration/setup.sh            what the tests need
#   integration/setup.sh demo       what the demonstration needs
#   integration/setup.sh gpu        what make gpu needs besides
#   integration/setup.sh truth      what make truth needs besides: to build interpreters from source
#   integration/setup.sh runtime    an OCI runtime: runc, unless crun is there
set -euo pipefail

for_whom=${1:-test}
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$1"; [ $# -lt 2 ] || say "hint: $2"; exit 1; }

missing=()

# need PACKAGE COMMAND...: the package is missing if the command does not succeed.
need() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

has() { command -v "$1"; }

# has_header NAME: some belong to an architecture.
has_header() { compgen -G "/usr/include/$1" || compgen -G "/usr/include/*/$1"; }

find_missing() {
	missing=()
	# One that `make runc` has built is one too, where no package gives any.
	[ "$for_whom" = test ] || has crun >/dev/null || [ -x "$here/../bin/oci/runc" ] || need runc has runc
	[ "$for_whom" = runtime ] && return
	if [ "$for_whom" = test ]; then
		need containerd has containerd
		need runc has runc
		need crun has crun # the tests compare the two
	fi
	need python3 test -x /usr/bin/python3
	# ensurepip alone decides whether `python3 -m venv` works: Debian keeps it in python3-venv.
	need python3-venv /usr/bin/python3 -c 'import venv, ensurepip'
	need mmdebstrap has mmdebstrap
	need iproute2 has ip
	need procps has ps
	need util-linux has setpriv
	need mount has mount
	need tar has tar
	need ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
	# hostrun-nvml is built with it, and the race detector links with it.
	if [ "$for_whom" != demo ] || [ -e /proc/driver/nvidia/version ]; then
		need gcc has gcc
		need libc6-dev test -e /usr/include/stdlib.h
	fi
	if [ "$for_whom" = truth ]; then
		need runc has runc
		need debian-archive-keyring test -s /usr/share/keyrings/debian-archive-keyring.gpg
		need make has make
		need xz-utils has xz
		need zlib1g-dev test -e /usr/include/zlib.h
		need libffi-dev has_header ffi.h
		need libssl-dev test -e /usr/include/openssl/ssl.h
		need libbz2-dev test -e /usr/include/bzlib.h
		need liblzma-dev test -e /usr/include/lzma.h
		need libsqlite3-dev test -e /usr/include/sqlite3.h
	fi
	[ "$for_whom" = test ] || return 0
	need git has git
	need busybox-static test -x /bin/busybox # the small image of the tests
	need iptables has iptables
	need nftables has nft
	need buildah has buildah # build: without a daemon
	need containernetworking-plugins test -x /usr/lib/cni/bridge
}

install_missing() {
	has apt-get >/dev/null || die "missing: ${missing[*]}" "this script installs by apt-get only; install these with your own package tool and run it again"
	[ "$(id -u)" = 0 ] || die "missing: ${missing[*]}" "run as root, or: sudo apt-get install ${missing[*]}"
	say "installing ${missing[*]}"
	local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
	local log
	log=$(mktemp)
	if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
		tail -n 30 "$log" >&2
		rm -f "$log"
		die "apt-get could not install ${missing[*]}" "apt-get update && apt-get install ${missing[*]}"
	fi
	rm -f "$log"
}

find_missing
if [ ${#missing[@]} -gt 0 ]; then
	install_missing
	find_missing
	[ ${#missing[@]} -eq 0 ] || die "still missing after the installation: ${missing[*]}"
fi

# The engines of other versions that the tests compare are built from their Go modules; interpreters of other releases and
# builds, and another C library, are unpacked from the distribution's packages.
if [ "$for_whom" = test ]; then
	"$here/build-engines.sh"
	# On another distribution than Debian the tests that want them skip, and say so.
	"$here/truth/roots.sh" musl || say "without a root of musl a test of its loader skips"
	"$here/fetch-firewalld.sh" || say "without firewalld TestNetworkBesideFirewalld skips (and fails where HOSTRUN_REQUIRE_ALL=1)"
	"$here/fetch-pythons.sh" || say "without these interpreters some tests of package abi skip (and fail where HOSTRUN_REQUIRE_ALL=1)"
fi
