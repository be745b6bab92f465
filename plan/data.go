package plan

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// This file gives the container its secrets and configs. Their content never is a fact, and never part of a plan: who starts the
// container reads it at that moment, and it lies in memory alone.

// A DataSource says whether the content of a secret or config can be had, and nothing about it.
type DataSource struct {
	Exists bool   `json:"exists"`
	Error  string `json:"error,omitempty"` // why it could not be looked at, unless it is missing
}

// A Data is a file that the runtime writes into memory before the start.
type Data struct {
	Kind string `json:"kind"` // "secret", "config"
	Name string `json:"name"`
	Path string `json:"path"` // on the host
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	Mode uint32 `json:"mode"`
	From string `json:"from"` // for people: "file /srv/token"
	File string `json:"file,omitempty"`
}

// AnnotationData is the annotation of the spec that holds what the container has of Data, so that it can be started again.
const AnnotationData = "hostrun.dev/data"

// DataDirectory holds the secrets and configs of one container.
func DataDirectory(stateDir, namespace, id string) string {
	if stateDir == "" {
		stateDir = "/run/hostrun"
	}
	return path.Join(stateDir, "secrets", namespace, id)
}

// DataKey names a secret or config in Facts.Data and in Plan.Values: the key of Files that it becomes.
func DataKey(kind string, i int) string { return kind + "-" + strconv.Itoa(i) }

// EachData calls fn for the profile's secrets and configs.
func EachData(p *profiles.Profile, fn func(key, kind string, v profiles.Data)) {
	for i, v := range p.Secrets {
		fn(DataKey("secret", i), "secret", v)
	}
	for i, v := range p.Configs {
		fn(DataKey("config", i), "config", v)
	}
}

// addData binds each file at its place.
func (b *builder) addData() {
	dir := DataDirectory(b.f.Engine.StateDir, b.plan.Namespace, b.plan.ID)
	EachData(b.p, func(key, kind string, v profiles.Data) {
		b.checkData(key, kind, v)
		d := Data{Kind: kind, Name: v.Name, Path: path.Join(dir, key), UID: b.user.uid, GID: b.user.gid, Mode: v.Mode, From: v.Describe(), File: v.File}
		if v.UID != nil {
			d.UID = *v.UID
		}
		if v.GID != nil {
			d.GID = *v.GID
		}
		b.plan.Data = append(b.plan.Data, d)
		m := specs.Mount{Destination: v.Target, Type: "bind", Source: d.Path, Options: []string{"bind", "rprivate", "ro", "nosuid", "nodev"}}
		if v.Mode&0o111 == 0 {
			m.Options = append(m.Options, "noexec")
		}
		b.mounts = append(b.mounts, mount{Mount: m, origin: b.fromProfile(v.Key), key: v.Key})
		if at, there := b.f.Image.Paths[path.Clean(v.Target)]; there && at.Dir && !b.coveredByBind(path.Dir(v.Target)) {
			b.report(v.Key, finding.Finding{ID: finding.PathWrongType, Severity: finding.Error, Subject: v.Target, Got: v.Target + " is a directory in the image", Want: "a file, or nothing",
				Message: fmt.Sprintf("the %s %s can't be put at %s, where the image has a directory", kind, v.Name, v.Target), Remedy: "give it another target:"})
		}
		if at, mode, bad := b.closed(v.Target); bad {
			b.notTraversed(v.Key, v.Target, at, mode, finding.Error)
		}
	})
}

func (b *builder) checkData(key, kind string, v profiles.Data) {
	from := b.f.Data[key]
	if v.Content != nil || from.Exists {
		return
	}
	f := finding.Finding{ID: finding.DataMissing, Severity: finding.Error, Subject: v.Name, Got: from.Error}
	switch {
	case from.Error != "":
		f.Message, f.Remedy = fmt.Sprintf("the %s %s can't be read from %s: %s", kind, v.Name, v.Describe(), from.Error), "correct the path or its permissions"
	case v.File != "":
		f.Message, f.Remedy = fmt.Sprintf("the %s %s is missing: there is no %s", kind, v.Name, v.Describe()), "make the file, or correct file:"
	case v.Variable != "":
		f.Message, f.Remedy = fmt.Sprintf("the %s %s is missing: %s is not set", kind, v.Name, v.Describe()),
			fmt.Sprintf("export %s=..., or say file: with a path; what came from the environment is kept in memory until down, and not over a reboot", v.Variable)
	default:
		f.Message = fmt.Sprintf("the %s %s is missing: nothing says where it is, and there is no %s", kind, v.Name, v.Describe())
		f.Remedy = fmt.Sprintf("say where: %ss: {%s: {file: ./%s}}; or give it to systemd: LoadCredential=%s:PATH, or a file in /etc/credstore", kind, v.Name, v.Name, v.Credential)
	}
	b.report(v.Key, f)
}

// annotateData keeps with the container what is to be there at each start.
func (b *builder) annotateData() {
	if len(b.plan.Data) == 0 {
		return
	}
	text, err := json.Marshal(b.plan.Data)
	if err != nil { // it is text and numbers
		panic("plan: secrets are no JSON: " + err.Error())
	}
	b.spec.Annotations[AnnotationData] = string(text)
}
