package runtime

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

// HasImage reports whether containerd has an image of that name, for whatever platform.
func (c *Client) HasImage(ctx context.Context, ref string) (bool, error) {
	name, err := fullName(ref)
	if err != nil {
		return false, err
	}
	_, err = c.ctrd.ImageService().Get(c.in(ctx), name)
	if err != nil && !errdefs.IsNotFound(err) {
		return false, fmt.Errorf("read image %s: %w", name, err)
	}
	return err == nil, nil
}
