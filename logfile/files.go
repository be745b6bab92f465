package logfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openAll opens every file of the log, oldest first. The caller closes them. It looks from the youngest to the oldest:
// files move that way only, so a rotation meanwhile can show a file twice, but hide none.
func openAll(path string) ([]*os.File, error) {
	var files []*os.File
	for n, missing := 0, 0; missing < 2; n++ {
		file, err := os.Open(generation(path, n))
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		if err != nil {
			closeAll(files)
			return nil, err
		}
		missing = 0
		if len(files) > 0 && sameFile(file, files[0]) {
			file.Close()
			continue
		}
		files = append([]*os.File{file}, files...)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}

func sameFile(a, b *os.File) bool {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// isNamed reports whether the file at name is file.
func isNamed(file *os.File, name string) bool {
	info, err := os.Stat(name)
	if err != nil {
		return false
	}
	own, err := file.Stat()
	return err == nil && os.SameFile(info, own)
}

// openNext opens the file that the writer began after it was done with file; nil if file is the current one, or the
// writer is just between the two.
func openNext(path string, file *os.File) (*os.File, error) {
	if isNamed(file, path) {
		return nil, nil
	}
	if _, err := os.Stat(path); err != nil {
		return nil, ignoreMissing(err)
	}
	for n, missing := 1, 0; missing < 2; n++ {
		name := generation(path, n)
		if _, err := os.Stat(name); err != nil {
			missing++
			continue
		}
		if !isNamed(file, name) {
			continue
		}
		next, err := os.Open(generation(path, n-1))
		if err != nil {
			return nil, ignoreMissing(err)
		}
		if !isNamed(file, name) || sameFile(file, next) { // rotated again meanwhile
			next.Close()
			return nil, nil
		}
		return next, nil
	}
	return openOldest(path)
}

// openOldest opens the oldest file of the log, whose predecessors are gone.
func openOldest(path string) (*os.File, error) {
	files, err := openAll(path)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	closeAll(files[1:])
	return files[0], nil
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
