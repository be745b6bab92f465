package plan

import (
	"encoding/json"
	"path"
	"strings"

	"hostrun.dev/hostrun/profiles"
)

// A Subpath is a part of a named volume that is bound in place of the whole. Containers can write links into a volume: what the path leads
// to is found at each start, without leaving the volume, and kept at At, which the spec names.
type Subpath struct {
	Volume string `json:"volume"` // its directory
	Path   string `json:"path"`   // in it
	At     string `json:"at"`
}

// AnnotationSubpaths is the annotation of the spec that holds the container's, so that it can be started again.
const AnnotationSubpaths = "hostrun.dev/subpaths"

// SubpathDirectory holds the parts of volumes of one container.
func SubpathDirectory(stateDir, namespace, id string) string {
	if stateDir == "" {
		stateDir = "/run/hostrun"
	}
	return path.Join(stateDir, "subpaths", namespace, id)
}

// subpath is where the part of the volume is bound from.
func (b *builder) subpath(v profiles.Volume, volume string) string {
	at := path.Join(SubpathDirectory(b.f.Engine.StateDir, b.plan.Namespace, b.plan.ID), itoa(len(b.subpaths)))
	b.subpaths = append(b.subpaths, Subpath{Volume: volume, Path: v.Subpath, At: at})
	return at
}

func (b *builder) annotateSubpaths() {
	if len(b.subpaths) == 0 {
		return
	}
	text, err := json.Marshal(b.subpaths)
	if err != nil { // it is text
		panic("plan: parts of volumes are no JSON: " + err.Error())
	}
	b.spec.Annotations[AnnotationSubpaths] = string(text)
	b.plan.Origins["/annotations/"+strings.ReplaceAll(AnnotationSubpaths, "/", "~1")] = "profile " + b.p.Name
}
