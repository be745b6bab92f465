#!/bin/sh
# The first process of the virtual machine: takes the system out of the kernel's first file system, on which no container can
# change its root (pivot_root(2), "the rootfs"), into one in memory, and begins.
mount -t tmpfs -o mode=755,size=90% root /new
for top in /*; do
	[ "$top" = /new ] || cp -a "$top" /new/
done
mkdir -p /new/proc /new/sys /new/dev /new/run
exec switch_root /new /sbin/init
