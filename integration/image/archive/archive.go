// Package archive writes container images: file trees in, one OCI or docker-save archive out. The same trees and
// configuration give the same bytes, on any machine and on any day.
package archive

import (
	"archive/tar"
	"bytes"
	_ "crypto/sha256" // go-digest panics without it: it only looks up what the program has linked
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Format is the layout of the archive.
type Format string

const (
	OCI    Format = "oci"    // image-layout.md of the OCI image specification, as a tar
	Docker Format = "docker" // what `docker save` wrote before version 25: manifest.json and one directory a layer
)

// An Image says what goes into an archive.
type Image struct {
	Ref          string         // full or short name; "" for an archive that names none
	Architecture string         // GOARCH's word, "amd64"
	Config       v1.ImageConfig // Env, Cmd, Entrypoint, User, WorkingDir ...
	Healthcheck  map[string]any // docker's, beside Config: {"Test": [...], "Interval": ns}; nil for none
	Layers       []Layer        // lowest first
	Format       Format         // "" is OCI
}

// Created is the time that every file and every image has, so that nothing depends on the day.
var Created = time.Unix(0, 0).UTC()

// Write writes the image's archive to w. Layers are packed in a temporary directory first, because the archive names
// each by its digest.
func Write(w io.Writer, img Image) error {
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	packed := make([]packed, 0, len(img.Layers))
	for i, layer := range img.Layers {
		p, err := packOnce(layer, filepath.Join(dir, fmt.Sprint(i)), img.Format != Docker)
		if err != nil {
			return fmt.Errorf("pack layer %d: %w", i, err)
		}
		packed = append(packed, p)
	}
	config, err := json.Marshal(configuration(img, packed))
	if err == nil && img.Healthcheck != nil {
		config, err = withHealthcheck(config, img.Healthcheck)
	}
	if err != nil {
		return err
	}
	tw := &writer{tar: tar.NewWriter(w), dirs: map[string]bool{}}
	if img.Format == Docker {
		err = tw.docker(img, config, packed)
	} else {
		err = tw.oci(img, config, packed)
	}
	if err != nil {
		return err
	}
	return tw.tar.Close()
}

func configuration(img Image, layers []packed) v1.Image {
	c := v1.Image{
		Created:  &Created,
		Platform: v1.Platform{Architecture: img.Architecture, OS: "linux"},
		Config:   img.Config,
		RootFS:   v1.RootFS{Type: "layers"},
	}
	for _, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, l.diffID)
		c.History = append(c.History, v1.History{Created: &Created, CreatedBy: l.name})
	}
	return c
}

// withHealthcheck adds docker's field, which image-spec does not have.
func withHealthcheck(config []byte, check map[string]any) ([]byte, error) {
	var all map[string]any
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, err
	}
	inner, ok := all["config"].(map[string]any)
	if !ok {
		inner = map[string]any{}
	}
	inner["Healthcheck"], all["config"] = check, inner
	return json.Marshal(all)
}

// writer puts files into the outer archive. Their directories are written before them.
type writer struct {
	tar  *tar.Writer
	dirs map[string]bool
}

func (w *writer) file(name string, content []byte) error {
	return w.stream(name, int64(len(content)), bytes.NewReader(content))
}

func (w *writer) stream(name string, size int64, r io.Reader) error {
	if err := w.parents(name); err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: Created, Format: tar.FormatPAX}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(w.tar, r)
	return err
}

func (w *writer) parents(name string) error {
	parts := strings.Split(name, "/")
	for i := 1; i < len(parts); i++ {
		dir := strings.Join(parts[:i], "/") + "/"
		if w.dirs[dir] {
			continue
		}
		w.dirs[dir] = true
		h := &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: Created, Format: tar.FormatPAX}
		if err := w.tar.WriteHeader(h); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) layer(name string, l packed) error {
	f, err := os.Open(l.file)
	if err != nil {
		return err
	}
	defer f.Close()
	return w.stream(name, l.size, f)
}

// blob writes content under its digest and returns its descriptor.
func (w *writer) blob(mediaType string, content []byte) (v1.Descriptor, error) {
	d := digest.FromBytes(content)
	desc := v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
	return desc, w.file("blobs/sha256/"+d.Encoded(), content)
}

func (w *writer) oci(img Image, config []byte, layers []packed) error {
	if err := w.file(v1.ImageLayoutFile, []byte(`{"imageLayoutVersion":"`+v1.ImageLayoutVersion+`"}`)); err != nil {
		return err
	}
	m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	written := map[digest.Digest]bool{}
	for _, l := range layers {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: l.digest, Size: l.size})
		if written[l.digest] {
			continue
		}
		written[l.digest] = true
		if err := w.layer("blobs/sha256/"+l.digest.Encoded(), l); err != nil {
			return err
		}
	}
	var err error
	if m.Config, err = w.blob(v1.MediaTypeImageConfig, config); err != nil {
		return err
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return err
	}
	desc, err := w.blob(v1.MediaTypeImageManifest, manifest)
	if err != nil {
		return err
	}
	desc.Platform = &v1.Platform{Architecture: img.Architecture, OS: "linux"}
	desc.Annotations = names(img.Ref)
	index, err := json.Marshal(v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{desc}})
	if err != nil {
		return err
	}
	return w.file(v1.ImageIndexFile, index)
}

// names returns the annotations by which an archive says what its image is called: the specification's own, which holds
// a tag or a whole name depending on who writes it, and the one in which containerd keeps the whole name.
func names(ref string) map[string]string {
	if ref == "" {
		return nil
	}
	tag := "latest"
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		tag = ref[i+1:]
	}
	return map[string]string{v1.AnnotationRefName: tag, "io.containerd.image.name": Full(ref)}
}

// Full returns the name that Docker and containerd mean by ref: docker.io/library/ and :latest are implied.
func Full(ref string) string {
	if first, _, slash := strings.Cut(ref, "/"); !slash {
		ref = "docker.io/library/" + ref
	} else if !strings.ContainsAny(first, ".:") && first != "localhost" {
		ref = "docker.io/" + ref
	}
	if strings.LastIndex(ref, ":") < strings.LastIndex(ref, "/") {
		ref += ":latest"
	}
	return ref
}

func (w *writer) docker(img Image, config []byte, layers []packed) error {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	e := entry{Config: digest.FromBytes(config).Encoded() + ".json"}
	if img.Ref != "" {
		tag := strings.TrimPrefix(Full(img.Ref), "docker.io/library/")
		e.RepoTags = []string{strings.TrimPrefix(tag, "docker.io/")}
	}
	written := map[string]bool{}
	for _, l := range layers {
		name := l.diffID.Encoded() + "/layer.tar"
		e.Layers = append(e.Layers, name)
		if written[name] {
			continue
		}
		written[name] = true
		if err := w.layer(name, l); err != nil {
			return err
		}
	}
	if err := w.file(e.Config, config); err != nil {
		return err
	}
	manifest, err := json.Marshal([]entry{e})
	if err != nil {
		return err
	}
	return w.file("manifest.json", manifest)
}
