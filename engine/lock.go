package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// errBusy says that another process holds a lock.
var errBusy = errors.New("somebody holds the lock")

// flock takes a lock of flock(2) without waiting. The lock ends with the file, and so with the process at the latest.
func flock(file *os.File, how int) error {
	for {
		err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return errBusy
		case err != nil:
			return fmt.Errorf("lock %s: %w", file.Name(), err)
		default:
			return nil
		}
	}
}

// pause is between two looks at a lock that somebody holds: its holder is a process that starts or leaves, in milliseconds.
const pause = 2 * time.Millisecond

// until tries again after each wait, as long as the answer is that somebody holds a lock, ctx lives and patience is left.
func until(ctx context.Context, patience, wait time.Duration, try func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if !errors.Is(err, errBusy) || time.Now().After(deadline) {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// leaving is the longest that a client waits for an engine that has decided to leave.
const leaving = 10 * time.Second

// Hold keeps the engine from going idle until release is called or the process ends. It starts nothing and may come
// before the first start; hold first, then Ensure, so that the engine does not leave in between. Where one is just leaving,
// Hold waits until it has left. Its error has status 77 where the caller may not use the engine.
func Hold(l Layout) (release func(), err error) {
	file, err := openClients(l)
	if err != nil {
		return nil, err
	}
	err = until(context.Background(), leaving, pause, func() error { return flock(file, unix.LOCK_SH) })
	if err != nil {
		_ = file.Close()
		return nil, finding.Errorf(finding.StatusTryAgain, "", "wait for the private engine to leave: %w", err)
	}
	return func() { _ = file.Close() }, nil
}

func openClients(l Layout) (*os.File, error) {
	file, err := os.Open(l.clientsLock())
	if errors.Is(err, os.ErrNotExist) && os.Geteuid() == 0 {
		if err := prepare(l); err != nil {
			return nil, err
		}
		file, err = os.OpenFile(l.clientsLock(), os.O_RDONLY|os.O_CREATE, 0o600)
	}
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		return nil, mayNot(l)
	}
	return file, err
}

// prepare makes the directories of a layout that can work.
func prepare(l Layout) error {
	if err := l.Check(); err != nil {
		return err
	}
	return makeDirs(l)
}

// makeDirs makes what the locks lie in. Others may pass through the state directory to the socket, and see nothing else.
func makeDirs(l Layout) error {
	for dir, mode := range map[string]os.FileMode{l.StateDir: 0o711, l.RootDir: 0o700} {
		if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
			return storage(l, err)
		}
		if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, os.ErrExist) {
			return storage(l, err)
		}
	}
	return nil
}

// Reserve takes the private engine's state and root for this process, for as long as the file lives: keep it reachable,
// for the garbage collector closes a file that nothing refers to. A second engine on either is refused at once, with
// the first one's pid: in bolt's own lock it would wait for ever.
func Reserve(l Layout) (locks []*os.File, err error) {
	if err := prepare(l); err != nil {
		return nil, err
	}
	for _, dir := range []string{l.StateDir, l.RootDir} {
		file, err := reserve(dir)
		if err != nil {
			return nil, storage(l, err)
		}
		locks = append(locks, file)
	}
	return locks, nil
}

func reserve(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "engine.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(file, unix.LOCK_EX); err != nil {
		defer file.Close()
		if errors.Is(err, errBusy) {
			return nil, taken(dir, holder(file))
		}
		return nil, err
	}
	if err := file.Truncate(0); err != nil {
		return nil, err
	}
	_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return file, err
}

func taken(dir string, pid int) error {
	return &finding.Err{Status: finding.StatusTryAgain, Hint: fmt.Sprintf("if it does not answer, end it, and containers go on: kill -9 %d", pid),
		Err: fmt.Errorf("start the private engine: another one (pid %d) works on %s: %w", pid, dir, errBusy)}
}

// holder reads the pid that the lock's holder wrote; 0 if there is none yet.
func holder(file *os.File) int {
	b := make([]byte, 16)
	n, _ := file.ReadAt(b, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return pid
}

// Leave says whether the engine may leave now: if no client holds it, it takes the clients' lock, so that none can hold it
// any more until the process has ended, and returns true.
func Leave(clients *os.File) bool { return flock(clients, unix.LOCK_EX) == nil }

// Stay gives the lock back that Leave has taken.
func Stay(clients *os.File) { _ = unix.Flock(int(clients.Fd()), unix.LOCK_UN) }

// OpenClients opens the clients' lock for the engine itself, and gives it to the group that may use the engine; gid -1 for none.
func OpenClients(l Layout, gid int) (*os.File, error) {
	file, err := openClients(l)
	if err != nil || gid < 0 {
		return file, err
	}
	if err := errors.Join(file.Chown(0, gid), file.Chmod(0o640), passable(filepath.Dir(l.StateDir))); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// passable lets the group through hostrun's own directory to the state below it: another command may have made it for
// root alone. Directories of others stay as they are.
func passable(dir string) error {
	if filepath.Base(dir) != "hostrun" {
		return nil
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return os.Chmod(dir, fi.Mode().Perm()|0o011)
}
