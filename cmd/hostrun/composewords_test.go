package main

import (
	_ "embed"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
)

//go:embed testdata/compose-words.txt
var composeWords string

// TestWordsOfCompose: each verb and each flag of docker compose's is taken, or answered with what to type instead.
func TestWordsOfCompose(t *testing.T) {
	s, _, _ := testSession()
	app := newApp(s)
	answered := func(words ...string) {
		t.Helper()
		_, err := arrange(app, words)
		hints := strings.Join(finding.HintOf(err), "\n")
		if err != nil && (hints == "" || strings.Contains(hints, "did you mean") || strings.Contains(hints, "--help lists") || strings.Contains(hints, "hostrun help lists")) {
			t.Errorf("hostrun %s: %v (%s)", strings.Join(words, " "), err, hints)
		}
	}
	for line := range strings.Lines(composeWords) {
		words := strings.Fields(line)
		if words[0] == "#" {
			continue
		}
		verb := []string{words[0]}
		if words[0] == "global" {
			verb = nil
		} else {
			answered(verb...)
		}
		if verb != nil && findCommand(app.Commands, verb[0]) == nil {
			continue // its flags are nobody's
		}
		for _, word := range words[1:] {
			long, short, _ := strings.Cut(word, ",")
			answered(append(verb, "--"+long+"=1")...)
			if short != "" {
				answered(append(verb, "-"+short, "1")...)
			}
		}
	}
}
