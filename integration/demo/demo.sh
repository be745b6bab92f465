#!/bin/bash
# `make demo`: first a container without any image, then DINOv2 in a slim container that has no PyTorch of its own and
# borrows this machine's. No containerd need be installed: hostrun brings its own where none answers.
#
# HOSTRUN_CACHE         where downloads, images and the private engine's data are kept (/var/cache/hostrun-demo)
# CONTAINERD_ADDRESS    a containerd to use instead of the one that hostrun chooses
# HOSTRUN_ENGINE        auto, system or private: as for hostrun
# DINOV2_WEIGHTS        a file of weights for the model (safetensors or a PyTorch checkpoint)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
cache=${HOSTRUN_CACHE:-/var/cache/hostrun-demo}
run=/run/hostrun-demo
packages=(torch torchvision transformers scikit-learn pillow)
room_gb=11 # packages 6, their download 3, image and containerd's copy of it 1, and some air
export HOSTRUN_CACHE=$cache
# The demonstration keeps to itself: make demo-clean removes everything.
export HOSTRUN_NAMESPACE=hostrun-demo HOSTRUN_STATE_DIR=$run HOSTRUN_DATA_DIR=$cache/data
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

began=$EPOCHREALTIME
seconds() { awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }
step() { printf '\n[%6s s] %s\n' "$(seconds)" "$*"; }
note() { printf '           %s\n' "$*"; }
die() {
	printf 'demo: error: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf 'demo: hint: %s\n' "$2" >&2
	exit 1
}
show() {
	printf '\n$ %s\n' "$*"
	"$@"
}
megabytes() { awk -v b="$1" 'BEGIN { printf "%.0f MB", b / 1e6 }'; }

[ "$(id -u)" = 0 ] || die "containers are started by root" "sudo make demo"
mkdir -p "$cache" "$run"
exec 9>"$run/lock"
flock -n 9 || die "another demonstration is running on this machine" "wait for it to end"

hostrun() { "$top/bin/hostrun" "$@" 9>&-; }

finish() {
	local status=$?
	trap - EXIT INT TERM
	if [ -n "${loaded:-}" ]; then hostrun down --timeout 1s dinov2 >/dev/null 2>&1 || true; fi
	end_engine
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# end_engine ends the demonstration's private engine, if one was started. It would leave by itself after a while, and its data
# may be removed before that. Only the process that its own lock names is ended.
end_engine() {
	local pid
	pid=$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' "$run/engine/engine.json" 2>/dev/null) || return 0
	[ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe")" = "$top/bin/hostrun-engine" ] || return 0
	kill "$pid" 2>/dev/null || return 0
	while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
}

# The OCI runtime: the distribution's crun or runc, or one built here from its source.
prepare_runtime() {
	local name path
	if ! command -v crun >/dev/null && ! command -v runc >/dev/null && [ ! -x "$top/bin/oci/runc" ]; then
		if ! command -v apt-get >/dev/null; then
			note "here is neither crun nor runc: building runc from its source (make runc)"
			make -C "$top" runc 9>&-
		elif ! "$top/integration/setup.sh" runtime 9>&-; then
			note "no package gives crun or runc: building runc from its source (make runc)"
			make -C "$top" runc 9>&-
		fi
	fi
	for name in crun runc; do
		path=$(command -v "$name" || true)
		[ -z "$path" ] || note "$path: $("$path" --version | head -n 1)"
	done
	path=$top/bin/oci/runc
	[ ! -x "$path" ] || note "$path: $("$path" --version | head -n 1), built here; used where the distribution has none"
}

# which_engine says what hostrun chose, in doctor's words.
which_engine() {
	hostrun doctor --format '{{.group}}/{{.check}} {{.evidence}}' |
		sed -n 's|^containerd/chosen |containerd     |p; s|^OCI runtime/used by [a-z]* |OCI runtime    |p; s|^snapshotter/used by [a-z]* |snapshotter    |p' |
		while read -r line; do note "$line"; done
}

# The environment: made by the distribution's Python, so that the image's Python, of the same release, is its equal.
prepare_environment() {
	local version want free
	version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	venv=$cache/venv-$version
	want="$version ${packages[*]}"
	if [ "$(cat "$venv/complete" 2>/dev/null)" = "$want" ] && "$venv/bin/python3" -c '' 2>/dev/null; then
		note "kept from last time: $venv"
		return
	fi
	free=$(df --output=avail -B1000000000 "$cache" | tail -n 1 | tr -d ' ')
	[ "$free" -ge $room_gb ] || die "$cache has $free GB free, and the packages need $room_gb GB" "free some room, or name another place: HOSTRUN_CACHE=/elsewhere make demo"
	note "downloading about 3 GB once: ${packages[*]} and what they need, into $venv"
	rm -rf "$venv"
	/usr/bin/python3 -m venv "$venv"
	PIP_CACHE_DIR=$cache/pip "$venv/bin/python3" -m pip install --disable-pip-version-check --no-input --progress-bar off "${packages[@]}" 2>&1 9>&- |
		report_pip ||
		die "pip could not install ${packages[*]}" "look at the lines above; the next run goes on from what was downloaded"
	rm -rf "$cache/pip"
	echo "$want" >"$venv/complete"
}

# report_pip shows of pip's output the large downloads, the installation and what went wrong.
report_pip() {
	awk '
		/^ *Downloading .* \([0-9.]+ MB\)/ { size = $(NF - 1); gsub(/[^0-9.]/, "", size); if (size + 0 < 100) next; say($0) }
		/^ *Installing collected/ { n = split($0, names, ","); say("Installing " n " packages; this takes a minute") }
		/^ *(ERROR|WARNING: Retrying)/ { say($0) }
		function say(line) { gsub(/^ +/, "", line); print "           pip: " line; fflush() }'
}

# The image: the root of this release with Python, and the job. No package of PyPI is inside.
build_image() {
	local root key
	root=$("$top/integration/image/debian.sh" 9>&- 2> >(sed -u 's/^image: /           /' >&2))
	key=$(cat "$here/dinov2_embed.py" "$top"/integration/image/main.go "$top"/integration/image/archive/*.go <(echo "$root") | sha256sum | cut -c1-12)
	image=$cache/dinov2-$key.tar
	if [ ! -s "$image" ]; then
		rm -f "$cache"/dinov2-*.tar
		(cd "$top" && go run ./integration/image -o "$image" -ref dinov2:latest -workdir /workspace \
			-env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin -env LANG=C.UTF-8 \
			-cmd python3 -cmd dinov2_embed.py \
			"$root" "+$here/dinov2_embed.py=/workspace/dinov2_embed.py")
	fi
	note "image dinov2:latest   $(megabytes "$(stat -c %s "$image")") compressed, $(megabytes "$(stat -c %s "$root")") unpacked: $(. /etc/os-release && echo "$PRETTY_NAME"), Python, the job"
	note "borrowed packages     $(megabytes "$(du -s -B1 "$venv/lib" | cut -f1)"): stay on the host, mounted read-only"
}

# The built-in profile knows neither this machine's GPU nor the file of weights: a profile of the same name adds them, and
# hides the built-in one.
profile_of_this_machine() {
	local gpus=() volumes=() real
	if [ -e /proc/driver/nvidia/version ]; then
		gpus=("gpus: all")
		note "an NVIDIA GPU is here, and is given to the container: gpus: all"
	fi
	if [ -n "${DINOV2_WEIGHTS:-}" ]; then
		[ -r "$DINOV2_WEIGHTS" ] || die "DINOV2_WEIGHTS=$DINOV2_WEIGHTS can't be read" "name a .safetensors file or a PyTorch checkpoint"
		real=$(readlink -f "$DINOV2_WEIGHTS")
		export DINOV2_WEIGHTS=/weights/$(basename "$real")
		volumes+=("$real:$DINOV2_WEIGHTS:ro")
	fi
	[ ${#gpus[@]} -gt 0 ] || [ ${#volumes[@]} -gt 0 ] || return 0
	mkdir -p "$run/profiles"
	{
		echo "extends: {file: $top/profiles/builtin/dinov2.yaml}"
		[ ${#gpus[@]} -eq 0 ] || echo "${gpus[0]}"
		[ ${#volumes[@]} -eq 0 ] || printf '%s\n' "volumes:" "${volumes[@]/#/  - }"
	} >"$run/profiles/dinov2.yaml"
	profiles=(--profile-dir "$run/profiles")
}

step "An OCI runtime"
prepare_runtime

step "Hello: a container without an image, of this machine's own files"
show hostrun run hello
which_engine

step "Packages of the distribution"
"$top/integration/setup.sh" demo 9>&-
note "python3, mmdebstrap: here"
if [ -e /proc/driver/nvidia/version ] && [ ! -x "$top/bin/hostrun-nvml" ]; then make -C "$top" nvml 9>&-; fi

step "The host's Python environment"
prepare_environment

step "The image"
build_image

step "Loading the image"
loaded=yes
show hostrun load "$image"

# From here on it is what a user does: activate the environment, name the profile.
export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH
profiles=()
profile_of_this_machine

step "The proof, before anything starts"
show hostrun "${profiles[@]}" check dinov2

step "The job"
show hostrun "${profiles[@]}" up --attach dinov2

step "What is left to look at"
show hostrun ps --all
show hostrun logs --tail 4 dinov2
show hostrun "${profiles[@]}" down dinov2

step "It worked: DINOv2 ran in an image without PyTorch, on this machine's own. Kept for next time: $cache ($(megabytes "$(du -s -B1 "$cache" | cut -f1)"); make demo-clean removes it)"
