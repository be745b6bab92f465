package ascend

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// libraryDirectories of the driver, in the order in which the vendor's scripts put them into LD_LIBRARY_PATH.
var libraryDirectories = []string{"lib64/common", "lib64/driver", "lib64"}

// halLibrary is what CANN's runtime opens first (hicann/runtime).
const halLibrary = "libascend_hal.so"

// readOnly are the options of every mount of the driver. Nothing that is mounted below may be written either: plan makes rbind
// with ro recursive, where kernel and OCI runtime can.
var readOnly = []string{"rbind", "rprivate", "ro", "nosuid", "nodev"}

// bind binds what lies at p on the host to the same place in the container, or to another; false if there is nothing.
func (e *editor) bind(p, destination, origin string) bool {
	r, err := e.source.view.Resolve(p)
	if err != nil {
		return false
	}
	if _, twice := e.edits.Origins[destination]; twice {
		return true
	}
	e.edits.Mounts = append(e.edits.Mounts, &specs.Mount{HostPath: r.Path, ContainerPath: destination, Type: "bind", Options: slices.Clone(readOnly)})
	e.edits.Origins[destination] = origin
	return true
}

// addDriver binds the whole directory of the driver: lib64, version.info, tools with hccn_tool, topo.
func (e *editor) addDriver() {
	dir := e.driver.Directory
	hal := e.findLibrary(halLibrary)
	if hal == "" {
		e.report(finding.Finding{
			ID: finding.AscendDriver, Severity: finding.Error, Subject: dir,
			Got: e.emptyReason(), Want: dir + "/lib64/driver/" + halLibrary,
			Message: halLibrary + ": cannot open shared object file: No such file or directory (" + dir + ", from " + e.driver.Source + ")",
			Remedy:  "install the driver's user-space files with its .run package, or name their directory: ascend: {driver: /path/to/driver}",
		})
		return
	}
	origin := "the driver of the NPUs"
	if e.driver.Version != "" {
		origin += ", " + e.driver.Version
	}
	e.bind(dir, dir, origin)
	if dir != usualDriver {
		e.bind(dir, usualDriver, origin)
	}
	for _, sub := range libraryDirectories {
		if e.source.view.IsDir(dir + "/" + sub) {
			e.prepend("LD_LIBRARY_PATH", dir+"/"+sub)
			e.followLinks(dir, path.Join(dir, sub))
		}
	}
	e.checkWritable(dir, hal)
	e.checkVersion()
	e.checkMachine(hal)
}

// followLinks brings what links in a directory of libraries name outside of the driver's: on some boards the libraries lie in
// /usr/lib64.
func (e *editor) followLinks(dir, libraries string) {
	for _, name := range names(e.source.view, libraries) {
		target, err := e.source.view.Readlink(libraries + "/" + name)
		if err != nil {
			continue
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Join(libraries, target)
		}
		if target = path.Clean(target); !strings.HasPrefix(target, dir+"/") {
			e.bind(libraries+"/"+name, target, "what "+libraries+"/"+name+" leads to")
		}
	}
}

// findLibrary returns where a library of the driver lies, "" where it lies nowhere.
func (e *editor) findLibrary(name string) string {
	for _, sub := range []string{"lib64/driver", "lib64/common", "lib64"} {
		p := path.Join(e.driver.Directory, sub, name)
		if fi, err := e.source.view.Stat(p); err == nil && fi.Mode().IsRegular() {
			return p
		}
	}
	return ""
}

func (e *editor) emptyReason() string {
	entries, err := e.source.view.ReadDir(e.driver.Directory)
	switch {
	case err != nil:
		return reason(err)
	case len(entries) == 0:
		return "an empty directory"
	}
	return fmt.Sprintf("a directory of %d entries without the library", len(entries))
}

// reason is the cause alone, in strerror's words where it is one.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		if errors.Is(pe.Err, fs.ErrNotExist) {
			return "No such file or directory"
		}
		return pe.Err.Error()
	}
	return err.Error()
}

// checkWritable warns of places that everybody on this machine may change, and through them what runs in containers as root. The
// vendor's runtime refuses them (mind-cluster, ascend-docker-runtime: "Please check the write permission!").
func (e *editor) checkWritable(dir, hal string) {
	places := []string{hal, path.Dir(hal), dir + "/lib64"}
	for p := dir; p != "/" && p != "."; p = path.Dir(p) {
		places = append(places, p)
	}
	for _, p := range places {
		fi, err := e.source.view.Stat(p)
		if err != nil || fi.Mode().Perm()&0o002 == 0 || fi.IsDir() && fi.Mode()&fs.ModeSticky != 0 {
			continue
		}
		e.report(finding.Finding{
			ID: finding.AscendWritable, Severity: finding.Warning, Subject: p, Got: fmt.Sprintf("mode %04o", fi.Mode().Perm()), Want: "no write permission for others",
			Message: p + " can be changed by every user of this machine, and its libraries are loaded in containers",
			Remedy:  "chmod o-w " + p,
		})
		return
	}
}

func (e *editor) checkVersion() {
	file := e.driver.Directory + "/version.info"
	if e.driver.Malformed != "" {
		e.report(finding.Finding{
			ID: finding.AscendVersionInfo, Severity: finding.Warning, Subject: file, Got: e.driver.Malformed, Want: "Version=25.0.rc1, Innerversion=V100R001C21...",
			Message: file + " does not tell the driver's version: " + e.driver.Malformed + "; whether it fits CANN is unknown",
			Remedy:  "install the driver again; CANN and torch_npu read this file too",
		})
	}
	if e.driver.Status != "" && e.driver.Status != "complete" {
		e.report(finding.Finding{
			ID: finding.AscendVersionInfo, Severity: finding.Warning, Subject: installInfo, Got: "Driver_Install_Status=" + e.driver.Status, Want: "Driver_Install_Status=complete",
			Message: "The driver package may not be completely installed, which may cause function abnormal. Please reinstall it.",
			Remedy:  "run the driver's installer again",
		})
	}
}

// checkMachine compares the driver's library with the container's shell: the loader passes over libraries of another machine.
func (e *editor) checkMachine(hal string) {
	if e.container.View == nil {
		return
	}
	driver, ok := machineOf(e.source.view, hal)
	if !ok {
		return
	}
	for _, program := range []string{"/bin/sh", "/usr/bin/env", "/usr/bin/python3"} {
		container, ok := machineOf(e.container.View, program)
		if !ok {
			continue
		}
		if container != driver {
			e.report(finding.Finding{
				ID: finding.AscendMachine, Severity: finding.Error, Subject: hal, Got: "the container's " + program + " is for " + container, Want: driver,
				Message: halLibrary + ": cannot open shared object file: No such file or directory: the driver is for " + driver + ", the container's programs are for " + container,
				Remedy:  "use an image for this machine's architecture, or install the driver's package for it",
			})
		}
		return
	}
}

// machineOf returns the machine that an ELF file is for: "AARCH64".
func machineOf(view *rootfs.View, p string) (string, bool) {
	f, err := view.Open(p)
	if err != nil {
		return "", false
	}
	defer f.Close()
	o, err := elf.NewFile(f)
	if err != nil {
		return "", false
	}
	return strings.TrimPrefix(o.Machine.String(), "EM_"), true
}

// addFiles binds what lies outside of the driver's directory. What a machine does not have is left out, as in the vendor's lists.
func (e *editor) addFiles() {
	for _, name := range []string{"/usr/local/bin/npu-smi", "/usr/local/sbin/npu-smi"} {
		if e.bind(name, name, "npu-smi") {
			break
		}
	}
	for _, p := range e.family.files {
		e.bind(p, p, "files of the driver")
	}
	if !e.source.view.Exists("/sys/class/unified_bus") {
		return
	}
	for _, pattern := range unifiedBus {
		for _, name := range names(e.source.view, path.Dir(pattern)) {
			if ok, err := path.Match(path.Base(pattern), name); ok && err == nil {
				p := path.Join(path.Dir(pattern), name)
				e.bind(p, p, "the unified bus")
			}
		}
	}
}

const rankTable = "/etc/hccl_rootinfo.json"

// addRankTable binds the table of this machine's NPUs for HCCL. It is not done unasked: one that is older than the machine's
// present state stops HCCL with EI0014.
func (e *editor) addRankTable() {
	switch e.ask.Options["rank_table"] {
	case "", "false":
		return
	case "true":
	default:
		e.badOption("rank_table", "true or false")
		return
	}
	if !e.bind(rankTable, rankTable, "HCCL's table of NPUs") {
		e.report(finding.Finding{
			ID: finding.AscendRankTable, Severity: finding.Error, Subject: rankTable, Got: "No such file or directory",
			Message: rankTable + " does not exist, and rank_table: true asks for it",
			Remedy:  "remove rank_table: HCCL finds the NPUs of one machine without it",
		})
		return
	}
	var table struct{ Version string }
	err := json.Unmarshal([]byte(text(e.source.view, rankTable)), &table)
	want := e.family.rootinfo
	if err == nil && (want == "" || table.Version == want) {
		return
	}
	got := "version " + table.Version
	if err != nil {
		got = "no JSON: " + err.Error()
	}
	e.report(finding.Finding{
		ID: finding.AscendRankTable, Severity: finding.Error, Subject: rankTable, Got: got, Want: "version " + want + " for " + e.family.title,
		Message: "EI0014: the rank table does not fit the NPUs: " + rankTable + " has " + got,
		Remedy:  "remove rank_table, or have the driver's tools write the file anew",
	})
}

func (e *editor) badOption(name, want string) {
	e.report(finding.Finding{
		ID: finding.AscendOption, Severity: finding.Error, Subject: "ascend." + name, Got: e.ask.Options[name], Want: want,
		Message: fmt.Sprintf("ascend.%s: %q is not %s", name, e.ask.Options[name], want), Remedy: "correct the value, or remove it",
	})
}

// addToolkit binds the host's CANN where the profile asks for it, with the environment that its set_env.sh would make.
func (e *editor) addToolkit() {
	option := e.ask.Options["toolkit"]
	if option == "" || option == "none" {
		return
	}
	if option != "host" && !strings.HasPrefix(option, "/") {
		e.badOption("toolkit", "host, none or the path of a toolkit on the host")
		return
	}
	if e.container.View != nil {
		if own := FindToolkits(e.container.View, e.container.Env); len(own) > 0 && !e.isHosts(own[0]) {
			e.report(twoToolkits(own[0], "ascend.toolkit: "+option))
			return
		}
	}
	t, ok := e.source.toolkitFor(option)
	if !ok {
		got, want := option, "a toolkit: a directory with set_env.sh and lib64"
		if option == "host" {
			got, want = "none in "+usualPlace, usualPlace+"/cann or "+usualPlace+"/ascend-toolkit/latest"
		}
		e.report(finding.Finding{
			ID: finding.AscendToolkit, Severity: finding.Error, Subject: "ascend.toolkit", Got: got, Want: want,
			Message: "the host has no CANN toolkit that containers could borrow",
			Remedy:  "install the toolkit, name its directory, ascend: {toolkit: /path}, or use an image that has CANN",
		})
		return
	}
	for _, b := range t.mounts(e.source.view) {
		e.bind(b.source, b.destination, strings.TrimSpace("CANN "+t.Version))
	}
	single, lists := t.environment(e.source.view)
	e.edits.Env = append(e.edits.Env, single...)
	for name, dirs := range lists {
		e.edits.PrependEnv = mergeFront(e.edits.PrependEnv, name, dirs)
	}
	e.addNNAL(t)
}

// mergeFront puts the toolkit's directories before the driver's, as set_env.sh does.
func mergeFront(all map[string][]string, name string, dirs []string) map[string][]string {
	if all == nil {
		all = map[string][]string{}
	}
	all[name] = append(slices.Clone(dirs), all[name]...)
	return all
}

// isHosts reports whether a toolkit of the container is one of the host's files: where the host is the container's root.
func (e *editor) isHosts(t Toolkit) bool {
	theirs, err1 := e.container.View.Resolve(t.Real)
	ours, err2 := e.source.view.Resolve(t.Real)
	return err1 == nil && err2 == nil && theirs.Real == ours.Real
}

// toolkitFor is the host's toolkit that an ask's option names: host, or a directory.
func (s *Source) toolkitFor(option string) (Toolkit, bool) {
	if option != "host" {
		return readToolkit(s.view, path.Clean(option))
	}
	all := FindToolkits(s.view, nil)
	if len(all) == 0 {
		return Toolkit{}, false
	}
	return all[0], true
}

// Borrowed describes what a container gets of the host by an ask's options: the driver, and the toolkit, nil for none. Where the
// image brings the driver's files (driver: none), it is described as the image has it; image may be nil.
func (s *Source) Borrowed(ask devices.Ask, image *rootfs.View) (Driver, *Toolkit) {
	var toolkit *Toolkit
	if option := ask.Options["toolkit"]; option == "host" || strings.HasPrefix(option, "/") {
		if t, ok := s.toolkitFor(option); ok {
			toolkit = &t
		}
	}
	switch named := ask.Options["driver"]; {
	case named != "none":
		return readDriver(s.view, strings.TrimPrefix(named, "auto")), toolkit
	case image == nil:
		return Driver{}, toolkit
	}
	d := readDriver(image, "")
	d.Firmware = readDriver(s.view, "").Firmware // the card's, whoever drives it
	return d, toolkit
}

func twoToolkits(own Toolkit, by string) finding.Finding {
	return finding.Finding{
		ID: finding.AscendTwoToolkits, Severity: finding.Error, Subject: own.Directory, Got: "CANN " + own.Version + " in the image, and the host's by " + by, Want: "one of the two",
		Message: "two installations of CANN in one container: libraries of both come together in one process, which ends in undefined symbols or in EZ9999",
		Remedy:  "remove " + by + ": the image brings CANN itself and needs of the host the driver alone",
	}
}
