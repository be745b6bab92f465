package imports

import (
	"slices"
	"strings"
	"testing"
)

// A calling is a module that calls functions while it is imported.
type calling struct {
	name, text string
	calls      []string // what is listed: "module:line"
	last       string   // what the import of it really ends with; "" where it does not fail
}

var callings = []calling{
	{"own", "import os\ndef check(x=None):\n    if not os.environ.get('NEVER'):\n        raise ImportError('no library')\n\ncheck()\n", []string{"own:4"}, "ImportError: no library"},
	{"assigned", "import os\ndef found():\n    for at in ('/nothere',):\n        if os.path.exists(at):\n            return at\n    raise OSError('not found')\n\nlib = str(found())\n", []string{"assigned:6"}, "OSError: not found"},
	{"other", "from parts import dll\ndll.add('x')\n", []string{"parts.dll:3"}, "ImportError: Could not find the package"},
	{"dotted", "import parts.dll\nwith open('/dev/null'):\n    parts.dll.add('x')\n", []string{"parts.dll:3"}, "ImportError: Could not find the package"},
	{"renamed", "import parts.dll as d\nif len(d.__name__) > 3:\n    d.add('x')\n", []string{"parts.dll:3"}, "ImportError: Could not find the package"},
	{"taken", "from parts.dll import add as add_it\nadd_it(1)\n", []string{"parts.dll:3"}, "ImportError: Could not find the package"},
	{"passed_on", "from parts import add\nadd(1)\n", []string{"parts.dll:3"}, "ImportError: Could not find the package"},
	{"two_levels", "from parts.dll import deep\ndeep()\n", []string{"parts.dll:3", "parts.dll:7"}, "ImportError: Could not find the package"},
	{"own_and_other", "from parts import dll\ndef _init():\n    dll.add(1)\n_init()\n", []string{"parts.dll:3"}, "ImportError: Could not find the package"},
	{"decorator", "def known(f):\n    if f.__name__ == 'twice':\n        raise RuntimeError('twice')\n    return f\n@known\ndef twice(): pass\n", []string{"decorator:3"}, "RuntimeError: twice"},
	{"condition", "def sound():\n    if len('x') < 2:\n        raise ValueError('short')\n    return True\nif sound():\n    pass\n", []string{"condition:3"}, "ValueError: short"},
	{"ends", "import sys\ndef leave():\n    if len('x') < 2:\n        sys.exit('short')\nleave()\n", []string{"ends:4"}, "short"},
	{"handler", "def f():\n    try:\n        raise ImportError('inner')\n    except ImportError as e:\n        raise RuntimeError('outer') from e\nf()\n", []string{"handler:3", "handler:5"}, "RuntimeError: outer"},
	{"caught_by_caller", "from parts import dll\ntry:\n    dll.add(1)\nexcept ImportError:\n    dll = None\n", nil, ""},
	{"caught_inside", "def f():\n    try:\n        raise ValueError\n    except Exception:\n        pass\nf()\n", nil, ""},
	{"caught_twice", "def f():\n    raise KeyError\ntry:\n    f()\nexcept:\n    pass\n", nil, ""},
	{"not_caught", "def f():\n    raise KeyError('x')\ntry:\n    f()\nexcept ImportError:\n    pass\n", []string{"not_caught:2"}, "KeyError: 'x'"},
	{"not_called", "def f():\n    raise KeyError\ndef g():\n    f()\nh = lambda: f()\n", nil, ""},
	{"nested", "def f():\n    def g():\n        raise KeyError\n    return g\nf()\n", nil, ""},
	{"decided", "import sys\ndef f():\n    if sys.version_info < (3,):\n        raise KeyError\nf()\nif sys.platform == 'win32':\n    f()\n", nil, ""},
	{"guarded", "def main():\n    raise SystemExit(1)\nif __name__ == '__main__':\n    main()\n", nil, ""},
	{"library", "import re, logging\nx = re.compile('x')\nlog = logging.getLogger('x')\n", nil, ""},
	{"three_levels", "def a():\n    b()\ndef b():\n    c()\ndef c():\n    if not a:\n        raise KeyError\na()\n", nil, ""},
	{"itself", "def a(n=3):\n    if n:\n        return a(n - 1)\n    raise KeyError(n)\na()\n", []string{"itself:4"}, "KeyError: 0"},
}

// TestFunctionCalledByAnImportIsNotChecked: onnxruntime_genai calls a function of another of its modules, which raises ImportError where it does not find
// onnxruntime, and nothing said so.
func TestFunctionCalledByAnImportIsNotChecked(t *testing.T) {
	files := map[string]string{"parts/__init__.py": "from .dll import add\n",
		"parts/dll.py": "def add(x):\n    if x:\n        raise ImportError('Could not find the package')\ndef deep():\n    add(1)\n    if not add:\n        raise ValueError\n"}
	for _, c := range callings {
		files[c.name+".py"] = c.text
	}
	python, site := environment(t, files)
	py := detect(t, python)
	for _, c := range callings {
		var got []string
		report := scan(t, py, "import "+c.name)
		for _, n := range report.NotChecked {
			if n.What == "call" && strings.HasPrefix(n.At.File, site) {
				got = append(got, strings.TrimPrefix(n.At.String(), site+"/"))
				if !strings.Contains(n.Why, c.name+".py:") {
					t.Errorf("%s: the statement is not named: %s", c.name, n.Why)
				}
			}
		}
		var want []string
		for _, place := range c.calls {
			module, line, _ := strings.Cut(place, ":")
			want = append(want, strings.ReplaceAll(module, ".", "/")+".py:"+line)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
		if last, failed := ended(python, []string{"-c", "import " + c.name}, nil); failed != (c.last != "") || failed && last != c.last {
			t.Errorf("%s really ends with %q, want %q", c.name, last, c.last)
		}
		if first := report.First(); first != nil {
			t.Errorf("%s: claimed: %+v", c.name, first)
		}
	}
}

// TestDirectoryInPlaceOfNativeModule: gtsam has stubs in a directory beside its native module. Where that is another Python's, the directory is a namespace package,
// the star brings nothing, and names are missing later; nothing said so.
func TestDirectoryInPlaceOfNativeModule(t *testing.T) {
	python, site := environment(t, map[string]string{
		"sam/__init__.py": "from sam import sam\nfrom sam.sam import *\nx = 1\nPose = Pose32\n", "sam/sam.cpython-27-x86_64-linux-gnu.so": "", "sam/sam/__init__.pyi": "",
		"sound/__init__.py": "from sound import data\n", "sound/data/x.txt": "", "sound/other.cpython-27-x86_64-linux-gnu.so": "",
	})
	py := detect(t, python)
	listed := func(code string) (found []NotChecked) {
		for _, n := range scan(t, py, code).NotChecked {
			if n.What == "namespace" {
				found = append(found, n)
			}
		}
		return found
	}
	want := At{Module: "sam", File: site + "/sam/__init__.py", Line: 1}
	if got := listed("import sam"); len(got) != 1 || got[0].Name != "sam.sam" || got[0].At != want {
		t.Errorf("%+v", got)
	}
	if got := listed("import sound"); got != nil {
		t.Errorf("%+v", got)
	}
	if last, failed := ended(python, []string{"-c", "import sam"}, nil); !failed || !strings.HasPrefix(last, "NameError: ") {
		t.Error(last)
	}
}
