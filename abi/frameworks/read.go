package frameworks

import (
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

// Bounds of what is read, in bytes and names.
const (
	maxText      = 1 << 20 // of a source or metadata file
	maxBy        = 4       // of files that a Need names
	maxFiles     = 64      // native files of one framework
	maxLibraries = 1024    // of wheels
)

// Places say where frameworks are looked for.
type Places struct {
	Sites  []string // directories of sys.path in its order, paths of the view
	Python string   // version, "3.11.2"; requirements may depend on it
	Arch   string   // machine by uname's name: x86_64
}

// A reader is one Read.
type reader struct {
	view  *rootfs.View
	p     Places
	names map[string][]string // site -> names in it
	dists map[string]*dist    // by normalised name; the first on the path
	facts Facts
}

// A dist is the metadata of an installed distribution.
type dist struct {
	name, version string // name normalised
	dir           string // of the metadata
	site          string
	requires      []requirement
}

// Read collects the facts. What is missing, damaged or odd is left out: a framework is never a reason to fail here.
func Read(view *rootfs.View, p Places) Facts {
	r := &reader{view: view, p: p, names: map[string][]string{}, dists: map[string]*dist{}}
	for _, site := range p.Sites {
		r.readSite(site)
	}
	r.provided()
	r.torch()
	r.torchNPU()
	for _, k := range kinds {
		r.other(k)
	}
	slices.SortFunc(r.facts.Others, func(a, b Other) int { return strings.Compare(a.Name, b.Name) })
	r.pins()
	return r.facts
}

// relevant matches distributions whose metadata is read.
var relevant = pattern.New(`^(torch|torchvision|torchaudio|torchtext|torchcodec|torch-npu|triton|pytorch-triton(-.*)?|jax|jaxlib|jax-(cuda|rocm)\d*-(plugin|pjrt)|tensorflow(-.*)?|` +
	`onnxruntime(-.*)?|vllm|vllm-ascend|flash-attn(-.*)?|xformers|paddlepaddle(-.*)?|cupy(-.*)?|mindspore|nvidia-.*|cuda-toolkit|bitsandbytes|deepspeed)$`)

func (r *reader) readSite(site string) {
	entries, err := r.view.ReadDir(site)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := e.Name()
		r.names[site] = append(r.names[site], name)
		low := strings.ToLower(name)
		if strings.HasPrefix(name, "~") || !strings.HasSuffix(low, ".dist-info") && !strings.HasSuffix(low, ".egg-info") {
			continue // a tilde is what an interrupted pip leaves
		}
		stem, version, _ := strings.Cut(name[:strings.LastIndexByte(name, '.')], "-")
		key := normalise(stem)
		if r.dists[key] == nil && relevant.MatchString(key) {
			r.dists[key] = r.readDist(&dist{name: key, version: version, dir: path.Join(site, name), site: site})
		}
	}
}

// readDist reads the headers of METADATA or PKG-INFO; an egg-info may be that file itself.
func (r *reader) readDist(d *dist) *dist {
	var text []byte
	for _, file := range []string{"METADATA", "PKG-INFO", ""} {
		if b, err := r.view.ReadFile(path.Join(d.dir, file), maxText); err == nil {
			text = b
			break
		}
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		line = strings.TrimRight(line, "\r")
		key, value, ok := strings.Cut(line, ":")
		if line == "" {
			break
		}
		switch {
		case !ok:
		case strings.EqualFold(key, "Version"):
			d.version = strings.TrimSpace(value)
		case strings.EqualFold(key, "Requires-Dist"):
			if q, ok := parseRequirement(value); ok {
				d.requires = append(d.requires, q)
			}
		}
	}
	return d
}

// find returns the directory of a package: the first on the path that has it.
func (r *reader) find(name string) string {
	for _, site := range r.p.Sites {
		if slices.Contains(r.names[site], name) && r.view.IsDir(path.Join(site, name)) {
			return path.Join(site, name)
		}
	}
	return ""
}

func (r *reader) text(p string) string {
	b, err := r.view.ReadFile(p, maxText)
	if err != nil {
		return ""
	}
	return string(b)
}

// natives are the shared objects right in a directory whose name takes says yes to, sorted.
func (r *reader) natives(dir string, takes func(name string) bool) []string {
	entries, _ := r.view.ReadDir(dir)
	var files []string
	for _, e := range entries {
		name := e.Name()
		if (strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")) && takes(name) && len(files) < maxFiles {
			files = append(files, path.Join(dir, name))
		}
	}
	slices.Sort(files)
	return files
}

// provided lists the libraries of NVIDIA's wheels: those that their RECORD files name (nvidia/cudnn/lib, nvidia/cu13/lib,
// cusparselt/lib), and what else lies in nvidia/*/lib.
func (r *reader) provided() {
	found := map[string]Library{}
	for _, site := range r.p.Sites {
		if !slices.Contains(r.names[site], "nvidia") {
			continue
		}
		parts, _ := r.view.ReadDir(path.Join(site, "nvidia"))
		for _, part := range parts {
			for _, file := range r.natives(path.Join(site, "nvidia", part.Name(), "lib"), isVersioned) {
				found[file] = Library{Soname: path.Base(file), Path: file}
			}
		}
	}
	for name, d := range r.dists {
		if isWheelOfCUDA(name) {
			r.recorded(d, found)
		}
	}
	for _, l := range found {
		r.facts.Provided = append(r.facts.Provided, l)
	}
	slices.SortFunc(r.facts.Provided, func(a, b Library) int {
		if a.Soname != b.Soname {
			return strings.Compare(a.Soname, b.Soname)
		}
		return strings.Compare(a.Path, b.Path)
	})
}

// recorded adds the libraries of a distribution's RECORD that are there.
func (r *reader) recorded(d *dist, found map[string]Library) {
	for line := range strings.SplitSeq(r.text(path.Join(d.dir, "RECORD")), "\n") {
		file, _, _ := strings.Cut(line, ",")
		if !strings.Contains(file, "/lib/") || !isVersioned(path.Base(file)) {
			continue
		}
		p := path.Join(d.site, file)
		if _, known := found[p]; known || len(found) < maxLibraries && r.view.Exists(p) {
			found[p] = Library{Soname: path.Base(p), Path: p, Wheel: d.name, Version: d.version}
		}
	}
}

// isVersioned says of a file's name that it is a library's soname.
func isVersioned(name string) bool {
	return strings.HasPrefix(name, "lib") && strings.Contains(name, ".so.")
}

// needs collects what native files ask for of accelerators' libraries. own are names that the framework has itself.
func (r *reader) needs(files []string, takes func(soname string) bool) []Need {
	byName := map[string]*Need{}
	for _, file := range files {
		n, ok := openNative(r.view, file)
		if !ok {
			continue
		}
		for _, soname := range n.needed() {
			if !takes(soname) {
				continue
			}
			need := byName[soname]
			if need == nil {
				need = r.need(soname)
				byName[soname] = need
			}
			if by := path.Base(file); len(need.By) < maxBy && !slices.Contains(need.By, by) {
				need.By = append(need.By, by)
			}
		}
		n.close()
	}
	var all []Need
	for _, need := range byName {
		slices.Sort(need.By)
		all = append(all, *need)
	}
	slices.SortFunc(all, func(a, b Need) int { return strings.Compare(a.Soname, b.Soname) })
	return all
}

func (r *reader) need(soname string) *Need {
	stem, major, _ := strings.Cut(strings.TrimPrefix(soname, "lib"), ".so")
	major, _, _ = strings.Cut(strings.TrimPrefix(major, "."), ".")
	n := &Need{Soname: soname, Name: stem, Major: major}
	for _, l := range r.facts.Provided {
		if l.Soname == soname {
			n.Found, n.From = l.Path, "wheel"
			break
		}
	}
	return n
}

// accelerated matches the libraries of CUDA, ROCm and oneAPI, and of the drivers below them.
var accelerated = pattern.New(`^lib(cuda|cudart|cublas|cublasLt|cudnn\w*|nccl|cufft|cufftw|curand|cusolver|cusolverMg|cusparse|cusparseLt|cufile|nvJitLink|nvrtc|` +
	`nvToolsExt|cupti|nvshmem_host|nvjpeg|nvinfer\w*|nvonnxparser|cudss|cutensor|nvidia-ml|npp\w+|amdhip64|hiprtc|hipblas\w*|hipfft|hiprand|hipsolver|hipsparse\w*|rocblas|` +
	`rocsolver|rocsparse|rocrand|rocm_smi64|rccl|MIOpen|roctx64|roctracer64|sycl|ze_loader|ccl|mkl_sycl\w*)\.so(\.|$)`)

// drivers are the libraries that come with a kernel driver, never with a toolkit.
var drivers = map[string]bool{"cuda": true, "nvidia-ml": true, "ze_loader": true}

func isToolkit(soname string) bool {
	m := accelerated.FindStringSubmatch(soname)
	return m != nil && !drivers[m[1]]
}

// A Place is a directory of libraries.
type Place struct {
	Dir  string // path of the view
	From string // "toolkit" or "system"
}

// Find looks for the libraries that no wheel brings in directories of the view, the first that has one counts, and
// forgets what an earlier call found.
func (f *Facts) Find(view *rootfs.View, places []Place) {
	f.eachNeed(func(n *Need) {
		if n.From == "wheel" {
			return
		}
		n.Found, n.From = "", ""
		for _, p := range places {
			if file := path.Join(p.Dir, n.Soname); view.Exists(file) {
				n.Found, n.From = file, p.From
				return
			}
		}
	})
}

// eachNeed visits all that frameworks ask for.
func (f *Facts) eachNeed(visit func(*Need)) {
	var all [][]Need
	if f.Torch != nil {
		all = append(all, f.Torch.Needs)
	}
	if f.TorchNPU != nil {
		all = append(all, f.TorchNPU.Needs)
	}
	for i := range f.Others {
		all = append(all, f.Others[i].Needs)
	}
	for _, needs := range all {
		for i := range needs {
			visit(&needs[i])
		}
	}
}
