package unit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/profiles"
)

func TestSupervisor(t *testing.T) {
	machine, person := Supervisor("/usr/bin/hostrun", false), Supervisor("/usr/bin/hostrun", true)
	for _, want := range []string{"\nExecStart=/usr/bin/hostrun ", " supervise --until-idle\n", "\nWantedBy=multi-user.target\n", "\nConditionDirectoryNotEmpty=/var/lib/hostrun/containers\n"} {
		if !strings.Contains(machine, want) {
			t.Errorf("no %q in\n%s", want, machine)
		}
	}
	if strings.Contains(person, "/var/lib") || !strings.Contains(person, "\nWantedBy=default.target\n") {
		t.Errorf("a person's:\n%s", person)
	}
}

func TestTemplate(t *testing.T) {
	machine, person := Template("/usr/bin/hostrun", false), Template("/home/a b/100%/$x/hostrun", true)
	for text, wants := range map[string][]string{
		machine: {"\nExecStart=/usr/bin/hostrun --progress=plain --color=never up --supervise %i\n", "\nSlice=hostrun.slice\n", "\nWantedBy=multi-user.target\n",
			"\nRestartPreventExitStatus=2 65 66 69 77 78\n", "\nWants=network-online.target containerd.service\n", "hostrun-engine.service", "\nDelegate=yes\n", "\nKillMode=mixed\n",
			"\nExecStopPost=-/usr/bin/hostrun ", "\nEnvironmentFile=-/etc/hostrun/%i.env\n"},
		person: {`ExecStart="/home/a b/100%%/$x/hostrun" --progress`, "\nWantedBy=default.target\n", "\nEnvironmentFile=-%E/hostrun/%i.env\n"},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if strings.Contains(text, "%I") || strings.Contains(text, "@PROGRAM@") || strings.Contains(text, "system: ") || strings.Contains(text, "user: ") {
			t.Errorf("left in it:\n%s", text)
		}
	}
	for _, not := range []string{"Slice=", "containerd.service", "multi-user"} { // a person's systemd has none of them
		if strings.Contains(person, not) {
			t.Errorf("%q in\n%s", not, person)
		}
	}
	for _, not := range []string{"DevicePolicy=c", "PrivateDevices", "RuntimeDirectory"} { // the last would remove hostrun's own
		if strings.Contains(machine, "\n"+not) {
			t.Errorf("%q in\n%s", not, machine)
		}
	}
}

// TestNames: what a profile may be called is what an instance may be called (systemd-escape(1) of systemd 252 gives the third column).
func TestNames(t *testing.T) {
	for _, c := range []struct{ profile, unit, escaped string }{
		{"web", "hostrun@web.service", "web"},
		{"my-model", "hostrun@my-model.service", `my\x2dmodel`},
		{"a.b_c-d", "hostrun@a.b_c-d.service", `a.b_c\x2dd`},
		{"7b", "hostrun@7b.service", "7b"},
	} {
		if !profiles.NameForm.MatchString(c.profile) || Name(c.profile) != c.unit || Profile(c.profile) != c.profile || Profile(c.escaped) != c.profile {
			t.Errorf("%s: unit %s, of the escaped one %s", c.profile, Name(c.profile), Profile(c.escaped))
		}
	}
	for _, odd := range []string{`a\x2`, `a\xzz`, `a\`, ""} {
		if Profile(odd) != odd {
			t.Errorf("%q becomes %q", odd, Profile(odd))
		}
	}
}

// profile reads one, as a file has it.
func profile(t *testing.T, name, text string) *profiles.Profile {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte("image: x\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := profiles.Load(profiles.Options{Dirs: []string{dir}, Cwd: dir}, name)
	if err != nil {
		t.Fatal(err)
	}
	p.File = "/etc/hostrun/profiles/" + name + ".yaml"
	return p
}

func TestDropIn(t *testing.T) {
	p := profile(t, "dinov2", `volumes: ["/data/models:/m", "/data/models:/n:ro", "/my data/50%:/x", "named:/y"]
depends_on: {minio: {condition: healthy}, cache: {condition: started, required: false}}
stop_grace_period: 2m
mem_limit: 200gb
pids_limit: 100
restart: on-failure:3
python: /opt/venvs/vision
cuda: /usr/local/cuda
`)
	got := DropIn(p, Options{Program: "/usr/bin/hostrun", ProfileDirs: []string{"/srv/my app"}, Environment: []string{`A=b "c" \d 5%`, "PATH=/bin"}, Version: 254})
	for _, want := range []string{
		"\n[Unit]\nRequiresMountsFor=\"/my data/50%%\" /data/models /etc/hostrun/profiles /opt/venvs/vision /usr/local/cuda\n",
		"\nRequires=hostrun@minio.service\nAfter=hostrun@minio.service\n", "\nWants=hostrun@cache.service\nAfter=hostrun@cache.service\n", "\nStartLimitBurst=4\n",
		"\n[Service]\nExecStart=\nExecStart=/usr/bin/hostrun \"--profile-dir=/srv/my app\" --progress=plain --color=never up --supervise %i\n",
		"\nEnvironment=\"A=b \\\"c\\\" \\\\d 5%%\"\n", "\nEnvironment=PATH=/bin\n",
		"\nTimeoutStopSec=150s\n", "\nRestart=on-failure\n", "\nRestartSteps=6\n", "\nMemoryMax=215285235712\n", "\nTasksMax=356\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if plain := DropIn(profile(t, "p", ""), Options{}); strings.Contains(plain, "[Service]") || strings.Contains(plain, "Restart") {
		t.Errorf("of a profile that says nothing:\n%s", plain)
	}
}

// TestOddPaths: as systemd 252 reads them: the program of a line is no place for variables, and the file of EnvironmentFile= has no quotes.
func TestOddPaths(t *testing.T) {
	got := DropIn(profile(t, "p", ""), Options{Program: "/opt/my $x 5%/hostrun", ProfileDirs: []string{"/srv/my $x"}, EnvironmentFile: "/home/me and you/5%/p.env", Version: 252})
	for _, want := range []string{"\nExecStart=\"/opt/my $x 5%%/hostrun\" \"--profile-dir=/srv/my $$x\" ", "\nEnvironmentFile=-/home/me and you/5%%/p.env\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestRestartPolicies(t *testing.T) {
	for policy, want := range map[string]string{"restart: no\n": "Restart=no", "restart: always\n": "Restart=always", "restart: unless-stopped\n": "Restart=always", "restart: on-failure\n": "Restart=on-failure", "": ""} {
		got := DropIn(profile(t, "p", policy), Options{Version: 252})
		if want == "" && strings.Contains(got, "Restart") || !strings.Contains(got, want) || strings.Contains(got, "RestartSteps") {
			t.Errorf("%q:\n%s", policy, got)
		}
		if always := strings.Contains(got, "StartLimitIntervalSec=0"); always != strings.Contains(got, "=always") {
			t.Errorf("%q: does it give up?\n%s", policy, got)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 90 * time.Second: "90s", 1500 * time.Millisecond: "1500ms"} {
		if got := span(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}
