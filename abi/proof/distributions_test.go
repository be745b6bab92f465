package proof

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"hostrun.dev/hostrun/abi/dists"
	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/rootfs"
)

func TestDistributionsTakeTheWorstOfTheirModules(t *testing.T) {
	a, b, none := dists.Owner{Name: "a", Version: "1"}, dists.Owner{Name: "B", Version: "2"}, dists.Owner{Dir: "/x"}
	r := Report{Imported: []string{"pure"}, All: []Module{
		{Name: "a.one", Verdict: OK, Owner: a, Side: "host", Reach: imports.Required},
		{Name: "a.two", Verdict: Corrupt, Owner: a, Side: "host"},
		{Name: "a.three", Verdict: Missing, Owner: a, Side: "host", Reach: imports.Required},
		{Name: "a.four", Verdict: Conditional, Owner: a, Side: "host"},
		{Name: "a.one", Verdict: OK, Owner: a, Side: "image"},
		{Name: "pure._fast", Verdict: Conditional, Owner: b, Side: "host"},
		{Name: "z", Verdict: Gate, Owner: none, Side: "host"},
	}}
	var got []Distribution
	for _, d := range r.Distributions() {
		d.First = Module{Name: d.First.Name}
		got = append(got, d)
	}
	want := []Distribution{
		{Owner: a, Side: "host", Verdict: Missing, Modules: 4, Failing: 2, Conditional: 1, Reached: true, First: Module{Name: "a.three"}},
		{Owner: none, Side: "host", Verdict: Gate, Modules: 1, Failing: 1, First: Module{Name: "z"}},
		{Owner: b, Side: "host", Verdict: Conditional, Modules: 1, Conditional: 1, Reached: true, First: Module{Name: "pure._fast"}},
		{Owner: a, Side: "image", Verdict: OK, Modules: 1, First: Module{Name: "a.one"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// TestOwnersOfBothSides: conda's lists lie outside of the site directory that the host lends.
func TestOwnersOfBothSides(t *testing.T) {
	host, image := t.TempDir(), t.TempDir()
	for file, text := range map[string]string{
		host + "/conda/lib/python3.11/site-packages/m/_c.so": "",
		host + "/conda/conda-meta/m-1.2-py311_0.json":        `{"name": "m", "version": "1.2", "files": ["lib/python3.11/site-packages/m/_c.so"]}`,
		image + "/usr/lib/python3.11/lib-dynload/_ssl.so":    "",
		image + "/var/lib/dpkg/info/libpython3.11.list":      "/.\n/usr/lib/python3.11/lib-dynload/_ssl.so\n",
		image + "/var/lib/dpkg/status":                       "Package: libpython3.11\nVersion: 3.11.2-6\n\n",
		image + "/opt/site/keep":                             "",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	v, err := rootfs.Mounted(rootfs.Dir(image), rootfs.Mount{Source: host + "/conda/lib/python3.11/site-packages", Destination: "/opt/site"})
	if err != nil {
		t.Fatal(err)
	}
	r := Report{All: []Module{{Name: "m._c", Path: "/opt/site/m/_c.so"}, {Name: "_ssl", Path: "/usr/lib/python3.11/lib-dynload/_ssl.so"}}}
	r.Own(v, "/", []string{"/opt/site"})
	if m := r.All[0]; m.Side != "host" || m.Owner.Name != "m" || m.Owner.Version != "1.2" || m.Owner.By != "conda" {
		t.Errorf("conda's: %+v", m)
	}
	if m := r.All[1]; m.Side != "image" || m.Owner.Name != "libpython3.11" || m.Owner.Version != "3.11.2-6" {
		t.Errorf("dpkg's: %+v", m)
	}
}
