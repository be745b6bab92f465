#!/bin/bash
# Brings all that `make truth` compares: image roots, interpreters, wheels, frameworks. Wheels wait for the network and the
# others for processors, so they come side by side. What could not be had is named at the end; its pairs are left out.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
"$here/../setup.sh" truth || exit

# of NAME...: what a script says is kept until it fails, and printed as it comes.
part() {
	local began=$SECONDS
	"$here/$@" || { echo "truth: not all of: $*" >&2; return 1; }
	echo "truth: $* done in $((SECONDS - began)) s" >&2
}

# The wheels of a free-threaded CPython are chosen by itself.
interpreters() {
	part pythons.sh
	local failed=$?
	part wheels.sh cp313t || failed=1
	return $failed
}

# SIGINT comes to all of a terminal's foreground processes, but a shell lets what it starts behind its back ignore it.
set -m
trap 'for group in $(jobs -p); do kill -- "-$group"; done 2>/dev/null; exit 130' INT TERM
part roots.sh &
interpreters &
{ part wheels.sh cp311 cp39 cp313 cp312 cp310 torch && part frameworks.sh; } &
failed=0
for job in $(jobs -p); do
	wait "$job" || failed=1
done
exit $failed
