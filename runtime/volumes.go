package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/moby/sys/mountinfo"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// A VolumeUse is a container that has named volumes, in any namespace: volumes are the machine's.
type VolumeUse struct {
	Namespace, Container string
	Volumes              []string // that are its own; external ones are in Others
	Others               []string
}

// VolumeUses lists the containers of all namespaces that have named volumes of this data directory, ended ones too.
func (c *Client) VolumeUses(ctx context.Context) ([]VolumeUse, error) {
	spaces, err := c.ctrd.NamespaceService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the namespaces: %w", err)
	}
	var all []VolumeUse
	for _, space := range spaces {
		records, err := c.ctrd.ContainerService().List(namespaces.WithNamespace(ctx, space), `labels."`+labelProfile+`"`)
		if err != nil {
			return nil, fmt.Errorf("list the containers: %w", err)
		}
		for _, r := range records {
			if r.Labels[labelState] == stateRemoving { // its process has ended
				continue
			}
			if use := c.volumesOf(r); len(use.Volumes)+len(use.Others) > 0 {
				use.Namespace = space
				all = append(all, use)
			}
		}
	}
	return all, nil
}

func (c *Client) volumesOf(r containers.Container) VolumeUse {
	use := VolumeUse{Container: r.ID}
	spec, err := specOf(r)
	if err != nil {
		return use
	}
	external := strings.Split(r.Labels[plan.LabelExternal], ",")
	for _, m := range spec.Mounts {
		name, inside := strings.CutPrefix(m.Source, c.volumesDir()+"/")
		name, _, _ = strings.Cut(name, "/")
		switch {
		case !inside || m.Type != "bind" || name == "":
		case slices.Contains(external, name):
			use.Others = append(use.Others, name)
		default:
			use.Volumes = append(use.Volumes, name)
		}
	}
	return use
}

func (c *Client) volumesDir() string { return filepath.Join(c.opt.DataDir, "volumes") }

// RemoveVolume deletes a named volume with all that is in it, and says whether there was one. What is mounted below it is not the
// volume's to delete.
func (c *Client) RemoveVolume(name string) (bool, error) {
	path := filepath.Join(c.volumesDir(), name)
	if filepath.Dir(path) != c.volumesDir() {
		return false, fmt.Errorf("remove volume %s: that is no name", name)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("remove volume %s: %w", name, err)
	}
	if err := unmountVolume(path); err != nil {
		return false, fmt.Errorf("remove volume %s: %w", name, err)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(path))
	if err != nil {
		return false, fmt.Errorf("remove volume %s: %w", name, err)
	}
	if len(mounts) > 0 {
		return false, finding.Errorf(finding.StatusTryAgain, "umount "+mounts[0].Mountpoint, "%s: volume %s: a file system is mounted at %s", finding.VolumeInUse, name, mounts[0].Mountpoint)
	}
	gone, err := os.MkdirTemp(c.volumesDir(), ".removed-") // no volume's name begins with a dot: nobody meets a half of one
	if err != nil {
		return false, fmt.Errorf("remove volume %s: %w", name, err)
	}
	err = os.Rename(path, filepath.Join(gone, name))
	if err := errors.Join(err, os.RemoveAll(gone), os.RemoveAll(fillingDir(path))); err != nil {
		return false, fmt.Errorf("remove volume %s: %w", name, err)
	}
	c.progress("Volume "+name, "Removed", "")
	return true, nil
}
