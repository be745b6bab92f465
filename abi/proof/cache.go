package proof

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"hostrun.dev/hostrun/cachefile"
	"hostrun.dev/hostrun/rootfs"
)

// cacheFormat changes with the rules: what abi/imports, abi/ld and this package find in equal files.
const cacheFormat = cachefile.Kind("hostrun proof 3")

// maxCache bounds an entry, in bytes.
const maxCache = 64 << 20

// justNow is how old a change must be to be told apart from a later one: kernels stamp files with a clock that ticks at
// least every 10 ms.
const justNow = 50 * time.Millisecond

// A Cache keeps proofs, one file each. Whatever is wrong with one costs the time of a new proof.
type Cache struct {
	Dir   string // "" for none
	Image string // chain ID of the image; "" where the root is this machine's own
	// Mounts are what is shown in the view, links in their sources followed. What they hold is fingerprinted; of all else
	// only with an empty Image.
	Mounts []rootfs.Mount
	// Given is what else decides: content of generated files, what the mounts' sources are.
	Given []string
	// Ahead is what Looks.Ahead began, nil for nothing. It saves time and decides nothing.
	Ahead *Ahead
}

func (c Cache) file(r Request) (string, error) {
	key, err := json.Marshal(struct {
		Cache   Cache
		Request Request
	}{Cache{Image: c.Image, Mounts: c.Mounts, Given: c.Given}, r})
	sum := sha256.Sum256(append([]byte(cacheFormat), key...))
	return filepath.Join(c.Dir, "proof-"+hex.EncodeToString(sum[:16])+".json"), err
}

// An entry is a proof, and what it was made from: files of this machine, and their fingerprint.
type entry struct {
	report []byte
	sum    string
	files  string // that are watched
}

// Load returns the proof of an equal request, if none of the files that it was made from has changed since, and ctx does
// not end before that is known.
func (c Cache) Load(ctx context.Context, r Request) (Report, bool) {
	report, err := within(ctx, func() (Report, error) {
		report, ok := c.load(r)
		if !ok {
			return report, fs.ErrNotExist
		}
		return report, nil
	})
	return report, err == nil
}

func (c Cache) load(r Request) (Report, bool) {
	file, err := c.file(r)
	if err != nil || c.Dir == "" {
		return Report{}, false
	}
	e, holds := c.Ahead.found(file)
	if !holds {
		c.Ahead.remember(c.Dir, file)
		if e, holds = current(file, fingerprintOf); !holds {
			return Report{}, false
		}
	}
	var report Report
	if json.Unmarshal(e.report, &report) != nil {
		return Report{}, false
	}
	report.Cached = true
	return report, true
}

// current returns the entry of a file if all that it watches is as it was; fingerprint looks at a list of files.
func current(file string, fingerprint func(files string) string) (entry, bool) {
	e, ok := read(file)
	return e, ok && fingerprint(e.files) == e.sum
}

func fingerprintOf(files string) string {
	sum, _ := parseWatched(files).fingerprint()
	return sum
}

// read returns nothing for anything but a whole entry.
func read(file string) (entry, bool) {
	body, ok := cacheFormat.Read(file, maxCache)
	if !ok {
		return entry{}, false
	}
	return parse(body)
}

func parse(body []byte) (entry, bool) {
	parts := strings.SplitN(string(body), "\n\n", 3)
	if len(parts) != 3 {
		return entry{}, false
	}
	return entry{[]byte(parts[0]), parts[1], parts[2]}, true
}

// Store keeps a proof that was begun at a time. A change since then, and a cache that can't be written, leave it out.
func (c Cache) Store(view *rootfs.View, r Request, report Report, began time.Time) {
	file, err := c.file(r)
	if err != nil || c.Dir == "" {
		return
	}
	files := c.watched(view, report)
	sum, newest := files.fingerprint()
	body, err := json.Marshal(report)
	if err != nil || !newest.Before(began.Add(-justNow)) {
		return
	}
	text := string(body) + "\n\n" + sum + "\n\n" + files.text()
	cachefile.Prune(c.Dir, "proof-", maxEntries-1)
	cachefile.Prune(c.Dir, "last-", maxEntries-1)
	_ = cacheFormat.Write(file, []byte(text))
}

// maxEntries bounds the number of proofs, and of hints at them.
const maxEntries = 100
