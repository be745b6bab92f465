#!/bin/bash
# Unpacks the wheels of wheels.txt into $HOSTRUN_TEST_CACHE/truth/sites/cp39 ... cp313, cp313t: one site directory for each
# CPython, from PyPI by name, never building anything. What has no wheel there is listed in <site>.absent. Nothing of a
# package is executed; files that two sites share are hard links of one cache.
#
#   integration/truth/wheels.sh [SITE...]     only these
#   LIST=more integration/truth/wheels.sh cp311     more.txt instead, into sites/more-cp311: 3 GB each
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/truth
export UV_CACHE_DIR=$cache/uv/cache UV_CONCURRENT_DOWNLOADS=2 UV_LINK_MODE=hardlink UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
uv=$cache/uv/venv/bin/uv
mkdir -p "$cache/sites"
if [ ! -x "$uv" ]; then
	/usr/bin/python3 -m venv "$cache/uv/venv"
	"$cache/uv/venv/bin/pip" install --quiet uv
fi
list=$here/${LIST:-wheels}.txt
names=$(sed 's/#.*//' "$list")

# site NAME OPTION...: the options say which Python the wheels are for.
site() {
	local name=${LIST:+$LIST-}$1 dir=$cache/sites/${LIST:+$LIST-}$1 key package
	shift
	key=$(sha256sum <"$list" | cut -c1-12)
	if [ "$(cat "$dir.key" 2>/dev/null)" = "$key" ]; then
		return
	fi
	mkdir -p "$dir"
	: >"$dir.absent"
	for package in $names; do
		"$uv" pip install --quiet --no-deps --only-binary :all: --target "$dir" "$@" "$package" >"$dir.log" 2>&1 </dev/null ||
			echo "$package: $(tail -n 1 "$dir.log")" >>"$dir.absent"
	done
	local natives
	natives=$(find "$dir" -name '*.so*' -type f | wc -l)
	echo "wheels: $name: $natives native files, $(wc -l <"$dir.absent") packages without a wheel" >&2
	if [ "$natives" = 0 ]; then
		cat "$dir.log" >&2
		return 1
	fi
	rm -f "$dir.log"
	echo "$key" >"$dir.key"
}

wanted=${*:-cp311 cp39 cp313 cp312 cp310 cp313t}
for name in $wanted; do
	case $name in
	*t)
		python=$cache/pythons/3.13t/bin/python3.13t
		[ ! -x "$python" ] || site "$name" --python "$python"
		;;
	*) site "$name" --python-version "3.${name#cp3}" --python-platform x86_64-manylinux_2_28 ;;
	esac
done
