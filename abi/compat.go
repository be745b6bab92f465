package abi

import (
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// Compatible says whether native modules installed for host can be imported by image. No findings of severity error
// means yes. The rules are those of docs/abi.md; each finding names the evidence of both sides.
func Compatible(host, image Python) []finding.Finding {
	pr := pair{host, image}
	var all []finding.Finding
	for _, rule := range rules {
		all = append(all, rule(pr)...)
	}
	if len(finding.Errors(all)) == 0 {
		all = append(all, checkSuffix(pr)...)
	}
	return all
}

// A pair is the owner of the packages and the interpreter that shall import them.
type pair struct{ host, image Python }

// rules, in the order in which their findings are shown: what makes the others pointless comes first.
var rules = []func(pair) []finding.Finding{
	checkConflicts, checkImplementation, checkArch, checkLibc, checkVersion, checkThreads, checkDebug, checkTraceRefs,
	checkPrerelease, checkPatch, checkFloors,
}

// differ makes the finding that a field has other values on the two sides.
func (p pair) differ(id string, severity finding.Severity, field, host, image string) finding.Finding {
	return finding.Finding{
		ID: id, Severity: severity, Subject: p.image.Executable,
		Got:  "image's " + p.image.Executable + ": " + proven(p.image, field, image),
		Want: "as the host's " + p.host.Executable + ": " + proven(p.host, field, host),
	}
}

func proven(p Python, field, value string) string {
	if source := p.Evidence[field]; source != "" {
		return value + " (" + source + ")"
	}
	return value
}

func one(f finding.Finding, message, remedy string) []finding.Finding {
	f.Message, f.Remedy = message, remedy
	return []finding.Finding{f}
}

// either gives the two ways out of a difference that lies in the choice of image or environment.
func either(image, host string) string {
	return "use an image with " + image + ", or name a host environment with " + host + " under python:"
}

func minorOf(v Version) string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (p pair) sameMinor() bool {
	return p.host.Implementation == p.image.Implementation &&
		p.host.Version.Major == p.image.Version.Major && p.host.Version.Minor == p.image.Version.Minor
}

// example is the file name of a native module of the host.
func (p pair) example() string { return "_C" + p.host.ExtSuffix }

func checkConflicts(p pair) []finding.Finding {
	var all []finding.Finding
	for _, side := range []struct {
		name string
		Python
	}{{"host's", p.host}, {"image's", p.image}} {
		for _, c := range side.Conflicts {
			all = append(all, finding.Finding{
				ID: finding.PythonContradiction, Severity: finding.Error, Subject: side.Executable,
				Got: strings.Join(c.Said, "; "), Want: "one " + c.Field + " from all sources",
				Message: fmt.Sprintf("the %s Python %s contradicts itself about its %s: %s", side.name, side.Executable, c.Field, strings.Join(c.Said, "; ")),
				Remedy:  "reinstall that Python into an empty prefix, or use another one",
			})
		}
	}
	return all
}

func checkImplementation(p pair) []finding.Finding {
	if p.host.Implementation == p.image.Implementation {
		return nil
	}
	f := p.differ(finding.PythonImpl, finding.Error, "implementation", p.host.Implementation, p.image.Implementation)
	return one(f, fmt.Sprintf("the host's packages are for %s and the image's Python is %s: it does not look for %s and would say \"ModuleNotFoundError\"",
		implementationName(p.host), implementationName(p.image), p.example()),
		either(implementationName(p.host), implementationName(p.image)))
}

func implementationName(p Python) string {
	switch p.Implementation {
	case "pypy":
		return "PyPy " + minorOf(p.Version)
	case "cpython":
		return "CPython " + minorOf(p.Version)
	}
	return p.Implementation
}

func checkArch(p pair) []finding.Finding {
	if p.host.Arch == p.image.Arch && p.host.Bits == p.image.Bits {
		return nil
	}
	f := p.differ(finding.PythonArch, finding.Error, "arch",
		fmt.Sprintf("%s, %d bits", p.host.Arch, p.host.Bits), fmt.Sprintf("%s, %d bits", p.image.Arch, p.image.Bits))
	return one(f, fmt.Sprintf("the host's packages are for %s and the image's Python is for %s: the loader would pass them over and say \"cannot open shared object file: No such file or directory\"",
		p.host.Arch, p.image.Arch), "pull the image for "+p.host.Arch+": hostrun pull --platform linux/"+ociArch(p.host.Arch)+" IMAGE")
}

// ociArch gives GOARCH's name of a machine, which image platforms use (image-spec, "platform.architecture").
func ociArch(machine string) string {
	names := map[string]string{"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm/v7", "loongarch64": "loong64"}
	if name := names[machine]; name != "" {
		return name
	}
	return machine
}

func checkLibc(p pair) []finding.Finding {
	if p.image.Static {
		f := p.differ(finding.PythonLibc, finding.Error, "static", "linked dynamically", "linked statically")
		return one(f, "the image's Python is linked statically and can load no native module: it would say \"ImportError: Dynamic loading not supported\"",
			"use an image whose Python is linked dynamically against "+p.host.Libc)
	}
	if p.host.Libc == p.image.Libc || p.host.Static {
		return nil
	}
	f := p.differ(finding.PythonLibc, finding.Error, "libc", name(p.host.Libc), name(p.image.Libc))
	said := "\"Error loading shared library ld-linux-x86-64.so.2: No such file or directory\" or \"Error relocating ...: symbol not found\""
	if p.image.Libc != "musl" {
		said = "\"libc.musl-" + p.host.Arch + ".so.1: cannot open shared object file: No such file or directory\""
	}
	remedy := "use an image of Debian, Ubuntu or another distribution with glibc (python:" + minorOf(p.host.Version) + "-slim instead of -alpine)"
	if p.host.Libc == "musl" {
		remedy = "use an image with musl (Alpine)"
	}
	return one(f, fmt.Sprintf("the host's packages are built for %s and the image's Python uses %s: the loader would say %s",
		name(p.host.Libc), name(p.image.Libc), said), remedy)
}

func name(libc string) string {
	if libc == "" {
		return "an unknown C library"
	}
	return libc
}

func checkVersion(p pair) []finding.Finding {
	if p.host.Implementation != p.image.Implementation || p.sameMinor() {
		return nil
	}
	host, image := minorOf(p.host.Version), minorOf(p.image.Version)
	f := p.differ(finding.PythonVersion, finding.Error, "version", p.host.Version.String(), p.image.Version.String())
	return one(f, fmt.Sprintf("the host's packages are for Python %s and the image has Python %s: it tries %s, never %s, and would say \"ModuleNotFoundError: No module named ...\"",
		host, image, strings.Join(p.image.Suffixes, " "), p.host.ExtSuffix), either("Python "+host, image))
}

func checkThreads(p pair) []finding.Finding {
	if !p.sameMinor() || p.host.FreeThreaded == p.image.FreeThreaded {
		return nil
	}
	f := p.differ(finding.PythonFlags, finding.Error, "free_threaded", gil(p.host), gil(p.image))
	message := "the image's Python is free-threaded and the host's packages are not: .abi3.so and plain .so files would be found and die with " +
		"\"SystemError: init function of ... returned uninitialized object\""
	if p.host.FreeThreaded {
		message = fmt.Sprintf("the host's packages are for a free-threaded Python and the image's is not: it does not look for %s and would say \"ModuleNotFoundError\"", p.example())
	}
	return one(f, message, either(build(p.host), build(p.image)))
}

func gil(p Python) string {
	if p.FreeThreaded {
		return "free-threaded"
	}
	return "with the GIL"
}

// build names an interpreter so that an image or environment of the same build can be found.
func build(p Python) string {
	s := "Python " + minorOf(p.Version)
	if p.FreeThreaded {
		s += "t (free-threaded)"
	}
	if p.Debug {
		s += " built with --with-pydebug"
	}
	if p.TraceRefs && p.Version.before(3, 13) {
		s += " built with --with-trace-refs"
	}
	if !p.FreeThreaded && !p.Debug && !p.TraceRefs {
		s += " of the ordinary build"
	}
	return s
}

// checkDebug: since 3.8 a debug build has the release build's binary interface and looks for its modules too
// (What's New in 3.8, "Debug build uses the same ABI as release build"). A release build never looks for the debug one's.
func checkDebug(p pair) []finding.Finding {
	if !p.sameMinor() || p.host.Debug == p.image.Debug || p.host.FreeThreaded != p.image.FreeThreaded {
		return nil
	}
	if p.image.Debug && !p.image.Version.before(3, 8) && slices.Contains(p.image.Suffixes, p.host.ExtSuffix) {
		return nil
	}
	f := p.differ(finding.PythonFlags, finding.Error, "debug", debugName(p.host), debugName(p.image))
	return one(f, fmt.Sprintf("the host's Python is a %s and the image's a %s: it tries %s, not %s, and would say \"ModuleNotFoundError\"",
		debugName(p.host), debugName(p.image), strings.Join(p.image.Suffixes, " "), p.host.ExtSuffix), either(build(p.host), build(p.image)))
}

func debugName(p Python) string {
	if p.Debug {
		return "debug build"
	}
	return "release build"
}

// checkTraceRefs: up to 3.12 --with-trace-refs enlarges every object's header and renames PyModule_Create2
// (Include/modsupport.h); since 3.13 the references are kept elsewhere and the interface is the same.
func checkTraceRefs(p pair) []finding.Finding {
	if !p.sameMinor() || p.host.TraceRefs == p.image.TraceRefs || !p.image.Version.before(3, 13) {
		return nil
	}
	f := p.differ(finding.PythonFlags, finding.Error, "trace_refs", tracing(p.host), tracing(p.image))
	symbol := "PyModule_Create2"
	if p.host.TraceRefs {
		symbol = "PyModule_Create2TraceRefs"
	}
	return one(f, fmt.Sprintf("the host's packages are for a Python %s and the image's is one %s: import would say \"undefined symbol: %s\"",
		tracing(p.host), tracing(p.image), symbol), either(build(p.host), build(p.image)))
}

func tracing(p Python) string {
	if p.TraceRefs {
		return "with trace-refs"
	}
	return "without trace-refs"
}
