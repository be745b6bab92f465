package runtime

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/containers"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices"
)

// Strays are containers of hostrun's whose processes live and whose records nobody has shown: their containerd is away, or has
// come back without them. What they were given is still in use. They are found by what is left: the directory of their namespace's files,
// their cgroup, and the nodes below the /dev of a process in it.
type Strays struct {
	numbers map[DeviceNumber][]DeviceName
	cgroups map[string]string // by namespace/ID

	mu    sync.Mutex
	known map[string]bool
}

// LookForStrays looks at cgroups, and has to come before the records are asked for: a container has its record before its cgroup. dataDir is
// that of Options.
func LookForStrays(dataDir string, numbers map[DeviceNumber][]DeviceName) *Strays {
	s := &Strays{numbers: numbers, cgroups: map[string]string{}, known: map[string]bool{}}
	if len(numbers) == 0 {
		return s
	}
	root := "/sys/fs/cgroup"
	if !isUnified(root) {
		root += "/devices"
	}
	spaces, _ := os.ReadDir(filepath.Join(dataDir, "containers"))
	for _, ns := range spaces {
		below, _ := os.ReadDir(filepath.Join(root, ns.Name()))
		for _, e := range below {
			if e.IsDir() {
				s.cgroups[ns.Name()+"/"+e.Name()] = filepath.Join(root, ns.Name(), e.Name())
			}
		}
	}
	return s
}

// meet is told of records; nil takes no notice.
func (s *Strays) meet(ns string, records []containers.Container) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.known[ns+"/"+r.ID] = true
	}
}

// Leases are the devices that they have, each alone: whether it is to be shared is not known. nil has none.
func (s *Strays) Leases() []Holding {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Holding
	for name, dir := range s.cgroups {
		if s.known[name] {
			continue
		}
		ns, id, _ := strings.Cut(name, "/")
		for _, d := range s.given(firstProcess(dir)) {
			all = append(all, Holding{Lease: devices.Lease{Kind: d.Kind, Name: d.Name, Container: id}, Namespace: ns, Live: true})
		}
	}
	return all
}

// given are the devices whose nodes are below a process's /dev.
func (s *Strays) given(pid int) (names []DeviceName) {
	if pid == 0 {
		return nil
	}
	met := map[DeviceName]bool{}
	root := "/proc/" + strconv.Itoa(pid) + "/root/dev"
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // one that has just ended has nothing
		case e.IsDir() && (e.Name() == "shm" || e.Name() == "pts" || e.Name() == "mqueue"):
			return fs.SkipDir
		case e.Type()&fs.ModeCharDevice == 0:
			return nil
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
			return nil
		}
		for _, name := range s.numbers[DeviceNumber{Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev)))}] {
			if !met[name] {
				met[name] = true
				names = append(names, name)
			}
		}
		return nil
	})
	return names
}

// firstProcess is one of a cgroup's or of those below it; 0 for none.
func firstProcess(dir string) int {
	if pids := processesIn(dir); len(pids) > 0 {
		return pids[0]
	}
	return 0
}
