package archive

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// kept are the packed layers of tar files. A test binary makes an image of the same root for dozens of tests, and each time to compress
// it takes some ten seconds where the race detector looks on.
var kept struct {
	sync.Mutex
	layers map[keptKey]packed
	files  []*os.File // open, so that the layers last as long as this process; they have no names
}

// A keptKey is a tar file as it is at the moment.
type keptKey struct {
	tar      string
	size     int64
	modified time.Time
	compress bool
}

// packOnce is pack for a layer that may have been packed before: one of a tar file alone is. Others are written to file.
func packOnce(l Layer, file string, compress bool) (packed, error) {
	if l.Tar == "" || l.Dir != "" || len(l.Files) > 0 {
		return pack(l, file, compress)
	}
	fi, err := os.Stat(l.Tar)
	if err != nil {
		return packed{}, err
	}
	key := keptKey{l.Tar, fi.Size(), fi.ModTime(), compress}
	kept.Lock() // whoever wants the same layer waits for it
	defer kept.Unlock()
	if p, ok := kept.layers[key]; ok {
		return p, nil
	}
	p, err := pack(l, file, compress)
	if err != nil {
		return p, err
	}
	f, err := os.Open(file)
	if err != nil {
		return p, err
	}
	p.file = fmt.Sprintf("/proc/self/fd/%d", f.Fd()) // the caller removes the name
	if kept.layers == nil {
		kept.layers = map[keptKey]packed{}
	}
	kept.layers[key], kept.files = p, append(kept.files, f)
	return p, nil
}
