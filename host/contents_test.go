package host

import (
	"os"
	"path/filepath"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// TestContents: a wheel that is installed in another place, by another installer, or run from, has the same content; another build of it has
// another one, and what has no digests has none.
func TestContents(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const code = "a_b/__init__.py,sha256=one,12\n\"a_b/odd, name.so\",sha256=two,3\n"
	record := func(site, dist, text string) {
		write(site+"/"+dist+".dist-info/RECORD", text)
		write(site+"/"+dist+".dist-info/METADATA", "Name: A.B\nVersion: 1.0\n")
	}
	record("pip", "a_b-1.0", code+"../../bin/a,sha256=of-this-place,1\na_b-1.0.dist-info/INSTALLER,sha256=pip,4\na_b-1.0.dist-info/RECORD,,\na_b/__pycache__/__init__.cpython-311.pyc,,\n")
	record("uv", "a_b-1.0", "a_b-1.0.dist-info/INSTALLER,sha256=uv,2\n\"a_b/odd, name.so\",sha256=two,3\r\na_b/__init__.py,sha256=one,12\r\n/abs/bin/a,sha256=x,1\r\n")
	record("other", "a_b-1.0", "a_b/__init__.py,sha256=three,12\n")
	record("debian", "a_b-1.0", "a_b/__init__.py,,\n")
	record("broken", "a_b-1.0", "")
	write("egg/a_b-1.0.egg-info/PKG-INFO", "Name: A.B\nVersion: 1.0\n")
	var sites []Site
	for _, dir := range []string{"/pip", "/uv", "/other", "/debian", "/broken", "/egg", "/none"} {
		sites = append(sites, Site{Path: dir})
	}
	found := Contents(rootfs.Dir(root), sites)
	of := func(site string) string { return found[ContentKey(Package{Name: "a-b", Version: "1.0", Site: site})] }
	if of("/pip") == "" || len(of("/pip")) != 12 || of("/pip") != of("/uv") {
		t.Errorf("pip %q, uv %q", of("/pip"), of("/uv"))
	}
	if of("/other") == "" || of("/other") == of("/pip") {
		t.Errorf("another build: %q", of("/other"))
	}
	if len(found) != 3 {
		t.Errorf("%q", found)
	}
}
