package ascend_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/devices/devicestest"
)

func counted(n int) []string {
	var names []string
	for i := range n {
		names = append(names, strconv.Itoa(i))
	}
	return names
}

// TestSuite holds every product against what all kinds of accelerators must do.
func TestSuite(t *testing.T) {
	withVirtual := ascendtest.Duo()
	withVirtual.Virtual = []int{100, 101, 132}
	for name, c := range map[string]struct {
		machine ascendtest.Machine
		names   []string
	}{
		"A2":      {ascendtest.A2(), counted(8)},
		"A3":      {ascendtest.A3(), counted(16)},
		"Duo":     {ascendtest.Duo(), counted(4)},
		"310B":    {ascendtest.Edge(), counted(1)},
		"A5":      {ascendtest.A5(), counted(2)},
		"310":     {ascendtest.Cards(2, "0xd100"), counted(2)},
		"910A":    {ascendtest.Cards(8, "0xd801"), counted(8)},
		"SoC":     {ascendtest.SoC(), counted(1)},
		"virtual": {withVirtual, []string{"0", "vdavinci100", "vdavinci101", "1", "2", "vdavinci132", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			last := c.names[len(c.names)-1]
			suite := devicestest.Case{
				New:   func(root string) devices.Source { return ascend.New(root) },
				Build: func(t *testing.T, root string) { ascendtest.Build(t, root, c.machine) },
				Names: c.names,
				Break: func(t *testing.T, root string) string { // a node that an earlier boot has left
					id, _ := strconv.Atoi(last)
					devicestest.Mknod(t, root, "/dev/davinci"+last, 99, uint32(id), 0o660)
					return last
				},
			}
			if len(c.names) == 1 {
				suite.Break = nil
			}
			devicestest.Suite(t, suite)
		})
	}
}

func machine(t *testing.T, m ascendtest.Machine, opts ...ascend.Option) (*ascend.Source, string) {
	t.Helper()
	root := t.TempDir()
	ascendtest.Build(t, root, m)
	return ascend.New(root, opts...), root
}

func inventory(t *testing.T, s *ascend.Source, needs devices.Needs) devices.Inventory {
	t.Helper()
	inv, err := s.Inventory(t.Context(), needs)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func recorded(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
