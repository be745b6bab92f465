package logfile

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Of a log that has been rotated a small file beside it, path.at, says for each of its files which bytes of the log they are: a line
// "DEVICE:INODE FIRST", as the kernel numbers the file when it is written. So a reader knows files that follow each other, and how much
// is gone between two that do not.

// keptOffsets are the files that are remembered, longer than any reader is likely to fall behind.
const keptOffsets = 64

func offsetsName(path string) string { return path + ".at" }

// readOffsets are the first bytes of the files, by their numbers. What can't be read is not known.
func readOffsets(path string) map[identity]int64 {
	text, _ := os.ReadFile(offsetsName(path))
	all := map[identity]int64{}
	for _, line := range strings.Split(string(text), "\n") {
		number, offset, _ := strings.Cut(line, " ")
		device, inode, _ := strings.Cut(number, ":")
		first, err := strconv.ParseInt(offset, 10, 64)
		d, err1 := strconv.ParseUint(device, 10, 64)
		n, err2 := strconv.ParseUint(inode, 10, 64)
		if err == nil && err1 == nil && err2 == nil {
			all[identity{device: d, inode: n}] = first
		}
	}
	return all
}

// noteOffset adds the file that goes on after size bytes of the current one. Where that fails, readers do not know: the log goes on.
func noteOffset(path string, current identity, size int64, next identity) {
	all := readOffsets(path)
	all[next] = all[current] + size // a file that is not known is the first
	if _, known := all[current]; !known {
		all[current] = 0
	}
	ids := slices.SortedFunc(maps.Keys(all), func(a, b identity) int { return cmp.Compare(all[a], all[b]) })
	var text []byte
	for _, id := range ids[max(0, len(ids)-keptOffsets):] {
		text = fmt.Appendf(text, "%d:%d %d\n", id.device, id.inode, all[id])
	}
	tmp := offsetsName(path) + ".new"
	if os.WriteFile(tmp, text, 0o640) == nil && os.Rename(tmp, offsetsName(path)) == nil {
		return
	}
	_ = os.Remove(tmp)
	_ = os.Remove(offsetsName(path)) // what it says of an inode may be of an earlier file by now
}
