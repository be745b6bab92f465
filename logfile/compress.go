package logfile

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// zipped is what the name of a compressed file ends in.
const zipped = ".gz"

// An identity tells a file of a log apart from its others, also after it was compressed: the header of the compressed one names the file
// that it was, whose number a later file may have.
type identity struct {
	device, inode uint64
	first         int64 // which byte of the log it begins with; 0 where the log does not say
}

// identityOf is that of a file of the log at path as it is written.
func identityOf(path string, file *os.File) identity {
	id := numberOf(file)
	id.first = readOffsets(path)[id]
	return id
}

func numberOf(file *os.File) identity {
	info, err := file.Stat()
	if err != nil {
		return identity{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{device: uint64(st.Dev), inode: st.Ino}
}

const identityForm = "hostrun-log %d:%d %d"

func (id *identity) read(comment string) {
	_, _ = fmt.Sscanf(comment, identityForm, &id.device, &id.inode, &id.first)
}

// zippedIdentity is the identity of the file that the compressed one at name was; zero where it can't be read.
func zippedIdentity(name string) (id identity) {
	file, err := os.Open(name)
	if err != nil {
		return identity{}
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		return identity{}
	}
	id.read(z.Comment)
	return id
}

// openGeneration opens the n-th youngest file of a log, unpacked where it is compressed. The error of one that is not there is
// fs.ErrNotExist.
func openGeneration(path string, n int) (*os.File, identity, error) {
	name := generation(path, n)
	for try := 0; ; try++ {
		file, err := os.Open(name)
		if err == nil {
			return file, identityOf(path, file), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || n == 0 {
			return nil, identity{}, err
		}
		file, id, err := unpack(name + zipped)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || try > 0 {
			return file, id, err
		}
	}
}

// unpack returns the content of a compressed file as a file without a name. What is damaged ends where the damage begins.
func unpack(name string) (*os.File, identity, error) {
	packed, err := os.Open(name)
	if err != nil {
		return nil, identity{}, err
	}
	defer packed.Close()
	var id identity
	plain, err := os.CreateTemp("", "hostrun-log-*")
	if err != nil {
		return nil, id, err
	}
	_ = os.Remove(plain.Name())
	z, err := gzip.NewReader(packed)
	if err == nil {
		id.read(z.Comment)
		_, err = io.Copy(plain, z)
	}
	var full *fs.PathError
	if errors.As(err, &full) { // of the file without a name, not of the compressed one
		plain.Close()
		return nil, id, err
	}
	return plain, id, nil
}

// named reports whether the n-th youngest file of the log is the one of that identity.
func named(path string, n int, id identity) bool {
	file, err := os.Open(generation(path, n))
	if err == nil {
		defer file.Close()
		return identityOf(path, file) == id
	}
	return n > 0 && id != identity{} && zippedIdentity(generation(path, n)+zipped) == id
}

// exists reports whether there is an n-th youngest file.
func exists(path string, n int) bool {
	_, err := os.Stat(generation(path, n))
	if err != nil && n > 0 {
		_, err = os.Stat(generation(path, n) + zipped)
	}
	return err == nil
}

// moveGeneration makes the i-th youngest file the next one, in whichever form it is.
func moveGeneration(path string, i int) error {
	from, to := generation(path, i), generation(path, i+1)
	for _, form := range [][2]string{{"", zipped}, {zipped, ""}} {
		err := os.Rename(from+form[0], to+form[0])
		if err == nil {
			err = os.Remove(to + form[1])
		}
		if err = ignoreMissing(err); err != nil {
			return err
		}
	}
	return nil
}

// compress packs the files that were rotated, in the background, the youngest first: a container that writes faster than that leaves
// files as they are for a while. The caller holds w.mu.
func (w *Writer) compress() {
	if w.packing {
		return
	}
	w.packing = true
	w.packers.Add(1)
	go func() {
		defer w.packers.Done()
		for failed := (identity{}); ; {
			w.mu.Lock()
			file := w.unpacked()
			if file == nil || identityOf(w.path, file) == failed || w.closing.Load() {
				w.packing = false
				w.mu.Unlock()
				if file != nil {
					file.Close()
				}
				return
			}
			w.mu.Unlock()
			if id := identityOf(w.path, file); !w.packOne(file, id) {
				failed = id // a full disk: the next rotation tries again
			}
		}
	}()
}

// unpacked opens the youngest file that was rotated and not compressed; nil without one.
func (w *Writer) unpacked() *os.File {
	for n := 1; n < w.opt.MaxFiles; n++ {
		if file, err := os.Open(generation(w.path, n)); err == nil {
			return file
		}
		if !exists(w.path, n) {
			return nil
		}
	}
	return nil
}

// packOne compresses one file and closes it. One that is rotated away meanwhile counts as done.
func (w *Writer) packOne(file *os.File, id identity) bool {
	defer file.Close()
	packed := w.path + ".packing"
	err := w.pack(file, id, packed)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		err = w.replaceBy(packed, id)
	}
	_ = os.Remove(packed) // unless it has its place
	return err == nil
}

var errClosed = errors.New("the log is closed")

// pack writes file, compressed, to a new file called name. It ends early when the writer is closed.
func (w *Writer) pack(file *os.File, id identity, name string) (err error) {
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	buffered := bufio.NewWriterSize(to, 32<<10)
	z, err := gzip.NewWriterLevel(buffered, gzip.BestSpeed)
	if err != nil {
		return err
	}
	z.Comment = fmt.Sprintf(identityForm, id.device, id.inode, id.first)
	for chunk := make([]byte, 64<<10); ; {
		n, err := file.Read(chunk)
		if n > 0 {
			if _, err := z.Write(chunk[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return errors.Join(z.Close(), buffered.Flush())
		}
		if err != nil {
			return err
		}
		if w.closing.Load() {
			return errClosed
		}
	}
}

// replaceBy puts the compressed file in the place of the one that it was made of, wherever that is by now, if it is anywhere.
func (w *Writer) replaceBy(packed string, id identity) error {
	for n := 1; n < w.opt.MaxFiles; n++ {
		name := generation(w.path, n)
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		same := identityOf(w.path, file) == id
		file.Close()
		if !same {
			continue
		}
		if err := os.Rename(packed, name+zipped); err != nil {
			return err
		}
		return os.Remove(name)
	}
	return nil
}
