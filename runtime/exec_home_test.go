package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// TestExecOfAnotherUserHasItsHome: exec -u left HOME at root's, and the user without its own group among the further ones.
func TestExecOfAnotherUserHasItsHome(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nagain:x:1000:1000::/second:/bin/sh\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("app:x:1000:\nvideo:x:44:app\n"), 0o644))
	view := rootfs.Dir(root)
	for _, c := range []struct {
		name      string
		env       []string
		own, user uint32
		want      []string
	}{
		{"another user", []string{"HOME=/root"}, 0, 1000, []string{"HOME=/home/app"}},
		{"without a line", []string{"HOME=/root"}, 0, 4242, []string{"HOME=/"}},
		{"set by the profile", []string{"HOME=/elsewhere"}, 0, 1000, nil},
		{"the same user", []string{"HOME=/root"}, 0, 0, nil},
		{"from a user without a line", []string{"HOME=/"}, 4242, 0, []string{"HOME=/root"}},
	} {
		if got := homeOf(view, c.env, c.own, c.user); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	u, err := execUser(view, "app")
	must(t, err)
	if !slices.Equal(u.AdditionalGids, []uint32{1000, 44}) {
		t.Errorf("groups %v", u.AdditionalGids)
	}
	if u, err = execUser(view, "app:video"); err != nil || u.GID != 44 || !slices.Equal(u.AdditionalGids, []uint32{44}) {
		t.Errorf("%+v, %v", u, err)
	}
}
