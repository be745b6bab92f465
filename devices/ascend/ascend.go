// Package ascend knows Huawei's NPUs by files alone: what /dev, /sys, /proc and the driver's own version files say is
// enough to list them and to give them to a container. No library of the vendor is linked, and no hook is needed.
package ascend

import (
	"context"
	"slices"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/rootfs"
)

// Kind is CDI's vendor/class, as the vendor's own tools name it (mind-cluster, ascend-common/cdi).
const Kind = devices.KindNPU

// NPUSMITime is how long npu-smi may take. It waits for the driver, which a dead card can hold for minutes.
const NPUSMITime = 20 * time.Second

// A Source reads one machine. It is safe for concurrent use.
type Source struct {
	root     string
	view     *rootfs.View
	npusmi   Runner
	memory   string // file of npu-smi's last answer; "" for none
	refresh  func() // may be nil
	patience time.Duration
	now      func() time.Time
}

// A Runner runs npu-smi of this machine with the given arguments and returns what it prints on stdout. It should end when ctx
// does; one that does not is left behind. The error wraps fs.ErrNotExist where there is no npu-smi.
type Runner func(ctx context.Context, args ...string) ([]byte, error)

// An Option of New.
type Option func(*Source)

// NPUSMI lets a source ask npu-smi for health, memory and processes. Without it they are unknown, and all else is not:
// npu-smi runs on the host, where opening an NPU takes it from nobody (hicann/driver, uda_access.c, the host's mount namespace).
func NPUSMI(run Runner) Option { return func(s *Source) { s.npusmi = run } }

// New returns the source of the machine whose files lie below root.
func New(root string, opts ...Option) *Source {
	s := &Source{root: root, view: rootfs.Dir(root), patience: FirstAnswer, now: time.Now}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Kind is ascend.com/npu.
func (s *Source) Kind() string { return Kind }

// smallFile bounds the files of a few lines that the driver and its installers write, in bytes.
const smallFile = 256 << 10

// text returns a small file's content, "" where there is none.
func text(view *rootfs.View, p string) string {
	b, err := view.ReadFile(p, smallFile)
	if err != nil {
		return ""
	}
	return string(b)
}

// names are the entries of a directory, sorted; none where it can't be read.
func names(view *rootfs.View, dir string) []string {
	entries, err := view.ReadDir(dir)
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	slices.Sort(all)
	return all
}
