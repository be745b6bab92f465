package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

func TestMoment(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.FixedZone("", 3600))
	for text, want := range map[string]string{
		"10m":                  "2026-01-31T10:50:00Z",
		"2026-01-30":           "2026-01-29T23:00:00Z",
		"2026-01-30T08:00":     "2026-01-30T07:00:00Z",
		"2026-01-30T08:00:00Z": "2026-01-30T08:00:00Z",
		"86400":                "1970-01-02T00:00:00Z",
		"1.5":                  "1970-01-01T00:00:01Z",
	} {
		got, err := moment("since", text, now)
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("moment(%q) = %s, %v; want %s", text, got.UTC().Format(time.RFC3339), err, want)
		}
	}
	for _, text := range []string{"yesterday", "-5", "2026-13-01", "1e300", "NaN"} {
		if got, err := moment("since", text, now); err == nil {
			t.Errorf("moment(%q) = %s, want an error", text, got)
		}
	}
}

func FuzzMoment(f *testing.F) {
	for _, seed := range []string{"10m", "2026-01-30", "1.5", "", "9999999999999999h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := moment("since", text, time.Unix(0, 0)); err != nil && !strings.Contains(err.Error(), "--since") {
			t.Errorf("%q: %v does not name the flag", text, err)
		}
	})
}

func TestGrace(t *testing.T) {
	for text, want := range map[string]time.Duration{"10": 10 * time.Second, "1.5": 1500 * time.Millisecond, "1m30s": 90 * time.Second, "0": 0} {
		if got, err := grace("timeout", text); err != nil || *got != want {
			t.Errorf("grace(%q) = %v, %v; want %s", text, got, err, want)
		}
	}
	if got, err := grace("timeout", ""); got != nil || err != nil {
		t.Errorf("no timeout gives %v, %v", got, err)
	}
	for _, text := range []string{"-1", "soon", "-2s"} {
		if _, err := grace("timeout", text); err == nil {
			t.Errorf("grace(%q) gives no error", text)
		}
	}
}

func TestOverridesChangeTheProfileAndTellWhere(t *testing.T) {
	s, _, _ := testSession()
	s.env = map[string]string{"TOKEN": "t", "HOME": "/home/u"}
	old := profiles.Command{"serve"}
	p := &profiles.Profile{
		Image: "a", Command: &old,
		Environment: []profiles.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
		Volumes:     []profiles.Volume{{Type: "bind", Source: "/x", Target: "/data", Key: "volumes[0]"}},
	}
	var o overrides
	for _, word := range []string{"B=3", "TOKEN", "UNSET", "C=a"} {
		if err := o.env.Set(word); err != nil {
			t.Fatal(err)
		}
	}
	for _, word := range []string{"./new:/data:ro", "cache:/cache", "~/w:/w"} {
		if err := o.volumes.Set(word); err != nil {
			t.Fatal(err)
		}
	}
	o.image, o.python, o.user, o.command = "b", "venv/bin/python3", "1000", []string{"bash"}
	if err := o.apply(s, p); err != nil {
		t.Fatal(err)
	}
	if p.Image != "b" || p.User != "1000" || p.Python.Interpreter != "/home/u/venv/bin/python3" || (*p.Command)[0] != "bash" {
		t.Errorf("profile %+v", p)
	}
	var env []string
	for _, v := range p.Environment {
		env = append(env, v.Name+"="+v.Value)
	}
	if got, want := strings.Join(env, "|"), "A=1|B=3|TOKEN=t|C=a"; got != want {
		t.Errorf("environment %q, want %q", got, want)
	}
	var volumes []string
	for _, v := range p.Volumes {
		volumes = append(volumes, v.Type+" "+v.Source+" "+v.Target)
		if p.Lines[v.Key].File == "" {
			t.Errorf("volume %s does not tell where it stands", v.Target)
		}
	}
	if got, want := strings.Join(volumes, "|"), "bind /home/u/new /data|volume cache /cache|bind /home/u/w /w"; got != want {
		t.Errorf("volumes %q, want %q", got, want)
	}
	if got := p.Lines["image"].File; got != "--image b" {
		t.Errorf("the image stands at %q", got)
	}
}

func TestPlainProgressPrintsChangesOnly(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, "auto", false)
	for _, e := range []runtime.Event{
		{ID: "Layer a", Status: "Downloading", Current: 1, Total: 10}, {ID: "Layer a", Status: "Downloading", Current: 9, Total: 10},
		{ID: "Layer a", Status: "Complete"}, {ID: "Container x", Status: "Started"},
	} {
		p.event(e)
	}
	if got, want := b.String(), "Layer a  Downloading\nLayer a  Complete\nContainer x  Started\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTerminalProgressStaysOnItsLines(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, "tty", false)
	p.now, p.timer = func() time.Time { return p.began.Add(time.Second) }, time.NewTimer(time.Hour) // no tick of its own
	p.event(runtime.Event{ID: "A", Status: "x"})
	p.event(runtime.Event{ID: "B", Status: strings.Repeat("long ", 40)})
	p.event(runtime.Event{ID: "A", Status: "y"})
	if got := strings.Count(b.String(), "\x1b[2A"); got != 1 {
		t.Errorf("went up by both lines %d times, want once: %q", got, b.String())
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		if text := strings.TrimLeft(line, "\x1b[0123456789AK"); len(text) >= 80 {
			t.Errorf("line of %d columns wraps: %q", len(text), line)
		}
	}
}

func TestPatientProgressStaysSilentForQuickWork(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, "plain", false)
	now := p.began
	p.now, p.patience = func() time.Time { return now }, patience
	p.event(runtime.Event{ID: "Image a", Status: "Inspecting"})
	if b.Len() > 0 {
		t.Errorf("printed at once: %q", b.String())
	}
	now = now.Add(patience)
	p.event(runtime.Event{ID: "Image a", Status: "Unpacking"})
	if got := b.String(); got != "Image a  Unpacking\n" {
		t.Errorf("printed %q", got)
	}
}

func TestContainerTable(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	started, finished, status := now.Add(-2*time.Hour), now.Add(-time.Minute), 137
	all := []listed{
		{Engine: systemEngine, Container: runtime.Container{Profile: "a", Container: "a", Image: "docker.io/library/a:latest", Status: "running", StartedAt: &started, Devices: []string{"gpu0", "gpu1"}}},
		{Engine: systemEngine, Container: runtime.Container{Profile: "b", Container: "b-run-1", Image: "ghcr.io/x/b:1", Status: "exited", StartedAt: &started, FinishedAt: &finished, ExitStatus: &status}},
	}
	compare := func(want string) {
		t.Helper()
		var b bytes.Buffer
		if err := show(&b, "table", all, containerTable(now, all)); err != nil {
			t.Fatal(err)
		}
		squeeze := func(text string) string { return strings.Join(strings.Fields(text), " ") }
		if squeeze(b.String()) != squeeze(want) {
			t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
		}
	}
	compare(`PROFILE   CONTAINER   IMAGE           STATUS                                DEVICES
a         a           a:latest        Up 2 hours                            gpu0,gpu1
b         b-run-1     ghcr.io/x/b:1   Exited (137) About a minute ago       -
`)
	all[1].Engine = privateEngine
	compare(`PROFILE   CONTAINER   IMAGE           STATUS                                DEVICES     ENGINE
a         a           a:latest        Up 2 hours                            gpu0,gpu1   system
b         b-run-1     ghcr.io/x/b:1   Exited (137) About a minute ago       -           private
`)
}

func TestStatusWords(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	one := 1
	for want, c := range map[string]runtime.Container{
		"Up 3 minutes (healthy)":                                      {Status: "running", StartedAt: ago(3 * time.Minute), Health: "healthy"},
		"Up 5 seconds (health: starting)":                             {Status: "running", StartedAt: ago(5 * time.Second), Health: "starting"},
		"Up (without a record: hostrun down ends it)":                 {Status: "running", Supervision: runtime.Supervision{Lost: true}},
		"Up (given up by containerd: hostrun restart starts it anew)": {Status: "running", Supervision: runtime.Supervision{GivenUp: true}},
		"Up 3 minutes (unhealthy) (paused)":                           {Status: "paused", StartedAt: ago(3 * time.Minute), Health: "unhealthy"},
		"Restarting (1) 2 seconds ago":                                {Status: "exited", ExitStatus: &one, FinishedAt: ago(2 * time.Second), Supervision: runtime.Supervision{RestartAt: ago(0)}},
		"Exited (1) 2 seconds ago (not started again: HR225 78)": {Status: "exited", ExitStatus: &one, FinishedAt: ago(2 * time.Second),
			Supervision: runtime.Supervision{Refused: "gone", RefusedAs: 78}},
		"Exited (1) 2 seconds ago (stopped: it was unhealthy)": {Status: "exited", ExitStatus: &one, FinishedAt: ago(2 * time.Second),
			Supervision: runtime.Supervision{StoppedBy: "health"}},
		"Ended unseen": {Status: "unknown", StartedAt: ago(time.Hour)},
		"Created":      {Status: "created"},
	} {
		if got := statusWords(c, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
