package frameworks

import "testing"

// Pairs as packaging 24 (SpecifierSet.contains, prereleases allowed) says them.
func TestVersionsMeetSpecifiers(t *testing.T) {
	for _, c := range []struct {
		specifiers, version string
		want                bool
	}{
		{"==2.6.0", "2.6.0", true}, {"==2.6.0", "2.6.0+cu124", true}, {"==2.6.0+cpu", "2.6.0+cu124", false}, {"==2.6", "2.6.0", true},
		{"==2.5.1.*", "2.5.1.post1", true}, {"==2.5.*", "2.6.0", false}, {"==2.*", "2", true}, {"==2.14.0.*", "2.14.0", true},
		{"<2.7,>=2.6", "2.6.3", true}, {"<2.7,>=2.6", "2.7.0", false}, {"<2.7", "2.7.0rc1", false}, {"<2.7.0rc2", "2.7.0rc1", true},
		{">=2.6", "2.6.0rc1", false}, {">=2.6", "2.6.0.dev20250101", false}, {">2.6", "2.6.0.post1", false}, {">2.6.0.post1", "2.6.0.post2", true},
		{"~=3.9.0", "3.9.4", true}, {"~=3.9.0", "3.10.0", false}, {"~=3.9", "3.10", true}, {"!=1.0", "1.0.0", false}, {"!=1.0.*", "1.1", true},
		{"", "1", true}, {">=1!1.0", "2.0", false}, {"<=0.10.2,>=0.10.1", "0.10.2", true}, {"==0.10.2", "0.12.0.1", false}, {">=12.1.105", "12.9.79", true},
	} {
		if got, known := allows(c.specifiers, c.version); !known || got != c.want {
			t.Errorf("%q, %s: %v, known %v, want %v", c.specifiers, c.version, got, known, c.want)
		}
	}
	for _, odd := range [][2]string{{"==nonsense", "1"}, {"2.6", "2.6"}, {"=>2", "3"}, {">=2", "unknown"}} {
		if _, known := allows(odd[0], odd[1]); known {
			t.Errorf("%v is taken as understood", odd)
		}
	}
}

func TestMarkers(t *testing.T) {
	vars := map[string]string{"python_version": "3.11", "platform_system": "Linux", "platform_machine": "x86_64", "sys_platform": "linux", "extra": ""}
	for text, want := range map[string]bool{
		`a`: true, `a; platform_system == "Linux" and platform_machine == "x86_64"`: true, `a; platform_system == "Windows"`: false,
		`a; extra == "cuda"`: false, `a ; python_version < "3.9" or sys_platform == 'linux'`: true, `a; python_version >= "3.9"`: true,
		`a; python_version >= "3.12"`: false, `a; (extra == "x" or python_version < "4") and sys_platform in "linux darwin"`: true,
		`a; sys_platform not in "linux"`: false, `a; unknown_variable == "1"`: false, `a; python_version`: false, `a; (python_version > "3"`: false,
		`a[b,c]<2,>=1; python_version > "3.8"`: true, `a (==12.1.105) ; platform_system == "Linux"`: true, `a @ file:///x ; python_version > "3"`: true,
	} {
		r, ok := parseRequirement(text)
		if !ok || r.name != "a" || r.applies(vars) != want {
			t.Errorf("%s: %+v, %v, want %v", text, r, ok && r.applies(vars), want)
		}
	}
	if r, _ := parseRequirement(`cuda-toolkit[cublas, Cu_dart]==13.2.2; platform_system == "Linux"`); len(r.extras) != 2 || r.extras[1] != "cu-dart" || r.specifiers != "==13.2.2" {
		t.Errorf("got %+v", r)
	}
}

func TestBrokenPins(t *testing.T) {
	f := read(t, map[string]string{
		"site/torch/version.py":                       torchVersion,
		"site/torch-2.6.0.dist-info/METADATA":         "Version: 2.6.0\nRequires-Dist: cuda-toolkit[cudart]==12.4.1\nRequires-Dist: nvidia-nccl-cu12==2.21.5; platform_system == \"Linux\"\nRequires-Dist: sympy==1\n",
		"site/cuda_toolkit-12.4.1.dist-info/METADATA": "Version: 12.4.1\nRequires-Dist: nvidia-cuda-runtime-cu12==12.4.*; extra == \"cudart\"\nRequires-Dist: nvidia-cufft-cu12; extra == \"cufft\"\n",
		"site/torchvision/version.py":                 "__version__ = '0.22.0+cu126'\n",
		"site/torchvision-0.22.0.dist-info/METADATA":  "Version: 0.22.0\nRequires-Dist: torch==2.7.0\nRequires-Dist: numpy\n\nRequires-Dist: torch==9\n",
	})
	want := []Pin{{"torch 2.6.0", "nvidia-nccl-cu12==2.21.5", ""}, {"cuda-toolkit 12.4.1", "nvidia-cuda-runtime-cu12==12.4.*", ""}, {"torchvision 0.22.0", "torch==2.7.0", "2.6.0"}}
	if len(f.Conflict) != len(want) {
		t.Fatalf("got %+v", f.Conflict)
	}
	for _, w := range want {
		found := false
		for _, c := range f.Conflict {
			found = found || c == w
		}
		if !found {
			t.Errorf("%+v is missing of %+v", w, f.Conflict)
		}
	}
}
