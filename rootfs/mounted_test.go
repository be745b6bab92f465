package rootfs

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
)

func TestMounted(t *testing.T) {
	image := tree(t, "image", "usr/lib/a", "usr/lib/site/hidden", "lib -> usr/lib", "var/run -> /run", "run/", "dangling -> /made/here", "file", "usr/x/y/z")
	site := tree(t, "site", "m.so", "sub/n.so", "abs -> /usr/lib/a", "up -> ../../../usr/lib/a")
	single := filepath.Join(tree(t, "host", "cache"), "cache")
	outer := tree(t, "outer", "deep/seen")
	view, err := Mounted(Dir(image),
		Mount{site, "/lib/site"},
		Mount{single, "/etc/ld.so.cache"},
		Mount{site, "/opt/hostrun/site"},
		Mount{single, "/opt/hostrun/site/sub/n.so"},
		Mount{single, "/var/run/file"},
		Mount{single, "/dangling"},
		Mount{site, "/usr/x/y"},
		Mount{outer, "/usr/x"},
	)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		"/usr/lib/a": "image usr/lib/a", "/lib/site/m.so": "site m.so", "/usr/lib/site/sub/n.so": "site sub/n.so",
		"/usr/lib/site/abs": "image usr/lib/a", "/etc/ld.so.cache": "host cache", "/opt/hostrun/site/m.so": "site m.so",
		"/opt/hostrun/site/sub/n.so": "host cache", "/run/file": "host cache", "/made/here": "host cache",
		"/usr/x/deep/seen": "outer deep/seen", "/usr/lib/site/up": "image usr/lib/a", "/opt/hostrun/../../lib/a": "image usr/lib/a",
	} {
		if got := read(t, view, p); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	for _, p := range []string{"/lib/site/hidden", "/usr/x/y", "/usr/x/y/m.so", "/etc/other", "/opt/other", "/etc/ld.so.cache/x"} {
		if _, err := view.Resolve(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", p, err)
		}
	}
	for p, want := range map[string][]string{
		"/": {"dangling", "etc", "file", "lib", "made", "opt", "run", "usr", "var"}, "/opt": {"hostrun"}, "/opt/hostrun": {"site"},
		"/lib": {"a", "site"}, "/lib/site": {"abs", "m.so", "sub", "up"}, "/run": {"file"}, "/etc": {"ld.so.cache"}, "/usr/x": {"deep"},
	} {
		if got := names(t, view, p); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	if fi, err := view.Stat("/opt"); err != nil || !fi.IsDir() || fi.Name() != "opt" {
		t.Errorf("a mount's parent: %v %v", fi, err)
	}
	if _, err := view.Open("/opt"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("open a mount's parent: %v", err)
	}
}

func TestMountedOnLayers(t *testing.T) {
	top, bottom := tree(t, "top", "usr/lib/t"), tree(t, "bottom", "usr/lib/b", "etc/f")
	view, err := Mounted(Layers(top, bottom), Mount{tree(t, "host", "x"), "/usr/lib/host"})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, view, "/usr/lib"); !slices.Equal(got, []string{"b", "host", "t"}) {
		t.Errorf("/usr/lib: %q", got)
	}
	if got := read(t, view, "/usr/lib/host/x"); got != "host x" {
		t.Error(got)
	}
}

func TestMountedRefuses(t *testing.T) {
	image := tree(t, "image", "loop -> loop2", "loop2 -> loop", "a -> b/c", "b -> a")
	if _, err := Mounted(Dir(image), Mount{filepath.Join(image, "nowhere"), "/x"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent source: %v", err)
	}
	for _, at := range []string{"/loop/x", "/a", "/b/q"} {
		if _, err := Mounted(Dir(image), Mount{image, at}); !errors.Is(err, ErrTooManyLinks) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// The kernel takes ".." from where a link has led, not from where it lies.
func TestDotsAfterLink(t *testing.T) {
	view := Dir(tree(t, "", "a/b/file", "link -> a/b", "a/other", "other"))
	if r, err := view.Resolve("/link/../other"); err != nil || r.Path != "/a/other" {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := view.Resolve("/other/../a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file has no ..: %v", err)
	}
	if r, err := view.ResolveIn("/a", "b/../../link/file"); err != nil || r.Path != "/a/b/file" {
		t.Errorf("%+v %v", r, err)
	}
	r, err := view.Resolve("/link/../other")
	if err != nil {
		t.Fatal(err)
	}
	f, err := view.OpenResolved(r)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != " a/other" {
		t.Errorf("%q %v", b, err)
	}
}
