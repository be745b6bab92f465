package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// proofs are the first proofs whose time is told: torch with its CUDA wheels, and the set of all wheels.
var proofs = []struct{ set, image string }{{"demo", "debian12-minimal"}, {"cp311", "debian12-minimal"}}

// printSpeed proves each in a process of its own, with the files' pages dropped before, and again with all in memory.
func (w *world) printSpeed(out io.Writer, o options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "first proof\tpages\tfiles\tmodules\tmegabytes\twalk\tlinking\tpeak memory\t")
	for _, p := range proofs {
		s, found := w.set(p.set)
		i, there := w.image(p.image)
		if !found || !there {
			continue
		}
		for _, pages := range []string{"cold", "hot", "hot"} {
			if pages == "cold" {
				cool(s, i, o.dropCaches)
			}
			row, err := exec.Command(self, "-cache", o.cache, "-prove", p.set+" "+p.image).Output()
			if err != nil {
				return err
			}
			fmt.Fprintf(t, "%s in %s\t%s\t%s\t\n", p.set, p.image, pages, strings.TrimSpace(string(row)))
		}
	}
	return t.Flush()
}

// cool makes the kernel forget the files of a pair: their content, or, for the whole machine, names too.
func cool(s set, i image, all bool) {
	evict(s.dir)
	evict(i.root)
	if all {
		unix.Sync()
		_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
	}
}

// evict asks the kernel to forget the content of all files below dir; what it knows of their names stays.
func evict(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if f, err := os.Open(p); err == nil {
			_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
			_ = f.Close()
		}
		return nil
	})
}

// prove does one proof and prints its row.
func (w *world) prove(pair string) error {
	setName, imageName, _ := strings.Cut(pair, " ")
	i, ok := w.image(imageName)
	if !ok {
		return fmt.Errorf("no image %s", imageName)
	}
	s := set{name: setName, at: siteAt, dir: w.setDir(setName)}
	began := time.Now()
	s.modules = modules(s.dir)
	walked := time.Since(began)
	paths := s.paths()
	began = time.Now()
	if _, err := predict(i, []mount{{s.dir, s.at}}, paths); err != nil {
		return err
	}
	linked := time.Since(began)
	peak := peakMemory()
	files, bytes := size(s.dir)
	fmt.Printf("%d\t%d\t%d\t%v\t%v\t%s\n", files, len(paths), bytes/1e6, walked.Round(time.Millisecond), linked.Round(time.Millisecond), peak)
	return nil
}

func size(dir string) (files, bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if fi, err := d.Info(); err == nil {
			files, bytes = files+1, bytes+fi.Size()
		}
		return nil
	})
	return files, bytes
}

// peakMemory is VmHWM of this process (proc_pid_status(5)).
func peakMemory() string {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return "?"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "?"
}
