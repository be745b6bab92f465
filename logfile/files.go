package logfile

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// openAll opens every file of the log, oldest first. The caller closes them.
func openAll(path string) ([]*os.File, map[*os.File]identity, error) {
	files, ids, _, err := openSince(path, identity{})
	return files, ids, err
}

// openSince opens the files of the log that are younger than the one of that identity, oldest first; all of them where it is gone, and
// then found is false. It looks from the youngest to the oldest. Files move that way only, so a rotation meanwhile can show a file
// twice, but hide none; where the log is rotated several times, what it says about its files puts them in order.
func openSince(path string, id identity) (files []*os.File, ids map[*os.File]identity, found bool, err error) {
	ids = map[*os.File]identity{}
	for n, missing := 0, 0; missing < 2 && !found; n++ {
		if id != (identity{}) && named(path, n, id) {
			found = true
			break
		}
		file, its, err := openGeneration(path, n)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		if err != nil {
			closeAll(files)
			return nil, nil, false, err
		}
		missing = 0
		if its != (identity{}) && its == id { // it came here meanwhile
			file.Close()
			found = true
			break
		}
		if its != (identity{}) && slices.ContainsFunc(files, func(f *os.File) bool { return ids[f] == its }) {
			file.Close()
			continue
		}
		files, ids[file] = append([]*os.File{file}, files...), its
	}
	// A file whose place is not known keeps the one that it was found in.
	slices.SortStableFunc(files, func(a, b *os.File) int { return cmp.Compare(ids[a].first, ids[b].first) })
	return files, ids, found, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// HasWriter reports whether a living writer holds the log at path. A log that does not exist has none.
func HasWriter(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, ignoreMissing(err)
	}
	defer file.Close()
	return locked(file), nil
}

// locked reports whether another process holds the lock of file. A file system without locks has none.
func locked(file *os.File) bool {
	err := flock(file, syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		flock(file, syscall.LOCK_UN)
	}
	return err == syscall.EWOULDBLOCK
}
