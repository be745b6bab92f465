package logfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openAll opens every file of the log, oldest first. The caller closes them. It looks from the youngest to the oldest:
// files move that way only, so a rotation meanwhile can show a file twice, but hide none.
func openAll(path string) ([]*os.File, map[*os.File]identity, error) {
	var files []*os.File
	ids := map[*os.File]identity{}
	for n, missing := 0, 0; missing < 2; n++ {
		file, id, err := openGeneration(path, n)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		if err != nil {
			closeAll(files)
			return nil, nil, err
		}
		missing = 0
		if len(files) > 0 && id == ids[files[0]] && id != (identity{}) {
			file.Close()
			continue
		}
		files, ids[file] = append([]*os.File{file}, files...), id
	}
	return files, ids, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}

// openNext opens the file that the writer began after it was done with the one of that identity; nil if that is the current one, or
// the writer is just between the two.
func openNext(path string, id identity) (*os.File, identity, error) {
	if named(path, 0, id) {
		return nil, identity{}, nil
	}
	if _, err := os.Stat(path); err != nil {
		return nil, identity{}, ignoreMissing(err)
	}
	for n, missing := 1, 0; missing < 2; n++ {
		if !exists(path, n) {
			missing++
			continue
		}
		if !named(path, n, id) {
			continue
		}
		next, nextID, err := openGeneration(path, n-1)
		if err != nil {
			return nil, identity{}, ignoreMissing(err)
		}
		if !named(path, n, id) || nextID == id { // rotated again meanwhile
			next.Close()
			return nil, identity{}, nil
		}
		return next, nextID, nil
	}
	return openOldest(path)
}

// openOldest opens the oldest file of the log, whose predecessors are gone.
func openOldest(path string) (*os.File, identity, error) {
	files, ids, err := openAll(path)
	if err != nil || len(files) == 0 {
		return nil, identity{}, err
	}
	closeAll(files[1:])
	return files[0], ids[files[0]], nil
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
