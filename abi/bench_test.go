package abi

import (
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

func BenchmarkDetectPython(b *testing.B) {
	view := rootfs.Dir("/")
	for b.Loop() {
		if _, err := DetectPython(view, "python3", Environment{}); err != nil {
			b.Fatal(err)
		}
	}
}
