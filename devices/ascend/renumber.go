package ascend

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

const visibleVariable = "ASCEND_RT_VISIBLE_DEVICES"

// inOrder sorts devices as the driver numbers them in a container: by physical id, from 0, whatever their nodes are called
// (hicann/driver, uda: devid_to_udevid of a mount namespace).
func inOrder(chosen []devices.Device) []devices.Device {
	sorted := slices.Clone(chosen)
	slices.SortStableFunc(sorted, func(a, b devices.Device) int { return cmp.Compare(physical(a), physical(b)) })
	return sorted
}

// physical is the minor number: the index, and the number of a virtual NPU.
func physical(d devices.Device) int {
	if n, err := strconv.Atoi(strings.TrimPrefix(d.Name, "vdavinci")); err == nil {
		return n
	}
	return d.Index
}

// renumbering says for each NPU which number programs in the container give it: "container 0 = /dev/davinci4 (0000:C1:00.0)". The
// PCI address is written as npu-smi writes it, and left out where it is not known.
func renumbering(chosen []devices.Device) []string {
	var all []string
	for i, d := range inOrder(chosen) {
		line := fmt.Sprintf("container %d = %s", i, strings.Join(d.Nodes, ", "))
		if d.PCI != "" {
			line += " (" + strings.ToUpper(d.PCI) + ")"
		}
		all = append(all, line)
	}
	return all
}

// CheckVisible judges a value of ASCEND_RT_VISIBLE_DEVICES for a container with the chosen NPUs. It counts the container's own
// numbers, in ascending order, and the runtime stops reading at the first that does not exist (hicann/runtime, runtime.cc,
// GetVisibleDevices).
func CheckVisible(value string, chosen []devices.Device) []finding.Finding {
	have := len(chosen)
	want := "numbers from 0 to " + strconv.Itoa(have-1) + ", ascending"
	switch have {
	case 0:
		want = "no such variable: the container has no NPU"
	case 1:
		want = "0"
	}
	wrong := ""
	last := -1
	fields := strings.Split(value, ",")
	if have == 0 && value == "" { // as who hides all NPUs
		return nil
	}
	for _, field := range fields {
		n, err := strconv.Atoi(field)
		switch {
		case err != nil || n < 0:
			wrong = fmt.Sprintf("%q is no number", field) // a space is none either: 0, 1 is read as 0
		case n >= have:
			wrong = fmt.Sprintf("there is no NPU %d in the container", n)
		case n <= last:
			wrong = fmt.Sprintf("%d does not come after %d", n, last)
		}
		if wrong != "" {
			break
		}
		last = n
	}
	if wrong == "" {
		return nil
	}
	effect := "the runtime finds no NPU, error code 507033"
	if last >= 0 { // it stops at what is wrong
		effect = fmt.Sprintf("the runtime uses only the NPUs up to %d", last)
	}
	message := effect + ": " + visibleVariable + "=" + value + ": " + wrong
	if numbers := renumbering(chosen); have > 0 {
		message += "; it counts the container's own numbers: " + strings.Join(numbers, ", ")
	}
	remedy := "remove " + visibleVariable + ": the container sees its own NPUs only; choose them with npus:"
	if have == 0 {
		remedy = "ask for NPUs with npus:, or remove " + visibleVariable
	}
	return []finding.Finding{{
		ID: finding.AscendVisible, Severity: finding.Error, Subject: visibleVariable, Got: value, Want: want, Message: message, Remedy: remedy,
	}}
}

// CheckRename judges a device node under another name, /dev/davinci4:/dev/davinci0, as a profile's devices: may have it. An empty
// destination is the source.
func CheckRename(source, destination string) (finding.Finding, bool) {
	source = path.Clean(source)
	from := ownNode.FindStringSubmatch(path.Base(source))
	if destination == "" || path.Clean(destination) == source || from == nil || path.Dir(source) != "/dev" ||
		from[1] == "v" && path.Clean(destination) == inContainer(source) {
		return finding.Finding{}, false
	}
	return finding.Finding{
		ID: finding.AscendRename, Severity: finding.Error, Subject: source, Got: source + ":" + destination, Want: source,
		Message: source + " stays NPU " + from[2] + " under the name " + destination + ": the driver goes by the minor number, and numbers the NPUs of a container from 0 by itself",
		Remedy:  "write npus: [" + from[2] + "]; programs in the container call it 0",
	}, true
}
