package profiles

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/finding"
)

// written puts files below a new directory.
func written(t *testing.T, files map[string]string) Options {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return Options{Cwd: dir, Dirs: []string{"profiles", "stack.yaml"}}
}

const shop = `name: shop
x-base: &base
  image: busybox
  environment: {A: "${A}"}
networks:
  front: {name: shopfront, internal: true, driver_opts: {com.docker.network.driver.mtu: 1400}, ipam: {config: [{subnet: 10.5.0.0/24}]}}
  other: {external: true}
  default: {enable_ipv6: true}
volumes:
  data: {name: shopdata}
  seen: {external: {name: there}}
  dir: {driver: local, driver_opts: {type: none, o: bind, device: ./sub}}
  plain:
profiles:
  db:
    <<: *base
    networks: [front]
    volumes: ["data:/data", "seen:/seen", "dir:/dir:ro", "plain:/plain"]
  web:
    extends: db
    image: nginx
    networks: {front: {aliases: [site], driver_opts: {com.docker.network.driver.mtu: 1500}}, other: }
    depends_on: [db]
    env_file: web.env
  alone: *base
  bridged: {<<: *base, network_mode: bridge}
  single: {extends: single}
  far: {extends: {file: far/other.yaml, service: deep}}
`

// TestStackSharesSecrets: what stands beside profiles: is given to those that name it, as in compose.
func TestStackSharesSecrets(t *testing.T) {
	opt := written(t, map[string]string{"stack.yaml": `secrets:
  token: {environment: HF_TOKEN, mode: 0400}
  cert: {file: ./cert.pem}
  unused: {file: ./gone}
configs: {app: {content: "a=1"}}
profiles:
  web:
    image: a
    secrets: [token, {source: cert, target: server.crt, mode: 0440}, elsewhere]
    configs: [app]
  db: {image: b, volumes: ["data:/data"], configs: {app: {content: own}}}
  side: {image: c, volumes_from: ["db:ro"], links: [web]}
volumes: {data: {name: real}}
`})
	load := func(name string) *Profile {
		p, err := Load(opt, "./stack.yaml:"+name)
		must(t, err)
		return p
	}
	web := load("web")
	var got []string
	for _, v := range append(web.Secrets, web.Configs...) {
		got = append(got, fmt.Sprintf("%s %s %04o", v.Describe(), v.Target, v.Mode))
	}
	want := []string{"environment variable HF_TOKEN /run/secrets/token 0400", "file " + filepath.Join(opt.Cwd, "cert.pem") + " /run/secrets/server.crt 0440",
		`systemd credential "elsewhere" /run/secrets/elsewhere 0444`, "the profile /app 0444"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if db := load("db"); len(db.Secrets) != 0 || len(db.Configs) != 1 || *db.Configs[0].Content != "own" {
		t.Errorf("db has %+v and %+v", db.Secrets, db.Configs)
	}
	side := load("side")
	if len(side.Volumes) != 1 || side.Volumes[0].Source != "real" || !side.Volumes[0].ReadOnly || side.Volumes[0].Target != "/data" {
		t.Errorf("side has the volumes %+v", side.Volumes)
	}
	if len(side.DependsOn) != 2 {
		t.Errorf("side depends on %+v", side.DependsOn)
	}
}

func TestStack(t *testing.T) {
	opt := written(t, map[string]string{"stack.yaml": shop, ".env": "A=of the project\n", "web.env": "B=2\n",
		"profiles/single.yaml": "image: hidden\n", "far/other.yaml": "profiles:\n  deep: {image: deep, working_dir: /deep}\n"})
	st := ReadStack(opt, "./stack.yaml")
	if st == nil || st.Name != "shop" || strings.Join(st.Profiles, " ") != "db web alone bridged single far" || strings.Join(st.Volumes, " ") != "shopdata plain" {
		t.Fatalf("%+v", st)
	}
	if ReadStack(opt, "single") != nil || ReadStack(opt, "web") != nil {
		t.Error("one profile is taken for a stack")
	}
	load := func(name string) *Profile {
		t.Helper()
		p, err := Load(opt, name)
		must(t, err)
		return p
	}
	db := load("./stack.yaml:db")
	if again := load("db"); again.File != db.File || again.Name != "db" || !reflect.DeepEqual(again.Networks, db.Networks) {
		t.Errorf("by its name: %+v", again)
	}
	front := db.Networks[0]
	if front.Name != "shopfront" || !front.Internal || front.MTU != 1400 || front.Subnets[0].Subnet != "10.5.0.0/24" {
		t.Errorf("the network: %+v", front)
	}
	var volumes []string
	for _, v := range db.Volumes {
		volumes = append(volumes, v.Type+" "+v.Source)
	}
	if want := []string{"volume shopdata", "volume there", "bind " + filepath.Join(opt.Cwd, "sub"), "volume plain"}; !reflect.DeepEqual(volumes, want) || !db.Volumes[1].External || !db.Volumes[2].ReadOnly {
		t.Errorf("volumes: %q", volumes)
	}
	if db.Environment[0].Value != "of the project" || db.Stack.Name != "shop" || db.Stack.File != filepath.Join(opt.Cwd, "stack.yaml") || db.Dir != opt.Cwd {
		t.Errorf("%+v", db)
	}
	web := load("stack.yaml:web")
	if web.Image != "nginx" || len(web.Volumes) != 4 || len(web.Environment) != 2 || web.Networks[0].MTU != 1500 || web.Networks[0].Aliases[0] != "site" || web.Networks[1].Name != "other" {
		t.Errorf("web: %+v", web)
	}
	if at := web.Lines["depends_on"]; at.Line != 23 || at.File != "stack.yaml" {
		t.Errorf("depends_on stands at %+v", at)
	}
	if p := load("alone"); p.Image != "busybox" {
		t.Errorf("an alias: %+v", p)
	}
	if p := load("bridged"); len(p.Networks) != 1 || !p.Networks[0].EnableIPv6 {
		t.Errorf("the default network: %+v", p.Networks)
	}
	if p := load("./stack.yaml:single"); p.Image != "hidden" { // the one that it hides
		t.Errorf("extends of its own name: %+v", p)
	}
	if p := load("single"); p.Stack != nil { // ./profiles comes first
		t.Errorf("a file of its own: %+v", p)
	}
	if p := load("far"); p.WorkingDir != "/deep" {
		t.Errorf("extends of another stack's: %+v", p)
	}
	all, err := List(opt)
	must(t, err)
	var listed []string
	for _, e := range all {
		if !strings.HasPrefix(e.File, builtinPrefix) {
			listed = append(listed, e.Name+" "+e.File)
		}
	}
	if want := "alone stack.yaml,bridged stack.yaml,db stack.yaml,far stack.yaml,single profiles/single.yaml,single stack.yaml,web stack.yaml"; strings.Join(listed, ",") != want {
		t.Errorf("list: %q", listed)
	}
}

// TestStackSchema: what the reader takes passes, and what it refuses does not.
func TestStackSchema(t *testing.T) {
	var s map[string]any
	must(t, json.Unmarshal(StackSchema(), &s))
	opt := written(t, map[string]string{"good.yaml": strings.Replace(shop, "external: {name: there}", "external: true", 1), "one.yaml": "image: x\n", "key.yaml": "profiles: {web: {image: x, imag: y}}\n",
		"beside.yaml": "profiles: {web: {image: x}}\nservices: {}\n", "network.yaml": "networks: {front: {aliases: [a]}}\nprofiles: {web: {image: x}}\n"})
	for name, good := range map[string]bool{"good": true, "one": false, "key": false, "beside": false, "network": false} {
		if err := validate(s, document(t, filepath.Join(opt.Cwd, name+".yaml"))); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStackIsNoProfile(t *testing.T) {
	opt := written(t, map[string]string{"stack.yaml": "profiles: {web: {image: a}, db: {image: b}}\n", "profiles/group.yaml": "profiles: {a: {image: a}}\n"})
	_, err := Load(opt, "./stack.yaml")
	var whole *StackError
	if !errors.As(err, &whole) || finding.StatusOf(err) != finding.StatusProfile || err.Error() != "read the profile ./stack.yaml: the file holds several: web, db" ||
		strings.Join(finding.HintOf(err), "") != "name one of them: ./stack.yaml:web" {
		t.Errorf("%v %q", err, finding.HintOf(err))
	}
	must(t, os.WriteFile(filepath.Join(opt.Cwd, "stack.yaml"), []byte("profiles: {web: {image: a}\n"), 0o644))
	if _, err := Load(opt, "web"); err == nil || !strings.HasPrefix(err.Error(), "stack.yaml:") { // it may be in there
		t.Errorf("a name, and a stack that is no YAML: %v", err)
	}
	if _, err := Load(opt, "group"); !errors.As(err, &whole) {
		t.Errorf("a stack among the profiles: %v", err)
	}
}

func TestStackRefuses(t *testing.T) {
	opt := written(t, map[string]string{"one.yaml": "image: x\n", "stack.yaml": `networks: {front: }
volumes: {data: }
profiles:
  web: {image: x, networks: [frnt, default], volumes: ["dta:/data"]}
  wrong: {image: x, imag: y, name: other}
  -odd: {image: x}
  round: {extends: circle}
  circle: {extends: round}
  whole: {extends: {file: stack.yaml}}
  many: {image: x, replicas: 2, volumes: [/own]}
  taker: {image: x, volumes_from: [many]}
`})
	for name, want := range map[string]string{
		"./stack.yaml:web":    "./stack.yaml:4: networks[0]: \"frnt\" is not among the stack's networks\n./stack.yaml:4: volumes[0]: \"dta\" is not among the stack's volumes",
		"./stack.yaml:wbe":    "./stack.yaml:3: there is no profile \"wbe\" in it",
		"./stack.yaml:wrong":  "./stack.yaml:5: imag: unknown key\n./stack.yaml:5: name: \"other\" is not the profile's name, which is \"wrong\"",
		"./stack.yaml:-odd":   "./stack.yaml:1: \"-odd\" can't be a container's name",
		"./stack.yaml:round":  "./stack.yaml:8: extends: the profiles extend each other: ./stack.yaml:round -> ./stack.yaml:circle -> ./stack.yaml:round",
		"./stack.yaml:whole":  "./stack.yaml:3: extends: the file holds several profiles",
		"./stack.yaml:taker":  "./stack.yaml:11: volumes_from[0]: the volume at /own of many has no name, and each of its replicas has one of its own",
		"./one.yaml:web":      "./one.yaml:1: the file is no stack: it has no profiles:",
		"./absent.yaml:web":   "read the profile ./absent.yaml:web: no such file or directory",
		"./stack.yaml:a/b":    "read the profile ./stack.yaml:a/b: no such file or directory",
		"absent/../stack.yml": "read the profile absent/../stack.yml: no such file or directory",
	} {
		if _, err := Load(opt, name); err == nil || err.Error() != want {
			t.Errorf("%s:\n%v, want\n%s", name, err, want)
		}
	}
}

func TestReplicas(t *testing.T) {
	opt := written(t, map[string]string{
		"three.yaml":  "image: x\nnetwork_mode: bridge\nreplicas: 3\nports: [\"80\", \"8000-8002:81\"]\n",
		"scale.yaml":  "image: x\nscale: \"2\"\ndeploy: {replicas: 2}\n",
		"over.yaml":   "extends: {file: three.yaml}\ndeploy: {replicas: 0}\n",
		"device.yaml": "image: x\nreplicas: per-device\ngpus: all\n",
	})
	for name, want := range map[string]Replicas{
		"three": {Count: 3, Key: "replicas"}, "scale": {Count: 2, Key: "deploy.replicas"}, "over": {Key: "deploy.replicas"}, "device": {PerDevice: true, Key: "replicas"},
	} {
		p, err := Load(opt, "./"+name+".yaml")
		must(t, err)
		if p.Replicas == nil || *p.Replicas != want {
			t.Errorf("%s: %+v", name, p.Replicas)
		}
	}
	p, err := Load(opt, "./three.yaml")
	must(t, err)
	if err := CheckReplicas(p, 3); err != nil {
		t.Error(err)
	}
	if err := CheckReplicas(p, 4); err == nil || err.Error() != "./three.yaml:4: ports[1]: 4 containers want a port of the host each for 81, and it names 3" {
		t.Error(err)
	}
}

// TestNetworksOfAStackWithOneSubnet are refused before the first container is made.
func TestNetworksOfAStackWithOneSubnet(t *testing.T) {
	opt := written(t, map[string]string{"stack.yaml": `networks:
  front: {ipam: {config: [{subnet: 10.5.0.0/16}]}}
  apart: {ipam: {config: [{subnet: 10.6.0.0/16}]}}
  back: {ipam: {config: [{subnet: 10.5.1.0/24}]}}
profiles: {web: {image: x, networks: [front]}}
`})
	_, err := Load(opt, "./stack.yaml:web")
	if err == nil || !strings.Contains(err.Error(), "stack.yaml:4: networks.back: its subnet 10.5.1.0/24 overlaps with 10.5.0.0/16 of the network front") {
		t.Error(err)
	}
}

// TestVolumesOfMount: driver_opts are a directory of the host, or what mount(8) mounts; what is neither is said.
func TestVolumesOfMount(t *testing.T) {
	for options, want := range map[string]string{
		`{type: nfs, o: "addr=10.0.0.5,nolock,rw", device: ":/exports"}`: `{"type":"nfs","device":":/exports","options":["addr=10.0.0.5","nolock","rw"]}`,
		`{type: tmpfs, device: tmpfs, o: "size=1m, mode=0750"}`:          `{"type":"tmpfs","device":"tmpfs","options":["size=1m","mode=0750"]}`,
		`{type: ext4, device: /dev/sdb1}`:                                `{"type":"ext4","device":"/dev/sdb1"}`,
		`{type: none, o: "bind,rw", device: /srv}`:                       "null",
		`{o: bind, device: /srv}`:                                        "null",
		`{type: bind, device: /srv}`:                                     "null",
		`{type: nfs, o: "addr=10.0.0.5"}`:                                "device is missing",
		`{device: /srv}`:                                                 "type is missing",
		`{type: none, o: "bind,ro", device: /srv}`:                       "a directory of the host with these options",
		`{type: nfs, device: x, size: 1}`:                                "volumes.v.driver_opts.size: hostrun does not do this option",
	} {
		opt := written(t, map[string]string{"stack.yaml": "volumes: {v: {driver_opts: " + options + "}}\nprofiles: {a: {image: b, volumes: [\"v:/v\"]}}\n"})
		p, err := Load(opt, "a")
		var got string
		if err != nil {
			got = err.Error()
		} else if text, err := json.Marshal(p.Volumes[0].Mount); err == nil {
			got = string(text)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, not %s", options, got, want)
		}
	}
}
