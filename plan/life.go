package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// setLifeLabels keeps with the container what hostrun supervise does for it. A one-off container has a person who looks
// after it.
func (b *builder) setLifeLabels() {
	if b.oneOff() {
		return
	}
	switch {
	case b.f.Unit != nil: // the service is started again, not the container
		b.plan.Labels[LabelUnit] = b.f.Unit.Label()
	case b.p.Restart != "":
		b.plan.Labels[LabelRestart] = b.p.Restart
	}
	if b.health != "" {
		b.plan.Labels[LabelHealthcheck] = b.health
	}
}

// setHealthcheck settles what health is, in the form that the record keeps.
func (b *builder) setHealthcheck() {
	check := b.healthcheck()
	if check == nil || b.oneOff() {
		return
	}
	text, err := json.Marshal(check)
	if err != nil { // it is text and numbers
		panic("plan: a healthcheck is no JSON: " + err.Error())
	}
	if len(LabelHealthcheck)+len(text) > maxLabel {
		b.report("healthcheck", finding.Finding{
			ID: finding.HealthcheckLong, Severity: finding.Error, Subject: "healthcheck",
			Got: fmt.Sprintf("%d bytes", len(text)), Want: fmt.Sprintf("at most %d", maxLabel-len(LabelHealthcheck)),
			Message: "the healthcheck is too long to be kept with the container",
			Remedy:  "put the command into a script, in the image or in a volume, and call that",
		})
		return
	}
	b.health = string(text)
}

// healthcheck is the profile's, with what it leaves to the image's HEALTHCHECK by docker's rules (moby, daemon/commit.go, merge): each
// of the command and the numbers that it does not say. nil without any.
func (b *builder) healthcheck() *profiles.Healthcheck {
	image, own := b.f.Image.Healthcheck, b.p.Healthcheck
	if b.p.NoHealthcheck {
		return nil
	}
	if own == nil {
		return image
	}
	check := *own
	if image != nil {
		if !check.Probes() {
			check.Test = image.Test
		}
		check.Interval = cmp.Or(check.Interval, image.Interval)
		check.Timeout = cmp.Or(check.Timeout, image.Timeout)
		check.StartPeriod = cmp.Or(check.StartPeriod, image.StartPeriod)
		check.StartInterval = cmp.Or(check.StartInterval, image.StartInterval)
		check.Retries = cmp.Or(check.Retries, image.Retries)
	}
	if !check.Probes() {
		b.report("healthcheck", finding.Finding{ID: finding.HealthUntested, Severity: finding.Error, Subject: "healthcheck", Got: "no HEALTHCHECK in " + b.f.Image.Reference,
			Message: "nothing says what healthy means: healthcheck has no test, and the image has no HEALTHCHECK", Remedy: "add test:, http:, tcp:, log: or gpu:"})
		return nil
	}
	return &check
}

// setDependLabel lets down stop containers before those that they need.
func (b *builder) setDependLabel() {
	if b.oneOff() {
		return
	}
	var names []string
	for _, d := range b.p.DependsOn {
		if d.Restart {
			d.Name += "!"
		}
		names = append(names, d.Name)
	}
	text := strings.Join(names, ",")
	if text == "" || len(LabelDependsOn)+len(text) > maxLabel { // without it, down stops them side by side
		return
	}
	b.plan.Labels[LabelDependsOn] = text
}

// setStackLabels say what down ./stack.yaml and down -v have to know. A file that was moved is no reason to make a container anew.
func (b *builder) setStackLabels() {
	if b.oneOff() {
		return
	}
	if st := b.p.Stack; st != nil && len(LabelStack)+len(st.File) <= maxLabel && len(LabelStackName)+len(st.Name) <= maxLabel {
		b.plan.Labels[LabelStack], b.plan.Labels[LabelStackName] = st.File, st.Name
	}
	var external []string
	for _, v := range b.p.Volumes {
		if v.External {
			external = append(external, v.Source)
		}
	}
	if text := strings.Join(external, ","); text != "" && len(LabelExternal)+len(text) <= maxLabel {
		b.plan.Labels[LabelExternal] = text
	}
}

// oneOff says whether the container is one of run: it has a name of its own.
func (b *builder) oneOff() bool { return b.f.ID != "" && b.f.Replica == 0 }

// setLoggingLabel keeps with the container where its output goes. That of a one-off container goes to who started it.
func (b *builder) setLoggingLabel() {
	if b.p.Logging == nil || b.oneOff() {
		return
	}
	text, err := json.Marshal(b.p.Logging)
	if err != nil { // it is text and numbers
		panic("plan: logging is no JSON: " + err.Error())
	}
	b.plan.Labels[LabelLogging] = string(text)
}
