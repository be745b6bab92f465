#!/bin/bash
# Brings all that `make truth` compares: image roots, interpreters, wheels, frameworks. Wheels wait for the network and the
# others for processors, so they come side by side. What is there already is kept. What could not be had is named; its pairs are
# left out, and what follows says so.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
truth=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}/truth
room_gb=36

say() { printf 'truth: %s\n' "$*" >&2; }

[ "$(uname -m)" = x86_64 ] || { say "wheels and roots are of x86_64; this machine is $(uname -m)"; exit 1; }
"$here/../setup.sh" truth || exit
mkdir -p "$truth"
if [ ! -e "$truth/sites" ] && [ "$(df -B1G --output=avail "$truth" | tail -n 1)" -lt $room_gb ]; then
	say "$truth needs $room_gb GB, and $(df -h --output=avail "$truth" | tail -n 1 | tr -d ' ') are free: HOSTRUN_TEST_CACHE names another place"
	exit 1
fi

part() {
	local began=$SECONDS
	if "$here/$1" "${@:2}"; then
		say "$*: done, $((SECONDS - began)) s"
	else
		say "$*: not all could be had (above), $((SECONDS - began)) s"
		return 1
	fi
}

# The wheels of a free-threaded CPython are chosen by itself.
interpreters() {
	local failed=0
	part pythons.sh || failed=1
	part wheels.sh cp313t || failed=1
	return $failed
}

packages() {
	local failed=0
	part wheels.sh cp311 cp39 cp313 cp312 cp310 || failed=1
	LIST=more part wheels.sh cp311 cp39 cp313 || failed=1
	LIST=further part wheels.sh cp311 || failed=1
	part frameworks.sh || failed=1
	return $failed
}

# A shell lets what it starts behind its back ignore SIGINT: each is a group of its own, and ended as one.
set -m
trap 'for group in $(jobs -p); do kill -- "-$group"; done 2>/dev/null; wait; exit 130' INT TERM
part roots.sh &
interpreters &
packages &
failed=0
for job in $(jobs -p); do
	wait "$job" || failed=1
done
# Last: of several gigabytes, and it takes one of the interpreters.
part wheels.sh torch || failed=1
[ $failed = 0 ] || say "not all is here: what follows leaves it out"
exit $failed
