package runtime

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
)

// An OCI runtime moves the container's first process into its cgroup. The kernel lets that wait until every processor has
// passed a quiescent state (cgroup_attach_lock in kernel/cgroup/cgroup.c takes a percpu_rw_semaphore for writing, whose
// first writer waits in rcu_sync_enter for a grace period of RCU): 8 to 16 ms on an idle machine, a third of what runc
// takes in all. Who comes while another writer has just been there does not wait. So hostrun is that other writer: while
// the plan is made and the shim starts, it moves itself to the cgroup that it is in, which changes nothing, and goes on
// until the container is created.

// migrationsAgain is well below a grace period, after which the lock is slow for writers again.
const migrationsAgain = 4 * time.Millisecond

// migrationsAhead is how long an announced start may take to come: a plan that has to be proved or pulled first takes longer, and
// starts without.
const migrationsAhead = 250 * time.Millisecond

// migrations is of the process, as what it works on is of the machine.
var migrations migrationKeeper

// A migrationKeeper keeps the kernel's lock of migrations fast while somebody creates a container, or is about to. What
// it can't do costs time only.
type migrationKeeper struct {
	mu       sync.Mutex
	creating int       // calls that create a container now
	until    time.Time // an announced start is waited for
	running  bool
}

// ahead announces the creation of a container.
func (k *migrationKeeper) ahead() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = time.Now().Add(migrationsAhead)
	k.run()
}

// during is for the time of a creation: done ends it, and what was announced.
func (k *migrationKeeper) during() (done func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.creating++
	k.run()
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.creating--
		k.until = time.Time{}
	}
}

// run is called with the lock.
func (k *migrationKeeper) run() {
	spareProcessors()
	if !k.running {
		k.running = true
		go k.keep()
	}
}

func (k *migrationKeeper) keep() {
	move, end := mover()
	defer end()
	for k.goesOn(move()) {
		time.Sleep(migrationsAgain)
	}
}

// goesOn reports whether somebody needs the keeper still, and whether it is able to do anything.
func (k *migrationKeeper) goesOn(able bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = able && (k.creating > 0 || time.Now().Before(k.until))
	return k.running
}

// mover returns what moves this process to the cgroup that it is in, and reports whether that worked.
func mover() (move func() bool, end func()) {
	unable, nothing := func() bool { return false }, func() {}
	membership, err := os.Open(membershipFile)
	if err != nil {
		return unable, nothing
	}
	home, err := io.ReadAll(membership)
	var mounts []byte
	if err == nil {
		mounts, err = os.ReadFile("/proc/self/mountinfo")
	}
	var procs *os.File
	if err == nil {
		procs, err = os.OpenFile(procsFile(home, mounts), os.O_WRONLY, 0)
	}
	if err != nil {
		_ = membership.Close()
		return unable, nothing
	}
	now := make([]byte, len(home)+1)
	return func() bool {
		// Somebody may have moved us meanwhile; we do not move back. To open the file each time costs more than all else here.
		n, err := membership.ReadAt(now, 0)
		if err != io.EOF || !bytes.Equal(now[:n], home) {
			return false
		}
		_, err = procs.WriteString("0")
		return err == nil
	}, func() { _ = membership.Close(); _ = procs.Close() }
}

// spareProcessors lets a start wait in several system calls at once that Go takes for short ones: this one, and the opening of fifos that
// nobody has opened yet. Each keeps one of Go's processors (a P) until Go's monitor looks, after 10 ms where all was quiet (sysmon
// in Go's runtime/proc.go). Commands that start nothing are quicker with few.
var spareProcessors = sync.OnceFunc(func() {
	const enough = 8
	if os.Getenv("GOMAXPROCS") == "" && goruntime.GOMAXPROCS(0) < enough {
		goruntime.GOMAXPROCS(enough)
	}
})

const membershipFile = "/proc/self/cgroup"

// procsFile finds the file of a cgroup that the process is in: of the unified hierarchy, else of cgroup v1's of pids; "" without
// either. A mount of a part of the hierarchy that does not hold the process (its root begins with /.. where it is that of another
// cgroup namespace, cgroup_namespaces(7)) is none that could be written to without moving.
func procsFile(membership, mounts []byte) string {
	paths := map[string]string{} // by the controllers, "" for the unified hierarchy
	for line := range strings.Lines(string(membership)) {
		if part := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3); len(part) == 3 {
			paths[part[1]] = part[2]
		}
	}
	files := map[string]string{}
	_, _ = mountinfo.GetMountsFromReader(bytes.NewReader(mounts), func(m *mountinfo.Info) (skip, stop bool) {
		var controllers string
		switch {
		case m.FSType == "cgroup2":
		case m.FSType == "cgroup" && slices.Contains(strings.Split(m.VFSOptions, ","), "pids"):
			controllers = "pids"
		default:
			return true, false
		}
		path, member := paths[controllers]
		root := strings.TrimSuffix(m.Root, "/")
		if member && (path == root || strings.HasPrefix(path, root+"/")) {
			files[controllers] = filepath.Join(m.Mountpoint, path[len(root):], "cgroup.procs")
		}
		return true, false
	})
	return cmp.Or(files[""], files["pids"])
}
