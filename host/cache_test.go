package host

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// cachedVenv is a virtual environment whose facts are in the cache.
func cachedVenv(t *testing.T) (venv, site string, opt Options, want Facts) {
	t.Helper()
	python := needPythons(t)[0]
	venv = makeVenv(t, python)
	site = onlyGlob(t, venv+"/lib/python3*/site-packages")
	writeDist(t, site, "one", "1")
	writeFile(t, site+"/one/deep/native/x.so", "")
	record := site + "/one-1.dist-info/RECORD"
	writeFile(t, record, readAll(t, record)+"one/deep/native/x.so,,\n")
	opt = Options{Root: "/", Env: bareEnv(t), Dir: "/", CacheDir: t.TempDir()}
	fillCache(t, opt, Needs{Python: venv})
	bare := opt
	bare.CacheDir = ""
	return venv, site, opt, probe(t, bare, venv)
}

func probe(t *testing.T, opt Options, python string) Facts {
	t.Helper()
	f, err := Probe(context.Background(), opt, Needs{Python: python})
	if err != nil || f.Python == nil {
		t.Fatal(err, f.Findings)
	}
	return f
}

func TestCacheGivesTheSameFacts(t *testing.T) {
	venv, _, opt, want := cachedVenv(t)
	file := onlyGlob(t, opt.CacheDir+"/python-*")
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, probe(t, opt, venv)); diff != "" {
		t.Error("-read +cached\n" + diff)
	}
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) {
		t.Error("the entry was not used:", err)
	}
}

// sealed is a whole cache file with this body.
func sealed(t *testing.T, body string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x")
	if err := cacheKind.Write(file, []byte(body)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDamagedCacheCostsTimeOnly(t *testing.T) {
	venv, _, opt, want := cachedVenv(t)
	file := onlyGlob(t, opt.CacheDir+"/python-*")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string][]byte{
		"empty": {}, "garbage": []byte("\x00\xff\n{}"), "header alone": good[:80], "half": good[:len(good)/2],
		"another version":  bytes.Replace(good, []byte("environment 2 "), []byte("environment 0 "), 1),
		"one byte flipped": bytes.Replace(good, []byte(`"version":"1"`), []byte(`"version":"9"`), 1),
		"valid, no facts":  sealed(t, "{}"),
		"valid, null":      sealed(t, "null"),
	}
	for name, b := range damage {
		t.Run(name, func(t *testing.T) {
			if bytes.Equal(b, good) {
				t.Fatal("nothing was damaged")
			}
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, probe(t, opt, venv)); diff != "" {
				t.Error(diff)
			}
			if healed, err := os.ReadFile(file); err != nil || !bytes.Equal(healed, good) {
				t.Error("the entry was not written anew:", err)
			}
		})
	}
	t.Run("a directory instead", func(t *testing.T) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		writeFile(t, file+"/x", "")
		if diff := cmp.Diff(want, probe(t, opt, venv)); diff != "" {
			t.Error(diff)
		}
		if left, _ := filepath.Glob(opt.CacheDir + "/.tmp-*"); left != nil {
			t.Error("left behind:", left)
		}
	})
	t.Run("no place for it", func(t *testing.T) {
		opt.CacheDir = "/dev/null/cache"
		if diff := cmp.Diff(want, probe(t, opt, venv)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestChangesAreSeenThroughTheCache(t *testing.T) {
	changes := map[string]func(t *testing.T, venv, site string, opt Options){
		"package added":         func(t *testing.T, _, site string, _ Options) { writeDist(t, site, "two", "2") },
		"package removed":       func(t *testing.T, _, site string, _ Options) { remove(t, site+"/one-1.dist-info") },
		"module of it removed":  func(t *testing.T, _, site string, _ Options) { remove(t, site+"/one/__init__.py") },
		"native module removed": func(t *testing.T, _, site string, _ Options) { remove(t, site+"/one/deep/native/x.so") },
		"pth file":              func(t *testing.T, _, site string, _ Options) { writeFile(t, site+"/x.pth", "one\n") },
		"pyvenv.cfg": func(t *testing.T, venv, _ string, _ Options) {
			writeFile(t, venv+"/pyvenv.cfg", readAll(t, venv+"/pyvenv.cfg")+"uv = 1\n")
		},
		"interpreter replaced": func(t *testing.T, venv, _ string, _ Options) { relink(t, venv+"/bin/python3") },
		"system site switched": func(t *testing.T, venv, _ string, _ Options) {
			writeFile(t, venv+"/pyvenv.cfg", string(bytes.ReplaceAll([]byte(readAll(t, venv+"/pyvenv.cfg")), []byte("= false"), []byte("= true"))))
		},
		"dist-info file replaced": func(t *testing.T, _, site string, _ Options) {
			remove(t, site+"/one-1.dist-info/METADATA")
			writeFile(t, site+"/one-1.dist-info/METADATA", "Name: one\nVersion: 7\n")
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			venv, site, opt, want := cachedVenv(t)
			time.Sleep(2 * justNow)
			change(t, venv, site, opt)
			bare := opt
			bare.CacheDir = ""
			now := probe(t, bare, venv)
			if cmp.Equal(want, now) && name != "interpreter replaced" {
				t.Fatal("the change changed no fact")
			}
			if diff := cmp.Diff(now, probe(t, opt, venv)); diff != "" {
				t.Error("-read +cached\n" + diff)
			}
		})
	}
}

func TestUserSiteMadeLaterIsSeen(t *testing.T) {
	python := needPythons(t)[0]
	opt := Options{Root: "/", Env: bareEnv(t), Dir: "/", CacheDir: t.TempDir()}
	fillCache(t, opt, Needs{Python: python})
	minor := probe(t, opt, python).Python.Version
	minor.Micro = -1
	writeDist(t, opt.Env["HOME"]+"/.local/lib/python"+minor.String()+"/site-packages", "later", "1")
	for _, d := range probe(t, opt, python).Python.Packages {
		if d.Name == "later" {
			return
		}
	}
	t.Error("the cache hid a new directory")
}

func remove(t *testing.T, p string) {
	t.Helper()
	if err := os.RemoveAll(p); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, p string) string {
	t.Helper()
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// relink replaces a link by one of another spelling.
func relink(t *testing.T, p string) {
	t.Helper()
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, p)
	symlink(t, real, p)
}
