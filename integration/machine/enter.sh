#!/bin/bash
# Runs a command on a machine that is only a directory: namespaces of mounts and processes, whose root is ROOT with a layer
# of its own over it, this kernel's /sys and /dev, and an empty /run. Nothing of ROOT or of this machine changes, and what
# the command leaves running ends with it.
#
#   enter.sh ROOT STATE COMMAND...     STATE is a directory on a disk: what the machine writes, and /shared in it
set -euo pipefail

[ $# -ge 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
if [ -z "${ENTERED:-}" ]; then
	exec env ENTERED=1 unshare --mount --pid --fork --kill-child --propagation private -- "$0" "$@"
fi
root=$1 state=$2
shift 2
mkdir -p "$state"/{upper,work,top,shared,lib}
mount -t overlay overlay -o "lowerdir=$root,upperdir=$state/upper,workdir=$state/work" "$state/top"
cd "$state/top"
mkdir -p shared run var/lib/hostrun .before
mount -t proc proc proc
for dir in sys dev; do mount --rbind "/$dir" "$dir"; done
mount -t tmpfs tmpfs run
mount --bind "$state/shared" shared
mount --bind "$state/lib" var/lib/hostrun # layers of containers can't lie on an overlay
cp /bin/busybox busybox                    # the root may have no umount
pivot_root . .before
/busybox umount -l /.before
/busybox rmdir /.before
unset ENTERED
exec "$@"
