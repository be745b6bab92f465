package imports

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// TestNamesOfModules: what the text of a module binds is what the module has when it is imported, but for what globals(), enum's _convert_ and
// the like give it: such names are listed, and nothing is claimed of them.
func TestNamesOfModules(t *testing.T) {
	python, _ := environment(t, nil)
	out, err := exec.Command(python, "-W", "ignore", "-c", `
import importlib, io, json, pkgutil, sys
stdout, sys.stdout = sys.stdout, io.StringIO()
for m in pkgutil.iter_modules():
    if m.name not in ("antigravity", "this", "idlelib", "turtledemo", "turtle") and not m.name.startswith("test"):
        try: importlib.import_module(m.name)
        except BaseException: pass
json.dump([[n, m.__file__, hasattr(m, "__path__"), [k for k in vars(m) if not k.startswith("__")]]
    for n, m in list(sys.modules.items()) if str(getattr(m, "__file__", None)).endswith(".py") and not n.startswith("__")], stdout)
`).Output()
	if err != nil {
		t.Fatal(err)
	}
	var modules []namedModule
	if err := json.Unmarshal(out, &modules); err != nil {
		t.Fatal(err)
	}
	loaded := map[string]bool{}
	for _, m := range modules {
		loaded[m.name] = true
	}
	seen, unseen := 0, 0
	for _, m := range modules {
		text, err := os.ReadFile(m.file)
		if err != nil {
			t.Fatal(err)
		}
		self := ""
		if m.isPkg {
			self = m.name
		}
		u := parseBytes(text, facts{}, self)
		for _, name := range m.names {
			switch {
			case u.open || u.hook || u.problem != "" || loaded[m.name+"."+name]:
			case u.binds(name):
				seen++
			default:
				unseen++
			}
		}
	}
	t.Logf("%d modules, %d names are seen, %d are not", len(modules), seen, unseen)
	if len(modules) < 100 || seen < 2000 || unseen*20 > seen {
		t.Errorf("%d modules, %d names are seen, %d are not", len(modules), seen, unseen)
	}
}

type namedModule struct {
	name, file string
	isPkg      bool
	names      []string
}

func (m *namedModule) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&m.name, &m.file, &m.isPkg, &m.names})
}
