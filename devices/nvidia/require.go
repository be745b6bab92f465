package nvidia

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// A condition is one comparison of NVIDIA_REQUIRE_CUDA: cuda>=12.4.
type condition struct{ name, op, value string }

func (c condition) String() string { return c.name + c.op + c.value }

// operators, the longer first.
var operators = []string{"<=", ">=", "!=", "==", "=", "<", ">"}

// parseRequirement reads a requirement: alternatives with white space between them, of conditions with commas between them
// (NVIDIA Container Toolkit, "Requirements"; libnvidia-container, src/cli/dsl.c).
func parseRequirement(text string) (alternatives [][]condition, err error) {
	for _, word := range strings.Fields(text) {
		var all []condition
		for _, part := range strings.Split(word, ",") {
			c, err := parseCondition(part)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		alternatives = append(alternatives, all)
	}
	return alternatives, nil
}

func parseCondition(part string) (condition, error) {
	i := strings.IndexAny(part, "<>=!")
	if i <= 0 {
		return condition{}, fmt.Errorf("%q is no comparison", part)
	}
	for _, op := range operators {
		if value, ok := strings.CutPrefix(part[i:], op); ok {
			if value == "" || strings.ContainsAny(value, "<>=!") {
				break
			}
			return condition{part[:i], op, value}, nil
		}
	}
	return condition{}, fmt.Errorf("%q is no comparison", part)
}

// holds says whether a condition is true for one GPU; known is false where nobody says the value, or for another name.
func (c condition) holds(d Driver, g GPU) (holds, known bool) {
	have := map[string]string{"cuda": d.CUDA, "driver": d.Version, "arch": g.Capability, "brand": g.Brand}[c.name]
	if have == "" {
		return false, false
	}
	if c.name == "brand" {
		equal := strings.EqualFold(have, c.value)
		return equal == (c.op != "!="), true
	}
	n := compareVersions(have, c.value)
	if strings.Count(c.value, ".") < strings.Count(have, ".") && (c.op == "=" || c.op == "==" || c.op == "!=") {
		if rest, ok := strings.CutPrefix(have, c.value); ok && strings.HasPrefix(rest, ".") {
			n = 0 // driver=550 means the branch
		}
	}
	switch c.op {
	case "<":
		return n < 0, true
	case "<=":
		return n <= 0, true
	case ">":
		return n > 0, true
	case ">=":
		return n >= 0, true
	case "!=":
		return n != 0, true
	}
	return n == 0, true
}

// satisfied says whether an alternative holds for a GPU. One with a value that nobody says is taken to hold: what is not known
// refuses nothing.
func satisfied(alternatives [][]condition, d Driver, g GPU) bool {
	return len(alternatives) == 0 || slices.ContainsFunc(alternatives, func(all []condition) bool {
		return !slices.ContainsFunc(all, func(c condition) bool {
			holds, known := c.holds(d, g)
			return known && !holds
		})
	})
}

// requirements evaluates each NVIDIA_REQUIRE_* of the environment. All have to hold, for every GPU.
func (f *fit) requirements() {
	if f.requirementsOff() {
		return
	}
	for _, name := range f.variables("NVIDIA_REQUIRE_") {
		if name == "NVIDIA_REQUIRE_JETPACK" { // of Tegra boards alone
			continue
		}
		text := lookup(f.wants.Env, name)
		alternatives, err := parseRequirement(text)
		if err != nil {
			f.find(finding.Finding{ID: finding.CUDARequire, Severity: finding.Warning, Subject: name, Got: text, Want: "comparisons such as cuda>=12.4",
				Message: "the image's " + name + " can't be read: " + err.Error(), Remedy: "correct it in the image, or set NVIDIA_DISABLE_REQUIRE=1"})
			continue
		}
		f.require(name, text, alternatives)
	}
}

func (f *fit) requirementsOff() bool {
	return slices.Contains([]string{"1", "true", "yes", "on"}, strings.ToLower(lookup(f.wants.Env, "NVIDIA_DISABLE_REQUIRE")))
}

func (f *fit) require(name, text string, alternatives [][]condition) {
	// A forward-compatibility package raises what "cuda" stands for.
	d := f.driver
	for _, c := range f.packages() {
		if serves, _ := c.serves(d.Version); serves && allDataCenter(f.facts()) && compareVersions(c.CUDA, d.CUDA) > 0 {
			d.CUDA = c.CUDA
		}
	}
	for _, g := range f.gpus {
		if satisfied(alternatives, d, g.facts) {
			continue
		}
		f.find(finding.Finding{ID: finding.CUDARequire, Severity: finding.Error, Subject: name,
			Got:     fmt.Sprintf("cuda %s, driver %s, arch %s, brand %s: %s", known1(d.CUDA), known1(d.Version), known1(g.facts.Capability), known1(g.facts.Brand), g.label()),
			Want:    text,
			Message: "unsatisfied condition: " + first(alternatives, d, g.facts) + ", of the image's " + name,
			Remedy:  "update the driver, use an image for an older CUDA, or set NVIDIA_DISABLE_REQUIRE=1 under environment: to try it all the same"})
		return
	}
}

func known1(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// first returns the condition that fails first, as NVIDIA's own tools report it.
func first(alternatives [][]condition, d Driver, g GPU) string {
	for _, all := range alternatives {
		for _, c := range all {
			if holds, known := c.holds(d, g); known && !holds {
				return c.String()
			}
		}
	}
	return ""
}

// variables lists the names in the environment that begin with a prefix, sorted.
func (f *fit) variables(prefix string) []string {
	var names []string
	for _, e := range f.wants.Env {
		if name, _, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, prefix) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// stubs tells of a toolkit's stubs in LD_LIBRARY_PATH that nothing is bound over: the machine's toolkit, mounted. A libcuda among them is a
// stand-in for linking.
func (f *fit) stubs() {
	for _, dir := range libraryPath(f.wants.Env) {
		if stub := path.Join(dir, "libcuda.so"); isStub(stub) && !slices.Contains(f.wants.Bound, stub) && !slices.Contains(f.wants.Absent, path.Clean(dir)) {
			f.find(finding.Finding{ID: finding.CUDAStub, Severity: finding.Error, Subject: "LD_LIBRARY_PATH", Got: dir, Want: "no directory of stubs",
				Message: "LD_LIBRARY_PATH leads the loader to a stub of libcuda first: \"CUDA driver is a stub library\" (CUDA_ERROR_STUB_LIBRARY, 34)",
				Remedy:  "take " + dir + " out of LD_LIBRARY_PATH: it is for linking, and the driver's libcuda is found without it"})
			return
		}
	}
}
