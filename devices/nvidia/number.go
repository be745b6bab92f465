package nvidia

import (
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/devices"
)

// The minor numbers of the driver's own nodes beside those of GPUs (kernel-open/common/inc/nv-chardev-numbers.h).
const (
	controlMinor = 255
	modesetMinor = 254
)

// stale says in what a node's numbers differ from those that the driver has given out, "" where they are right or nobody says: a node of
// another GPU, or, of what has a dynamic major, of an earlier boot. The container would open something else than it was given.
func stale(n devices.Node, majors map[string]int) string {
	at := strings.TrimPrefix(n.Destination, "/dev/")
	major, minor, dynamic := 0, -1, false
	switch name := path.Base(at); {
	case strings.HasPrefix(at, "nvidia-caps/"):
		major, minor, dynamic = majors["nvidia-caps"], numberBehind(name, "nvidia-cap"), true
	case strings.HasPrefix(at, "nvidia-caps-imex-channels/"):
		major, minor, dynamic = majors["nvidia-caps-imex-channels"], numberBehind(name, "channel"), true
	case at == "nvidiactl":
		major, minor = frontend(majors), controlMinor
	case at == "nvidia-modeset":
		major, minor = frontend(majors), modesetMinor
	default:
		major, minor = frontend(majors), numberBehind(at, "nvidia")
	}
	switch {
	case major == 0 || minor < 0, !dynamic && n.Major != int64(major), n.Major == int64(major) && n.Minor == int64(minor):
		return ""
	}
	return fmt.Sprintf("it has the numbers %d:%d, and the driver's are %d:%d", n.Major, n.Minor, major, minor)
}

// frontend is the major number of GPUs: nvidia-frontend's before driver 550.40.
func frontend(majors map[string]int) int { return cmp.Or(majors["nvidia"], majors["nvidia-frontend"]) }

// numberBehind is the number behind a prefix, -1 where there is none.
func numberBehind(name, prefix string) int {
	rest, ok := strings.CutPrefix(name, prefix)
	n, err := strconv.Atoi(rest)
	if !ok || err != nil || n < 0 {
		return -1
	}
	return n
}
