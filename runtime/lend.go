package runtime

import (
	"context"
	"fmt"
	"path"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

// WithImageView lends the files of an image to use: they hold as long as use runs, and nothing of them stays behind. The
// error is use's, or that of Inspect for an image that is not there or can't be read.
func (c *Client) WithImageView(ctx context.Context, ref, platform string, use func(*rootfs.View) error) error {
	ctx = c.in(ctx)
	name, err := fullName(ref)
	if err != nil {
		return err
	}
	record, err := c.getImage(ctx, name)
	if err != nil {
		return err
	}
	img, err := c.configOf(ctx, record, platform)
	if err != nil {
		return fmt.Errorf("inspect image %s: %w", name, err)
	}
	view, done, err := c.view(ctx, name, img.ChainID)
	if err != nil {
		return fmt.Errorf("inspect image %s: %w", name, err)
	}
	err = guarded(view, use)
	if after := done(); err == nil && after != nil {
		err = fmt.Errorf("inspect image %s: %w", name, after)
	}
	return err
}

// guarded lets a panic of use pass as an error: the view must be given back.
func guarded(view *rootfs.View, use func(*rootfs.View) error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("internal error: %v", cause)
		}
	}()
	return use(view)
}

// HostView is the root of a container without an image: what HostRoot found of this machine, and no more.
func HostView(root string, entries []plan.RootEntry) *rootfs.View {
	return rootfs.Dir(root).Only(pathsOf(entries)...)
}

// Targets adds to img what the view has at the targets of mounts, as ImageNeeds.Paths does for those that are known before.
func Targets(view *rootfs.View, img *plan.Image, targets ...string) {
	for _, target := range targets {
		if found, ok := lookAt(view, target); ok {
			if img.Paths == nil {
				img.Paths = map[string]plan.Path{}
			}
			img.Paths[path.Clean(target)] = found
		}
	}
}
