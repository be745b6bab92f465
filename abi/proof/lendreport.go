package proof

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/stage"
	"hostrun.dev/hostrun/finding"
)

// forWhom names the packages for which libraries are lent, those of the most first.
func forWhom(all []stage.Library) string {
	count := map[string]int{}
	var names []string
	for _, lib := range all {
		top := topOf(lib.For)
		if count[top] == 0 {
			names = append(names, top)
		}
		count[top]++
	}
	slices.SortFunc(names, func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

func topOf(module string) string {
	top, _, _ := strings.Cut(module, ".")
	return top
}

// Summary is "253 libraries, 483 MB, from the host, for torch"; "" when none are lent.
func (l *Lent) Summary() string {
	if l == nil || len(l.Libraries) == 0 {
		return ""
	}
	var bytes int64
	seen := map[string]bool{}
	for _, lib := range l.Libraries {
		if !seen[lib.Source] {
			seen[lib.Source] = true
			bytes += lib.Bytes
		}
	}
	noun := "libraries"
	if len(l.Libraries) == 1 {
		noun = "library"
	}
	return fmt.Sprintf("%d %s, %s, from the host, for %s", len(l.Libraries), noun, megabytes(bytes), forWhom(l.Libraries))
}

func megabytes(n int64) string {
	if n < 1e6 {
		return fmt.Sprintf("%d kB", (n+999)/1000)
	}
	return fmt.Sprintf("%d MB", (n+5e5)/1e6)
}

func (p *prover) lendingFindings(r Report) []finding.Finding {
	if r.Lent == nil {
		return nil
	}
	var all []finding.Finding
	if text := r.Lent.Summary(); text != "" {
		all = append(all, finding.Finding{ID: finding.LibrariesLent, Severity: finding.Info, Subject: "libraries", Got: listed3(r.Lent.Libraries),
			Message: text + ": the container lacks them, and finds them by a longer ld.so.cache",
			Remedy:  "nothing is to be done; packages of PyPI bring their libraries along, and python.borrow_libraries: off lends none"})
	}
	for _, left := range r.Lent.Left {
		all = append(all, finding.Finding{ID: finding.PlaceNotLent, Severity: finding.Warning, Subject: left.For, Got: left.Source, Want: left.Destination,
			Message: fmt.Sprintf("%s of the host, which %s looks for at %s, is not bound there: %s", left.Source, left.For, left.Destination, left.Why),
			Remedy:  "if it is needed, add it under volumes:, or install the package with copies instead of links"})
	}
	return all
}

func listed3(all []stage.Library) string {
	var words []string
	for _, lib := range all[:min(len(all), 3)] {
		words = append(words, lib.Name+" => "+lib.Source)
	}
	if len(all) > 3 {
		words = append(words, "...")
	}
	return strings.Join(words, ", ")
}

// whyNotLent begins a remedy with the reason for which the host's library is not lent.
func (p *prover) whyNotLent(m Module) string {
	name := path.Base(m.Library)
	switch {
	case p.r.Lend.Off && (stage.Never(name) || slices.ContainsFunc(p.r.HostDirs, func(dir string) bool { return below(m.Library, dir) })):
		return "" // of glibc, or a library of the packages, which no loan would mend
	case p.r.Lend.Off:
		return "remove python.borrow_libraries: off, which keeps the host's libraries away; or "
	case p.noLoan != nil:
		return "the host's libraries can't be lent (" + p.noLoan.Error() + "): "
	case p.lender == nil:
		return ""
	}
	for _, r := range p.lender.Refused() {
		if r.Name == name {
			return "the host's " + name + " is not lent: " + r.Why + ". Else "
		}
	}
	return ""
}
