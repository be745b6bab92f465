// Package bridge makes what package network has settled: network namespaces, CNI's bridges and port rules, firewall rules, hosts
// files. All of it lives as long as the boot; the journal in the state directory names it before it is made, so that Detach
// removes it after a crash as well.
package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
)

// A Kernel is this machine's, as far as one state directory of hostrun's goes. The zero value but for StateDir works where no ports are published. It is
// safe for concurrent use, by several processes too.
type Kernel struct {
	StateDir string // /run/hostrun
	Relay    string // the program hostrun-ports
	Log      *slog.Logger
}

// A Key names a container: IDs are of one namespace.
type Key struct{ Namespace, ID string }

func (k Key) name() string { return k.Namespace + "." + k.ID } // CNI's container ID: letters, digits, . _ -

func (k *Kernel) dir(elem ...string) string {
	return filepath.Join(append([]string{k.StateDir, "network"}, elem...)...)
}

// namespacePath is where the container's network namespace is bound.
func (k *Kernel) namespacePath(key Key) string {
	return network.NamespacePath(k.StateDir, key.Namespace, key.ID)
}

func (k *Kernel) journal(key Key) string { return k.dir("containers", key.Namespace, key.ID+".json") }

// Entries are the journals of all containers, the oldest first.
func (k *Kernel) Entries() ([]network.Entry, error) {
	files, err := filepath.Glob(k.dir("containers", "*", "*.json"))
	if err != nil {
		return nil, err
	}
	var all []network.Entry
	for _, file := range files {
		e, err := readEntry(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went in between
		}
		if err != nil {
			return nil, fmt.Errorf("read the networks' state: %w", err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b network.Entry) int {
		if a.Since != b.Since {
			return int(min(max(a.Since-b.Since, -1), 1))
		}
		return strings.Compare(a.Namespace+"/"+a.ID, b.Namespace+"/"+b.ID)
	})
	return all, nil
}

func readEntry(file string) (network.Entry, error) {
	var e network.Entry
	text, err := os.ReadFile(file)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("%s: %w", file, err)
	}
	return e, nil
}

// Entry is the container's, or fs.ErrNotExist.
func (k *Kernel) Entry(key Key) (network.Entry, error) { return readEntry(k.journal(key)) }

// write replaces the container's journal at once. It is in memory (/run), so nothing waits for a disk.
func (k *Kernel) write(e network.Entry) error {
	file := k.journal(Key{e.Namespace, e.ID})
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	tmp := file + ".new"
	if err := within(tmp, func() error { return os.WriteFile(tmp, text, 0o600) }); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// IDs are the containers of the namespace that anything is left of, in no order.
func (k *Kernel) IDs(namespace string) []string {
	seen := map[string]bool{}
	for _, dir := range []string{k.dir("containers", namespace), filepath.Dir(k.namespacePath(Key{namespace, "x"}))} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			seen[strings.TrimSuffix(strings.TrimSuffix(e.Name(), ".new"), ".json")] = true
		}
	}
	var ids []string
	for id := range seen {
		ids = append(ids, id)
	}
	return ids
}

// lock keeps everyone else from settling or removing networks. It is held for milliseconds, but while a bridge is new.
func (k *Kernel) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(k.dir(), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(k.dir("lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock the networks: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

func (k *Kernel) warn(text string, args ...any) {
	if k.Log != nil {
		k.Log.Warn(text, args...)
	}
}
