#!/bin/sh
# Unpacks interpreters of several kinds into $HOSTRUN_TEST_CACHE/pythons (default /var/cache/hostrun-test/pythons), for
# the tests of package abi: Debian's ordinary, debug and PyPy builds, one per release, and one of another machine.
# Nothing is installed: apt works with its own state, and packages are unpacked, not configured. What is there already
# is kept. Needs apt and dpkg-deb with Debian's mirror configured; 25 MB of package lists and 70 MB of packages.
set -eu

cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/pythons
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$cache"

. "$(dirname "$0")/mirror.sh"
mirror=$(mirror_of debian || true)
if [ -z "$mirror" ]; then
	echo "fetch-pythons: no mirror of Debian among apt's sources: HOSTRUN_DEBIAN_MIRROR=http://... names one" >&2
	exit 1
fi

# apt_in STATE SUITE ARCHITECTURE COMMAND... runs apt-get on its own state, for one suite and architecture.
apt_in() {
	state=$1 suite=$2 arch=$3
	shift 3
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	echo "deb [signed-by=$keyring] $mirror $suite main" >"$state/sources.list"
	apt-get -q=2 -o APT::Architecture="$arch" -o APT::Architectures::="$arch" -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User=root \
		-o Dir::State="$state" -o Dir::State::status=/dev/null -o Dir::Cache="$state/cache" \
		-o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null "$@"
}

# unpack NAME SUITE ARCHITECTURE PACKAGE... makes the tree $cache/NAME-ARCHITECTURE.
unpack() {
	name=$1 suite=$2 arch=$3
	shift 3
	root=$cache/$name-$arch
	if [ -d "$root" ]; then
		return
	fi
	work=$(mktemp -d "$cache/.work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	apt_in "$work/apt" "$suite" "$arch" update
	mkdir "$work/debs" "$work/root"
	(cd "$work/debs" && apt_in "$work/apt" "$suite" "$arch" download "$@")
	for deb in "$work"/debs/*.deb; do
		dpkg-deb -x "$deb" "$work/root"
	done
	# The links of a merged /usr belong to base-files; packages that count on them bring usr/lib64.
	for dir in bin lib lib64; do
		if [ -d "$work/root/usr/$dir" ] && [ ! -e "$work/root/$dir" ]; then
			ln -s "usr/$dir" "$work/root/$dir"
		fi
	done
	mkdir -p "$work/root/tmp"
	chmod 755 "$work/root"
	mv "$work/root" "$root"
	rm -rf "$work"
	trap - EXIT
	echo "fetch-pythons: $root"
}

libraries="libc6 libgcc-s1 libstdc++6 zlib1g libexpat1"
unpack bookworm bookworm amd64 $libraries libffi8 libbz2-1.0 libncursesw6 libtinfo6 \
	python3.11-minimal libpython3.11-minimal libpython3.11-stdlib python3.11-dbg libpython3.11-dbg pypy3 pypy3-lib
unpack minimal bookworm amd64 $libraries python3.11-minimal libpython3.11-minimal
unpack trixie trixie amd64 $libraries \
	python3.13-minimal libpython3.13-minimal libpython3.13-stdlib python3.13-dbg libpython3.13-dbg
unpack bookworm bookworm arm64 $libraries python3.11-minimal libpython3.11-minimal
