package profiles

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-shellwords"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

func readEntrypoint(d *decoder, p *Profile, n *node, key string) { d.argv(n, key, &p.Entrypoint) }
func readCommand(d *decoder, p *Profile, n *node, key string)    { d.argv(n, key, &p.Command) }

// argv reads compose's command forms: text is split by a shell's quoting, a list is taken as it is, null says nothing.
func (d *decoder) argv(n *node, key string, to **Command) {
	if n.kind == scalar && n.tag == "null" {
		return
	}
	for i := 0; d.profile.Lines[index(key, i)].Line > 0; i++ { // of the command that this one replaces
		delete(d.profile.Lines, index(key, i))
	}
	switch {
	case n.kind == scalar && n.tag == "str":
		words, err := splitWords(n.text)
		if err != nil {
			d.bad(n, key, "quote what is meant as it is, or write [sh, -c, '...']", "split %q: %v", abridged(n.text), err)
			return
		}
		c := Command(words)
		*to = &c
	case n.kind == list:
		c := make(Command, 0, len(n.items))
		for i, item := range n.items {
			if item.kind != scalar || item.tag != "str" {
				remedy := fmt.Sprintf("put it in quotes: %q", item.text)
				if item.kind != scalar {
					remedy = "write one word for each entry"
				}
				d.bad(item, index(key, i), remedy, "expected text, got %s", item.describe())
				return
			}
			c = append(c, item.text)
			d.mark(index(key, i), item.pos)
		}
		*to = &c
	default:
		d.bad(n, key, "write text, or a list: [program, argument]", "expected text or a list of text, got %s", n.describe())
	}
}

// splitWords splits by a POSIX shell's quoting, without its expansions; what a shell would treat as an operator ends
// the words in go-shellwords, silently, so it is an error here.
func splitWords(s string) ([]string, error) {
	parser := shellwords.NewParser()
	words, err := parser.Parse(s)
	if err != nil {
		return nil, err
	}
	if parser.Position >= 0 {
		runes := []rune(s) // Position counts them
		return nil, fmt.Errorf("no shell runs, so %q has no meaning", abridged(string(runes[min(parser.Position, len(runes)):])))
	}
	if words == nil {
		words = []string{}
	}
	return words, nil
}

// containerPath reads an absolute path in the container, cleaned.
func (d *decoder) containerPath(n *node, key string) (string, bool) {
	s, ok := d.text(n, key)
	if !ok {
		return "", false
	}
	return d.cleanTarget(n, key, s)
}

func (d *decoder) cleanTarget(n *node, key, s string) (string, bool) {
	if !strings.HasPrefix(s, "/") {
		d.bad(n, key, "begin it with /", "%q is no absolute path of the container", abridged(s))
		return "", false
	}
	return path.Clean(s), true
}

func readWorkingDir(d *decoder, p *Profile, n *node, key string) {
	if s, ok := d.containerPath(n, key); ok {
		p.WorkingDir = s
	}
}

var (
	userForm  = pattern.New(`^[^\s:]+(:[^\s:]+)?$`)
	groupForm = pattern.New(`^[^\s:]+$`)
	hostForm  = pattern.New(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
)

func readUser(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	if !userForm.MatchString(s) {
		d.bad(n, key, `write a name or number, and a group if need be: "1000:1000"`, "%q is no user", s)
		return
	}
	for _, part := range strings.Split(s, ":") {
		if !validID(part) {
			d.bad(n, key, "numbers go from 0 to 4294967294", "%q is no user or group number", part)
			return
		}
	}
	p.User = s
}

// validID reports whether s is no number, or a number that the kernel takes as a uid (2^32-1 means "no change").
func validID(s string) bool {
	if strings.Trim(strings.TrimPrefix(s, "-"), "0123456789") != "" {
		return true
	}
	id, err := strconv.ParseUint(s, 10, 32)
	return err == nil && id != 1<<32-1
}

func readGroupAdd(d *decoder, p *Profile, n *node, key string) {
	if n.kind != list {
		d.bad(n, key, "write a list: [video, 998]", "expected a list, got %s", n.describe())
		return
	}
	for i, item := range n.items {
		if item.kind != scalar || item.tag != "str" && item.tag != "int" || !groupForm.MatchString(item.text) || !validID(item.text) {
			d.bad(item, index(key, i), "write a group's name or number", "expected a group, got %s", item.describe())
			continue
		}
		p.GroupAdd = d.appendNew(p.GroupAdd, item.text, item, key)
	}
}

func readHostname(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	if len(s) > 64 || !hostForm.MatchString(s) { // __NEW_UTS_LEN of the kernel, and RFC 1123
		d.bad(n, key, "letters, digits, - and ., at most 64", "%q is no host name", abridged(s))
		return
	}
	p.Hostname = s
}

// signalNames are those of Linux (signal(7)) with the numbers that x86, ARM and most others give them; index = number.
var signalNames = strings.Fields("0 HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS")

func readStopSignal(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	name, known := signalName(s)
	if !known {
		remedy := "write a name or a number: SIGINT, SIGUSR1, 15"
		if near := finding.Nearest(strings.TrimPrefix(strings.ToUpper(s), "SIG"), signalNames[1:], 1); len(near) > 0 {
			remedy = "did you mean SIG" + near[0] + "?"
		}
		d.bad(n, key, remedy, "%q is no signal", s)
		return
	}
	p.StopSignal = name
}

// signalName returns the full name of a signal given by name or number.
func signalName(s string) (string, bool) {
	if number, err := strconv.Atoi(s); err == nil {
		switch {
		case number > 0 && number < len(signalNames):
			return "SIG" + signalNames[number], true
		case number >= 34 && number <= 64: // glibc keeps 32 and 33 for itself
			return realtimeName(number - 34), true
		}
		return "", false
	}
	bare := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	for _, name := range signalNames[1:] {
		if bare == name {
			return "SIG" + name, true
		}
	}
	if offset, ok := strings.CutPrefix(bare, "RTMIN"); ok {
		return realtime(offset, "+", func(i int) int { return i })
	}
	if offset, ok := strings.CutPrefix(bare, "RTMAX"); ok {
		return realtime(offset, "-", func(i int) int { return 30 - i })
	}
	return "", false
}

func realtime(offset, sign string, place func(int) int) (string, bool) {
	if offset == "" {
		return realtimeName(place(0)), true
	}
	i, err := strconv.Atoi(strings.TrimPrefix(offset, sign))
	if err != nil || !strings.HasPrefix(offset, sign) || i < 0 || i > 30 {
		return "", false
	}
	return realtimeName(place(i)), true
}

func realtimeName(i int) string {
	if i == 0 {
		return "SIGRTMIN"
	}
	return "SIGRTMIN+" + strconv.Itoa(i)
}

func readGrace(d *decoder, p *Profile, n *node, key string) {
	if v, ok := d.duration(n, key); ok {
		p.StopGracePeriod = &v
	}
}

// duration reads a time with its unit.
func (d *decoder) duration(n *node, key string) (time.Duration, bool) {
	if n.kind == scalar && n.tag == "int" { // compose wants a unit too
		d.bad(n, key, fmt.Sprintf("write the unit: %ss", n.text), "%s has no unit", n.text)
		return 0, false
	}
	s, ok := d.text(n, key)
	if !ok {
		return 0, false
	}
	v, err := parseDuration(s)
	if err != nil {
		d.bad(n, key, "write a number and a unit: 30s, 1m30s, 500ms", "%q is no duration", abridged(s))
		return 0, false
	}
	return v, true
}

var durationPart = pattern.New(`^(\d+(?:\.\d+)?)(w|d|h|ms|us|µs|ns|m|s)`)

// parseDuration reads compose's durations: Go's, with days and weeks.
func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration", s)
	units := map[string]time.Duration{"w": 168 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second,
		"ms": time.Millisecond, "us": time.Microsecond, "µs": time.Microsecond, "ns": time.Nanosecond}
	var sum float64
	for rest := s; ; {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return 0, bad
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, bad
		}
		sum += v * float64(units[m[2]])
		if sum > float64(365*24*time.Hour) {
			return 0, bad
		}
		if rest = rest[len(m[0]):]; rest == "" {
			return time.Duration(sum), nil
		}
	}
}
