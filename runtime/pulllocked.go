package runtime

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/imagename"
)

// FindLocked is FindImage for an image whose name stands for the digest: one that is not here is pulled by it, unless the policy is
// "never". One that is here is returned as it is; whether that is the locked one is for the caller to compare.
func (c *Client) FindLocked(ctx context.Context, ref, platform, policy, locked string) (FoundImage, error) {
	found, err := c.FindImage(ctx, ref, platform, "never")
	if err == nil || policy == "never" {
		return found, err
	}
	name, nameErr := fullName(ref)
	if nameErr != nil {
		return FoundImage{}, nameErr
	}
	if _, there := c.ctrd.ImageService().Get(c.in(ctx), name); !errdefs.IsNotFound(there) {
		return FoundImage{}, err
	}
	_, err = c.PullLocked(ctx, ref, platform, locked)
	return FoundImage{Name: name}, err
}

// PullLocked pulls the image of that digest from the repository of ref, and gives it the name, whatever the name stood for before. It
// returns the reference with the digest.
func (c *Client) PullLocked(ctx context.Context, ref, platform, locked string) (string, error) {
	named, err := imagename.Parse(ref)
	if err != nil {
		return "", finding.Errorf(finding.StatusUsage, "", "image %q: %w", ref, err)
	}
	exact := imagename.Name{Domain: named.Domain, Path: named.Path, Digest: digest.Digest(locked)}
	if err := exact.Digest.Validate(); err != nil {
		return "", finding.Errorf(finding.StatusProfile, "hostrun lock writes it anew", "image %s: the lock's digest %q: %w", ref, locked, err)
	}
	_, err = c.ctrd.ImageService().Get(c.in(ctx), exact.Full())
	known := err == nil
	if _, err := c.Pull(ctx, exact.Full(), platform); err != nil || named.Full() == exact.Full() {
		return exact.Full(), err
	}
	ctx = c.in(ctx)
	img, err := c.getImage(ctx, exact.Full())
	if err != nil {
		return "", err
	}
	if err := c.nameImage(ctx, images.Image{Name: named.Full(), Target: img.Target, Labels: img.Labels}); err != nil {
		return "", err
	}
	if !known { // nobody has asked for this name
		if err := c.ctrd.ImageService().Delete(ctx, exact.Full()); err != nil && !errdefs.IsNotFound(err) {
			c.opt.Log.Warn("remove the image's second name", "image", exact.Full(), "error", err)
		}
	}
	return exact.Full(), nil
}

// nameImage has the name stand for the image.
func (c *Client) nameImage(ctx context.Context, img images.Image) error {
	c.imagesAsked.Store(img.Name, noAnswer) // of before
	_, err := c.ctrd.ImageService().Create(ctx, img)
	if errdefs.IsAlreadyExists(err) {
		_, err = c.ctrd.ImageService().Update(ctx, img, "target", "labels."+labelPulledAt)
	}
	if err != nil {
		return fmt.Errorf("name image %s: %w", img.Name, err)
	}
	return nil
}
