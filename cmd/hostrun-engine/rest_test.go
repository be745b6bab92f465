package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestGiveBack: the pages of the program leave its memory, and it goes on.
func TestGiveBack(t *testing.T) {
	resident := func() (kib int) {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(status), "\nRssFile:")
		if _, err := fmt.Sscanf(rest, "%d", &kib); !found || err != nil {
			t.Fatalf("RssFile of %s: %v", status, err)
		}
		return kib
	}
	before := resident()
	giveBack()
	if after := resident(); after >= before {
		t.Errorf("%d KiB of files are resident, %d before", after, before)
	}
	giveBack() // with nothing to give
}

// TestProgramPages: what is writable, was written to, or is another file's stays.
func TestProgramPages(t *testing.T) {
	const smaps = `00400000-00c21000 r-xp 00000000 fe:00 123 /usr/lib/hostrun engine
Size:               8324 kB
Rss:                8200 kB
Private_Dirty:      8200 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
00c21000-01400000 r--p 00821000 fe:00 123 /usr/lib/hostrun engine
Private_Dirty:         4 kB
Anonymous:             4 kB
Swap:                  0 kB
01400000-01500000 rw-p 01000000 fe:00 123 /usr/lib/hostrun engine
Anonymous:             0 kB
01500000-01600000 r--p 01100000 fe:00 123 /usr/lib/hostrun engine
Anonymous:             0 kB
01600000-01700000 r--p 01200000 fe:00 123 /usr/lib/hostrun engine
Anonymous:             0 kB
Swap:                  8 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 9 /usr/lib/libc.so
Anonymous:             0 kB
7f0000100000-7f0000200000 r--p 00000000 00:00 0
7ffc00000000-7ffc00021000 r-xp 00000000 00:00 0 [vdso]
`
	want := []mapped{{0x400000, 0xc21000}, {0x1500000, 0x1600000}}
	if got := programPages(strings.NewReader(smaps), "/usr/lib/hostrun engine"); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := programPages(strings.NewReader("no map\nAnonymous:\n"), "/usr/lib/hostrun engine"); len(got) != 0 {
		t.Errorf("found %x in what is no map", got)
	}
}
