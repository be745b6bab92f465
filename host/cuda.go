package host

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

// defaultCUDA is where every installer of the toolkit leaves a link.
const defaultCUDA = "/usr/local/cuda"

// cuda reads the toolkit that need asks for. "auto" is /usr/local/cuda, and its absence is no finding: wheels bring
// their own libraries.
func (m machine) cuda(need string) (*CUDA, []finding.Finding) {
	asked := need
	if need == "auto" {
		asked = defaultCUDA
		if _, err := m.view.Lstat(asked); err != nil {
			return nil, nil
		}
	}
	asked = m.absolute(asked)
	if _, err := m.view.Lstat(asked); err != nil {
		return nil, []finding.Finding{cudaMissing(asked, err)}
	}
	r, err := m.view.Resolve(asked)
	if err != nil {
		return nil, []finding.Finding{cudaBroken(asked, err.Error(),
			"a link of the chain leads nowhere")}
	}
	if !m.view.IsDir(r.Path) {
		return nil, []finding.Finding{cudaBroken(asked, r.Path+" is no directory", "the toolkit is no directory")}
	}
	c := &CUDA{Path: asked, Real: r.Path, Links: r.Hops}
	c.Version = m.cudaVersion(r.Path)
	c.LibDirs, c.Stubs = m.cudaLibraries(r.Path)
	c.NVCC = m.isExecutable(r.Path+"/bin/nvcc") && m.cudaHeader(r.Path) != ""
	return c, judgeCUDA(c)
}

func judgeCUDA(c *CUDA) []finding.Finding {
	var said []finding.Finding
	if c.Version == "" {
		said = append(said, cudaBroken(c.Path, "no version.json, version.txt or include/cuda.h that tells a version below "+c.Real,
			"the toolkit does not say which version it is"))
	}
	if !c.NVCC {
		said = append(said, finding.Finding{ID: finding.CUDARuntime, Severity: finding.Info, Subject: c.Path,
			Got:     "libraries below " + c.Real,
			Want:    "bin/nvcc and include/cuda.h",
			Message: "the CUDA toolkit has no compiler: building CUDA extensions at run time will fail",
			Remedy:  "install the toolkit's development packages if the job compiles"})
	}
	return said
}

func cudaMissing(asked string, err error) finding.Finding {
	return finding.Finding{ID: finding.CUDAMissing, Severity: finding.Error, Subject: asked,
		Got: err.Error(), Want: "a CUDA toolkit at " + asked,
		Message: "no CUDA toolkit at " + asked,
		Remedy:  "install it, correct cuda:, or set cuda: none if the packages bring their own CUDA libraries"}
}

func cudaBroken(asked, got, message string) finding.Finding {
	return finding.Finding{ID: finding.CUDABroken, Severity: finding.Error, Subject: asked, Got: got,
		Want:    "a toolkit with version.json",
		Message: "the CUDA toolkit " + asked + " is broken: " + message,
		Remedy:  "reinstall the toolkit, or name another one: cuda: /usr/local/cuda-12.4"}
}

// cudaVersion tries version.json (CUDA 11.1 and later), version.txt (before), and the header.
func (m machine) cudaVersion(dir string) string {
	if b, err := m.view.ReadFile(dir+"/version.json", smallFile); err == nil {
		if v := parseCUDAJSON(b); v != "" {
			return v
		}
	}
	if v, ok := strings.CutPrefix(m.firstLine(dir+"/version.txt"), "CUDA Version "); ok {
		return strings.TrimSpace(v)
	}
	if header := m.cudaHeader(dir); header != "" {
		return parseCUDAHeader(m.text(header))
	}
	return ""
}

// parseCUDAJSON reads {"cuda": {"name": ..., "version": "12.4.1"}, ...}; partial installations list only their parts
// (cuda_cudart, cuda_nvcc), and repackagers write the bare string.
func parseCUDAJSON(b []byte) string {
	var parts map[string]json.RawMessage
	if json.Unmarshal(b, &parts) != nil {
		return ""
	}
	for _, key := range []string{"cuda", "cuda_cudart", "cuda_nvcc", "version"} {
		var part struct{ Version string }
		var bare string
		if json.Unmarshal(parts[key], &bare) == nil && bare != "" {
			return bare
		}
		if json.Unmarshal(parts[key], &part) == nil && part.Version != "" {
			return part.Version
		}
	}
	return ""
}

var cudaDefine = pattern.New(`(?m)^[ \t]*#[ \t]*define[ \t]+CUDA_VERSION[ \t]+(\d{4,6})\b`)

// parseCUDAHeader reads CUDA_VERSION of cuda.h: 1000 * major + 10 * minor.
func parseCUDAHeader(text string) string {
	found := cudaDefine.FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%d", n/1000, n%1000/10)
}

// cudaHeader is the path of cuda.h, "" without one.
func (m machine) cudaHeader(dir string) string {
	for _, include := range append([]string{dir + "/include"}, m.cudaTargets(dir, "include")...) {
		if m.view.Exists(include + "/cuda.h") {
			return include + "/cuda.h"
		}
	}
	return ""
}

// cudaTargets lists dir/targets/<triple>/<sub> (cross and native targets, as in x86_64-linux and sbsa-linux).
func (m machine) cudaTargets(dir, sub string) []string {
	entries, _ := m.view.ReadDir(dir + "/targets")
	var all []string
	for _, e := range entries {
		if p := path.Join(dir, "targets", e.Name(), sub); m.view.IsDir(p) {
			all = append(all, p)
		}
	}
	return all
}

// cudaLibraries lists the directories of libraries, each once, and those of stubs: a stub libcuda.so has the
// driver's symbols and no code, and a loader that finds it first makes every call fail.
func (m machine) cudaLibraries(dir string) (libs, stubs []string) {
	seen := map[string]bool{}
	for _, lib := range append([]string{dir + "/lib64", dir + "/lib"}, m.cudaTargets(dir, "lib")...) {
		r, err := m.view.Resolve(lib)
		if err != nil || seen[r.Path] || !m.view.IsDir(r.Path) {
			continue
		}
		seen[r.Path] = true
		libs = append(libs, lib)
		if stub, err := m.view.Resolve(r.Path + "/stubs"); err == nil && m.view.IsDir(stub.Path) && !seen[stub.Path] {
			seen[stub.Path] = true
			stubs = append(stubs, stub.Path)
		}
	}
	return libs, stubs
}
