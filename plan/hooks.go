package plan

import (
	"encoding/json"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// A Hook is a command of the profile's post_start or pre_stop.
type Hook struct {
	Name       string   `json:"name"` // for people: "post_start[0]". No line: a comment above it makes no other container
	Args       []string `json:"args"`
	Env        []string `json:"env,omitempty"`
	User       string   `json:"user,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
}

// Hooks are a container's, as AnnotationHooks holds them.
type Hooks struct {
	PreStart  []profiles.Hook `json:"pre_start,omitempty"` // they make the container another one, and run before it is there
	PostStart []Hook          `json:"post_start,omitempty"`
	PreStop   []Hook          `json:"pre_stop,omitempty"`
}

// AnnotationHooks is the annotation of the spec that holds the container's hooks: a label would be too small.
const AnnotationHooks = "hostrun.dev/hooks"

// Hook kinds, as LabelHooks lists them.
const (
	HookPostStart = "post_start"
	HookPreStop   = "pre_stop"
)

// annotateHooks keeps the hooks with the container. A one-off container has none.
func (b *builder) annotateHooks() {
	h := Hooks{PreStart: b.p.PreStart, PostStart: b.hooks(b.p.PostStart), PreStop: b.hooks(b.p.PreStop)}
	for _, one := range append(append(append([]profiles.Hook{}, b.p.PreStart...), b.p.PostStart...), b.p.PreStop...) {
		if one.Privileged {
			b.report(one.Key, finding.Finding{ID: finding.PrivilegedUsed, Severity: finding.Warning, Subject: one.Key,
				Message: "privileged: true gives the command every right on this machine", Remedy: "remove it, or name the capability under cap_add:"})
		}
	}
	if b.oneOff() || len(h.PreStart)+len(h.PostStart)+len(h.PreStop) == 0 {
		return
	}
	text, err := json.Marshal(h)
	if err != nil { // it is text
		panic("plan: hooks are no JSON: " + err.Error())
	}
	b.spec.Annotations[AnnotationHooks] = string(text)
	b.plan.Origins["/annotations/"+strings.ReplaceAll(AnnotationHooks, "/", "~1")] = "profile " + b.p.Name
}

func (b *builder) hooks(list []profiles.Hook) []Hook {
	var all []Hook
	for _, h := range list {
		one := Hook{Name: h.Key, User: h.User, WorkingDir: h.WorkingDir, Privileged: h.Privileged}
		if h.Command != nil {
			one.Args = *h.Command
		}
		for _, v := range h.Environment {
			one.Env = append(one.Env, v.Name+"="+v.Value)
		}
		all = append(all, one)
	}
	return all
}

// setHookLabel tells without a look into the spec which hooks there are.
func (b *builder) setHookLabel() {
	var kinds []string
	if len(b.p.PostStart) > 0 {
		kinds = append(kinds, HookPostStart)
	}
	if len(b.p.PreStop) > 0 {
		kinds = append(kinds, HookPreStop)
	}
	if len(kinds) > 0 && !b.oneOff() {
		b.plan.Labels[LabelHooks] = strings.Join(kinds, ",")
	}
}
