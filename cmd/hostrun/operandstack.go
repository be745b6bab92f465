package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// This file finds the containers that a word means: one by its name, the replicas of a profile, or those of a stack's file.

// stackHere is the stack that a command without names is about: that of the directory where it is typed; nil for none.
func (s *session) stackHere() *profiles.Stack {
	for _, name := range profiles.StackFiles {
		if _, err := os.Stat(s.abs(name)); err != nil {
			continue
		}
		if st := profiles.ReadStack(s.profileOptions(), "./"+name); st != nil {
			return st
		}
	}
	return nil
}

// composeHere is the compose file of the directory where a command is typed, of those that have compose's names; "" for none.
func (s *session) composeHere() string {
	for _, name := range composeNames {
		if _, err := os.Stat(s.abs(name)); err == nil {
			return name
		}
	}
	return ""
}

// eachOfStacks puts the profiles of a stack in the place of its file.
func (s *session) eachOfStacks(names []string) []string {
	var all []string
	for _, name := range names {
		st := (*profiles.Stack)(nil)
		if containerName(name) != name {
			st = profiles.ReadStack(s.profileOptions(), name)
		}
		if st == nil {
			all = append(all, name)
			continue
		}
		for _, one := range st.Profiles {
			all = append(all, st.Member(one))
		}
	}
	return all
}

// withStackHere lets a line without names mean the stack of this directory, as docker compose does.
func (s *session) withStackHere() {
	if len(s.line.names) > 0 {
		return
	}
	if st := s.stackHere(); st != nil {
		s.line.names = []string{"./" + filepath.Base(st.File)}
	}
}

// meant returns the containers that a word means, and the stack if it is one's file.
func (s *session) meant(ctx context.Context, word string) ([]resident, *profiles.Stack, error) {
	name := containerName(word)
	path := strings.ContainsRune(word, '/') || name != word
	traces := s.tracesOf(name)
	if !path && len(traces) == 0 && !s.traceOf(name) { // a stack among the profiles may be called by its name alone
		path = profiles.ReadStack(s.profileOptions(), name) != nil
	}
	if path {
		if st := s.stackAt(word); st != nil {
			of, err := s.containersOf(ctx, st)
			return of, st, err
		}
	}
	if len(traces) == 0 || slices.Equal(traces, []string{name}) {
		return []resident{{name: name}}, nil, nil
	}
	all, err := s.list(ctx)
	if err != nil && len(all) == 0 {
		return nil, nil, err
	}
	var found []resident
	for _, c := range all {
		if id := c.Container.Container; id == name || c.Profile == name && isReplica(id, name) {
			found = append(found, resident{id, c.client})
		}
	}
	sortReplicas(found)
	if len(found) == 0 {
		return []resident{{name: name}}, nil, nil
	}
	return found, nil, nil
}

// sortReplicas puts web-2 before web-10.
func sortReplicas(all []resident) {
	slices.SortStableFunc(all, func(a, b resident) int {
		if len(a.name) != len(b.name) {
			return len(a.name) - len(b.name)
		}
		return strings.Compare(a.name, b.name)
	})
}

// stackAt returns the stack that a word leads to; one whose file is gone is known by its containers.
func (s *session) stackAt(word string) *profiles.Stack {
	if st := profiles.ReadStack(s.profileOptions(), word); st != nil {
		return st
	}
	path := s.abs(word)
	if _, err := os.Stat(path); err == nil || !strings.HasSuffix(word, ".yaml") && !strings.HasSuffix(word, ".yml") {
		return nil
	}
	return &profiles.Stack{Name: word, File: path}
}

// containersOf are those that were started from a stack's file: of the profiles that are in it, or of all where the file is gone.
func (s *session) containersOf(ctx context.Context, st *profiles.Stack) ([]resident, error) {
	all, err := s.list(ctx)
	if err != nil && len(all) == 0 {
		return nil, err
	}
	var found []resident
	for _, c := range all {
		if c.StackFile == st.File && (st.Profiles == nil || slices.Contains(st.Profiles, c.Profile)) {
			found = append(found, resident{c.Container.Container, c.client})
		}
	}
	// One whose containerd is away may be of this stack: who acts on it hears where it runs.
	for _, one := range s.unseen(ctx, all) {
		if slices.ContainsFunc(st.Profiles, func(profile string) bool { return one.name == profile || isReplica(one.name, profile) }) {
			found = append(found, resident{name: one.name})
		}
	}
	if len(found) == 0 && st.Profiles == nil {
		return []resident{{name: containerName(st.Name)}}, nil // a file that is not there, by whose name a container may be meant
	}
	return found, nil
}

// orphansOf are the containers of a stack whose profiles are in its file no more.
func orphansOf(all []listed, st *profiles.Stack) []resident {
	var found []resident
	for _, c := range all {
		if c.StackFile == st.File && st.Profiles != nil && !slices.Contains(st.Profiles, c.Profile) {
			found = append(found, resident{c.Container.Container, c.client})
		}
	}
	return found
}

// noteOrphans tells of containers whose profile is gone from their stack, and from which file.
func (s *session) noteOrphans(all []listed) {
	files := map[string][]listed{}
	for _, c := range all {
		if c.StackFile != "" {
			files[c.StackFile] = append(files[c.StackFile], c)
		}
	}
	for file, of := range files {
		st := profiles.ReadStack(s.profileOptions(), file)
		switch {
		case st != nil:
			if orphans := orphansOf(of, st); len(orphans) > 0 {
				s.note("%s: %s has no such profile any more; hostrun up %s --remove-orphans ends them", namesOf(orphans), file, file)
			}
		case noFile(file):
			s.note("%s: the stack's file %s is gone; hostrun down %s ends them", namesOf(residents(of)), file, file)
		}
	}
}

func noFile(path string) bool {
	_, err := os.Stat(path)
	return os.IsNotExist(err)
}

func residents(all []listed) []resident {
	found := make([]resident, len(all))
	for i, c := range all {
		found[i] = resident{c.Container.Container, c.client}
	}
	return found
}

// theOne returns the one container that a word means; index chooses among replicas, 0 for the first.
func (s *session) theOne(ctx context.Context, word string, index int) (resident, error) {
	of, st, err := s.meant(ctx, word)
	if err != nil {
		return resident{}, err
	}
	if st != nil {
		return resident{}, finding.Errorf(finding.StatusUsage, "name one of its containers: "+namesOf(of), "%s: %s is a stack", s.line.title(), word)
	}
	one := of[0]
	if index > 0 {
		name := replicaName(containerName(word), index)
		i := slices.IndexFunc(of, func(r resident) bool { return r.name == name })
		if i < 0 {
			return one, finding.Errorf(finding.StatusFailed, "it has "+namesOf(of), "container %s: there is no replica %d", containerName(word), index)
		}
		one = of[i]
	}
	if one.client == nil {
		one.client, err = s.home(ctx, one.name)
	}
	return one, err
}

// say prints a line of what was done to stdout.
func (s *session) say(format string, args ...any) {
	if s.global.quiet {
		return
	}
	s.progress.pause()
	fmt.Fprintf(s.stdout, format+"\n", args...)
}
