package plan

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// defaultPath is PATH where the image has none (docker's).
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// setCommand merges entrypoint and command by docker's rules: an entrypoint of the profile drops the image's CMD, an
// empty one only drops the image's ENTRYPOINT; a command of the profile, even an empty one, replaces the image's.
func (b *builder) setCommand() {
	entrypoint, cmd := b.f.Image.Entrypoint, b.f.Image.Cmd
	origin := "image"
	if b.p.Entrypoint != nil {
		entrypoint, origin = *b.p.Entrypoint, b.fromProfile("entrypoint")
		if len(entrypoint) > 0 {
			cmd = nil
		}
	}
	if b.p.Command != nil {
		cmd, origin = *b.p.Command, b.fromProfile("command")
	}
	b.args = append(append([]string(nil), entrypoint...), cmd...)
	b.spec.Process.Args = b.args
	b.plan.Origins["/process/args"] = origin
	if len(b.args) == 0 || b.args[0] == "" {
		b.report("command", finding.Finding{
			ID: finding.ImageCommand, Severity: finding.Error, Subject: "command",
			Got:     b.noCommand(),
			Message: "neither profile nor image says what to run",
			Remedy:  "set command: in the profile, or give one after --: hostrun run " + b.p.Name + " -- python3 script.py",
		})
	}
	b.setWorkingDir()
	b.spec.Process.Terminal = b.p.TTY
}

func (b *builder) noCommand() string {
	if usesHostRoot(b.p) {
		return "no command in the profile, and no image"
	}
	return "no command in the profile, and neither ENTRYPOINT nor CMD in " + b.f.Image.Reference
}

func (b *builder) setWorkingDir() {
	dir, origin := b.f.Image.WorkingDir, "image"
	if b.p.WorkingDir != "" {
		dir, origin = b.p.WorkingDir, b.fromProfile("working_dir")
	}
	b.spec.Process.Cwd = path.Join("/", dir)
	b.plan.Origins["/process/cwd"] = origin
}

// addInit puts hostrun-init in front of the command: to stay there as the first process, or only to give it an input.
func (b *builder) addInit() {
	key := "init"
	input := b.p.StdinOpen && !b.p.TTY && !b.f.Foreground
	switch {
	case b.p.Init:
	case input:
		key = "stdin_open"
	default:
		return
	}
	if b.f.Engine.InitBinary == "" {
		b.report(key, finding.Finding{
			ID: finding.PathMissing, Severity: finding.Error, Subject: "hostrun-init",
			Message: key + ": true needs hostrun-init, which is not installed beside hostrun",
			Remedy:  "install hostrun with make install, or remove " + key + ": from the profile",
		})
		return
	}
	b.mounts = append(b.mounts, mount{
		Mount:  bindFile(b.f.Engine.InitBinary, initPath),
		origin: b.fromProfile(key), key: key,
	})
	words := []string{initPath}
	if input {
		words = append(words, "--stdin", b.addInput())
	}
	if !b.p.Init {
		words = append(words, "--exec")
	}
	b.spec.Process.Args = append(append(words, "--"), b.args...)
}

// addInput gives a detached process a named pipe to read: containerd's log protocol has none for it. hostrun-init opens it for
// reading and writing, so there is no end of input while nobody is attached, as with docker.
func (b *builder) addInput() string {
	fifo := File{Path: path.Join(b.directory(), "stdin"), Mode: 0o600, Fifo: true, UID: b.user.uid, GID: b.user.gid}
	b.plan.Files = append(b.plan.Files, fifo)
	b.plan.Input = fifo.Path
	b.mounts = append(b.mounts, mount{
		Mount:  specs.Mount{Destination: inputPath, Type: "bind", Source: fifo.Path, Options: []string{"bind", "rprivate", "nosuid", "nodev", "noexec"}},
		origin: b.fromProfile("stdin_open"), key: "stdin_open",
	})
	return inputPath
}

// initPath lies in the root directory: the only one that every user of every image can traverse.
const initPath = "/.hostrun-init"

// inputPath lies beside it.
const inputPath = "/.hostrun-stdin"

// A variable of the environment and who set it.
type variable struct{ name, value, origin string }

// environment is ordered; a later value of a name takes the place of the earlier.
type environment []variable

func (e *environment) set(name, value, origin string) {
	for i := range *e {
		if (*e)[i].name == name {
			(*e)[i].value, (*e)[i].origin = value, origin
			return
		}
	}
	*e = append(*e, variable{name, value, origin})
}

func (e *environment) unset(name string) {
	*e = slices.DeleteFunc(*e, func(v variable) bool { return v.name == name })
}

func (e environment) get(name string) string {
	for _, v := range e {
		if v.name == name {
			return v.value
		}
	}
	return ""
}

// visibility variables of an image name devices of the machine that it was built on. In the container only the given
// devices exist, numbered from 0.
var visibility = map[string]bool{"CUDA_VISIBLE_DEVICES": true, "ASCEND_RT_VISIBLE_DEVICES": true}

// DropsFromImage reports whether a variable of an image is kept out of its containers.
func DropsFromImage(name string) bool { return visibility[name] }

// setEnvironment takes docker's basics, the image's variables and hostrun's own. finishEnvironment adds the profile's.
func (b *builder) setEnvironment() {
	b.env.set("PATH", defaultPath, "hostrun")
	b.env.set("HOSTNAME", b.hostname(), "hostrun")
	if b.p.TTY {
		b.env.set("TERM", "xterm", "hostrun")
	}
	b.env.set("HOME", b.user.home, "image")
	if !b.user.known && b.user.uid != 0 {
		// getpass.getuser reads it before it asks for the passwd line that is not there (Lib/getpass.py); so does torch.
		b.env.set("USER", itoa(int(b.user.uid)), "hostrun")
	}
	for _, kv := range b.f.Image.Env {
		name, value, _ := strings.Cut(kv, "=")
		if name != "" && !visibility[name] {
			b.env.set(name, value, "image")
		}
	}
	// A vendor's OCI runtime that is the default here must not inject a second time.
	b.env.set("NVIDIA_VISIBLE_DEVICES", "void", "hostrun")
	b.env.set("ASCEND_VISIBLE_DEVICES", "void", "hostrun")
}

// finishEnvironment lets the profile's variables win and writes the environment into the spec.
func (b *builder) finishEnvironment() {
	for _, v := range b.p.Environment {
		if !runtimeVariables[v.Name] {
			b.env.set(v.Name, v.Value, b.fromProfile("environment."+v.Name))
		}
	}
	b.prepend()
	for i, v := range b.env {
		b.spec.Process.Env = append(b.spec.Process.Env, v.name+"="+v.value)
		b.plan.Origins["/process/env/"+itoa(i)] = v.origin
	}
}

// searchPath is the PATH that the container will have, by directory.
func (b *builder) searchPath() []string {
	p := b.env.get("PATH")
	if own, ok := lookup(b.p.Environment, "PATH"); ok {
		p = own
	}
	return strings.Split(p, ":")
}

func lookup(env []profiles.EnvVar, name string) (value string, ok bool) {
	for _, v := range env {
		if v.Name == name {
			value, ok = v.Value, true
		}
	}
	return value, ok
}

// setStop takes the profile's signal, else the image's, else docker's.
func (b *builder) setStop() {
	b.plan.StopSignal, b.plan.StopSeconds = "SIGTERM", 10
	if b.f.Image.StopSignal != "" {
		b.plan.StopSignal = b.f.Image.StopSignal
	}
	if b.p.StopSignal != "" {
		b.plan.StopSignal = b.p.StopSignal
	}
	if b.p.StopGracePeriod != nil {
		b.plan.StopSeconds = b.p.StopGracePeriod.Seconds()
	}
	// image-spec, conversion.md: the stop signal has no field of its own in a runtime spec.
	b.spec.Annotations = map[string]string{"org.opencontainers.image.stopSignal": b.plan.StopSignal}
	for k, v := range b.p.Annotations {
		b.spec.Annotations[k] = v
	}
}
