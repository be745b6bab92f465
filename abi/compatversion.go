package abi

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// checkPrerelease: CPython freezes its binary interface with the first release candidate (PEP 602 and the
// devguide's "Development cycle"). Before it only the very same pre-release fits; after it a doubt remains.
func checkPrerelease(p pair) []finding.Finding {
	host, image := p.host.Version, p.image.Version
	if !p.sameMinor() || host == image || !prerelease(host) && !prerelease(image) {
		return nil
	}
	severity := finding.Error
	said := "the binary interface is not frozen before the first release candidate, and modules may crash without a message"
	if !unfrozen(host) && !unfrozen(image) {
		severity = finding.Warning
		said = "the binary interface is frozen since the first release candidate, but a last correction is possible"
	}
	f := p.differ(finding.PythonPrerelease, severity, "version", host.String(), image.String())
	return one(f, fmt.Sprintf("the host's packages are for Python %s and the image has %s: %s", host, image, said),
		either("Python "+host.String(), image.String())+"; best with a final release on both sides")
}

func prerelease(v Version) bool { return v.Level == "candidate" || unfrozen(v) }
func unfrozen(v Version) bool   { return v.Level == "alpha" || v.Level == "beta" }

// checkPatch: within one minor version the interface is stable (docs.python.org, "C API stability"). Two releases
// broke that: 3.9.3 for 32-bit builds (cpython #87876) and 3.9.8, which lost a symbol (cpython #89936).
func checkPatch(p pair) []finding.Finding {
	host, image := p.host.Version, p.image.Version
	if !p.sameMinor() || host == image || prerelease(host) || prerelease(image) || host.Micro == image.Micro {
		return nil
	}
	severity, message := finding.Info, fmt.Sprintf("the host has Python %s and the image %s: one minor version, one binary interface", host, image)
	remedy := ""
	if bad := brokenPatch(p); bad != "" {
		severity = finding.Warning
		message = fmt.Sprintf("the host has Python %s and the image %s, and 3.9.%s broke the binary interface by mistake: modules may crash or say \"undefined symbol\"", host, image, bad)
		remedy = either("the latest Python 3.9", "the latest 3.9")
	}
	return one(p.differ(finding.PythonPatch, severity, "version", host.String(), image.String()), message, remedy)
}

func brokenPatch(p pair) string {
	if minorOf(p.host.Version) != "3.9" || p.host.Implementation != "cpython" {
		return ""
	}
	for _, v := range []Version{p.host.Version, p.image.Version} {
		if v.Micro == 8 || v.Micro == 3 && p.image.Bits == 32 {
			return fmt.Sprint(v.Micro)
		}
	}
	return ""
}

// checkFloors compares the C and C++ libraries. Which versions the packages need is known only from each of their
// files; here it is known what they were made beside. Packages of a distribution need its own release.
func checkFloors(p pair) []finding.Finding {
	if p.host.Libc != "glibc" || p.image.Libc != "glibc" || p.host.Arch != p.image.Arch {
		return nil
	}
	var all []finding.Finding
	if older(p.image.LibcVersion, p.host.LibcVersion) {
		all = append(all, p.floor("libc_version", "glibc", "libc.so.6", "GLIBC_", p.host.LibcVersion, p.image.LibcVersion)...)
	}
	switch host, image := p.host.LibstdcxxVersion, p.image.LibstdcxxVersion; {
	case image == "" && host != "":
		f := p.differ(finding.LibcFloor, finding.Warning, "libstdcxx_version", "GLIBCXX_"+host, "no libstdc++.so.6")
		all = append(all, one(f, "the image has no libstdc++.so.6: packages written in C++, torch among them, would say "+
			"\"ImportError: libstdc++.so.6: cannot open shared object file: No such file or directory\"",
			"install it in the image (Debian and Ubuntu: libstdc++6)")...)
	case older(image, host):
		all = append(all, p.floor("libstdcxx_version", "libstdc++", "libstdc++.so.6", "GLIBCXX_", host, image)...)
	}
	return all
}

func older(image, host string) bool { return image != "" && host != "" && lessNumeric(image, host) }

func (p pair) floor(field, library, file, prefix, host, image string) []finding.Finding {
	severity, which := finding.Info, "modules compiled on this host may need more than it has; wheels from PyPI do not"
	if dir := distributionDir(p.host); dir != "" {
		severity, which = finding.Warning, "the distribution's own packages in "+dir+" are built for the host's release"
	}
	f := p.differ(finding.LibcFloor, severity, field, prefix+host, prefix+image)
	message := fmt.Sprintf("the image's %s is older (%s%s) than the host's (%s%s): %s; the loader would say \"%s: version `%s%s' not found\"",
		library, prefix, image, prefix, host, which, file, prefix, host)
	return one(f, message, "use a base image with "+library+" "+host+" or newer, or install the packages from wheels into a virtual environment")
}

// distributionDir returns the site directory that the host's package manager fills, "" without one.
func distributionDir(p Python) string {
	for _, dir := range p.SiteDirs {
		if dir == "/usr/lib/python3/dist-packages" || p.BasePrefix == "/usr" && strings.HasPrefix(dir, "/usr/lib") && path.Base(dir) == "site-packages" {
			return dir
		}
	}
	return ""
}

// checkSuffix is the last word: the importer tries suffixes and nothing else (importlib.machinery.EXTENSION_SUFFIXES).
func checkSuffix(p pair) []finding.Finding {
	if p.host.ExtSuffix != "" && slices.Contains(p.image.Suffixes, p.host.ExtSuffix) {
		return nil
	}
	host, image := p.host.ExtSuffix, strings.Join(p.image.Suffixes, " ")
	f := p.differ(finding.PythonSOABI, finding.Error, "suffixes", host, image)
	if host == "" || image == "" {
		which := p.host
		if host != "" {
			which = p.image
		}
		return one(f, fmt.Sprintf("no source tells which suffixes the native modules of %s have, so nothing can be proven", which.Executable),
			"install the whole standard library of that Python (its _sysconfigdata module), or use another one")
	}
	return one(f, fmt.Sprintf("the image's Python tries %s and never the host's %s: import would say \"ModuleNotFoundError\"", image, host),
		either("SOABI "+p.host.SOABI, "SOABI "+p.image.SOABI))
}
