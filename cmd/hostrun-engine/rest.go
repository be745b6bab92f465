package main

import (
	"bufio"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// giveBack returns what work has left in memory: the heap's free pages, and the pages of the program itself, of which starts of
// containers read more than half and an engine at rest hardly any. These stay in the kernel's cache of the file, from where
// they are mapped again when they are needed, 16 at a time (fault_around_bytes).
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, m := range programPages(maps, self) {
		// Without the bytes as a Go slice: they are no memory of Go's.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
	}
}

// A mapped is a range of addresses.
type mapped struct{ start, end uintptr }

// programPages finds, in the kernel's words (proc_pid_smaps(5)), where a file is mapped and nothing but the file is: not
// writable, and never written to, so that its pages can be read again.
func programPages(smaps io.Reader, file string) []mapped {
	var all []mapped
	var at mapped
	var ours, clean bool
	add := func() {
		if ours && clean {
			all = append(all, at)
		}
	}
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) >= 2 && strings.HasSuffix(f[0], ":") {
			switch f[0] {
			case "Anonymous:", "Swap:": // copies of pages that were written to; a dirty one may be the file's own, not yet on the disk
				clean = clean && f[1] == "0"
			}
			continue
		}
		add()
		at, ours, clean = mapped{}, false, true
		if len(f) < 6 || strings.Join(f[5:], " ") != file || strings.Contains(f[1], "w") {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		at, ours = mapped{uintptr(start), uintptr(end)}, err1 == nil && err2 == nil && start < end
	}
	add()
	return all
}
