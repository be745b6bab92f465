#!/bin/sh
# Builds containerd 1.7 and 2.x (daemon, shim, ctr) for the tests of package runtime, from the module proxy, into
# $HOSTRUN_TEST_CACHE/engines/<series>/bin; with arguments ("2.0 2.1") the last releases of those series (make engines).
# What is there already stays. No CRI, no exotic snapshotters: they take most of the time, and no test needs them.
set -eu
cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}
tags=no_cri,no_btrfs,no_zfs,no_devmapper,no_aufs,no_tracing,osusergo,netgo

build() { # series module version
	bin=$cache/engines/$1/bin
	if [ -x "$bin/containerd" ] && [ -x "$bin/containerd-shim-runc-v2" ] && [ -x "$bin/ctr" ] &&
		[ "$(cat "$bin/version" 2>/dev/null)" = "$3" ]; then
		return
	fi
	echo "build-engines: containerd $3, from its Go module" >&2
	mkdir -p "$bin"
	dir=$(mktemp -d)
	(
		cd "$dir"
		go mod init engine.invalid >/dev/null 2>&1
		for cmd in containerd containerd-shim-runc-v2 ctr; do
			go get "$2/cmd/$cmd@$3" >get.log 2>&1 || { cat get.log >&2; exit 1; }
		done
		for cmd in containerd containerd-shim-runc-v2 ctr; do
			shim=
			if [ $cmd = containerd-shim-runc-v2 ]; then shim=,no_grpc; fi
			CGO_ENABLED=0 go build -tags "$tags$shim" -ldflags "-s -w" -o "$bin/$cmd.new" "$2/cmd/$cmd"
			mv "$bin/$cmd.new" "$bin/$cmd"
		done
		echo "$3" >"$bin/version"
	)
	rm -rf "$dir"
}

for series in ${@:-1.7 2.x}; do
	case $series in
	1.7) build 1.7 github.com/containerd/containerd v1.7.35 ;;
	2.0) build 2.0 github.com/containerd/containerd/v2 v2.0.14 ;;
	2.1) build 2.1 github.com/containerd/containerd/v2 v2.1.9 ;;
	2.2) build 2.2 github.com/containerd/containerd/v2 v2.2.9 ;;
	2.3) build 2.3 github.com/containerd/containerd/v2 v2.3.7 ;;
	2.x) build 2.x github.com/containerd/containerd/v2 v2.4.2 ;;
	*) echo "build-engines: no series $series: 1.7, 2.0, 2.1, 2.2, 2.3, 2.x" >&2; exit 2 ;;
	esac
done
