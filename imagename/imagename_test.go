package imagename

import "testing"

// TestParse is the gist; integration/oracle compares with docker's own library.
func TestParse(t *testing.T) {
	const sum = "@sha256:7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa"
	for s, want := range map[string][2]string{
		"dinov2":                          {"docker.io/library/dinov2:latest", "dinov2"},
		"team/dinov2:v1":                  {"docker.io/team/dinov2:v1", "team/dinov2:v1"},
		"index.docker.io/library/dinov2":  {"docker.io/library/dinov2:latest", "dinov2"},
		"localhost/dinov2":                {"localhost/dinov2:latest", "localhost/dinov2"},
		"registry.example:5000/a/b:v1":    {"registry.example:5000/a/b:v1", "registry.example:5000/a/b:v1"},
		"dinov2:v1" + sum:                 {"docker.io/library/dinov2" + sum, "dinov2:v1" + sum},
		"[::1]:5000/a":                    {"[::1]:5000/a:latest", "[::1]:5000/a"},
		"under_score.example/a/b--c__d.e": {"under_score.example/a/b--c__d.e:latest", "under_score.example/a/b--c__d.e"},
	} {
		name, err := Parse(s)
		if err != nil || name.Full() != want[0] || name.Familiar() != want[1] {
			t.Errorf("%q: %q, %q, %v", s, name.Full(), name.Familiar(), err)
		}
	}
	for _, s := range []string{"", "DinoV2", "a/B", "a:", "a:-x", "a@sha256:00", sum[8:], "a..b", "-a", "a___b", "registry.example:x/a", "a b"} {
		if name, err := Parse(s); err == nil {
			t.Errorf("%q: %+v", s, name)
		}
	}
}

// FuzzParse: what is complete means itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"dinov2", "a.b:5/c/d:e", "[::1]/x@sha256:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := Parse(s)
		if err != nil {
			return
		}
		for _, again := range []string{name.Full(), name.Familiar()} {
			if same, err := Parse(again); err != nil || same.Full() != name.Full() {
				t.Errorf("%q: %q is %q, %v", s, again, same.Full(), err)
			}
		}
	})
}
