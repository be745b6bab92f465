package imports

import (
	"fmt"
	"time"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/rootfs"
)

// Known is what files say that scans before have read: one who scans again, because something has changed in between, need not
// parse most of them anew. A file is the same as long as its stamp is. It is safe for concurrent use; the zero Known knows
// nothing.
type Known struct{ units table[knownFile, *unit] }

// A knownFile is one, as interpreters of a kind read it.
type knownFile struct {
	stamp rootfs.Stamp
	kind  string // see kindOf
	self  string // see selfOf
}

// kindOf tells interpreters apart to which conditions in files may say something else: see newFacts.
func kindOf(py abi.Python) string {
	return fmt.Sprintf("%+v %s %s", py.Version, py.Implementation, py.Arch)
}

// unit is nil where the file is not known.
func (k *Known) unit(real, kind, self string) (*unit, int64) {
	stamp, ok := rootfs.StampOf(real)
	if !ok {
		return nil, 0
	}
	u, _ := k.units.load(knownFile{stamp, kind, self})
	return u, stamp.Size
}

// keep remembers a file that was read at a time.
func (k *Known) keep(u *unit, stamp rootfs.Stamp, at time.Time, kind, self string) {
	if stamp.Settled(at) {
		k.units.put(knownFile{stamp, kind, self}, u)
	}
}
