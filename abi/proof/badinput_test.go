package proof

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/integration/fixture"
)

// TestOddFiles: what bears the name of a module and is no file, or a huge one of nothing, neither hangs nor is claimed.
func TestOddFiles(t *testing.T) {
	py, site := thePython(t), t.TempDir()
	names := []string{"fifo", "socket", "device", "directory", "loop", "self", "zeros", "huge", "far", "newline\nfile", "dangling"}
	imports := ""
	for _, name := range names[:9] {
		imports += "try:\n    import " + name + ", p." + name + "\nexcept ImportError:\n    pass\n"
	}
	put(t, filepath.Join(site, "p/__init__.py"), "")
	for _, dir := range []string{site, filepath.Join(site, "p")} {
		for _, suffix := range []string{".py", ".so", "/__init__.py"} {
			odd(t, dir, suffix)
		}
		put(t, filepath.Join(dir, "newline\nfile.py"), "import os\n")
		put(t, filepath.Join(dir, "newline\nfile.so"), "")
	}
	began := time.Now()
	r := prove(t, py, site, imports+"import json\n")
	if len(finding.Errors(r.Findings)) > 0 {
		t.Errorf("%+v", finding.Errors(r.Findings))
	}
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("it took %v", took)
	}
}

// odd makes files of a suffix that are none.
func odd(t *testing.T, dir, suffix string) {
	t.Helper()
	at := func(name string) string {
		p := filepath.Join(dir, name+suffix)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	far := at("far")
	for i := range 60 {
		if err := os.Symlink(filepath.Base(far)+strings.Repeat("x", i+1), far+strings.Repeat("x", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		unix.Mkfifo(at("fifo"), 0o644), unix.Bind(socket, &unix.SockaddrUnix{Name: shortened(t, at("socket"))}),
		os.Mkdir(at("directory"), 0o755), os.Symlink(filepath.Base(at("loop")), at("loop")), os.Symlink(".", at("self")), os.Symlink("gone", at("dangling")),
		os.WriteFile(at("zeros"), nil, 0o644), os.Truncate(at("zeros"), 4<<30), os.WriteFile(at("huge"), []byte("\x7fELF\x02\x01\x01"), 0o644), os.Truncate(at("huge"), 4<<30),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mknod(at("device"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))); err != nil && os.Geteuid() == 0 {
		t.Fatal(err)
	}
}

// shortened is a path by a link to its directory: that of a socket has 107 bytes at most.
func shortened(t *testing.T, p string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Symlink(filepath.Dir(p), dir+"/d"); err != nil {
		t.Fatal(err)
	}
	return dir + "/d/" + filepath.Base(p)
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSiteIsALink: a site directory that leads to itself, and one that holds itself.
func TestSiteIsALink(t *testing.T) {
	py, dir := thePython(t), t.TempDir()
	for _, err := range []error{os.Symlink("self", filepath.Join(dir, "self")), os.Mkdir(filepath.Join(dir, "site"), 0o755), os.Symlink(".", filepath.Join(dir, "site/site")),
		os.Symlink("../site", filepath.Join(dir, "site/p"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(dir, "site/m.py"), "import p.p.p.site.m\n")
	put(t, filepath.Join(dir, "site/__init__.py"), "")
	r := prove(t, py, filepath.Join(dir, "site"), "import m, site")
	if len(finding.Errors(r.Findings)) > 0 {
		t.Errorf("%+v", finding.Errors(r.Findings))
	}
	for _, sites := range [][]string{{shown + "/self"}, {shown + "/self", shown + "/self/self", shown}} {
		request := request(py, "import json")
		request.SiteDirs, request.HostDirs = sites, sites
		if r, err := Prove(t.Context(), view(t, dir), request); err != nil || len(finding.Errors(r.Findings)) > 0 {
			t.Errorf("%v %+v", err, r.Findings)
		}
	}
}

// TestVanishing: files that come and go while the proof is made cost at most what they would have told.
func TestVanishing(t *testing.T) {
	py, site := thePython(t), t.TempDir()
	stop, stopped := make(chan struct{}), make(chan struct{})
	file := func(i int, name string) string { return filepath.Join(site, "p", string(rune('a'+i%16)), name) }
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.MkdirAll(filepath.Dir(file(i, "x")), 0o755)
			_ = os.WriteFile(file(i, "__init__.py"), []byte("from . import m, n\n"), 0o644)
			_ = os.WriteFile(file(i, "m.py"), []byte("import json\n"), 0o644)
			_ = os.WriteFile(file(i, "n.so"), []byte("\x7fELF"), 0o644)
			_ = os.RemoveAll(filepath.Dir(file(i+8, "x")))
		}
	}()
	put(t, filepath.Join(site, "p/__init__.py"), "")
	text := ""
	for i := range 16 {
		text += "try:\n    import p." + string(rune('a'+i)) + "\nexcept ImportError:\n    pass\n"
	}
	for range 8 {
		if r := prove(t, py, site, text); len(finding.Errors(r.Findings)) > 0 {
			t.Errorf("%+v", finding.Errors(r.Findings))
		}
	}
	close(stop)
	<-stopped
}

// TestUnreadable: files and directories that may not be read, or that the disk does not give, are said to be so.
func TestUnreadable(t *testing.T) {
	py, dir := thePython(t), t.TempDir()
	for name, text := range map[string]string{"denied.py": "import nothere", "broken.py": "import nothere", "dir/__init__.py": "", "dir/m.py": "", "native.so": "\x7fELF", "ok.py": "import json"} {
		put(t, filepath.Join(dir, name), text)
	}
	site := fixture.Faulty(t, dir, func(_ context.Context, operation, path string) syscall.Errno {
		switch {
		case operation == "open" && path == "/denied.py", operation == "readdir" && path == "/dir", operation == "open" && path == "/native.so":
			return syscall.EACCES
		case operation == "read" && path == "/broken.py":
			return syscall.EIO
		}
		return 0
	})
	r := prove(t, py, site, "import ok\nimport denied, broken\nimport dir\n")
	if errors := finding.Errors(r.Findings); len(errors) > 0 {
		t.Errorf("%+v", errors)
	}
	var said []string
	for _, n := range r.NotChecked {
		said = append(said, n.Name+": "+n.Why)
	}
	for _, want := range []string{"denied: it can't be read: permission denied", "broken: it can't be read: input/output error"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("%q does not say %q", said, want)
		}
	}
	if r.Counts.Fail != 1 || !strings.Contains(r.All[len(r.All)-1].Message, "Permission denied") {
		t.Errorf("%+v", r.All)
	}
}

// TestHangingFileSystem: a server that does not answer does not hold the end of a proof, wherever it is asked.
func TestHangingFileSystem(t *testing.T) {
	py, dir := thePython(t), t.TempDir()
	put(t, filepath.Join(dir, "p/__init__.py"), "from . import m")
	put(t, filepath.Join(dir, "p/m.py"), "")
	put(t, filepath.Join(dir, "p/n.so"), "\x7fELF")
	for _, operation := range []string{"lookup", "readdir", "open", "read"} {
		t.Run(operation, func(t *testing.T) {
			var asked atomic.Bool
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			site := fixture.Faulty(t, dir, func(_ context.Context, got, path string) syscall.Errno {
				if got == operation && path != "/" {
					asked.Store(true)
					time.AfterFunc(300*time.Millisecond, cancel)
					select {}
				}
				return 0
			})
			v := view(t, site)
			began := time.Now()
			_, err := Prove(ctx, v, request(py, "import p"))
			if took := time.Since(began); !errors.Is(err, context.Canceled) || took > time.Minute || !asked.Load() {
				t.Errorf("%v after %v; asked: %v", err, took, asked.Load())
			}
		})
	}
}
