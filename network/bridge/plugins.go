package bridge

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"hostrun.dev/hostrun/finding"
)

// PluginDirs are where CNI's plugins are looked for: $CNI_PATH, what `make cni` builds, below the prefix of this program first, upstream's
// place, Debian's, Fedora's.
func PluginDirs() []string {
	dirs := filepath.SplitList(os.Getenv("CNI_PATH"))
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(filepath.Dir(exe)), "lib", "hostrun", "cni"))
	}
	return append(dirs, "/usr/lib/hostrun/cni", "/usr/local/lib/hostrun/cni", "/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
}

// Missing are what networks of these drivers need and this machine lacks: "CNI's plugin bridge", "iptables".
func Missing(drivers []string) []string {
	findPrograms()
	var missing []string
	needed := []string{"host-local"}
	bridged := false
	for _, driver := range drivers {
		if driver == "" {
			driver, bridged = "bridge", true
		}
		needed = append(needed, driver)
	}
	slices.Sort(needed)
	for _, name := range slices.Compact(needed) {
		if plugin(name) == "" {
			missing = append(missing, "CNI's plugin "+name)
		}
	}
	if !bridged {
		return missing
	}
	for _, name := range []string{"iptables", "iptables-save", "iptables-restore"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// plugin is the path of one of CNI's; "" where there is none.
func plugin(name string) string {
	for _, dir := range PluginDirs() {
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// findPrograms adds the directories of iptables to a PATH that is a user's: CNI's plugins look there.
var findPrograms = sync.OnceFunc(func() {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if !strings.Contains(":"+path+":", ":"+dir+":") {
			path += ":" + dir
		}
	}
	_ = os.Setenv("PATH", strings.TrimPrefix(path, ":"))
})

// pluginError gives the plugins' words a frame, and a hint where the cause is known.
func pluginError(id string, err error) error {
	text, hint := err.Error(), ""
	switch {
	case strings.Contains(text, "failed to find plugin"):
		hint = "install them: apt-get install containernetworking-plugins\nor build them: make cni"
	case strings.Contains(text, "operation not supported"):
		hint = "the kernel has no such interfaces, or not in this mode: modprobe macvlan, modprobe ipvlan; or use a network of driver bridge"
	case strings.Contains(text, "device or resource busy"):
		hint = "the parent is a bridge's port, belongs to the other of macvlan and ipvlan, or is another container's alone (macvlan_mode: passthru): ip -d link shows it"
	case strings.Contains(text, "iptables"):
		hint = "see what it says by itself: iptables -t nat -L -n"
	case errors.Is(err, os.ErrPermission), strings.Contains(text, "operation not permitted"):
		return &finding.Err{Err: fmt.Errorf("connect container %s to its networks: %w", id, err), Status: finding.StatusPermission, Hint: "networks are made by root alone"}
	}
	return &finding.Err{Err: fmt.Errorf("connect container %s to its networks: %w", id, err), Status: finding.StatusFailed, Hint: hint}
}
