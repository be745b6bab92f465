package profiles

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

// A Logging says where the container's output goes.
type Logging struct {
	Driver   string `json:"driver"`              // "json-file", "local", "journald", "none"
	MaxSize  int64  `json:"max_size,omitempty"`  // bytes a file; 0: the default of package logfile; math.MaxInt64: no bound
	MaxFiles int    `json:"max_files,omitempty"` // the current one included; 0: the default
	Compress bool   `json:"compress,omitempty"`  // files that were rotated
	Tag      string `json:"tag,omitempty"`       // of journald: docker's template
}

// logDrivers are docker's; those that are false belong to services that hostrun does not speak to.
var logDrivers = map[string]bool{"json-file": true, "local": true, "journald": true, "none": true, "syslog": false, "gelf": false, "fluentd": false,
	"awslogs": false, "splunk": false, "etwlogs": false, "gcplogs": false, "logentries": false}

const logDriverNames = "local, json-file, journald, none"

var (
	loggingSchema = object{"type": "object", "additionalProperties": false, "patternProperties": object{"^x-": object{}}, "properties": object{
		"driver":  object{"description": "local or json-file (rotated files), journald, none", "anyOf": []object{{"enum": []string{"local", "json-file", "journald", "none"}}, {"type": "string", "pattern": `\$`}}},
		"options": object{"description": "max-size, max-file, compress; tag of journald", "type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean", "null"}}},
	}}
	loggingKeys = []field[Profile]{{name: "logging", about: "where the output goes: rotated files, the journal, nowhere", schema: loggingSchema, read: readLogging}}
)

// readLogging reads the driver first: what options mean depends on it.
func readLogging(d *decoder, p *Profile, n *node, key string) {
	if n.kind != mapping {
		d.bad(n, key, "write {driver: local, options: {max-size: 10m}}", "expected a mapping of driver and options, got %s", n.describe())
		return
	}
	l := Logging{Driver: "json-file"} // docker's default
	if p.Logging != nil {
		l = *p.Logging
	}
	if one := n.said("driver"); one != nil && !one.value.blank() {
		d.mark(join(key, "driver"), one.pos)
		s, ok := d.text(one.value, join(key, "driver"))
		if !ok || !d.logDriver(one.value, join(key, "driver"), s) {
			return
		}
		if s != l.Driver { // the options of another one mean nothing
			l = Logging{Driver: s}
		}
	}
	for _, one := range n.pairs {
		switch at := join(key, one.key); {
		case one.key == "driver", strings.HasPrefix(one.key, "x-"), one.key == "options" && one.value.empty():
		case one.key != "options":
			d.unknownField(one, key, []string{"driver", "options"})
		case one.value.kind != mapping:
			d.bad(one.value, at, "write {max-size: 10m, max-file: 3}", "expected a mapping, got %s", one.value.describe())
		default:
			for _, option := range one.value.pairs {
				d.mark(join(at, option.key), option.pos)
				d.logOption(&l, option, at)
			}
		}
	}
	p.Logging = &l
}

func (d *decoder) logDriver(n *node, key, s string) bool {
	does, known := logDrivers[s]
	switch {
	case does:
		return true
	case known:
		// At the whole key, as the options of that driver mean nothing to another one.
		d.report.add(Problem{Position: d.profile.Lines["logging"], Key: "logging", ID: finding.ProfileNotYet,
			Message: fmt.Sprintf("logging.driver: hostrun does not do the logging driver %q; without the key, output goes to rotated files", s),
			Remedy:  "write one of: " + logDriverNames + "; what reads the journal or the files can pass them on"})
	default:
		remedy := "write one of: " + logDriverNames
		if near := finding.Nearest(s, []string{"json-file", "local", "journald", "none"}, 1); len(near) > 0 {
			remedy = "did you mean " + near[0] + "?"
		}
		d.bad(n, key, remedy, "%q is not known", abridged(s))
	}
	return false
}

var (
	fileOptions    = []string{"max-size", "max-file", "compress"}
	journalOptions = []string{"tag"}
	anyOptions     = []string{"mode", "max-buffer-size"}
	labelOptions   = []string{"labels", "labels-regex", "env", "env-regex", "tag"} // of json-file and local, and but for tag of journald
	tagForm        = pattern.New(`^([^{}\n]|\{\{ *\.(Name|ID|FullID|ImageName|ImageID|DaemonName) *\}\})+$`)
)

func (d *decoder) logOption(l *Logging, p pair, above string) {
	key := join(above, p.key)
	known := anyOptions
	switch l.Driver {
	case "json-file", "local":
		known = append(append([]string{}, fileOptions...), anyOptions...)
	case "journald":
		known = append(append([]string{}, journalOptions...), anyOptions...)
	case "none":
		known = nil
	}
	if !contains(known, p.key) {
		if contains(labelOptions, p.key) && contains([]string{"json-file", "local"}, l.Driver) && p.value.kind == scalar {
			return // what docker writes beside each line, and shows by docker logs --details alone
		}
		if contains(labelOptions, p.key) && l.Driver != "none" {
			d.notYetProblem(p.pos, key, "remove it", fmt.Sprintf("this option of the driver %s", l.Driver))
			return
		}
		remedy := "the driver " + l.Driver + " has no options"
		if len(known) > 0 {
			remedy = "the driver " + l.Driver + " has: " + strings.Join(known, ", ")
		}
		d.badAt(p.pos, key, remedy, "unknown option")
		return
	}
	if p.value.empty() {
		return
	}
	if p.value.kind != scalar {
		d.bad(p.value, key, "write one value", "expected text or a number, got %s", p.value.describe())
		return
	}
	d.setLogOption(l, p.key, p.value, key)
}

func (d *decoder) setLogOption(l *Logging, name string, n *node, key string) {
	switch name {
	case "max-size":
		size, err := logSize(l.Driver, n.text)
		if err != nil {
			d.bad(n, key, "write a size: 10m, 500k; -1 for no bound", "%q is no size", abridged(n.text))
			return
		}
		l.MaxSize = size
	case "max-file":
		v, err := strconv.Atoi(n.text)
		if err != nil || v < 1 || v > 1000 {
			d.bad(n, key, "write a number from 1 to 1000", "%q is no number of files", abridged(n.text))
			return
		}
		l.MaxFiles = v
	case "compress":
		v, err := strconv.ParseBool(n.text)
		if err != nil {
			d.bad(n, key, "write true or false", "%q is neither true nor false", abridged(n.text))
			return
		}
		l.Compress = v
	case "tag":
		if !tagForm.MatchString(n.text) {
			d.bad(n, key, "write text, with {{.Name}}, {{.ID}} or {{.ImageName}} in it", "%q is no tag that hostrun can make", abridged(n.text))
			return
		}
		l.Tag = n.text
	case "mode":
		if n.text != "blocking" && n.text != "non-blocking" {
			d.bad(n, key, "write blocking or non-blocking: hostrun never blocks the container", "%q is not known", abridged(n.text))
		}
	case "max-buffer-size":
		if _, err := units.RAMInBytes(n.text); err != nil {
			d.bad(n, key, "write a size: 4m", "%q is no size", abridged(n.text))
		}
	}
}

// logSize has docker's units: powers of 1000 for json-file (daemon/logger/jsonfilelog), of 1024 for local (daemon/logger/local).
func logSize(driver, s string) (int64, error) {
	if s == "-1" && driver == "json-file" {
		return math.MaxInt64, nil
	}
	size, err := units.RAMInBytes(s)
	if driver == "json-file" {
		size, err = units.FromHumanSize(s)
	}
	if err == nil && size <= 0 {
		err = fmt.Errorf("%d is no size", size)
	}
	return size, err
}

// finishLogging sets docker's defaults: of local 20 MiB, five files, compressed; and one file where only max-size is said of json-file,
// which has no bound in docker without. hostrun's own hold then.
func (d *decoder) finishLogging() {
	p := d.profile
	l := p.Logging
	if l == nil {
		return
	}
	said := func(option string) bool { _, ok := p.Lines["logging.options."+option]; return ok }
	switch l.Driver {
	case "local", "journald": // of the journal, hostrun keeps a copy
		if l.MaxSize == 0 {
			l.MaxSize = 20 << 20
		}
		if l.MaxFiles == 0 {
			l.MaxFiles = 5
		}
		if !said("compress") {
			l.Compress = true
		}
	case "json-file":
		if l.MaxSize > 0 && l.MaxFiles == 0 {
			l.MaxFiles = 1
		}
		if l.MaxFiles > 1 && l.MaxSize == 0 {
			d.badAt(p.Lines["logging.options.max-file"], "logging.options.max-file", "add max-size: 10m", "max-file has no meaning without max-size")
		}
		if l.Compress && l.MaxFiles < 2 {
			d.badAt(p.Lines["logging.options.compress"], "logging.options.compress", "add max-size: 10m and max-file: 3", "compress is for files that were rotated, and there are none")
		}
	case "none":
		if p.Healthcheck != nil && p.Healthcheck.Log != "" {
			d.badAt(p.Lines["healthcheck.log"], "healthcheck.log", "use another probe, or another driver", "logging: none keeps no output")
		}
	}
}
