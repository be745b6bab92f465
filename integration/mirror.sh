# Sourced by scripts that build or unpack trees of other releases.

# mirror_of DISTRIBUTION (debian, ubuntu) prints the mirror of it that apt uses on this machine. HOSTRUN_DEBIAN_MIRROR names one of
# Debian where apt has none: on another distribution.
mirror_of() {
	if [ "$1" = debian ] && [ -n "${HOSTRUN_DEBIAN_MIRROR:-}" ]; then
		echo "${HOSTRUN_DEBIAN_MIRROR%/}/"
		return 0
	fi
	mirrors_of_apt | grep -q . || apt-get -q=2 update >/dev/null 2>&1 || true # it knows of none before the first update
	mirrors_of_apt | grep "/$1/\$" | head -n 1
}

mirrors_of_apt() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null; }
