package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// nsfsMagic is the file system of namespaces (NSFS_MAGIC, linux/magic.h).
const nsfsMagic = 0x6e736673

// makeNamespace binds a new network namespace, with its loopback interface up, at path.
func makeNamespace(path string) error {
	if err := placeholder(path); err != nil {
		return err
	}
	var err error
	OnOwnThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("make a network namespace: %w", err)
			return
		}
		if err = setUp("lo", true); err == nil {
			err = bindNamespace("/proc/thread-self/ns/net", path)
		}
	})
	return err
}

// joinNamespace binds the network namespace of a process at path.
func joinNamespace(pid int, path string) error {
	if err := placeholder(path); err != nil {
		return err
	}
	return bindNamespace(fmt.Sprintf("/proc/%d/ns/net", pid), path)
}

func bindNamespace(source, path string) error {
	if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the network namespace at %s: %w", path, err)
	}
	return nil
}

// placeholder is the file that the namespace is bound over.
func placeholder(path string) error {
	if err := dropNamespace(path); err != nil {
		return err
	}
	err := within(path, func() error {
		f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|unix.O_CLOEXEC, 0o400)
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		return fmt.Errorf("make the network namespace's place: %w", err)
	}
	return nil
}

// within makes the directory of path, and then what make does in it: again, where whoever has taken the last thing out of the directory
// removes it in between.
func within(path string, make func() error) error {
	for try := 1; ; try++ {
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = make()
		}
		gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) // the latter is MkdirAll's, where it was there and is not
		if !gone || try == 1000 {
			return err
		}
	}
}

// dropNamespace takes the binding away. The namespace, and with it the container's end of each veth, ends when no process is in
// it any more.
func dropNamespace(path string) error {
	for isNamespace(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unbind the network namespace %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the network namespace's place: %w", err)
	}
	_ = os.Remove(filepath.Dir(path)) // if it was the last
	return nil
}

func isNamespace(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == nsfsMagic
}
