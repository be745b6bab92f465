package devicestest_test

import (
	"os"
	"path/filepath"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/devicestest"
)

func TestFake(t *testing.T) {
	devicestest.Suite(t, devicestest.Case{
		New:   func(root string) devices.Source { return devicestest.Fake{Root: root} },
		Build: func(t *testing.T, root string) { devicestest.FakeMachine(t, root, 4) },
		Names: []string{"0", "1", "2", "3"},
		Break: func(t *testing.T, root string) string {
			dir := filepath.Join(root, "sys/acc/0")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "dead"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			return "0"
		},
	})
}
