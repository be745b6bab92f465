#!/bin/bash
# Unpacks the wheels of wheels.txt into $HOSTRUN_TEST_CACHE/truth/sites/cp39 ... cp313, cp313t: one site directory for each
# CPython, from PyPI by name, never building anything. What has no wheel there is listed in <site>.absent. Nothing of a
# package is executed; files that two sites share are hard links of one cache. Site "torch" is an environment with torch
# and its CUDA wheels, where `make demo` has left none.
#
#   integration/truth/wheels.sh [SITE...]     only these
#   LIST=more integration/truth/wheels.sh cp311     more.txt instead, into sites/more-cp311
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
truth=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/truth
. "$here/uv.sh"
mkdir -p "$truth/sites"
list=$here/${LIST:-wheels}.txt
names=$(sed 's/#.*//' "$list")

say() { printf 'wheels: %s\n' "$*" >&2; }

# install DIRECTORY OPTION... : from wheels alone, into a site directory.
install() { "$uv" pip install --quiet --only-binary :all: --target "$@" </dev/null; }

# site NAME OPTION...: the options say which Python the wheels are for.
site() {
	local name=${LIST:+$LIST-}$1 dir=$truth/sites/${LIST:+$LIST-}$1 key package began=$SECONDS
	shift
	key=$(sha256sum <"$list" | cut -c1-12)
	if [ "$(cat "$dir.key" 2>/dev/null)" = "$key" ]; then
		return
	fi
	mkdir -p "$dir"
	: >"$dir.absent"
	# All at once take a tenth of the time, and fail all if one has no wheel for this Python.
	# shellcheck disable=SC2086 # names are words
	if ! install "$dir" --no-deps "$@" $names >"$dir.log" 2>&1; then
		say "$name: one by one, for some have no wheel: $(tail -n 1 "$dir.log")"
		for package in $names; do
			install "$dir" --no-deps "$@" "$package" >"$dir.log" 2>&1 || echo "$package: $(tail -n 1 "$dir.log")" >>"$dir.absent"
		done
	fi
	finish "$name" "$dir" "$key"
}

# torch: an environment with it and with what the demonstration has besides. Where make demo has been run, its own is compared instead.
torch() {
	local dir=$truth/sites/torch python=$truth/pythons/standalone/bin/python3 began=$SECONDS
	[ ! -e "$dir.key" ] || return 0
	[ ! -e "${HOSTRUN_CACHE:-/var/cache/hostrun-demo}/venv-3.11/complete" ] || return 0
	[ -x "$python" ] || "$here/pythons.sh" standalone || return 1
	: >"$dir.absent"
	"$uv" venv --quiet --clear --python "$python" "$dir" >"$dir.log" 2>&1 </dev/null &&
		"$uv" pip install --quiet --only-binary :all: --python "$dir/bin/python3" torch torchvision transformers scikit-learn pillow >"$dir.log" 2>&1 </dev/null ||
		{ tail -n 3 "$dir.log" >&2; return 1; }
	finish torch "$dir" 1
}

finish() {
	local name=$1 dir=$2 key=$3 natives
	natives=$(find "$dir" -name '*.so*' -type f | wc -l)
	say "$name: $natives native files in $((SECONDS - began)) s, $(wc -l <"$dir.absent") packages without a wheel"
	if [ "$natives" = 0 ]; then
		cat "$dir.log" >&2
		return 1
	fi
	rm -f "$dir.log"
	echo "$key" >"$dir.key"
}

failed=0
for name in ${*:-cp311 cp39 cp313 cp312 cp310 torch cp313t}; do
	case $name in
	torch) torch || failed=1 ;;
	*t)
		python=$truth/pythons/${name/cp3/3.}/bin/python3
		if [ -x "$python" ]; then
			site "$name" --python "$python" || failed=1
		else
			say "$name: no interpreter to choose its wheels by (integration/truth/pythons.sh ${name/cp3/3.})"
			failed=1
		fi
		;;
	*) site "$name" --python-version "3.${name#cp3}" --python-platform x86_64-manylinux_2_28 || failed=1 ;;
	esac
done
exit $failed
