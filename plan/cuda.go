package plan

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
)

// cudaPath is where programs look for the toolkit.
const cudaPath = "/usr/local/cuda"

// addCUDA binds the host's toolkit at its real path, which its own files and rpaths name, and at /usr/local/cuda. Nothing is
// put into LD_LIBRARY_PATH: it would come before the libraries that wheels bring.
func (b *builder) addCUDA() {
	c := b.f.Host.CUDA
	if !borrowsCUDA(b.p) {
		return
	}
	if c == nil || c.Real == "" || c.Real == "/" {
		b.noCUDA()
		return
	}
	if usesHostRoot(b.p) {
		b.addHostCUDA(c)
		return
	}
	at := []string{cudaPath}
	if b.real(cudaPath) != b.real(c.Real) && b.reachable(c.Real) {
		at = []string{c.Real, cudaPath}
	}
	for _, destination := range at {
		b.mounts = append(b.mounts, mount{Mount: b.borrowed(c.Real, destination), origin: "host cuda", key: "cuda"})
		b.plan.Borrowed = append(b.plan.Borrowed, Borrowed{Source: c.Real, Destination: destination, For: "cuda"})
		b.maskStubs(destination)
	}
	b.nameCUDA(cudaPath)
}

// nameCUDA tells programs where the toolkit is.
func (b *builder) nameCUDA(at string) {
	b.env.set("CUDA_HOME", at, "hostrun")
	// Behind the image's own directories: a compiler of the image stays the one that is found.
	if search := strings.Split(b.env.get("PATH"), ":"); !slices.Contains(search, at+"/bin") {
		b.env.set("PATH", strings.Join(append(search, at+"/bin"), ":"), "hostrun")
	}
}

// addHostCUDA: where the root is the host's, the toolkit lies where it lies there, and nothing can be made in /usr/local.
func (b *builder) addHostCUDA(c *host.CUDA) {
	if _, covered := b.coveredBy(c.Real); !covered && !b.ofHostRoot(c.Real) {
		b.mounts = append(b.mounts, mount{Mount: b.borrowed(c.Real, c.Real), origin: "host cuda", key: "cuda"})
	}
	b.plan.Borrowed = append(b.plan.Borrowed, Borrowed{Source: c.Real, Destination: c.Real, For: "cuda"})
	b.maskStubs(c.Real)
	b.nameCUDA(c.Real)
}

func (b *builder) noCUDA() {
	if b.p.CUDA == "auto" || b.has(finding.CUDAMissing, finding.CUDABroken) {
		return
	}
	b.report("cuda", finding.Finding{
		ID: finding.CUDAMissing, Severity: finding.Error, Subject: b.p.CUDA,
		Message: "no CUDA toolkit at " + b.p.CUDA + " on the host",
		Remedy:  "install it, correct cuda:, or set cuda: none if the packages bring their own CUDA libraries",
	})
}

// reachable: a toolkit below a closed directory is of use at /usr/local/cuda only.
func (b *builder) reachable(p string) bool {
	dir, at, closed := b.closed(p)
	if closed {
		b.notTraversed("cuda", p, dir, at, finding.Warning)
	}
	return !closed
}

// maskStubs hides the toolkit's stub libraries: a libcuda.so without code, which, once found, answers
// CUDA_ERROR_STUB_LIBRARY instead of the driver's own.
func (b *builder) maskStubs(destination string) {
	c := b.f.Host.CUDA
	for _, stub := range c.Stubs {
		rel, ok := strings.CutPrefix(path.Clean(stub), path.Clean(c.Real)+"/")
		if !ok {
			continue
		}
		b.mounts = append(b.mounts, mount{
			Mount: specs.Mount{Destination: path.Join(destination, rel), Type: "tmpfs", Source: "tmpfs",
				Options: []string{"nosuid", "nodev", "noexec", "mode=555", "size=4k", "ro"}},
			origin: "host cuda", key: "cuda",
		})
	}
}
