package runtime

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/plan"
)

// This file turns the spec of a container with a user namespace into one that each OCI runtime can start: runc knows mounts with
// mapped ids since 1.2, and no runtime can make device nodes in a user namespace. So hostrun makes both before, in the container's
// stage (stage.go), and the spec that containerd gets binds them from there.

// annotationSpec holds the spec as it was planned, in the one that containerd has.
const annotationSpec = "hostrun.dev/planned-spec"

// staged is the plan's spec for containerd.
func staged(pl plan.Plan) *specs.Spec {
	if pl.Stage == "" {
		return pl.Spec
	}
	text, err := plan.EncodeSpec(pl.Spec)
	if err != nil {
		return pl.Spec // anySpec tells it
	}
	one := stagedSpec(pl.Spec, pl.Stage)
	one.Annotations[annotationSpec] = string(text)
	return one
}

// unstaged is the spec as it was planned.
func unstaged(spec *specs.Spec) *specs.Spec {
	text, ok := spec.Annotations[annotationSpec]
	if !ok {
		return spec
	}
	planned := new(specs.Spec)
	if json.Unmarshal([]byte(text), planned) != nil {
		return spec
	}
	return planned
}

// hasOwnIDs reports whether the container's ids are others than the machine's.
func hasOwnIDs(spec *specs.Spec) bool { return spec.Linux != nil && len(spec.Linux.UIDMappings) > 0 }

// stagedSpec binds from the stage what is made there: the mounts with the container's ids, with all that their options say, and the
// device nodes.
func stagedSpec(spec *specs.Spec, stage string) *specs.Spec {
	one, linux := *spec, *spec.Linux
	one.Linux = &linux
	one.Annotations = map[string]string{}
	for k, v := range spec.Annotations {
		one.Annotations[k] = v
	}
	one.Mounts = slices.Clone(spec.Mounts)
	for i, m := range one.Mounts {
		if isStaged(m, stage) {
			one.Mounts[i] = specs.Mount{Destination: m.Destination, Type: "bind", Source: stagedMount(stage, i), Options: slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool {
				_, attribute := stageAttributes[o]
				return attribute || strings.HasSuffix(o, "idmap")
			})}
		}
	}
	for i, d := range spec.Linux.Devices {
		one.Mounts = append(one.Mounts, specs.Mount{Destination: d.Path, Type: "bind", Source: stagedNode(stage, i), Options: []string{"bind", "rprivate"}})
	}
	linux.Devices = nil
	linux.Namespaces = slices.Clone(linux.Namespaces)
	for i, ns := range linux.Namespaces {
		if ns.Type == specs.NetworkNamespace { // it is made with the user namespace, and connected then (network.go)
			linux.Namespaces[i].Path = ""
		}
	}
	return &one
}

// isStaged reports whether the container gets a mount from its stage: because of its ids, or because only the machine's root comes to
// where it lies, as to secrets, which have the right owner already.
func isStaged(m specs.Mount, stage string) bool {
	namespace := path.Dir(stage)
	secrets := plan.DataDirectory(path.Dir(path.Dir(namespace)), path.Base(namespace), path.Base(stage))
	return len(m.UIDMappings) > 0 || m.Type == "bind" && below(m.Source, secrets)
}

func stagedMount(stage string, i int) string { return path.Join(stage, fmt.Sprintf("m%d", i)) }
func stagedNode(stage string, i int) string  { return path.Join(stage, fmt.Sprintf("d%d", i)) }

// outside is the machine's number of one of the container's.
func outside(maps []specs.LinuxIDMapping, id uint32) uint32 {
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + id - m.ContainerID
		}
	}
	return id
}

// outsideProcess is the container's process with the machine's numbers of its user and groups.
func outsideProcess(spec *specs.Spec) *specs.Process {
	if !hasOwnIDs(spec) {
		return spec.Process
	}
	p := *spec.Process
	p.User.UID, p.User.GID = outside(spec.Linux.UIDMappings, p.User.UID), outside(spec.Linux.GIDMappings, p.User.GID)
	p.User.AdditionalGids = slices.Clone(p.User.AdditionalGids)
	for i, g := range p.User.AdditionalGids {
		p.User.AdditionalGids[i] = outside(spec.Linux.GIDMappings, g)
	}
	return &p
}
