package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// addVolumes adds the profile's volumes and tmpfs.
func (b *builder) addVolumes() {
	for _, v := range b.p.Volumes {
		if !b.checkTarget(v) {
			continue
		}
		var m specs.Mount
		switch v.Type {
		case "tmpfs":
			m = tmpfs(v)
		case "volume":
			m = b.namedVolume(v)
		default:
			m = b.bindVolume(v)
		}
		b.mounts = append(b.mounts, mount{Mount: m, origin: b.fromProfile(v.Key), key: v.Key})
	}
	// Only now: a directory that another volume covers is not the image's.
	for _, v := range b.p.Volumes {
		if dir, at, bad := b.closed(v.Target); bad {
			b.notTraversed(v.Key, v.Target, dir, at, finding.Error)
		}
	}
}

func (b *builder) checkTarget(v profiles.Volume) bool {
	if v.Type == "volume" && !v.Anonymous && !profiles.VolumeNameForm.MatchString(v.Source) {
		b.report(v.Key, finding.Finding{
			ID: finding.ProfileInvalid, Severity: finding.Error, Subject: v.Key, Got: v.Source, Want: profiles.VolumeNameForm.String(),
			Message: fmt.Sprintf("%q can't be the name of a volume", v.Source), Remedy: "use letters, digits, dots, dashes and underscores",
		})
		return false
	}
	if strings.HasPrefix(v.Target, "/") && path.Clean(v.Target) != "/" {
		return true
	}
	b.report(v.Key, finding.Finding{
		ID: finding.ProfileInvalid, Severity: finding.Error, Subject: v.Key,
		Got: fmt.Sprintf("target %q", v.Target), Want: "an absolute path other than /",
		Message: fmt.Sprintf("%q is no place for a mount", v.Target),
		Remedy:  "give the target an absolute path below /",
	})
	return false
}

// tmpfs has docker's options, which let nothing in it be executed unless the profile says so.
func tmpfs(v profiles.Volume) specs.Mount {
	mode := v.TmpfsMode
	if mode == 0 {
		mode = 0o1777
	}
	options := []string{"nosuid", "nodev", "noexec", fmt.Sprintf("mode=%o", mode)}
	if v.TmpfsSize > 0 {
		options = append(options, fmt.Sprintf("size=%d", v.TmpfsSize))
	}
	for _, o := range v.TmpfsOptions {
		if !slices.Contains(options, o) {
			options = append(options, o) // a later one wins
		}
	}
	if v.ReadOnly {
		options = append(options, "ro")
	}
	return specs.Mount{Destination: v.Target, Type: "tmpfs", Source: "tmpfs", Options: options}
}

// AnonymousDirectory holds the volumes without names of one container. They outlive its record while up replaces it, and end with down.
func AnonymousDirectory(dataDir, namespace, id string) string {
	return path.Join("/", dataDir, "anonymous", namespace, id)
}

// anonymous is where a volume without a name lies: that of a one-off container among its files, which go with it.
func (b *builder) anonymous(v profiles.Volume) string {
	id, name := b.plan.ID, anonymousName(v.Target)
	if v.Of != "" {
		id = v.Of
	} else if b.oneOff() {
		return path.Join(b.directory(), "volumes", name)
	}
	return path.Join(AnonymousDirectory(b.f.Engine.DataDir, b.f.Engine.Namespace, id), name)
}

// anonymousName is for people; the sum keeps /a/b and /a_b apart.
func anonymousName(target string) string {
	sum := sha256.Sum256([]byte(path.Clean(target)))
	name := strings.ReplaceAll(strings.Trim(path.Clean(target), "/"), "/", "_")
	return name[:min(len(name), 100)] + "-" + hex.EncodeToString(sum[:4])
}

// addImageVolumes gives the container what the image's VOLUME lines ask for, where nothing else is mounted: directories that stay
// writable on a read-only root, and that up keeps when it replaces the container.
func (b *builder) addImageVolumes() {
	if usesHostRoot(b.p) {
		return
	}
	for i, target := range b.f.Image.Volumes {
		target = path.Clean("/" + target)
		if _, covered := b.coveredBy(target); covered || target == "/" || slices.ContainsFunc([]string{"/proc", "/sys", "/dev"}, func(dir string) bool { return within(target, dir) }) {
			continue
		}
		v := profiles.Volume{Type: "volume", Anonymous: true, Target: target}
		dir := Directory{Path: b.anonymous(v), Mode: 0o755, UID: 0, GID: 0, Copy: target}
		b.addDirectory(dir)
		v.Source = dir.Path
		b.mounts = append(b.mounts, mount{Mount: b.bindMount(v), origin: "image: VOLUME", key: "image.volumes[" + itoa(i) + "]"})
	}
}

// namedVolume is a directory of ours. A new one belongs to whom the image's directory at its place belongs, so that the
// image's user can write; without one, to the container's user.
func (b *builder) namedVolume(v profiles.Volume) specs.Mount {
	dir := Directory{
		Path: path.Join("/", b.f.Engine.DataDir, "volumes", v.Source),
		Mode: 0o755, UID: b.user.uid, GID: b.user.gid,
	}
	if at, ok := b.f.Image.Paths[path.Clean(v.Target)]; ok && at.Dir {
		dir.Mode, dir.UID, dir.GID = at.Mode, at.UID, at.GID
	}
	switch {
	case v.Anonymous:
		dir.Path = b.anonymous(v)
	case v.External:
		dir.External = v.Source
	}
	dir.Mount = v.Mount
	if at, ok := b.f.Image.Paths[path.Clean(v.Target)]; ok && at.Dir && !v.NoCopy && v.Subpath == "" && !usesHostRoot(b.p) {
		dir.Copy = v.Target
	}
	b.addDirectory(dir)
	v.Source = dir.Path
	if v.Subpath != "" {
		v.Source = b.subpath(v, dir.Path)
	}
	return b.bindMount(v)
}

// bindVolume is a host path. A missing one is an error: docker would make an empty directory of root's, and the job would
// run without its data.
func (b *builder) bindVolume(v profiles.Volume) specs.Mount {
	src := b.f.Sources[v.Source]
	switch {
	case src.Error != "":
		b.report(v.Key, finding.Finding{
			ID: finding.PathMissing, Severity: finding.Error, Subject: v.Source, Got: src.Error,
			Message: "the source " + v.Source + " of a mount can't be looked at: " + src.Error,
			Remedy:  "correct the path or its permissions",
		})
	case !src.Exists && v.CreateHostPath:
		b.addDirectory(Directory{Path: v.Source, Mode: 0o755, UID: b.user.uid, GID: b.user.gid})
		b.checkKind(v, true)
	case !src.Exists:
		b.report(v.Key, finding.Finding{
			ID: finding.PathMissing, Severity: finding.Error, Subject: v.Source,
			Got: "no such file or directory", Message: "the source " + v.Source + " of the mount at " + v.Target + " does not exist",
			Remedy: "correct the path, make it (mkdir -p " + shellQuote(v.Source) + "), or ask for it: bind: {create_host_path: true} in the long form",
		})
	default:
		b.checkKind(v, src.Dir)
	}
	return b.bindMount(v)
}

// checkKind refuses a directory over a file of the image, and the reverse: mount(2) does (ENOTDIR).
func (b *builder) checkKind(v profiles.Volume, dir bool) {
	at, ok := b.f.Image.Paths[path.Clean(v.Target)]
	if !ok || at.Dir == dir || b.coveredByBind(v.Target) {
		return
	}
	kind := map[bool]string{true: "a directory", false: "a file"}
	b.report(v.Key, finding.Finding{
		ID: finding.PathWrongType, Severity: finding.Error, Subject: v.Source,
		Got: v.Source + " is " + kind[dir], Want: v.Target + " is " + kind[at.Dir] + " in the image",
		Message: fmt.Sprintf("%s can't be mounted on %s: one is a directory, the other a file", v.Source, v.Target),
		Remedy:  "correct the source or the target of the mount",
	})
}

func (b *builder) addDirectory(d Directory) {
	for i, have := range b.plan.Directories {
		if have.Path == d.Path {
			if have.Copy == "" {
				b.plan.Directories[i].Copy = d.Copy
			}
			return
		}
	}
	b.plan.Directories = append(b.plan.Directories, d)
}

func (b *builder) bindMount(v profiles.Volume) specs.Mount {
	how := "rbind"
	if v.Recursive == "disabled" {
		how = "bind"
	}
	propagation := v.Propagation
	if propagation == "" {
		propagation = "rprivate"
	}
	options := []string{how, propagation}
	switch {
	case v.ReadOnly && v.Recursive == "readonly" && !b.recursiveReadOnly():
		b.report(v.Key, finding.Finding{ID: finding.RuntimeTooOld, Severity: finding.Error, Subject: v.Target, Got: b.f.Engine.OCIRuntime + ", Linux " + b.f.Host.Kernel,
			Want: "runc 1.1 or crun 1.4, and Linux 5.12", Message: "recursive: readonly can't be done: the OCI runtime or the kernel does not know recursive read-only mounts",
			Remedy: "upgrade runc, or remove recursive:"})
	case v.ReadOnly:
		options = append(options, b.readOnly(how == "rbind" && v.Recursive != "writable"))
	}
	if v.Relabel && b.f.Host.SELinux {
		b.report(v.Key, finding.Finding{ID: finding.RelabelNeeded, Severity: finding.Error, Subject: v.Target, Got: "SELinux enforces on this machine",
			Message: "hostrun does not label the files of a mount (z, Z)", Remedy: "chcon -Rt container_file_t " + shellQuote(v.Source) + ", and remove the option"})
	}
	b.propagate(propagation)
	return specs.Mount{Destination: v.Target, Type: "bind", Source: v.Source, Options: options}
}

// propagate makes the root pass on what a volume asks for: a mount can't be more open than the one it hangs on
// (docker's rule; Documentation/filesystems/sharedsubtree.rst).
func (b *builder) propagate(p string) {
	root := &b.spec.Linux.RootfsPropagation
	switch {
	case p == "shared" || p == "rshared":
		*root = "shared"
	case (p == "slave" || p == "rslave") && *root == "":
		*root = "rslave"
	}
}

func shellQuote(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("/._-+,:@%", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
