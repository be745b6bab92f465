package host

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// bigSite makes a virtual environment with 100 distributions of 300 files each.
func bigSite(tb testing.TB) string {
	tb.Helper()
	venv := makeVenv(tb, "/usr/bin/python3")
	site := onlyGlob(tb, venv+"/lib/python3*/site-packages")
	for d := range 100 {
		name := fmt.Sprintf("pkg%03d", d)
		var record strings.Builder
		for f := range 298 {
			rel := fmt.Sprintf("%s/sub%02d/module%03d.py", name, f/12, f)
			switch {
			case f == 0:
				rel = name + "/__init__.py"
			case f%60 == 1:
				rel = strings.TrimSuffix(rel, ".py") + ".so"
			}
			writeFile(tb, filepath.Join(site, rel), "x = 1\n")
			fmt.Fprintf(&record, "%s,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,6\n", rel)
		}
		info := name + "-1.0.dist-info/"
		fmt.Fprintf(&record, "%sMETADATA,,\n%sRECORD,,\n", info, info)
		writeFile(tb, filepath.Join(site, info, "METADATA"), "Metadata-Version: 2.1\nName: "+name+"\nVersion: 1.0\n\n")
		writeFile(tb, filepath.Join(site, info, "RECORD"), record.String())
	}
	return venv
}

// BenchmarkProbe measures Probe on 30,000 files in 100 distributions: cold reads everything, warm has the cache.
func BenchmarkProbe(b *testing.B) {
	venv := bigSite(b)
	opt := Options{Root: "/", Env: map[string]string{"PATH": "/usr/bin", "HOME": b.TempDir()}, Dir: "/"}
	run := func(b *testing.B, opt Options) {
		for b.Loop() {
			f, err := Probe(context.Background(), opt, Needs{Python: venv})
			if err != nil || len(f.Python.Packages) < 100 || f.Python.Sites[0].Files < 30000 {
				b.Fatal(err, f.Findings)
			}
		}
	}
	b.Run("cold", func(b *testing.B) { run(b, opt) })
	opt.CacheDir = b.TempDir()
	fillCache(b, opt, Needs{Python: venv})
	b.Run("warm", func(b *testing.B) { run(b, opt) })
}
