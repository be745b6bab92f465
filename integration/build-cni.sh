#!/bin/sh
# Builds CNI's standard plugins that networks need from their Go module into DIR/cni, static. For machines without the
# package containernetworking-plugins; `make install` installs what is there.
#
#   integration/build-cni.sh DIR [VERSION]
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DIR [VERSION]" >&2; exit 2; }
mkdir -p "$1/cni"
out=$(cd "$1/cni" && pwd)
version=${2:-v1.9.1}

if [ -x "$out/ipvlan" ] && [ "$(cat "$out/version" 2>/dev/null)" = "$version" ]; then
	echo "build-cni: $out has $version already" >&2
	exit 0
fi
echo "build-cni: CNI's plugins $version, from their Go module" >&2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
go mod init cni.invalid >/dev/null 2>&1
module=github.com/containernetworking/plugins
go get "$module@$version" >get.log 2>&1 || { cat get.log >&2; exit 1; }
for plugin in main/bridge main/macvlan main/ipvlan ipam/host-local meta/firewall; do
	CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags "-s -w -X $module/pkg/utils/buildversion.BuildVersion=$version" -o "$out/" "$module/plugins/$plugin"
done
echo "$version" >"$out/version"
