package profiles

import (
	"errors"
	"strings"
	"testing"
)

// TestDeployRestartPolicy: it is what docker compose makes of it without a swarm.
func TestDeployRestartPolicy(t *testing.T) {
	for text, want := range map[string]string{
		"{condition: on-failure, max_attempts: 3}": "on-failure:3",
		"{condition: on-failure}":                  "on-failure",
		"{condition: on-failure, max_attempts: 0}": "on-failure",
		"{condition: any}":                         "always",
		"{}":                                       "", // the specification says any; docker compose gives docker none
		"{condition: none}":                        "",
		`{condition: "no"}`:                        "",
		"{condition: no}":                          "",
		"{condition: always}":                      "always",
		"{condition: unless-stopped}":              "unless-stopped",
		"{condition: }":                            "",
	} {
		p, err := loadText(t, "image: a\ndeploy: {restart_policy: "+text+"}\n")
		must(t, err)
		if p.Restart != want {
			t.Errorf("%s: %q, want %q", text, p.Restart, want)
		}
	}
	for text, want := range map[string]string{
		"deploy: {restart_policy: {condition: sometimes}}":               `"sometimes" is not known`,
		"deploy: {restart_policy: {condition: always, max_attempts: 3}}": "max_attempts is of condition: on-failure alone",
		"deploy: {restart_policy: {max_attempts: 3}}":                    "max_attempts is of condition: on-failure alone",
		"deploy: {restart_policy: {condition: none, max_attempts: x}}":   "p.yaml:2",
		"deploy: {restart_policy: {delay: 5s}}":                          "does not do this key",
		"restart: always\ndeploy: {restart_policy: {condition: none}}":   "restart: says something else, in line 2",
	} {
		_, err := loadText(t, "image: a\n"+text+"\n")
		var invalid *InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"base.yaml": "image: a\ndeploy: {restart_policy: {condition: any}}\n", "p.yaml": "extends: base\nrestart: \"no\"\n"})
	p, err := Load(Options{Cwd: dir}, "./p.yaml")
	must(t, err)
	if p.Restart != "" {
		t.Errorf("the nearer file says no, and it is %q", p.Restart)
	}
}
