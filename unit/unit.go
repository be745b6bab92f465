// Package unit writes the units by which systemd runs profiles: one static template, and for each profile a drop-in of what its
// file says. It is pure. docs/systemd.md is about its use.
package unit

import (
	_ "embed"
	"fmt"
	"strings"
)

// TemplateName is the file of the template.
const TemplateName = "hostrun@.service"

// DropInName is the file of what a profile says, in the directory of its unit.
const DropInName = "10-profile.conf"

var (
	//go:embed hostrun@.service
	template string
	//go:embed hostrun.service
	supervisor string
)

// Template is the template unit. program is hostrun's absolute path; user says that it is for a person's own systemd.
func Template(program string, user bool) string { return filled(template, program, user) }

// Supervisor is the unit that starts after a boot what hostrun supervise looks after.
func Supervisor(program string, user bool) string { return filled(supervisor, program, user) }

func filled(text, program string, user bool) string {
	keep, drop := "system: ", "user: "
	if user {
		keep, drop = drop, keep
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, drop) {
			continue
		}
		b.WriteString(strings.TrimPrefix(line, keep))
	}
	return strings.ReplaceAll(b.String(), "@PROGRAM@", value(program))
}

// Name is the unit of a profile. An instance's name may hold all that a profile's may (systemd.unit(5): letters, digits, and
// ":-_.\"), so that nothing is escaped, and the template takes it back by %i: by %I a dash would come back as a slash.
func Name(profile string) string { return "hostrun@" + profile + ".service" }

// Profile is the profile that an instance stands for, where somebody has escaped its name all the same, as systemd-escape(1) does.
func Profile(instance string) string {
	var b strings.Builder
	for i := 0; i < len(instance); i++ {
		var c byte
		if n, err := fmt.Sscanf(instance[i:min(i+4, len(instance))], `\x%2x`, &c); n == 1 && err == nil && len(instance) >= i+4 {
			b.WriteByte(c)
			i += 3
			continue
		}
		b.WriteByte(instance[i])
	}
	return b.String()
}

// word is a word of a command line in a unit (systemd.service(5), "Command lines"): quoted where it must be, and with nothing that
// systemd would replace.
func word(text string) string {
	text = strings.NewReplacer("$", "$$").Replace(specifiers(text))
	return quoted(text)
}

// value is a word in which no variables are replaced: of a list of paths, of an Environment= line, or the program of a command line.
func value(text string) string { return quoted(specifiers(text)) }

// specifiers lets a % be one (systemd.unit(5), "Specifiers").
func specifiers(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// quoted is by systemd.syntax(7), "Quoting".
func quoted(text string) string {
	if text != "" && !strings.ContainsAny(text, " \t\n\"'\\;#") {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(text) + `"`
}
