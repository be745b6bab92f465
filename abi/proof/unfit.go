package proof

import (
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// closedTrees are places of a container or a machine that nothing is bound in or from by itself: they are the kernel's, or
// change while they are read, or hold what is secret.
var closedTrees = []string{"/boot", "/dev", "/proc", "/run", "/sys", "/var/run", "/var/lib/docker", "/var/lib/containerd", "/var/lib/hostrun", "/var/log", "/var/mail",
	"/var/spool", "/lost+found"}

// secretNames are directories in which programs keep keys, tokens and histories.
var secretNames = []string{".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".config", ".password-store", ".mozilla", ".gcloud", ".netrc", ".pki",
	".git-credentials", ".npmrc", ".pypirc", ".boto", ".kaggle", ".ngc", ".huggingface", ".bash_history", ".python_history"}

// homeNames are in secretNames and stand in homes, and in no package: who has one is a home, wherever it lies.
var homeNames = []string{".ssh", ".gnupg", ".aws", ".kube", ".netrc", ".password-store", ".git-credentials", ".bash_history"}

// isHome says whether a directory of the host holds what homes hold.
func isHome(host *rootfs.View, dir string) bool {
	return slices.ContainsFunc(homeNames, func(name string) bool { return host.Exists(path.Join(dir, name)) })
}

// wholeTrees are directories that hold more than any package needs.
var wholeTrees = []string{"/", "/bin", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/root", "/sbin", "/srv", "/tmp", "/usr", "/usr/bin",
	"/usr/lib", "/usr/lib64", "/usr/local", "/usr/local/lib", "/usr/share", "/var", "/var/cache", "/var/lib", "/var/tmp", "/usr/local/share"}

// unfit says why a place is not shown to a container without being asked for; "" where it may be. source is a path of the
// host without links, destination one of the container.
func unfit(source, destination string) string {
	destination = path.Clean(destination)
	switch {
	case slices.Contains(wholeTrees, source) || slices.Contains(wholeTrees, destination):
		return "it is a whole tree of the system"
	case path.Dir(source) == "/home" || path.Dir(source) == "/Users" || path.Base(source) == ".local" || path.Base(source) == ".cache":
		return "it is a whole home directory, or holds what is private"
	case below(source, "/etc") && !below(source, "/etc/alternatives"):
		return "it is configuration of the host"
	}
	for _, p := range []string{source, destination} {
		if slices.ContainsFunc(closedTrees, func(tree string) bool { return below(p, tree) }) {
			return "nothing in " + p + " is bound without being asked for"
		}
	}
	for _, name := range strings.Split(source, "/") {
		if slices.Contains(secretNames, name) {
			return "keys and tokens lie in directories named " + name
		}
	}
	return ""
}
