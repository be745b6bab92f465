package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden builds every case and compares the whole spec, and all else of the plan, with testdata/<name>.txtar.
func TestGolden(t *testing.T) {
	for name, facts := range cases {
		t.Run(name, func(t *testing.T) {
			pl, err := plan.Build(facts())
			if (err != nil) != (len(finding.Errors(pl.Findings)) > 0) {
				t.Errorf("error %v with findings %v", err, pl.Findings)
			}
			got := string(txtar.Format(archive(t, pl)))
			file := filepath.Join("testdata", name+".txtar")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("go test ./plan -update accepts this (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGoldenFilesHaveCases finds golden files that no case reads any more.
func TestGoldenFilesHaveCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".txtar"); cases[name] == nil {
			t.Errorf("%s belongs to no case", f)
		}
	}
}

// archive shows a plan for people: findings first, then what is made on the host, where things come from, and the spec.
func archive(t *testing.T, pl plan.Plan) *txtar.Archive {
	a := &txtar.Archive{Comment: []byte("# " + pl.ID + " of " + pl.Image + ", stopped by " + pl.StopSignal + fmt.Sprintf(" within %g s\n", pl.StopSeconds))}
	add := func(name string, lines []string) {
		if len(lines) > 0 {
			a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(strings.Join(lines, "\n") + "\n")})
		}
	}
	add("findings", findingLines(pl.Findings))
	var lines []string
	for _, b := range pl.Borrowed {
		lines = append(lines, fmt.Sprintf("%s: %s -> %s (%d bytes)", b.For, b.Source, b.Destination, b.Bytes))
	}
	add("borrowed", lines)
	lines = nil
	for _, d := range pl.Directories {
		line := fmt.Sprintf("%s %04o %d:%d", d.Path, d.Mode, d.UID, d.GID)
		if d.Copy != "" {
			line += ", filled with the image's " + d.Copy
		}
		lines = append(lines, line)
	}
	add("directories", lines)
	if pl.Root != nil {
		add("root", rootLines(pl.Root))
	}
	for _, f := range pl.Files {
		add("file "+f.Path, []string{strings.TrimSuffix(f.Content, "\n")})
	}
	lines = nil
	for pointer, origin := range pl.Origins {
		lines = append(lines, pointer+": "+origin)
	}
	sort.Strings(lines)
	add("origins", lines)
	lines = nil
	for k, v := range pl.Labels {
		if k != plan.LabelHash {
			lines = append(lines, k+"="+v)
		}
	}
	sort.Strings(lines)
	add("labels", lines)
	var spec bytes.Buffer
	e := json.NewEncoder(&spec)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(pl.Spec); err != nil {
		t.Fatal(err)
	}
	add("spec.json", []string{strings.TrimSuffix(spec.String(), "\n")})
	return a
}

func findingLines(all []finding.Finding) []string {
	var lines []string
	for _, f := range all {
		where := ""
		if f.File != "" {
			where = fmt.Sprintf(" %s:%d", f.File, f.Line)
		}
		lines = append(lines, fmt.Sprintf("%s %s%s: %s", f.Severity, f.ID, where, f.Message))
		for _, more := range [][2]string{{"got", f.Got}, {"want", f.Want}, {"remedy", f.Remedy}} {
			if more[1] != "" {
				lines = append(lines, "  "+more[0]+": "+more[1])
			}
		}
	}
	return lines
}

func rootLines(r *plan.Root) []string {
	lines := []string{r.Path}
	for _, d := range r.Directories {
		lines = append(lines, fmt.Sprintf("%s %04o %d:%d", d.Path, d.Mode, d.UID, d.GID))
	}
	for _, l := range r.Links {
		lines = append(lines, l.Path+" -> "+l.Target)
	}
	return lines
}
