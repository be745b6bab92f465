package nvidia

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path"
	"strconv"
	"strings"
)

// A state is what the inventory is read from, and what changes when it does. It costs some hundred system calls and opens no
// device.
type state struct {
	boot    string
	version string // body of /proc/driver/nvidia/version
	module  string // srcversion
	gpus    []procGPU
	majors  map[string]int
	libs    libraries
}

func (m machine) state(driverRoot string) state {
	s := state{
		boot:    m.text("/proc/sys/kernel/random/boot_id"),
		version: m.text("/proc/driver/nvidia/version"),
		module:  m.text("/sys/module/nvidia/srcversion"),
		gpus:    m.procGPUs(),
		majors:  parseMajors(m.text("/proc/devices")),
	}
	kernel, _ := parseVersion(s.version)
	s.libs = m.findLibraries(kernel, driverRoot)
	return s
}

// schema changes with what a fingerprint covers and with what the cache holds.
const schema = "hostrun nvidia 1"

// fingerprint changes with the boot, the driver, the GPUs and their partitions. Device numbers are part of it for what a plan was
// made with; they are read anew at each start all the same.
func (m machine) fingerprint(s state) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%s\n", schema, s.boot, s.version, s.module)
	for _, g := range s.gpus {
		fmt.Fprintf(h, "%s %d %v\n", g.Address, g.Minor, g.Excluded)
		m.tree(h, capabilities+"/gpu"+strconv.Itoa(g.Minor)+"/mig", 4, false)
	}
	for _, name := range []string{"nvidia", "nvidia-frontend", "nvidia-uvm", "nvidia-caps", "nvidia-nvswitch", "nvidia-caps-imex-channels"} {
		fmt.Fprintf(h, "%s %d\n", name, s.majors[name])
	}
	fmt.Fprintf(h, "%s %s\n", s.libs.libcuda, m.stamp(s.libs.libcuda))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// cacheKey is fingerprint and what may change without any of it: a partition that was made again under its old number (its
// directory's times tell; they also change when the kernel forgets the directory, which costs a question), a device that came
// to the bus, and a library that came to the driver's directory.
func (m machine) cacheKey(s state, fingerprint string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", fingerprint)
	for _, g := range s.gpus {
		fmt.Fprintf(h, "%s\n", g.UUID) // known once the adapter is initialised
		m.tree(h, capabilities+"/gpu"+strconv.Itoa(g.Minor)+"/mig", 4, true)
	}
	fmt.Fprintf(h, "%q\n", m.kernelNames(pciDevices))
	fmt.Fprintf(h, "%s\n", m.stamp(path.Dir(s.libs.libcuda)))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// tree adds the names below a directory, and the stamps of directories where times is set.
func (m machine) tree(h hash.Hash, dir string, depth int, times bool) {
	for _, name := range m.kernelNames(dir) {
		p := dir + "/" + name
		fmt.Fprintf(h, "%s\n", p)
		if depth == 0 || strings.HasPrefix(name, ".") {
			continue
		}
		if name == "access" {
			fmt.Fprintf(h, "%s\n", m.text(p))
			continue
		}
		if times {
			if fi, err := os.Lstat(m.under(p)); err == nil {
				fmt.Fprintf(h, "%d %s\n", fi.ModTime().UnixNano(), identity(fi))
			}
		}
		m.tree(h, p, depth-1, times)
	}
}

// stamp describes a file so that another one in its place is told apart.
func (m machine) stamp(p string) string {
	if p == "" || p == "." {
		return ""
	}
	fi, err := m.stat(p)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d %s", fi.Size(), fi.ModTime().UnixNano(), identity(fi))
}
