package profiles

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestServiceOfSharedNetworkComesFirst: up started both at once, and the second found no network to share.
func TestServiceOfSharedNetworkComesFirst(t *testing.T) {
	for text, want := range map[string][]Dependency{
		"network_mode: service:web\n":                                    {{Name: "web", Condition: DependStarted, Restart: true, Key: "network_mode"}},
		"network_mode: container:web\n":                                  nil,
		"network_mode: service:web\ndepends_on: [web]\n":                 {{Name: "web", Condition: DependStarted, Key: "depends_on[0]"}},
		"network_mode: service:web\ndepends_on: {db: {restart: true}}\n": {{Name: "db", Condition: DependStarted, Restart: true, Key: "depends_on.db"}, {Name: "web", Condition: DependStarted, Restart: true, Key: "network_mode"}},
	} {
		p, _, err := loadBuild(t, "image: a\n"+text)
		must(t, err)
		if p.NetworkMode != "container:web" {
			t.Errorf("%s: %q", text, p.NetworkMode)
		}
		if diff := cmp.Diff(want, p.DependsOn); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// TestTmpfsOptions: options of mount(8) were errors, which docker takes.
func TestTmpfsOptions(t *testing.T) {
	p, _, err := loadBuild(t, "image: a\ntmpfs: \"/scratch:exec,uid=1000,gid=44,nr_inodes=100,size=1m,mode=700,noatime\"\n")
	must(t, err)
	want := []Volume{{Type: "tmpfs", Target: "/scratch", TmpfsSize: 1 << 20, TmpfsMode: 0o700, TmpfsOptions: []string{"exec", "uid=1000", "gid=44", "nr_inodes=100", "noatime"}, Key: "tmpfs[0]"}}
	if diff := cmp.Diff(want, p.Volumes); diff != "" {
		t.Error(diff)
	}
}
