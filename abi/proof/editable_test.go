package proof

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hostrun.dev/hostrun/finding"
)

// TestEditableSourcesAreLent: setuptools names a module without its suffix and a namespace by its directory, and editables
// (hatchling, pdm) a package by its __init__.py: each was looked for on the host by that very name, or alone.
func TestEditableSourcesAreLent(t *testing.T) {
	h := newLendingHost(t)
	site := t.TempDir()
	for file, text := range map[string]string{
		h.root + "/srv/code/single.py":       "",
		h.root + "/srv/code/hat/__init__.py": "from . import inner\n",
		h.root + "/srv/code/hat/inner.py":    "import json\n",
		h.root + "/srv/code/deep/one.py":     "",
		site + "/__editable___n_1_finder.py": "MAPPING = {'single': '/srv/code/single'}\nNAMESPACES = {'deep': ['/srv/code/deep']}\nPATH_PLACEHOLDER = '__editable__.n-1.finder' + '.__path_hook__'\ndef install(): pass\n",
		site + "/__editable__.n-1.pth":       "import __editable___n_1_finder; __editable___n_1_finder.install()\n",
		site + "/_editable_impl_hat.py":      "from editables.redirector import RedirectingFinder as F\nF.install()\nF.map_module('hat', '/srv/code/hat/__init__.py')",
		site + "/_editable_impl_hat.pth":     "import _editable_impl_hat\n",
		site + "/editables/redirector.py":    "",
	} {
		must(t, errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)))
	}
	request := h.request(t, "import single, hat, deep.one")
	request.Python.SiteDirs = append(slices.Clone(request.Python.SiteDirs), shown)
	request.Python.SiteDirsDeclared = append(slices.Clone(request.Python.SiteDirsDeclared), shown)
	r, err := Prove(context.Background(), view(t, site), request)
	must(t, err)
	var bound []string
	if r.Lent != nil {
		for _, b := range r.Lent.Binds {
			bound = append(bound, b.Destination)
		}
	}
	slices.Sort(bound)
	if want := []string{"/srv/code/deep", "/srv/code/hat", "/srv/code/single.py"}; len(finding.Errors(r.Findings)) > 0 || !slices.Equal(bound, want) {
		t.Errorf("binds %v, want %v; %+v", bound, want, r.Findings)
	}
}
