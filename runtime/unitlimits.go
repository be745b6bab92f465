package runtime

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// An Allowance is what a cgroup of version 2 may use with all that is above it (Linux, admin-guide/cgroup-v2.rst). 0 is no limit.
type Allowance struct {
	Memory int64   // bytes
	Pids   int64   // processes and threads
	CPUs   float64 // processors
}

// AllowanceOf reads the limits of a cgroup, which is a path below the hierarchy's root, and of its parents. What is not there, as a
// controller that is on another hierarchy, limits nothing.
func AllowanceOf(cgroup string) Allowance { return allowance(cgroupRoot, cgroup) }

func allowance(root, cgroup string) (a Allowance) {
	for at := filepath.Clean("/" + cgroup); at != "/"; at = filepath.Dir(at) {
		dir := filepath.Join(root, at)
		a.Memory = lesser(a.Memory, firstNumber(dir, "memory.max"))
		a.Pids = lesser(a.Pids, firstNumber(dir, "pids.max"))
		if quota := firstNumber(dir, "cpu.max"); quota > 0 {
			if cpus := float64(quota) / float64(cpuPeriod(dir)); a.CPUs == 0 || cpus < a.CPUs {
				a.CPUs = cpus
			}
		}
	}
	return a
}

// lesser is the lesser of two limits.
func lesser(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// firstNumber is the number at the beginning of a file; 0 for "max", and where there is none.
func firstNumber(dir, file string) int64 {
	words := numberWords(dir, file)
	if len(words) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil || n == math.MaxInt64 {
		return 0
	}
	return n
}

func numberWords(dir, file string) []string {
	text, _ := os.ReadFile(filepath.Join(dir, file)) // see AllowanceOf
	return strings.Fields(string(text))
}

// cpuPeriod is the period of cpu.max, in µs; the kernel's default where it says none.
func cpuPeriod(dir string) int64 {
	if words := numberWords(dir, "cpu.max"); len(words) == 2 {
		if n, err := strconv.ParseInt(words[1], 10, 64); err == nil && n > 0 {
			return n
		}
	}
	return 100_000
}
