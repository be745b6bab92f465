package runtime

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"

	"hostrun.dev/hostrun/finding"
)

// absent is the error for an image that is not in the namespace: with the reason why it could not be pulled, if that
// was tried, and with the places where an image of that name is.
func (c *Client) absent(ctx context.Context, name string, pulled error) error {
	status, text, hint := finding.StatusFailed, "it is not in containerd's namespace "+c.opt.Namespace, "hostrun pull "+familiar(name)+"\nor load an archive of it: docker save "+familiar(name)+" | hostrun load"
	if pulled != nil {
		status, text, hint = pullError(name, pulled)
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 300*time.Millisecond)
	defer cancel()
	var hints []string
	if hint != "" {
		hints = append(hints, hint)
	}
	if found := c.elsewhere(short, name); len(found) > 0 {
		hints = found // better than anything else: it is on this machine
	} else if near := c.nearest(short, name); near != "" {
		hints = append([]string{"did you mean " + near + "?"}, hints...)
	}
	return &finding.Err{Err: fmt.Errorf("image %s: %s", name, text), Status: status, Hint: strings.Join(hints, "\n")}
}

// elsewhere looks for the name in containerd's other namespaces and in Docker, at once.
func (c *Client) elsewhere(ctx context.Context, name string) []string {
	var wg sync.WaitGroup
	var spaces []string
	var inDocker bool
	wg.Go(func() { spaces = c.otherNamespaces(ctx, name) })
	wg.Go(func() { inDocker = dockerHas(ctx, name) })
	wg.Wait()
	short, into := familiar(name), ""
	if c.opt.Namespace != "hostrun" {
		into = " --namespace " + c.opt.Namespace
	}
	var hints []string
	for _, ns := range spaces {
		hints = append(hints, fmt.Sprintf("it is in containerd's namespace %s: hostrun --namespace %s save %s | hostrun%s load", ns, ns, short, into))
	}
	if inDocker {
		hints = append(hints, fmt.Sprintf("it is in Docker: hostrun%s pull %s%s", into, DockerDaemon, short))
	}
	return hints
}

func (c *Client) otherNamespaces(ctx context.Context, name string) []string {
	all, err := c.ctrd.NamespaceService().List(ctx)
	if err != nil {
		return nil
	}
	var found []string
	for _, ns := range all {
		if ns == c.opt.Namespace {
			continue
		}
		if _, err := c.ctrd.ImageService().Get(namespaces.WithNamespace(ctx, ns), name); err == nil {
			found = append(found, ns)
		}
	}
	sort.Strings(found)
	return found
}

// dockerHas asks the local Docker, if there is one.
func dockerHas(ctx context.Context, name string) bool {
	d, err := localDocker()
	if err != nil {
		return false
	}
	_, err = d.image(ctx, name)
	return err == nil
}

// nearest returns the image of the namespace whose name differs least, if that is little.
func (c *Client) nearest(ctx context.Context, name string) string {
	all, err := c.ctrd.ImageService().List(ctx)
	if err != nil {
		return ""
	}
	want := familiar(name)
	best, least := "", max(2, len(want)/4)+1
	for _, img := range all {
		have := familiar(img.Name)
		d := min(finding.Distance(want, have), finding.Distance(tagless(want), tagless(have))+1)
		if d < least || d == least && have < best {
			best, least = have, d
		}
	}
	return best
}

func tagless(name string) string {
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i]
	}
	return name
}
