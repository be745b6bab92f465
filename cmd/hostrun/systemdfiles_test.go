package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
)

// servicesIn are those of a machine that is a directory, with profiles beside it.
func servicesIn(t *testing.T, o systemdOptions, files map[string]string) *services {
	t.Helper()
	s, _, _ := testSession()
	s.root, s.dir, s.program = t.TempDir(), t.TempDir(), "/usr/local/bin"
	s.env = map[string]string{"HOME": "/root", "PATH": "/opt/venv/bin:/bin", "VIRTUAL_ENV": "/opt/venv", "TOKEN": "of the shell", "XDG_RUNTIME_DIR": "/run/user/0"}
	for name, text := range files {
		write(t, filepath.Join(s.dir, "profiles", name), text)
	}
	v, err := s.newServices(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestUnitsOfDependenciesAreWritten: and only what has changed, and all of it goes again.
func TestUnitsOfDependenciesAreWritten(t *testing.T) {
	v := servicesIn(t, systemdOptions{}, map[string]string{"web.yaml": "image: x\ndepends_on: [db]\n", "db.yaml": "image: x\npython: auto\n"})
	if _, err := v.add("web"); err != nil {
		t.Fatal(err)
	}
	written, err := v.write()
	want := []string{"/etc/systemd/system/hostrun@.service", "/etc/systemd/system/hostrun@db.service.d/10-profile.conf", "/etc/systemd/system/hostrun@web.service.d/10-profile.conf"}
	if err != nil || !slices.Equal(written, want) {
		t.Errorf("%v: %q", err, written)
	}
	if written, err := v.write(); err != nil || len(written) > 0 {
		t.Errorf("again: %v: %q", err, written)
	}
	db, web := v.found["db"].text, v.found["web"].text
	if !strings.Contains(db, "Environment=VIRTUAL_ENV=/opt/venv\n") || strings.Contains(web, "VIRTUAL_ENV") || !strings.Contains(web, "Environment=HOME=/root\n") || strings.Contains(db+web, "of the shell") {
		t.Errorf("the environment:\n%s\n%s", db, web)
	}
	if err := v.remove("web"); err != nil {
		t.Error(err)
	}
	_ = v.removeTemplate()
	if _, err := os.Stat(filepath.Join(v.root, want[0])); err != nil {
		t.Error("the template is gone, and db needs it")
	}
	if err := v.remove("db"); err != nil {
		t.Error(err)
	}
	if err := v.removeTemplate(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(v.root, "/etc/systemd/system/*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestTemplateOfThePackageIsUsed: unless it is for another program.
func TestTemplateOfThePackageIsUsed(t *testing.T) {
	v := servicesIn(t, systemdOptions{}, map[string]string{"web.yaml": "image: x\n"})
	file := filepath.Join(v.root, "usr/local/lib/systemd/system/hostrun@.service")
	write(t, file, v.template)
	if _, err := v.add("web"); err != nil || !v.hasTemplate() {
		t.Errorf("%v: it is not seen", err)
	}
	write(t, file, strings.ReplaceAll(v.template, "/usr/local/bin/hostrun", "/opt/hostrun"))
	if v.hasTemplate() {
		t.Error("another program's")
	}
}

// TestTemplateOfAPersonIsLeft: install wrote over a template that systemctl edit --full had made, and through the link of a masked one.
func TestTemplateOfAPersonIsLeft(t *testing.T) {
	v := servicesIn(t, systemdOptions{}, map[string]string{"web.yaml": "image: x\n"})
	file := filepath.Join(v.root, "etc/systemd/system/hostrun@.service")
	var said bytes.Buffer
	v.s.stderr = &said
	if _, err := v.add("web"); err != nil {
		t.Fatal(err)
	}
	for _, mine := range []string{"mine", sealed(v.template) + "# and mine\n"} {
		write(t, file, mine)
		said.Reset()
		written, err := v.write()
		if text, _ := os.ReadFile(file); err != nil || string(text) != mine || slices.Contains(written, v.templateFile()) || !strings.Contains(said.String(), finding.TemplateOther) {
			t.Errorf("%v: %q: said %q, left %q", err, written, said.String(), text)
		}
		if err := v.removeTemplate(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error("it was removed")
		}
	}
	write(t, file, sealed("# of an older hostrun\n"))
	if _, err := v.write(); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(file); string(text) != sealed(v.template) {
		t.Errorf("an older one's is not replaced: %q", text)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.DevNull, file); err != nil {
		t.Fatal(err)
	}
	if _, err := v.write(); finding.StatusOf(err) != finding.StatusTryAgain || !strings.Contains(fmt.Sprint(err), finding.TemplateOther) {
		t.Errorf("masked: %v", err)
	}
}

// TestUninstallOfNoUnit: a name that is misspelled was uninstalled without a word.
func TestUninstallOfNoUnit(t *testing.T) {
	v := servicesIn(t, systemdOptions{}, map[string]string{"web.yaml": "image: x\n"})
	if v.knows(context.Background(), "web") {
		t.Error("it is not installed")
	}
	if _, err := v.add("web"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.write(); err != nil {
		t.Fatal(err)
	}
	if !v.knows(context.Background(), "web") || v.knows(context.Background(), "we") {
		t.Error("it is installed, and no other")
	}
	if err := v.remove("web"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(v.root, v.dir, "multi-user.target.wants"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(v.templateFile(), filepath.Join(v.root, v.dir, "multi-user.target.wants/hostrun@web.service")); err != nil {
		t.Fatal(err)
	}
	if !v.knows(context.Background(), "web") {
		t.Error("it is enabled")
	}
}

// TestServiceHasNoShell: a variable of the shell that installs it is missing, and the error says where it belongs.
func TestServiceHasNoShell(t *testing.T) {
	v := servicesIn(t, systemdOptions{}, map[string]string{"web.yaml": "image: x\nenvironment: {A: \"${TOKEN}\"}\n"})
	_, err := v.add("web")
	if err == nil || finding.StatusOf(err) != finding.StatusProfile || !strings.Contains(strings.Join(finding.HintOf(err), " "), "/etc/hostrun/web.env") {
		t.Errorf("%v, hint %q", err, finding.HintOf(err))
	}
	write(t, filepath.Join(v.root, "etc/hostrun/web.env"), "# secret\nTOKEN=\"t 1\"\n")
	if _, err := v.add("web"); err != nil {
		t.Error(err)
	}
}

// TestGlobalFlagsGoIntoTheUnit: a service looks for its containerd where the one looked who installed it.
func TestGlobalFlagsGoIntoTheUnit(t *testing.T) {
	v := servicesIn(t, systemdOptions{user: true}, map[string]string{"web.yaml": "image: x\n"})
	v.s.global.address, v.s.global.namespace = "unix://c.sock", "other"
	added, err := v.add("./profiles/web.yaml")
	if err != nil {
		t.Fatal(err)
	}
	one := added[0]
	for _, want := range []string{"Environment=CONTAINERD_ADDRESS=" + v.s.dir + "/c.sock\n", "Environment=HOSTRUN_NAMESPACE=other\n", "--profile-dir=" + v.s.dir + "/profiles "} {
		if !strings.Contains(one.text, want) {
			t.Errorf("no %q in\n%s", want, one.text)
		}
	}
	if v.dropInFile("web") != "/root/.config/systemd/user/hostrun@web.service.d/10-profile.conf" || v.envFile("web") != "/root/.config/hostrun/web.env" {
		t.Errorf("%s %s", v.dropInFile("web"), v.envFile("web"))
	}
}

// TestServicesOfAStack: each finds its profile again in the stack's file, which no directory of profiles leads to.
func TestServicesOfAStack(t *testing.T) {
	v := servicesIn(t, systemdOptions{}, map[string]string{"../shop.yaml": "profiles:\n  web: {image: x, depends_on: [db]}\n  db: {image: x}\n  other: {image: x}\n"})
	added, err := v.add("./shop.yaml:web")
	if err != nil || len(added) != 1 || added[0].name != "web" || len(v.found) != 2 {
		t.Fatalf("%v: %+v, %d", err, added, len(v.found))
	}
	if want := "up --supervise %i\n"; !strings.Contains(added[0].text, " --profile-dir="+v.s.dir+"/shop.yaml ") || !strings.Contains(added[0].text, want) {
		t.Errorf("in\n%s", added[0].text)
	}
	if added, err = v.add("./shop.yaml"); err != nil || len(added) != 3 {
		t.Errorf("the whole: %v: %d", err, len(added))
	}
	if ids := v.installed("./shop.yaml"); !slices.Equal(ids, []string{"web", "db", "other"}) {
		t.Errorf("to be uninstalled: %q", ids)
	}
	again := servicesIn(t, systemdOptions{}, nil)
	_ = again.s.global.profileDirs.Set(v.s.dir + "/shop.yaml")
	if added, err := again.add("web"); err != nil || len(added) != 1 {
		t.Errorf("as the service finds it: %v", err)
	}
}

// TestServicesOfReplicas: one for each, and what needs them waits for all.
func TestServicesOfReplicas(t *testing.T) {
	v := servicesIn(t, systemdOptions{}, map[string]string{"web.yaml": "image: x\nreplicas: 2\n", "front.yaml": "image: x\ndepends_on: [web]\n"})
	added, err := v.add("web")
	if err != nil || len(added) != 2 || added[1].name != "web-2" {
		t.Fatalf("%v: %+v", err, added)
	}
	for _, want := range []string{"10-profile.conf of hostrun@web-2.service:", " up --supervise --replica=2 web\n", "\nEnvironmentFile=-/etc/hostrun/web.env\n"} {
		if !strings.Contains(added[1].text, want) {
			t.Errorf("no %q in\n%s", want, added[1].text)
		}
	}
	if added, err = v.add("front"); err != nil || !strings.Contains(added[0].text, "\nRequires=hostrun@web-1.service hostrun@web-2.service\nAfter=hostrun@web-1.service hostrun@web-2.service\n") {
		t.Errorf("%v: %s", err, added[0].text)
	}
	if _, err := v.write(); err != nil {
		t.Fatal(err)
	}
	if ids := v.installed("web"); !slices.Equal(ids, []string{"web-1", "web-2", "web"}) {
		t.Errorf("to be uninstalled: %q", ids)
	}
}
