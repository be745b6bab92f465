package frameworks

import (
	"path"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// literal matches a module-level assignment of a string, a number, a boolean or None.
var literal = pattern.New(`(?m)^([A-Za-z_]\w*)[ \t]*(?::[^=\n]*)?=[ \t]*(?:[A-Za-z_]\w*[ \t]*=[ \t]*)*(?:'([^'\n]*)'|"([^"\n]*)"|(True|False|None)\b|(\d[\d.]*)[ \t\r]*$)`)

// literals returns what a source file assigns at its top level, as text; None and empty texts are left out. What a module
// computes is not known without running it.
func literals(text string) map[string]string {
	values := map[string]string{}
	for _, m := range literal.FindAllStringSubmatch(text, 4096) {
		if value := m[2] + m[3] + m[4] + m[5]; values[m[1]] == "" && value != "None" && value != "" {
			values[m[1]] = value
		}
	}
	return values
}

// torch reads torch/version.py and torch/lib.
func (r *reader) torch() {
	dir := r.find("torch")
	if dir == "" {
		return
	}
	said := literals(r.text(path.Join(dir, "version.py")))
	t := &Torch{Version: said["__version__"], Dir: dir, CUDA: said["cuda"], HIP: said["hip"], ROCm: said["rocm"], XPU: said["xpu"], Debug: said["debug"] == "True"}
	if d := r.dists["torch"]; t.Version == "" && d != nil {
		t.Version = d.version
	}
	if t.Version == "" {
		return // a directory of that name, and no PyTorch
	}
	r.facts.Torch = t
	libraries := r.torchLibraries(dir)
	t.Needs = r.needs(libraries, isToolkit)
	for _, file := range libraries {
		switch name := path.Base(file); {
		case strings.HasPrefix(name, "libc10.so"):
			t.CXX11ABI = r.ask(file, (*native).cxx11ABI)
		case strings.HasPrefix(name, "libtorch_python.so") && t.CUDA != "":
			r.torchArchs(file, (*native).archFlags)
		}
	}
	for _, file := range libraries {
		if len(t.SASS)+len(t.PTX) == 0 && t.CUDA != "" && strings.HasPrefix(path.Base(file), "libtorch_cuda") {
			r.torchArchs(file, (*native).codeArchs)
		}
	}
}

func (r *reader) torchArchs(file string, read func(*native) []string) {
	n, ok := openNative(r.view, file)
	if !ok {
		return
	}
	defer n.close()
	if archs := read(n); len(archs) > 0 {
		t := r.facts.Torch
		t.SASS, t.PTX = split(archs)
		t.ArchsFrom = file
	}
}

// ask opens a native file for one question.
func (r *reader) ask(file string, question func(*native) string) string {
	n, ok := openNative(r.view, file)
	if !ok {
		return ""
	}
	defer n.close()
	return question(n)
}

var torchLibrary = pattern.New(`^lib(c10|c10_(cuda|hip|xpu)|torch_(cuda|hip|xpu|python|nvshmem)\w*|caffe2_nvrtc)\.so`)

// torchLibraries are the native files that tell something: of torch/lib, or where a distribution keeps them (Debian has
// them among the system's libraries, and links in torch/lib for some).
func (r *reader) torchLibraries(dir string) []string {
	isOurs := torchLibrary.MatchString
	files := r.natives(path.Join(dir, "lib"), func(name string) bool { return isOurs(name) && r.view.Exists(path.Join(dir, "lib", name)) })
	have := map[string]bool{}
	for _, file := range files {
		stem, _, _ := strings.Cut(path.Base(file), ".so")
		have[stem] = true
	}
	if have["libc10"] && have["libtorch_python"] || !strings.HasPrefix(dir, "/usr/lib/") {
		return files
	}
	system := "/usr/lib/" + r.p.Arch + "-linux-gnu"
	return append(files, r.natives(system, func(name string) bool {
		stem, version, _ := strings.Cut(name, ".so.")
		return version != "" && isOurs(name) && !have[stem]
	})...)
}

// notCANN matches what torch_npu's native files ask for besides CANN.
var notCANN = pattern.New(`^(lib(torch|c10|stdc\+\+|gcc_s|m|c|dl|rt|pthread|util|gomp|z|tensorpipe|npu_profiler|op_plugin|_C)\w*\.so|ld-linux|linux-vdso)`)

// torchNPU reads torch_npu: version.py, its metadata, and what it asks of CANN.
func (r *reader) torchNPU() {
	dir := r.find("torch_npu")
	if dir == "" {
		return
	}
	said := literals(r.text(path.Join(dir, "version.py")))
	n := &TorchNPU{Version: said["__version__"], Dir: dir}
	d := r.dists["torch-npu"]
	if d != nil {
		n.Version = or(n.Version, d.version)
		for _, q := range d.requires {
			if q.name == "torch" {
				n.TorchSays = q.text
			}
		}
		n.Autoload = entryPoint(r.text(path.Join(d.dir, "entry_points.txt")), "torch.backends")
	}
	if n.Version == "" {
		return
	}
	n.TorchBase = Base(n.Version)
	files := append(r.natives(path.Join(dir, "lib"), anyName), r.natives(dir, anyName)...)
	own := map[string]bool{}
	for _, file := range files {
		own[path.Base(file)] = true
	}
	n.Needs = r.needs(files, func(soname string) bool { return !own[soname] && !notCANN.MatchString(soname) })
	r.facts.TorchNPU = n
}

func anyName(string) bool { return true }

// or returns the first text that is not empty.
func or(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// entryPoint is the value of the first entry of a group (packaging.python.org, "Entry points specification").
func entryPoint(text, group string) string {
	section := ""
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = line[1 : len(line)-1]
			continue
		}
		if _, value, ok := strings.Cut(line, "="); ok && section == group && line[0] != '#' {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
