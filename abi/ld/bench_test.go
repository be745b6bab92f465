package ld

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"hostrun.dev/hostrun/rootfs"
)

// benchTree is where the demo keeps torch with its CUDA wheels; another tree may be named.
func benchTree() string {
	if dir := os.Getenv("HOSTRUN_LD_TREE"); dir != "" {
		return dir
	}
	return "/var/cache/hostrun-demo/venv-3.11/lib/python3.11/site-packages"
}

// BenchmarkProof proves a whole site directory from nothing: all that a first check of it costs, but for the walk.
func BenchmarkProof(b *testing.B) {
	files := sharedObjectsOf(benchTree())
	if len(files) == 0 {
		b.Skip("there is no ", benchTree())
	}
	var most uint64
	before := processorTime()
	for b.Loop() {
		s, err := NewSystem(rootfs.Dir("/"), "/lib64/ld-linux-x86-64.so.2", Options{ISALevel: 3})
		if err != nil {
			b.Fatal(err)
		}
		p, err := s.Start("/usr/bin/python3")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.OpenAll(context.Background(), files, runtime.GOMAXPROCS(0)); err != nil {
			b.Fatal(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
		s.Close()
	}
	b.ReportMetric((processorTime()-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(len(files)), "modules")
	b.ReportMetric(float64(most)/(1<<20), "MiB")
}

// BenchmarkModule proves one small module in a process that is known already.
func BenchmarkModule(b *testing.B) {
	modules, _ := filepath.Glob("/usr/lib/python3*/lib-dynload/_*.so")
	if len(modules) == 0 {
		b.Skip("there is no lib-dynload")
	}
	s, err := NewSystem(rootfs.Dir("/"), "/lib64/ld-linux-x86-64.so.2", Options{})
	if err != nil {
		b.Skip(err)
	}
	defer s.Close()
	p, err := s.Start("/usr/bin/python3")
	if err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		if r := p.Open(modules[0]); r.Verdict != OK {
			b.Fatal(r.Message)
		}
	}
}

// processorTime is what this process has used of the processors: on a busy machine it says more than the clock.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func sharedObjectsOf(below string) []string {
	var files []string
	_ = filepath.WalkDir(below, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && (strings.HasSuffix(p, ".so") || strings.Contains(filepath.Base(p), ".so.")) {
			files = append(files, p)
		}
		return nil
	})
	return files
}
