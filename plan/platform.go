package plan

import (
	"sort"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// archNames are uname's and others' names of the architectures that image platforms name otherwise (image-spec, "platform"
// takes them from GOARCH).
var archNames = map[string]string{"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386", "armhf": "arm", "armel": "arm"}

func archName(s string) string {
	s = strings.ToLower(s)
	if name, ok := archNames[s]; ok {
		return name
	}
	return s
}

// checkPlatform refuses an image of another system or architecture than the profile's platform says, or this machine's.
func (b *builder) checkPlatform() {
	os, arch := "linux", archName(b.f.Host.Arch)
	if b.p.Platform != "" {
		parts := strings.Split(b.p.Platform, "/")
		os = parts[0]
		if len(parts) > 1 {
			arch = archName(parts[1])
		}
		b.checkForeign(arch)
	}
	img := b.f.Image
	if (img.OS == "" || img.OS == os) && (img.Arch == "" || arch == "" || archName(img.Arch) == arch) {
		return
	}
	b.report("image", finding.Finding{
		ID: finding.ImagePlatform, Severity: finding.Error, Subject: img.Reference,
		Got: img.OS + "/" + img.Arch, Want: os + "/" + arch,
		Message: "the image is for " + img.OS + "/" + img.Arch + ": its programs would end in \"exec format error\"",
		Remedy:  "hostrun pull --platform " + os + "/" + arch + " " + img.Reference,
	})
}

// checkForeign warns of a platform that only an emulator runs.
func (b *builder) checkForeign(arch string) {
	own := archName(b.f.Host.Arch)
	if own == "" || arch == own || own == "amd64" && arch == "386" || own == "arm64" && arch == "arm" {
		return
	}
	b.report("platform", finding.Finding{
		ID: finding.ImagePlatform, Severity: finding.Warning, Subject: "platform",
		Got: b.p.Platform, Want: "linux/" + own,
		Message: "this machine runs programs for " + arch + " only through an emulator (binfmt_misc), if one is installed",
		Remedy:  "remove platform:, or set it to linux/" + own,
	})
}

// checkRuntime refuses to start without an OCI runtime that works.
func (b *builder) checkRuntime() {
	why := b.f.Engine.RuntimeError
	if why == "" {
		return
	}
	remedy := "install crun or runc (apt-get install crun), where containerd's PATH leads"
	if b.p.Runtime != "" {
		remedy = "correct runtime:, or remove it, or install it where containerd's PATH leads"
	}
	b.report("runtime", finding.Finding{
		ID: finding.RuntimeUnusable, Severity: finding.Error, Subject: "runtime", Got: b.p.Runtime,
		Message: "there is no OCI runtime to start the container with: " + why, Remedy: remedy,
	})
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
