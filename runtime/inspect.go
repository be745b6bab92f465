package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// cacheFormat changes when the meaning of what is cached does.
const cacheFormat = "2"

// Inspect reads the image's configuration and files: no process, no mount or snapshot is left. What it finds wrong with
// the image is in the result's findings; the error is for an image that is not there (with where it is, if it is
// elsewhere) or can't be read. Everything is content-addressed, so what was read once is never read again.
func (c *Client) Inspect(ctx context.Context, ref, platform string, needs plan.ImageNeeds) (plan.Image, error) {
	name, err := fullName(ref)
	if err != nil {
		return plan.Image{}, err
	}
	return c.InspectFound(ctx, FoundImage{Name: name}, platform, needs)
}

// InspectFound is Inspect for an image that FindImage has met.
func (c *Client) InspectFound(ctx context.Context, found FoundImage, platform string, needs plan.ImageNeeds) (plan.Image, error) {
	ctx = c.in(ctx)
	name := found.Name
	if found.record == nil {
		record, err := c.getImage(ctx, name)
		if err != nil {
			return plan.Image{}, err
		}
		found.record = &record
	}
	record := *found.record
	img, err := c.configOf(ctx, record, platform)
	if err != nil {
		return plan.Image{}, fmt.Errorf("inspect image %s: %w", name, err)
	}
	img.Reference, img.Digest = name, record.Target.Digest.String()
	if !here(img) {
		return img, nil // plan says that it does not fit; its files are nobody's business
	}
	files, err := c.filesOf(ctx, name, img, needs)
	if err != nil {
		return plan.Image{}, fmt.Errorf("inspect image %s: %w", name, err)
	}
	img.Pythons, img.Sites, img.Packages, img.Frameworks = files.Pythons, files.Sites, files.Packages, files.Frameworks
	img.Users, img.Groups, img.Paths, img.Findings = files.Users, files.Groups, files.Paths, files.Findings
	return img, nil
}

// here reports whether this machine runs the image's programs.
func here(img plan.Image) bool {
	return platforms.Default().Match(platforms.Normalize(ocispec.Platform{OS: img.OS, Architecture: img.Arch, Variant: img.Variant}))
}

// configOf reads the configuration for the platform, or for whatever platform there is.
func (c *Client) configOf(ctx context.Context, record images.Image, platform string) (plan.Image, error) {
	match, err := platformOf(platform)
	if err != nil {
		return plan.Image{}, err
	}
	var img plan.Image
	key := fmt.Sprintf("image/config-%s.json", hashOf(cacheFormat, record.Target.Digest.String(), platform, build()))
	if c.cached(key, &img) && img.ChainID != "" {
		return img, nil
	}
	manifest, err := c.manifestOf(ctx, record, match)
	if errors.Is(err, errNoPlatform) {
		manifest, err = c.manifestOf(ctx, record, platforms.All)
	}
	if errors.Is(err, errNoPlatform) {
		return img, finding.Errorf(finding.StatusFailed, "fetch or load it again", "its content is missing from containerd's store")
	}
	if err != nil {
		return img, err
	}
	raw, err := content.ReadBlob(ctx, c.ctrd.ContentStore(), manifest.Config)
	if err != nil {
		return img, fmt.Errorf("read its configuration: %w", plainError(err))
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return img, fmt.Errorf("read its configuration: %w", err)
	}
	img = imageOf(config, stopSignalOf(raw))
	img.Healthcheck = healthcheckOf(raw)
	c.cache(key, img)
	return img, nil
}

// stopSignalOf is image-spec's config.StopSignal, which docker writes as well.
func stopSignalOf(raw []byte) string {
	var v struct{ Config struct{ StopSignal string } }
	_ = json.Unmarshal(raw, &v)
	return v.Config.StopSignal
}

// healthcheckOf is docker's HEALTHCHECK, which image-spec leaves to whom it may concern (moby, docker image specification 1.2,
// "Healthcheck"). A command for a shell is run by the image's SHELL. nil without one, and for one that is NONE.
func healthcheckOf(raw []byte) *profiles.Healthcheck {
	var v struct {
		Config struct {
			Shell       []string
			Healthcheck *struct {
				Test                                          []string
				Interval, Timeout, StartPeriod, StartInterval time.Duration // ns
				Retries                                       int
			}
		} `json:"config"`
	}
	if json.Unmarshal(raw, &v) != nil || v.Config.Healthcheck == nil {
		return nil
	}
	h := v.Config.Healthcheck
	check := &profiles.Healthcheck{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries}
	switch {
	case len(h.Test) > 1 && h.Test[0] == "CMD-SHELL" && len(v.Config.Shell) > 0:
		check.Test = append(append([]string{"CMD"}, v.Config.Shell...), strings.Join(h.Test[1:], " "))
	case len(h.Test) > 1 && h.Test[0] == "CMD-SHELL":
		check.Test = []string{"CMD-SHELL", strings.Join(h.Test[1:], " ")}
	case len(h.Test) > 1 && h.Test[0] == "CMD":
	default:
		return nil
	}
	return check
}

func imageOf(i ocispec.Image, stopSignal string) plan.Image {
	p := platforms.Normalize(i.Platform)
	return plan.Image{ChainID: identity.ChainID(i.RootFS.DiffIDs).String(), OS: p.OS, Arch: p.Architecture, Variant: p.Variant,
		Env: i.Config.Env, Entrypoint: i.Config.Entrypoint, Cmd: i.Config.Cmd, WorkingDir: i.Config.WorkingDir, User: i.Config.User,
		StopSignal: stopSignal, Labels: i.Config.Labels, Volumes: slices.Sorted(maps.Keys(i.Config.Volumes))}
}

// filesOf reads what needs asks for in the image's files.
func (c *Client) filesOf(ctx context.Context, name string, img plan.Image, needs plan.ImageNeeds) (plan.Image, error) {
	asked, err := json.Marshal(needs)
	if err != nil {
		return img, err
	}
	env, err := json.Marshal([]any{img.Env, img.Entrypoint, img.Cmd}) // where to look for the interpreter
	if err != nil {
		return img, err
	}
	var files plan.Image
	key := fmt.Sprintf("image/files-%s.json", hashOf(cacheFormat, img.ChainID, string(asked), string(env), build()))
	if c.cached(key, &files) && files.ChainID == img.ChainID {
		return files, nil
	}
	c.progress("Image "+familiar(name), "Inspecting", "")
	view, done, err := c.view(ctx, name, img.ChainID)
	if err != nil {
		return img, err
	}
	files = readFiles(view, img, needs)
	if err := done(); err != nil {
		return img, err
	}
	c.cache(key, files)
	return files, nil
}
