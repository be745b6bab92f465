package proof

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/finding"
)

func (p *prover) report(scan imports.Report) Report {
	r := Report{Schema: 1, All: p.all(), Counts: Counts{Verdicts: map[Verdict]int{}, Imports: len(scan.Modules)}}
	if p.process != nil {
		r.Libc = strings.TrimSpace(p.system.Libc() + " " + p.system.GlibcVersion())
	}
	r.Floor, r.FloorBy = p.floor()
	for i, m := range r.All {
		if m.Verdict.Fails() {
			_, m.Remedy = p.advice(m)
			r.All[i].Remedy = m.Remedy
		}
		r.count(m)
		if m.Verdict != OK && len(r.Modules) < listed {
			r.Modules = append(r.Modules, m)
		}
	}
	r.Missing = missingLibraries(r.All)
	r.Unchecked = len(scan.NotChecked)
	r.NotChecked = Told(scan.NotChecked)
	r.Imported = imported(scan)
	r.Lent = p.lent()
	r.Findings = append(p.findings(scan, r), p.lendingFindings(r)...)
	r.Watch, r.real = p.watch(scan), scan.Real
	r.HostWatch = p.hostWatch(p.lost(scan), r.Watch)
	return r
}

func (r *Report) count(m Module) {
	c := &r.Counts
	c.Modules++
	c.Verdicts[m.Verdict]++
	reached := m.Reach != ""
	if reached {
		c.Reached++
	}
	switch {
	case m.Verdict == OK:
		c.OK++
	case m.Verdict == Conditional:
		c.Conditional++
	default:
		c.Fail++
		if reached {
			c.FailReached++
		}
	}
}

// floor is the oldest glibc with which what the host lends would load.
func (p *prover) floor() (version, by string) {
	if p.system == nil {
		return "", ""
	}
	best := -1
	for _, file := range slices.Sorted(maps.Keys(p.files)) {
		if !slices.ContainsFunc(p.r.HostDirs, func(dir string) bool { return below(file, dir) }) {
			continue
		}
		floor := p.system.GlibcFloor(file)
		if n, err := strconv.Atoi(strings.TrimPrefix(floor, "GLIBC_2.")); err == nil && n > best {
			best, version, by = n, floor, file
		}
	}
	return version, by
}

// missingLibraries lists what is missing, the most wanted first.
func missingLibraries(all []Module) []Library {
	var list []Library
	at := map[string]int{}
	for _, m := range all {
		if m.Verdict != Missing || m.Library == "" {
			continue
		}
		i, known := at[m.Library]
		if !known {
			i = len(list)
			at[m.Library] = i
			list = append(list, Library{Name: m.Library})
		}
		if list[i].Count++; len(list[i].NeededBy) < 5 {
			list[i].NeededBy = append(list[i].NeededBy, m.Name)
		}
	}
	slices.SortStableFunc(list, func(a, b Library) int { return b.Count - a.Count })
	return list[:min(len(list), listed)]
}

// watch lists what the report depends on.
func (p *prover) watch(scan imports.Report) []string {
	paths := slices.Clone(scan.Watch)
	for file := range p.files {
		paths = append(paths, file)
	}
	for _, m := range p.tree.modules {
		paths = append(paths, m.Path)
	}
	paths = append(paths, p.tree.dirs...)
	paths = append(paths, p.r.SiteDirs...)
	slices.Sort(paths)
	return slices.Compact(paths)
}

func (p *prover) findings(scan imports.Report, r Report) []finding.Finding {
	var all []finding.Finding
	all = append(all, p.interpreter()...)
	all = append(all, p.refused(scan)...)
	ignored := map[string]Module{}
	for _, m := range r.All {
		if m.Verdict == IgnoredSuffix {
			ignored[m.Name] = m
		}
	}
	for _, f := range scan.Findings(p.r.GPU) {
		if m, ok := ignored[f.Subject]; ok && f.ID == finding.ModuleMissing {
			f.ID, f.Want = finding.NativeSuffix, "a file name that ends in "+strings.Join(p.r.Python.Suffixes, ", ")
			f.Got = m.Path + "; " + f.Got
			f.Remedy = fmt.Sprintf("it was built for another Python: install the package for Python %d.%d, or use an image with the Python that it was built for",
				p.r.Python.Version.Major, p.r.Python.Version.Minor)
		}
		all = append(all, f)
	}
	p.byExecution(all, scan)
	all = append(all, others(r, finding.Errors(all))...)
	all = append(all, p.overridden()...)
	return append(all, conditional(r)...)
}

// byExecution puts what ends the command's imports, modules that are not found and those that the loader refuses, in the order in
// which Python would tell of it.
func (p *prover) byExecution(all []finding.Finding, scan imports.Report) {
	first := map[string]int{}
	for i, m := range scan.Missing {
		if _, known := first[m.Name]; !known && m.Fatal() {
			first[m.Name] = i
		}
	}
	at := func(f finding.Finding) int {
		if i, ends := first[f.Subject]; ends && f.Severity == finding.Error {
			return i
		}
		return len(scan.Missing)
	}
	slices.SortStableFunc(all, func(a, b finding.Finding) int { return at(a) - at(b) })
}

// imported are the top-level modules that the command imports: which frameworks matter to it, and which distributions.
func imported(scan imports.Report) []string {
	names := map[string]bool{}
	for _, m := range scan.Modules {
		if top, _, _ := strings.Cut(m.Name, "."); m.Reach != imports.Deferred && m.Kind != imports.Builtin && m.Kind != imports.Frozen {
			names[top] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// interpreter tells that the image's own Python does not start.
func (p *prover) interpreter() []finding.Finding {
	var start *ld.StartError
	if !errors.As(p.noStart, &start) || !slices.Contains([]ld.Verdict{ld.Missing, ld.Version}, start.Result.Verdict) {
		return nil
	}
	return []finding.Finding{{ID: finding.NativeInterpreter, Severity: finding.Error, Subject: p.r.Python.Executable, Got: start.Result.Object,
		Want: "an interpreter that starts", Message: p.r.Python.Executable + ": " + start.Error(),
		Remedy: p.mendStart()}}
}

// mendStart says what to do about an interpreter that does not start.
func (p *prover) mendStart() string {
	if p.hostsOwn() {
		return "the host's interpreter needs a newer system than the image's: use an image of the host's release or a newer one, or an interpreter that is " +
			"made for older systems (uv python install, conda), or remove python.interpreter_from"
	}
	return "repair the image, or the mount that hides the library; LD_PRELOAD and LD_LIBRARY_PATH count too"
}

// refused tells of the native modules that end the command.
func (p *prover) refused(scan imports.Report) []finding.Finding {
	var all []finding.Finding
	told := map[string]bool{}
	for _, miss := range scan.Missing {
		if m := p.judged[miss.File]; m != nil && miss.Fatal() && !told[miss.File] {
			told[miss.File] = true
			all = append(all, p.refusal(*m, places(miss.Chain)))
		}
	}
	for _, file := range p.order { // no handler catches a signal
		m := p.judged[file]
		if m.Killed && m.Doubt == "" && !told[file] && (m.Reach == imports.Required || m.Reach == imports.Attempted) {
			told[file] = true
			all = append(all, p.refusal(*m, m.By.String()))
		}
	}
	return all
}

func places(chain []imports.At) string {
	var words []string
	for i, at := range chain {
		if i == 0 || i >= len(chain)-2 {
			words = append(words, at.String())
		} else if i == 1 {
			words = append(words, "...")
		}
	}
	return strings.Join(words, " -> ")
}

var identifiers = map[Verdict]string{Missing: finding.NativeMissing, Version: finding.NativeVersion, Undefined: finding.NativeUndefined,
	Arch: finding.NativeArch, Corrupt: finding.NativeCorrupt, Gate: finding.NativeGate}

// refusal is the finding of a native module that the command imports and that does not load.
func (p *prover) refusal(m Module, chain string) finding.Finding {
	f := finding.Finding{ID: identifiers[m.Verdict], Severity: finding.Error, Subject: m.Name, Message: m.Message, Got: m.Path}
	if m.NeededBy != "" && m.NeededBy != m.Path {
		f.Got += ", through " + m.NeededBy
	}
	if chain != "" {
		f.Got += "; imported by " + chain
	}
	f.Want, f.Remedy = p.advice(m)
	return f
}

func (p *prover) advice(m Module) (want, remedy string) {
	top, _, _ := strings.Cut(m.Name, ".")
	switch m.Verdict {
	case IgnoredSuffix:
		return "", fmt.Sprintf("install %s for Python %d.%d", top, p.r.Python.Version.Major, p.r.Python.Version.Minor)
	case Missing:
		return m.Library + " where the container's loader looks",
			p.whyNotLent(m) + "install the library in the image (apt-file search " + path.Base(m.Library) + " names Debian's package), or install " + top + " as a wheel of PyPI, which brings its libraries along"
	case Version:
		return "a library as new as the one that it was built against",
			p.whyNotLent(m) + "use an image of the host's release or a newer one, or install " + top + " as a wheel for an older system (manylinux)"
	case Undefined:
		return "a library that defines it", "the module was built for another version of that library or of Python: install matching versions of " + top + " and what it links"
	case Arch:
		return p.r.Python.Arch, "install " + top + " for " + p.r.Python.Arch
	case Corrupt:
		return "a whole file", "install " + top + " again: pip install --force-reinstall --no-deps " + top
	}
	return "a file that this machine's loader takes", "install another build of " + top
}

// others is one warning about all that would not load and that nothing shows to end the command.
func others(r Report, stopping []finding.Finding) []finding.Finding {
	count := 0
	var names []string
	told := map[string]bool{}
	for _, f := range stopping {
		told[f.Subject] = true
	}
	for _, m := range r.All {
		if m.Verdict.Fails() && !told[m.Name] {
			if count++; len(names) < 4 {
				names = append(names, m.Name)
			}
		}
	}
	if count == 0 {
		return nil
	}
	words := strings.Join(names, ", ")
	if count > len(names) {
		words += ", ..."
	}
	return []finding.Finding{{ID: finding.NativeOthers, Severity: finding.Warning, Subject: "native modules", Got: words,
		Want:    "modules that load, should the command import them",
		Message: fmt.Sprintf("%d of %d native modules would not load on their own; the command is not seen to need them%s", count, r.Counts.Modules, lacking(r.Missing)),
		Remedy:  "hostrun check --modules lists them, each with its message"}}
}

func lacking(missing []Library) string {
	var words []string
	for _, l := range missing[:min(len(missing), 3)] {
		words = append(words, fmt.Sprintf("%s (%d)", path.Base(l.Name), l.Count))
	}
	if len(words) == 0 {
		return ""
	}
	return "; missing: " + strings.Join(words, ", ")
}

// conditional tells once of what depends on the order of loading.
func conditional(r Report) []finding.Finding {
	for _, m := range r.All {
		if m.Verdict == Conditional && m.Reach != "" {
			return []finding.Finding{{ID: finding.NativeConditional, Severity: finding.Info, Subject: m.Name, Got: m.Message, Want: m.Provider,
				Message: fmt.Sprintf("%d native modules load once a library of another package is loaded, as torch does by itself; that it happens is not checked", r.Counts.Conditional)}}
		}
	}
	return nil
}
