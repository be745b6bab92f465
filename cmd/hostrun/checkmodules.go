package main

import (
	"encoding/json"
	"strings"

	"github.com/urfave/cli/v2"

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
	Libc      string          `json:"libc"`
	Floor     string          `json:"floor,omitempty"`
	FloorBy   string          `json:"floor_by,omitempty"`
	Counts    proof.Counts    `json:"counts"`
	Missing   []proof.Library `json:"missing,omitempty"`
	Unchecked int             `json:"unchecked"`
	ElapsedMS float64         `json:"elapsed_ms"`
	Cached    bool            `json:"cached"`
}

func summaryOf(r *proof.Report) *proofSummary {
	if r == nil {
		return nil
	}
	return &proofSummary{Libc: r.Libc, Floor: r.Floor, FloorBy: r.FloorBy, Counts: r.Counts, Missing: r.Missing, Unchecked: r.Unchecked,
		ElapsedMS: r.ElapsedMS, Cached: r.Cached}
}

// A moduleRow is one object of check --modules --format json; the form is part of the contract.
type moduleRow struct {
	Schema   int           `json:"schema"`
	Module   string        `json:"module"`
	Path     string        `json:"path"`
	Verdict  proof.Verdict `json:"verdict"`
	Reach    string        `json:"reach"` // "" for what the command is not seen to import
	Message  string        `json:"message"`
	Provider string        `json:"provider"`
	Remedy   string        `json:"remedy"`
}

var moduleTable = table[moduleRow]{header: []string{"VERDICT", "IMPORTED", "MODULE", "MESSAGE"}, cells: func(m moduleRow) []string {
	return []string{string(m.Verdict), dash(m.Reach), m.Module, m.Message}
}}

func moduleRows(results []checkResult) []moduleRow {
	var rows []moduleRow
	for _, r := range results {
		if r.facts.Proof == nil {
			continue
		}
		all := r.facts.Proof.All
		if all == nil {
			all = r.facts.Proof.Modules // of a recording
		}
		for _, m := range all {
			rows = append(rows, moduleRow{1, m.Name, m.Path, m.Verdict, string(m.Reach), m.Message, m.Provider, m.Remedy})
		}
	}
	return rows
}
