package profiles

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// loadText reads a profile from text.
func loadText(t *testing.T, text string) (*Profile, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{"p.yaml": text})
	return Load(Options{Cwd: dir, Env: testEnv}, "./p.yaml")
}

func TestShortVolumesAsCompose(t *testing.T) {
	for _, s := range []string{"/a:/b", "/a:/b:ro", "/a:/b:rw", "name:/b", "name:/b:ro", "name:/b:nocopy", "/a:/b:rshared", "/a:/b:ro,rslave", "/a:/b:cached", "/a:/b/"} {
		p, err := loadText(t, "image: a\nvolumes: [\""+s+"\"]\n")
		must(t, err)
		want, err := format.ParseVolume(s)
		must(t, err)
		got := p.Volumes[0]
		propagation := ""
		if want.Bind != nil {
			propagation = want.Bind.Propagation
		}
		if got.Type != want.Type || got.Source != want.Source || got.Target != filepath.Clean(want.Target) || got.ReadOnly != want.ReadOnly || got.Propagation != propagation {
			t.Errorf("%s: got %+v, compose %+v", s, got, want)
		}
	}
}

func TestCommandsAsCompose(t *testing.T) {
	for _, s := range []string{"python3 a.py", `sh -c "echo 'a b'"`, `a\ b c`, `a "" b`, `a 'x"y'`, "  a   b ", `a "x\"y"`, "a=b c"} {
		p, err := loadText(t, "image: a\ncommand: |-\n  "+strings.TrimSpace(s)+"\n")
		must(t, err)
		var want types.ShellCommand
		must(t, want.DecodeMapstructure(strings.TrimSpace(s)))
		if diff := cmp.Diff([]string(want), []string(*p.Command)); diff != "" {
			t.Errorf("%s: %s", s, diff)
		}
	}
}

func TestSizesAsCompose(t *testing.T) {
	for _, s := range []string{"1", "1k", "1kb", "512m", "512M", "16gb", "16G", "1.5g", "1t", "1024b"} {
		p, err := loadText(t, "image: a\nshm_size: \""+s+"\"\n")
		must(t, err)
		var want types.UnitBytes
		must(t, want.DecodeMapstructure(s))
		if p.ShmSize != int64(want) {
			t.Errorf("%s: got %d, compose %d", s, p.ShmSize, want)
		}
	}
}

func TestDurationsAsCompose(t *testing.T) {
	for _, s := range []string{"1s", "1m30s", "1h", "500ms", "1.5s", "0s", "1d", "1w2d"} {
		p, err := loadText(t, "image: a\nstop_grace_period: "+s+"\n")
		must(t, err)
		var want types.Duration
		must(t, want.DecodeMapstructure(s))
		if *p.StopGracePeriod != time.Duration(want) {
			t.Errorf("%s: got %v, compose %v", s, *p.StopGracePeriod, want)
		}
	}
}

func TestExtraHostsAsCompose(t *testing.T) {
	list := []string{"a=10.0.0.1", "b:10.0.0.2", "c=::1", "d=[::1]", "e:::1", "f=host-gateway", "g=10.0.0.3,10.0.0.4"}
	p, err := loadText(t, "image: a\nextra_hosts: [\""+strings.Join(list, `", "`)+"\"]\n")
	must(t, err)
	want, err := types.NewHostsList(list)
	must(t, err)
	var got []string
	for _, h := range p.ExtraHosts {
		got = append(got, h.Name+"="+h.IP)
	}
	wanted := want.AsList("=")
	sort.Strings(got)
	sort.Strings(wanted)
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironmentAsCompose(t *testing.T) {
	p, err := loadText(t, "image: a\nenvironment: {N: 1, F: 1.5, B: true, S: x, E: \"\", Z: }\n")
	must(t, err)
	var want types.MappingWithEquals
	must(t, want.DecodeMapstructure(map[string]any{"N": 1, "F": 1.5, "B": true, "S": "x", "E": "", "Z": nil}))
	for _, v := range p.Environment {
		if w := want[v.Name]; w == nil || *w != v.Value {
			t.Errorf("%s: got %q", v.Name, v.Value)
		}
	}
	if len(p.Environment) != 5 {
		t.Errorf("got %v", p.Environment)
	}
}

func TestEnvFilesAsCompose(t *testing.T) {
	for _, name := range []string{"one.env", "two.env"} {
		text, err := os.ReadFile(filepath.Join("testdata/good", name))
		must(t, err)
		find := func(name string) (string, bool) { v, ok := testEnv[name]; return v, ok }
		want, err := dotenv.ParseWithLookup(strings.NewReader(string(text)), find)
		must(t, err)
		r := &report{}
		parser := dotenvParser{file: name, find: find, report: r}
		got := map[string]string{}
		for _, e := range parser.parse(string(text)) {
			got[e.name] = e.value
		}
		must(t, r.err())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
