package devices

import "strings"

// Kinds that profiles have keys of their own for.
const (
	KindGPU = "nvidia.com/gpu" // gpus
	KindNPU = "ascend.com/npu" // npus
)

// ParseQualified splits CDI's qualified name of a device, vendor/class=name (CDI, SPEC.md, "CDI Kinds").
func ParseQualified(s string) (kind, name string, ok bool) {
	kind, name, ok = strings.Cut(s, "=")
	vendor, class, slash := strings.Cut(kind, "/")
	ok = ok && slash && validWord(vendor, "_-.") && validWord(class, "_-") && ValidName(name)
	return kind, name, ok
}

// ValidName reports whether s is a name of a device in CDI: letters, digits and _-.: with a letter or a digit at both ends.
func ValidName(s string) bool {
	if s == "" || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 || !alphanumeric(byte(r)) && !strings.ContainsRune("_-.:", r) })
}

// validWord is CDI's rule for vendors and classes: a letter first, a letter or digit last.
func validWord(s, marks string) bool {
	if s == "" || !alphanumeric(s[0]) || s[0] <= '9' || !alphanumeric(s[len(s)-1]) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 || !alphanumeric(byte(r)) && !strings.ContainsRune(marks, r) })
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
