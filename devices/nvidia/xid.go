package nvidia

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/pattern"
)

// The layouts in which NVIDIA's driver has reported errors (NVIDIA, "Xid Errors"; lines of bug reports):
//
//	NVRM: Xid (0000:03:00): 13, 0003 00000000 ...                                         to driver 340
//	NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.
//	NVRM: Xid (PCI:0000:01:00): 31, pid=1234, Ch 00000010, intr 10000000. ...
//	NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp Exception on ...
//	NVRM: Xid (PCI:0002:00:00): 79, pid=1582259, name=nvc:[driver], GPU has fallen off the bus.
//	NVRM: Xid (PCI:0000:4e:00 GPU-I:05): 94, pid=7194, name=python3, Contained: CE User Channel (0x9). ...
//
// and what it says of a GPU that is lost, without a number:
//
//	NVRM: GPU at 0000:01:00.0 has fallen off the bus.
//	NVRM: GPU 0000:9a:00.0: GPU has fallen off the bus
//	NVRM: The NVIDIA GPU 0000:b3:00.0 / NVRM: (PCI ID: 10de:26b5) installed in this system has / NVRM: fallen off the bus and is not responding
var (
	xidLine  = pattern.New(`^Xid \((?:PCI:)?([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-7])?(?: ([^)]{1,64}))?\): (\d{1,5})(?:, ?(.*))?$`)
	lostLine = pattern.New(`^GPU (?:at )?(?:PCI:)?([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-7])?:? (?:GPU )?(has fallen off the bus.*)$`)
	thatGPU  = pattern.New(`^The NVIDIA GPU ([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-7])?`)
)

// jobXids come from programs: a bad access, an exception, a channel that was ended with its process (NVIDIA's device plugin for
// Kubernetes leaves the same ones out of a GPU's health).
var jobXids = []int{13, 31, 43, 45, 68, 109}

// Faults returns what the driver has reported in the kernel's log, in its order. boot is when the log's clock began.
func Faults(log []devices.KernelMessage, boot time.Time) []devices.Fault {
	var all []devices.Fault
	lost := "" // a message of several lines, of which the first names the GPU
	for _, m := range log {
		for line := range strings.Lines(m.Text) {
			text, ok := nvrm(line)
			if !ok {
				continue
			}
			f, known := fault(text, &lost)
			if !known {
				continue
			}
			f.Time, f.Kind = boot.Add(m.Since), Kind
			if !repeats(all, f) {
				all = append(all, f)
			}
		}
	}
	return all
}

// nvrm is what the driver says in a line.
func nvrm(line string) (string, bool) {
	_, text, ok := strings.Cut(line, "NVRM: ")
	for ok && strings.HasPrefix(text, "NVRM: ") { // what was written through /dev/kmsg again
		text = text[len("NVRM: "):]
	}
	return strings.TrimSpace(text), ok
}

func fault(text string, lost *string) (devices.Fault, bool) {
	if m := xidLine.FindStringSubmatch(text); m != nil {
		number, _ := strconv.Atoi(m[3])
		f := devices.Fault{PCI: address(m[1]), Part: m[2], Code: "Xid " + strconv.Itoa(number), Job: slices.Contains(jobXids, number)}
		f.PID, f.Program, f.Text = origin(m[4])
		return f, true
	}
	if m := lostLine.FindStringSubmatch(text); m != nil {
		return devices.Fault{PCI: address(m[1]), Text: "GPU " + m[2]}, true
	}
	if m := thatGPU.FindStringSubmatch(text); m != nil {
		*lost = address(m[1])
	}
	if strings.Contains(text, "fallen off the bus") && *lost != "" {
		f := devices.Fault{PCI: *lost, Text: "GPU has fallen off the bus and is not responding to commands."}
		*lost = ""
		return f, true
	}
	return devices.Fault{}, false
}

// origin takes "pid=1234, name=python3, " off the beginning of a text.
func origin(text string) (pid int, program, rest string) {
	for {
		word, after, _ := strings.Cut(text, ",")
		name, value, ok := strings.Cut(strings.TrimSpace(word), "=")
		if value = strings.Trim(value, "'"); value == "<unknown>" {
			value = ""
		}
		switch {
		case ok && name == "pid":
			if pid, _ = strconv.Atoi(value); pid < 0 {
				pid = 0
			}
		case ok && name == "name":
			program = value
		default:
			return pid, program, strings.TrimSpace(text)
		}
		text = after
	}
}

// address is the PCI address as the kernel's files have it: with the function, which the driver leaves out, and in lower case.
func address(s string) string {
	s = strings.ToLower(s)
	if domain, rest, ok := strings.Cut(s, ":"); ok && len(domain) > 4 && strings.HasPrefix(domain, "0000") {
		s = domain[len(domain)-4:] + ":" + rest
	}
	return s + ".0"
}

// repeats reports whether the log says the same again: a lost GPU is told of in several ways, and an exception once for each channel.
func repeats(all []devices.Fault, f devices.Fault) bool {
	for i := len(all) - 1; i >= 0 && f.Time.Sub(all[i].Time) < time.Second; i-- {
		o := all[i]
		same := o.PCI == f.PCI && o.Part == f.Part
		if same && o.Code == f.Code && o.PID == f.PID && (o.Text == f.Text || f.Job) ||
			same && f.Code == "" && (o.Code == "Xid 79" || o.Code == "") {
			return true
		}
	}
	return false
}
