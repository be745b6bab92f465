package imagebuild

import (
	"strings"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/profiles"
)

var (
	fromLine = pattern.New(`(?i)^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$`)
	argLine  = pattern.New(`(?i)^\s*ARG\s+([A-Za-z_][A-Za-z0-9_]*)(?:=(.*))?$`)
	usedArg  = pattern.New(`\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?-([^}]*))?\}|\$([A-Za-z_][A-Za-z0-9_]*)`)
)

// Base is the image that the Dockerfile's stage target begins with, "" for the last one: what a person may pull in place of a build.
// It follows stages that begin with one another, and the arguments before the first FROM (Dockerfile reference, "ARG" and "FROM").
func Base(dockerfile, target string, given []profiles.EnvVar) string {
	args := map[string]string{}
	stages := map[string]string{}
	last, begun := "", false
	for line := range strings.Lines(dockerfile) {
		line = strings.TrimRight(line, "\r\n")
		if m := argLine.FindStringSubmatch(line); m != nil && !begun {
			args[m[1]] = strings.Trim(strings.TrimSpace(m[2]), `"'`)
			for _, g := range given {
				if g.Name == m[1] {
					args[m[1]] = g.Value
				}
			}
			continue
		}
		m := fromLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		begun = true
		base := usedArg.ReplaceAllStringFunc(m[1], func(text string) string {
			u := usedArg.FindStringSubmatch(text)
			if value := args[u[1]+u[3]]; value != "" {
				return value
			}
			return u[2]
		})
		if of, ok := stages[strings.ToLower(base)]; ok {
			base = of
		}
		stages[strings.ToLower(m[2])] = base
		last = base
		if target != "" && strings.EqualFold(m[2], target) {
			return base
		}
	}
	return last
}
