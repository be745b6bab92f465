package imports

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// demoPython is the interpreter of an environment with torch: the demonstration's, or else the one of make truth.
var demoPython = func() string {
	python := "/var/cache/hostrun-demo/venv-3.11/bin/python3"
	if _, err := os.Stat(python); err != nil {
		return filepath.Join(truthCache(), "sites/torch/bin/python3")
	}
	return python
}()

// truthCache is where integration/truth keeps what it compares.
func truthCache() string {
	return filepath.Join(cmp.Or(os.Getenv("HOSTRUN_TEST_CACHE"), "/var/cache/hostrun-test"), "truth")
}

// BenchmarkScanTorch reads what `import torch` does: over a thousand files.
func BenchmarkScanTorch(b *testing.B) {
	if _, err := os.Stat(demoPython); err != nil {
		skip(b, "no environment with torch: ", err)
	}
	py := detect(b, demoPython)
	b.ReportAllocs()
	for b.Loop() {
		report, err := Scan(context.Background(), rootfs.Dir("/"), Request{Python: py, Packages: []string{"torch"}})
		if err != nil || report.Counts.Files < 500 {
			b.Fatal(err, report.Counts)
		}
		b.SetBytes(report.Counts.Bytes)
	}
}
