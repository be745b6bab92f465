package main

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"hostrun.dev/hostrun/integration/fixture"
)

// TestSubset is `make truth` in small: the standard libraries of two releases and deliberate damage, in the roots that
// integration/fetch-pythons.sh unpacks.
func TestSubset(t *testing.T) {
	trees := filepath.Join(cmp.Or(os.Getenv("HOSTRUN_TEST_CACHE"), "/var/cache/hostrun-test"), "pythons")
	images := []image{
		{name: "bookworm", root: filepath.Join(trees, "bookworm-amd64"), python: "/usr/bin/python3.11"},
		{name: "bookworm-debug", root: filepath.Join(trees, "bookworm-amd64"), python: "/usr/bin/python3.11d"},
		{name: "minimal", root: filepath.Join(trees, "minimal-amd64"), python: "/usr/bin/python3.11"},
		{name: "trixie", root: filepath.Join(trees, "trixie-amd64"), python: "/usr/bin/python3.13"},
	}
	require(t, images)
	bookworm := filepath.Join(images[0].root, "usr/lib/python3.11/lib-dynload")
	damage := t.TempDir()
	if err := damageSet(damage, []string{only(t, bookworm, "_json.*-311-*.so"), only(t, bookworm, "_ctypes.*-311-*.so")}); err != nil {
		t.Fatal(err)
	}
	sets := []set{{name: "bookworm", dir: bookworm}, {name: "damage", dir: damage},
		{name: "trixie", dir: filepath.Join(images[3].root, "usr/lib/python3.13/lib-dynload")}}
	total := 0
	for _, s := range sets {
		s.at, s.modules = siteAt, modules(s.dir)
		for _, i := range images {
			t.Run(s.name+" in "+i.name, func(t *testing.T) { total += compareOne(t, s, i) })
		}
	}
	if total < 1000 {
		t.Errorf("only %d pairs were compared", total)
	}
}

// TestMusl opens deliberate damage, and what the compiler makes, in a root of musl.
func TestMusl(t *testing.T) {
	cache := cmp.Or(os.Getenv("HOSTRUN_TEST_CACHE"), "/var/cache/hostrun-test")
	musl := image{name: "musl", root: filepath.Join(cache, "truth/roots/musl")}
	if _, err := os.Stat(musl.root); err != nil {
		fixture.Skip(t, "no root of musl (integration/truth/roots.sh musl)")
	}
	require(t, nil)
	damage := t.TempDir()
	if err := damageSet(damage, []string{only(t, filepath.Join(cache, "pythons/bookworm-amd64/usr/lib/python3.11/lib-dynload"), "_json.*-311-*.so")}); err != nil {
		t.Fatal(err)
	}
	if n := compareOne(t, set{name: "damage", dir: damage, at: siteAt, modules: modules(damage)}, musl); n < 50 {
		t.Errorf("only %d pairs were compared", n)
	}
}

// require skips where something that the comparison needs is missing.
func require(t *testing.T, images []image) {
	if os.Geteuid() != 0 {
		fixture.Skip(t, "containers need root")
	}
	for _, program := range []string{"runc", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			fixture.Skip(t, program+" is not installed (integration/setup.sh)")
		}
	}
	for _, i := range images {
		if _, err := os.Stat(filepath.Join(i.root, i.python)); err != nil {
			fixture.Skip(t, "no interpreter in "+i.root+" (integration/fetch-pythons.sh)")
		}
	}
}

func only(t *testing.T, dir, pattern string) string {
	found, _ := filepath.Glob(filepath.Join(dir, pattern))
	if len(found) != 1 {
		t.Fatalf("%s in %s: %q", pattern, dir, found)
	}
	return found[0]
}

func compareOne(t *testing.T, s set, i image) int {
	all, err := oracle{t.TempDir(), 5 * time.Minute}.compare(context.Background(), s, i)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.falseAlarm() || c.miss() {
			t.Errorf("%s: predicted %s, really %s", c.path, said(c.predicted), c.real)
		}
	}
	return len(all)
}
