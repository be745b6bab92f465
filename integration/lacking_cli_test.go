package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/finding"
)

// TestCommandThatOnlyTheHostHas: check said of torchrun, which lies beside the host's interpreter, that it fits, and run ended
// with 127. What check says instead, in the container, does what the console script does on the host.
func TestCommandThatOnlyTheHostHas(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	env := s.path("env")
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--without-pip", env).CombinedOutput(); err != nil {
		skip(t, "/usr/bin/python3 -m venv: %v\n%s", err, out)
	}
	site, err := filepath.Glob(env + "/lib/python3*/site-packages")
	if err != nil || len(site) != 1 {
		t.Fatal(site, err)
	}
	for name, text := range map[string]string{
		"runner/__init__.py": "", "runner/cli.py": "import sys\ndef main():\n    print('ran', *sys.argv[1:])\nif __name__ == '__main__':\n    main()\n",
		"runner-1.dist-info/METADATA":         "Metadata-Version: 2.1\nName: runner\nVersion: 1\n",
		"runner-1.dist-info/entry_points.txt": "[console_scripts]\nhost-runner = runner.cli:main\n",
		"../../../bin/host-runner":            "#!" + env + "/bin/python3\nfrom runner.cli import main\nmain()\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(site[0], name)), 0o755))
		must(t, exectest.WriteFile(filepath.Join(site[0], name), []byte(text), 0o755))
	}
	s.load(slim(t, "job"))
	s.profile("job", fmt.Sprintf("image: job\npull_policy: never\npython: %q\ncommand: [host-runner, one]\n", env+"/bin/python3"))
	for _, command := range [][]string{{"host-runner", "one"}, {"nobody-has-this"}} {
		row, status := s.proven(command...)
		stops := finding.Errors(row.Findings)
		really := s.hostrun(append([]string{"run", "job", "--"}, command...)...)
		if status != finding.StatusNotFound || row.Fits || len(stops) != 1 || really.status != finding.StatusNotFound || !strings.Contains(really.stderr, stops[0].Remedy) {
			t.Errorf("%v: check ends with %d: %+v; run: %v", command, status, stops, really)
		}
	}
	row, _ := s.proven("host-runner", "one")
	if stops := finding.Errors(row.Findings); len(stops) != 1 || stops[0].ID != finding.CommandOnHost || !strings.HasSuffix(stops[0].Remedy, "python3, -m, runner.cli") {
		t.Fatalf("%+v", stops)
	}
	if out := s.must("run", "job", "--", "python3", "-m", "runner.cli", "one"); out != "ran one\n" {
		t.Errorf("as the remedy says: %q", out)
	}
}
