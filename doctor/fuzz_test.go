package doctor

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzExamine gives each file that is parsed any content: a check may come out wrong, and never a panic.
func FuzzExamine(f *testing.F) {
	_, files := healthy()
	for _, content := range files {
		f.Add(content)
	}
	f.Add("26 24 0:23 / /sys/fs/cgroup ro - cgroup2\nCapEff:\nMax open files\nkernel/fs/overlay.ko:")
	f.Fuzz(func(t *testing.T, content string) {
		m, files := healthy()
		m.Root = t.TempDir()
		for path := range files {
			file := filepath.Join(m.Root, path)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		m.Facts.Kernel = content
		for _, version := range []int{0, 1, 2} {
			m.Facts.CgroupVersion = version
			if len(Examine(m)) == 0 {
				t.Error("no checks")
			}
		}
	})
}
