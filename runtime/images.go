package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/imagename"
)

// fullName completes a name as docker does: dinov2 is docker.io/library/dinov2:latest.
func fullName(ref string) (string, error) {
	named, err := imagename.Parse(ref)
	if err != nil {
		return "", finding.Errorf(finding.StatusUsage, "a name looks like dinov2, dinov2:v1 or registry.example/team/dinov2:v1", "image %q: %w", ref, err)
	}
	return named.Full(), nil
}

// platformOf returns the matcher of os/arch[/variant], "" being this machine's.
func platformOf(platform string) (platforms.MatchComparer, error) {
	if platform == "" {
		return platforms.Default(), nil
	}
	p, err := platforms.Parse(platform)
	if err != nil {
		return nil, finding.Errorf(finding.StatusUsage, "a platform looks like linux/amd64 or linux/arm64/v8", "platform %q: %w", platform, err)
	}
	return platforms.Only(p), nil
}

// getImage returns the image of that full name; one that is not here gives an error that says where it is.
func (c *Client) getImage(ctx context.Context, name string) (images.Image, error) {
	img, err := c.ctrd.ImageService().Get(ctx, name)
	if errdefs.IsNotFound(err) {
		return img, c.absent(ctx, name, nil)
	}
	if err != nil {
		return img, fmt.Errorf("read image %s: %w", name, err)
	}
	return img, nil
}

// A FoundImage is an image that is present, as FindImage met it: to inspect it nobody is asked for it again.
type FoundImage struct {
	Name   string        // full reference
	record *images.Image // nil where it came by a pull
}

// EnsureImage makes the image present by the profile's pull_policy and returns its full reference.
func (c *Client) EnsureImage(ctx context.Context, ref, platform, policy string) (string, error) {
	found, err := c.FindImage(ctx, ref, platform, policy)
	return found.Name, err
}

// FindImage is EnsureImage for those who inspect the image next.
func (c *Client) FindImage(ctx context.Context, ref, platform, policy string) (FoundImage, error) {
	ctx = c.in(ctx)
	name, err := fullName(ref)
	if err != nil {
		return FoundImage{}, err
	}
	c.holdImage(name)
	if policy == "always" {
		c.imagesAsked.Store(name, noAnswer) // of before
		return c.pulled(ctx, ref, platform)
	}
	img, err := c.askedImage(ctx, name)
	switch {
	case err == nil && outdated(img, policy, time.Now()):
		return c.refreshed(ctx, ref, platform, img)
	case err == nil:
		return FoundImage{Name: name, record: &img}, nil
	case !errdefs.IsNotFound(err):
		return FoundImage{}, fmt.Errorf("read image %s: %w", name, err)
	case policy == "never":
		return FoundImage{}, c.absent(ctx, name, nil)
	}
	return c.pulled(ctx, ref, platform)
}

// An imageAnswer is what containerd said of an image.
type imageAnswer struct {
	images.Image
	err error
}

// noAnswer is in the place of an answer that has been taken, or comes too late.
var noAnswer chan imageAnswer

// FindAhead asks for an image that FindImage will be asked for, together with what else is under way on the connection.
func (c *Client) FindAhead(ctx context.Context, ref string) {
	name, err := fullName(ref)
	if err != nil {
		return // FindImage says so
	}
	c.holdImage(name)
	answer := make(chan imageAnswer, 1)
	if _, late := c.imagesAsked.LoadOrStore(name, answer); late { // FindImage has been there: what it has found may change
		return
	}
	img, err := c.ctrd.ImageService().Get(c.in(ctx), name)
	answer <- imageAnswer{img, err}
}

// askedImage is the answer that FindAhead is waiting for, once; or a fresh one.
func (c *Client) askedImage(ctx context.Context, name string) (images.Image, error) {
	if asked, ok := c.imagesAsked.Swap(name, noAnswer); ok && asked != noAnswer {
		select {
		case a := <-asked.(chan imageAnswer):
			return a.Image, a.err
		case <-ctx.Done():
			return images.Image{}, context.Cause(ctx)
		}
	}
	return c.ctrd.ImageService().Get(ctx, name)
}

// layerKey names the note of an image's chain ID in the cache.
func (c *Client) layerKey(ref, platform string) (string, bool) {
	name, err := fullName(ref)
	return fmt.Sprintf("image/layer-%s.json", hashOf(cacheFormat, c.opt.Address, c.opt.Namespace, name, platform)), err == nil
}

// LikelyLayer is the chain ID that an image had when NoteLayer was last called, before anybody is asked; "" if it is not known.
func (c *Client) LikelyLayer(ref, platform string) (chainID string) {
	if key, ok := c.layerKey(ref, platform); ok {
		c.cached(key, &chainID)
	}
	return chainID
}

// NoteLayer keeps an image's chain ID for the next LikelyLayer.
func (c *Client) NoteLayer(ref, platform, chainID string) {
	if key, ok := c.layerKey(ref, platform); ok && c.LikelyLayer(ref, platform) != chainID {
		c.cache(key, chainID)
	}
}

func (c *Client) pulled(ctx context.Context, ref, platform string) (FoundImage, error) {
	name, err := c.Pull(ctx, ref, platform)
	return FoundImage{Name: name}, err
}

// Images lists the namespace's images by name.
func (c *Client) Images(ctx context.Context) ([]ImageInfo, error) {
	ctx = c.in(ctx)
	all, err := c.ctrd.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the images: %w", err)
	}
	list := make([]ImageInfo, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, img := range all {
		g.Go(func() error {
			list[i] = c.describeImage(ctx, img)
			return nil
		})
	}
	_ = g.Wait()
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// describeImage counts what is there of the image: an archive or a pull may have brought one platform of many.
func (c *Client) describeImage(ctx context.Context, img images.Image) ImageInfo {
	info := ImageInfo{Schema: 1, Name: img.Name, Digest: img.Target.Digest.String(), Platforms: []string{}, CreatedAt: img.CreatedAt}
	store := c.ctrd.ContentStore()
	found, _ := images.Platforms(ctx, store, img.Target)
	for _, p := range found {
		one := platforms.OnlyStrict(p)
		if ok, _, _, missing, err := images.Check(ctx, store, img.Target, one); err != nil || !ok || len(missing) > 0 {
			continue
		}
		info.Platforms = append(info.Platforms, platforms.Format(p))
		if size, err := img.Size(ctx, store, one); err == nil {
			info.Size += size
		}
	}
	if desc, err := img.Config(ctx, store, platforms.Default()); err == nil {
		info.ID = desc.Digest.String()
		var config ocispec.Image
		if text, err := content.ReadBlob(ctx, store, desc); err == nil && json.Unmarshal(text, &config) == nil {
			info.BuiltAt = config.Created
		}
	}
	return info
}

// Save writes images as one archive that docker load and hostrun load read.
func (c *Client) Save(ctx context.Context, refs []string, w io.Writer) error {
	ctx = c.in(ctx)
	opts := []archive.ExportOpt{archive.WithSkipMissing(c.ctrd.ContentStore())}
	for _, ref := range refs {
		name, err := fullName(ref)
		if err != nil {
			return err
		}
		img, err := c.getImage(ctx, name)
		if err != nil {
			return err
		}
		if err := c.complete(ctx, img); err != nil {
			return err
		}
		opts = append(opts, archive.WithImages([]images.Image{img}))
	}
	if err := c.ctrd.Export(ctx, w, append(opts, archive.WithAllPlatforms())...); err != nil {
		return fmt.Errorf("save the images: %w", err)
	}
	return nil
}

// complete makes sure that at least one platform of the image is there as a whole.
func (c *Client) complete(ctx context.Context, img images.Image) error {
	if len(c.describeImage(ctx, img).Platforms) > 0 {
		return nil
	}
	return finding.Errorf(finding.StatusFailed, "fetch it again: hostrun pull "+familiar(img.Name), "image %s: content is missing from containerd's store", img.Name)
}

// EventName is an image's name as the IDs of events have it: "nginx:latest" for nginx.
func EventName(ref string) string {
	full, err := fullName(ref)
	if err != nil {
		return ref
	}
	return familiar(full)
}

func familiar(name string) string {
	named, err := imagename.Parse(name)
	if err != nil {
		return name
	}
	return named.Familiar()
}

// RemoveImage deletes an image that no container uses; force deletes it all the same.
func (c *Client) RemoveImage(ctx context.Context, ref string, force bool) error {
	ctx = c.in(ctx)
	name, err := fullName(ref)
	if err != nil {
		return err
	}
	if _, err := c.getImage(ctx, name); err != nil {
		return err
	}
	if users, err := c.usersOf(ctx, name); err != nil {
		return err
	} else if len(users) > 0 && !force {
		return finding.Errorf(finding.StatusFailed, "hostrun down "+users[0]+"\nor delete it all the same: hostrun rmi --force "+ref,
			"remove image %s: container %s uses it", name, users[0])
	}
	if err := c.ctrd.ImageService().Delete(ctx, name, images.SynchronousDelete()); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove image %s: %w", name, err)
	}
	return nil
}

func (c *Client) usersOf(ctx context.Context, image string) ([]string, error) {
	all, err := c.ctrd.ContainerService().List(ctx, fmt.Sprintf("image==%q", image))
	if err != nil {
		return nil, fmt.Errorf("look for containers of image %s: %w", image, err)
	}
	var ids []string
	for _, r := range all {
		if !abandoned(r) {
			ids = append(ids, r.ID)
		}
	}
	sort.Strings(ids)
	return ids, nil
}

// unpackName unpacks the image for the snapshotter in use. That happens by itself after pull and load; an image that
// came by other tools, or for another snapshotter, lacks it.
func (c *Client) unpackName(ctx context.Context, name string) error {
	img, err := c.getImage(ctx, name)
	if err != nil {
		return err
	}
	return c.unpack(ctx, img, platforms.Default())
}

func (c *Client) unpack(ctx context.Context, img images.Image, match platforms.MatchComparer) error {
	sn, err := c.snapshotter(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	c.progress("Image "+familiar(img.Name), "Unpacking", "")
	err = containerd.NewImageWithPlatform(c.ctrd, img, match).Unpack(ctx, sn)
	switch {
	case err == nil:
		c.progress("Image "+familiar(img.Name), "Unpacked", time.Since(begun).Round(100*time.Millisecond).String())
		return nil
	case noSpace(err):
		return fullError("unpack image "+img.Name, err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return damaged(img.Name, err)
}

func damaged(name string, err error) error {
	return &finding.Err{Err: fmt.Errorf("unpack image %s: %w", name, plainError(err)), Status: finding.StatusFailed,
		Hint: "the image's content is damaged or incomplete: save, copy or pull it again"}
}

var errNoPlatform = errors.New("no such platform in the image")

// manifestOf returns the manifest for the platform; errNoPlatform if the image has others only.
func (c *Client) manifestOf(ctx context.Context, img images.Image, match platforms.MatchComparer) (ocispec.Manifest, error) {
	m, err := images.Manifest(ctx, c.ctrd.ContentStore(), img.Target, match)
	if errdefs.IsNotFound(err) {
		return m, errors.Join(errNoPlatform, err)
	}
	return m, err
}
