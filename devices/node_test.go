//go:build linux

package devices

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// devRoot makes a root with real device nodes.
func devRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"dev/dri/by-path", "dev/pts", "dev/empty", "dev/vendor/sub"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	for name, mode := range map[string]uint32{
		"dev/card": syscall.S_IFCHR | 0o660, "dev/dri/renderD128": syscall.S_IFCHR | 0o666, "dev/dri/card0": syscall.S_IFCHR | 0o660,
		"dev/pts/0": syscall.S_IFCHR | 0o620, "dev/disk": syscall.S_IFBLK | 0o640, "dev/vendor/sub/n1": syscall.S_IFCHR | 0o600,
	} {
		path := filepath.Join(root, name)
		err := unix.Mknod(path, mode, int(unix.Mkdev(511, 70000)))
		if errors.Is(err, unix.EPERM) {
			needsRoot(t, err)
		}
		must(t, err)
		must(t, os.Chmod(path, os.FileMode(mode&0o777)))
	}
	must(t, os.Lchown(filepath.Join(root, "dev/card"), 12, 34))
	for link, target := range map[string]string{"dev/absolute": "/dev/card", "dev/dri/by-path/x": "../card0", "dev/dangling": "/dev/gone", "dev/escape": "../../../../../../dev/card"} {
		must(t, os.Symlink(target, filepath.Join(root, link)))
	}
	must(t, os.WriteFile(filepath.Join(root, "dev/file"), nil, 0o644))
	must(t, unix.Mkfifo(filepath.Join(root, "dev/pipe"), 0o644))
	return root
}

func needsRoot(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
		t.Fatalf("mknod: %v: device nodes need CAP_MKNOD", err)
	}
	t.Skipf("mknod: %v: device nodes need CAP_MKNOD", err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func node(path, destination, kind string, mode uint32) Node {
	return Node{Path: path, Destination: destination, Type: kind, Major: 511, Minor: 70000, Mode: mode, Access: "rw"}
}

func TestNodes(t *testing.T) {
	root := devRoot(t)
	card := node("/dev/card", "/dev/card", "c", 0o660)
	card.UID, card.GID = 12, 34
	renamed := card
	renamed.Destination, renamed.Access = "/dev/other", "rwm"
	linked := card
	linked.Destination = "/dev/absolute"
	escaped := card
	escaped.Destination = "/dev/escape"
	all := node("/dev/dri/renderD128", "/dev/dri/renderD128", "c", 0o666)
	all.Access = "r"
	tests := []struct {
		name     string
		requests []Request
		want     []Node
	}{
		{"a node", []Request{{Source: "/dev/card"}}, []Node{card}},
		{"another name and access", []Request{{Source: "/dev/card", Destination: "/dev/other", Access: "rwm"}}, []Node{renamed}},
		{"a block device", []Request{{Source: "/dev/disk"}}, []Node{node("/dev/disk", "/dev/disk", "b", 0o640)}},
		{"an absolute link stays in the root", []Request{{Source: "/dev/absolute"}}, []Node{linked}},
		{"a link above the root stays in it", []Request{{Source: "/dev/escape"}}, []Node{escaped}},
		{"a directory, without its links", []Request{{Source: "/dev/dri"}}, []Node{
			node("/dev/dri/card0", "/dev/dri/card0", "c", 0o660), node("/dev/dri/renderD128", "/dev/dri/renderD128", "c", 0o666)}},
		{"a directory elsewhere", []Request{{Source: "/dev/vendor", Destination: "/dev/v"}}, []Node{node("/dev/vendor/sub/n1", "/dev/v/sub/n1", "c", 0o600)}},
		{"a later request holds", []Request{{Source: "/dev/dri"}, {Source: "/dev/dri/renderD128", Access: "r"}}, []Node{
			node("/dev/dri/card0", "/dev/dri/card0", "c", 0o660), all}},
		{"/dev without what each container has of its own", []Request{{Source: "/dev"}}, []Node{
			card, node("/dev/disk", "/dev/disk", "b", 0o640), node("/dev/dri/card0", "/dev/dri/card0", "c", 0o660),
			node("/dev/dri/renderD128", "/dev/dri/renderD128", "c", 0o666), node("/dev/vendor/sub/n1", "/dev/vendor/sub/n1", "c", 0o600)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, findings := Nodes(root, test.requests)
			if len(findings) > 0 {
				t.Fatalf("findings: %+v", findings)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNodesFindings(t *testing.T) {
	root := devRoot(t)
	tests := []struct{ source, id, message, remedy string }{
		{"/dev/gone", finding.DeviceMissing, "does not exist", "devices:"},
		{"/dev/nvidia7", finding.DeviceMissing, "does not exist", "nvidia-smi"},
		{"/dev/nvidia-uvm", finding.DeviceMissing, "does not exist", "nvidia-modprobe"},
		{"/dev/davinci3", finding.DeviceMissing, "does not exist", "npu-smi"},
		{"/dev/dangling", finding.DeviceMissing, "/dev/dangling -> /dev/gone", "devices:"},
		{"/dev/file", finding.DeviceNotNode, "is a file", "volumes:"},
		{"/dev/pipe", finding.DeviceNotNode, "is a FIFO", "volumes:"},
		{"/dev/empty", finding.DeviceNotNode, "holds no device node", "driver"},
		{"/dev/file/below", finding.DeviceMissing, "/dev/file/below", "devices:"},
	}
	for _, test := range tests {
		t.Run(test.source, func(t *testing.T) {
			nodes, findings := Nodes(root, []Request{{Source: test.source, File: "p.yaml", Line: 7}})
			if len(nodes) > 0 || len(findings) != 1 {
				t.Fatalf("got %v, %+v", nodes, findings)
			}
			f := findings[0]
			if f.ID != test.id || f.Severity != finding.Error || f.Subject != test.source || f.File != "p.yaml" || f.Line != 7 ||
				!strings.Contains(f.Message, test.message) || !strings.Contains(f.Remedy, test.remedy) {
				t.Errorf("got %+v, want %s %q %q", f, test.id, test.message, test.remedy)
			}
		})
	}
}

// What is wrong with one request keeps no other from being read.
func TestNodesGoOnAfterFinding(t *testing.T) {
	nodes, findings := Nodes(devRoot(t), []Request{{Source: "/dev/gone"}, {Source: "/dev/card"}, {Source: "/dev/file"}})
	if len(nodes) != 1 || nodes[0].Path != "/dev/card" || len(findings) != 2 {
		t.Errorf("got %+v, %+v", nodes, findings)
	}
}

// The machine's own /dev/null has the numbers that the kernel documents (admin-guide/devices.txt): 1, 3.
func TestNodesOfThisMachine(t *testing.T) {
	nodes, findings := Nodes("/", []Request{{Source: "/dev/null"}})
	if len(findings) > 0 || len(nodes) != 1 || nodes[0].Major != 1 || nodes[0].Minor != 3 || nodes[0].Type != "c" {
		t.Errorf("got %+v, %+v", nodes, findings)
	}
}
