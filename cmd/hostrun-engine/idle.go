package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hostrun.dev/hostrun/engine"
)

// A watcher decides when the engine leaves.
type watcher struct {
	layout  engine.Layout
	self    string // the file that it was started from, and what that was then
	stamp   string
	clients *os.File
	idle    time.Duration // how long nobody must have needed it
}

// calmEnough is how often memory is given back after work: what lies in pools is let go by a second collection alone
// (sync.Pool), and what a finalizer holds by the one after that has run.
const calmEnough = 2

// until returns why the engine leaves: a signal, or that nobody has needed it for long enough.
func (w watcher) until(ends <-chan os.Signal) string {
	for last, calmly := time.Now(), 0; ; {
		select {
		case s := <-ends:
			return s.String()
		case <-time.After(w.pause(calmly >= calmEnough)):
		}
		if w.needed() {
			last = time.Now()
		}
		if connected(w.layout.Address()) {
			calmly = 0
		} else if calmly < calmEnough {
			calmly++
			giveBack()
		}
		// An upgrade has put another file in its place: the next command starts that one.
		if replaced := engine.Stamp(w.self) != w.stamp; (replaced || time.Since(last) >= w.idle) && w.mayLeave() {
			return map[bool]string{true: "it was upgraded", false: "it is idle"}[replaced]
		}
	}
}

// pause is between two looks. After work it is short: what the work has left in memory is given back soon.
func (w watcher) pause(rests bool) time.Duration {
	most := 10 * time.Second
	if !rests {
		most = 2 * time.Second
	}
	return min(max(w.idle/20, 20*time.Millisecond), most)
}

func (w watcher) needed() bool { return w.tasks() || connected(w.layout.Address()) }

// mayLeave takes the clients' lock first: none can begin to use the engine after the last look.
func (w watcher) mayLeave() bool {
	if w.needed() || !engine.Leave(w.clients) {
		return false
	}
	if !w.needed() {
		return true
	}
	engine.Stay(w.clients)
	return false
}

// tasks says whether a task lives in any namespace: each has its bundle, from before its shim starts until its exit
// status was taken. What can't be read counts as a task: to leave would cost its exit status.
func (w watcher) tasks() bool {
	namespaces, err := os.ReadDir(filepath.Join(w.layout.StateDir, "io.containerd.runtime.v2.task"))
	if err != nil {
		return !os.IsNotExist(err)
	}
	for _, ns := range namespaces {
		bundles, err := os.ReadDir(filepath.Join(w.layout.StateDir, "io.containerd.runtime.v2.task", ns.Name()))
		if len(bundles) > 0 || err != nil {
			return true
		}
	}
	return false
}

// connected says whether anybody is connected to the socket: a client of containerd that is not ours holds no lock.
func connected(address string) bool {
	file, err := os.Open("/proc/net/unix")
	if err != nil {
		return false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if connectedTo(lines.Text(), address) {
			return true
		}
	}
	return false
}

// connectedTo reads one line: "Num RefCount Protocol Flags Type St Inode Path" (net/unix/af_unix.c, unix_seq_show). St 03
// is SS_CONNECTED, and the path is that of the side that listened.
func connectedTo(line, address string) bool {
	if !strings.HasSuffix(line, " "+address) {
		return false
	}
	f := strings.Fields(line)
	return len(f) >= 8 && f[5] == "03"
}
