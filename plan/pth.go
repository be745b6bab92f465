package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
)

// pthName sorts behind the image's own .pth files, and site reads them by name.
const pthName = "zz_hostrun.pth"

// addPth binds one generated file into the image's site directory. Of the ways that were measured it is the one that
// leaves the standard library in front, runs the host's own .pth files, and works in virtual environments and with -I
// and -E. PYTHONPATH precedes the standard library and runs no .pth file; PYTHONUSERBASE is dead in virtual environments.
func (b *builder) addPth(image *abi.Python, all []lent) {
	dir, ok := b.siteDir(image)
	if !ok {
		return
	}
	content := pthContent(image.Version, all, "")
	if b.p.Python.Precedence == "host" {
		content = pthContent(image.Version, all, dir)
	}
	source := b.addFile(pthName, content)
	b.mounts = append(b.mounts, mount{Mount: bindFile(source, path.Join(dir, pthName)), origin: "hostrun", key: "python"})
}

// siteDir is where the file goes. The last directory that site adds, so that all of the image's packages come first; with
// precedence host the first, from where the file moves the host's directories to its front. One that a volume covers
// won't do: the file would be made in the volume.
func (b *builder) siteDir(image *abi.Python) (string, bool) {
	dirs := slices.Clone(image.SiteDirs)
	if len(dirs) == 0 {
		dirs = slices.Clone(image.SiteDirsDeclared)
		dirs = dirs[:min(1, len(dirs))]
	}
	if b.p.Python.Precedence != "host" {
		slices.Reverse(dirs)
	}
	var hidden mount
	for _, dir := range dirs {
		m, covered := b.coveredBy(dir)
		if !covered {
			return dir, true
		}
		hidden = m
	}
	b.report(hidden.key, finding.Finding{
		ID: finding.MountConflict, Severity: finding.Error, Subject: strings.Join(dirs, ", "),
		Got:     "site directories of " + describe(image),
		Message: "the host's packages are added by a file in a site directory of the image, and there is none that no mount hides",
		Remedy:  "change the target of the mount, or set python.target",
	})
	return "", false
}

// pthContent is the file's text: lines that begin with "import " are executed (Lib/site.py, addpackage). Each asks for the
// version, as Debian's dist-packages serve all of its Pythons. front is the directory before which the host's go, "" for
// behind all that is there so far.
func pthContent(v abi.Version, all []lent, front string) string {
	var adds []string
	for _, l := range all {
		switch l.site.Kind {
		case "conda":
		case "pth": // site adds these without reading .pth files in them
			adds = append(adds, fmt.Sprintf("%[1]s in sys.path or sys.path.append(%[1]s)", pyQuote(l.destination)))
		default:
			adds = append(adds, "site.addsitedir("+pyQuote(l.destination)+")")
		}
	}
	guard := fmt.Sprintf("sys.version_info[:2] == (%d, %d)", v.Major, v.Minor)
	var text strings.Builder
	text.WriteString("# The host's packages, added by hostrun.\n")
	if front == "" {
		for _, add := range adds {
			fmt.Fprintf(&text, "import site, sys; %s and (%s)\n", guard, add)
		}
		return text.String()
	}
	// Between the two lines sys.path grows at its end only. A name made by one line is not there in the next one, so the
	// length is kept in sys.
	fmt.Fprintf(&text, "import sys; sys._hostrun = len(sys.path)\n")
	for _, add := range adds {
		fmt.Fprintf(&text, "import site, sys; %s and (%s)\n", guard, add)
	}
	fmt.Fprintf(&text, "import sys; new = sys.path[sys._hostrun:]; del sys.path[sys._hostrun:]; "+
		"at = sys.path.index(%[1]s) if %[1]s in sys.path else len(sys.path); sys.path[at:at] = new; del sys._hostrun\n", pyQuote(front))
	return text.String()
}

// pyQuote writes a string literal that Python reads, in ASCII: before 3.13 .pth files are read in the locale's encoding.
func pyQuote(s string) string {
	var q strings.Builder
	q.WriteByte('\'')
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			q.WriteByte('\\')
			q.WriteRune(r)
		case r >= ' ' && r < 0x7f:
			q.WriteRune(r)
		default:
			fmt.Fprintf(&q, `\U%08x`, r)
		}
	}
	q.WriteByte('\'')
	return q.String()
}
