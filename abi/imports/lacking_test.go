package imports

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// entryPointFiles are packages whose console scripts were written elsewhere.
var entryPointFiles = map[string]string{
	"torch-2.6.dist-info/entry_points.txt": "[console_scripts]\ntorchrun = torch.distributed.run:main\n",
	"torch/__init__.py":                    "", "torch/distributed/__init__.py": "",
	"torch/distributed/run.py":            "import sys\ndef main():\n    print('ran', sys.argv[1:])\nif __name__ == \"__main__\":\n    main()\n",
	"plain-1.dist-info/entry_points.txt":  "[console_scripts]\nplain = plain.cli:App.main [extra]\n",
	"plain/__init__.py":                   "",
	"plain/cli.py":                        "import sys\nclass App:\n    @staticmethod\n    def main():\n        print('ran', sys.argv[1:])\n",
	"whole-1.dist-info/entry_points.txt":  "[gui_scripts]\nwindow = whole:main\n[console_scripts]\nwhole-tool=whole:main\n",
	"whole/__init__.py":                   "",
	"whole/__main__.py":                   "import sys\nprint('ran', sys.argv[1:])\n",
	"broken-1.dist-info/entry_points.txt": "[console_scripts]\nbroken = not a module\n",
}

// TestCommandThatOnlyTheHostHas: check said that torchrun fits, and run ended with 127. What the remedy says must start the
// very program.
func TestCommandThatOnlyTheHostHas(t *testing.T) {
	python, site := environment(t, entryPointFiles)
	py := detect(t, python)
	bin := t.TempDir()
	must(t, os.Symlink(python, filepath.Join(bin, "python3")))
	for _, c := range []struct{ words, remedy string }{
		{"torchrun one", "python3, -m, torch.distributed.run"},
		{"env LANG=C nice -n 5 torchrun one", "python3, -m, torch.distributed.run"},
		{"whole-tool one", "python3, -m, whole"},
		{"plain one", "python3, -c, \"import sys; from plain.cli import App; sys.exit(App.main())\""},
	} {
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Command: strings.Fields(c.words), Env: map[string]string{"PATH": bin + ":/nowhere"}})
		must(t, err)
		stop := finding.Errors(report.Findings(false))
		if len(stop) != 1 || stop[0].ID != finding.CommandOnHost || !strings.Contains(stop[0].Remedy, c.remedy) || finding.ExitStatus(stop) != finding.StatusNotFound {
			t.Fatalf("%s: %+v", c.words, stop)
		}
		if l := report.Lacking; filepath.Dir(l.Dist) != site || l.Python != "python3" {
			t.Errorf("%s: %+v", c.words, l)
		}
		if !slices.Contains(report.Watch, "/nowhere/"+report.Lacking.Name) {
			t.Errorf("%s: the report would hold if the program came", c.words)
		}
		out, err := exec.Command(python, append(slices.Clone(report.Lacking.Args), "one")...).CombinedOutput()
		if err != nil || string(out) != "ran ['one']\n" {
			t.Errorf("%s, as the remedy says: %v, %s", c.words, err, out)
		}
	}
}

// TestCommandThatNobodyHas: nothing is claimed where something else decides what is run.
func TestCommandThatNobodyHas(t *testing.T) {
	python, _ := environment(t, maps.Clone(entryPointFiles))
	py := detect(t, python)
	for words, id := range map[string]string{
		"nobody-has-this -x":                     finding.CommandMissing,
		"window":                                 finding.CommandMissing,
		"tini -- nobody-has-this":                finding.CommandMissing,
		"broken":                                 finding.CommandOnHost,
		"sh -c nobody-has-this":                  "",
		"gosu user nobody-has-this":              "",
		"docker-entrypoint.sh nobody-has-this":   "",
		"env PATH=/other nobody-has-this":        "",
		"/no/such/program":                       "",
		python + " -c pass":                      "",
		filepath.Base("/bin/ls") + " /somewhere": "",
	} {
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Command: strings.Fields(words), Env: map[string]string{"PATH": "/usr/bin:/bin"}})
		must(t, err)
		got := ""
		if stop := finding.Errors(report.Findings(false)); len(stop) > 0 {
			got = stop[0].ID
		}
		if got != id {
			t.Errorf("%s: %q, want %q", words, got, id)
		}
	}
}

// TestPythonThatIsNotOnPath: check said that `python main.py` fits an image that has python3 alone, and run ended with 127.
func TestPythonThatIsNotOnPath(t *testing.T) {
	python, _ := environment(t, nil)
	py := detect(t, python)
	bin := t.TempDir()
	must(t, os.Symlink(python, filepath.Join(bin, "python3")))
	for words, id := range map[string]string{
		"python -c pass":                finding.CommandMissing,
		"nice -n 5 python -c pass":      finding.CommandMissing,
		"python3 -c pass":               "",
		"sh -c python":                  "",
		"env PATH=/other python -c 0":   "",
		"gosu user python -c pass":      "",
		filepath.Join(bin, "python3.1"): "",
	} {
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Command: strings.Fields(words), Env: map[string]string{"PATH": bin}})
		must(t, err)
		stop := finding.Errors(report.Findings(false))
		if id == "" && len(stop) > 0 || id != "" && (len(stop) != 1 || stop[0].ID != id || stop[0].Remedy != "replace it under command: by python3") {
			t.Errorf("%s: %+v", words, stop)
		}
	}
}
