package imports

import (
	"context"
	"os"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

const demoPython = "/var/cache/hostrun-demo/venv-3.11/bin/python3"

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
