package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUserServices: a member of the private engine's group has services in a systemd of their own: they are up when healthy, and start
// again when the process that systemd knows was killed, though the engine does all of it as root.
func TestUserServices(t *testing.T) {
	if _, err := os.Stat("/usr/lib/systemd/systemd"); err != nil {
		skip(t, "this machine has no systemd")
	}
	m, _ := furnished(t, func(string) {}, nil)
	programs, err := enginePrograms()
	ok(t, err)
	if out, err := exec.Command("cp", "-an", programs+"/.", filepath.Join(m.Shared(), "bin")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := m.Boot(onSystemd + `
install -d -o 4242 -g 4242 -m 700 /run/user/4242
install -d /home/ann/.config/hostrun/profiles
cat >/run/systemd/system/user@4242.service <<'END'
[Unit]
DefaultDependencies=no
[Service]
User=ann
Type=notify
Delegate=yes
Slice=user-4242.slice
Environment=HOME=/home/ann XDG_RUNTIME_DIR=/run/user/4242
ExecStart=/usr/lib/systemd/systemd --user
END
cat >/home/ann/.config/hostrun/profiles/mine.yaml <<'END'
image: box
pull_policy: never
network_mode: none
environment: {WHO: "${WHO}"}
healthcheck: {test: "true", start_interval: 200ms, start_period: 60s}
restart: always
stop_grace_period: 20s
command: [sh, -c, "trap 'echo bye; exit 0' TERM; echo hello $$WHO; while :; do sleep 0.1; done"]
END
echo WHO=ann >/home/ann/.config/hostrun/mine.env
chown -R 4242:4242 /home/ann
systemctl daemon-reload
systemctl start user@4242.service || { journalctl --no-pager -u user@4242.service; exit 1; }
ann() { setpriv --reuid=4242 --regid=4242 --groups=4243 env -i PATH=$PATH HOME=/home/ann XDG_RUNTIME_DIR=/run/user/4242 HOSTRUN_PROGRESS=quiet "$@"; }
mine() { ann systemctl --user show --property=$1 --value hostrun@mine.service; }
again() { comes "[ \"\$(mine NRestarts)\" = $1 ] && [ \"\$(mine ActiveState)\" = active ] && another mine '$2'"; }
log() { journalctl --sync; journalctl --no-pager --output=cat -t hostrun-mine; }
try ann hostrun systemd install --user --now mine
try mine StatusText
try hr inspect --format '{{.unit}}' mine
try hr restart mine
placed() { grep ^0:: /proc/$(pid mine)/cgroup /proc/$(mine MainPID)/cgroup; }
try placed
printf '[Service]\nRestartSec=200ms\n' >/home/ann/.config/systemd/user/hostrun@mine.service.d/20-test.conf
sed -i 's/_period: 20s/_period: 21s/' /home/ann/.config/hostrun/profiles/mine.yaml
ann systemctl --user daemon-reload
before=$(pid mine)
try ann systemctl --user reload hostrun@mine
comes 'hr inspect mine | grep stop-seconds.*21'
[ "$(pid mine)" = "$before" ] || echo CHANGED
kill -9 $(mine MainPID)
again 1 $before
[ -d /proc/$before ] && echo "STILL THERE: $before"
before=$(pid mine)
kill -9 $before
again 2 $before
try ann hostrun stop mine
comes '[ "$(mine ActiveState)" = inactive ]'
try mine Result
try ann systemctl --user start hostrun@mine
rm /home/ann/.config/systemd/user/hostrun@mine.service.d/20-test.conf
hr systemd uninstall -y mine # the machine's of that name, which there is not
[ "$(pid mine)" ] || echo "CHANGED by another's uninstall"
try ann hostrun systemd uninstall --user -y mine
try log
left() { hr ps -aq; find /home/ann/.config/systemd /run/user/4242 -name '*hostrun*'; }
try left
`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if os.Getenv("HOSTRUN_SHOW") != "" {
		t.Log(out)
	}
	for _, word := range []string{"NEVER", "CHANGED", "STILL THERE"} {
		if strings.Contains(out, word) {
			t.Errorf("%s\n%s", word, out)
		}
	}
	expect(t, out, map[string][]string{
		"ann hostrun systemd install --user --now mine": {"/home/ann/.config/systemd/user/hostrun@mine.service.d/10-profile.conf", "status 0"},
		"mine StatusText":                              {"healthy\n"},
		"hr inspect --format {{.unit}} mine":           {"hostrun@mine.service of user 4242\n"},
		"hr restart mine":                              {"HR260", "systemctl --user restart hostrun@mine.service", "status 75"},
		"placed":                                       {"/user@4242.service/app.slice/app-hostrun.slice/hostrun@mine.service/container\n", "/hostrun@mine.service/supervisor\n"},
		"ann systemctl --user reload hostrun@mine":     {"status 0"},
		"ann hostrun stop mine":                        {"status 0"},
		"mine Result":                                  {"success\n"},
		"ann systemctl --user start hostrun@mine":      {"status 0"},
		"ann hostrun systemd uninstall --user -y mine": {"status 0"},
		"log":  {"hello ann\n", "!HR262", "bye\n"},
		"left": {"!hostrun", "!mine\n", "status 0"},
	})
}
