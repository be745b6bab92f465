package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/finding"
)

func TestParseDeviceCgroup(t *testing.T) {
	const hybrid = "9:name=systemd:/\n5:devices:/hostrun/train\n1:cpu:/hostrun/train\n0::/other\n"
	for _, c := range []struct {
		text    string
		unified bool
		want    string
	}{
		{hybrid, false, "/sys/fs/cgroup/devices/hostrun/train"},
		{hybrid, true, "/sys/fs/cgroup/other"},
		{"3:cpu,cpuacct:/x\n2:devices,freezer:/hostrun/train\n", false, "/sys/fs/cgroup/devices,freezer/hostrun/train"},
		{"0::/hostrun/train\n", true, "/sys/fs/cgroup/hostrun/train"},
		{"0::/hostrun/train\n", false, ""},
		{"1:cpu:/x\n", false, ""},
		{"", true, ""},
		{"damaged", true, ""},
		{"0::/../../x\n", true, ""},
	} {
		if got := parseDeviceCgroup(c.text, c.unified); got.dir != c.want || got.unified != (c.unified && c.want != "") {
			t.Errorf("%q, %t: %+v, want %q", c.text, c.unified, got, c.want)
		}
	}
}

func FuzzParseDeviceCgroup(f *testing.F) {
	f.Add("5:devices:/hostrun/train\n0::/x", true)
	f.Fuzz(func(t *testing.T, text string, unified bool) {
		if g := parseDeviceCgroup(text, unified); g.dir != "" && !strings.HasPrefix(g.dir, "/sys/fs/cgroup") {
			t.Errorf("%+v", g)
		}
	})
}

// What a node's error means is said by its number; the hint always leads to the story.
func TestRefusedNodes(t *testing.T) {
	mode, uid, gid := os.FileMode(0o660), uint32(0), uint32(44)
	n := probedNode{specs.LinuxDevice{Path: "/dev/nvidia3", Type: "c", Major: 195, Minor: 3, FileMode: &mode, UID: &uid, GID: &gid}, "rw", true}
	ctl := probedNode{specs.LinuxDevice{Path: "/dev/nvidiactl", Type: "c", Major: 195, Minor: 255}, "rw", true}
	errno := func(e syscall.Errno) string { return fmt.Sprint(int(e)) }
	for answer, words := range map[string]string{
		errno(unix.EPERM):  "the device cgroup does not admit it",
		errno(unix.EACCES): "user 0 and group 44, mode 0660, and the container's user is 1000",
		errno(unix.ENOENT): "it is not in the container",
		errno(unix.ENXIO):  "no driver has that number",
		errno(unix.ENODEV): "no driver has that number",
		errno(unix.EIO):    "the device is dead",
		errno(unix.EBUSY):  "another program has it for itself",
		errno(unix.ENOMEM): "cannot allocate memory",
		"other":            "another node is there",
	} {
		err := refusedNodes("train", specs.User{UID: 1000}, []probedNode{n, ctl}, []string{answer, "0"})
		text := fmt.Sprint(err)
		if !strings.Contains(text, words) || !strings.Contains(text, "container train is not started: it could not use /dev/nvidia3 (195:3): ") || strings.Contains(text, "nvidiactl") ||
			finding.StatusOf(err) != finding.StatusNoDevice || !strings.Contains(strings.Join(finding.HintOf(err), "\n"), "hostrun explain HR190") {
			t.Errorf("%s: %v %v", answer, err, finding.HintOf(err))
		}
	}
	if err := refusedNodes("train", specs.User{}, []probedNode{n, ctl}, []string{"0", "0"}); err != nil {
		t.Error(err)
	}
	err := refusedNodes("train", specs.User{}, []probedNode{n, ctl}, []string{errno(unix.ENXIO), errno(unix.ENXIO)})
	if text := fmt.Sprint(err); !strings.Contains(text, "/dev/nvidia3 (195:3), /dev/nvidiactl (195:255): no such device") {
		t.Error(text)
	}
}

// Which nodes are tried, and how: by the rules of the cgroup and the mode of the node.
func TestProbedNodes(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	readable := os.FileMode(0o444)
	spec := &specs.Spec{Linux: &specs.Linux{
		Devices: []specs.LinuxDevice{{Path: "/dev/a", Type: "c", Major: 1, Minor: 1}, {Path: "/dev/b", Type: "c", Major: 1, Minor: 2},
			{Path: "/dev/cap", Type: "c", Major: 1, Minor: 3, FileMode: &readable}, {Path: "/dev/seen", Type: "c", Major: 1, Minor: 4}},
		Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"},
			{Allow: true, Type: "c", Major: number(1), Minor: number(1), Access: "rwm"}, {Allow: true, Type: "c", Major: number(1), Minor: number(2), Access: "r"},
			{Allow: true, Type: "c", Major: number(1), Minor: number(3), Access: "rw"}}}}}
	var got []string
	for _, n := range probedNodes(spec, []string{"/dev/cap"}) {
		got = append(got, fmt.Sprint(n.Path, " ", n.access, " ", n.open))
	}
	if want := "/dev/a rw false|/dev/b r false|/dev/cap r true"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", got, want)
	}
	spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	if got := probedNodes(spec, nil); len(got) != 4 || got[3].access != "rw" {
		t.Errorf("privileged: %+v", got)
	}
}

// A device that hangs ends the attempt, and what had answered by then is known.
func TestProbeThatHangs(t *testing.T) {
	program := filepath.Join(t.TempDir(), "hostrun-probe")
	if err := exectest.WriteFile(program, []byte("#!/bin/sh\nread container\necho 0\nexec sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		program = "/bin/false"
	}
	nodes := []probedNode{{LinuxDevice: specs.LinuxDevice{Path: "/dev/nvidia0"}}, {LinuxDevice: specs.LinuxDevice{Path: "/dev/nvidia1"}}}
	for patience := 500 * time.Millisecond; ; patience *= 4 { // a loaded machine needs longer for the first answer
		b, err := startProber(program, &specs.Process{}, nodes)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		answers, err := b.ask(ctx, uint32(os.Getpid()), cgroupOf{}, len(nodes))
		cancel()
		if program == "/bin/false" {
			if err == nil {
				t.Error("a program that fails is no answer")
			}
			return
		}
		if errors.Is(err, context.DeadlineExceeded) && nextNode(nodes, answers) == "/dev/nvidia1" {
			return
		}
		if patience > time.Minute {
			t.Fatalf("%v, %v", answers, err)
		}
	}
}

// TestProbeThatIsNotNeeded: it is started before the container is there, and goes where that does not come to be.
func TestProbeThatIsNotNeeded(t *testing.T) {
	program := filepath.Join(t.TempDir(), "hostrun-probe")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/hostrun-probe").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := startProber(program, &specs.Process{}, []probedNode{{LinuxDevice: specs.LinuxDevice{Path: "/dev/null", Type: "c", Major: 1, Minor: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{ready: make(chan struct{}), moved: func() {}, probe: b}
	close(tr.ready)
	tr.end()
	tr.end()
	if line, more := <-b.lines; more || b.ended != nil {
		t.Errorf("%q %v", line, b.ended)
	}
}
