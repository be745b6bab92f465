package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/imagename"
)

// Load imports and unpacks a docker-save or OCI archive, checks its digests, and returns the names of the images. name,
// if not empty, is given to an archive that names none. When it fails, nothing of the archive stays.
func (c *Client) Load(ctx context.Context, archive io.Reader, name string) ([]string, error) {
	ctx = c.in(ctx)
	if name != "" {
		full, err := fullName(name)
		if err != nil {
			return nil, err
		}
		name = full
	}
	before, err := c.ctrd.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the images: %w", err)
	}
	leased, release, err := c.leased(ctx)
	if err != nil {
		return nil, err
	}
	counter := c.counted(archive)
	imgs, err := c.importArchive(leased, counter, name)
	counter.stop()
	if err == nil {
		imgs, err = c.renamed(leased, imgs)
	}
	for i := 0; err == nil && i < len(imgs); i++ {
		err = c.accept(leased, imgs[i])
	}
	if err != nil {
		c.withdraw(ctx, before, imgs)
	}
	release()
	if err != nil {
		return nil, err
	}
	return names(imgs), nil
}

func names(imgs []images.Image) []string {
	list := make([]string, len(imgs))
	for i := range imgs {
		list[i] = imgs[i].Name
	}
	return list
}

func (c *Client) importArchive(ctx context.Context, r io.Reader, name string) ([]images.Image, error) {
	plain, err := compression.DecompressStream(r)
	if err != nil {
		return nil, fmt.Errorf("load the archive: %w", err)
	}
	defer plain.Close()
	imgs, err := c.ctrd.Import(ctx, plain,
		containerd.WithAllPlatforms(true), // another platform's image is kept; plan tells what it is
		containerd.WithSkipMissing(),      // archives of one platform carry the index of all
		containerd.WithImageRefTranslator(func(ref string) string { return archiveName(ref, name) }),
		containerd.WithDigestRef(func(digest.Digest) string { return name }),
		containerd.WithSkipDigestRef(func(given string) bool { return given != "" || name == "" }))
	switch {
	case err == nil && len(imgs) == 0:
		return nil, finding.Errorf(finding.StatusFailed, "give it one: hostrun load --name NAME", "load the archive: it names no image")
	case err == nil:
		return imgs, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case noSpace(err):
		return nil, fullError("load the archive", err)
	}
	return nil, &finding.Err{Err: fmt.Errorf("load the archive: %w", plainError(err)), Status: finding.StatusFailed,
		Hint: "it must be what docker save or an OCI image layout as tar gives, uncompressed or gzip or zstd, and whole"}
}

// renamed completes names that the archive gives in short (io.containerd.image.name is taken as it is written).
func (c *Client) renamed(ctx context.Context, imgs []images.Image) ([]images.Image, error) {
	for i, img := range imgs {
		name, err := fullName(img.Name)
		if err != nil || name == img.Name {
			continue // a digest or a foreign convention: leave it
		}
		if imgs[i], err = c.renamedTo(ctx, img, name); err != nil {
			return imgs, err
		}
	}
	return imgs, nil
}

// renamedTo gives an image another name, and takes its present one.
func (c *Client) renamedTo(ctx context.Context, img images.Image, name string) (images.Image, error) {
	store := c.ctrd.ImageService()
	full := images.Image{Name: name, Target: img.Target, Labels: img.Labels}
	_, err := store.Create(ctx, full)
	if errdefs.IsAlreadyExists(err) {
		_, err = store.Update(ctx, full, "target")
	}
	if err != nil {
		return img, fmt.Errorf("name image %s: %w", name, err)
	}
	if err := store.Delete(ctx, img.Name); err != nil && !errdefs.IsNotFound(err) {
		return full, fmt.Errorf("rename image %s: %w", img.Name, err)
	}
	return full, nil
}

// archiveName reads org.opencontainers.image.ref.name: tools write a full name there, or only a tag.
func archiveName(ref, name string) string {
	if strings.ContainsAny(ref, "/:") {
		if full, err := fullName(ref); err == nil {
			return full
		}
	}
	named, err := imagename.Parse(name)
	if name == "" || err != nil {
		return ""
	}
	tagged, ok := named.WithTag(ref)
	if !ok {
		return name
	}
	return tagged.Full()
}

// accept unpacks the image if it is this machine's; every byte is then proved against the digests of manifest and
// configuration. Of another platform's image it proves that the content is there.
func (c *Client) accept(ctx context.Context, img images.Image) error {
	_, err := c.manifestOf(ctx, img, platforms.Default())
	if err != nil && !errors.Is(err, errNoPlatform) {
		return damaged(img.Name, err)
	}
	if complete := c.complete(ctx, img); complete != nil {
		return damaged(img.Name, complete)
	}
	if err == nil && c.runsHere(ctx, img) {
		return c.unpack(ctx, img, platforms.Default())
	}
	c.opt.Log.Warn("the image is for another platform", "image", img.Name)
	return nil
}

// runsHere looks at the configuration: a lone manifest says nothing of its platform.
func (c *Client) runsHere(ctx context.Context, img images.Image) bool {
	found, err := images.Platforms(ctx, c.ctrd.ContentStore(), img.Target)
	if err != nil {
		return true // let unpacking tell what is wrong
	}
	for _, p := range found {
		if platforms.Default().Match(p) {
			return true
		}
	}
	return false
}

// withdraw takes back names that a failed load has given or moved; the content goes with the lease.
func (c *Client) withdraw(ctx context.Context, before, imgs []images.Image) {
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	old := map[string]images.Image{}
	for _, img := range before {
		old[img.Name] = img
	}
	for _, img := range imgs {
		var err error
		if was, ok := old[img.Name]; ok {
			_, err = c.ctrd.ImageService().Update(free, was, "target")
		} else {
			err = c.ctrd.ImageService().Delete(free, img.Name)
		}
		if err != nil && !errdefs.IsNotFound(err) {
			c.opt.Log.Warn("withdraw image", "image", img.Name, "error", err)
		}
	}
}

// leased keeps content from the garbage collector until release, which collects what nobody names. The lease ends by
// itself after a day, and with the first Load or Pull after the death of its owner.
func (c *Client) leased(ctx context.Context) (leased context.Context, release func(), err error) {
	c.sweepLeases(ctx)
	l, err := c.ctrd.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(24*time.Hour),
		leases.WithLabels(map[string]string{labelCreator: creator()}))
	if err != nil {
		return nil, nil, fmt.Errorf("lease containerd's content: %w", err)
	}
	release = func() {
		free, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := c.ctrd.LeasesService().Delete(free, l, leases.SynchronousDelete); err != nil && !errdefs.IsNotFound(err) {
			c.opt.Log.Warn("end the lease", "error", err)
		}
	}
	return leases.WithLease(ctx, l.ID), release, nil
}

func (c *Client) sweepLeases(ctx context.Context) {
	all, err := c.ctrd.LeasesService().List(ctx, `labels."`+labelCreator+`"`)
	if err != nil {
		return
	}
	for _, l := range all {
		if !alive(l.Labels[labelCreator]) {
			_ = c.ctrd.LeasesService().Delete(ctx, l)
		}
	}
}

// A counting reader reports twice a second how much of the archive has been read.
type counting struct {
	r    io.Reader
	n    atomic.Int64
	done chan struct{}
}

func (c *Client) counted(r io.Reader) *counting {
	k := &counting{r: r, done: make(chan struct{})}
	var total int64
	if f, ok := r.(*os.File); ok {
		if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() {
			total = fi.Size()
		}
	}
	go k.report(func(n int64) { c.progressBytes(Event{ID: "Archive", Status: "Loading", Current: n, Total: total}) })
	return k
}

func (k *counting) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	k.n.Add(int64(n))
	return n, err
}

func (k *counting) report(show func(int64)) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			show(k.n.Load())
		case <-k.done:
			return
		}
	}
}

func (k *counting) stop() { close(k.done) }
