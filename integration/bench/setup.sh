#!/bin/bash
# Installs by package name what the benchmarks compare hostrun to, and builds docker compose v2, which Debian does not
# have, from the Go proxy into $HOSTRUN_TEST_CACHE (/var/cache/hostrun-test). Does nothing where all is there. Run as root.
set -euo pipefail

cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}
compose_version=v2.40.3

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "error: $1"; [ $# -lt 2 ] || say "hint: $2"; exit 1; }

[ "$(id -u)" = 0 ] || die "packages can't be installed by $(id -un)" "run as root"

declare -A package_of=(
	[containerd]=containerd [ctr]=containerd [runc]=runc [dockerd]=docker.io [docker]=docker.io
	[/usr/bin/docker-compose]=docker-compose [/usr/bin/python3]=python3 [mmdebstrap]=mmdebstrap
)
missing=()
for command in "${!package_of[@]}"; do
	command -v "$command" >/dev/null || missing+=("${package_of[$command]}")
done
/usr/bin/python3 -c 'import venv' 2>/dev/null || missing+=(python3-venv)

# A service that a package brings along need not run: the benchmarks start their own.
install_packages() {
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod +x $policy
		made=1
	fi
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$@" >&2 ||
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$@" >&2; } ||
		{ [ -z "$made" ] || rm -f $policy; die "apt-get install $* failed" "look at the lines above"; }
	[ -z "$made" ] || rm -f $policy
}
if [ ${#missing[@]} -gt 0 ]; then
	mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
	say "installing ${missing[*]}"
	install_packages "${missing[@]}"
fi

compose=$cache/compose-v2/docker-compose
if [ "$("$compose" version --short 2>/dev/null)" != "${compose_version#v}" ]; then
	say "building docker compose $compose_version (once; some minutes)"
	mkdir -p "${compose%/*}"
	# It is built within its own module, since its go.mod excludes versions, which `go install` refuses.
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	module=$(cd "$work" && go mod download -json "github.com/docker/compose/v2@$compose_version" |
		sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	[ -d "$module" ] || die "docker compose's source did not come" "check GOPROXY: go env GOPROXY"
	(cd "$module" && CGO_ENABLED=0 go build -trimpath \
		-ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$compose_version" -o "$compose.new" ./cmd) >&2
	mv "$compose.new" "$compose"
fi
