package profiles

import (
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// bytes reads a size above 0: a number of bytes, or text with a unit (docker's: powers of 1024).
func (d *decoder) bytes(n *node, key string) (int64, bool) {
	if n.kind == scalar && (n.tag == "int" || n.tag == "str") && n.text != "" {
		size, ok := parseBytes(n)
		if ok && size > 0 {
			return size, true
		}
	}
	d.bad(n, key, "write a number of bytes, or a number and a unit: 512m, 16gb", "expected a size above 0, got %s", n.describe())
	return 0, false
}

// limit reads a size of which 0 is as if it were not said, as for docker.
func (d *decoder) limit(n *node, key string) (int64, bool) {
	if n.kind == scalar && (n.tag == "int" || n.tag == "str") {
		if size, ok := parseBytes(n); ok && size == 0 {
			return 0, true
		}
	}
	return d.bytes(n, key)
}

func parseBytes(n *node) (int64, bool) {
	if n.tag == "int" {
		v, ok := scalarValue(n).(int)
		return int64(v), ok
	}
	if v, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		return v, true
	}
	v, err := units.RAMInBytes(n.text)
	return v, err == nil
}

// mode reads permission bits. They are octal, however YAML reads the number: 1777, 01777 and 0o1777 are one.
func (d *decoder) mode(n *node, key string) (uint32, bool) {
	if n.kind == scalar && (n.tag == "int" || n.tag == "str") {
		if mode, ok := parseMode(n.text); ok {
			return mode, true
		}
	}
	d.bad(n, key, "write octal permission bits: 1777, 0755", "expected permission bits, got %s", n.describe())
	return 0, false
}

func parseMode(s string) (uint32, bool) {
	mode, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
	return uint32(mode), err == nil && mode > 0 && mode <= 0o7777
}
