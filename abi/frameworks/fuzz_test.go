package frameworks

import (
	"bytes"
	"testing"
	"time"
)

func FuzzNative(f *testing.F) {
	f.Add(makeELF(elfParts{needed: []string{"libcudart.so.12"}, symbols: []string{"_ZN3c105ErrorC2ESs"}, rodata: "sm_80 compute_90\x00",
		fatbin: fatbin([][]object{{{2, 90, flagExact}, {1, 90, 0}}, {{2, 100, flagFamily}}})}))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		began := time.Now()
		n, ok := readNative(bytes.NewReader(b))
		if !ok {
			return
		}
		n.needed()
		n.cxx11ABI()
		split(n.archFlags())
		split(n.codeArchs())
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%d bytes took %v", len(b), took)
		}
	})
}

func FuzzRequirement(f *testing.F) {
	for _, seed := range []string{"torch==2.6.0", `cuda-toolkit[a,b]~=1.0; (extra == "x" or python_version < "4") and sys_platform not in 'a'`, "a (>=1!2.0.post1.dev3+l)", "a; ((((((", "a @ b"} {
		f.Add(seed, "2.6.0rc1")
	}
	f.Fuzz(func(t *testing.T, text, version string) {
		r, ok := parseRequirement(text)
		if !ok {
			return
		}
		r.applies(map[string]string{"python_version": version, "extra": ""})
		allows(r.specifiers, version)
		if v, ok := parseVersion(version); ok && v.compare(v) != 0 {
			t.Errorf("%q is not equal to itself", version)
		}
	})
}

func FuzzSources(f *testing.F) {
	f.Add(torchVersion, "build_info = [('cuda_version', '12'), ('cuda_compute_capabilities', ['sm_60'])]", "[torch.backends]\na = b:c\n")
	f.Fuzz(func(t *testing.T, source, info, points string) {
		literals(source)
		entryPoint(points, "torch.backends")
		read(t, map[string]string{"site/torch/version.py": source, "site/tensorflow/python/platform/build_info.py": info, "site/torch-1.dist-info/METADATA": points,
			"site/xformers/cpp_lib.json": info, "site/xformers/version.py": source})
	})
}
