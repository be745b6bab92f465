package runtime

import (
	"context"
	"time"

	"github.com/containerd/containerd/v2/core/images"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// labelPulledAt is when an image was pulled last, or looked for in its registry. One that was loaded has none.
const labelPulledAt = "hostrun.dev/pulled-at"

// outdated reports whether the policy wants the image from its registry again. Where it is not known when it was pulled, the last
// change of its record counts.
func outdated(img images.Image, policy string, now time.Time) bool {
	age, timed := profiles.PullAge(policy)
	if !timed {
		return false
	}
	last := img.UpdatedAt
	if at := labelTime(img.Labels, labelPulledAt); at != nil {
		last = *at
	}
	return now.Sub(last) >= age
}

// refreshed pulls an image that is here. A registry that can't be reached is no reason not to start with what is here.
func (c *Client) refreshed(ctx context.Context, ref, platform string, have images.Image) (FoundImage, error) {
	found, err := c.pulled(ctx, ref, platform)
	if err != nil && ctx.Err() == nil && finding.StatusOf(err) == finding.StatusTryAgain {
		c.opt.Log.Warn("pull the image again: the one that is here is taken", "image", have.Name, "error", err)
		return FoundImage{Name: have.Name, record: &have}, nil
	}
	return found, err
}

// notePull writes down that the image has been pulled now.
func (c *Client) notePull(ctx context.Context, name string) {
	img := images.Image{Name: name, Labels: map[string]string{labelPulledAt: timeLabel(time.Now())}}
	if _, err := c.ctrd.ImageService().Update(ctx, img, "labels."+labelPulledAt); err != nil {
		c.opt.Log.Debug("note the pull", "image", name, "error", err)
	}
}
