#!/bin/bash
# Unpacks of some frameworks' wheels what their facts are read from, into $HOSTRUN_TEST_CACHE/truth/frameworks/NAME: one
# site directory for each line of frameworks.txt, from PyPI by name. Metadata, version files and the native files that
# tell something stay; the rest of wheels of up to a gigabyte does not. Nothing of a package is executed.
#
#   integration/truth/frameworks.sh [NAME...]     only these
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/truth/frameworks
mkdir -p "$cache"

# unpack WHEEL DIRECTORY: what frameworks are known by.
unpack() {
	/usr/bin/python3 - "$1" "$2" <<'PYTHON'
import fnmatch, sys, zipfile
kept = ["*.dist-info/*", "*/version.py", "*/_version.py", "*/version_info.py", "*/build_info.py", "*/build_and_package_info.py", "*/__init__.py",
        "*/_build_config.py", "*/libc10*", "*/libtorch_cuda*.so", "*/libtorch_hip.so", "*/libtorch_python.so", "*/libtorch_npu.so", "*/libonnxruntime_providers_*", "*/cuda/__init__.py",
        "nvidia/*.so*", "*/cpp_lib.json", "*/libtriton*", "*/TorchConfig.cmake"]
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for info in wheel.infolist():
        if any(fnmatch.fnmatch(info.filename, pattern) for pattern in kept):
            wheel.extract(info, sys.argv[2])
PYTHON
}

# Two at once: while one is downloaded the other is unpacked.
if [ $# != 1 ]; then
	printf '%s\n' ${*:-$(sed 's/#.*//; s/[[:space:]].*//' "$here/frameworks.txt")} | xargs -P 2 -n 1 "$0"
	exit
fi

name=$1
[ ! -d "$cache/$name" ] || exit 0
read -r python package < <(sed -n "s/^$name[[:space:]]\+//p" "$here/frameworks.txt") || { echo "frameworks: no $name in frameworks.txt" >&2; exit 2; }
work=$(mktemp -d "$cache/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
# A distribution may keep pip in a package of its own.
pip=(/usr/bin/python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then
	/usr/bin/python3 -m venv "$work/venv"
	pip=("$work/venv/bin/pip")
fi
platforms=(--platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64
	--platform manylinux1_x86_64 --platform any)
# shellcheck disable=SC2086 # package may be several words
if ! "${pip[@]}" download --quiet --no-deps --only-binary :all: --implementation cp --python-version "$python" "${platforms[@]}" \
	--no-cache-dir --dest "$work/wheels" $package >"$work/log" 2>&1 </dev/null; then
	echo "frameworks: $name: $(tail -n 1 "$work/log")" >&2
	exit 1
fi
for wheel in "$work"/wheels/*.whl; do
	unpack "$wheel" "$work/site"
done
mv -T "$work/site" "$cache/$name"
echo "frameworks: $name: $(du -sh "$cache/$name" | cut -f1) in $SECONDS s" >&2
