package runtime

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sort"

	taskapi "github.com/containerd/containerd/api/types/task"
)

// An Examination is what one containerd says of itself, for `hostrun doctor`.
type Examination struct {
	Version     string
	Snapshotter string   // that hostrun uses there
	OCIRuntime  string   // with its version; "" if the daemon finds none
	Shim        string   // hostrun's, that keeps containers there; "" for containerd's own
	Containers  []string // names of hostrun's in the namespace, by name; those too that ps hides, as they are being removed
	HalfMade    []string // of them: those whose maker died half-way
	GivenUp     []string // of them: those that run, and that containerd can't reach any more
}

// Examine asks for it. It changes nothing.
func (c *Client) Examine(ctx context.Context) (Examination, error) {
	ctx = c.in(ctx)
	var x Examination
	v, err := c.ctrd.Version(ctx)
	if err != nil {
		return x, fmt.Errorf("ask containerd for its version: %w", plainError(err))
	}
	f, err := c.facts(ctx)
	if err != nil {
		return x, err
	}
	x.Version, x.Snapshotter, x.Shim = v.Version, f.Snapshotter, c.shimThere()
	if r := c.ociRuntime(ctx, ""); r.Error == "" {
		x.OCIRuntime = r.Version
	}
	records, err := c.ctrd.ContainerService().List(ctx, `labels."`+labelProfile+`"`)
	if err != nil {
		return x, fmt.Errorf("list the containers: %w", err)
	}
	for _, r := range records {
		x.Containers = append(x.Containers, r.ID)
		if abandoned(r) && !c.locked(r.ID) {
			x.HalfMade = append(x.HalfMade, r.ID)
		}
	}
	givenUp := map[string]*taskapi.Process{}
	c.addGivenUp(ctx, records, givenUp)
	x.GivenUp = slices.DeleteFunc(slices.Clone(x.Containers), func(id string) bool { return givenUp[id] == nil })
	sort.Strings(x.GivenUp)
	sort.Strings(x.Containers)
	sort.Strings(x.HalfMade)
	return x, nil
}

// Shims returns, by the names of containers, the address of the containerd whose shim keeps each. A shim outlives its containerd, so
// an address may be of one that is down. It looks at each process of the machine.
func Shims(namespace string) map[string]string {
	all := map[string]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		args := shimArgs(file)
		id := valueOf(args, "-id")
		if _, known := all[id]; args != nil && !known && valueOf(args, "-namespace") == namespace {
			all[id] = shimAddress(args)
		}
	}
	return all
}
