package frameworks

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"hostrun.dev/hostrun/rootfs"
)

func TestTry(t *testing.T) {
	root := "/var/cache/hostrun-test/truth/frameworks"
	es, _ := os.ReadDir(root)
	for _, e := range es {
		if e.Name()[0] == '.' {
			continue
		}
		began := time.Now()
		f := Read(rootfs.Dir(root), Places{Sites: []string{"/" + e.Name()}, Python: "3.11.2", Arch: "x86_64"})
		took := time.Since(began)
		b, _ := json.MarshalIndent(f, "", " ")
		t.Logf("%s %v\n%s", e.Name(), took, b)
	}
}
