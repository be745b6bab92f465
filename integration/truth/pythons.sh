#!/bin/bash
# Builds CPython 3.13 without the GIL, for `make truth`, into $HOSTRUN_TEST_CACHE/truth/pythons/3.13t, from Debian's source
# package: no distribution has a package of it in all of its releases. Without optimisation, once, in some minutes.
set -euo pipefail

cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/truth/pythons
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
prefix=$cache/3.13t
[ ! -x "$prefix/bin/python3.13t" ] || exit 0

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | head -n 1)
mkdir -p "$cache"
work=$(mktemp -d "$cache/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'tail -n 20 "$work/log" >&2' ERR
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
echo "deb-src [signed-by=$keyring] $mirror trixie main" >"$work/sources.list"
apt_source() {
	apt-get -q=2 -o Acquire::Languages=none -o APT::Sandbox::User=root -o Dir::State="$work" -o Dir::State::status=/dev/null \
		-o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null "$@"
}
cd "$work"
{
	apt_source update
	apt_source source --download-only python3.13
	tar -xf python3.13_*.orig.tar.xz
	cd [Pp]ython*/
	./configure --quiet --prefix="$prefix" --disable-gil --without-ensurepip --disable-test-modules CFLAGS=-O1
	make -s -j"$(nproc)"
	make -s install
} >"$work/log" 2>&1
rm -rf "$prefix"/lib/python3.13t/{test,idlelib,__pycache__}
echo "pythons: $prefix" >&2
