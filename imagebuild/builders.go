package imagebuild

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// defaultBuildKit is where buildkitd listens unless BUILDKIT_HOST says otherwise.
const defaultBuildKit = "unix:///run/buildkit/buildkitd.sock"

func findBuildKit(ctx context.Context, env map[string]string) (*Builder, string) {
	address := env["BUILDKIT_HOST"]
	if address == "" {
		address = defaultBuildKit
	}
	if path, local := strings.CutPrefix(address, "unix://"); local {
		conn, err := net.DialTimeout("unix", path, answerWait)
		if err != nil {
			return nil, "buildkitd does not answer at " + path
		}
		_ = conn.Close()
	}
	program, err := exec.LookPath("buildctl")
	if err != nil {
		return nil, "buildkitd listens at " + address + ", and there is no buildctl"
	}
	if _, err := ask(ctx, program, "--addr", address, "debug", "workers"); err != nil {
		return nil, fmt.Sprintf("buildkitd at %s: %v", address, err)
	}
	version, _ := ask(ctx, program, "--version")
	return &Builder{Name: "buildkit", Version: version, program: program, address: address, build: (*Builder).buildctl}, ""
}

func findDocker(ctx context.Context, _ map[string]string) (*Builder, string) {
	program, err := exec.LookPath("docker")
	if err != nil {
		return nil, "docker is not installed"
	}
	version, err := ask(ctx, program, "version", "--format", "{{.Server.Version}}")
	if err != nil || version == "" {
		return nil, "docker is installed, and its daemon does not answer"
	}
	b := &Builder{Name: "docker", Version: "docker " + version, program: program, build: (*Builder).docker}
	_, err = ask(ctx, program, "buildx", "version")
	b.buildx = err == nil
	return b, ""
}

func findBuildah(ctx context.Context, _ map[string]string) (*Builder, string) {
	program, err := exec.LookPath("buildah")
	if err != nil {
		return nil, "buildah is not installed"
	}
	version, err := ask(ctx, program, "--version")
	if err != nil {
		return nil, "buildah is installed, and does not run: " + err.Error()
	}
	return &Builder{Name: "buildah", Version: version, program: program, build: (*Builder).buildah}, ""
}

// docker builds by its daemon and takes the image over from there, where it stays as well: the next build finds its layers.
func (b *Builder) docker(ctx context.Context, o *Order, load func(io.Reader) error) error {
	args := []string{"build"}
	if b.buildx {
		args = append(args, "--load", "--progress=plain")
	}
	if o.Build.Privileged {
		args = append(args, "--allow", "security.insecure")
	}
	args = append(args, common(o)...)
	for _, to := range o.Build.CacheTo {
		args = append(args, "--cache-to", to)
	}
	if o.Build.Pull {
		args = append(args, "--pull")
	}
	if err := b.run(ctx, o, nil, append(args, o.Build.Context)...); err != nil {
		return err
	}
	return b.pipe(ctx, o, load, append([]string{"image", "save"}, o.names...)...)
}

// buildah builds without a daemon. It writes archives of one name into files only.
func (b *Builder) buildah(ctx context.Context, o *Order, load func(io.Reader) error) error {
	args := append([]string{"build", "--layers", "--format", "oci"}, common(o)...)
	for _, to := range o.Build.CacheTo {
		args = append(args, "--cache-to", to)
	}
	if o.Build.Pull {
		args = append(args, "--pull-always")
	}
	if o.Build.Privileged {
		args = append(args, "--cap-add", "all")
	}
	if err := b.run(ctx, o, nil, append(args, o.Build.Context)...); err != nil {
		return err
	}
	for i, name := range o.names {
		file := filepath.Join(o.dir, fmt.Sprintf("image-%d.tar", i))
		if err := b.run(ctx, o, nil, "push", "--quiet", name, "docker-archive:"+file+":"+name); err != nil {
			return err
		}
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("read what buildah wrote: %w", err)
		}
		err = load(f)
		_ = f.Close()
		_ = os.Remove(file)
		if err != nil {
			return err
		}
	}
	return nil
}

// common are the flags that docker's and buildah's build share.
func common(o *Order) []string {
	b := &o.Build
	var args []string
	add := func(flag string, values ...string) {
		for _, v := range values {
			args = append(args, flag, v)
		}
	}
	add("--tag", o.names...)
	if b.Dockerfile != "" {
		add("--file", b.Dockerfile)
	}
	if b.Target != "" {
		add("--target", b.Target)
	}
	for _, a := range b.Args {
		add("--build-arg", a.Name+"="+a.Value)
	}
	for _, name := range sorted(b.Labels) {
		add("--label", name+"="+b.Labels[name])
	}
	add("--cache-from", b.CacheFrom...)
	if b.NoCache {
		args = append(args, "--no-cache")
	}
	if b.Network != "" {
		add("--network", b.Network)
	}
	for _, h := range b.ExtraHosts {
		add("--add-host", h.Name+":"+h.IP)
	}
	if len(b.Platforms) > 0 {
		add("--platform", strings.Join(b.Platforms, ","))
	}
	if b.ShmSize > 0 {
		add("--shm-size", strconv.FormatInt(b.ShmSize, 10))
	}
	for _, name := range sorted(b.Ulimits) {
		add("--ulimit", fmt.Sprintf("%s=%d:%d", name, b.Ulimits[name].Soft, b.Ulimits[name].Hard))
	}
	add("--secret", secrets(o)...)
	add("--ssh", b.SSH...)
	for _, name := range sorted(b.AdditionalContexts) {
		add("--build-context", name+"="+b.AdditionalContexts[name])
	}
	return args
}

func secrets(o *Order) []string {
	var all []string
	for _, s := range o.Build.Secrets {
		if s.File != "" {
			all = append(all, "id="+s.ID+",src="+s.File)
		} else {
			all = append(all, "id="+s.ID+",env="+s.Variable)
		}
	}
	return all
}

// buildctl builds by buildkitd, which streams the archive.
func (b *Builder) buildctl(ctx context.Context, o *Order, load func(io.Reader) error) error {
	if o.Build.Fetched() && o.Build.DockerfileInline != "" {
		return fmt.Errorf("build %s: a Dockerfile of the profile for a context that is fetched: docker and buildah can, buildctl can't", o.Name)
	}
	return b.pipe(ctx, o, load, b.buildctlArgs(o)...)
}

// buildctlArgs are the words for buildctl(1), with the options of the frontend dockerfile.v0 (frontend/dockerfile/docs of BuildKit).
func (b *Builder) buildctlArgs(o *Order) []string {
	args := []string{"--addr", b.address, "build", "--progress", "plain", "--frontend", "dockerfile.v0",
		"--output", `type=oci,"name=` + strings.Join(o.names, ",") + `",dest=-`}
	opt := func(name, value string) { args = append(args, "--opt", name+"="+value) }
	bd := &o.Build
	switch {
	case bd.Fetched():
		opt("context", bd.Context)
		if bd.Dockerfile != "" {
			opt("filename", bd.Dockerfile)
		}
	default:
		args = append(args, "--local", "context="+bd.Context, "--local", "dockerfile="+filepath.Dir(bd.Dockerfile))
		opt("filename", filepath.Base(bd.Dockerfile))
	}
	if bd.Target != "" {
		opt("target", bd.Target)
	}
	for _, a := range bd.Args {
		opt("build-arg:"+a.Name, a.Value)
	}
	for _, name := range sorted(bd.Labels) {
		opt("label:"+name, bd.Labels[name])
	}
	if len(bd.Platforms) > 0 {
		opt("platform", strings.Join(bd.Platforms, ","))
	}
	if bd.Network != "" && bd.Network != "default" {
		opt("force-network-mode", bd.Network)
		if bd.Network == "host" {
			args = append(args, "--allow", "network.host")
		}
	}
	if bd.Privileged {
		args = append(args, "--allow", "security.insecure")
	}
	var hosts []string
	for _, h := range bd.ExtraHosts {
		hosts = append(hosts, h.Name+"="+h.IP)
	}
	if len(hosts) > 0 {
		opt("add-hosts", strings.Join(hosts, ","))
	}
	if bd.ShmSize > 0 {
		opt("shm-size", strconv.FormatInt(bd.ShmSize, 10))
	}
	var limits []string
	for _, name := range sorted(bd.Ulimits) {
		limits = append(limits, fmt.Sprintf("%s=%d:%d", name, bd.Ulimits[name].Soft, bd.Ulimits[name].Hard))
	}
	if len(limits) > 0 {
		opt("ulimit", strings.Join(limits, ","))
	}
	if bd.NoCache {
		args = append(args, "--no-cache")
	}
	if bd.Pull {
		opt("image-resolve-mode", "pull")
	}
	for _, name := range sorted(bd.AdditionalContexts) {
		value := bd.AdditionalContexts[name]
		if filepath.IsAbs(value) {
			args = append(args, "--local", name+"="+value)
			value = "local:" + name
		}
		opt("context:"+name, value)
	}
	for _, s := range secrets(o) {
		args = append(args, "--secret", s)
	}
	for _, s := range bd.SSH {
		args = append(args, "--ssh", s)
	}
	for _, c := range bd.CacheFrom {
		args = append(args, "--import-cache", cache(c))
	}
	for _, c := range bd.CacheTo {
		args = append(args, "--export-cache", cache(c))
	}
	return args
}

// cache: compose takes an image's name for a cache in a registry.
func cache(text string) string {
	if strings.Contains(text, "=") {
		return text
	}
	return "type=registry,ref=" + text
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return slices.Clip(names)
}
