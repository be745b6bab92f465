package profiles

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type composeService struct {
	Build struct {
		Dockerfile string
		Args       map[string]string
	}
	Image, Restart, IPC, Command string
	ContainerName                string `yaml:"container_name"`
	ShmSize                      string `yaml:"shm_size"`
	TTY                          bool
	StdinOpen                    bool `yaml:"stdin_open"`
	Ports, Devices, Volumes      []string
	Profiles                     []string
	Deploy                       any
}

// TestBuiltinSaysWhatComposeSays holds the profiles of LLaMA-Factory against its own compose files of both eras: everything in
// these is in the profile.
func TestBuiltinSaysWhatComposeSays(t *testing.T) {
	for _, c := range []struct{ file, service, profile string }{
		{"llamafactory-npu-v0.9", "llamafactory", "llamafactory-npu"},
		{"llamafactory-npu-2026", "llamafactory-a2-ubuntu", "llamafactory-910b-ubuntu"},
		{"llamafactory-npu-2026", "llamafactory-a3-ubuntu", "llamafactory-a3-ubuntu"},
		{"llamafactory-npu-2026", "llamafactory-a2-openeuler", "llamafactory-910b-openeuler"},
		{"llamafactory-npu-2026", "llamafactory-a3-openeuler", "llamafactory-a3-openeuler"},
		{"llamafactory-cuda-v0.9", "llamafactory", "llamafactory-cuda"},
		{"llamafactory-cuda-2026", "llamafactory", "llamafactory-cuda"},
		{"llamafactory-rocm-v0.9", "llamafactory", "llamafactory-rocm"},
		{"llamafactory-rocm-2026", "llamafactory", "llamafactory-rocm"},
	} {
		t.Run(c.file+" "+c.service, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata/compose", c.file+".yaml"))
			must(t, err)
			var whole struct{ Services map[string]composeService }
			decoder := yaml.NewDecoder(strings.NewReader(string(text)))
			must(t, decoder.Decode(&whole))
			p, err := Load(Options{Cwd: "/llamafactory"}, c.profile)
			must(t, err)
			comparison{t, p, whole.Services[c.service], strings.Contains(c.file, "v0.9")}.compare()
		})
	}
}

type comparison struct {
	t       *testing.T
	p       *Profile
	s       composeService
	volumes bool // the file's era has them
}

func (c comparison) same(what string, got, want any) {
	c.t.Helper()
	if !reflect.DeepEqual(got, want) {
		c.t.Errorf("%s: the profile has %v, compose %v", what, got, want)
	}
}

func (c comparison) compare() {
	t, p, s := c.t, c.p, c.s
	if s.ContainerName == "" || s.Command != "bash" {
		t.Fatalf("no service: %+v", s)
	}
	if s.Image != "" {
		c.same("image", p.Image, s.Image)
		c.same("container_name", p.Name, s.ContainerName)
	}
	c.same("ipc", p.IPC, s.IPC)
	c.same("tty", p.TTY, s.TTY)
	c.same("stdin_open", p.StdinOpen, s.StdinOpen)
	c.same("command", []string(*p.Command), []string{s.Command})
	if p.Entrypoint != nil {
		t.Errorf("entrypoint %v: the image's stays", p.Entrypoint)
	}
	if s.ShmSize != "" && s.IPC != "host" { // docker ignores it beside ipc: host
		t.Errorf("shm_size %s is not in the profile", s.ShmSize)
	}
	c.compareDevices()
	c.compareVolumes()
	c.compareBuild()
	c.comparePorts()
}

func (c comparison) compareDevices() {
	var npus, others []string
	for _, d := range c.s.Devices {
		source, _, _ := strings.Cut(d, ":")
		if id, ok := strings.CutPrefix(source, "/dev/davinci"); ok && id != "_manager" {
			npus = append(npus, id)
		} else if !slices.Contains([]string{"/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"}, source) { // these come with npus
			others = append(others, source)
		}
	}
	var raw []string
	for _, d := range c.p.Devices {
		raw = append(raw, d.Source)
	}
	c.same("devices", raw, others)
	if len(npus) > 0 && (len(c.p.NPUs) != 1 || !slices.Contains(c.p.NPUs[0].IDs, npus[0])) {
		c.t.Errorf("npus: %+v, compose %v", c.p.NPUs, npus)
	}
	if c.s.Deploy != nil && (len(c.p.GPUs) != 1 || !c.p.GPUs[0].All) {
		c.t.Errorf("gpus: %+v, compose %v", c.p.GPUs, c.s.Deploy)
	}
}

func (c comparison) compareVolumes() {
	var want []string
	for _, v := range c.s.Volumes {
		source, target, _ := strings.Cut(v, ":")
		if strings.HasPrefix(source, "../../") { // the others are the driver's, and come with npus
			want = append(want, filepath.Join("/llamafactory", path.Base(source))+":"+target)
		}
	}
	var got []string
	for _, v := range c.p.Volumes {
		if v.ReadOnly || !v.CreateHostPath {
			c.t.Errorf("volume %+v: docker makes it, writable", v)
		}
		got = append(got, v.Source+":"+v.Target)
	}
	if c.volumes {
		c.same("volumes", got, want)
	} else if len(want) > 0 {
		c.t.Errorf("volumes %v: this era has none", want)
	}
}

// compareBuild: what compose builds is what hostrun builds, of the same arguments. Compose's context is the directory above its file's
// two; the profile's is where the caller is, which is to be LLaMA-Factory's.
func (c comparison) compareBuild() {
	c.same("restart", c.p.Restart, c.s.Restart)
	b := c.p.Build
	if b == nil {
		c.t.Fatal("no build")
	}
	c.same("context", b.Context, "/llamafactory")
	c.same("dockerfile", b.Dockerfile, filepath.Join("/llamafactory", c.s.Build.Dockerfile))
	args := map[string]string{}
	for _, a := range b.Args {
		args[a.Name] = a.Value
	}
	for name, value := range c.s.Build.Args {
		c.same("build argument "+name, args[name], value)
	}
	if len(c.p.Extensions) > 0 {
		c.t.Errorf("pending: %v", c.p.Extensions)
	}
}

// TestBuiltinVLLMAscend holds the profile against the docker run line of vllm-ascend's documentation.
func TestBuiltinVLLMAscend(t *testing.T) {
	p, err := Load(Options{Cwd: "/", Env: map[string]string{"NPUS": "0-7"}}, "vllm-ascend")
	must(t, err)
	v := p.Volumes[0]
	if len(p.NPUs) != 1 || len(p.NPUs[0].IDs) != 8 || p.ShmSize != 1<<30 || p.NetworkMode != "host" || !p.TTY || !p.StdinOpen || len(p.Volumes) != 1 ||
		v.Source != "/root/.cache" || v.Target != "/root/.cache" || v.ReadOnly || !slices.Equal(*p.Command, []string{"bash"}) || len(p.Extensions) > 0 {
		t.Errorf("%+v", p)
	}
	if p, err = Load(Options{Cwd: "/"}, "vllm-ascend"); err != nil || !p.NPUs[0].All {
		t.Errorf("%v, %+v", err, p)
	}
}

// comparePorts: each port that compose publishes is the host's, where the program listens by itself: at the image's port, or at
// the one that the environment names.
func (c comparison) comparePorts() {
	var got []string
	for _, p := range c.p.Ports {
		if p.First != p.Target || c.p.NetworkMode != "" {
			c.t.Errorf("port %+v with network_mode %q", p, c.p.NetworkMode)
		}
		got = append(got, fmt.Sprint(p.First))
	}
	var want []string
	for _, text := range c.s.Ports {
		host, container, _ := strings.Cut(text, ":")
		want = append(want, host)
		told := slices.ContainsFunc(c.p.Environment, func(v EnvVar) bool { return v.Value == host })
		if told == (host == container) {
			c.t.Errorf("port %s: told to the program: %v", text, told)
		}
	}
	c.same("ports", got, want)
}
