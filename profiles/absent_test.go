package profiles

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestAbsentValues: a key without a value, and text that a variable left empty, are what compose takes them for: nothing. Generated
// files have device_ids: null beside count.
func TestAbsentValues(t *testing.T) {
	for _, c := range []struct{ absent, without string }{
		{"gpus: [{driver: null, count: 1, device_ids: null, capabilities: [gpu], options: null}]", "gpus: [{count: 1, capabilities: [gpu]}]"},
		{"gpus: [{count: null, device_ids: [\"0\"]}]", "gpus: [{device_ids: [\"0\"]}]"},
		{"gpus: [{driver: \"${DRIVER:-}\"}]", "gpus: [{}]"},
		{"deploy: ", ""},
		{"deploy: {mode: , replicas: , resources: {limits: , reservations: {cpus: , devices: }}}", ""},
		{"restart: \"${RESTART:-}\"\ndeploy: {restart_policy: {condition: any}}", "deploy: {restart_policy: {condition: any}}"},
		{"healthcheck: {test: [CMD, \"true\"], interval: , start_period: null, retries: }", "healthcheck: {test: [CMD, \"true\"]}"},
		{"logging: {driver: \"${LOG:-}\", options: {max-size: null}}", "logging: {}"},
		{"logging: {options: }", "logging: {}"},
		{"volumes: [{type: volume, source: v, target: /x, read_only: , bind: , volume: {subpath: \"${BELOW:-}\"}}]", "volumes: [{type: volume, source: v, target: /x}]"},
		{"network_mode: bridge\nports: [{target: 80, published: , mode: , host_ip: , protocol: }]", "network_mode: bridge\nports: [{target: 80}]"},
		{"networks: {n: {aliases: , ipv4_address: \"${IP:-}\"}}", "networks: {n: {}}"},
		{"user: \"${USER_OF:-}\"\nruntime: ''\nplatform: ${PLATFORM:-}\nipc: \"${IPC:-}\"\nhostname: ''\ncpuset: \"${CPUS:-}\"\npython: ${PY:-}", ""},
		{"environment: [A=b, \"${MORE:-}\"]", "environment: [A=b]"},
		{"dns: \"${DNS:-}\"\ntmpfs: ${TMPFS:-}", ""},
	} {
		read := func(text string) *Profile {
			t.Helper()
			p, err := loadText(t, "image: a\n"+text+"\n")
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			return p
		}
		if diff := cmp.Diff(read(c.without), read(c.absent), cmpopts.IgnoreFields(Profile{}, "Lines", "File", "Dir")); diff != "" {
			t.Errorf("%s (-without +absent):\n%s", c.absent, diff)
		}
	}
}

// TestEmptyValues: what can't be left out, or is asked for as a number, is an error all the same.
func TestEmptyValues(t *testing.T) {
	for text, want := range map[string]string{
		"image: \"${IMAGE:-}\"":                       "image: the value is empty",
		"image: a\nshm_size: \"${SHM:-}\"":            "shm_size",
		"image: a\nulimits: {nofile: {soft: }}":       "soft is missing",
		"image: a\nvolumes: [{type: bind, target: }]": "target is missing",
		"image: a\ncap_add: [\"\"]":                   "cap_add[0]: the value is empty",
	} {
		if _, err := loadText(t, text+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %q", text, err, want)
		}
	}
}
