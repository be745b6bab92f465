// Package cdi reads the CDI files of a machine (Container Device Interface, SPEC.md), in which its administrator or a vendor's tool
// has described devices, and writes such files for other container tools.
package cdi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// Dirs are where CDI files lie; what is in a later one goes before (SPEC.md, "CDI JSON Specification", spec directories).
var Dirs = []string{"/etc/cdi", "/var/run/cdi"}

// A Registry is the CDI files of one machine, as they were when it was opened. It is safe for concurrent use.
type Registry struct {
	root  string
	cache *cdi.Cache
}

// whole refuses what the library would stumble over: a null in a list of YAML is a nil pointer to it.
type whole struct{}

func (whole) Validate(spec *specs.Spec) error {
	edits := []specs.ContainerEdits{spec.ContainerEdits}
	for _, d := range spec.Devices {
		edits = append(edits, d.ContainerEdits)
	}
	for _, e := range edits {
		if slices.Contains(e.DeviceNodes, nil) || slices.Contains(e.Mounts, nil) || slices.Contains(e.Hooks, nil) || slices.Contains(e.NetDevices, nil) {
			return errors.New("an entry of a list is empty")
		}
	}
	return nil
}

func init() { cdi.SetSpecValidator(whole{}) }

// Open reads the files in dirs below root. A file with errors is a finding of the registry; the others count as ever.
func Open(root string, dirs []string) *Registry {
	view := rootfs.Dir(root)
	var real []string
	for _, dir := range dirs {
		if at, err := view.Resolve(dir); err == nil {
			real = append(real, at.Real)
		}
	}
	// The library would start a goroutine that watches the directories; a command is over before they change. Its error is always nil.
	cache, _ := cdi.NewCache(cdi.WithSpecDirs(real...), cdi.WithAutoRefresh(false))
	return &Registry{root: root, cache: cache}
}

// Kinds are those that the files describe, sorted.
func (r *Registry) Kinds() []string {
	var kinds []string
	for _, name := range r.cache.ListDevices() {
		if kind, _, ok := devices.ParseQualified(name); ok && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// Findings are what is wrong with files, each as a warning.
func (r *Registry) Findings() []finding.Finding {
	var all []finding.Finding
	errs := r.cache.GetErrors()
	for _, file := range sorted(errs) {
		shown, lines := r.shown(file), []string{}
		for _, err := range errs[file] {
			lines = append(lines, strings.ReplaceAll(err.Error(), strings.TrimSuffix(r.root, "/")+"/", "/"))
		}
		slices.Sort(lines)
		all = append(all, finding.Finding{ID: finding.CDIInvalid, Severity: finding.Warning, Subject: shown, Got: strings.Join(lines, "; "),
			Message: fmt.Sprintf("the CDI file %s has errors: %s", shown, lines[0]), Remedy: "correct it, or make it anew"})
	}
	return all
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// shown is a file's path inside of the root.
func (r *Registry) shown(file string) string {
	rel, err := filepath.Rel(r.root, file)
	if err != nil || strings.HasPrefix(rel, "..") {
		return file
	}
	return "/" + rel
}

// Source returns what gives devices of kind by the files; Has says whether there is any.
func (r *Registry) Source(kind string) *Source { return &Source{r: r, kind: kind} }

// Has reports whether a file describes devices of kind.
func (r *Registry) Has(kind string) bool { return slices.Contains(r.Kinds(), kind) }

// described are the kind's devices by name, in the order of the files.
func (r *Registry) described(kind string) []*cdi.Device {
	var all []*cdi.Device
	seen := map[string]bool{}
	vendor, _, _ := strings.Cut(kind, "/")
	for _, spec := range r.cache.GetVendorSpecs(vendor) {
		if spec.Kind != kind {
			continue
		}
		for _, d := range spec.Devices {
			// The cache knows which of two files counts, and which names none of two counts for.
			if known := r.cache.GetDevice(kind + "=" + d.Name); known != nil && !seen[d.Name] {
				seen[d.Name] = true
				all = append(all, known)
			}
		}
	}
	return all
}

// hostPath is where a node lies on the host.
func hostPath(n *specs.DeviceNode) string {
	if n.HostPath != "" {
		return path.Clean(n.HostPath)
	}
	return path.Clean(n.Path)
}

// fingerprint changes with the files' content.
func fingerprint(all []*cdi.Device) string {
	sum := sha256.New()
	for _, d := range all {
		text, _ := json.Marshal([]any{d.GetSpec().GetPath(), d.GetSpec().Spec, d.Name})
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
