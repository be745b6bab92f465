# Sourced by scripts that build or unpack trees of other releases.

# mirror_of DISTRIBUTION (debian, ubuntu) prints the mirror of it that apt uses on this machine. HOSTRUN_DEBIAN_MIRROR names one of
# Debian where apt has none: on another distribution.
mirror_of() {
	if [ "$1" = debian ] && [ -n "${HOSTRUN_DEBIAN_MIRROR:-}" ]; then
		echo "${HOSTRUN_DEBIAN_MIRROR%/}/"
		return 0
	fi
	# Before the first update apt knows of none. Scripts that run side by side ask once: two updates at a time fail.
	flock /etc/apt sh -c "$list_mirrors | grep -q . || apt-get -q=2 update" >/dev/null 2>&1 || true
	sh -c "$list_mirrors" 2>/dev/null | grep "/$1/\$" | head -n 1
}

list_mirrors="apt-get indextargets --format '\$(REPO_URI)' 'Created-By: Packages'"
