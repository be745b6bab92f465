package frameworks

import (
	"encoding/json"
	"path"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// A kind is a framework besides torch, and where its files tell what.
type kind struct {
	dists   string            // pattern of normalised names of its distribution; the first that is there is it
	dir     string            // its package
	file    string            // below dir, with literals
	take    map[string]string // literal -> fact: version, cuda, cudnn, or another one for Details
	natives []string          // directories below dir with native files that tell
	more    func(r *reader, o *Other)
}

var kinds = []kind{
	{dists: `^torchvision$`, dir: "torchvision", file: "version.py", take: map[string]string{"__version__": "version", "cuda": "cuda"}, natives: []string{"."}},
	{dists: `^torchaudio$`, dir: "torchaudio", file: "version.py", take: map[string]string{"__version__": "version", "cuda": "cuda"}, natives: []string{"lib"}},
	{dists: `^(pytorch-)?triton(-.*)?$`, dir: "triton", file: "__init__.py", take: map[string]string{"__version__": "version"}},
	{dists: `^jax$`, dir: "jax", file: "version.py", take: map[string]string{"_version": "version"}, more: jaxPlugins},
	{dists: `^jaxlib$`, dir: "jaxlib", file: "version.py", take: map[string]string{"_version": "version"}},
	{dists: `^tensorflow(-.*)?$`, dir: "tensorflow", file: "python/platform/build_info.py", more: tensorflowBuild},
	{dists: `^onnxruntime(-.*)?$`, dir: "onnxruntime", file: "capi/build_and_package_info.py", natives: []string{"capi"}, more: onnxProviders,
		take: map[string]string{"__version__": "version", "cuda_version": "cuda", "cudnn_version": "cudnn", "package_name": "package", "openvino_version": "openvino"}},
	{dists: `^vllm$`, dir: "vllm", file: "_version.py", take: map[string]string{"__version__": "version"}, natives: []string{".", "vllm_flash_attn"}},
	{dists: `^flash-attn$`, dir: "flash_attn", file: "__init__.py", take: map[string]string{"__version__": "version"}, natives: []string{".."}, more: flashTorch},
	{dists: `^xformers$`, dir: "xformers", file: "version.py", take: map[string]string{"__version__": "version"}, natives: []string{"."}, more: xformersBuild},
	{dists: `^paddlepaddle(-.*)?$`, dir: "paddle", file: "version/__init__.py", take: map[string]string{"full_version": "version", "cuda_version": "cuda", "cudnn_version": "cudnn"}},
	{dists: `^cupy(-.*)?$`, dir: "cupy", file: "_version.py", take: map[string]string{"__version__": "version"}, more: cupyMajor},
	{dists: `^mindspore$`, dir: "mindspore", file: "version.py", take: map[string]string{"__version__": "version"}},
}

// other reads one framework where its package is there.
func (r *reader) other(k kind) {
	dir := r.find(k.dir)
	if dir == "" {
		return
	}
	o := Other{Name: normalise(k.dir), Dir: dir}
	names := pattern.New(k.dists)
	for name, d := range r.dists {
		if names.MatchString(name) && d.site == path.Dir(dir) && (o.Version == "" || len(name) < len(o.Name)) {
			o.Name, o.Version = name, d.version
		}
	}
	for name, value := range literals(r.text(path.Join(dir, k.file))) {
		o.set(k.take[name], value)
	}
	if name := o.Details["package"]; name != "" { // of two that share a directory, the one whose files these are
		o.Name = normalise(name)
		delete(o.Details, "package")
	}
	if o.Version == "" {
		return // an empty directory, or another package of that name
	}
	r.otherNatives(k, &o)
	if d := r.dists[o.Name]; d != nil {
		o.Torch = torchPin(d)
	}
	if k.more != nil {
		k.more(r, &o)
	}
	if len(o.Details) == 0 {
		o.Details = nil
	}
	r.facts.Others = append(r.facts.Others, o)
}

func (o *Other) set(fact, value string) {
	if value == "False" {
		return
	}
	switch fact {
	case "":
	case "version":
		o.Version = value
	case "cuda":
		o.CUDA = value
	case "cudnn":
		o.CUDNN = value
	default:
		if o.Details == nil {
			o.Details = map[string]string{}
		}
		o.Details[fact] = value
	}
}

// otherNatives asks the framework's native files what they need, and for which GPUs they have code.
func (r *reader) otherNatives(k kind, o *Other) {
	var files []string
	for _, sub := range k.natives {
		takes := anyName
		if sub == ".." {
			takes = func(name string) bool { return strings.HasPrefix(name, k.dir) }
		}
		files = append(files, r.natives(path.Join(o.Dir, sub), takes)...)
	}
	o.Needs = r.needs(files, isToolkit)
	seen := map[string]bool{}
	for _, file := range files {
		n, ok := openNative(r.view, file)
		if !ok {
			continue
		}
		for _, arch := range n.codeArchs() {
			seen[arch] = true
		}
		n.close()
	}
	var archs []string
	for arch := range seen {
		archs = append(archs, arch)
	}
	o.SASS, o.PTX = split(archs)
}

// torchPin is the version of torch that a distribution binds itself to, "" for none.
func torchPin(d *dist) string {
	for _, q := range d.requires {
		if version, ok := strings.CutPrefix(q.specifiers, "=="); ok && q.name == "torch" && q.marker == "" && !strings.ContainsAny(version, ",*") {
			return version
		}
	}
	return ""
}

// jaxPlugins are the packages below the namespace jax_plugins: xla_cuda12.
func jaxPlugins(r *reader, o *Other) {
	entries, _ := r.view.ReadDir(path.Join(path.Dir(o.Dir), "jax_plugins"))
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), "xla_"); ok {
			o.Backends = append(o.Backends, name)
			if major, ok := strings.CutPrefix(name, "cuda"); ok {
				o.CUDA = major
			}
		}
	}
}

var (
	buildPair = pattern.New(`\('([a-z_]+)', (?:'([^'\n]*)'|(\[[^\]\n]*\])|(True|False))\)`)
	listItem  = pattern.New(`'([^'\n]*)'`)
)

// tensorflowBuild reads the pairs of tensorflow/python/platform/build_info.py.
func tensorflowBuild(r *reader, o *Other) {
	take := map[string]string{"cuda_version": "cuda", "cudnn_version": "cudnn", "tensorrt_version": "tensorrt"}
	for _, m := range buildPair.FindAllStringSubmatch(r.text(path.Join(o.Dir, "python/platform/build_info.py")), 64) {
		o.set(take[m[1]], m[2])
		if m[1] != "cuda_compute_capabilities" {
			continue
		}
		var archs []string
		for _, item := range listItem.FindAllStringSubmatch(m[3], 64) {
			if flags, ok := parseFlags(item[1]); ok {
				archs = append(archs, flags...)
			}
		}
		o.SASS, o.PTX = split(archs)
	}
}

var provider = pattern.New(`^libonnxruntime_providers_(\w+)\.so$`)

// onnxProviders are the execution providers that lie beside onnxruntime as files of their own.
func onnxProviders(r *reader, o *Other) {
	for _, file := range r.natives(path.Join(o.Dir, "capi"), provider.MatchString) {
		if name := provider.FindStringSubmatch(path.Base(file))[1]; name != "shared" {
			o.Backends = append(o.Backends, name)
		}
	}
}

var flashBuild = pattern.New(`torch(\d+\.\d+)`)

// flashTorch reads the local version of flash_attn's wheels: 2.7.4.post1+cu12torch2.6cxx11abiFALSE.
func flashTorch(r *reader, o *Other) {
	if d := r.dists["flash-attn"]; d != nil {
		if m := flashBuild.FindStringSubmatch(d.version); m != nil {
			o.Torch = m[1]
		}
	}
}

// xformersBuild reads cpp_lib.json, which its build writes.
func xformersBuild(r *reader, o *Other) {
	var build struct{ Version struct{ Torch string } }
	if json.Unmarshal([]byte(r.text(path.Join(o.Dir, "cpp_lib.json"))), &build) == nil {
		o.Torch = or(build.Version.Torch, o.Torch)
	}
}

var cupyName = pattern.New(`^cupy-cuda(\d+)x?$`)

// cupyMajor takes CUDA's major version out of the distribution's name: cupy-cuda12x.
func cupyMajor(_ *reader, o *Other) {
	if m := cupyName.FindStringSubmatch(o.Name); m != nil {
		o.CUDA = m[1]
	}
}
