package proof

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path/filepath"
	"strings"

	"hostrun.dev/hostrun/cachefile"
	"hostrun.dev/hostrun/soon"
)

// Hints are small files.
const (
	hintFormat = cachefile.Kind("hostrun proof hint 1")
	maxHint    = 1 << 10 // bytes
)

// An Ahead is a look at the proof that was used last for a name. Files are looked at while all else about a start is
// still being found out; whether it is the right proof shows at the end.
type Ahead struct {
	hint string // file that names the proof's
	done chan struct{}

	file  string
	entry entry
	holds bool
}

// Looks begins looks for one command. It looks once at a proof that several members of a stack need at the same time, and once
// at files that several proofs watch: members that differ in a name alone have proofs of their own, over the same packages. The
// zero value is ready.
type Looks struct {
	entries soon.Answers[entry]
	files   soon.Answers[string] // fingerprints, by the list
}

// Ahead begins to look at the files of the proof in the cache dir that was used last for name, which is the
// caller's: that of a profile.
func (l *Looks) Ahead(dir, name string) *Ahead {
	sum := sha256.Sum256([]byte(name))
	a := &Ahead{hint: filepath.Join(dir, "last-"+hex.EncodeToString(sum[:8])), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		b, ok := hintFormat.Read(a.hint, maxHint)
		base := string(b)
		if !ok || !strings.HasPrefix(base, "proof-") || strings.ContainsAny(base, "/\n") {
			return
		}
		a.file = filepath.Join(dir, base)
		var err error
		a.entry, err = l.entries.Ask(context.Background(), a.file, func(context.Context) (entry, error) {
			if e, holds := current(a.file, l.fingerprint); holds {
				return e, nil
			}
			return entry{}, fs.ErrNotExist
		})
		a.holds = err == nil
	}()
	return a
}

// fingerprint is fingerprintOf, once for all who ask at the same time.
func (l *Looks) fingerprint(files string) string {
	sum, _ := l.files.Ask(context.Background(), files, func(context.Context) (string, error) { return fingerprintOf(files), nil })
	return sum
}

// found returns the entry of a file, if that is what was looked at and it holds.
func (a *Ahead) found(file string) (entry, bool) {
	if a == nil {
		return entry{}, false
	}
	<-a.done
	return a.entry, a.holds && a.file == file
}

// remember lets the next look be at this file.
func (a *Ahead) remember(dir, file string) {
	if a != nil && a.file != file {
		_ = hintFormat.Write(a.hint, []byte(filepath.Base(file)))
	}
}
