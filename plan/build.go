package plan

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/profiles"
)

// Build proves that host, image and profile fit and makes the spec. The plan always carries its findings; when one of
// them stops the start, the error is a *Refused and the plan is as complete as it can be.
func Build(f Facts) (Plan, error) {
	b := newBuilder(f)
	// The order is fixed: a later step reads what an earlier one settled (the user before the mounts, whose parents
	// that user must be able to traverse; the environment before Python, which is searched on its PATH).
	for _, step := range []func(){
		b.checkName,
		b.checkLabels,
		b.checkPlatform,
		b.checkRuntime,
		b.setUser,
		b.setEnvironment,
		b.setCommand,
		b.setPrivileges,
		b.setNamespaces,
		b.setNetwork,
		b.addDefaultMounts,
		b.addVolumes,
		b.addData,
		b.addHostRoot,
		b.addGrants,
		b.addNames,
		b.addInit,
		b.addPython,
		b.addCUDA,
		b.addLent,
		b.addImageVolumes,
		b.checkFrameworks,
		b.addDevices,
		b.setLimits,
		b.setAffinity,
		b.setSysctls,
		b.finishEnvironment,
		b.finishMounts,
		b.setUserNamespace,
		b.setStop,
		b.annotateData,
		b.annotateHooks,
		b.annotateSubpaths,
		b.setHealthcheck,
		b.tellPython,
		b.mergeFindings,
		b.setLabels,
	} {
		step()
	}
	if stop := finding.Errors(b.plan.Findings); len(stop) > 0 {
		return b.plan, &Refused{Profile: f.Profile.Name, Findings: stop}
	}
	return b.plan, nil
}

// Refused is the error of a plan that must not start.
type Refused struct {
	Profile  string
	Findings []finding.Finding // of severity error
}

func (r *Refused) Error() string {
	if len(r.Findings) == 0 {
		return r.Profile + ": refused"
	}
	return r.Profile + ": " + r.Findings[0].Message
}

// Unwrap gives the exit status and the hint of the first finding (finding.StatusOf, finding.HintOf).
func (r *Refused) Unwrap() error {
	if len(r.Findings) == 0 {
		return nil
	}
	return &finding.Err{
		Err:    errors.New(r.Error()),
		Hint:   r.Findings[0].Remedy,
		Status: finding.ExitStatus(r.Findings),
	}
}

// builder is one Build under way. It never writes to what the facts refer to.
type builder struct {
	f    Facts
	p    *profiles.Profile
	plan Plan
	spec *specs.Spec

	found  []finding.Finding // own ones
	env    environment
	user   account
	mounts []mount
	args   []string    // of the container without init
	python *abi.Python // that runs the command: of the image, or of the host where it is the root; nil until it is known
	root   *Root       // nil with an image

	health   string // the healthcheck, as JSON; "" for none
	subpaths []Subpath
	network  network.Request // zero for a container that has none
}

func newBuilder(f Facts) *builder {
	id := f.ID
	if id == "" {
		id = f.Profile.Name
	}
	b := &builder{f: f, p: &f.Profile, spec: baseSpec()}
	b.plan = Plan{
		Schema:    1,
		ID:        id,
		Profile:   f.Profile.Name,
		Namespace: f.Engine.Namespace,
		Image:     f.Image.Reference,
		Digest:    f.Image.Digest,
		ChainID:   f.Image.ChainID,
		Runtime:   f.Engine.RuntimeName,

		RuntimePath: f.Engine.RuntimePath,
		RuntimeRoot: f.Engine.RuntimeRoot,

		Spec:      b.spec,
		Origins:   map[string]string{},
		TTY:       f.Profile.TTY,
		StdinOpen: f.Profile.StdinOpen,
	}
	return b
}

// report adds a finding; key is the profile's key that caused it, "" for none.
func (b *builder) report(key string, f finding.Finding) {
	if pos, ok := b.position(key); ok && f.File == "" {
		f.File, f.Line = pos.File, pos.Line
	}
	b.found = append(b.found, f)
}

// position tells where a key stands; for one without a line of its own, where the key above it does.
func (b *builder) position(key string) (profiles.Position, bool) {
	for key != "" {
		if pos, ok := b.p.Lines[key]; ok {
			return pos, true
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return profiles.Position{}, false
}

// fromProfile is the origin of what a key of the profile asked for.
func (b *builder) fromProfile(key string) string {
	pos, ok := b.position(key)
	if !ok {
		return "profile " + b.p.Name
	}
	return "profile " + path.Base(pos.File) + ":" + itoa(pos.Line)
}

// maxIdentifier is containerd's bound on names, in bytes (pkg/identifiers). A name becomes a directory and a cgroup of
// ours too.
const maxIdentifier = 76

func (b *builder) checkName() {
	for _, name := range []string{b.plan.ID, b.plan.Namespace} {
		if profiles.NameForm.MatchString(name) && len(name) <= maxIdentifier {
			continue
		}
		b.report("", finding.Finding{
			ID: finding.ProfileInvalid, Severity: finding.Error, Subject: name, Want: profiles.NameForm.String(),
			Message: fmt.Sprintf("%q can't be the name of a container or a namespace: containerd takes letters and digits, with single dots, dashes and underscores between", name),
			Remedy:  "rename the profile's file",
		})
	}
}

// directory is the container's own directory on the host, where its generated files lie.
func (b *builder) directory() string {
	return path.Join("/", b.f.Engine.DataDir, "containers", b.f.Engine.Namespace, b.plan.ID)
}

// addFile generates a file and returns its path on the host.
func (b *builder) addFile(name, content string) string {
	p := path.Join(b.directory(), name)
	b.plan.Files = append(b.plan.Files, File{Path: p, Content: content, Mode: 0o644})
	return p
}

// severities in the order in which findings are shown.
var severities = map[finding.Severity]int{finding.Error: 0, finding.Warning: 1, finding.Info: 2}

// mergeFindings joins those of all stages, each once, the worst first.
func (b *builder) mergeFindings() {
	var all []finding.Finding
	seen := map[finding.Finding]bool{}
	for _, stage := range [][]finding.Finding{b.f.Host.Findings, b.f.Findings, b.f.Image.Findings, b.proved(), b.found} {
		for _, f := range stage {
			if pos, ok := b.position(b.keyOf(f.ID)); ok && f.File == "" {
				f.File, f.Line = pos.File, pos.Line
			}
			if !seen[f] && !b.settled(f) {
				seen[f] = true
				all = append(all, f)
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool {
		if si, sj := rank(all[i].Severity), rank(all[j].Severity); si != sj {
			return si < sj
		}
		return placeOf(all[i]) < placeOf(all[j])
	})
	b.plan.Findings = all
}

// placeOf is where findings of one severity stand. What ends the command's imports keeps its order: Python would tell the first.
func placeOf(f finding.Finding) string {
	if f.ID >= finding.ModuleMissing && f.ID <= finding.NativeGate {
		return finding.ModuleMissing
	}
	return f.ID
}

// proved are the findings of the proof, as errors where the caller is strict.
func (b *builder) proved() []finding.Finding {
	if b.f.Proof == nil {
		return nil
	}
	all := slices.Clone(b.f.Proof.Findings)
	for i := range all {
		all[i] = b.wholeStdlib(b.strictly(all[i]))
	}
	return all
}

// strictly makes an error of a warning where the caller is strict.
func (b *builder) strictly(f finding.Finding) finding.Finding {
	if b.f.Strict && f.Severity == finding.Warning {
		f.Severity = finding.Error
	}
	return f
}

func rank(s finding.Severity) int {
	if n, ok := severities[s]; ok {
		return n
	}
	return len(severities)
}

// keyOf is the profile's key behind a finding of a stage that knows no lines.
func (b *builder) keyOf(id string) string {
	switch {
	case id >= "HR010" && id < "HR040" && (b.p.Lines["python"] == profiles.Position{}):
		return "python.interpreter"
	case id >= "HR010" && id < "HR040":
		return "python"
	case id >= "HR090" && id < "HR110" || id >= "HR120" && id < "HR130":
		return "python"
	case id == finding.ImagePlatform:
		return "image"
	case id >= "HR060" && id < "HR070":
		return "cuda"
	}
	return ""
}

// has reports whether one of the stages before has already told of id.
func (b *builder) has(ids ...string) bool {
	for _, stage := range [][]finding.Finding{b.f.Host.Findings, b.f.Findings, b.f.Image.Findings, b.found} {
		for _, f := range stage {
			for _, id := range ids {
				if f.ID == id && f.Severity == finding.Error {
					return true
				}
			}
		}
	}
	return false
}
