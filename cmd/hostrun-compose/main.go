// Command hostrun-compose is started by `hostrun import compose` where a compose file consists of several: it prints them as one, by the
// specification's own library, which has the rules of merging, include: and extends:. It is a program of its own because that library
// would be initialised at each start of hostrun.
//
//	hostrun-compose FILE...
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"go.yaml.in/yaml/v3"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "hostrun-compose is started by hostrun import compose")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// write prints the files as one, with variables and relative paths as they are.
func write(to io.Writer, files []string) error {
	options, err := cli.NewProjectOptions(files, cli.WithInterpolation(false), cli.WithResolvedPaths(false), cli.WithNormalization(false), cli.WithConsistency(false),
		cli.WithDefaultProfiles("*"), cli.WithoutEnvironmentResolution,
		cli.WithLoadOptions(func(o *loader.Options) { o.SkipValidation, o.SkipDefaultValues, o.SkipResolveLabels = true, true, true }))
	if err != nil {
		return err
	}
	model, err := options.LoadModel(context.Background())
	if err != nil {
		return err
	}
	dir := filepath.Dir(files[0])
	known := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		known[name] = value
	}
	if f := filepath.Join(dir, ".env"); isFile(f) {
		beside, err := dotenv.GetEnvFromFile(known, []string{f})
		if err != nil {
			return err
		}
		for name, value := range beside {
			if _, set := known[name]; !set {
				known[name] = value
			}
		}
	}
	env, err := includedEnv(files, dir, known, nil)
	if err != nil {
		return err
	}
	withDefaults(model, env)
	e := yaml.NewEncoder(to)
	e.SetIndent(2)
	if err := e.Encode(model); err != nil {
		return err
	}
	return e.Close()
}
