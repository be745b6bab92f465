package host

import (
	"path"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// A matter is a package whose facts a plan or a person wants, and whose absence or damage ends an ML job.
type matter struct {
	file  string            // below the site directory; "" for none
	facts map[string]string // name in file -> name of the fact
}

var (
	versionPy = map[string]string{"__version__": "version", "git_version": "git_version", "cuda": "cuda", "hip": "hip", "debug": "debug"}
	matters   = map[string]matter{
		"torch":           {"torch/version.py", versionPy},
		"torchvision":     {"torchvision/version.py", versionPy},
		"torchaudio":      {"torchaudio/version.py", versionPy},
		"torch-npu":       {"torch_npu/version.py", versionPy},
		"triton":          {"triton/__init__.py", versionPy},
		"numpy":           {"numpy/version.py", map[string]string{"version": "version", "git_revision": "git_version"}},
		"jax":             {"jax/version.py", map[string]string{"_version": "version"}},
		"jaxlib":          {"jaxlib/version.py", versionPy},
		"tensorflow":      {"tensorflow/python/platform/build_info.py", map[string]string{"cuda_version": "cuda", "cudnn_version": "cudnn"}},
		"onnxruntime":     {"onnxruntime/capi/build_and_package_info.py", map[string]string{"__version__": "version", "cuda_version": "cuda"}},
		"onnxruntime-gpu": {"onnxruntime/capi/build_and_package_info.py", map[string]string{"__version__": "version", "cuda_version": "cuda"}},
		"vllm":            {"vllm/_version.py", map[string]string{"__version__": "version", "version": "version"}},
		"transformers":    {"transformers/__init__.py", map[string]string{"__version__": "version"}},
	}
)

// doesMatter says whether a start must not go on when the distribution is damaged; NVIDIA's wheels are torch's
// libraries.
func doesMatter(normalised string) bool {
	_, ok := matters[normalised]
	return ok || strings.HasPrefix(normalised, "nvidia-")
}

var (
	assignment = pattern.New(`(?m)^([A-Za-z_]\w*)\s*(?::[^=\n]*)?=\s*(?:[A-Za-z_]\w*\s*=\s*)*(?:'([^'\n]*)'|"([^"\n]*)"|(True|False)\b)`)
	dictEntry  = pattern.New(`['"]([a-z_]+)['"]\s*:\s*['"]([^'"\n]*)['"]`)
	cudaWheel  = pattern.New(`^nvidia-.*-cu(\d+)$`)
)

// matterFacts reads the facts of the named distribution from the files below dir. Literals only: what a module
// computes is not known without running it.
func matterFacts(dir, normalised string) map[string]string {
	if found := cudaWheel.FindStringSubmatch(normalised); found != nil {
		return map[string]string{"cuda": found[1]}
	}
	m, ok := matters[normalised]
	if !ok || m.file == "" {
		return nil
	}
	b, err := readRegular(path.Join(dir, m.file), smallFile)
	if err != nil {
		return nil
	}
	return literals(string(b), m.facts)
}

// literals picks module-level assignments of strings and booleans, and string entries of dicts (TensorFlow's
// build_info), by name.
func literals(text string, names map[string]string) map[string]string {
	facts := map[string]string{}
	put := func(name, value string) {
		if fact := names[name]; fact != "" && facts[fact] == "" {
			facts[fact] = value
		}
	}
	for _, found := range assignment.FindAllStringSubmatch(text, -1) {
		put(found[1], found[2]+found[3]+found[4])
	}
	for _, found := range dictEntry.FindAllStringSubmatch(text, -1) {
		put(found[1], found[2])
	}
	for fact, value := range facts {
		if value == "" {
			delete(facts, fact)
		}
	}
	if len(facts) == 0 {
		return nil
	}
	return facts
}

// condaMatters are conda packages that are no Python distributions, or that decide about the others.
var condaMatters = pattern.New(`^(python|cudatoolkit|cudnn|nccl|cuda(-.*)?|pytorch(-cuda|-mutex)?|libtorch|mkl|libgcc(-ng)?|libstdcxx(-ng)?)$`)

// conda reads the names in conda-meta: <name>-<version>-<build>.json. Nil without that directory.
func (m machine) conda(prefix string) map[string]string {
	entries, err := m.view.ReadDir(prefix + "/conda-meta")
	if err != nil {
		return nil
	}
	found := map[string]string{}
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".json")
		parts := strings.Split(stem, "-")
		if !ok || len(parts) < 3 {
			continue
		}
		name := strings.Join(parts[:len(parts)-2], "-")
		if condaMatters.MatchString(name) {
			found[name] = parts[len(parts)-2]
		}
	}
	return found
}
