package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices/devicestest"
)

// onSystemd begins a script on a machine that systemd has booted: with its journal, without what would reach this machine, and with the
// private engine. Services do not wait for the whole boot, of which there is none.
const onSystemd = furnishing + `
(sleep 900; echo 'NEVER: the whole script'; systemctl --force --force poweroff) &
cd /etc/systemd/system
for unit in containerd.service network-online.target systemd-journald-dev-log.socket systemd-journald-audit.socket; do ln -sf /dev/null $unit; done
mkdir -p hostrun@.service.d /etc/systemd/journald.conf.d
printf '[Unit]\nDefaultDependencies=no\n[Service]\nRestartSec=200ms\n' >hostrun@.service.d/00-test.conf
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n' >/etc/systemd/journald.conf.d/test.conf
systemctl daemon-reload
systemctl start systemd-journald.service
cd /shared
echo hostrun:x:4243:ann >>/etc/group # before the engine, which has a socket for its members
echo ann:x:4242:4242::/home/ann:/bin/sh >>/etc/passwd
hr load box.tar >/dev/null
show() { systemctl show --property="$1" --value "hostrun@$2"; }
pid() { hr inspect "$1" 2>/dev/null | sed -n 's/^ *"pid": \([1-9][0-9]*\),$/\1/p'; }
comes() { # waits until a command says so
	for i in $(seq 1200); do if eval "$1" >/dev/null 2>&1; then return 0; fi; sleep 0.1; done
	echo "NEVER: $1"; systemctl status --no-pager 'hostrun@*'; journalctl --no-pager -n 40
	exit 1
}
another() { local now; now=$(pid "$1"); [ "$now" ] && [ "$now" != "$2" ]; } # asked once: between two questions the old one may end
up_again() { comes "[ \"\$(show ActiveState $1)\" = active ] && another $1 '$2'"; }
restarted() { comes "[ \"\$(show NRestarts $1)\" = $2 ]"; up_again $1 "$3"; } # before systemd has noticed an end, all is as it was
journal() { journalctl --sync; journalctl --no-pager --output=cat -u "hostrun@$1"; }
`

// TestServices: profiles as services of a systemd that has really booted, with cgroup v2.
func TestServices(t *testing.T) {
	if _, err := os.Stat("/usr/lib/systemd/systemd"); err != nil {
		skip(t, "this machine has no systemd")
	}
	m, _ := furnished(t, func(root string) { devicestest.Mknod(t, root, "dev/given", 10, 237, 0o666) }, nil)
	programs, err := enginePrograms()
	ok(t, err)
	if out, err := exec.Command("cp", "-an", programs+"/.", filepath.Join(m.Shared(), "bin")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, text := range map[string]string{
		"db": `command: [sh, -c, "trap 'exit 0' TERM; sleep 0.5; touch /ok; echo db is up; while :; do sleep 0.1; done"]
restart: always
healthcheck: {test: '[ -e /ok ]', interval: 1s, start_interval: 200ms, start_period: 60s}
`,
		"web": `command: [sh, -c, "trap 'echo bye; exit 0' TERM; echo hello; echo oops >&2; while :; do sleep 0.1; done"]
depends_on: {db: {condition: healthy}}
devices: ["/shared/fake/dev/given:/dev/given"]
volumes: ["/shared/data:/data:ro"]
stop_grace_period: 20s
`,
		"bad":   "python: /usr/bin/python3\ncommand: [sh, -c, 'true']\n",
		"dog":   "command: [sleep, '1000']\nstop_signal: KILL\n",
		"job":   "command: [echo, did it]\n",
		"two":   "command: [sh, -c, 'sleep 0.8; exit 78']\nrestart: on-failure:1\n",
		"plain": "command: [sleep, '1000']\nstop_signal: KILL\nrestart: always\n",
		"many":  "command: [sleep, '1000']\nstop_signal: KILL\nreplicas: 2\n",
		"kept":  "command: [sleep, '1000']\nstop_signal: KILL\nrestart: always\n",
		"held":  "command: [sleep, '1000']\nstop_signal: KILL\nrestart: always\n",
	} {
		ok(t, os.WriteFile(filepath.Join(m.Shared(), "profiles", name+".yaml"), []byte("image: box\npull_policy: never\nnetwork_mode: none\n"+text), 0o644))
	}
	ok(t, os.MkdirAll(filepath.Join(m.Shared(), "data"), 0o755))
	ok(t, os.WriteFile(filepath.Join(m.Shared(), "shop.yaml"), []byte("profiles:\n  shop: {image: box, pull_policy: never, network_mode: none, stop_signal: KILL, command: [sleep, '1000']}\n"), 0o644))
	out, err := m.Boot(onSystemd + `
try hr systemd install web
try timeout 300 systemctl start hostrun@web || exit 1
try show ActiveState db
try show StatusText db
try show StatusText web
order() { [ "$(show ActiveEnterTimestampMonotonic db)" -lt "$(show ExecMainStartTimestampMonotonic web)" ]; }
try order
groups() { sed -n 's/^0:://p' /proc/$(pid web)/cgroup /proc/$(show MainPID web)/cgroup; }
try groups
engine_at() { echo "$(sed -n 's/^0:://p' /proc/$engine/cgroup) $(tr '\0' ' ' </proc/$engine/cmdline | cut -d' ' -f1)"; }
engine=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' /run/hostrun/engine/engine.json | head -1)
try engine_at
comes 'journal web | grep -q oops'
try journal web
try hr logs web
try hr ps
before=$(pid web)
try hr up web
[ "$(pid web)" = "$before" ] || echo CHANGED
try hr restart web
try hr up --supervise web
sees() { hr exec web -- sh -c '(exec 3<>/dev/given) 2>/tmp/e || (exec 3</dev/given) 2>/tmp/e || cat /tmp/e; : >/data/x'; }
systemctl daemon-reload
try sees

# crash of the container
kill -9 $before
restarted web 1 $before
try show NRestarts web
# of the supervisor
before=$(pid web) main=$(show MainPID web)
kill -9 $main
restarted web 2 $before
[ -d /proc/$before ] && echo "STILL THERE: $before"
try show NRestarts web again
# of ours: Go would exit with 2
before=$(pid web)
kill -ABRT $(show MainPID web)
restarted web 3 $before
try show NRestarts web more

# reload: the grace can be changed, the command can't
before=$(pid web)
sed -i 's/20s/21s/' profiles/web.yaml
try systemctl reload hostrun@web
comes 'hr inspect web | grep stop-seconds.*21'
sed -i 's/echo hello/echo hallo/' profiles/web.yaml
try systemctl reload hostrun@web.service
comes 'journal web | grep -q HR264'
comes '[ "$(show ActiveState web)" = active ]'
try show StatusText web reloaded
[ "$(pid web)" = "$before" ] || echo CHANGED

# the end
try systemctl stop hostrun@web
try show Result web
comes 'journal web | grep -q bye'
try hr ps -a
try hr stop db
comes '[ "$(show ActiveState db)" = inactive ]'
try show Result db
sleep 0.5
try show ActiveState db again

# what no restart mends
hr systemd install bad >/dev/null
try systemctl start hostrun@bad
try systemctl show --property=ActiveState,NRestarts,ExecMainStatus hostrun@bad
# a status that means that, of the container: it is started again, once, as its policy has it
hr systemd install two >/dev/null
systemctl start hostrun@two
comes '[ "$(show ActiveState two)" = failed ]'
try systemctl show --property=ActiveState,NRestarts,ExecMainStatus hostrun@two
# a job that is quick
hr systemd install job >/dev/null
try systemctl start hostrun@job
comes '[ "$(show ActiveState job)" = inactive ]'
try show Result job

# the watchdog
hr systemd install dog >/dev/null
mkdir -p /etc/systemd/system/hostrun@dog.service.d
printf '[Service]\nWatchdogSec=4s\nTimeoutAbortSec=500ms\n' >/etc/systemd/system/hostrun@dog.service.d/20-test.conf
try hr systemd install --now dog
before=$(pid dog)
sleep 4.5
[ "$(pid dog)" = "$before" ] || echo "NO PINGS"
kill -STOP $(show MainPID dog)
restarted dog 1 $before
try show NRestarts dog
try hr systemd uninstall -y dog
rm -r /etc/systemd/system/hostrun@dog.service.d

# one that runs already becomes the service's, and hostrun supervise leaves it alone
hr up plain >/dev/null
before=$(pid plain)
hr systemd install plain >/dev/null
try systemctl start hostrun@plain
up_again plain $before
try hr inspect --format '{{.unit}}' plain
before=$(pid plain)
kill -9 $before
restarted plain 1 $before
try show NRestarts plain
try hr down -y plain
comes '[ "$(show ActiveState plain)" = inactive ]'

# a profile of a stack, which no directory of profiles leads to, and replicas
try hr systemd install --now ./shop.yaml:shop
try show ActiveState shop
try hr systemd install --now many
try hr exec many-2 -- sh -c 'echo $HOSTRUN_REPLICA'
echo 'stop_grace_period: 33s' >>profiles/many.yaml
try hr diff many
before=$(pid many-2)
for i in 1 2; do systemctl reload hostrun@many-$i && comes "hr inspect many-$i | grep stop-seconds.*33"; done
[ "$(pid many-2)" = "$before" ] || echo CHANGED
try hr diff many
try hr systemd uninstall -y many ./shop.yaml
try hr systemd uninstall -y mani

# all of them can be verified, and nothing stays
for name in web db bad job plain; do hr systemd print $name >/run/systemd/hostrun@$name.service; done
hr systemd print --supervisor >/run/systemd/hostrun.service
mkdir /run/u && for name in web db; do hr systemd print --user $name >/run/u/hostrun@$name.service; done
verify() { systemd-analyze verify --man=no /run/systemd/hostrun*.service && XDG_RUNTIME_DIR=/run systemd-analyze --user verify --man=no /run/u/hostrun@*.service; }
try verify
try engine_at again
try hr systemd uninstall -y web db bad two job plain
rm -r /etc/systemd/system/hostrun@.service.d
left() { find /etc/systemd -name '*hostrun@*'; hr ps -aq; find /sys/fs/cgroup -path '*hostrun@*'; systemctl list-units --all --plain --no-legend 'hostrun@*'; }
try left

# without units of their own: the supervisor is one, which systemd brings back
hr up kept held >/dev/null
supervisors() { systemctl list-units --plain --no-legend --state=active 'hostrun-hostrun-*' | cut -d' ' -f1; }
comes '[ "$(supervisors)" ]'
before=$(pid kept)
kill -9 $(systemctl show --property=MainPID --value $(supervisors)) $before
comes 'another kept "$before"'
try hr stop held
`)
	if err == nil { // and after a boot
		var again string
		again, err = m.Boot(onSystemd + `
hr systemd print --supervisor >/run/systemd/system/hostrun.service
mkdir /run/systemd/system/hostrun.service.d
printf '[Unit]\nDefaultDependencies=no\n[Service]\nRestartSec=200ms\n' >/run/systemd/system/hostrun.service.d/00-test.conf
systemctl daemon-reload
systemctl start hostrun.service
comes '[ "$(pid kept)" ]'
before=$(pid kept)
kill -9 $(systemctl show --property=MainPID --value hostrun.service) $before
comes 'another kept "$before"'
boots() { hr ps -a --format '{{.container}} {{.status}}'; systemctl show --property=NRestarts hostrun.service; }
try boots
hr down -y kept
comes '[ "$(systemctl show --property=ActiveState --value hostrun.service)" = inactive ]'
try systemctl show --property=Result hostrun.service
`)
		out += again
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if os.Getenv("HOSTRUN_SHOW") != "" {
		t.Log(out)
	}
	for _, word := range []string{"NEVER", "CHANGED", "STILL THERE", "NO PINGS"} {
		if strings.Contains(out, word) {
			t.Errorf("%s\n%s", word, out)
		}
	}
	expect(t, out, map[string][]string{
		"hr systemd install web":                  {"/etc/systemd/system/hostrun@.service\n", "hostrun@db.service.d/10-profile.conf", "hostrun@web.service.d/10-profile.conf", "status 0"},
		"timeout 300 systemctl start hostrun@web": {"status 0"},
		"show ActiveState db":                     {"active\n"},
		"show StatusText db":                      {"healthy\n"},
		"show StatusText web":                     {"running\n"},
		"order":                                   {"status 0"},
		"groups":                                  {"/hostrun.slice/hostrun@web.service/container\n/hostrun.slice/hostrun@web.service/supervisor\n"},
		"engine_at":                               {"/hostrun-engine", ".service ", "hostrun-engine\n"},
		"journal web":                             {"hello\n", "oops\n"},
		"hr logs web":                             {"hello\n", "oops\n"},
		"hr ps":                                   {"web", "db", "(healthy)"},
		"hr up web":                               {"web unchanged", "status 0"},
		"hr restart web":                          {"HR260", "systemctl restart hostrun@web.service", "status 75"},
		"hr up --supervise web":                   {"HR261", "status 75"},
		"sees":                                    {"!not permitted", "!Permission denied", "Read-only file system"},
		"show NRestarts web":                      {"1\n"},
		"show NRestarts web again":                {"2\n"},
		"show NRestarts web more":                 {"3\n"},
		"systemctl reload hostrun@web":            {"status 0"},
		"show StatusText web reloaded":            {"HR264", "process.args"},
		"systemctl stop hostrun@web":              {"status 0"},
		"show Result web":                         {"success\n"},
		"hr ps -a":                                {"Exited (0)"},
		"hr stop db":                              {"status 0"},
		"show Result db":                          {"success\n"},
		"show ActiveState db again":               {"inactive\n"},
		"systemctl start hostrun@bad":             {"status 1"},
		"systemctl show --property=ActiveState,NRestarts,ExecMainStatus hostrun@bad": {"NRestarts=0\n", "ExecMainStatus=78\n", "ActiveState=failed\n"},
		"systemctl show --property=ActiveState,NRestarts,ExecMainStatus hostrun@two": {"NRestarts=2\n", "ExecMainStatus=1\n"},
		"systemctl start hostrun@job":                      {"status 0"},
		"show Result job":                                  {"success\n"},
		"hr systemd install --now dog":                     {"status 0"},
		"show NRestarts dog":                               {"1\n"},
		"hr systemd uninstall -y dog":                      {"status 0"},
		"systemctl start hostrun@plain":                    {"status 0"},
		"hr inspect --format {{.unit}} plain":              {"hostrun@plain.service"},
		"show NRestarts plain":                             {"1\n"},
		"verify":                                           {"status 0", "!Unknown", "!ignoring"},
		"engine_at again":                                  {"hostrun-engine\n"},
		"hr systemd uninstall -y web db bad two job plain": {"status 0"},
		"left": {"!hostrun@", "status 0"},
		"hr systemd install --now ./shop.yaml:shop":        {"status 0"},
		"show ActiveState shop":                            {"active\n"},
		"hr systemd install --now many":                    {"hostrun@many-1.service.d", "hostrun@many-2.service.d", "status 0"},
		"hr exec many-2 -- sh -c echo $HOSTRUN_REPLICA":    {"2\n"},
		"hr diff many":                                     {"profiles/many.yaml", "stop_grace_period"},
		"hr diff many again":                               {"many-1: up would leave it as it is\n", "!stop_grace_period"},
		"hr systemd uninstall -y many ./shop.yaml":         {"status 0"},
		"hr systemd uninstall -y mani":                     {"there are no units of mani", "status 0"},
		"hr stop held":                                     {"status 0"},
		"boots":                                            {"kept running", "held exited\n", "NRestarts=1\n"},
		"systemctl show --property=Result hostrun.service": {"Result=success\n"},
	})
}
