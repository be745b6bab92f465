package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

type checkOptions struct {
	over   overrides
	format string
	facts  string

	modules, distributions, strict, verbose, locked bool

	only string // of their rows
	host string // DIR or interpreter, instead of a profile
}

func checkCommand(s *session) *cli.Command {
	var o checkOptions
	return &cli.Command{
		Name: "check", Category: "prove", Usage: "prove that host and image fit; starts nothing", ArgsUsage: "NAME... [-- ARGS...]",
		Description: page{
			about: "Reads the profile, this machine and the image as files, and prints both sides, every finding, and what would be mounted. Nothing is " +
				"started, pulled, mounted or written. hostrun explain ID tells the story behind a finding.",
			examples: []string{"hostrun check dinov2", "hostrun check dinov2 --python /opt/venv/bin/python3", "hostrun check --modules --format json dinov2",
				"hostrun check --distributions --only failing dinov2",
				"hostrun check --host /opt/venv --image python:3.11-slim"},
			statuses: checkStatuses,
		}.on(s),
		Flags: append([]cli.Flag{
			formatFlag(&o.format),
			&cli.BoolFlag{Name: "modules", Usage: "list each native module with what the loader would say", Destination: &o.modules},
			&cli.BoolFlag{Name: "distributions", Usage: "list each distribution with native modules, by its worst", Destination: &o.distributions},
			&cli.StringFlag{Name: "only", Usage: "of such a list only `WHAT`: failing, imported, or a verdict; several with commas between", Destination: &o.only},
			&cli.StringFlag{Name: "host", Usage: "without a profile: what of the environment or interpreter `PATH` fits the image of --image", Destination: &o.host},
			strictFlag(&o.strict),
			lockedFlag(&o.locked),
			&cli.BoolFlag{Name: "verbose", Usage: "list each library that the host lends", Destination: &o.verbose},
			&cli.StringFlag{Name: "facts", Usage: "use the facts that hostrun facts NAME recorded in `FILE`", Destination: &o.facts},
		}, o.over.flags()...),
		Action: action(func(ctx context.Context) error { return runCheck(ctx, s, o) }),
	}
}

// A checkResult is one object of check --format json; the form is part of the contract.
type checkResult struct {
	Schema     int               `json:"schema"`
	Profile    string            `json:"profile"`
	Fits       bool              `json:"fits"`
	Findings   []finding.Finding `json:"findings"`
	Borrowed   []plan.Borrowed   `json:"borrowed"`
	ElapsedMS  float64           `json:"elapsed_ms"`
	Proof      *proofSummary     `json:"proof,omitempty"`
	Frameworks *frameworks.Facts `json:"frameworks,omitempty"` // that the command's Python would import

	title  string // instead of the profile's name, for a person
	facts  plan.Facts
	python abi.Python // of the image

	verbose bool
}

func runCheck(ctx context.Context, s *session, o checkOptions) error {
	if err := o.checkLists(); err != nil {
		return err
	}
	least := 1
	if o.facts != "" || o.host != "" {
		least = 0
	}
	text, err := o.profileText()
	if err != nil {
		return err
	}
	names, err := s.names(wants{what: "profile", min: least}, true)
	if err != nil {
		return err
	}
	names = s.eachOfStacks(names)
	if s.line.dashes {
		o.over.command = s.line.rest
	}
	if o.facts == "" && text == "" {
		if err := s.dependable(ctx, names); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		names = []string{""}
	}
	results := make([]checkResult, len(names))
	refusals := make([]error, len(names))
	for i, name := range names {
		began := time.Now()
		facts, pl, err := s.planned(ctx, order{name: name, text: text, over: o.over, pull: "never", modules: o.modules || o.distributions, strict: o.strict, locked: o.locked}, o.facts)
		var refused *plan.Refused
		if err != nil && (!errors.As(err, &refused) || pl.Spec == nil) {
			return err
		}
		refusals[i] = err
		results[i] = newCheckResult(facts, pl, err == nil, time.Since(began))
		results[i].verbose = o.verbose
		if o.host != "" {
			results[i].title = o.host + " in " + o.over.image
		}
	}
	s.progress.end()
	switch {
	case o.modules:
		err = show(s.stdout, o.format, moduleRows(results, o.only), moduleTable)
	case o.distributions:
		err = show(s.stdout, o.format, distributionRows(results, o.only), distributionTable)
	default:
		err = s.showChecks(o.format, results)
	}
	if err != nil {
		return err
	}
	if o.modules || o.distributions {
		s.tellUnproved(results)
	}
	return told(refusals)
}

// tellUnproved says why lists of modules are empty: what host and image are refused for is told before any module is
// looked at.
func (s *session) tellUnproved(results []checkResult) {
	for _, r := range results {
		if r.facts.Proof == nil && len(r.Findings) > 0 {
			s.writeFindings(r.Findings)
		}
		if r.facts.Proof == nil {
			s.note("%s: no native module was looked at: %s", r.Profile, whyUnproved(r))
		}
	}
}

func whyUnproved(r checkResult) string {
	if len(finding.Errors(r.Findings)) > 0 {
		return "the errors come first"
	}
	return "no packages are borrowed"
}

func (s *session) showChecks(format string, results []checkResult) error {
	if format != "table" {
		return show(s.stdout, format, results, table[checkResult]{})
	}
	for i, r := range results {
		if i > 0 {
			fmt.Fprintln(s.stdout)
		}
		s.writeCheck(r)
	}
	return nil
}

func newCheckResult(facts plan.Facts, pl plan.Plan, fits bool, took time.Duration) checkResult {
	return checkResult{
		Schema: 1, Profile: facts.Profile.Name, Fits: fits,
		Findings:   append([]finding.Finding{}, pl.Findings...),
		Borrowed:   append([]plan.Borrowed{}, pl.Borrowed...),
		ElapsedMS:  float64(took.Microseconds()) / 1000,
		Proof:      summaryOf(facts.Proof),
		Frameworks: pl.Frameworks,
		facts:      facts,
		python:     imagePython(facts, pl),
	}
}

// told is the exit status of refusals that have been printed as results.
func told(refusals []error) error {
	for _, err := range refusals {
		if err != nil {
			return ended(statusOf(err))
		}
	}
	return nil
}

// planned is assemble, or its replay from recorded facts.
func (s *session) planned(ctx context.Context, o order, recording string) (plan.Facts, plan.Plan, error) {
	if recording == "" {
		return s.assemble(ctx, o)
	}
	if o.locked {
		return plan.Facts{}, plan.Plan{}, finding.Errorf(finding.StatusUsage, "leave --locked away, or unset HOSTRUN_LOCKED", "recorded facts are of another time or machine, and are not compared with a lock")
	}
	facts, err := s.recorded(recording, o)
	if err != nil {
		return facts, plan.Plan{}, err
	}
	facts.Strict = facts.Strict || o.strict
	pl, err := plan.Build(facts)
	return facts, pl, err
}
