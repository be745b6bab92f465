package plan

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// fieldWords are words for fields of a specification, and for what Up adds to them; longer ones first where one begins another.
// A field in brackets is the element's name; whole says that the fields of one element are told by one of them alone.
var fieldWords = []struct{ field, words, whole string }{
	{"process.env[", "the variable ", ""},
	{"mounts[", "the mount at ", "source"},
	{"linux.devices[", "the device node ", "minor"},
	{"process.rlimits[", "the limit ", ""},
	{"linux.namespaces[", "the namespace ", ""},
	{"process.args", "the command", ""},
	{"process.cwd", "the working directory", ""},
	{"process.user", "the user", ""},
	{"process.capabilities", "the capabilities", ""},
	{"process.noNewPrivileges", "no new privileges", ""},
	{"process.terminal", "the terminal", ""},
	{"process.oomScoreAdj", "the OOM score", ""},
	{"hostname", "the host name", ""},
	{"root.readonly", "the read-only root", ""},
	{"linux.resources.memory", "the limit of memory", ""},
	{"linux.resources.cpu.quota", "the limit of processors", ""},
	{"linux.resources.cpu.cpus", "the processors", ""},
	{"linux.resources.cpu.mems", "the memory nodes", ""},
	{"linux.resources.pids", "the limit of processes", ""},
	{"linux.resources.devices", "the device cgroup", "all"},
	{"linux.sysctl.", "the kernel parameter ", ""},
	{"linux.seccomp", "the seccomp filter", "all"},
	{"linux.rootfsPropagation", "the propagation of mounts", ""},
	{"linux.cgroupsPath", "the cgroup", ""},
	{"linux.maskedPaths", "the masked paths", ""},
	{"linux.readonlyPaths", "the read-only paths", ""},
	{"annotations.", "the annotation ", ""},
	{"labels[", "the label ", ""},
	{"image", "the image's digest", ""},
	{"runtime", "the OCI runtime", ""},
	{"devices", "the devices that it holds", ""},
}

// Words puts the lines of a difference (Diff) into words, with where the new value comes from: "the variable COLOR: red -> blue
// (profile web.yaml:3)". An element that is new or gone is one line.
func Words(lines []string, pl Plan) []string {
	origins := originsByField(pl)
	told := map[string]bool{}
	var all []string
	for _, line := range lines {
		field, values, ok := strings.Cut(line, ": ")
		if !ok {
			all = append(all, fileWords(line))
			continue
		}
		words, element, rest := inWords(field)
		if words == "" {
			all = append(all, line)
			continue
		}
		was, is, _ := strings.Cut(values, " -> ")
		switch {
		case told[element]:
			continue
		case element != "" && (was == "(none)" || is == "(none)"):
			if !strings.HasSuffix(rest, wholeOf(field)) && has(lines, element) {
				continue // another line tells of it
			}
			told[element] = true
		case wholeOf(field) == "all":
			told[element], values = true, "another one"
		case rest != "":
			words += " (" + strings.TrimPrefix(rest, ".") + ")"
		}
		text := words + ": " + values
		if from := originOf(field, origins); from != "" && is != "(none)" {
			text += " (" + from + ")"
		}
		all = append(all, text)
	}
	return all
}

// GeneratedFiles is what Words says where a container would be another one and its specification would be the same.
const GeneratedFiles = "what hostrun keeps with it, or files that it makes for it (hosts, resolv.conf, links)"

func fileWords(line string) string {
	if line == "generated files" {
		return GeneratedFiles
	}
	return line
}

// has says whether one of the lines is the one that tells of the whole element.
func has(lines []string, element string) bool {
	for _, line := range lines {
		if strings.HasPrefix(line, element+"."+wholeOf(element)+": ") {
			return true
		}
	}
	return false
}

func wholeOf(field string) string {
	for _, w := range fieldWords {
		if strings.HasPrefix(field, w.field) {
			return w.whole
		}
	}
	return ""
}

// inWords returns words for a field, the element that it belongs to, and what of the element it is.
func inWords(field string) (words, element, rest string) {
	for _, w := range fieldWords {
		after, ok := strings.CutPrefix(field, w.field)
		switch {
		case !ok:
			continue
		case strings.HasSuffix(w.field, "["):
			i := strings.LastIndexByte(after, ']')
			if i < 0 {
				return "", "", ""
			}
			words, rest = w.words+after[:i], after[i+1:]
			if w.whole != "" {
				element = field[:len(w.field)+i+1]
			}
			return words, element, rest
		case strings.HasSuffix(w.field, "."):
			return w.words + after, "", ""
		case w.whole == "all":
			return w.words, w.field, ""
		case after == "" || after[0] == '.':
			return w.words, "", after
		}
	}
	return "", "", ""
}

// originsByField are the plan's origins by the names that Diff gives to fields.
func originsByField(pl Plan) map[string]string {
	all := map[string]string{}
	if pl.Spec == nil {
		return all
	}
	at := func(pointer, field string) {
		if o := pl.Origins[pointer]; o != "" {
			all[field] = o
		}
	}
	for i, m := range pl.Spec.Mounts {
		at("/mounts/"+itoa(i), "mounts["+m.Destination+"]")
	}
	if p := pl.Spec.Process; p != nil {
		for i, kv := range p.Env {
			name, _, _ := strings.Cut(kv, "=")
			at("/process/env/"+itoa(i), "process.env["+name+"]")
		}
		for i, r := range p.Rlimits {
			at("/process/rlimits/"+itoa(i), "process.rlimits["+r.Type+"]")
		}
	}
	linuxOrigins(pl.Spec.Linux, at)
	for pointer, o := range pl.Origins {
		field := strings.ReplaceAll(strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", "."), "~1", "/")
		if all[field] == "" {
			all[field] = o
		}
	}
	return all
}

func linuxOrigins(l *specs.Linux, at func(pointer, field string)) {
	if l == nil {
		return
	}
	for i, d := range l.Devices {
		at("/linux/devices/"+itoa(i), "linux.devices["+d.Path+"]")
	}
}

// originOf is that of the field, or of what it is a part of. hostrun's own choices need no name.
func originOf(field string, origins map[string]string) string {
	for field != "" {
		if o := origins[field]; o != "" && o != "hostrun" {
			return o
		}
		if strings.HasSuffix(field, "]") {
			return ""
		}
		field = field[:max(strings.LastIndexByte(field, '.'), 0)]
	}
	return ""
}
