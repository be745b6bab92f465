package runtime

import (
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/profiles"
)

// TestHealthcheckOfAnImage reads what docker build writes.
func TestHealthcheckOfAnImage(t *testing.T) {
	for _, c := range []struct {
		name, config string
		want         *profiles.Healthcheck
	}{
		{"none", `{"config":{"Cmd":["sh"]}}`, nil},
		{"HEALTHCHECK NONE", `{"config":{"Healthcheck":{"Test":["NONE"]}}}`, nil},
		{"inherited, and so nothing", `{"config":{"Healthcheck":{"Interval":1000000000}}}`, nil},
		{"shell", `{"config":{"Healthcheck":{"Test":["CMD-SHELL","curl -f http://localhost/ || exit 1"],"Interval":300000000000,"Timeout":3000000000,"StartPeriod":10000000000,"StartInterval":2000000000,"Retries":4}}}`,
			&profiles.Healthcheck{Test: []string{"CMD-SHELL", "curl -f http://localhost/ || exit 1"}, Interval: 5 * time.Minute, Timeout: 3 * time.Second,
				StartPeriod: 10 * time.Second, StartInterval: 2 * time.Second, Retries: 4}},
		{"words", `{"config":{"Healthcheck":{"Test":["CMD","/bin/check","-q"]}}}`, &profiles.Healthcheck{Test: []string{"CMD", "/bin/check", "-q"}}},
		{"SHELL", `{"config":{"Shell":["/bin/bash","-o","pipefail","-c"],"Healthcheck":{"Test":["CMD-SHELL","a | b"]}}}`,
			&profiles.Healthcheck{Test: []string{"CMD", "/bin/bash", "-o", "pipefail", "-c", "a | b"}}},
		{"damaged", `{"config":{"Healthcheck":7}}`, nil},
	} {
		if diff := cmp.Diff(c.want, healthcheckOf([]byte(c.config))); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestLogTag(t *testing.T) {
	for tag, want := range map[string]string{"": "", "web": "web", "{{.Name}}": "job", "{{ .ImageName }}/{{.Name}}/{{.ID}}": "docker.io/library/i:1/job/job", "{{.DaemonName}}": "hostrun"} {
		if got := logTag(tag, "job", "docker.io/library/i:1"); got != want {
			t.Errorf("%q is %q, want %q", tag, got, want)
		}
	}
}

func TestLastWords(t *testing.T) {
	var w LastWords
	for i := range 2000 {
		_, _ = w.Write([]byte("a line of the output\n"))
		if i == 0 && w.String() != "a line of the output" {
			t.Errorf("%q", w.String())
		}
	}
	_, _ = w.Write([]byte("the last\n"))
	got := w.String()
	if len(got) > maxLastWords || len(got) < maxLastWords/2 || got[:7] != "a line " || got[len(got)-9:] != "\nthe last" {
		t.Errorf("%d bytes: %.40q", len(got), got)
	}
}

// TestOutdatedImages: by the last pull, else by the last change of the record.
func TestOutdatedImages(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	image := func(updated time.Duration, pulled ...time.Duration) images.Image {
		img := images.Image{UpdatedAt: now.Add(-updated)}
		for _, p := range pulled {
			img.Labels = map[string]string{labelPulledAt: timeLabel(now.Add(-p))}
		}
		return img
	}
	day := profiles.PullEvery(24 * time.Hour)
	for _, c := range []struct {
		name, policy string
		img          images.Image
		want         bool
	}{
		{"missing", "missing", image(1000 * time.Hour), false},
		{"never", "never", image(1000 * time.Hour), false},
		{"loaded today", day, image(time.Hour), false},
		{"loaded the day before", day, image(25 * time.Hour), true},
		{"pulled today, changed long ago", day, image(100*time.Hour, time.Hour), false},
		{"pulled long ago, given a label today", day, image(time.Hour, 48*time.Hour), true},
		{"every 90 minutes", profiles.PullEvery(90 * time.Minute), image(time.Hour, 91*time.Minute), true},
	} {
		if got := outdated(c.img, c.policy, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
