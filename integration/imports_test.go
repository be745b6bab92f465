package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "hostrun.dev/hostrun"

// pure are the packages that describe and decide. They read files below a root that they are given, and nothing else.
var pure = []string{"finding", "pattern", "rootfs", "abi", "host", "devices", "profiles", "plan", "doctor", "imagename", "supervise", "unit", "lockfile"}

// arrow says which packages of ours a package may import directly: cmd -> runtime -> plan -> {profiles, devices, host}
// -> abi -> rootfs -> finding (docs/architecture.md). A package that is not listed may import none.
var arrow = map[string][]string{
	"finding":                     {},
	"pattern":                     {},
	"cachefile":                   {},
	"soon":                        {},
	"exectest":                    {},
	"imagename":                   {},
	"rootfs":                      {"finding"},
	"abi":                         {"rootfs", "finding", "pattern"},
	"abi/frameworks":              {"rootfs", "finding", "pattern"},
	"abi/ld":                      {"rootfs", "pattern"},
	"abi/dists":                   {"rootfs"},
	"abi/stage":                   {"abi/ld", "rootfs"},
	"abi/proof":                   {"abi", "abi/dists", "abi/imports", "abi/ld", "abi/stage", "rootfs", "finding", "pattern", "cachefile", "soon"},
	"host":                        {"abi", "rootfs", "finding", "pattern", "cachefile"},
	"devices":                     {"abi", "rootfs", "finding", "pattern"},
	"profiles":                    {"imagename", "rootfs", "finding", "pattern"},
	"profiles/composefile":        {"profiles", "finding", "pattern"},
	"network":                     {"finding"},
	"plan":                        {"network", "profiles", "devices", "host", "abi/proof", "abi", "rootfs", "finding", "pattern"},
	"lockfile":                    {"plan", "profiles", "devices", "host", "finding"},
	"supervise":                   {"profiles"},
	"unit":                        {"profiles"},
	"logfile":                     {},
	"runtime":                     {"imagename", "plan", "network", "network/bridge", "network/sockets", "supervise", "profiles", "devices", "host", "abi", "rootfs", "finding", "pattern", "logfile", "soon"},
	"imagebuild":                  {"profiles", "pattern"},
	"engine":                      {"finding"},
	"doctor":                      {"host", "abi", "rootfs", "finding"},
	"cmd/hostrun":                 {"runtime", "lockfile", "imagebuild", "imagename", "network", "supervise", "unit", "engine", "doctor", "plan", "profiles", "devices", "host", "abi", "rootfs", "finding", "pattern", "logfile", "soon"},
	"cmd/hostrun-log":             {"logfile"},
	"cmd/hostrun-init":            {},
	"cmd/hostrun-ports":           {"network/relay"},
	"cmd/hostrun-reap":            {},
	"cmd/hostrun-probe":           {},
	"cmd/hostrun-engine":          {"engine", "finding"},
	"cmd/hostrun-compose":         {},
	"cmd/containerd-shim-runc-v2": {},
}

// servers are the programs that containerd's own code is linked into.
var servers = []string{"cmd/hostrun-engine", "cmd/containerd-shim-runc-v2"}

// A ban is an import that a package must not have, and why. It holds at any depth, or for our own code alone where a
// library of the agreed list imports the thing for a purpose that we leave alone.
type ban struct {
	of     func(pkg string) bool // package of ours, without the module's name
	path   string
	direct bool // false: at any depth
	reason string
}

func isPure(pkg string) bool {
	top, _, _ := strings.Cut(pkg, "/")
	return slices.Contains(pure, top)
}

func not(allowed ...string) func(string) bool {
	return func(pkg string) bool {
		return !slices.ContainsFunc(allowed, func(a string) bool { return pkg == a || strings.HasPrefix(pkg, a+"/") })
	}
}

func only(names ...string) func(string) bool {
	return func(pkg string) bool { return slices.Contains(names, pkg) }
}

var bans = []ban{
	{not("runtime", "cmd", "integration"), "github.com/containerd/containerd", false,
		"runtime alone talks to containerd: facts and plans must replay on a machine without it"},
	{func(pkg string) bool { return strings.HasPrefix(pkg, "cmd/") && !slices.Contains(servers, pkg) }, "github.com/containerd/containerd", true,
		"a command says what to do in words of package runtime"},
	{not("cmd/hostrun-engine", "integration"), "github.com/containerd/containerd/v2/cmd/containerd", false,
		"containerd's server is linked into the private engine alone: every other program would pay for it at each start"},
	{not("cmd/hostrun-compose", "integration"), "github.com/compose-spec/compose-go", false,
		"compose's own library is in a program of its own: hostrun would initialise it at each start"},
	{only(servers...), "github.com/containerd/containerd/v2/client", true, "a server of containerd is not its own client"},
	{only("engine"), "google.golang.org/", false, "each command asks where the engine is before it pays for a connection"},
	{isPure, "net", true, "the pure half reads files below a root; what it says must not depend on a network"},
	{isPure, "net/http", false, "the pure half reads files below a root; what it says must not depend on a network"},
	{isPure, "google.golang.org/grpc", false, "the pure half reads files below a root; what it says must not depend on a daemon"},
	{func(pkg string) bool { return isPure(pkg) && pkg != "devices/nvidia/nvml" }, "os/exec", true, "facts are read from files alone: a host's python3 may hang, be broken or be another architecture's"},
	{isPure, "C", false, "the pure half is built with CGO_ENABLED=0, for darwin too"},
	{isPure, "plugin", false, "needs cgo"},
	{only("cmd/hostrun-log"), "net", false, "a detached container keeps this process for its whole life: it stays small"},
	{only("cmd/hostrun-log"), "github.com/", false, "a detached container keeps this process for its whole life: standard library only"},
	{only("cmd/hostrun-log"), "google.golang.org/", false, "a detached container keeps this process for its whole life: standard library only"},
	{only("cmd/hostrun-init"), "net", false, "it is PID 1 of a container: it reaps, forwards signals, and stays small"},
	{only("cmd/hostrun-ports"), "github.com/", false, "a container with published ports keeps this process for its whole life: standard library only"},
	{only("cmd/hostrun-reap"), "net", false, "a container in the foreground keeps this process for its whole life: it stays small"},
	{only("cmd/hostrun-reap"), "github.com/", false, "a container in the foreground keeps this process for its whole life: standard library only"},
	{only("cmd/hostrun-init"), "github.com/", false, "it is PID 1 of a container and built from the standard library and x/sys"},
	{only("cmd/hostrun-probe"), "net", false, "it stands between the creation and the start of a container: it starts in a millisecond"},
	{only("cmd/hostrun-probe"), "github.com/", false, "it stands between the creation and the start of a container: the standard library and x/sys"},
	{only("plan"), "math/rand", false, "the same facts give the same plan"},
}

// goPackage is what this test needs of `go list -json`.
type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// packages lists those of this module, without tests, as they are built for the main binary.
func packages(t *testing.T) map[string]goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	all := map[string]goPackage{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(p.ImportPath, module+"/"); ok {
			all[name] = p
		}
	}
}

// under reports whether import path p is banned or below it. net/url and net/netip only parse.
func under(p, banned string) bool {
	if p == "net/url" || p == "net/netip" {
		return false
	}
	return p == banned || strings.HasPrefix(p, strings.TrimSuffix(banned, "/")+"/")
}

// violations returns one line for each import that breaks the rules.
func violations(all map[string]goPackage) []string {
	var found []string
	for name, p := range all {
		for _, b := range bans {
			found = append(found, b.broken(name, p)...)
		}
		found = append(found, againstArrow(name, p.Imports)...)
	}
	slices.Sort(found)
	return found
}

func (b ban) broken(name string, p goPackage) []string {
	if !b.of(name) {
		return nil
	}
	imports := p.Deps
	if b.direct {
		imports = p.Imports
	}
	var found []string
	for _, dep := range imports {
		if under(dep, b.path) {
			found = append(found, name+" imports "+dep+": "+b.reason)
		}
	}
	return found
}

func againstArrow(name string, imports []string) []string {
	var found []string
	for _, imported := range imports {
		to, ours := strings.CutPrefix(imported, module+"/")
		if !ours || allowed(name, to) {
			continue
		}
		found = append(found, name+" imports "+to+": "+why(name, to))
	}
	return found
}

// allowed says whether from may import to. A folder below a package belongs to it, with two exceptions: a kind of
// accelerator (devices/nvidia) is imported by cmd alone, and by the benchmarks, which measure it; nothing but tests imports integration.
func allowed(from, to string) bool {
	if vendor(to) {
		return strings.HasPrefix(from, "cmd/") || from == "integration/bench" || strings.HasPrefix(to, from+"/") && vendor(from) || strings.HasPrefix(from, to+"/")
	}
	if strings.HasPrefix(from, "integration") {
		return true
	}
	if vendor(from) { // what a framework was built for decides whether a device is of use to it
		return slices.Contains([]string{"devices", "devices/devicestest", "abi", "abi/frameworks", "abi/ld", "rootfs", "finding", "pattern", "cachefile"}, to)
	}
	owner := from
	if _, ok := arrow[owner]; !ok {
		owner = parent(from)
	}
	if to == owner || parent(to) == owner {
		return true
	}
	return slices.Contains(arrow[owner], to) || slices.Contains(arrow[owner], parent(to))
}

// parent returns the package that a folder belongs to: "cmd/hostrun" of cmd/hostrun/x, "abi" of abi/x.
func parent(pkg string) string {
	parts := strings.Split(pkg, "/")
	if parts[0] == "cmd" && len(parts) > 2 {
		return strings.Join(parts[:2], "/")
	}
	return parts[0]
}

// vendor reports whether pkg is the folder of one kind of accelerator. devices/devicestest is the suite they all pass.
func vendor(pkg string) bool {
	rest, ok := strings.CutPrefix(pkg, "devices/")
	return ok && rest != "devicestest"
}

func why(from, to string) string {
	switch {
	case vendor(to) && vendor(from):
		return "kinds of accelerators know nothing of each other"
	case vendor(to):
		return "only cmd knows which kinds of accelerators there are"
	case strings.HasPrefix(to, "integration"):
		return "integration holds tests and their fixtures"
	case strings.HasPrefix(to, "cmd"):
		return "a command is imported by nothing"
	}
	return "against the arrow cmd -> runtime -> plan -> {profiles, devices, host} -> abi -> rootfs -> finding (docs/architecture.md)"
}

func TestImportArrow(t *testing.T) {
	all := packages(t)
	for _, name := range pure {
		if _, ok := all[name]; !ok {
			t.Errorf("package %s is gone: this test no longer holds what it should", name)
		}
	}
	for _, v := range violations(all) {
		t.Error(v)
	}
}

// TestImportArrowCatches proves that each rule can fail.
func TestImportArrowCatches(t *testing.T) {
	ours := func(names ...string) []string {
		for i := range names {
			names[i] = module + "/" + names[i]
		}
		return names
	}
	for _, c := range []struct {
		name string
		pkg  goPackage
		want string // "" for none
	}{
		{"plan", goPackage{Imports: ours("runtime")}, "against the arrow"},
		{"abi", goPackage{Imports: ours("host")}, "against the arrow"},
		{"finding", goPackage{Imports: ours("rootfs")}, "against the arrow"},
		{"profiles", goPackage{Imports: ours("host")}, "against the arrow"},
		{"host", goPackage{Imports: ours("integration/fixture")}, "tests and their fixtures"},
		{"runtime", goPackage{Imports: ours("cmd/hostrun")}, "imported by nothing"},
		{"plan", goPackage{Imports: ours("devices/nvidia")}, "only cmd knows"},
		{"devices/ascend", goPackage{Imports: ours("devices/nvidia")}, "know nothing of each other"},
		{"abi", goPackage{Imports: []string{"os/exec"}}, "files alone"},
		{"plan", goPackage{Deps: []string{"github.com/containerd/containerd/v2/client"}}, "runtime alone talks to containerd"},
		{"logfile", goPackage{Deps: []string{"github.com/containerd/containerd/v2/client"}}, "runtime alone talks to containerd"},
		{"cmd/hostrun-log", goPackage{Deps: []string{"github.com/sirupsen/logrus"}}, "standard library only"},
		{"cmd/hostrun", goPackage{Imports: ours("runtime", "plan", "devices/nvidia", "cmd/hostrun/inner"), Deps: []string{"github.com/containerd/containerd/v2/client"}}, ""},
		{"engine", goPackage{Deps: []string{"github.com/containerd/containerd/v2/client"}}, "runtime alone talks to containerd"},
		{"engine", goPackage{Imports: ours("runtime")}, "against the arrow"},
		{"runtime", goPackage{Deps: []string{"github.com/containerd/containerd/v2/cmd/containerd/server"}}, "linked into the private engine alone"},
		{"cmd/hostrun-engine", goPackage{Imports: append(ours("engine"), "github.com/containerd/containerd/v2/cmd/containerd/server")}, ""},
		{"devices/nvidia", goPackage{Imports: ours("devices", "rootfs", "devices/nvidia/nvml")}, ""},
		{"abi/elf", goPackage{Imports: ours("rootfs", "finding")}, ""},
		{"host", goPackage{Imports: ours("abi", "abi/elf")}, ""},
	} {
		got := violations(map[string]goPackage{c.name: c.pkg})
		if c.want == "" && len(got) > 0 {
			t.Errorf("%s may import %v: %q", c.name, c.pkg, got)
		}
		if c.want != "" && !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s with %v: %q, want one that says %q", c.name, c.pkg, got, c.want)
		}
	}
}

// harmless are the names of impure packages that package plan may use: they are types and constants.
var harmless = map[string]*regexp.Regexp{
	"os":   regexp.MustCompile(`^(FileMode|Mode[A-Z]\w*|Err[A-Z]\w*|PathError)$`),
	"time": regexp.MustCompile(`^(Duration|Time|Month|Nanosecond|Microsecond|Millisecond|Second|Minute|Hour|UTC|RFC\w*|ParseDuration|Unix)$`),
}

// TestPlanTouchesNothing holds the first law: plan.Build reads no file, clock or environment.
func TestPlanTouchesNothing(t *testing.T) {
	files, err := filepath.Glob("../plan/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("package plan: %d files, %v", len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range impure(f) {
			t.Errorf("%s: %s: the same facts must give the same plan", set.Position(use.Pos()), use.Sel.Name)
		}
	}
}

// impure returns the uses of package os and time that are not harmless.
func impure(f *ast.File) []*ast.SelectorExpr {
	var found []*ast.SelectorExpr
	ast.Inspect(f, func(n ast.Node) bool {
		use, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := use.X.(*ast.Ident); ok && pkg.Obj == nil {
			if fine, listed := harmless[pkg.Name]; listed && !fine.MatchString(use.Sel.Name) {
				found = append(found, use)
			}
		}
		return true
	})
	return found
}

func TestPlanTouchesNothingCatches(t *testing.T) {
	for source, want := range map[string]int{
		"package p; import \"os\"; var a = os.Getenv(\"X\")":                                                   1,
		"package p; import \"time\"; var a = time.Now()":                                                       1,
		"package p; import \"os\"; func f(m os.FileMode) bool { _, err := os.Stat(\"/\"); return err == nil }": 1,
		"package p; import \"time\"; var a time.Duration = 3 * time.Second":                                    0,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(impure(f)); got != want {
			t.Errorf("%s: %d uses, want %d", source, got, want)
		}
	}
}

// TestPackagesAreNouns keeps out the names that say nothing about what a package is for.
func TestPackagesAreNouns(t *testing.T) {
	for name := range packages(t) {
		switch base := path.Base(name); base {
		case "util", "utils", "common", "helper", "helpers", "manager", "misc", "base":
			t.Errorf("package %s: name it after what it holds", name)
		}
	}
}

// TestPureHalfBuildsElsewhere builds what needs neither Linux nor cgo for a system that is not Linux.
func TestPureHalfBuildsElsewhere(t *testing.T) {
	args := []string{"build"}
	for _, name := range pure {
		args = append(args, "./"+name+"/...")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=darwin", "GOARCH=arm64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("CGO_ENABLED=0 GOOS=darwin go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
