package plan

import (
	"encoding/json"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A linuxSpec is a specs.Spec of a Linux container: the same fields in the same order, without those of other systems.
type linuxSpec struct {
	Version     string            `json:"ociVersion"`
	Process     *specs.Process    `json:"process,omitempty"`
	Root        *specs.Root       `json:"root,omitempty"`
	Hostname    string            `json:"hostname,omitempty"`
	Domainname  string            `json:"domainname,omitempty"`
	Mounts      []specs.Mount     `json:"mounts,omitempty"`
	Hooks       *specs.Hooks      `json:"hooks,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Linux       *specs.Linux      `json:"linux,omitempty"`
}

// EncodeSpec is json.Marshal of a Linux container's spec, byte for byte. encoding/json makes an encoder for every type that the
// value could hold before it writes the first byte, and a command encodes its spec once or twice: the types of
// Windows, VMs and four more systems cost a start more than the encoding.
func EncodeSpec(s *specs.Spec) ([]byte, error) {
	if s == nil || s.Solaris != nil || s.Windows != nil || s.VM != nil || s.ZOS != nil || s.FreeBSD != nil {
		return json.Marshal(s)
	}
	return json.Marshal(linuxSpec{s.Version, s.Process, s.Root, s.Hostname, s.Domainname, s.Mounts, s.Hooks, s.Annotations, s.Linux})
}
