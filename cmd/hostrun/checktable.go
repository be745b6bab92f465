package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// writeCheck prints one result for a person: the verdict, the two sides, what is borrowed, the findings.
func (s *session) writeCheck(r checkResult) {
	verdict, color := "fits", green
	switch {
	case !r.Fits:
		verdict, color = "does not fit", red
	case slices.ContainsFunc(r.Findings, func(f finding.Finding) bool { return f.Severity == finding.Warning }):
		verdict, color = "fits, with warnings", yellow
	}
	if s.colored(s.stdout) {
		verdict = color + verdict + plain
	}
	fmt.Fprintf(s.stdout, "%s: %s  (%s%.1f ms)\n", first(r.title, r.Profile), verdict, tally(r.Findings), r.ElapsedMS)
	s.writeSides(r.facts, r.python, r.Frameworks)
	if s.writeProof(r.facts.Proof); r.facts.Proof == nil {
		fmt.Fprintln(s.stdout)
		s.labelled("proved", "nothing: "+whyUnproved(r))
	}
	s.writeBorrowed(r)
	s.writeAll(r.Findings)
}

// writeAll prints errors and warnings with all that is known of them, and of the rest one line each.
func (s *session) writeAll(findings []finding.Finding) {
	told := false
	for _, f := range findings {
		if f.Severity != finding.Info {
			fmt.Fprintln(s.stdout)
			s.writeFinding(s.stdout, f)
			continue
		}
		if !told {
			fmt.Fprintln(s.stdout)
			told = true
		}
		s.writeMessage(s.stdout, f)
	}
}

// tally counts what is wrong: "2 errors, 1 warning, ".
func tally(findings []finding.Finding) string {
	counts := map[finding.Severity]int{}
	for _, f := range findings {
		counts[f.Severity]++
	}
	text := ""
	for _, severity := range []finding.Severity{finding.Error, finding.Warning} {
		if n := counts[severity]; n > 0 {
			text += counted(n, string(severity)) + ", "
		}
	}
	return text
}

// counted is "1 error", "2 errors".
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// writeSides sets host and image side by side, row by row.
func (s *session) writeSides(f plan.Facts, image abi.Python, have *frameworks.Facts) {
	rows := sides(f, image)
	table := sideBySide(rows)
	if width := s.widthOf(s.stdout); width > 0 && longest(table) > width {
		table = oneByOne(rows)
	}
	fmt.Fprint(s.stdout, "\n"+table)
	lines := frameworkLines(f, have)
	if f.Host.Python != nil || len(lines) > 0 {
		fmt.Fprintln(s.stdout)
	}
	if f.Host.Python != nil {
		s.labelled("packages", strings.Join(packagesThatMatter(f), ", "))
	}
	for i, line := range lines {
		label := "built for"
		if i > 0 {
			label = ""
		}
		s.labelled(label, line)
	}
}

func sideBySide(rows [][3]string) string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintf(tw, "\thost\timage\n")
	for _, row := range rows {
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", row[0], dash(row[1]), dash(row[2]))
	}
	_ = tw.Flush() // a Builder takes everything
	return b.String()
}

// oneByOne is the same for narrow terminals: first all of the host, then all of the image.
func oneByOne(rows [][3]string) string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for side, name := range []string{"host", "image"} {
		fmt.Fprintf(tw, "  %s\n", name)
		for _, row := range rows {
			fmt.Fprintf(tw, "    %s\t%s\n", row[0], dash(row[side+1]))
		}
	}
	_ = tw.Flush()
	return b.String()
}

// longest is the width of the longest line.
func longest(text string) int {
	width := 0
	for line := range strings.SplitSeq(text, "\n") {
		width = max(width, utf8.RuneCountInString(line))
	}
	return width
}

func sides(f plan.Facts, image abi.Python) [][3]string {
	rows := [][3]string{{"system", dash(f.Host.OS.Pretty) + ", " + f.Host.Arch, rootWords(f)}}
	if py := f.Host.Python; py != nil {
		rows = append(rows,
			[3]string{"python", pythonWords(py.Python), pythonWords(image)},
			[3]string{"from", py.Executable + " (" + py.Kind + ")", image.Executable},
			[3]string{"tag", py.SOABI, image.SOABI},
			[3]string{"libc", libcWords(py.Python), libcWords(image)},
		)
		if py.LibstdcxxVersion+image.LibstdcxxVersion != "" {
			rows = append(rows, [3]string{"libstdc++", py.LibstdcxxVersion, image.LibstdcxxVersion})
		}
	}
	if cuda := f.Host.CUDA; cuda != nil {
		rows = append(rows, [3]string{"cuda", cuda.Version + " (" + cuda.Real + ")", ""})
	}
	return rows
}

// rootWords say what the container's root is.
func rootWords(f plan.Facts) string {
	if f.Profile.Rootfs == profiles.HostRoot {
		return "none: the host's own root"
	}
	return familiar(f.Image.Reference) + ", " + f.Image.Arch
}

// imagePython is the interpreter that the container would run: the one whose site directory the plan binds a file
// into, or, where the plan came to no choice, the first that was found.
func imagePython(f plan.Facts, pl plan.Plan) abi.Python {
	if f.Profile.Rootfs == profiles.HostRoot && f.Host.Python != nil {
		return f.Host.Python.Python
	}
	if pl.Python != nil {
		return *pl.Python
	}
	if pl.Spec != nil {
		for _, m := range pl.Spec.Mounts {
			for _, p := range f.Image.Pythons {
				if slices.Contains(p.SiteDirs, path.Dir(m.Destination)) || slices.Contains(p.SiteDirs, m.Destination) {
					return p
				}
			}
		}
	}
	if len(f.Image.Pythons) == 0 {
		return abi.Python{}
	}
	return f.Image.Pythons[0]
}

func pythonWords(p abi.Python) string {
	if p.Executable == "" {
		return ""
	}
	return strings.TrimSpace(strings.Replace(p.Implementation, "cpython", "", 1) + " " + p.Version.String() + p.ABIFlags + " " + p.Arch)
}

func libcWords(p abi.Python) string { return strings.TrimSpace(p.Libc + " " + p.LibcVersion) }

// notable are the distributions that a person asks about, in this order.
var notable = []string{"torch", "torch_npu", "torchvision", "torchaudio", "triton", "transformers", "vllm", "flash_attn", "numpy", "tensorflow", "jax", "mindspore"}

// packagesThatMatter names them with their versions; the profile's own packages first.
func packagesThatMatter(f plan.Facts) []string {
	var words []string
	seen := map[string]bool{}
	for _, name := range append(slices.Clone(f.Profile.Python.Packages), notable...) {
		name = normalised(name)
		if p := findPackage(f.Host.Python.Packages, name); p != nil && !seen[name] {
			seen[name] = true
			words = append(words, packageWords(*p))
		}
	}
	all := f.Host.Python.Packages
	switch {
	case len(words) > 0:
		return words
	case len(all) > 6:
		return []string{fmt.Sprintf("%d distributions", len(all))}
	}
	for _, p := range all {
		words = append(words, packageWords(p))
	}
	return words
}

func packageWords(p host.Package) string {
	text := p.Name + " " + p.Version
	if cuda := p.Facts["cuda"]; cuda != "" && !strings.Contains(p.Version, "+") {
		text += " (cuda " + cuda + ")"
	}
	return text
}

func findPackage(all []host.Package, name string) *host.Package {
	for i := range all {
		if normalised(all[i].Name) == name {
			return &all[i]
		}
	}
	return nil
}

// normalised is a distribution's name as PEP 503 compares them.
func normalised(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(name), "_", "-"), ".", "-")
}

// writeProof says in a few lines what was proved.
func (s *session) writeProof(r *proof.Report) {
	if r == nil {
		return
	}
	c := r.Counts
	words := fmt.Sprintf("%s: %d load", counted(c.Modules, "native module"), c.OK)
	if c.Conditional > 0 {
		words += fmt.Sprintf(", %d if another package is loaded first", c.Conditional)
	}
	words += fmt.Sprintf(", %d would fail", c.Fail)
	if c.Fail > 0 && c.Imports > 0 {
		words += fmt.Sprintf(" (%d of them imported)", c.FailReached)
	}
	fmt.Fprintln(s.stdout)
	s.labelled("loads", words)
	imports := "not followed: the command runs no Python that files tell of"
	if c.Imports > 0 {
		imports = fmt.Sprintf("%s, %d of them native; not checked: %s that files do not tell", counted(c.Imports, "module"), c.Reached, counted(r.Unchecked, "place"))
	}
	s.labelled("imports", imports)
	if r.Floor != "" {
		s.labelled("needs", fmt.Sprintf("%s (%s); the container has %s", r.Floor, path.Base(r.FloorBy), r.Libc))
	}
	how := ""
	if r.Cached {
		how = ", earlier: nothing has changed since"
	}
	s.labelled("proved", fmt.Sprintf("in %.0f ms%s", r.ElapsedMS, how))
}

func (s *session) writeBorrowed(r checkResult) {
	if len(r.Borrowed) == 0 {
		return
	}
	shown := slices.DeleteFunc(slices.Clone(r.Borrowed), func(b plan.Borrowed) bool { return b.Kind == plan.KindLibrary && !r.verbose })
	table := borrowedTable(shown, "\t")
	if width := s.widthOf(s.stdout); width > 0 && longest(table) > width {
		table = borrowedTable(shown, "\n    \t  at\t")
	}
	fmt.Fprint(s.stdout, "\n  borrowed, read-only\n"+table)
	if proof := r.facts.Proof; proof != nil && slices.ContainsFunc(r.Borrowed, func(b plan.Borrowed) bool { return b.Kind == plan.KindLibrary }) {
		fmt.Fprintf(s.stdout, "    %s\n", proof.Lent.Summary())
	}
}

// borrowedTable has what stands between source and destination in between: a narrow terminal shows them one below the other.
func borrowedTable(all []plan.Borrowed, between string) string {
	var text strings.Builder
	tw := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, b := range all {
		bytes := ""
		if b.Bytes > 0 {
			bytes = size(b.Bytes)
		}
		fmt.Fprintf(tw, "    %s\t%s\t%s%s%s\n", b.For, dash(bytes), b.Source, between, b.Destination)
	}
	_ = tw.Flush() // a Builder takes everything
	return text.String()
}
