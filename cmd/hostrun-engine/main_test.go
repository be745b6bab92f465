package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/engine"
)

func TestSettings(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 5 * time.Minute, "90s": 90 * time.Second, "soon": 0, "0s": 0, "-1m": 0, "5": 0} {
		got, err := settings(func(name string) string {
			return map[string]string{"HOSTRUN_ENGINE_IDLE": value, "HOSTRUN_ENGINE_GROUP": "there is no such group"}[name]
		})
		if want == 0 && err == nil || want != 0 && (err != nil || got.idle != want || got.gid != -1) {
			t.Errorf("HOSTRUN_ENGINE_IDLE=%q: %+v, %v", value, got, err)
		}
	}
	if groupID("root") != 0 {
		t.Error("the group root is not 0")
	}
}

// TestConnected asks the kernel about a real socket: its own words are the test's input.
func TestConnected(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if connected(address) {
		t.Error("somebody listens, and nobody is connected")
	}
	client, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !connected(address) || connected(address+"x") || connected(address[1:]) {
		t.Error("a connection is not seen, or that of another socket")
	}
	_, _ = client.Close(), server.Close()
	if connected(address) {
		t.Error("the connection is closed")
	}
}

func FuzzConnectedTo(f *testing.F) {
	f.Add("0000000000000000: 00000003 00000000 00000000 0001 03 12345 /run/hostrun/engine/engine.sock")
	f.Add("Num       RefCount Protocol Flags    Type St Inode Path")
	f.Add(" /s")
	f.Fuzz(func(t *testing.T, line string) {
		if connectedTo(line, "/s") && !strings.Contains(line, " 03 ") && !strings.Contains(line, "03") {
			t.Errorf("%q", line)
		}
	})
}

func TestTasks(t *testing.T) {
	w := watcher{layout: engine.Layout{StateDir: t.TempDir()}}
	if w.tasks() {
		t.Error("nothing is there")
	}
	ns := filepath.Join(w.layout.StateDir, "io.containerd.runtime.v2.task", "hostrun")
	if err := os.MkdirAll(ns, 0o755); err != nil {
		t.Fatal(err)
	}
	if w.tasks() {
		t.Error("a namespace without tasks")
	}
	if err := os.Mkdir(filepath.Join(ns, "dinov2"), 0o755); err != nil {
		t.Fatal(err)
	}
	if !w.tasks() {
		t.Error("a task's bundle is not seen")
	}
}

// TestLogIsBounded writes ten times what the log may hold: two files are left, and the last line is in the first.
func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	b := &boundedLog{path: path, most: 10 << 10}
	b.open()
	line := append(bytes.Repeat([]byte{'x'}, 99), '\n')
	for range 1000 {
		if _, err := b.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = b.Write([]byte("last\n"))
	var sum int64
	for _, name := range []string{path, path + ".1"} {
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		sum += fi.Size()
	}
	if sum > 2*b.most {
		t.Errorf("%d bytes are kept, of at most %d", sum, 2*b.most)
	}
	if kept, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(kept, []byte("last\n")) {
		t.Errorf("the last line is not in %s: %v", path, err)
	}
}

func TestSameVersion(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := sameVersion(self); err != nil {
		t.Errorf("this program beside itself: %v", err)
	}
	if err := sameVersion("/bin/true"); err == nil {
		t.Error("/bin/true is no shim of this version")
	}
}

func TestNotifySystemd(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", address)
	newParent(-1).report(nil)
	b := make([]byte, 64)
	n, err := conn.Read(b)
	if err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("systemd hears %q, %v", b[:n], err)
	}
	if os.Getenv("NOTIFY_SOCKET") != "" {
		t.Error("shims inherit NOTIFY_SOCKET")
	}
}

// TestTornRemoval: an engine that was killed while it removed a bundle made the container's name unusable until the next
// boot.
func TestTornRemoval(t *testing.T) {
	l := engine.Layout{StateDir: t.TempDir(), RootDir: t.TempDir()}
	ns := filepath.Join(l.StateDir, "io.containerd.runtime.v2.task", "hostrun")
	for path, stays := range map[string]bool{"dinov2/config.json": true, ".dinov2/config.json": false, ".mounted/rootfs/file": true} {
		file := filepath.Join(ns, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := removeTorn(l); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); (err == nil) != stays {
			t.Errorf("%s: %v, want it to stay: %v", path, err, stays)
		}
	}
}
