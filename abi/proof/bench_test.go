package proof

import (
	"os"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/rootfs"
)

const demoVenv = "/var/cache/hostrun-demo/venv-3.11"

// BenchmarkProveTorch is a first proof, with nothing known but what the kernel keeps of files: real torch with its CUDA
// wheels, and packages that import thousands of modules.
func BenchmarkProveTorch(b *testing.B) {
	if _, err := os.Stat(demoVenv + "/complete"); err != nil {
		b.Skip("no environment with torch: ", err)
	}
	py, err := abi.DetectPython(rootfs.Dir("/"), demoVenv+"/bin/python3", abi.Environment{})
	if err != nil {
		b.Fatal(err)
	}
	site := demoVenv + "/lib/python3.11/site-packages"
	r := Request{Python: py, Command: []string{py.Executable, "-c", "import torch, torchvision, transformers, sklearn; from transformers import Dinov2Config, Dinov2Model"},
		Env: map[string]string{"PATH": "/usr/bin:/bin"}, SiteDirs: []string{site}, HostDirs: []string{site}}
	b.ReportAllocs()
	for b.Loop() {
		report, err := Prove(b.Context(), rootfs.Dir("/"), r)
		if err != nil || report.Counts.Modules < 200 {
			b.Fatal(err, report.Counts)
		}
		b.ReportMetric(float64(report.Counts.Imports), "imports")
		b.ReportMetric(float64(report.Counts.Modules), "modules")
	}
}
