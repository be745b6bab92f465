package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// group makes the members of a profile: one, or its replicas. one is for a container that is alone whatever the profile says.
func (st *stack) group(ctx context.Context, name string, p *profiles.Profile, one bool) (*group, error) {
	g := &group{profile: p}
	wanted, scaled := st.opt.scale[p.Name]
	switch {
	case one || !scaled && p.Replicas == nil:
		g.members = []*member{{id: p.Name, name: name, profile: p, done: make(chan struct{})}}
		return g, nil
	case scaled:
		if err := scalable(p, wanted); err != nil {
			return nil, err
		}
	case !p.Replicas.PerDevice:
		wanted = p.Replicas.Count
	}
	g.counted = true
	var each []profiles.Accelerator
	if p.Replicas != nil && p.Replicas.PerDevice {
		var err error
		if each, err = st.s.perDevice(ctx, p); err != nil {
			return nil, err
		}
		if !scaled {
			wanted = len(each)
		} else if wanted > len(each) {
			return nil, finding.Errorf(finding.StatusNoDevice, "hostrun devices lists them", "flag --scale: %s=%d: each container has one device, and there are %d", p.Name, wanted, len(each))
		}
	}
	if err := profiles.CheckReplicas(p, wanted); err != nil {
		return nil, err
	}
	prepared := &preparation{done: map[string]func() error{}}
	for i := 1; i <= wanted; i++ {
		replica := replicaOf(p, i)
		if each != nil {
			giveOne(replica, each[i-1])
		}
		g.members = append(g.members, &member{id: replicaName(p.Name, i), replica: i, name: name, profile: replica, prepared: prepared, done: make(chan struct{})})
	}
	return g, nil
}

func scalable(p *profiles.Profile, wanted int) error {
	if _, named := p.Lines["container_name"]; named && wanted != 1 {
		return finding.Errorf(finding.StatusProfile, "remove it", "%s: flag --scale: %s=%d, and container_name: in %s:%d can be that of one alone",
			finding.ReplicaName, p.Name, wanted, p.Lines["container_name"].File, p.Lines["container_name"].Line)
	}
	return nil
}

func replicaName(profile string, i int) string { return profile + "-" + strconv.Itoa(i) }

// replicaVariable tells a replica which it is: with the host's network each needs a port of its own.
const replicaVariable = "HOSTRUN_REPLICA"

// replicaOf is the profile of one replica.
func replicaOf(p *profiles.Profile, i int) *profiles.Profile {
	one := *p
	one.Environment = slices.DeleteFunc(slices.Clone(p.Environment), func(v profiles.EnvVar) bool { return v.Name == replicaVariable })
	one.Environment = append(one.Environment, profiles.EnvVar{Name: replicaVariable, Value: strconv.Itoa(i)})
	return &one
}

// perDevice returns the requests of each container of a profile with replicas: per-device, one device in each: those that it names,
// else as many as the machine has of what it asks for.
func (s *session) perDevice(ctx context.Context, p *profiles.Profile) ([]profiles.Accelerator, error) {
	request := append(slices.Clone(p.GPUs), p.NPUs...)[0] // there is one: the profile was checked
	var all []profiles.Accelerator
	if len(request.IDs) > 0 {
		for _, id := range request.IDs {
			one := request
			one.IDs = []string{id}
			all = append(all, one)
		}
		return all, nil
	}
	e := s.equipment(plan.Asks(p))
	have, err := e.lookAgain(ctx)
	if err != nil {
		return nil, err
	}
	every := e.asks[0]
	every.All, every.Count, every.Idle, every.SameLink, every.Optional = true, 0, false, false, false
	for _, inv := range have {
		if inv.Kind != every.Kind {
			continue
		}
		chosen, found := devices.Choose(inv, []devices.Ask{every}, devices.State{})
		if stop := finding.Errors(found); len(stop) > 0 {
			return nil, &plan.Refused{Profile: p.Name, Findings: stop}
		}
		for range chosen[0] {
			one := request
			one.All, one.Count = false, 1
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return nil, &plan.Refused{Profile: p.Name, Findings: e.lacking(nil)}
	}
	return all, nil
}

func giveOne(p *profiles.Profile, request profiles.Accelerator) {
	if len(p.GPUs) > 0 {
		p.GPUs = []profiles.Accelerator{request}
	} else {
		p.NPUs = []profiles.Accelerator{request}
	}
}

// checkNames refuses two containers of one name: the first replica of web, and the profile web-1.
func (st *stack) checkNames() error {
	first := map[string]*member{}
	for _, m := range st.members {
		other := first[m.id]
		first[m.id] = m
		if other == nil {
			continue
		}
		if other.replica == 0 {
			m, other = other, m
		}
		at := other.profile.Lines["replicas"]
		if r := other.profile.Replicas; r != nil {
			at = other.profile.Lines[r.Key]
		}
		return &profiles.InvalidError{Problems: []profiles.Problem{{Position: at, Key: "replicas", ID: finding.NameOther, Remedy: "rename one of the two profiles",
			Message: fmt.Sprintf("replicas: container %d of the profile %s is called %s, as that of the profile %s is", other.replica, other.profile.Name, other.id, m.profile.Name)}}}
	}
	return nil
}

// surplus are the containers that the stack's profiles have had under another number of replicas. Directories tell whether it is worth
// asking.
func (st *stack) surplus(ctx context.Context) ([]resident, error) {
	var of []*group
	for name, g := range st.groups {
		wanted := map[string]bool{}
		for _, m := range g.members {
			wanted[m.id] = true
		}
		if slices.ContainsFunc(st.s.tracesOf(name), func(id string) bool { return !wanted[id] }) {
			of = append(of, g)
		}
	}
	if len(of) == 0 {
		return nil, nil
	}
	all, err := st.s.list(ctx)
	if err != nil {
		return nil, err
	}
	var more []resident
	for _, c := range all {
		for _, g := range of {
			if c.Profile == g.profile.Name && isReplica(c.Container.Container, c.Profile) &&
				!slices.ContainsFunc(g.members, func(m *member) bool { return m.id == c.Container.Container }) {
				more = append(more, resident{c.Container.Container, c.client})
			}
		}
	}
	return more, nil
}

// isReplica says whether a container of a profile is its one container or one of its replicas, rather than one of run.
func isReplica(id, profile string) bool {
	return id == profile || replicaNumber(id, profile) > 0
}

// replicaNumber is which replica of the profile a container of that name would be; 0 for none.
func replicaNumber(id, profile string) int {
	number, ok := strings.CutPrefix(id, profile+"-")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || strconv.Itoa(n) != number {
		return 0
	}
	return n
}

// tracesOf are the names of directories that containers of that profile may have: its own name, and those of replicas.
func (s *session) tracesOf(profile string) []string {
	entries, err := os.ReadDir(s.containersDir())
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if isReplica(e.Name(), profile) {
			names = append(names, e.Name())
		}
	}
	return names
}

// removeSurplus ends them before others are started, which may need their devices and ports.
func (st *stack) removeSurplus(ctx context.Context) error {
	more, err := st.surplus(ctx)
	if err != nil || len(more) == 0 {
		return err
	}
	return st.s.onEach(ctx, more, func(client *runtime.Client, name string) error {
		if err := client.Down(ctx, name, nil); err != nil {
			return err
		}
		st.s.say("%s removed", name)
		return nil
	})
}

// scales reads --scale NAME=N.
func scales(words cli.StringSlice) (map[string]int, error) {
	all := map[string]int{}
	for _, word := range words.Value() {
		name, number, ok := strings.Cut(word, "=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || n > 1000 || name == "" {
			return nil, finding.Errorf(finding.StatusUsage, "write --scale NAME=NUMBER", "flag --scale: %q names no profile and number", word)
		}
		all[name] = n
	}
	return all, nil
}
