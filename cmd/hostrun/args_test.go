package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestArrange(t *testing.T) {
	s, _, _ := testSession()
	app := newApp(s)
	for _, tc := range []struct{ in, want string }{
		{"up dinov2", "hostrun up -- dinov2"},
		{"up dinov2 --attach", "hostrun up --attach -- dinov2"},
		{"up --attach dinov2 --namespace n", "hostrun --namespace=n up --attach -- dinov2"},
		{"--namespace n up a b", "hostrun --namespace=n up -- a b"},
		{"run a -e X=1 -eY=2 --env Z=3 -- -e W=4 --", "hostrun run --env=X=1 --env=Y=2 --env=Z=3 -- a -- -e W=4 --"},
		{"run -iT a", "hostrun run --interactive --no-tty -- a"},
		{"exec a -iu root -- id", "hostrun exec --interactive --user=root -- a -- id"},
		{"logs -n-1 a", "hostrun logs --tail=-1 -- a"},
		{"logs --tail -1 a", "hostrun logs --tail=-1 -- a"},
		{"ps -q", "hostrun ps --quiet --"},
		{"-q ps", "hostrun --quiet ps --"},
		{"profiles --all list", "hostrun profiles list --all --"},
		{"profiles init list", "hostrun profiles init -- list"},
		{"run -- python", "hostrun run -- -- python"},
		{"load -", "hostrun load -- -"},
	} {
		line, err := arrange(app, strings.Fields(tc.in))
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if got := strings.Join(line.words("hostrun"), " "); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.in, got, tc.want)
		}
	}
}

// FuzzArrange: whatever is typed, the words after -- arrive as they are, and no word before it is lost.
func FuzzArrange(f *testing.F) {
	f.Add("run a -e X=1 -- -e W=4")
	f.Add("profiles --all list")
	f.Add("-h -- --")
	f.Add("up --env= -e")
	s, _, _ := testSession()
	app := newApp(s)
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Fields(text)
		line, err := arrange(app, words)
		if err != nil {
			return
		}
		if i := slices.Index(words, "--"); i >= 0 && line.dashes && !strings.HasSuffix(strings.Join(words, " "), strings.Join(line.rest, " ")) {
			t.Errorf("%q: after --: %q", words, line.rest)
		}
		for _, name := range line.names {
			if !slices.Contains(words, name) {
				t.Errorf("%q: name %q was not there", words, name)
			}
		}
	})
}

// eachVerb calls fn for every command that help shows.
func eachVerb(app *cli.App, fn func(path []*cli.Command)) {
	var walk func(path []*cli.Command, commands []*cli.Command)
	walk = func(path []*cli.Command, commands []*cli.Command) {
		for _, command := range commands {
			if command.Hidden {
				continue
			}
			here := append(slices.Clone(path), command)
			fn(here)
			walk(here, command.Subcommands)
		}
	}
	walk(nil, app.Commands)
}

// TestVerbsHaveTheirNames: a line that names no other verb is read with the one verb alone, found by its name.
func TestVerbsHaveTheirNames(t *testing.T) {
	s := newSession(nil, nil, nil, deps{})
	for _, v := range verbs() {
		if c := v.command(s); c.Name != v.name || len(c.Aliases) > 0 {
			t.Errorf("%s: %s %v", v.name, c.Name, c.Aliases)
		}
	}
	for _, c := range []struct {
		args string
		want int // verbs that were made
	}{{"ps", 1}, {"--namespace x ps -a", 1}, {"run ps", 2}, {"up --wait job", 1}, {"ps --help", len(verbs())}, {"pss", len(verbs())}, {"ps --nonsense", len(verbs())},
		{"help ps", len(verbs())}, {"completion bash", len(verbs())}, {"", len(verbs())}, {"--version", len(verbs())}, {"run job -- stop", 2}} {
		app, line, err := appFor(s, strings.Fields(c.args))
		again, wantErr := arrange(newApp(s), strings.Fields(c.args))
		if len(app.Commands) != c.want || fmt.Sprint(err) != fmt.Sprint(wantErr) || !slices.Equal(line.words("hostrun"), again.words("hostrun")) {
			t.Errorf("%q: %d verbs, %v, %q; with all %v, %q", c.args, len(app.Commands), err, line.words("hostrun"), wantErr, again.words("hostrun"))
		}
	}
}
