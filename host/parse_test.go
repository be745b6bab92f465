package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/abi"
)

var seedVersions = []abi.Version{{Major: 3, Minor: 6, Micro: 15}, {Major: 3, Minor: 14}}

func TestHiddenPthFilesByVersion(t *testing.T) {
	for text, want := range map[abi.Version]bool{
		{Major: 3, Minor: 7, Micro: 17}: false, {Major: 3, Minor: 8, Micro: 18}: false, {Major: 3, Minor: 8, Micro: 19}: true,
		{Major: 3, Minor: 11, Micro: 7}: false, {Major: 3, Minor: 11, Micro: 8}: true, {Major: 3, Minor: 12, Micro: 1}: false, {Major: 3, Minor: 12, Micro: 2}: true,
		{Major: 3, Minor: 13}: true, {Major: 3, Minor: 14}: true,
	} {
		if got := abi.SkipsHiddenPth(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestSplitDistName(t *testing.T) {
	for entry, want := range map[string][2]string{
		"torch-2.6.0+cu124.dist-info": {"torch", "2.6.0+cu124"}, "PyJWT-2.6.0.egg-info": {"PyJWT", "2.6.0"}, "foo.egg-info": {"foo", ""},
		"foo_bar-1.0-py3.11.egg-info": {"foo_bar", "1.0"}, "foo-1-py3.11-linux-x86_64.egg-info": {"foo", "1-py3.11-linux"}, "EGG-INFO": {"EGG-INFO", ""},
	} {
		if n, v := splitDistName(entry); n != want[0] || entry != "foo-1-py3.11-linux-x86_64.egg-info" && v != want[1] {
			t.Errorf("%s: %s %s", entry, n, v)
		}
	}
}

func TestNormalise(t *testing.T) {
	if got := Normalise("Foo__Bar.-baz"); got != "foo-bar-baz" {
		t.Error(got)
	}
}

func TestLiterals(t *testing.T) {
	text := "__version__ = version = '0.6.1'\n__version_tuple__ = (0, 6)\nbuild_info = collections.OrderedDict([])\nbuild_info = {\"cuda_version\": \"12.5.1\", 'x': '1'}\n x.cuda = '9'\ndebug: bool = True\nhip = None\n"
	got := literals(text, map[string]string{"__version__": "version", "cuda_version": "cuda", "debug": "debug", "hip": "hip"})
	if diff := cmp.Diff(map[string]string{"version": "0.6.1", "cuda": "12.5.1", "debug": "True"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFinderMapping(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"MAPPING: dict[str, str] = {'a': '/s/a', 'b.c': '/s/b/c'}\n": {"a": "/s/a", "b.c": "/s/b/c"},
		"MAPPING = {'a': \"/it's/a\"}\n":                             {"a": "/it's/a"},
		"MAPPING: Dict[str, str] = {}\n":                             {},
		"nothing":                                                    nil,
	} {
		if diff := cmp.Diff(want, parseFinder(text)); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func FuzzPth(f *testing.F) {
	for _, s := range []string{trickyPth, "import x\n", "\xef\xbb\xbfa\r\rb", "\x85\x1c\x00", "a b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range seedVersions {
			for _, line := range abi.ParsePth(b, v) {
				if line.Text == "" && !line.Code || strings.ContainsAny(line.Text, "\n\r") || strings.HasPrefix(line.Text, "#") {
					t.Errorf("%s: %q from %q", v, line.Text, b)
				}
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{"a,b,c\n", "\"a,\"\"b\",,\r\nc", "\"", ",,\n\n", "../x,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		parseRecord(s, func(p string) {
			n += len(p)
			topOf(p, []string{".so"})
			if p == "" {
				t.Error("an empty path")
			}
		})
		if n > len(s) {
			t.Errorf("%d bytes of paths out of %d", n, len(s))
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, s := range []string{"Name: a\nVersion: 1\n\nName: b", "name:a\r\nVERSION:2\r\n", " Name: x\n", ":", "Name:\nName: b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		name, version := parseMetadata(b)
		if strings.ContainsAny(name+version, "\n") || len(name)+len(version) > len(b) {
			t.Errorf("%q %q", name, version)
		}
		parseFinder(string(b))
		editableSource(b)
		literals(string(b), versionPy)
		parseCUDAJSON(b)
		parsePyenvVersions(string(b))
	})
}

func TestRecordFields(t *testing.T) {
	var got []string
	parseRecord("a/b.py,sha256=x,1\r\n\"c, \"\"d\"\"\",,\nlast,,\n\nnocomma", func(p string) { got = append(got, p) })
	if diff := cmp.Diff([]string{"a/b.py", `c, "d"`, "last", "nocomma"}, got); diff != "" {
		t.Error(diff)
	}
}
