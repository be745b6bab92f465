package nvidia_test

import (
	"os"
	"path/filepath"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/devicestest"
	"hostrun.dev/hostrun/devices/nvidia"
)

// TestSuite holds the source against what every source of accelerators must do, on a machine with a partitioned GPU.
func TestSuite(t *testing.T) {
	devicestest.Suite(t, devicestest.Case{
		New:   func(root string) devices.Source { return nvidia.New(root) },
		Build: func(t *testing.T, root string) { machines()["mig"].Write(t, root) },
		Names: []string{"0000:1b:00.0", "0000:43:00.0", "0000:43:00.0-gi2-ci0", "0000:43:00.0-gi2-ci1", "0000:43:00.0-gi9-ci0"},
		Break: func(t *testing.T, root string) string { // it falls off the bus
			if err := os.Remove(filepath.Join(root, "sys/bus/pci/devices/0000:1b:00.0")); err != nil {
				t.Fatal(err)
			}
			return "0000:1b:00.0"
		},
	})
}
