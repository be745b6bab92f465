package host

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const header = "#ifndef X\n#define CUDA_VERSION 12040\n"

func TestCUDA(t *testing.T) {
	full := map[string]string{
		"usr/local/cuda": "-> /etc/alternatives/cuda", "etc/alternatives/cuda": "-> /usr/local/cuda-12.4",
		"usr/local/cuda-12.4/version.json":                              `{"cuda": {"name": "CUDA SDK", "version": "12.4.1"}, "nvcc": {"version": "12.4.131"}}`,
		"usr/local/cuda-12.4/bin/nvcc":                                  "#!x",
		"usr/local/cuda-12.4/lib64":                                     "-> targets/x86_64-linux/lib",
		"usr/local/cuda-12.4/include":                                   "-> targets/x86_64-linux/include",
		"usr/local/cuda-12.4/targets/x86_64-linux/include/cuda.h":       header,
		"usr/local/cuda-12.4/targets/x86_64-linux/lib/stubs/libcuda.so": "stub",
	}
	tests := []struct {
		name, need string
		files      map[string]string
		want       *CUDA
		said       string
	}{
		{"chain", "auto", full, &CUDA{Path: "/usr/local/cuda", Real: "/usr/local/cuda-12.4",
			Links:   []string{"/usr/local/cuda -> /etc/alternatives/cuda", "/etc/alternatives/cuda -> /usr/local/cuda-12.4"},
			Version: "12.4.1", NVCC: true, Stubs: []string{"/usr/local/cuda-12.4/targets/x86_64-linux/lib/stubs"},
			LibDirs: []string{"/usr/local/cuda-12.4/lib64"}}, ""},
		{"auto without one", "auto", map[string]string{"usr/": ""}, nil, ""},
		{"named and missing", "/usr/local/cuda", map[string]string{"usr/": ""}, nil, "HR060 error no CUDA toolkit at /usr/local/cuda"},
		{"dangling", "auto", map[string]string{"usr/local/cuda": "-> cuda-12.4"}, nil, "HR061 error /usr/local/cuda -> cuda-12.4"},
		{"a file", "/c", map[string]string{"c": "x"}, nil, "HR061 error /c is no directory"},
		{"no version", "/c", map[string]string{"c/bin/nvcc": "#!x", "c/include/cuda.h": "\n", "c/version.json": "{\"cuda\": {\"versio"},
			&CUDA{Path: "/c", Real: "/c", NVCC: true}, "HR061 error no version.json, version.txt or include/cuda.h"},
		{"runtime only", "/c", map[string]string{"c/lib64/libcudart.so.12": "x", "c/version.txt": "CUDA Version 10.2.89\n"},
			&CUDA{Path: "/c", Real: "/c", Version: "10.2.89", LibDirs: []string{"/c/lib64"}}, "HR062 info no compiler"},
		{"header", "/c", map[string]string{"c/bin/nvcc": "#!x", "c/include/cuda.h": header}, &CUDA{Path: "/c", Real: "/c", NVCC: true, Version: "12.4"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Probe(context.Background(), Options{Root: fakeRoot(t, tt.files)}, Needs{CUDA: tt.need})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, f.CUDA); diff != "" {
				t.Error(diff)
			}
			checkSaid(t, f.Findings, tt.said)
		})
	}
}

func TestCUDAVersionShapes(t *testing.T) {
	for text, want := range map[string]string{
		`{"cuda": {"version": "11.8.0"}}`:              "11.8.0",
		`{"cuda": "13.0"}`:                             "13.0",
		`{"cuda_cudart": {"version": "12.1.105"}}`:     "12.1.105",
		`{"version": "12.2"}`:                          "12.2",
		`{"cuda": {"version": 12}, "version": ["12"]}`: "",
		`[]`: "",
		`{"libcublas": {"version": "12.1"}, "cuda": 1}`: "",
	} {
		if got := parseCUDAJSON([]byte(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
