package main

// SGR sequences of ECMA-48.
const (
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	cyan   = "\x1b[1;36m"
	green  = "\x1b[1;32m"
	plain  = "\x1b[0m"
)

// paint colours text for stderr, if it is to be coloured.
func (s *session) paint(color, text string) string {
	if color == "" || !s.colored(s.stderr) {
		return text
	}
	return color + text + plain
}

// colored says whether a stream gets colours. --color decides; then NO_COLOR (no-color.org), FORCE_COLOR and
// CLICOLOR_FORCE, CLICOLOR=0 and TERM=dumb (bixense.com/clicolors), and last whether it is a terminal.
func (s *session) colored(stream any) bool {
	if s.global.noColor {
		return false
	}
	switch s.global.color {
	case "always":
		return true
	case "never":
		return false
	}
	set := func(name string) bool { return s.env[name] != "" && s.env[name] != "0" }
	switch {
	case s.env["NO_COLOR"] != "":
		return false
	case set("FORCE_COLOR"), set("CLICOLOR_FORCE"):
		return true
	case s.env["CLICOLOR"] == "0", s.dumbTerminal():
		return false
	}
	return isTerminal(stream)
}

func (s *session) dumbTerminal() bool { return s.env["TERM"] == "dumb" }
