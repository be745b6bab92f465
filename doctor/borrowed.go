package doctor

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// python is the environment that `python: auto` would lend to a container.
func (e *examiner) python() {
	e.group = "Python"
	if p := e.Facts.Python; p != nil {
		e.ok("environment", "%s, Python %s, %s (%s)", p.Executable, p.Version, counted(len(p.Packages), "package"), p.Kind)
		e.heavy()
	}
	for _, f := range e.Facts.Findings {
		if !aboutCUDA(f) {
			e.finding(f)
		}
	}
}

func aboutCUDA(f finding.Finding) bool {
	return slices.Contains([]string{finding.CUDAMissing, finding.CUDABroken, finding.CUDARuntime}, f.ID)
}

// finding turns what was wrong while reading into a check. That there is none to borrow from is no fault of a machine.
func (e *examiner) finding(f finding.Finding) {
	verdict := map[finding.Severity]Verdict{finding.Error: Broken, finding.Warning: Note, finding.Info: OK}[f.Severity]
	if f.ID == finding.PythonMissingHost || f.ID == finding.CUDAMissing {
		verdict = Note
	}
	e.add(verdict, f.ID, f.Remedy, "%s", f.Message)
}

// heavy names the packages that hostrun exists for.
func (e *examiner) heavy() {
	var have []string
	for _, p := range e.Facts.Python.Packages {
		switch strings.ToLower(p.Name) {
		case "torch", "tensorflow", "jax", "vllm", "torch-npu", "transformers":
			have = append(have, p.Name+" "+p.Version)
		}
	}
	if len(have) > 0 {
		e.ok("packages", "%s", strings.Join(have, ", "))
	}
}

func (e *examiner) cuda() {
	e.group = "CUDA"
	if c := e.Facts.CUDA; c != nil {
		e.ok("toolkit", "%s, version %s", c.Real, c.Version)
	}
	for _, f := range e.Facts.Findings {
		if aboutCUDA(f) && f.ID != finding.CUDAMissing {
			e.finding(f)
		}
	}
	if e.Facts.CUDA == nil {
		e.ok("toolkit", "none found: wheels bring their own CUDA libraries, and only profiles with cuda: need one")
	}
}

// Vendors of accelerators by their PCI number (pci.ids), with what shows that the driver is loaded.
var vendors = []struct {
	name, pci, driver string
	nodes             []string
	repair            string
}{
	{"NVIDIA", "0x10de", "/proc/driver/nvidia/version", []string{"/dev/nvidiactl", "/dev/nvidia0"}, "nvidia-modprobe -c 0 -u"},
	{"AMD", "0x1002", "/sys/module/amdgpu", []string{"/dev/kfd"}, "modprobe amdgpu"},
	{"Huawei Ascend", "0x19e5", "/sys/module/drv_pcie_host", []string{"/dev/davinci_manager"}, "systemctl restart ascend-driver, or install the driver again"},
}

// devices looks at accelerators as far as files tell: cards on the PCI bus, drivers, nodes.
func (e *examiner) devices() {
	e.group = "devices"
	cards := e.cards()
	any := false
	for _, v := range vendors {
		loaded, nodes := e.view.Exists(v.driver), e.nodes(v.nodes)
		switch {
		case loaded && len(nodes) == 0:
			e.add(Broken, v.name, v.repair, "the driver is loaded (%s), and its device nodes are missing (%s)", v.driver, strings.Join(v.nodes, ", "))
		case len(nodes) > 0:
			e.ok(v.name, "%s%s", strings.Join(nodes, ", "), e.driverVersion(v.driver))
		case cards[v.pci] > 0:
			e.add(Note, v.name, "install the vendor's driver for Linux "+e.Facts.Kernel, "%s on the PCI bus, and no driver is loaded", counted(cards[v.pci], "card"))
		default:
			continue
		}
		any = true
	}
	if !any {
		e.ok("accelerators", "none: containers run on the CPU")
	}
	for _, f := range e.CDI {
		e.add(Note, "cdi", f.Remedy, "%s", f.Message)
	}
}

// cards counts accelerators by vendor: PCI class 03 is display, 12 processing accelerators (pci.ids, "C").
func (e *examiner) cards() map[string]int {
	count := map[string]int{}
	for _, name := range e.names("/sys/bus/pci/devices") {
		dir := "/sys/bus/pci/devices/" + name
		if class := e.line(dir + "/class"); strings.HasPrefix(class, "0x03") || strings.HasPrefix(class, "0x12") {
			count[e.line(dir+"/vendor")]++
		}
	}
	return count
}

func (e *examiner) nodes(paths []string) []string {
	var found []string
	for _, path := range paths {
		if fi, err := e.view.Stat(path); err == nil && fi.Mode()&fs.ModeCharDevice != 0 {
			found = append(found, path)
		}
	}
	return found
}

func (e *examiner) driverVersion(path string) string {
	if line := e.line(path); line != "" {
		return fmt.Sprintf(" (%s)", line)
	}
	return ""
}
