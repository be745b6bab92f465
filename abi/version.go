package abi

import (
	"strconv"

	"hostrun.dev/hostrun/pattern"
)

var versionText = pattern.New(`^(\d+)\.(\d+)(?:\.(\d+)(?:(a|b|c|rc)(\d+))?)?`)

var levels = map[string]string{"": "final", "a": "alpha", "b": "beta", "c": "candidate", "rc": "candidate"}

// parseVersion reads the version that s begins with. Without a micro the level is unknown ("").
func parseVersion(s string) (Version, bool) {
	m := versionText.FindStringSubmatch(s)
	if m == nil {
		return Version{}, false
	}
	v := Version{Major: number(m[1]), Minor: number(m[2]), Micro: -1}
	if m[3] != "" {
		v.Micro, v.Level, v.Serial = number(m[3]), levels[m[4]], number(m[5])
	}
	return v, true
}

// number reads decimal digits; those too many for an int, and none at all, give 0.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// hexVersion reads sys.hexversion (Include/patchlevel.h, PY_VERSION_HEX): one byte each for major, minor and micro,
// a nibble for the level and one for the serial.
func hexVersion(h uint32) (Version, bool) {
	level, ok := map[uint32]string{0xA: "alpha", 0xB: "beta", 0xC: "candidate", 0xF: "final"}[h>>4&0xF]
	v := Version{Major: int(h >> 24), Minor: int(h >> 16 & 0xFF), Micro: int(h >> 8 & 0xFF), Level: level, Serial: int(h & 0xF)}
	return v, ok && v.Major >= 2 && v.Major <= 4
}

// sameRelease compares as far as both are known.
func sameRelease(a, b Version) bool {
	if a.Major != b.Major || a.Minor != b.Minor {
		return false
	}
	return a.Micro < 0 || b.Micro < 0 || a == b
}

func (v Version) before(major, minor int) bool {
	return v.Major < major || v.Major == major && v.Minor < minor
}
