#!/bin/bash
# Installs by package name what the conformance tests need: Debian's docker engine, containerd, a built docker compose v2 (as
# for the benchmarks), CNI's plugins, iptables and busybox. Does nothing where all is there. Run as root.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
"$here/../setup.sh"
"$here/../bench/setup.sh"
