#!/bin/sh
# Unpacks firewalld, and what it needs beside what is installed, into $HOSTRUN_TEST_CACHE/firewalld (default
# /var/cache/hostrun-test/firewalld), for TestNetworkBesideFirewalld. Nothing is installed, for then it would be the machine's
# firewall; apt says what this machine lacks. What is there already is kept. 1 MB of packages on a machine with D-Bus and GLib.
set -eu

cache=${HOSTRUN_TEST_CACHE:-/var/cache/hostrun-test}
root=$cache/firewalld
[ ! -d "$root" ] || exit 0
mkdir -p "$cache"
work=$(mktemp -d "$cache/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/archives/partial" "$work/root/usr" "$work/root/etc"

download() {
	apt-get -q=2 -o DPkg::Lock::Timeout=300 -o APT::Sandbox::User=root -o Dir::Cache::archives="$work/archives" \
		install --download-only --reinstall -y --no-install-recommends firewalld dbus-daemon python3-dbus python3-gi gir1.2-glib-2.0 nftables >"$work/log" 2>&1 </dev/null
}
download || { apt-get -q=2 -o DPkg::Lock::Timeout=300 update >/dev/null && download; } || { tail -n 20 "$work/log" >&2; exit 1; }
for deb in "$work"/archives/*.deb; do
	dpkg-deb -x "$deb" "$work/root"
done
# Packages from before the merged /usr have these beside it.
for dir in lib bin sbin; do
	if [ -d "$work/root/$dir" ] && [ ! -L "$work/root/$dir" ]; then
		cp -a "$work/root/$dir/." "$work/root/usr/$dir/"
	fi
done
chmod 755 "$work/root"
mv "$work/root" "$root"
echo "fetch-firewalld: $root"
