package nvidia_test

import (
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/finding"
)

const compatDir = "/usr/local/cuda/compat"

// sources returns where each library at a destination comes from.
func sources(e devices.Edits) map[string]string {
	all := map[string]string{}
	for _, m := range e.Mounts {
		all[m.ContainerPath] = m.HostPath
	}
	return all
}

// TestCompatOfTheMachine: the package takes the driver's place where it serves, and where what runs needs it.
func TestCompatOfTheMachine(t *testing.T) {
	const libcuda = "/usr/lib/x86_64-linux-gnu/libcuda.so.1"
	driver, compat := "/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15", "/usr/local/cuda-13.0/compat/libcuda.so.580.65.06"
	for name, c := range map[string]struct {
		branches []int
		brand    string
		options  map[string]string
		env      []string
		want     string
	}{
		"needed by what is known":   {[]int{535, 550}, "nvidia", map[string]string{"cuda": "13.0"}, nil, compat},
		"needed by the image":       {[]int{535, 550}, "tesla", nil, []string{"CUDA_VERSION=13.0.1"}, compat},
		"minor version":             {[]int{550}, "", map[string]string{"cuda": "12.8"}, nil, compat},
		"not needed":                {[]int{535, 550}, "nvidia", map[string]string{"cuda": "12.4"}, nil, driver},
		"nobody says what runs":     {[]int{535, 550}, "nvidia", nil, nil, driver},
		"not wanted":                {[]int{535, 550}, "nvidia", map[string]string{"cuda": "13.0", "compat": "off"}, nil, driver},
		"of other branches":         {[]int{535, 560}, "nvidia", map[string]string{"cuda": "13.0"}, nil, driver},
		"not on a GeForce":          {[]int{535, 550}, "geforcertx", map[string]string{"cuda": "13.0"}, nil, driver},
		"a version nobody can read": {[]int{550}, "nvidia", map[string]string{"cuda": "new"}, nil, driver},
	} {
		t.Run(name, func(t *testing.T) {
			m := nvidiatest.H100()
			m.GPUs = m.GPUs[:1]
			m.Files = map[string]string{"usr/local/cuda-13.0/compat/libcuda.so.580.65.06": string(nvidiatest.CompatLibrary("13.0", c.branches...)),
				"usr/local/cuda-13.0/compat/libnvidia-ptxjitcompiler.so.580.65.06": string(nvidiatest.Library("libnvidia-ptxjitcompiler.so.1"))}
			m.Links = map[string]string{"usr/local/cuda": "/usr/local/cuda-13.0", "usr/local/cuda-13.0/compat/libcuda.so.1": "libcuda.so.580.65.06",
				"usr/local/cuda-13.0/compat/libnvidia-ptxjitcompiler.so.1": "libnvidia-ptxjitcompiler.so.580.65.06"}
			a := dgxAnswers()
			g := a.gpus["0000:1b:00.0"]
			g.Brand = c.brand
			a.gpus["0000:1b:00.0"] = g
			e, found := edits(t, nvidia.New(m.Make(t), nvidia.WithAsker(a.ask)), devices.Ask{Options: c.options}, devices.Container{Env: c.env}, 0)
			got := sources(e)
			if got[libcuda] != c.want || len(found) > 0 {
				t.Errorf("libcuda of %s, want %s; %+v", got[libcuda], c.want, found)
			}
			if jit := got["/usr/lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.1"]; strings.Contains(jit, "compat") != (c.want == compat) {
				t.Errorf("the PTX compiler is %s: it has to be of libcuda's version", jit)
			}
			if ml := got["/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"]; !strings.HasSuffix(ml, "550.54.15") {
				t.Errorf("libnvidia-ml is %s: it has to be of the kernel's version", ml)
			}
		})
	}
}

// TestCompatOfTheImage: where it serves, the image's own package is left alone; else the driver's libcuda is bound over it.
func TestCompatOfTheImage(t *testing.T) {
	env := []string{"LD_LIBRARY_PATH=" + compatDir}
	for name, c := range map[string]struct {
		branches []int
		env      []string
		covered  bool
		found    bool // by the image's loader, and of use
	}{
		"serves":            {[]int{550}, env, false, true},
		"of other branches": {[]int{535}, env, true, true},
		"not in the path":   {[]int{550}, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			view := image(t, debian(map[string]string{"usr/local/cuda/compat/libcuda.so.580.65.06": string(nvidiatest.CompatLibrary("13.0", c.branches...)),
				"usr/local/cuda/compat/libcuda.so.1": "-> libcuda.so.580.65.06"}))
			e, found := edits(t, nvidia.New(nvidiatest.H100().Make(t)), devices.Ask{}, devices.Container{View: view, Env: c.env}, 0)
			if got := slices.Contains(destinations(e), compatDir+"/libcuda.so.1"); got != c.covered {
				t.Errorf("bound over: %v", got)
			}
			if says := slices.ContainsFunc(found, func(f finding.Finding) bool { return f.ID == finding.CUDACompat && f.Severity == finding.Info }); says != c.covered || len(found) > 1 {
				t.Errorf("%+v", found)
			}
			if got := nvidia.ImageCompat(view, c.env); (got != nil) != c.found {
				t.Errorf("ImageCompat: %+v", got)
			}
		})
	}
	if c := nvidia.ImageCompat(image(t, debian(nil)), env); c != nil {
		t.Errorf("an image without the package: %+v", c)
	}
}

// TestCompatBringsWhatTheDriverLacks: driver 470 has no libnvidia-nvvm, which the package's libcuda opens to compile.
func TestCompatBringsWhatTheDriverLacks(t *testing.T) {
	m := nvidiatest.H100()
	m.Driver, m.GPUs = "470.57.02", m.GPUs[:1]
	m.Files = map[string]string{"usr/local/cuda/compat/libcuda.so.550.54.15": string(nvidiatest.CompatLibrary("12.4", 470)),
		"usr/local/cuda/compat/libnvidia-pkcs11-openssl3.so.550.54.15": string(nvidiatest.Library("libnvidia-pkcs11-openssl3.so.550.54.15")),
		"usr/local/cuda/compat/libnvidia-nvvm70.so.4":                  string(nvidiatest.Library("libnvidia-nvvm70.so.4")),
		"usr/local/cuda/compat/libother.so.1":                          string(nvidiatest.Library("libother.so.1"))}
	m.Links = map[string]string{"usr/local/cuda/compat/libcuda.so.1": "libcuda.so.550.54.15"}
	root := m.Make(t)
	for cuda, want := range map[string]bool{"12.4": true, "11.4": false} {
		e, found := edits(t, nvidia.New(root), devices.Ask{Options: map[string]string{"cuda": cuda}}, devices.Container{View: image(t, debian(nil))}, 0)
		got := sources(e)
		for _, name := range []string{"libnvidia-pkcs11-openssl3.so.550.54.15", "libnvidia-nvvm70.so.4"} {
			if has := got["/usr/lib/x86_64-linux-gnu/"+name] == compatDir+"/"+name; has != want {
				t.Errorf("CUDA %s, %s: %v", cuda, name, got)
			}
		}
		if got["/usr/lib/x86_64-linux-gnu/libother.so.1"] != "" || len(found) > 0 {
			t.Errorf("CUDA %s: %v, %+v", cuda, got, found)
		}
	}
}
