package ascend

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// Edits gives a container the nodes of exactly the chosen NPUs, under their own names and with the host's owner and mode, the
// nodes that all NPUs share, and the driver's files read-only. The names stay, for it is the minor number that counts. Owner and mode
// are copied because the driver learns them from a node that is opened, and gives them to nodes that it makes on the host later
// (hicann/driver, uda_access.c, uda_refresh_dev_ownership). c.Env is what the container will have: without what DropEnv keeps out.
func (s *Source) Edits(inv devices.Inventory, chosen []devices.Device, ask devices.Ask, c devices.Container) (devices.Edits, []finding.Finding) {
	e := &editor{source: s, ask: ask, container: c}
	e.edits.Origins = map[string]string{}
	e.family = e.familyOf(chosen)
	e.checkOptions()
	e.addNodes(chosen)
	if named := ask.Options["driver"]; named != "none" { // none: the image brings the driver's files
		e.driver = readDriver(s.view, strings.TrimPrefix(named, "auto"))
		e.addDriver()
		e.addFiles()
	}
	e.addRankTable()
	e.addToolkit()
	e.addEnvironment(chosen)
	e.checkUser()
	return e.edits, e.findings
}

// An editor makes one container's edits.
type editor struct {
	source    *Source
	ask       devices.Ask
	container devices.Container
	family    *family
	driver    Driver
	nodes     []devices.Node
	edits     devices.Edits
	findings  []finding.Finding
}

func (e *editor) report(f finding.Finding) {
	if f.File == "" && f.Line == 0 {
		f.File, f.Line = e.ask.File, e.ask.Line
	}
	e.findings = append(e.findings, f)
}

// checkOptions refuses what nobody acts on.
func (e *editor) checkOptions() {
	for _, name := range slices.Sorted(maps.Keys(e.ask.Options)) {
		if name != "driver" && name != "toolkit" && name != "rank_table" && name != OptionABI {
			e.badOption(name, "an option: there are driver, toolkit and rank_table")
		}
	}
}

// familyOf is what all chosen chips need together; machines with cards of two generations exist.
func (e *editor) familyOf(chosen []devices.Device) *family {
	l := &listing{source: e.source, functions: readFunctions(e.source.view), uda: parseUDevices(text(e.source.view, "/proc/uda/udevice"))}
	machine := l.chooseFamily()
	var all family
	for i, d := range chosen {
		var facts DeviceFacts
		_ = json.Unmarshal(d.Facts, &facts) // one that is damaged names no chip
		f := familyOfChip(facts.Chip)
		if f == unknownChip || f.chip == machine.chip {
			f = machine
		}
		if i == 0 {
			all = *f
			continue
		}
		all.required, all.optional = union(all.required, f.required), union(all.optional, f.optional)
		all.trees, all.files = union(all.trees, f.trees), union(all.files, f.files)
		all.experimental = all.experimental || f.experimental
	}
	if len(chosen) == 0 {
		return machine
	}
	return &all
}

func union(a, b []string) []string {
	a = slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// addNodes reads the nodes now: majors change from boot to boot.
func (e *editor) addNodes(chosen []devices.Device) {
	for _, d := range chosen {
		for _, p := range d.Nodes {
			e.addNode(devices.Request{Source: p, Destination: inContainer(p)}, "NPU "+d.Name)
		}
	}
	for _, name := range e.family.required {
		e.addRequired(name)
	}
	for _, name := range e.family.optional {
		if p := "/dev/" + name; e.source.view.Exists(p) {
			e.addNode(devices.Request{Source: p}, "the driver of the NPUs")
		} else if name == "dvpp_cmdlist" && !e.family.experimental {
			e.report(finding.Finding{
				ID: finding.AscendManager, Severity: finding.Info, Subject: p, Got: "no such node",
				Message: p + " does not exist: decoding of images and video on the NPU (DVPP) fails in the container",
				Remedy:  "nothing, where the job does not decode on the NPU",
			})
		}
	}
	for _, name := range e.family.trees {
		if p := "/dev/" + name; len(names(e.source.view, p)) > 0 {
			e.addNode(devices.Request{Source: p}, "the unified bus")
		}
	}
	if e.family.experimental {
		e.report(finding.Finding{
			ID: finding.AscendExperimental, Severity: finding.Info, Subject: e.family.title,
			Message: "what containers need of " + e.family.title + " is known from the vendor's lists alone",
			Remedy:  "compare hostrun spec with the vendor's docker run line if the job does not find its NPU, and tell us",
		})
	}
}

// inContainer is the name that a chip's node has in a container: that of the host, and davinci for a virtual one, as the
// vendor's runtime has it.
func inContainer(p string) string {
	return path.Join(path.Dir(p), strings.TrimPrefix(path.Base(p), "v"))
}

// addRequired adds a node without which no program finds an NPU.
func (e *editor) addRequired(name string) {
	p := "/dev/" + name
	if docker := p + "_docker"; name == "davinci_manager" && e.source.view.Exists(docker) { // 310B
		e.addNode(devices.Request{Source: docker, Destination: p}, "the driver of the NPUs")
		return
	}
	if !e.source.view.Exists(p) {
		e.report(missingNode(p, finding.Error))
		return
	}
	e.addNode(devices.Request{Source: p}, "the driver of the NPUs")
}

// missingNode tells of a node without which no program finds an NPU.
func missingNode(p string, severity finding.Severity) finding.Finding {
	return finding.Finding{
		ID: finding.AscendManager, Severity: severity, Subject: p, Got: "no such node", Want: "a device node",
		Message: p + " does not exist: dcmi module initialize failed. ret is -8005",
		Remedy:  "load the driver's modules again: systemctl restart ascend-driver, or run its installer; npu-smi info has to work on the host",
	}
}

func (e *editor) addNode(q devices.Request, origin string) {
	q.File, q.Line = e.ask.File, e.ask.Line
	nodes, findings := devices.Nodes(e.source.root, []devices.Request{q})
	e.findings = append(e.findings, findings...)
	for _, n := range nodes {
		if slices.ContainsFunc(e.nodes, func(o devices.Node) bool { return o.Destination == n.Destination }) {
			continue
		}
		e.nodes = append(e.nodes, n)
		e.edits.DeviceNodes = append(e.edits.DeviceNodes, devices.CDINodes([]devices.Node{n})...)
		e.edits.Origins[n.Destination] = origin
	}
}

// checkUser adds the groups that open the nodes, by number: the image knows no HwHiAiUser, or another one.
func (e *editor) checkUser() {
	var closed []string
	for _, n := range e.nodes {
		switch {
		case n.Mode&0o006 == 0o006 || e.container.User != 0 && n.UID == e.container.User && n.Mode&0o600 == 0o600:
		case n.Mode&0o060 == 0o060 && n.GID != 0:
			if !slices.Contains(e.edits.AdditionalGIDs, n.GID) {
				e.edits.AdditionalGIDs = append(e.edits.AdditionalGIDs, n.GID)
			}
		case e.container.User != 0:
			closed = append(closed, fmt.Sprintf("%s (owner %d, group %d, mode %04o)", n.Destination, n.UID, n.GID, n.Mode))
		}
	}
	if len(closed) > 0 {
		first, _, _ := strings.Cut(closed[0], " ")
		e.report(finding.Finding{
			ID: finding.AscendUser, Severity: finding.Error, Subject: first,
			Got:     fmt.Sprintf("user %d; %s", e.container.User, strings.Join(closed, ", ")),
			Want:    "a group other than root's that may read and write",
			Message: fmt.Sprintf("user %d can't open %s: Permission denied", e.container.User, first),
			Remedy:  "give the nodes to the driver's group, as its installer does: chgrp HwHiAiUser and chmod 0660 on the host; or run as root",
		})
	}
	slices.Sort(e.edits.AdditionalGIDs)
	// HCCL asks getpwuid(3) for the user: without a line, HcclGetRootInfo ends with error 19 (vllm-ascend, issue 9490).
	e.edits.Passwd = e.container.View != nil && !hasUser(text(e.container.View, "/etc/passwd"), e.container.User)
}

func hasUser(passwd string, uid uint32) bool {
	for line := range strings.Lines(passwd) {
		if f := strings.Split(line, ":"); len(f) > 3 && f[2] == fmt.Sprint(uid) {
			return true
		}
	}
	return false
}

// addEnvironment keeps the vendor's runtime from injecting a second time, and others' numbers of NPUs out of the container.
func (e *editor) addEnvironment(chosen []devices.Device) {
	e.edits.Env = append(e.edits.Env, "ASCEND_VISIBLE_DEVICES=void")
	e.edits.DropEnv = append(e.edits.DropEnv, visibleVariable)
	if value, ok := valueOf(e.container.Env, visibleVariable); ok {
		for _, f := range CheckVisible(value, chosen) {
			e.report(f)
		}
	}
	if e.edits.PrependEnv != nil {
		for name, dirs := range e.edits.PrependEnv {
			e.edits.PrependEnv[name] = e.absentFrom(name, dirs)
			if len(e.edits.PrependEnv[name]) == 0 {
				delete(e.edits.PrependEnv, name)
			}
		}
	}
}

// absentFrom leaves out directories that the container's own value has: CANN images name the driver's already.
func (e *editor) absentFrom(name string, dirs []string) []string {
	value, _ := valueOf(e.container.Env, name)
	var have, all []string
	for _, dir := range strings.Split(value, ":") {
		have = append(have, path.Clean("/"+dir))
	}
	for _, dir := range dirs {
		if !slices.Contains(have, path.Clean(dir)) && !slices.Contains(all, dir) {
			all = append(all, dir)
		}
	}
	return all
}

func (e *editor) prepend(name string, dirs ...string) {
	if len(dirs) == 0 {
		return
	}
	if e.edits.PrependEnv == nil {
		e.edits.PrependEnv = map[string][]string{}
	}
	e.edits.PrependEnv[name] = append(e.edits.PrependEnv[name], dirs...)
}
