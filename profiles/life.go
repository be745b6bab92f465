package profiles

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"hostrun.dev/hostrun/pattern"
)

// A Healthcheck says how to tell whether the container does its work. At most one of Test, HTTP, TCP, Log and GPU is set; none means
// that the image's HEALTHCHECK says it. A duration of 0, and 0 retries, are the image's, else the default: see Interval and its like in
// package supervise.
type Healthcheck struct {
	Test []string `json:"test,omitempty"` // compose's: [CMD, word...] or [CMD-SHELL, line], run in the container; 0 is healthy
	HTTP string   `json:"http,omitempty"` // a URL that has to answer with a status below 400
	TCP  string   `json:"tcp,omitempty"`  // host:port that has to take a connection
	Log  string   `json:"log,omitempty"`  // a regular expression that a line of the output has to match
	GPU  bool     `json:"gpu,omitempty"`  // the container's accelerators have to answer, and to be well

	Interval      time.Duration `json:"interval,omitempty"`
	Timeout       time.Duration `json:"timeout,omitempty"`
	StartPeriod   time.Duration `json:"start_period,omitempty"`
	StartInterval time.Duration `json:"start_interval,omitempty"`
	Retries       int           `json:"retries,omitempty"`

	OnFailure string `json:"on_failure,omitempty"` // "" or "none", "restart", "kill", "stop"
}

// Probes reports whether it says how to test.
func (h *Healthcheck) Probes() bool {
	return len(h.Test) > 0 || h.HTTP != "" || h.TCP != "" || h.Log != "" || h.GPU
}

// Unprobed reports whether the container certainly has no health: the profile says so, or it has neither a healthcheck nor an image.
func (p *Profile) Unprobed() bool {
	return p.NoHealthcheck || p.Healthcheck == nil && p.Rootfs != ""
}

// A Dependency is a profile that has to be there first.
type Dependency struct {
	Name      string `json:"name"`
	Condition string `json:"condition"`          // DependStarted, DependHealthy or DependCompleted
	Restart   bool   `json:"restart,omitempty"`  // restart this profile's container after the other's was replaced or restarted
	Optional  bool   `json:"optional,omitempty"` // required: false: what is wrong with it is a warning
	Key       string `json:"key"`                // in Lines: "depends_on[0]", "depends_on.db"
}

// What a dependency has to have come to; compose's words without their service_.
const (
	DependStarted   = "started"
	DependHealthy   = "healthy"
	DependCompleted = "completed_successfully"
)

var lifeFields = []field[Profile]{
	{name: "restart", about: "when hostrun supervise starts the container again: no (default), always, unless-stopped, on-failure[:TIMES]",
		schema: object{"anyOf": []object{{"enum": []string{"no", "always", "unless-stopped"}}, {"type": "string", "pattern": `^on-failure(:\d+)?$|\$`}, {"const": false}}}, read: readRestart},
	{name: "healthcheck", about: "how to tell that the container does its work", schema: schemaOf(healthFields), read: readHealthcheck},
	{name: "depends_on", about: "profiles that have to be there first", schema: object{"oneOf": []object{textsSchema,
		{"type": "object", "additionalProperties": object{"oneOf": []object{{"type": "null"}, schemaOf(dependencyFields)}}}}}, read: readDependsOn},
}

// probes are the keys of healthcheck of which one is needed.
var probes = []string{"test", "http", "tcp", "log", "gpu"}

var (
	restartForm  = pattern.New(`^(always|unless-stopped|on-failure(?::[0-9]+)?)$`)
	healthFields = []field[Healthcheck]{
		{name: "test", about: "a command in the container: text for its shell, or [CMD, word...], [CMD-SHELL, line], [NONE]", schema: oneOrMore, read: readTest},
		{name: "http", about: "a port, or a URL, that has to answer: 8000, :8000/health", schema: object{"type": []string{"integer", "string"}}, read: readHTTP},
		{name: "tcp", about: "a port, or host:port, that has to take a connection", schema: object{"type": []string{"integer", "string"}}, read: readTCP},
		{name: "log", about: "a regular expression that a line of the output has to match", schema: textSchema, read: readLogProbe},
		{name: "gpu", about: "true: the container's GPUs or NPUs have to answer and to be well: no device lost, no fault in the kernel's log, by nvidia-smi's library or npu-smi", schema: boolSchema, read: func(d *decoder, h *Healthcheck, n *node, key string) {
			if on, ok := d.boolean(n, key); ok && !on {
				d.bad(n, key, "write gpu: true, or another probe", "it says nothing of how to test")
			} else if ok {
				h.GPU = true
			}
		}},
		{name: "interval", about: "between two probes; 30s", schema: textSchema, read: readDuration(func(h *Healthcheck) *time.Duration { return &h.Interval })},
		{name: "timeout", about: "after which a probe has failed; 30s", schema: textSchema, read: readDuration(func(h *Healthcheck) *time.Duration { return &h.Timeout })},
		{name: "start_period", about: "after the start, in which failures do not count; 0s", schema: textSchema, read: readDuration(func(h *Healthcheck) *time.Duration { return &h.StartPeriod })},
		{name: "start_interval", about: "between two probes until the first success; 5s, or interval if that is shorter", schema: textSchema, read: readDuration(func(h *Healthcheck) *time.Duration { return &h.StartInterval })},
		{name: "retries", about: "failures in a row that make it unhealthy; 3", schema: intSchema, read: readRetries},
		{name: "disable", about: "no health check", schema: boolSchema, read: func(d *decoder, h *Healthcheck, n *node, key string) {
			if off, ok := d.boolean(n, key); ok && off {
				h.Test = []string{"NONE"}
			}
		}},
		{name: "on_failure", about: "what is done once it is unhealthy: none (default), restart, kill, stop", schema: enum("none", "restart", "kill", "stop"), read: func(d *decoder, h *Healthcheck, n *node, key string) {
			h.OnFailure, _ = d.oneOf(n, key, "none", "restart", "kill", "stop")
		}},
	}
	dependencyFields = []field[Dependency]{
		{name: "condition", about: "started (default), healthy, or completed_successfully; compose's service_ before them may stand", schema: enum(
			DependStarted, DependHealthy, DependCompleted, "service_"+DependStarted, "service_"+DependHealthy, "service_"+DependCompleted), read: readCondition},
		{name: "restart", about: "restart this container after the other was replaced or restarted", schema: boolSchema, read: func(d *decoder, to *Dependency, n *node, key string) {
			to.Restart, _ = d.boolean(n, key)
		}},
		{name: "required", about: "false: go on without it", schema: boolSchema, read: func(d *decoder, to *Dependency, n *node, key string) {
			if required, ok := d.boolean(n, key); ok {
				to.Optional = !required
			}
		}},
	}
)

func readRestart(d *decoder, p *Profile, n *node, key string) {
	if n.kind == scalar && (n.text == "no" || n.text == "false") {
		p.Restart = ""
		return
	}
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	word, times, _ := strings.Cut(s, ":")
	most, err := strconv.ParseInt(times, 10, 32)
	switch {
	case !restartForm.MatchString(s), times != "" && err != nil:
		d.bad(n, key, "write no, always, unless-stopped, on-failure, or on-failure:3", "%q is not known", s)
	case times != "" && most == 0: // docker's on-failure:0 has no bound
		p.Restart = word
	default:
		p.Restart = s
	}
}

func readHealthcheck(d *decoder, p *Profile, n *node, key string) {
	var h Healthcheck
	if p.Healthcheck != nil {
		h = *p.Healthcheck
	}
	var kinds []string
	if n.kind == mapping {
		for _, pair := range n.pairs {
			if contains(probes, pair.key) {
				kinds = append(kinds, pair.key)
			}
		}
	}
	if len(kinds) > 0 { // of the file that this one extends
		h.Test, h.HTTP, h.TCP, h.Log, h.GPU = nil, "", "", "", false
	}
	if !readFields(d, &h, n, key, healthFields) {
		return
	}
	if len(kinds) > 1 {
		d.bad(n, key, "keep one of them", "%s: only one of them can say what healthy means", strings.Join(kinds, " and "))
		return
	}
	p.Healthcheck = &h
}

// finishHealthcheck removes one that is switched off, and wants a probe where no image can have one.
func (d *decoder) finishHealthcheck() {
	p := d.profile
	h := p.Healthcheck
	switch {
	case h == nil:
	case len(h.Test) > 0 && h.Test[0] == "NONE":
		p.Healthcheck, p.NoHealthcheck = nil, true
	case h.GPU && len(p.GPUs)+len(p.NPUs) == 0 && !p.namesAccelerators():
		d.badAt(d.place("healthcheck.gpu", "healthcheck"), "healthcheck.gpu", "add gpus: or npus:, or another probe", "the profile asks for no GPU and no NPU")
	case !h.Probes():
		for _, probe := range probes {
			if _, tried := p.Lines["healthcheck."+probe]; tried { // and has been reported
				p.Healthcheck = nil
				return
			}
		}
		if p.Rootfs != "" {
			d.badAt(p.Lines["healthcheck"], "healthcheck", "add test:, http:, tcp:, log: or gpu:", "nothing says what healthy means")
		}
	}
}

// namesAccelerators reports whether an entry of devices is one.
func (p *Profile) namesAccelerators() bool {
	for _, v := range p.Devices {
		if v.Accelerator() {
			return true
		}
	}
	return false
}

func readTest(d *decoder, h *Healthcheck, n *node, key string) {
	const remedy = "write a line for the shell, or [CMD, word...], [CMD-SHELL, line] or [NONE]"
	if n.kind == scalar {
		if s, ok := d.text(n, key); ok {
			h.Test = []string{"CMD-SHELL", s}
		}
		return
	}
	if n.kind != list {
		d.bad(n, key, remedy, "expected a command, got %s", n.describe())
		return
	}
	var words []string
	for i, item := range n.items {
		if item.kind != scalar || item.tag == "null" {
			d.bad(item, index(key, i), "write one value", "expected text, got %s", item.describe())
			return
		}
		words = append(words, item.text)
	}
	switch {
	case len(words) == 0:
		d.bad(n, key, remedy, "the command is empty")
	case words[0] == "NONE" && len(words) == 1, words[0] == "CMD" && len(words) > 1, words[0] == "CMD-SHELL" && len(words) == 2:
		h.Test = words
	case words[0] == "CMD", words[0] == "CMD-SHELL", words[0] == "NONE":
		d.bad(n, key, remedy, "%s is followed by %d words", words[0], len(words)-1)
	default:
		d.bad(n, key, remedy, "a list begins with CMD, CMD-SHELL or NONE, not with %q", abridged(words[0]))
	}
}

func readRetries(d *decoder, h *Healthcheck, n *node, key string) {
	v, ok := d.integer(n, key)
	switch {
	case !ok:
	case v < 1 || v > 1000:
		d.bad(n, key, "write a number from 1 to 1000", "%d is no number of tries", v)
	default:
		h.Retries = int(v)
	}
}

// readDuration reads one that is not negative; 0 is the default.
func readDuration(at func(*Healthcheck) *time.Duration) func(*decoder, *Healthcheck, *node, string) {
	return func(d *decoder, h *Healthcheck, n *node, key string) {
		if v, ok := d.duration(n, key); ok {
			*at(h) = v
		}
	}
}

func readDependsOn(d *decoder, p *Profile, n *node, key string) {
	switch n.kind {
	case list:
		d.texts(n, key, false, func(item *node, s string) {
			at := index(key, len(p.DependsOn))
			d.dependency(p, item, Dependency{Name: s, Condition: DependStarted, Key: at})
		})
	case mapping:
		for _, pair := range n.pairs {
			one := Dependency{Name: pair.key, Condition: DependStarted, Key: join(key, pair.key)}
			if pair.value.kind == scalar && pair.value.tag == "null" || readFields(d, &one, pair.value, one.Key, dependencyFields) {
				d.dependency(p, &node{pos: pair.pos}, one)
			}
		}
	default:
		d.bad(n, key, "write a list of profiles, or a mapping: db: {condition: healthy}", "expected a list or a mapping of profiles, got %s", n.describe())
	}
}

// dependency adds one, or puts it in the place of that of the same name.
func (d *decoder) dependency(p *Profile, n *node, one Dependency) {
	if !NameForm.MatchString(one.Name) {
		d.bad(n, one.Key, "name a profile", "%q is no name of a profile", abridged(one.Name))
		return
	}
	if one.Name == d.profile.Name {
		d.bad(n, one.Key, "remove it", "a profile can't depend on itself")
		return
	}
	for i, have := range p.DependsOn {
		if have.Name != one.Name {
			continue
		}
		if d.levels[have.Key] == d.level && d.levels["depends_on:"+one.Name] == d.level+1 {
			d.bad(n, one.Key, "remove one of the two", "%q stands twice", one.Name)
			return
		}
		one.Key = have.Key
		p.DependsOn[i] = one
		d.mark(one.Key, n.pos)
		return
	}
	d.mark(one.Key, n.pos)
	d.levels["depends_on:"+one.Name] = d.level + 1
	p.DependsOn = append(p.DependsOn, one)
}

func readCondition(d *decoder, to *Dependency, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	switch short := strings.TrimPrefix(s, "service_"); short {
	case DependStarted, DependHealthy, DependCompleted:
		to.Condition = short
	default:
		d.bad(n, key, fmt.Sprintf("write one of: %s, %s, %s", DependStarted, DependHealthy, DependCompleted), "%q is not known", s)
	}
}

// Span writes a duration in nanoseconds as people do: "1m30s". It is for packages that may not know the time.
func Span(nanoseconds int64) string { return time.Duration(nanoseconds).String() }
