package runtime

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

// TestTreeCopy: what lies in two layers comes as one tree, with owners, modes, times, attributes and links as they are there.
func TestTreeCopy(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	then := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, text string, mode fs.FileMode) string {
		path = filepath.Join(dir, path)
		ok(os.MkdirAll(filepath.Dir(path), 0o755))
		ok(os.WriteFile(path, []byte(text), 0o600))
		ok(os.Chmod(path, mode))
		ok(os.Chtimes(path, then, then))
		return path
	}
	write("lower/data/kept", "kept", 0o640)
	write("lower/data/hidden", "gone", 0o644)
	write("lower/data/sub/one", "lower", 0o644)
	ok(os.Link(filepath.Join(dir, "lower/data/kept"), filepath.Join(dir, "lower/data/twin")))
	program := write("upper/data/sub/program", "upper", 0o755|fs.ModeSetgid)
	ok(unix.Mknod(filepath.Join(dir, "upper/data/hidden"), unix.S_IFCHR, 0)) // overlayfs's mark of a file that is gone
	ok(os.Symlink("/data/sub/../kept", filepath.Join(dir, "upper/data/link")))
	ok(os.Symlink("data", filepath.Join(dir, "upper/alias")))
	ok(unix.Mkfifo(filepath.Join(dir, "upper/data/pipe"), 0o620))
	ok(os.Chown(program, 12, 34))
	ok(os.Chmod(program, 0o755|fs.ModeSetgid))
	attributes := unix.Setxattr(program, "user.word", []byte("value"), 0) == nil
	ok(os.Chown(filepath.Join(dir, "upper/data"), 70, 71))
	ok(os.Chmod(filepath.Join(dir, "upper/data"), 0o700|fs.ModeSticky))

	view := rootfs.Layers(filepath.Join(dir, "upper"), filepath.Join(dir, "lower"))
	to := filepath.Join(dir, "to")
	ok(os.Mkdir(to, 0o755))
	at, err := view.Resolve("/alias")
	ok(err)
	ok(newTreeCopy(context.Background(), view).fill(at.Path, to))

	var st unix.Stat_t
	for path, want := range map[string]struct {
		text     string
		mode     uint32
		uid, gid uint32
	}{
		"":            {"", unix.S_IFDIR | 0o1700, 70, 71},
		"kept":        {"kept", unix.S_IFREG | 0o640, 0, 0},
		"sub":         {"", unix.S_IFDIR | 0o755, 0, 0},
		"sub/one":     {"lower", unix.S_IFREG | 0o644, 0, 0},
		"sub/program": {"upper", unix.S_IFREG | 0o2755, 12, 34},
		"link":        {"", unix.S_IFLNK | 0o777, 0, 0},
		"pipe":        {"", unix.S_IFIFO | 0o600, 0, 0},
	} {
		ok(unix.Lstat(filepath.Join(to, path), &st))
		if path == "pipe" { // the umask took part in it when it was made
			st.Mode = st.Mode&^0o777 | 0o600
		}
		if st.Mode != want.mode || st.Uid != want.uid || st.Gid != want.gid {
			t.Errorf("%q: mode %o of %d:%d, want %o of %d:%d", path, st.Mode, st.Uid, st.Gid, want.mode, want.uid, want.gid)
		}
		if want.text != "" {
			text, err := os.ReadFile(filepath.Join(to, path))
			ok(err)
			if string(text) != want.text || st.Mtim.Sec != then.Unix() {
				t.Errorf("%q: %q of %d", path, text, st.Mtim.Sec)
			}
		}
	}
	if _, err := os.Lstat(filepath.Join(to, "hidden")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the upper layer hides: %v", err)
	}
	one, err := os.Stat(filepath.Join(to, "kept"))
	ok(err)
	if two, err := os.Stat(filepath.Join(to, "twin")); err != nil || !os.SameFile(one, two) {
		t.Errorf("two names of one file have become two files, %v", err)
	}
	if target, err := os.Readlink(filepath.Join(to, "link")); target != "/data/sub/../kept" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	value := make([]byte, 10)
	if n, err := unix.Getxattr(filepath.Join(to, "sub/program"), "user.word", value); attributes && (err != nil || string(value[:n]) != "value") {
		t.Errorf("the attribute is %q, %v", value[:max(n, 0)], err)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if err := newTreeCopy(stopped, view).fill("/data", t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("after a stop: %v", err)
	}
}

// TestMoveInAfterKill: what a killed one has not moved yet comes in later, over nothing that has been made meanwhile.
func TestMoveInAfterKill(t *testing.T) {
	dir := t.TempDir()
	volume, ready := filepath.Join(dir, "volume"), filepath.Join(fillingDir(filepath.Join(dir, "volume")), "ready")
	for path, text := range map[string]string{filepath.Join(volume, "moved"): "mine", filepath.Join(ready, "moved"): "image's", filepath.Join(ready, "sub", "left"): "image's"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(ready, 0o750); err != nil {
		t.Fatal(err)
	}
	if !Incomplete(volume) {
		t.Error("a volume that is half filled looks complete")
	}
	if err := (&Client{}).makeFilled(context.Background(), plan.Plan{}, plan.Directory{Path: volume, Copy: "/data"}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"moved": "mine", "sub/left": "image's"} {
		if got, err := os.ReadFile(filepath.Join(volume, path)); string(got) != want {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	if fi, err := os.Stat(volume); err != nil || fi.Mode().Perm() != 0o750 {
		t.Errorf("the volume's mode: %v, %v", fi, err)
	}
	if Incomplete(volume) {
		t.Error("a volume that is filled looks as if it were not")
	}
}

// TestFilledVolumeOutlivesAPowerCut: names reach the disk after what they stand for. A volume with names in it is never filled again, so
// one that had lost its files' content would stay as it is.
func TestFilledVolumeOutlivesAPowerCut(t *testing.T) {
	tree, name := treeOnDisk, nameOnDisk
	defer func() { treeOnDisk, nameOnDisk = tree, name }()
	dir := t.TempDir()
	volume := filepath.Join(dir, "volume")
	work := fillingDir(volume)
	ready := filepath.Join(work, "ready")
	content := func(path string) string { b, _ := os.ReadFile(path); return string(b) }
	var order []string
	treeOnDisk = func(dir string) error {
		if _, err := os.Lstat(ready); err == nil || content(filepath.Join(dir, "sub/file")) != "image's" {
			t.Errorf("the copy is written to the disk before it is whole, or has its name before: %v", err)
		}
		order = append(order, "tree")
		return tree(dir)
	}
	nameOnDisk = func(dir string) error {
		if _, err := os.Lstat(ready); err != nil || content(filepath.Join(dir, "sub/file")) != "image's" {
			t.Errorf("the volume's names are written before they are there, or after what would complete them is gone: %v", err)
		}
		order = append(order, "name")
		return name(dir)
	}
	fill := func(to string) (bool, error) {
		return true, errors.Join(os.Mkdir(filepath.Join(to, "sub"), 0o755), os.WriteFile(filepath.Join(to, "sub/file"), []byte("image's"), 0o644))
	}
	c := &Client{opt: Options{DataDir: filepath.Join(dir, "data"), Namespace: "here"}}
	for _, path := range []string{volume, work} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := stage(work, ready, true, fill); err != nil {
		t.Fatal(err)
	}
	if err := c.makeFilled(context.Background(), plan.Plan{ID: "job"}, plan.Directory{Path: volume, Copy: "/data"}); err != nil {
		t.Fatal(err)
	}
	if got := content(filepath.Join(volume, "sub/file")); got != "image's" || !slices.Equal(order, []string{"tree", "name"}) || Incomplete(volume) {
		t.Errorf("the volume has %q, after %v", got, order)
	}
	// What goes with a container of run has nothing to outlive.
	own := filepath.Join(c.dir("job"), "volumes", "data")
	if err := errors.Join(os.MkdirAll(own, 0o755), os.Mkdir(fillingDir(own), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := stage(fillingDir(own), filepath.Join(fillingDir(own), "ready"), false, fill); err != nil {
		t.Fatal(err)
	}
	if err := c.makeFilled(context.Background(), plan.Plan{ID: "job"}, plan.Directory{Path: own, Copy: "/data"}); err != nil {
		t.Fatal(err)
	}
	if len(order) != 2 {
		t.Errorf("that of a one-off container waits for the disk: %v", order)
	}
}

// TestLockFillingWaits: one at a time fills a volume, and the next one gets a lock that is still the volume's.
func TestLockFillingWaits(t *testing.T) {
	work := fillingDir(filepath.Join(t.TempDir(), "volume"))
	first, err := lockFilling(context.Background(), work)
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if _, err := lockFilling(stopped, work); !errors.Is(err, context.Canceled) {
		t.Errorf("a second one while the first holds it: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		second, err := lockFilling(context.Background(), work)
		if err == nil {
			_, err = os.Stat(work)
			second.Close()
		}
		got <- err
	}()
	if err := errors.Join(os.RemoveAll(work), first.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the second one: %v", err)
	}
}

// TestGarbageKeepsLentVolumes: a volume without a name that another container has by volumes_from is no garbage when its own container
// is gone.
func TestGarbageKeepsLentVolumes(t *testing.T) {
	c := &Client{opt: Options{DataDir: "/data", Namespace: "here"}}
	spec, err := typeurl.MarshalAny(&specs.Spec{Mounts: []specs.Mount{
		{Type: "bind", Source: plan.AnonymousDirectory("/data", "here", "db") + "/x-1", Destination: "/x"},
		{Type: "bind", Source: plan.AnonymousDirectory("/data", "elsewhere", "other") + "/y-1", Destination: "/y"}}})
	if err != nil {
		t.Fatal(err)
	}
	g := &collector{Client: c, records: map[string]containers.Container{"web": {ID: "web", Spec: spec}}}
	if got := g.lenders(); len(got) != 1 || !got["db"] {
		t.Errorf("kept are those of %v, want of db", got)
	}
}

// TestGarbageKeepsFilesOfAContainerdThatIsAway: gc on the private engine took the log, the volumes and the mounted root of containers whose
// own containerd had been stopped for garbage, also of those that ran.
func TestGarbageKeepsFilesOfAContainerdThatIsAway(t *testing.T) {
	dir := t.TempDir()
	c := &Client{opt: Options{DataDir: filepath.Join(dir, "data"), StateDir: filepath.Join(dir, "state"), Namespace: "away", Address: "/run/mine.sock"}}
	if err := os.MkdirAll(c.dir("job"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		madeIn string
		asked  []string
		gone   bool
	}{
		{"", []string{"/run/mine.sock"}, true}, // of an earlier version
		{"/run/mine.sock", nil, true},
		{"/run/other.sock", []string{"/run/mine.sock"}, false},
		{"/run/other.sock", []string{"/run/mine.sock", "/run/other.sock"}, true},
	} {
		if err := os.WriteFile(c.engineFile("job"), []byte(test.madeIn), 0o600); err != nil {
			t.Fatal(err)
		}
		g := &collector{Client: c, o: GCOptions{Elsewhere: func(string) bool { return false }, Asked: test.asked}}
		if got := g.gone("job"); got != test.gone {
			t.Errorf("made in %q, asked %q: gone is %v", test.madeIn, test.asked, got)
		}
	}
}
