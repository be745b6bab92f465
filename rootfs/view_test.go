package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tree makes files below a new directory: "path" a directory when it ends in /, "path -> target" a link, else a file
// whose content is its own layer's name and path.
func tree(t *testing.T, layer string, entries ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, e := range entries {
		name, target, link := strings.Cut(e, " -> ")
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case link:
			err = os.Symlink(target, p)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		default:
			err = os.WriteFile(p, []byte(layer+" "+name), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestResolve(t *testing.T) {
	entries := []string{
		"usr/bin/python3.11", "usr/bin/python3 -> python3.11", "bin -> usr/bin", "abs -> /usr/bin/python3.11",
		"up -> ../../../../../../usr/bin/python3", "dir/link -> ../usr//./bin/", "loop -> loop2", "loop2 -> loop",
		"gone -> /nowhere/python3", "host -> /etc/hostname", "dots -> ..", "empty/",
	}
	for i := range MaxLinks + 1 {
		entries = append(entries, fmt.Sprintf("hop%d -> hop%d", i+1, i))
	}
	entries = append(entries, "hop0")
	view := Dir(tree(t, "", entries...))
	tests := []struct {
		path, want string
		err        error
		names      string // what the error must say
	}{
		{path: "/", want: "/"},
		{path: "", want: "/"},
		{path: "usr/bin/python3", want: "/usr/bin/python3.11"},
		{path: "/bin/python3", want: "/usr/bin/python3.11"},
		{path: "/abs", want: "/usr/bin/python3.11"},
		{path: "/up", want: "/usr/bin/python3.11"},
		{path: "/../../usr/bin", want: "/usr/bin"},
		{path: "/dir/link/python3", want: "/usr/bin/python3.11"},
		{path: "/dots/dots/usr", want: "/usr"},
		{path: "/hop40", want: "/hop0"},
		{path: "/hop41", err: ErrTooManyLinks},
		{path: "/loop", err: ErrTooManyLinks, names: "loop"},
		{path: "/gone", err: fs.ErrNotExist, names: "/gone -> /nowhere/python3"},
		{path: "/host", err: fs.ErrNotExist, names: "/host -> /etc/hostname"},
		{path: "/usr/bin/python3/x", err: fs.ErrNotExist},
		{path: "/nothing", err: fs.ErrNotExist, names: "/nothing"},
	}
	for _, tt := range tests {
		r, err := view.Resolve(tt.path)
		if !errors.Is(err, tt.err) || r.Path != tt.want && tt.err == nil {
			t.Errorf("Resolve(%q) = %q, %v; want %q, %v", tt.path, r.Path, err, tt.want, tt.err)
		}
		if err != nil && !strings.Contains(err.Error(), tt.names) {
			t.Errorf("Resolve(%q): error %q does not name %q", tt.path, err, tt.names)
		}
	}
	if fi, err := view.Lstat("/bin/python3"); err != nil || fi.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("Lstat followed the last link: %v, %v", fi, err)
	}
	if target, err := view.Readlink("/bin/python3"); err != nil || target != "python3.11" {
		t.Errorf("Readlink = %q, %v", target, err)
	}
	if view.IsDir("/gone") || !view.IsDir("/bin") || view.IsDir("/abs") || view.Exists("/host") {
		t.Error("IsDir or Exists is wrong")
	}
}

func TestReadFileKeepsItsLimit(t *testing.T) {
	view := Dir(tree(t, "", "ten--"))
	for limit, want := range map[int64]error{6: nil, 7: nil, 5: ErrTooLarge, 0: ErrTooLarge} {
		if _, err := view.ReadFile("/ten--", limit); !errors.Is(err, want) {
			t.Errorf("ReadFile of 6 bytes with limit %d: %v, want %v", limit, err, want)
		}
	}
	if _, err := view.ReadFile("/", 10); !errors.Is(err, ErrNotRegular) {
		t.Errorf("ReadFile of a directory: %v", err)
	}
}

// A FIFO that is named like a module would block an ordinary open for ever; a device might do anything.
func TestOpenTakesRegularFilesOnly(t *testing.T) {
	root := tree(t, "", "lib/link -> fifo", "lib/null -> /dev/null")
	if err := syscall.Mkfifo(filepath.Join(root, "lib/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Join(root, "lib/socket")}); err != nil {
		t.Fatal(err)
	}
	view := Dir(root)
	for _, p := range []string{"/lib/fifo", "/lib/link", "/lib/socket", "/lib"} {
		if f, err := view.Open(p); !errors.Is(err, ErrNotRegular) {
			t.Errorf("Open(%s) = %v, %v", p, f, err)
		}
	}
	if _, err := Dir("/").Open("/dev/null"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Open of a device: %v", err)
	}
	if _, err := view.Open("/lib/null"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absolute link left the tree: %v", err)
	}
}

func read(t *testing.T, v *View, p string) string {
	t.Helper()
	b, err := v.ReadFile(p, 1000)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func names(t *testing.T, v *View, p string) []string {
	t.Helper()
	entries, err := v.ReadDir(p)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestLayersMergeDirectories(t *testing.T) {
	view := Layers(
		tree(t, "top", "usr/lib/a", "usr/lib/sub/z"),
		tree(t, "middle", "usr/lib/a", "usr/lib/b", "etc/x"),
		tree(t, "bottom", "usr/lib/b", "usr/lib/c", "usr/lib/sub/y"),
	)
	for p, want := range map[string]string{"/usr/lib/a": "top usr/lib/a", "/usr/lib/b": "middle usr/lib/b", "/usr/lib/c": "bottom usr/lib/c"} {
		if got := read(t, view, p); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	if got := names(t, view, "/usr/lib"); !slices.Equal(got, []string{"a", "b", "c", "sub"}) {
		t.Errorf("/usr/lib: %q", got)
	}
	if got := names(t, view, "/usr/lib/sub"); !slices.Equal(got, []string{"y", "z"}) {
		t.Errorf("/usr/lib/sub: %q", got)
	}
	if got := names(t, view, "/"); !slices.Equal(got, []string{"etc", "usr"}) {
		t.Errorf("/: %q", got)
	}
}

func TestLayersFileOverDirectoryAndBack(t *testing.T) {
	view := Layers(
		tree(t, "top", "a", "b/new"),
		tree(t, "bottom", "a/old", "b"),
	)
	if got := read(t, view, "/a"); got != "top a" {
		t.Errorf("/a: %q", got)
	}
	if view.Exists("/a/old") {
		t.Error("a file of the top layer does not hide the directory below it")
	}
	if got := names(t, view, "/b"); !slices.Equal(got, []string{"new"}) {
		t.Errorf("/b: %q", got)
	}
	if _, err := view.ReadDir("/a"); err == nil {
		t.Error("ReadDir of a file gave entries")
	}
}

// A directory over a link of a lower layer: the link must neither be followed, out of the tree, nor merged.
func TestLayersDirectoryOverLinkDoesNotLeaveTheTree(t *testing.T) {
	outside := tree(t, "outside", "secret")
	view := Layers(
		tree(t, "top", "lib/own"),
		tree(t, "middle", "lib -> "+outside),
		tree(t, "bottom", "lib/deep"),
	)
	for _, p := range []string{"/lib/secret", "/lib/deep"} {
		if view.Exists(p) {
			t.Errorf("%s is seen through a link that the top layer hides", p)
		}
	}
	if got := names(t, view, "/lib"); !slices.Equal(got, []string{"own"}) {
		t.Errorf("/lib: %q", got)
	}
}

func TestLayersLinksResolveOverAll(t *testing.T) {
	view := Layers(
		tree(t, "top", "bin -> usr/bin", "usr/bin/python3 -> /usr/bin/python3.11"),
		tree(t, "bottom", "usr/bin/python3.11", "usr/bin/python3 -> /gone"),
	)
	if r, err := view.Resolve("/bin/python3"); err != nil || r.Path != "/usr/bin/python3.11" || len(r.Hops) != 2 {
		t.Errorf("Resolve = %+v, %v", r, err)
	}
}

func TestLayersWithoutAny(t *testing.T) {
	if _, err := Layers().Resolve("/"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no layers: %v", err)
	}
}

// TestOnlyShowsNoMore: what is not named is not there, however a path leads to it.
func TestOnlyShowsNoMore(t *testing.T) {
	whole := Dir(tree(t, "m", "usr/bin/sh", "usr/key -> ../etc/shadow", "bin -> usr/bin", "etc/passwd", "etc/shadow", "etc/ssl/certs/ca", "etc/ssl/private/key", "opt/x/leak -> /root", "root/id"))
	view := whole.Only("/usr", "bin", "/etc/passwd", "/etc/ssl/certs/")
	for _, p := range []string{"/", "/usr", "/bin/sh", "/usr/bin/sh", "/etc", "/etc/passwd", "/etc/ssl", "/etc/ssl/certs/ca", "/etc/ssl/certs/../certs/ca"} {
		if !view.Exists(p) {
			t.Errorf("%s is not there", p)
		}
	}
	for _, p := range []string{"/etc/shadow", "/usr/key", "/etc/ssl/private", "/etc/ssl/private/key", "/usr/../root/id", "/opt", "/opt/x/leak/id", "/root", "/etc/passwd2", "/us"} {
		if view.Exists(p) {
			t.Errorf("%s is there", p)
		}
		if _, err := view.ReadFile(p, 1000); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read %s: %v", p, err)
		}
	}
	for dir, want := range map[string][]string{"/": {"bin", "etc", "usr"}, "/etc": {"passwd", "ssl"}, "/etc/ssl": {"certs"}, "/usr": {"bin", "key"}, "/bin": {"sh"}} {
		if got := names(t, view, dir); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
	if !whole.Exists("/etc/shadow") {
		t.Error("the whole tree lost a file")
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("/a/../b/./c", "../../x")
	f.Add("////", "/")
	f.Add("l/l/l", "l/..")
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, p, target string) {
		link := filepath.Join(root, "l")
		_ = os.Remove(link)
		if os.Symlink(target, link) != nil {
			return
		}
		r, err := Dir(root).Resolve(p)
		if err == nil && r.Real != root && !strings.HasPrefix(r.Real, root+"/") {
			t.Errorf("%q with l -> %q left the tree: %q", p, target, r.Real)
		}
	})
}
