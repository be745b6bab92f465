// Command hostrun-compose is started by `hostrun import compose` where a compose file consists of several: it puts them together by the
// specification's own library, which has the rules of merging, include: and extends:. It is a program of its own because that library
// would be initialised at each start of hostrun.
//
//	hostrun-compose FILE...
//
// It prints one JSON object: the compose file that is the same as the files, and notes on it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/compose-spec/compose-go/v2/utils"
	"go.yaml.in/yaml/v3"
)

// A Result is what is printed.
type Result struct {
	Text  string `json:"text"`
	Notes []Note `json:"notes,omitempty"`
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "hostrun-compose is started by hostrun import compose")
		os.Exit(2)
	}
	one, err := together(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(one)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// together makes one of the files, with variables as they are, and with paths relative to the first one's directory.
func together(files []string) (Result, error) {
	known, err := variables(filepath.Dir(files[0]))
	if err != nil {
		return Result{}, err
	}
	t := texts{known: known}
	dir := filepath.Dir(files[0])
	model, err := loader.LoadModelWithContext(context.Background(), types.ConfigDetails{WorkingDir: dir, ConfigFiles: types.ToConfigFiles(files), Environment: maps.Clone(known)},
		t.apply, func(o *loader.Options) {
			o.ResolvePaths, o.SkipNormalization, o.SkipConsistencyCheck, o.SkipValidation, o.SkipDefaultValues = false, true, true, true, true
			name, said := known[consts.ComposeProjectName]
			if name == "" {
				name, said = filepath.Base(dir), false
			}
			o.SetProjectName(loader.NormalizeProjectName(name), said)
		})
	if err != nil {
		return Result{}, err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(t.putBack(model, tree.NewPath())); err != nil {
		return Result{}, err
	}
	return Result{b.String(), append(t.notes, t.notesOnPaths()...)}, e.Close()
}

// variables are those of the caller, and of the .env beside the first file.
func variables(dir string) (map[string]string, error) {
	known := utils.GetAsEqualsMap(os.Environ())
	f := filepath.Join(dir, ".env")
	if fi, err := os.Stat(f); err != nil || !fi.Mode().IsRegular() {
		return known, nil
	}
	beside, err := dotenv.GetEnvFromFile(known, []string{f})
	for name, value := range beside {
		if _, set := known[name]; !set {
			known[name] = value
		}
	}
	return known, err
}
