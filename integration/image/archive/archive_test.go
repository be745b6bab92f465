package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hostrun.dev/hostrun/integration/image/archive"
)

// tree makes a directory with one of each kind of file.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755))
	must(os.WriteFile(filepath.Join(root, "usr/bin/tool"), []byte("#!/bin/sh\n"), 0o755))
	must(os.Chmod(filepath.Join(root, "usr/bin/tool"), 0o4755|fs.ModeSetuid))
	must(os.Link(filepath.Join(root, "usr/bin/tool"), filepath.Join(root, "usr/bin/tool2")))
	must(os.Symlink("usr/bin", filepath.Join(root, "bin")))
	must(os.Symlink("/nowhere", filepath.Join(root, "dangling")))
	return root
}

func image(t *testing.T, dir string, format archive.Format) archive.Image {
	t.Helper()
	return archive.Image{
		Ref: "dinov2:latest", Architecture: "amd64", Format: format,
		Config: v1.ImageConfig{Env: []string{"PATH=/usr/bin"}, Cmd: []string{"tool"}, WorkingDir: "/workspace"},
		Layers: []archive.Layer{
			{Dir: dir},
			{Files: []archive.File{
				{Path: "/workspace/deep/job.py", Mode: 0o644, Content: []byte("print(1)\n")},
				{Path: "/etc/link", Mode: fs.ModeSymlink, Content: []byte("../workspace")},
				{Path: "/empty", Mode: fs.ModeDir | 0o700, UID: 1000, GID: 1000},
			}},
		},
	}
}

func write(t *testing.T, img archive.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := archive.Write(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// files reads a tar into name -> content.
func files(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = b
	}
}

func decode[T any](t *testing.T, b []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

func TestSameTreeSameBytes(t *testing.T) {
	for _, format := range []archive.Format{archive.OCI, archive.Docker} {
		one, two := tree(t), tree(t)
		if err := os.Chtimes(filepath.Join(two, "usr/bin/tool"), time.Now(), time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(write(t, image(t, one, format)), write(t, image(t, two, format))) {
			t.Errorf("%s: two equal trees gave different archives", format)
		}
	}
}

func TestOCIArchiveIsWhatTheSpecificationSays(t *testing.T) {
	blobs := files(t, bytes.NewReader(write(t, image(t, tree(t), archive.OCI))))
	blob := func(d v1.Descriptor) []byte {
		b, ok := blobs["blobs/sha256/"+d.Digest.Encoded()]
		if !ok || digest.FromBytes(b) != d.Digest || int64(len(b)) != d.Size {
			t.Fatalf("blob of %+v: present %v, %d bytes, digest %s", d, ok, len(b), digest.FromBytes(b))
		}
		return b
	}
	index := decode[v1.Index](t, blobs["index.json"])
	want := map[string]string{"org.opencontainers.image.ref.name": "latest", "io.containerd.image.name": "docker.io/library/dinov2:latest"}
	if diff := cmp.Diff(want, index.Manifests[0].Annotations); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	manifest := decode[v1.Manifest](t, blob(index.Manifests[0]))
	config := decode[v1.Image](t, blob(manifest.Config))
	if len(config.RootFS.DiffIDs) != 2 || len(manifest.Layers) != 2 {
		t.Fatalf("%d diff IDs and %d layers, want 2 and 2", len(config.RootFS.DiffIDs), len(manifest.Layers))
	}
	for i, l := range manifest.Layers {
		zr, err := gzip.NewReader(bytes.NewReader(blob(l)))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(zr)
		if err != nil {
			t.Fatal(err)
		}
		if got := digest.FromBytes(plain); got != config.RootFS.DiffIDs[i] {
			t.Errorf("layer %d: diff ID %s, content %s", i, config.RootFS.DiffIDs[i], got)
		}
	}
}

func TestDockerArchiveNamesItsPartsAndTag(t *testing.T) {
	parts := files(t, bytes.NewReader(write(t, image(t, tree(t), archive.Docker))))
	type entry struct {
		Config           string
		RepoTags, Layers []string
	}
	m := decode[[]entry](t, parts["manifest.json"])[0]
	if len(m.RepoTags) != 1 || m.RepoTags[0] != "dinov2:latest" {
		t.Errorf("tags %q, want dinov2:latest", m.RepoTags)
	}
	config := decode[v1.Image](t, parts[m.Config])
	for i, name := range m.Layers {
		if got := digest.FromBytes(parts[name]); got != config.RootFS.DiffIDs[i] {
			t.Errorf("layer %s: diff ID %s, content %s", name, config.RootFS.DiffIDs[i], got)
		}
	}
}

// entries reads the lowest layer of a docker archive.
func entries(t *testing.T, img archive.Image, layer int) map[string]*tar.Header {
	t.Helper()
	parts := files(t, bytes.NewReader(write(t, img)))
	name := decode[[]struct{ Layers []string }](t, parts["manifest.json"])[0].Layers[layer]
	all := map[string]*tar.Header{}
	for tr := tar.NewReader(bytes.NewReader(parts[name])); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = h
	}
}

func TestLayerKeepsWhatMatters(t *testing.T) {
	got := entries(t, image(t, tree(t), archive.Docker), 0)
	if h := got["usr/bin/tool2"]; h == nil || h.Typeflag != tar.TypeLink || h.Linkname != "usr/bin/tool" {
		t.Errorf("hard link became %+v", h)
	}
	if h := got["usr/bin/tool"]; h == nil || h.Mode != 0o4755 {
		t.Errorf("set-user-ID program became %+v", h)
	}
	if h := got["dangling"]; h == nil || h.Typeflag != tar.TypeSymlink || h.Linkname != "/nowhere" {
		t.Errorf("dangling link became %+v", h)
	}
	made := entries(t, image(t, tree(t), archive.Docker), 1)
	for _, dir := range []string{"workspace/", "workspace/deep/", "etc/"} {
		if h := made[dir]; h == nil || h.Mode != 0o755 || h.Uid != 0 {
			t.Errorf("parent %s became %+v", dir, h)
		}
	}
	if h := made["empty/"]; h == nil || h.Mode != 0o700 || h.Uid != 1000 {
		t.Errorf("directory of a user became %+v", h)
	}
}

func TestTarLayerEqualsItsDirectory(t *testing.T) {
	dir := tree(t)
	want := entries(t, archive.Image{Format: archive.Docker, Layers: []archive.Layer{{Dir: dir}}}, 0)
	file := filepath.Join(t.TempDir(), "root.tar")
	parts := files(t, bytes.NewReader(write(t, archive.Image{Format: archive.Docker, Layers: []archive.Layer{{Dir: dir}}})))
	layer := decode[[]struct{ Layers []string }](t, parts["manifest.json"])[0].Layers[0]
	if err := os.WriteFile(file, parts[layer], 0o600); err != nil {
		t.Fatal(err)
	}
	got := entries(t, archive.Image{Format: archive.Docker, Layers: []archive.Layer{{Tar: file}}}, 0)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-directory +tar:\n%s", diff)
	}
}

func TestFullNameIsDockers(t *testing.T) {
	for ref, want := range map[string]string{
		"dinov2":                 "docker.io/library/dinov2:latest",
		"dinov2:v1":              "docker.io/library/dinov2:v1",
		"someone/dinov2":         "docker.io/someone/dinov2:latest",
		"localhost/dinov2":       "localhost/dinov2:latest",
		"localhost:5000/a/b:tag": "localhost:5000/a/b:tag",
		"registry.example/a":     "registry.example/a:latest",
	} {
		if got := archive.Full(ref); got != want {
			t.Errorf("Full(%q) = %q, want %q", ref, got, want)
		}
	}
}

// TestTarIsPackedOnce: a second image of the same tar file gets the same layer, and one of a file that has changed another.
func TestTarIsPackedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root.tar")
	write := func(text string, second int64) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, err := range []error{w.WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}), failure(w.Write([]byte(text))), w.Close(),
			os.WriteFile(file, b.Bytes(), 0o600), os.Chtimes(file, time.Unix(second, 0), time.Unix(second, 0))} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	image := func() string {
		var b bytes.Buffer
		if err := archive.Write(&b, archive.Image{Layers: []archive.Layer{{Tar: file}}}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	write("one", 1)
	first := image()
	if second := image(); second != first {
		t.Error("the second image is another one")
	}
	write("two", 2)
	if image() == first {
		t.Error("the file has changed, and the image has not")
	}
}

func failure(_ int, err error) error { return err }
