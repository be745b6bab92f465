package profiles

import (
	"strings"
	"testing"
	"time"
)

func TestProbeForms(t *testing.T) {
	for text, want := range map[string]string{
		"http: 8000":                             "http http://127.0.0.1:8000/",
		`http: "8000"`:                           "http http://127.0.0.1:8000/",
		`http: ":8000/health?deep=1"`:            "http http://127.0.0.1:8000/health?deep=1",
		"http: localhost:8000/v1/models":         "http http://localhost:8000/v1/models",
		"http: https://[::1]:8443":               "http https://[::1]:8443/",
		"http: http://example.org/ok":            "http http://example.org/ok",
		"tcp: 5432":                              "tcp 127.0.0.1:5432",
		`tcp: ":5432"`:                           "tcp 127.0.0.1:5432",
		"tcp: 10.0.0.1:5432":                     "tcp 10.0.0.1:5432",
		`tcp: "[::1]:5432"`:                      "tcp [::1]:5432",
		`log: "^Uvicorn running on"`:             "log ^Uvicorn running on",
		"test: curl -f http://localhost":         "test CMD-SHELL|curl -f http://localhost",
		"test: [CMD, curl, -f, localhost]":       "test CMD|curl|-f|localhost",
		"test: [CMD-SHELL, curl -f x || exit 1]": "test CMD-SHELL|curl -f x || exit 1",
		"test: [CMD, sleep, 1]":                  "test CMD|sleep|1",
	} {
		p, err := loadText(t, "image: a\nhealthcheck:\n  "+text+"\n")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		h := p.Healthcheck
		got := ""
		for kind, value := range map[string]string{"http": h.HTTP, "tcp": h.TCP, "log": h.Log, "test": strings.Join(h.Test, "|")} {
			if value != "" {
				got += kind + " " + value
			}
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"http: 0", "http: 70000", "http: /health", "http: ftp://x", "http: [8000]", "http: \"http://u:p@x/\"", "tcp: 0", "tcp: a", "tcp: host:", "tcp: \"1.2.3.4:5/x\"",
		"tcp: true", `log: "("`, "log: 3", "test: []", "test: [NONE, x]", "test: [CMD-SHELL, a, b]", "test: {a: b}", "test: [CMD, [a]]", "interval: -1s\n  tcp: 1", "retries: -1\n  tcp: 1"} {
		if p, err := loadText(t, "image: a\nhealthcheck:\n  "+text+"\n"); err == nil {
			t.Errorf("%s: taken as %+v", text, p.Healthcheck)
		}
	}
}

func TestDurationsOfHealthcheck(t *testing.T) {
	p, err := loadText(t, "image: a\nhealthcheck: {tcp: 1, interval: 1m30s, timeout: 500ms, start_period: 0s, start_interval: 1s, retries: \"5\"}\n")
	must(t, err)
	if h := p.Healthcheck; h.Interval != 90*time.Second || h.Timeout != 500*time.Millisecond || h.StartPeriod != 0 || h.StartInterval != time.Second || h.Retries != 5 {
		t.Errorf("%+v", h)
	}
}
