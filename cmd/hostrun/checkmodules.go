package main

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/finding"
)

func strictFlag(into *bool) cli.Flag {
	return &cli.BoolFlag{Name: "strict", Usage: "refuse what else would only be warned of: borrowed modules that would not load", Destination: into}
}

// profileText is the profile that --host stands for; "" without it.
func (o checkOptions) profileText() (string, error) {
	switch {
	case o.host == "":
		return "", nil
	case o.over.image == "" || o.facts != "":
		return "", finding.Errorf(finding.StatusUsage, "hostrun check --host /opt/venv --image python:3.11-slim", "flag --host stands for a profile: it needs --image, and no --facts")
	}
	quoted := func(s string) string {
		text, _ := json.Marshal(strings.ReplaceAll(s, "$", "$$"))
		return string(text)
	}
	// The command is none of Python's, so that nothing is said to be imported; each module counts by itself.
	return "image: " + quoted(o.over.image) + "\npython: " + quoted(o.host) + "\ncommand: [\"true\"]\n", nil
}

// A proofSummary is the proof as check --format json shows it.
type proofSummary struct {
	Libc       string               `json:"libc"`
	Floor      string               `json:"floor,omitempty"`
	FloorBy    string               `json:"floor_by,omitempty"`
	Counts     proof.Counts         `json:"counts"`
	Missing    []proof.Library      `json:"missing,omitempty"`
	Unchecked  int                  `json:"unchecked"` // places that files do not tell of; the first of them:
	NotChecked []imports.NotChecked `json:"not_checked,omitempty"`
	ElapsedMS  float64              `json:"elapsed_ms"`
	Cached     bool                 `json:"cached"`
}

func summaryOf(r *proof.Report) *proofSummary {
	if r == nil {
		return nil
	}
	return &proofSummary{Libc: r.Libc, Floor: r.Floor, FloorBy: r.FloorBy, Counts: r.Counts, Missing: r.Missing, Unchecked: r.Unchecked, NotChecked: r.NotChecked,
		ElapsedMS: r.ElapsedMS, Cached: r.Cached}
}

// lists are the words of --only besides verdicts.
var lists = []string{"failing", "imported"}

// verdicts are those of a module, in the order of documents.
var verdicts = []proof.Verdict{proof.OK, proof.IgnoredSuffix, proof.Conditional, proof.Missing, proof.Version, proof.Undefined, proof.Arch, proof.Corrupt, proof.Gate}

// checkLists refuses flags that mean nothing together, and words that --only does not know.
func (o checkOptions) checkLists() error {
	switch {
	case o.modules && o.distributions:
		return finding.Errorf(finding.StatusUsage, "hostrun check --distributions NAME", "flags --modules and --distributions are two lists: ask for one at a time")
	case o.only != "" && !o.modules && !o.distributions:
		return finding.Errorf(finding.StatusUsage, "hostrun check --modules --only failing NAME", "flag --only chooses rows of --modules or --distributions")
	}
	for word := range strings.SplitSeq(o.only, ",") {
		if o.only != "" && !slices.Contains(lists, word) && !slices.Contains(verdicts, proof.Verdict(word)) {
			return finding.Errorf(finding.StatusUsage, "it knows "+strings.Join(lists, ", ")+fmt.Sprintf(" and the verdicts %v", verdicts), "flag --only: %q is none of its words", word)
		}
	}
	return nil
}

// wanted says whether --only takes a row. Words of verdicts, failing among them, are alternatives; imported is a condition of its own.
func wanted(only string, v proof.Verdict, imported bool) bool {
	if only == "" {
		return true
	}
	words := strings.Split(only, ",")
	if at := slices.Index(words, "imported"); at >= 0 {
		if words = slices.Delete(words, at, at+1); !imported || len(words) == 0 {
			return imported
		}
	}
	return slices.ContainsFunc(words, func(word string) bool { return word == string(v) || word == "failing" && v.Fails() })
}

// A moduleRow is one object of check --modules --format json; the form is part of the contract.
type moduleRow struct {
	Schema       int           `json:"schema"`
	Module       string        `json:"module"`
	Path         string        `json:"path"`
	Distribution string        `json:"distribution"` // that brought it; "" where none was found
	Side         string        `json:"side"`         // "host" or "image"
	Verdict      proof.Verdict `json:"verdict"`
	Reach        string        `json:"reach"` // "" for what the command is not seen to import
	Message      string        `json:"message"`
	Provider     string        `json:"provider"`
	Remedy       string        `json:"remedy"`
}

var moduleTable = table[moduleRow]{header: []string{"VERDICT", "IMPORTED", "MODULE", "MESSAGE"}, cells: func(m moduleRow) []string {
	return []string{string(m.Verdict), dash(m.Reach), m.Module, dash(toldMessage(m.Verdict, m.Message, m.Provider))}
}}

// toldMessage is what Python prints; of what depends on the order of loading it is what must come before.
func toldMessage(v proof.Verdict, message, provider string) string {
	if v == proof.Conditional && provider != "" {
		return "loads once " + path.Base(provider) + " is loaded"
	}
	return message
}

func moduleRows(results []checkResult, only string) []moduleRow {
	var rows []moduleRow
	for _, r := range results {
		for _, m := range proof.Sorted(modulesOf(r)) {
			if wanted(only, m.Verdict, m.Reach != "") {
				rows = append(rows, moduleRow{1, m.Name, m.Path, m.Owner.Name, m.Side, m.Verdict, string(m.Reach), m.Message, m.Provider, m.Remedy})
			}
		}
	}
	return rows
}

// modulesOf are all of a proof; of a recording, those that it holds.
func modulesOf(r checkResult) []proof.Module {
	switch {
	case r.facts.Proof == nil:
		return nil
	case r.facts.Proof.All == nil:
		all := slices.Clone(r.facts.Proof.Modules)
		for i := range all {
			all[i].Owner.Dir = path.Dir(all[i].Path)
		}
		return all
	}
	return r.facts.Proof.All
}

// A distributionRow is one object of check --distributions --format json; the form is part of the contract.
type distributionRow struct {
	Schema       int           `json:"schema"`
	Distribution string        `json:"distribution"` // "" for modules of none, which lie together in a directory
	Version      string        `json:"version"`
	Directory    string        `json:"directory"` // of the side that it lies on: the site directory, or that of the modules
	Side         string        `json:"side"`      // "host" or "image"
	Verdict      proof.Verdict `json:"verdict"`   // the worst of its modules, of those that are imported first
	Modules      int           `json:"modules"`   // native ones
	Failing      int           `json:"failing"`
	Conditional  int           `json:"conditional"`
	Reached      bool          `json:"reached"`  // the command imports it
	Module       string        `json:"module"`   // the first with that verdict
	Message      string        `json:"message"`  // its message
	Provider     string        `json:"provider"` // conditional: the file that must be loaded before
	Remedy       string        `json:"remedy"`
}

var distributionTable = table[distributionRow]{header: []string{"VERDICT", "IMPORTED", "DISTRIBUTION", "SIDE", "MODULES", "FAIL", "FIRST MESSAGE"}, cells: func(d distributionRow) []string {
	name, reached := strings.TrimSpace(d.Distribution+" "+d.Version), ""
	if d.Distribution == "" {
		name = "(" + d.Directory + ")"
	}
	if d.Reached {
		reached = "yes"
	}
	return []string{string(d.Verdict), dash(reached), name, d.Side, fmt.Sprint(d.Modules), fmt.Sprint(d.Failing), dash(toldMessage(d.Verdict, d.Message, d.Provider))}
}}

func distributionRows(results []checkResult, only string) []distributionRow {
	var rows []distributionRow
	for _, r := range results {
		report := proof.Report{All: modulesOf(r)}
		if r.facts.Proof != nil {
			report.Imported = r.facts.Proof.Imported
		}
		for _, d := range report.Distributions() {
			if !wanted(only, d.Verdict, d.Reached) {
				continue
			}
			row := distributionRow{Schema: 1, Distribution: d.Name, Version: d.Version, Directory: d.Dir, Side: d.Side, Verdict: d.Verdict, Modules: d.Modules,
				Failing: d.Failing, Conditional: d.Conditional, Reached: d.Reached, Module: d.First.Name, Message: d.First.Message, Provider: d.First.Provider, Remedy: d.First.Remedy}
			if d.Verdict == proof.OK {
				row.Module = ""
			}
			rows = append(rows, row)
		}
	}
	return rows
}
