#!/bin/bash
# Brings the interpreters that `make truth` mounts into images to $HOSTRUN_TEST_CACHE/truth/pythons/NAME: those of which not
# every distribution has a package, the free-threaded build, and a python-build-standalone prefix. In this order:
#
#   - built from the distribution's own source package (3.9, 3.13 and 3.13t on Debian; 3.10 and 3.12 on Ubuntu), without
#     optimisation, in some minutes each;
#   - else fetched by uv (itself from PyPI) from the releases of python-build-standalone, where the network reaches them;
#   - else make truth takes the one that pyenv has built on this machine (~/.pyenv/versions), if there is one.
#
# What could not be had is named, with the steps that bring it, and its pairs are left out.
#
#   integration/truth/pythons.sh [NAME...]     only these of: 3.9 3.10 3.12 3.13 3.13t standalone
set -euo pipefail

truth=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/truth
cache=$truth/pythons
mkdir -p "$cache"

say() { printf 'pythons: %s\n' "$*" >&2; }

# source_of VERSION prints distribution and suite whose source package the version is.
source_of() {
	case $1 in
	3.9) echo debian bullseye ;;
	3.13 | 3.13t) echo debian trixie ;;
	3.10) echo ubuntu jammy ;;
	3.12) echo ubuntu noble ;;
	esac
}

# build NAME: from the source package, if a mirror of its distribution is among apt's sources.
build() {
	local name=$1 version=${1%t} distribution suite mirror work options=()
	read -r distribution suite < <(source_of "$name") || return 1
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep "/$distribution/\$" | head -n 1) || return 1
	[ "$name" = "$version" ] || options+=(--disable-gil)
	[ "$version" = 3.9 ] || options+=(--disable-test-modules)
	say "building $name from the source package of $distribution $suite"
	work=$(mktemp -d "$cache/.work-XXXXXX")
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	echo "deb-src [signed-by=/usr/share/keyrings/$distribution-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"
	local apt=(apt-get -q=2 -o Acquire::Languages=none -o APT::Sandbox::User=root -o Dir::State="$work" -o Dir::State::status=/dev/null
		-o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null)
	# One chain: a condition has no set -e. Beside the archive lies its signature, NAME.orig.tar.xz.asc.
	if (
		cd "$work" &&
			"${apt[@]}" update &&
			"${apt[@]}" source --download-only "python$version" &&
			tar -xf "python${version}"_*.orig.tar.[gx]z &&
			cd [Pp]ython*/ &&
			./configure --quiet --prefix="$cache/$name" --without-ensurepip "${options[@]}" CFLAGS=-O1 &&
			make -s -j"$(nproc)" &&
			make -s install
	) >"$work/log" 2>&1; then
		rm -rf "$cache/$name"/lib/python*/{test,idlelib,__pycache__} "$work"
		return 0
	fi
	tail -n 5 "$work/log" >&2
	rm -rf "$work" "${cache:?}/$name"
	return 1
}

# fetch NAME: a prefix of python-build-standalone, which runs on any glibc from 2.17 on.
fetch() {
	local version=$1 uv=$truth/uv/venv/bin/uv work found
	[ "$1" != standalone ] || version=3.12
	if [ ! -x "$uv" ]; then
		/usr/bin/python3 -m venv "$truth/uv/venv" && "$truth/uv/venv/bin/pip" install --quiet uv || return 1
	fi
	work=$(mktemp -d "$cache/.work-XXXXXX")
	if UV_CACHE_DIR=$truth/uv/cache UV_HTTP_TIMEOUT=20 UV_NO_PROGRESS=1 "$uv" python install --no-bin --install-dir "$work" "$version" >"$work/log" 2>&1; then
		found=$(find "$work" -mindepth 1 -maxdepth 1 -type d -name 'cpython-*' | head -n 1)
		if [ -n "$found" ] && mv "$found" "$cache/$1"; then
			rm -rf "$work"
			return 0
		fi
	fi
	say "uv: $(grep -v '^ *$' "$work/log" | tail -n 1)"
	rm -rf "$work"
	return 1
}

failed=0
for name in ${*:-3.13t 3.9 3.10 3.12 3.13 standalone}; do
	if [ -x "$cache/$name/bin/python3" ]; then
		continue
	fi
	if [ "$name" != standalone ] && build "$name" || fetch "$name"; then
		say "$cache/$name"
		continue
	fi
	failed=1
	case $name in
	standalone) say "no $name: unpack an install_only archive of python-build-standalone's releases as $cache/$name" ;;
	*) say "no $name: pyenv install $name builds it into ~/.pyenv/versions, where it is taken from, or put a prefix of it at $cache/$name" ;;
	esac
done
exit $failed
