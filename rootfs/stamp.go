package rootfs

import "time"

// A Stamp tells a content of a file of this machine from any other: a change gives the file another one. The zero Stamp is
// that of no file.
type Stamp struct {
	Device, Inode     uint64
	Size              int64
	Modified, Changed int64 // nanoseconds since 1970
}

// tick is how old a change must be to be told apart from a later one: kernels stamp files with a clock that ticks at least
// every 10 ms.
const tick = 50 * time.Millisecond

// Settled says that a file which had this stamp at a time has another one if it was changed after that.
func (s Stamp) Settled(at time.Time) bool {
	return s != Stamp{} && max(s.Modified, s.Changed) < at.Add(-tick).UnixNano()
}
