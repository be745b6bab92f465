package integration

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

func (w *world) imageNames() string {
	w.t.Helper()
	all, err := w.c.Images(context.Background())
	ok(w.t, err)
	var names []string
	for _, i := range all {
		if i.Size == 0 || len(i.Platforms) == 0 || !strings.HasPrefix(i.Digest, "sha256:") {
			w.t.Errorf("image: %+v", i)
		}
		names = append(names, i.Name)
	}
	return strings.Join(names, " ")
}

// content are the files of containerd's store: what a failure must not leave.
func (w *world) content() int {
	files, _ := filepath.Glob(w.ctrd.Path("root", "io.containerd.content.v1.content", "blobs", "sha256", "*"))
	return len(files)
}

func TestRuntimeImages(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		ok(t, w.c.RemoveImage(ctx, "busybox", false))
		equal(t, "after rmi", w.imageNames(), "")
		equal(t, "content after rmi", w.content(), 0)

		img := fixture.BusyboxImage(t, "tiny:v1")
		names, err := w.c.Load(ctx, img.DockerArchive(), "")
		ok(t, err)
		equal(t, "docker archive", strings.Join(names, " "), "docker.io/library/tiny:v1")
		img.Name = ""
		_, err = w.c.Load(ctx, img.Archive(), "")
		refused(t, "no name", err, 1, "names no image", "--name")
		names, err = w.c.Load(ctx, img.Archive(), "given")
		ok(t, err)
		equal(t, "named", strings.Join(names, " "), "docker.io/library/given:latest")
		equal(t, "images", w.imageNames(), "docker.io/library/given:latest docker.io/library/tiny:v1")

		var saved bytes.Buffer
		ok(t, w.c.Save(ctx, []string{"tiny:v1", "given"}, &saved))
		ok(t, w.c.RemoveImage(ctx, "tiny:v1", false))
		ok(t, w.c.RemoveImage(ctx, "given", false))
		names, err = w.c.Load(ctx, &saved, "")
		ok(t, err)
		slices.Sort(names)
		equal(t, "loaded again", strings.Join(names, " "), "docker.io/library/given:latest docker.io/library/tiny:v1")

		w.load(fixture.BusyboxImage(t, busybox))
		w.up(w.plan("user", "sleep", "1000"), "created")
		refused(t, "rmi of one in use", w.c.RemoveImage(ctx, "busybox", false), 1, "container user uses it", "hostrun down user")
		ok(t, w.c.Remove(ctx, "user", true))
		ok(t, w.c.RemoveImage(ctx, "busybox", false))
		w.clean()
	})
}

// TestRuntimeDamagedArchive: a flipped byte, half an archive, and no archive are one error each, and leave nothing.
func TestRuntimeDamagedArchive(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		img := fixture.BusyboxImage(t, "broken")
		img.Layers[0] = append(img.Layers[0], fixture.Entry{Name: "etc/other", Mode: 0o644, Body: []byte("not the layer that is here")})
		whole, err := io.ReadAll(img.Archive())
		ok(t, err)
		flipped := bytes.Replace(whole, []byte("root:x:0:0:root"), []byte("toor:x:0:0:toor"), 1)
		before := w.content()
		for name, archive := range map[string][]byte{"flipped": flipped, "half": whole[:len(whole)/2], "noise": []byte(strings.Repeat("noise", 1000)), "empty": nil} {
			_, err := w.c.Load(ctx, bytes.NewReader(archive), "broken")
			refused(t, name, err, 1)
			equal(t, name+": images", w.imageNames(), busybox)
			equal(t, name+": content", w.content(), before)
		}
		w.clean()
	})
}

// TestRuntimeDiskFull: containerd's disk is full while an archive is loaded.
func TestRuntimeDiskFull(t *testing.T) {
	for _, e := range fixture.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			small := filepath.Join(t.TempDir(), "root")
			ok(t, os.Mkdir(small, 0o700))
			ok(t, syscall.Mount("tmpfs", small, "tmpfs", 0, "size=6m"))
			t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
			w := newWorld(t, fixture.StartContainerd(t, e.Binary, fixture.Root(small)))
			big := fixture.BusyboxImage(t, "big")
			big.Layers = append(big.Layers, []fixture.Entry{{Name: "ballast", Mode: 0o644, Body: noise(4 << 20)}})
			for range 2 { // the first failure leaves room for the second
				_, err := w.c.Load(context.Background(), big.Archive(), "")
				refused(t, "load", err, 1, "no space left on the disk of containerd", "make room")
				equal(t, "images", w.imageNames(), "")
				blobs, _ := filepath.Glob(filepath.Join(small, "io.containerd.content.v1.content", "blobs", "sha256", "*"))
				equal(t, "blobs", len(blobs), 0)
			}
			w.load(fixture.BusyboxImage(t, busybox))
			equal(t, "a small one", w.imageNames(), busybox)
			w.clean()
		})
	}
}

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// TestRuntimePull: by name from a registry that breaks the transfer twice; what has arrived is not fetched again.
func TestRuntimePull(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		registry := fixture.StartRegistry(t)
		registry.Add("team/tool:v1", fixture.BusyboxImage(t, ""))
		ok(t, w.c.RemoveImage(ctx, "busybox", false))
		registry.Break(2)
		var mu sync.Mutex
		seen := map[string]bool{}
		opt := w.opt
		opt.Progress = func(e runtime.Event) { mu.Lock(); seen[e.Status] = true; mu.Unlock() }
		c, err := runtime.Open(ctx, opt)
		ok(t, err)
		defer c.Close()
		ref := registry.Host + "/team/tool:v1"
		name, err := c.EnsureImage(ctx, ref, "", "missing")
		ok(t, err)
		equal(t, "name", name, ref)
		for _, status := range []string{"Pulling", "Pulled"} {
			if !seen[status] {
				t.Errorf("no event %q in %v", status, seen)
			}
		}
		if registry.Resumed() == 0 {
			t.Error("the transfer began anew")
		}
		equal(t, "images", w.imageNames(), ref)
		newer := fixture.BusyboxImage(t, "")
		newer.Layers = append(newer.Layers, []fixture.Entry{{Name: "newer", Dir: true, Mode: 0o755}})
		registry.Add("team/tool:v1", newer)
		digest := func(policy string) string {
			name, err := c.EnsureImage(ctx, ref, "", policy)
			ok(t, err)
			img, err := c.Inspect(ctx, name, "", plan.ImageNeeds{})
			ok(t, err)
			return img.Digest
		}
		was := digest("missing")
		equal(t, "pulled within the hour", digest(profiles.PullEvery(time.Hour)), was)
		if digest(profiles.PullEvery(0)) == was {
			t.Error("an image that is older than its policy wants is not pulled again")
		}
		_, err = c.EnsureImage(ctx, registry.Host+"/team/none:v1", "", "missing")
		refused(t, "unknown to the registry", err, 1, "neither here nor in its registry")
		_, err = c.EnsureImage(ctx, "127.0.0.1:1/team/none:v1", "", "missing")
		refused(t, "no registry", err, 75, "connection refused")
		w.clean()
	})
}

// TestRuntimeUnknownImage says where the image is, or what is called alike.
func TestRuntimeUnknownImage(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		_, err := w.c.EnsureImage(ctx, "busybax", "", "never")
		refused(t, "alike", err, 1, "docker.io/library/busybax:latest", "did you mean busybox:latest?")
		opt := w.opt
		opt.Namespace = "other"
		other, err := runtime.Open(ctx, opt)
		ok(t, err)
		defer other.Close()
		_, err = other.Inspect(ctx, "busybox", "", plan.ImageNeeds{})
		refused(t, "elsewhere", err, 1, "namespace "+w.opt.Namespace, "hostrun --namespace "+w.opt.Namespace+" save busybox:latest | hostrun --namespace other load")
		_, err = w.c.EnsureImage(ctx, "Not A Name", "", "never")
		refused(t, "no name", err, 2, "Not A Name")
	})
}

// TestRuntimeInspect reads what is asked for, leaves nothing, and answers from the cache without the layers.
func TestRuntimeInspect(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		img := fixture.BusyboxImage(t, "layered")
		img.Layers = append(img.Layers, []fixture.Entry{{Name: "opt", Dir: true, Mode: 0o750, UID: 5}, {Name: "opt/site", Dir: true, Mode: 0o755}, {Name: "way", Link: "/opt/site"}})
		w.load(img)
		before := w.leaks().String()
		needs := plan.ImageNeeds{Python: true, Paths: []string{"/opt/site", "/way", "/nowhere/at/all"}}
		got, err := w.c.Inspect(ctx, "layered", "", needs)
		ok(t, err)
		equal(t, "left", w.leaks().String(), before)
		equal(t, "reference", got.Reference, "docker.io/library/layered:latest")
		equal(t, "chain id", got.ChainID, img.Build().ChainID)
		equal(t, "way", got.Paths["/way"].Real, "/opt/site")
		equal(t, "opt", got.Paths["/opt"].Mode, 0o750)
		equal(t, "opt's owner", got.Paths["/opt"].UID, 5)
		if _, there := got.Paths["/nowhere"]; there || len(got.Users) != 2 || got.Users[1].Name != "app" || len(got.Groups) != 3 || len(got.Pythons) != 0 {
			t.Errorf("got %+v", got)
		}
		again, err := w.c.Inspect(ctx, "layered", "", needs)
		ok(t, err)
		equal(t, "from the cache", again.Paths["/way"], got.Paths["/way"])
		for _, f := range glob(t, w.opt.CacheDir, "image/*.json") { // damage costs time only
			ok(t, os.WriteFile(f, []byte("{"), 0o600))
		}
		again, err = w.c.Inspect(ctx, "layered", "", needs)
		ok(t, err)
		equal(t, "past a damaged cache", again.Paths["/way"], got.Paths["/way"])

		img.Arch, img.Name = "s390x", "foreign"
		w.load(img)
		foreign, err := w.c.Inspect(ctx, "foreign", "", needs)
		ok(t, err)
		equal(t, "architecture", foreign.Arch, "s390x")
		w.clean()
	})
}

func glob(t *testing.T, elem ...string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(elem...))
	ok(t, err)
	if len(found) == 0 {
		t.Fatalf("nothing matches %v", elem)
	}
	return found
}

// TestRuntimeOpenErrors: every way in which containerd can be away, and what to type.
func TestRuntimeOpenErrors(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	open := func(address string) error {
		c, err := runtime.Open(ctx, runtime.Options{Address: address, Namespace: "hostrun"})
		if err == nil {
			c.Close()
		}
		return err
	}
	refused(t, "missing", open(filepath.Join(dir, "none.sock")), 75, "there is no such socket", "systemctl start containerd", "--address")
	refused(t, "relative", open("c.sock"), 2, "absolute")

	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	ok(t, err)
	l.SetUnlinkOnClose(false)
	ok(t, l.Close())
	refused(t, "stale", open(stale), 75, "nobody listens", "systemctl start containerd")

	silent := filepath.Join(dir, "silent.sock")
	silentDaemon(t, silent)
	refused(t, "silent", open(silent), 75, "no answer within")

	_, err = runtime.Open(ctx, runtime.Options{Address: silent, Namespace: "../etc"})
	refused(t, "namespace", err, 2, "../etc")
}

// TestSilenceIsNotAClosedConnection: gRPC's own deadline of a connection ran beside ours, and its words came out.
func TestSilenceIsNotAClosedConnection(t *testing.T) {
	t.Parallel()
	silent := filepath.Join(t.TempDir(), "silent.sock")
	silentDaemon(t, silent)
	errs := make(chan error)
	const all = 24
	for range all {
		go func() {
			c, err := runtime.Open(context.Background(), runtime.Options{Address: silent, Namespace: "hostrun"})
			if err == nil {
				c.Close()
			}
			errs <- err
		}()
	}
	for range all {
		refused(t, "silent", <-errs, 75, "no answer within")
	}
}

// TestRuntimeEngine asks the real runc.
func TestRuntimeEngine(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		e, err := w.c.EngineFor(context.Background(), "runc")
		ok(t, err)
		if !strings.HasPrefix(e.OCIRuntime, "runc 1.") || !slices.Contains(e.MountOptions, "rro") || e.Seccomp == nil || e.DataDir != w.opt.DataDir {
			t.Errorf("engine: %s %v", e.OCIRuntime, e.MountOptions)
		}
		second, err := runtime.Open(context.Background(), w.opt)
		ok(t, err)
		defer second.Close()
		cached, err := second.EngineFor(context.Background(), "runc")
		ok(t, err)
		equal(t, "from the cache", cached.OCIRuntime, e.OCIRuntime)
		equal(t, "mount options", strings.Join(cached.MountOptions, " "), strings.Join(e.MountOptions, " "))
	})
}
