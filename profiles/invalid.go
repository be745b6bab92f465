package profiles

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// A Problem is one thing that is wrong with a profile.
type Problem struct {
	Position
	Key     string // the key's path, as in Profile.Lines; "" when no key is concerned
	ID      string // finding.ProfileInvalid, or finding.ProfileNotYet
	Status  int    // exit status of its class; 0 is finding.StatusProfile
	Message string // without the place
	Remedy  string // what to type; may be empty
	Read    string // what YAML makes of the value, where that is another text than the one written: it is what compose takes
}

// An InvalidError is every problem of a profile, in the order of its lines. It unwraps to a *finding.Err, which carries
// the exit status and the remedies as hint.
type InvalidError struct {
	Problems []Problem
}

// Error returns a line for each problem: "path:line: message".
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("%s: %s", p.place(), p.Message)
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the *finding.Err with the status and the hint of the whole.
func (e *InvalidError) Unwrap() error {
	return &finding.Err{Err: errors.New("read the profile: it is invalid"), Hint: e.hint(), Status: e.status()}
}

// status is that of missing files only where nothing else is wrong: a wrong profile has to be corrected first.
func (e *InvalidError) status() int {
	status := 0
	for _, p := range e.Problems {
		s := p.Status
		if s == 0 {
			s = finding.StatusProfile
		}
		if status != 0 && s != status {
			return finding.StatusProfile
		}
		status = s
	}
	return status
}

// hint is a line for each remedy, with the lines of the file that it is for where there are several problems.
func (e *InvalidError) hint() string {
	var remedies []string
	places := map[string][]string{}
	for _, p := range e.Problems {
		if p.Remedy == "" {
			continue
		}
		if places[p.Remedy] == nil {
			remedies = append(remedies, p.Remedy)
		}
		if at := e.shortPlace(p); !contains(places[p.Remedy], at) {
			places[p.Remedy] = append(places[p.Remedy], at)
		}
	}
	for i, remedy := range remedies {
		at := strings.Join(places[remedy], ", ")
		switch {
		case len(e.Problems) == 1:
		case len(places[remedy]) > 1 && strings.HasPrefix(at, "line "):
			remedies[i] = "lines " + strings.ReplaceAll(at, "line ", "") + ": " + remedy
		default:
			remedies[i] = at + ": " + remedy
		}
	}
	return strings.Join(remedies, "\n")
}

// shortPlace is p's line, with the file where there are several.
func (e *InvalidError) shortPlace(p Problem) string {
	for _, other := range e.Problems {
		if other.File != p.File {
			return p.place()
		}
	}
	return "line " + strconv.Itoa(p.Line)
}

// Findings returns the problems as findings (HR001, HR002).
func (e *InvalidError) Findings() []finding.Finding {
	all := make([]finding.Finding, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = finding.Finding{
			ID: p.ID, Severity: finding.Error, Subject: p.Key, Message: p.Message, Remedy: p.Remedy,
			File: p.File, Line: p.Line,
		}
		if all[i].Subject == "" {
			all[i].Subject = p.File
		}
	}
	return all
}

func (p Position) place() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// maxProblems bounds a report: beyond it the file is something else than a profile.
const maxProblems = 100

// A report collects the problems of one load.
type report struct {
	problems []Problem
	added    int             // problems, those passed over included
	seen     map[string]bool // an anchor's content is read wherever it is used, and reported once
}

func (r *report) full() bool { return len(r.problems) >= maxProblems }

func (r *report) add(p Problem) {
	if p.ID == "" {
		p.ID = finding.ProfileInvalid
	}
	r.added++
	key := fmt.Sprintf("%s:%d:%d:%s", p.File, p.Line, p.Column, p.Message)
	if r.seen[key] || r.full() {
		return
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[key] = true
	r.problems = append(r.problems, p)
}

// err returns the *InvalidError, or nil. Problems are sorted by file in the order of reading, then by line.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	order := map[string]int{}
	for _, p := range r.problems {
		if _, ok := order[p.File]; !ok {
			order[p.File] = len(order)
		}
	}
	sort.SliceStable(r.problems, func(i, j int) bool {
		a, b := r.problems[i], r.problems[j]
		if a.File != b.File {
			return order[a.File] < order[b.File]
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return &InvalidError{Problems: r.problems}
}
