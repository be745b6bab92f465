package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// LabelPrefix is what hostrun's own labels and annotations begin with; a profile may not use it.
const LabelPrefix = "hostrun.dev/"

// Labels that plan puts on containerd's record.
const (
	LabelProfile     = "hostrun.dev/profile"
	LabelHash        = "hostrun.dev/plan-sha256"
	LabelDigest      = "hostrun.dev/image-digest"
	LabelStopSignal  = "hostrun.dev/stop-signal"
	LabelStopSeconds = "hostrun.dev/stop-seconds"
	LabelTTY         = "hostrun.dev/tty"
	LabelRuntime     = "hostrun.dev/oci-runtime" // that the profile asks for
	LabelDevices     = "hostrun.dev/devices"     // what it holds (devices.FormatLeases)
	LabelNumbers     = "hostrun.dev/device-numbers"
	LabelRestart     = "hostrun.dev/restart"     // the profile's policy; absent for no
	LabelHealthcheck = "hostrun.dev/healthcheck" // the profile's, as JSON
	LabelUnit        = "hostrun.dev/unit"        // whose service it is (Unit.Label): hostrun supervise leaves it alone
	LabelDependsOn   = "hostrun.dev/depends-on"  // names of containers, joined by commas; a ! after a name is restart: true
	LabelNetwork     = "hostrun.dev/network"     // what it asks of the network (network.Request)
	LabelLogging     = "hostrun.dev/logging"     // the profile's, as JSON; absent for the default
	LabelHooks       = "hostrun.dev/hooks"       // kinds of hooks that it has, joined by commas
	LabelIDs         = "hostrun.dev/ids"         // first user id, first group id and how many, of a container with a user namespace: what it has written belongs to these
	LabelSubpaths    = "hostrun.dev/subpaths"    // "true": parts of volumes are bound before each start (AnnotationSubpaths)
	LabelPID         = "hostrun.dev/pid-of"      // container whose processes it shares
	LabelIPC         = "hostrun.dev/ipc-of"      // container whose IPC it shares
	LabelStack       = "hostrun.dev/stack"       // file of several profiles that this one is of; absolute
	LabelStackName   = "hostrun.dev/stack-name"
	LabelExternal    = "hostrun.dev/external-volumes" // those that down -v leaves alone, joined by commas
	LabelProbe       = "hostrun.dev/probe"            // what is tried before each start: a devices.Probe, as JSON
)

// maxLabel is the most bytes of name and value together that containerd takes (containerd, pkg/labels).
const maxLabel = 4096

// setLabels is last: the hash is over everything else.
func (b *builder) setLabels() {
	pl := &b.plan
	pl.Labels = map[string]string{}
	for k, v := range b.p.Labels {
		pl.Labels[k] = v
	}
	if b.p.Runtime != "" { // hostrun's own choice is none of the container's identity
		pl.Labels[LabelRuntime] = b.p.Runtime
	}
	if other := b.sharesPID(); other != "" {
		pl.Labels[LabelPID] = other
	}
	if other := b.sharesIPC(); other != "" {
		pl.Labels[LabelIPC] = other
	}
	if len(b.subpaths) > 0 {
		pl.Labels[LabelSubpaths] = "true"
	}
	if r := b.f.IDs; pl.Stage != "" {
		pl.Labels[LabelIDs] = fmt.Sprintf("%d:%d:%d", r.UID, r.GID, r.Size)
	}
	b.setHookLabel()
	b.setLoggingLabel()
	b.setDeviceLabel()
	b.setLifeLabels()
	b.setNetworkLabel()
	pl.Hash = hash(pl)
	b.hideClosed()
	b.setNumberLabel()
	b.setDependLabel() // as in compose, no reason to make a container anew
	b.setProbeLabel()
	b.setStackLabels()
	pl.Labels[LabelProfile] = pl.Profile
	pl.Labels[LabelHash] = pl.Hash
	pl.Labels[LabelDigest] = pl.Digest
	pl.Labels[LabelStopSignal] = pl.StopSignal
	pl.Labels[LabelStopSeconds] = fmt.Sprintf("%g", pl.StopSeconds)
	pl.Labels[LabelTTY] = fmt.Sprint(pl.TTY)
}

// checkLabels refuses what containerd would refuse later, and what is ours.
func (b *builder) checkLabels() {
	for _, k := range sortedKeys(b.p.Labels) {
		why := ""
		switch {
		case strings.HasPrefix(k, LabelPrefix):
			why = "begins with hostrun.dev/, which is kept for hostrun's own"
		case len(k)+len(b.p.Labels[k]) > maxLabel:
			why = fmt.Sprintf("is longer than containerd's %d bytes of name and value", maxLabel)
		default:
			continue
		}
		b.report("labels."+k, finding.Finding{
			ID: finding.ProfileInvalid, Severity: finding.Error, Subject: "labels." + k,
			Message: "the label " + k + " " + why, Remedy: "rename or shorten it",
		})
	}
}

// hash is over all that makes one container another one: the spec, the generated files, the image, and what is kept in
// labels. encoding/json writes fields in their order and maps sorted, so equal plans give equal text.
func hash(pl *Plan) string {
	directories := slices.Clone(pl.Directories)
	for i := range directories {
		directories[i].Copy = ""
	}
	all := []any{pl.Files, directories, pl.Digest, pl.Labels, pl.StopSignal, pl.StopSeconds, pl.TTY, pl.StdinOpen}
	if pl.Root != nil { // appended, so that the hashes of containers that run stay what they are
		all = append(all, pl.Root)
	}
	spec, err1 := EncodeSpec(pl.Spec)
	rest, err2 := json.Marshal(all)
	if err1 != nil || err2 != nil {
		return "" // a float that is no number: no profile gives one
	}
	sum := sha256.New() // of one list, whose first element is the spec
	for _, part := range [][]byte{{'['}, spec, {','}, rest[1:]} {
		sum.Write(part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
