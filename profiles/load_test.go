package profiles

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/finding"
)

var update = flag.Bool("update", false, "write the golden files of testdata")

// testEnv is the caller's environment of the tests.
var testEnv = map[string]string{"HOME": "/home/ann", "EMPTY": "", "TAG": "v2", "TOKEN": "secret", "FLAG": "true", "N": "7"}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		must(t, os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func here(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	must(t, err)
	return dir
}

// profilesOf returns the profiles of a directory of testdata.
func profilesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	must(t, err)
	if len(files) == 0 {
		t.Fatalf("testdata/%s holds no profile", dir)
	}
	return files
}

func TestGood(t *testing.T) {
	for _, file := range profilesOf(t, "good") {
		t.Run(stem(file), func(t *testing.T) {
			p, err := Load(Options{Env: testEnv, Cwd: here(t)}, file)
			if err != nil {
				t.Fatalf("%v\n%s", err, finding.HintOf(err))
			}
			b, err := json.MarshalIndent(p, "", "  ")
			must(t, err)
			b = bytes.ReplaceAll(b, []byte(here(t)), []byte("/here"))
			golden(t, strings.TrimSuffix(file, ".yaml")+".json", append(b, '\n'))
		})
	}
}

func TestBad(t *testing.T) {
	for _, file := range profilesOf(t, "bad") {
		t.Run(stem(file), func(t *testing.T) {
			p, err := Load(Options{Env: testEnv, Cwd: here(t)}, file)
			if err == nil {
				t.Fatalf("no error: %+v", p)
			}
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("%T is no *InvalidError: %v", err, err)
			}
			text := fmt.Sprintf("%v\nexit status %d\n", err, finding.StatusOf(err))
			for _, hint := range finding.HintOf(err) {
				text += "hint: " + hint + "\n"
			}
			text = strings.ReplaceAll(text, here(t), "/here")
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", []byte(text))
			checkProblems(t, invalid)
		})
	}
}

// checkProblems holds what every problem has to have, whatever its cause.
func checkProblems(t *testing.T, e *InvalidError) {
	t.Helper()
	findings := e.Findings()
	for i, p := range e.Problems {
		if p.Line < 1 || p.File == "" || p.Message == "" || p.Remedy == "" {
			t.Errorf("file, line, message or remedy is missing: %+v", p)
		}
		if strings.Contains(p.Message, "\n") || strings.Contains(p.Remedy, "\n") {
			t.Errorf("more than one line: %+v", p)
		}
		f := findings[i]
		if f.ID != p.ID || finding.Explain(f.ID).ExitStatus != finding.StatusProfile || f.Severity != finding.Error || f.Line != p.Line || f.File != p.File || f.Subject == "" {
			t.Errorf("finding %+v of %+v", f, p)
		}
	}
}

func TestBadIsManyCases(t *testing.T) {
	if n := len(profilesOf(t, "bad")); n < 60 {
		t.Errorf("only %d bad profiles", n)
	}
}

func TestBuiltin(t *testing.T) {
	files, err := builtin.ReadDir("builtin")
	must(t, err)
	for _, f := range files {
		p, err := Load(Options{Cwd: "/somewhere"}, stem(f.Name()))
		if err != nil {
			t.Errorf("%s: %v", f.Name(), err)
			continue
		}
		if p.File != "builtin:"+f.Name() || p.Dir != "/somewhere" || p.Image == "" && p.Rootfs == "" || p.Command == nil {
			t.Errorf("%s: %+v", f.Name(), p)
		}
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

func TestSearch(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"one/a.yaml": "image: one-a", "one/b.yml": "image: one-b", "one/b.yaml": "image: one-b-yaml", "one/notes.txt": "no", "one/sub.yaml/x": "",
		"two/a.yaml": "image: two-a", "two/dinov2.yaml": "image: mine", "two/.hidden.yaml": "image: x",
	})
	opt := Options{Dirs: []string{"one", filepath.Join(dir, "two"), "absent"}, Cwd: dir}
	for name, want := range map[string]string{
		"a": "one-a", "b": "one-b-yaml", "dinov2": "mine", "./two/a.yaml": "two-a", "two/a.yaml": "two-a", filepath.Join(dir, "one/b.yml"): "one-b",
	} {
		p, err := Load(opt, name)
		if err != nil || p.Image != want {
			t.Errorf("%s: %+v, %v; want image %s", name, p, err, want)
		}
	}
	entries, err := List(opt)
	must(t, err)
	want := []Entry{
		{"a", "one/a.yaml", false}, {"a", filepath.Join(dir, "two/a.yaml"), true}, {"b", "one/b.yaml", false}, {"b", "one/b.yml", true},
		{"dinov2", filepath.Join(dir, "two/dinov2.yaml"), false}, {"dinov2", "builtin:dinov2.yaml", true},
		{"hello", "builtin:hello.yaml", false},
	}
	for _, name := range []string{"llamafactory-910b-openeuler", "llamafactory-910b-ubuntu", "llamafactory-a3-openeuler", "llamafactory-a3-ubuntu",
		"llamafactory-cuda", "llamafactory-npu", "llamafactory-rocm", "vllm-ascend"} {
		want = append(want, Entry{name, "builtin:" + name + ".yaml", false})
	}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownName(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"llama-npu.yaml": "image: a", "lamma.yaml": "image: a", "whisper.yaml": "image: a"})
	opt := Options{Dirs: []string{dir}, Cwd: dir}
	for name, want := range map[string]string{"dinvo2": "did you mean dinov2?", "llama": "did you mean lamma, llama-npu", "Whisper": "did you mean whisper?"} {
		_, err := Load(opt, name)
		if finding.StatusOf(err) != finding.StatusProfile || !strings.Contains(strings.Join(finding.HintOf(err), "\n"), want) || !strings.Contains(fmt.Sprint(err), dir) {
			t.Errorf("%s: %v, %q; want %q", name, err, finding.HintOf(err), want)
		}
	}
	for name, status := range map[string]int{"": finding.StatusProfile, "..": finding.StatusProfile, "./gone.yaml": finding.StatusNoPath, "zzz": finding.StatusProfile} {
		if _, err := Load(opt, name); finding.StatusOf(err) != status {
			t.Errorf("%q: %v, status %d, want %d", name, err, finding.StatusOf(err), status)
		}
	}
}

// The .env beside the profile gives variables; the caller's go before it.
func TestDotenvBesideProfile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{".env": "TAG=file\nOTHER=${TAG}-x\n", "p.yaml": "image: a:${TAG}\nenvironment: [OTHER, ABSENT]\n"})
	p, err := Load(Options{Cwd: dir, Env: map[string]string{"TAG": "caller"}}, "./p.yaml")
	must(t, err)
	if p.Image != "a:caller" || len(p.Environment) != 1 || p.Environment[0] != (EnvVar{"OTHER", "caller-x"}) {
		t.Errorf("got %+v", p)
	}
	p, err = Load(Options{Cwd: dir}, "./p.yaml")
	must(t, err)
	if p.Image != "a:file" {
		t.Errorf("got %+v", p)
	}
}

func TestOnlyMissingFilesAreStatus66(t *testing.T) {
	for name, want := range map[string]int{"env_file_missing": 66, "env_file_missing_and_more": 65, "seccomp_missing": 66, "unknown_key": 65} {
		_, err := Load(Options{Cwd: here(t)}, "testdata/bad/"+name+".yaml")
		if got := finding.StatusOf(err); got != want {
			t.Errorf("%s: status %d, want %d", name, got, want)
		}
	}
}

// A profile over a directory, a device or a FIFO is refused without blocking.
func TestProfileIsNoFile(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "d.yaml"), 0o755))
	for _, name := range []string{"./d.yaml", "/dev/zero/", "/dev/null"} {
		if p, err := Load(Options{Cwd: dir}, name); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestHugeFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"p.yaml": "image: a\n#" + strings.Repeat("x", maxFile)})
	if _, err := Load(Options{Cwd: dir}, "./p.yaml"); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v", err)
	}
}

// Files of the size that the bounds allow are read, or refused, without quadratic work that a person would notice.
func TestLargeFiles(t *testing.T) {
	var env, volumes, unknown, merged strings.Builder
	env.WriteString("image: a\nenvironment:\n")
	volumes.WriteString("image: a\nvolumes:\n")
	unknown.WriteString("image: a\n")
	merged.WriteString("image: a\nx-a: &a\n")
	for i := 0; i < 4500; i++ {
		fmt.Fprintf(&env, "  V%d: ${TAG}\n", i)
		fmt.Fprintf(&volumes, "  - /s:/t%d\n", i)
		fmt.Fprintf(&unknown, "unknown_key_%d: 1\n", i)
		fmt.Fprintf(&merged, "  k%d: 1\n", i)
	}
	merged.WriteString("labels:\n  <<: [" + strings.Repeat("*a,", 1000) + "*a]\n")
	if p, err := loadText(t, env.String()); err != nil || len(p.Environment) != 4500 {
		t.Errorf("environment: %v", err)
	}
	if p, err := loadText(t, volumes.String()); err != nil || len(p.Volumes) != 4500 || p.Volumes[4499].Key != "volumes[4499]" {
		t.Errorf("volumes: %v", err)
	}
	var invalid *InvalidError
	if _, err := loadText(t, unknown.String()); !errors.As(err, &invalid) || len(invalid.Problems) != maxProblems {
		t.Errorf("unknown keys: %v", err)
	}
	if _, err := loadText(t, merged.String()); !errors.As(err, &invalid) || len(invalid.Problems) != 1 {
		t.Errorf("merge keys: %v", err)
	}
}

// An entry of the derived profile takes the place of the base's with the same target, whatever key it came by.
func TestExtendsReplacesByTarget(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"base.yaml": "image: a\nvolumes: [/s:/one, /s:/two]\ntmpfs: [/three]\n",
		"p.yaml":    "extends: base\ntmpfs: [/one]\nvolumes: [/new:/three, /new:/two]\n",
	})
	p, err := Load(Options{Cwd: dir}, "./p.yaml")
	must(t, err)
	var got []string
	for _, v := range p.Volumes {
		got = append(got, v.Type+" "+v.Source+" "+v.Target)
		if p.Lines[v.Key].File == "" || strings.HasSuffix(p.Lines[v.Key].File, "base.yaml") {
			t.Errorf("%+v stands in %+v", v, p.Lines[v.Key])
		}
	}
	if diff := cmp.Diff([]string{"tmpfs  /one", "bind /new /two", "bind /new /three"}, got); diff != "" {
		t.Error(diff)
	}
}

// A profile that hides a built-in one of the same name can extend it.
func TestExtendsWhatItHides(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"dinov2.yaml": "extends: dinov2\nimage: mine\n"})
	p, err := Load(Options{Dirs: []string{dir}, Cwd: dir}, "dinov2")
	must(t, err)
	if p.Image != "mine" || p.Command == nil || p.Lines["command"].File != "builtin:dinov2.yaml" {
		t.Errorf("got %+v", p)
	}
}

// A base's relative paths start at its directory, but its variables are those of the profile that was named.
func TestExtendsTakesVariablesOfTheProfile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		".env": "X=outer\n", "p.yaml": "extends: {file: sub/base.yaml}\n",
		"sub/.env": "X=inner\n", "sub/base.yaml": "image: a:${X}\nvolumes: [\"./d:/d\"]\n",
	})
	p, err := Load(Options{Cwd: dir}, "./p.yaml")
	must(t, err)
	if p.Image != "a:outer" || p.Volumes[0].Source != filepath.Join(dir, "sub/d") {
		t.Errorf("got %+v", p)
	}
}

func TestExtendsIsBounded(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"p0.yaml": "image: a\n"}
	for i := 1; i < maxExtends+5; i++ {
		files[fmt.Sprintf("p%d.yaml", i)] = fmt.Sprintf("extends: p%d\n", i-1)
	}
	write(t, dir, files)
	if _, err := Load(Options{Cwd: dir}, fmt.Sprintf("./p%d.yaml", maxExtends)); err != nil {
		t.Error(err)
	}
	if _, err := Load(Options{Cwd: dir}, fmt.Sprintf("./p%d.yaml", maxExtends+1)); err == nil {
		t.Error("no error")
	}
}

// Every load starts afresh: readers are shared tables, and nothing of a profile may stay in them.
func TestLoadIsRepeatable(t *testing.T) {
	opt := Options{Env: testEnv, Cwd: here(t)}
	first, err := Load(opt, "testdata/good/everything.yaml")
	must(t, err)
	_, _ = Load(opt, "testdata/bad/many.yaml")
	second, err := Load(opt, "testdata/good/everything.yaml")
	must(t, err)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}

// With several files a remedy says which one it is for.
func TestHintNamesFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"base.yaml": "image: a\ntty: maybe\n", "p.yaml": "extends: base\ninit: maybe\nfoo: 1\n"})
	_, err := Load(Options{Cwd: dir}, "./p.yaml")
	got := strings.Join(finding.HintOf(err), "\n")
	for _, want := range []string{"base.yaml:2, ./p.yaml:2: write true or false", "./p.yaml:3: remove it"} {
		if !strings.Contains(got, want) {
			t.Errorf("hint %q lacks %q", got, want)
		}
	}
}
